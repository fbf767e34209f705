package plan

import (
	"fmt"
	"sort"
	"strings"

	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

func wantsPackages(s inventory.System) bool {
	return s.Level != "" && s.Level != "none" || len(s.Upgrades) > 0
}

// osProduct is the product by which drivers name the system's release.
const osProduct = "os"

// SelectPackages picks from the pending changes those that a rollout wants:
// updates by level, upgrades only of products it names, never a removal,
// the system's next release, or what is held. It is to be compiled as it is,
// sorted by name; how long to wait for a lock is left to the driver's block.
func SelectPackages(s inventory.System, f driver.PackageFacts) driver.Selection {
	var sel driver.Selection
	for _, c := range f.Pending {
		if whyNot(s, c) == "" {
			sel.Changes = append(sel.Changes, c)
		}
	}
	sort.Slice(sel.Changes, func(i, j int) bool { return sel.Changes[i].Name < sel.Changes[j].Name })
	return sel
}

// pendingPackages are all pending changes as the plan shows them: those not
// selected are held, with the reason.
func pendingPackages(s inventory.System, f driver.PackageFacts) []driver.PackageChange {
	if !wantsPackages(s) {
		return nil
	}
	out := append([]driver.PackageChange(nil), f.Pending...)
	for i := range out {
		if why := whyNot(s, out[i]); why != "" {
			out[i].Held, out[i].Reason = true, why
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// whyNot says why a pending change is left alone, "" when it is wanted.
func whyNot(s inventory.System, c driver.PackageChange) string {
	if c.Held {
		if c.Reason != "" {
			return c.Reason
		}
		return "held on the host"
	}
	if c.Product == osProduct && c.Change == driver.ChangeUpgrade {
		return "a release upgrade of the system is done by a person, never by a rollout"
	}
	named := false
	for _, u := range s.Upgrades {
		named = named || u == c.Product && c.Product != ""
	}
	switch c.Change {
	case driver.ChangeRemove:
		return "a removal is never made"
	case driver.ChangeUpgrade:
		if !named {
			return fmt.Sprintf("an upgrade of %s, which the rollout does not name", product(c))
		}
		return ""
	case driver.ChangeUpdate, driver.ChangeInstall:
		if named && c.Change == driver.ChangeInstall {
			return ""
		}
		return notAtLevel(s.Level, c)
	}
	return fmt.Sprintf("of unknown kind %q", c.Change)
}

// checkRelease refuses a release upgrade of the system with the steps that a
// person must take: when the rollout names it, and when the package sources are
// of the next release so that nothing else could be installed either.
func (l *look) checkRelease() {
	steps := l.facts.Packages.ReleaseSteps
	named := contains(l.in.Rollout.System.Upgrades, osProduct)
	if !named && len(steps) == 0 {
		return
	}
	why := "the rollout names \"os\" in its upgrades"
	if !named {
		why = "the package sources of the host are of the next release"
	}
	for _, c := range l.facts.Packages.Pending {
		if c.Product == osProduct && c.Change == driver.ChangeUpgrade {
			why += fmt.Sprintf(" (%s %s → %s)", c.Name, c.From, c.To)
			break
		}
	}
	if len(steps) == 0 {
		steps = []string{"upgrade the system as its release notes say", "plan again"}
	}
	numbered := make([]string, 0, len(steps)+1)
	if named {
		numbered = append(numbered, "take \"os\" out of the rollout's upgrades; to move the system, by hand and on one host first:")
	}
	for i, s := range steps {
		numbered = append(numbered, fmt.Sprintf("(%d) %s", i+1, s))
	}
	l.block(problem("release_upgrade", "a release upgrade of the system is not done by a rollout", why, strings.Join(numbered, " ")))
}

func notAtLevel(level string, c driver.PackageChange) string {
	switch level {
	case "update":
		return ""
	case "security":
		if c.Security {
			return ""
		}
		return "not a security update"
	case "", "none":
		return "the rollout wants no package updates"
	}
	return fmt.Sprintf("the package level %q is unknown", level)
}

func product(c driver.PackageChange) string {
	if c.Product != "" {
		return c.Product
	}
	return c.Name
}

// phpAfter is the PHP version that a host has once the selection is
// installed: the present one unless PHP itself is upgraded.
func phpAfter(now string, sel driver.Selection) string {
	for _, c := range sel.Changes {
		if c.Product != "php" || c.Change != driver.ChangeUpgrade {
			continue
		}
		v := c.To
		if _, after, ok := strings.Cut(v, ":"); ok { // an epoch
			v = after
		}
		end := 0
		for end < len(v) && (v[end] >= '0' && v[end] <= '9' || v[end] == '.') {
			end++
		}
		if v = strings.Trim(v[:end], "."); v != "" {
			return v
		}
	}
	return now
}
