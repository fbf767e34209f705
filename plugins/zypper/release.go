package zypper

import (
	"slices"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/products"
)

// releaseSteps is what a person does to move the system to its next release or
// service pack: when its repositories already point there, or the rollout asks
// for it. https://documentation.suse.com/sles/html/SLES-all/cha-upgrade-online.html
// and https://en.opensuse.org/SDB:System_upgrade
func releaseSteps(system string, pending []driver.PackageChange, named []string) []string {
	ahead := slices.ContainsFunc(pending, func(c driver.PackageChange) bool {
		return c.Product == products.OS && c.Change == driver.ChangeUpgrade
	})
	if !ahead && !slices.Contains(named, products.OS) {
		return nil
	}
	var steps []string
	if ahead {
		steps = append(steps, "if nobody meant to leave the present release: set the repositories (zypper repos -u) back to it, run zypper refresh, and plan again")
	}
	steps = append(steps,
		"read the release notes of the next release, and check that your Nextcloud runs with its PHP and its database (system requirements in Nextcloud's administration manual)",
		"take a snapshot of the whole machine, and know how to go back to it",
		"switch maintenance mode on: occ maintenance:mode --on",
		"bring the present release up to date: zypper patch, twice, then reboot")
	if system == "sles" || system == "sled" || system == "sles_sap" {
		steps = append(steps, "inside tmux or screen: zypper migration, then reboot")
	} else {
		steps = append(steps,
			"see that the repositories follow $releasever, and take those of third parties out",
			"inside tmux or screen: zypper --releasever=NEXT refresh && zypper --releasever=NEXT dup --download-in-advance, then reboot")
	}
	return append(steps,
		"move the database and PHP-FPM's configuration if their majors moved, and run occ upgrade if it asks",
		"switch maintenance mode off: occ maintenance:mode --off, then plan again")
}
