package products

import (
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// ReleaseReason is why nothing changes on a host whose package sources are of
// its system's next release.
const ReleaseReason = "the package sources are of the next release of the system: a release upgrade is done by a person, never by a rollout"

// Decide classifies every change of a host's list and holds what must wait.
// The list has what the package manager would do: name, from, to, removals as
// ChangeRemove, and Held with a Reason where the host itself keeps a package
// back. named are the products whose upgrade the rollout wants; less compares
// two versions as the package manager does.
//
// Held are removals, downgrades, changes to no known version, upgrades that the
// rollout does not name, and new packages beside them. When the release of the
// system would move, everything is held, whatever is named.
func (t *Table) Decide(list []driver.PackageChange, have Majors, named []string, less func(a, b string) bool) {
	for i := range list {
		t.judge(&list[i], have, less)
	}
	if holdRelease(list) {
		return
	}
	waiting := holdUpgrades(list, named)
	for i, c := range list {
		if !c.Held && c.Change == driver.ChangeInstall && len(waiting) > 0 {
			// It may be a part of what waits. When another change needs it, the
			// package manager installs it with that one.
			list[i].Held, list[i].Reason = true, "new, perhaps for the waiting upgrade of "+strings.Join(waiting, ", ")
		}
	}
}

// judge classifies one change and holds back what goes down or nowhere.
func (t *Table) judge(c *driver.PackageChange, have Majors, less func(a, b string) bool) {
	if c.Change == driver.ChangeRemove {
		c.Held = true
		if c.Reason == "" {
			c.Reason = "packages are never removed"
		}
		return
	}
	why := c.Reason
	t.Classify(c, have)
	if why != "" {
		c.Reason = why
	}
	if c.From != "" && c.To != "" && less(c.To, c.From) {
		c.Held, c.Reason = true, "it would be a downgrade"
	}
	if c.To == "" {
		c.Held = true
		if c.Reason == "" {
			c.Reason = "no version to install is known"
		}
	}
}

// holdRelease holds the whole list when the system's release would move: its
// parts belong together.
func holdRelease(list []driver.PackageChange) bool {
	if !slices.ContainsFunc(list, func(c driver.PackageChange) bool { return movesRelease(c) }) {
		return false
	}
	for i, c := range list {
		switch {
		case movesRelease(c):
			list[i].Held, list[i].Reason = true, c.Reason+": "+ReleaseReason
		case !c.Held:
			list[i].Held, list[i].Reason = true, ReleaseReason
		}
	}
	return true
}

func movesRelease(c driver.PackageChange) bool {
	return c.Product == OS && c.Change == driver.ChangeUpgrade
}

// holdUpgrades holds every upgrade that is not named and returns the products
// that wait, sorted.
func holdUpgrades(list []driver.PackageChange, named []string) []string {
	var waiting []string
	for i, c := range list {
		if c.Change != driver.ChangeUpgrade || slices.Contains(named, c.Product) {
			continue
		}
		if !slices.Contains(waiting, c.Product) {
			waiting = append(waiting, c.Product)
		}
		if !c.Held {
			list[i].Held = true
			list[i].Reason = c.Reason + ": an upgrade, done only when the rollout names " + c.Product
		}
	}
	slices.Sort(waiting)
	return waiting
}
