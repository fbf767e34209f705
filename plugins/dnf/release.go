package dnf

import (
	"slices"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/products"
)

// releaseSteps is what a person does to move the system to its next release:
// when its package sources already point there, or the rollout asks for it.
// https://docs.fedoraproject.org/en-US/quick-docs/upgrading-fedora-offline/,
// https://docs.redhat.com/en/documentation/red_hat_enterprise_linux/9/html/upgrading_from_rhel_8_to_rhel_9/
// and https://wiki.almalinux.org/elevate/
func releaseSteps(system string, pending []driver.PackageChange, named []string) []string {
	ahead := slices.ContainsFunc(pending, func(c driver.PackageChange) bool {
		return c.Product == products.OS && c.Change == driver.ChangeUpgrade
	})
	if !ahead && !slices.Contains(named, products.OS) {
		return nil
	}
	var steps []string
	if ahead {
		steps = append(steps, "if nobody meant to leave the present release: set the repositories in /etc/yum.repos.d and /etc/dnf/vars/releasever back to it, run dnf makecache --refresh, and plan again")
	}
	steps = append(steps,
		"read the release notes of the next release, and check that your Nextcloud runs with its PHP and its database (system requirements in Nextcloud's administration manual)",
		"take a snapshot of the whole machine, and know how to go back to it",
		"switch maintenance mode on: occ maintenance:mode --on",
		"bring the present release up to date: dnf upgrade --refresh, then reboot")
	switch system {
	case "fedora":
		steps = append(steps, "dnf install dnf-plugin-system-upgrade && dnf system-upgrade download --releasever=NEXT && dnf system-upgrade reboot")
	case "rhel":
		steps = append(steps, "dnf install leapp-upgrade && leapp preupgrade, resolve what its report calls an inhibitor, then leapp upgrade and reboot")
	default:
		steps = append(steps, "use the distribution's own way (leapp with the data of the ELevate project on AlmaLinux, Rocky Linux and Oracle Linux), or build a new machine and move the instance")
	}
	return append(steps,
		"move the database and PHP-FPM's configuration if their majors moved, and run occ upgrade if it asks",
		"switch maintenance mode off: occ maintenance:mode --off, then plan again")
}
