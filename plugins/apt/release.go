package apt

import (
	"slices"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/products"
)

// releaseSteps is what a person does to move the system to its next release:
// when its package sources already point there, or the rollout asks for it.
// https://www.debian.org/releases/stable/releasenotes, chapter 4, and
// https://documentation.ubuntu.com/server/how-to/software/upgrade-your-release/
func releaseSteps(system string, pending []driver.PackageChange, named []string) []string {
	ahead := slices.ContainsFunc(pending, func(c driver.PackageChange) bool {
		return c.Product == products.OS && c.Change == driver.ChangeUpgrade
	})
	if !ahead && !slices.Contains(named, products.OS) {
		return nil
	}
	var steps []string
	if ahead {
		steps = append(steps, "if nobody meant to leave the present release: set the package sources in /etc/apt back to it, run apt-get update, and plan again")
	}
	steps = append(steps,
		"read the release notes of the next release, and check that your Nextcloud runs with its PHP and its database (system requirements in Nextcloud's administration manual)",
		"take a snapshot of the whole machine, and know how to go back to it",
		"switch maintenance mode on: occ maintenance:mode --on")
	if system == "ubuntu" {
		steps = append(steps,
			"bring the present release up to date: apt-get update && apt-get dist-upgrade, then reboot",
			"inside tmux or screen: do-release-upgrade")
	} else {
		steps = append(steps,
			"bring the present release up to date, before the sources point to the next one: apt-get update && apt-get upgrade",
			"set the package sources in /etc/apt to the next release, those of third parties too or take them out",
			"inside tmux or screen: apt-get update && apt-get upgrade --without-new-pkgs && apt-get full-upgrade")
	}
	return append(steps,
		"reboot, move the database and PHP-FPM's configuration if their majors moved, and run occ upgrade if it asks",
		"switch maintenance mode off: occ maintenance:mode --off, then plan again")
}
