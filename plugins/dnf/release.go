package dnf

import (
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/products"
)

// releaseSteps is what a person does to move the system to its next release:
// https://docs.fedoraproject.org/en-US/quick-docs/upgrading-fedora-offline/,
// https://docs.redhat.com/en/documentation/red_hat_enterprise_linux/9/html/upgrading_from_rhel_8_to_rhel_9/
// and https://wiki.almalinux.org/elevate/
func releaseSteps(system string, pending []driver.PackageChange, named []string) []string {
	own := "use the distribution's own way (leapp with the data of the ELevate project on AlmaLinux, Rocky Linux and Oracle Linux), or build a new machine and move the instance"
	switch system {
	case "fedora":
		own = "dnf install dnf-plugin-system-upgrade && dnf system-upgrade download --releasever=NEXT && dnf system-upgrade reboot"
	case "rhel":
		own = "dnf install leapp-upgrade && leapp preupgrade, resolve what its report calls an inhibitor, then leapp upgrade and reboot"
	}
	return products.ReleaseSteps(pending, named, "set the repositories in /etc/yum.repos.d and /etc/dnf/vars/releasever back to it, run dnf makecache --refresh",
		"bring the present release up to date: dnf upgrade --refresh, then reboot", own,
		"move the database and PHP-FPM's configuration if their majors moved, and run occ upgrade if it asks")
}
