package zypper

import (
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/products"
)

// releaseSteps is what a person does to move the system to its next release or
// service pack: https://documentation.suse.com/sles/html/SLES-all/cha-upgrade-online.html
// and https://en.opensuse.org/SDB:System_upgrade
func releaseSteps(system string, pending []driver.PackageChange, named []string) []string {
	own := []string{"bring the present release up to date: zypper patch, twice, then reboot"}
	if system == "sles" || system == "sled" || system == "sles_sap" {
		own = append(own, "inside tmux or screen: zypper migration, then reboot")
	} else {
		own = append(own, "see that the repositories follow $releasever, and take those of third parties out",
			"inside tmux or screen: zypper --releasever=NEXT refresh && zypper --releasever=NEXT dup --download-in-advance, then reboot")
	}
	own = append(own, "move the database and PHP-FPM's configuration if their majors moved, and run occ upgrade if it asks")
	return products.ReleaseSteps(pending, named, "set the repositories (zypper repos -u) back to it, run zypper refresh", own...)
}
