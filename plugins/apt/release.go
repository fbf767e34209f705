package apt

import (
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/products"
)

// releaseSteps is what a person does to move the system to its next release:
// https://www.debian.org/releases/stable/releasenotes, chapter 4, and
// https://documentation.ubuntu.com/server/how-to/software/upgrade-your-release/
func releaseSteps(system string, pending []driver.PackageChange, named []string) []string {
	own := []string{
		"bring the present release up to date, before the sources point to the next one: apt-get update && apt-get upgrade",
		"set the package sources in /etc/apt to the next release, those of third parties too or take them out",
		"inside tmux or screen: apt-get update && apt-get upgrade --without-new-pkgs && apt-get full-upgrade",
	}
	if system == "ubuntu" {
		own = []string{
			"bring the present release up to date: apt-get update && apt-get dist-upgrade, then reboot",
			"inside tmux or screen: do-release-upgrade",
		}
	}
	own = append(own, "reboot, move the database and PHP-FPM's configuration if their majors moved, and run occ upgrade if it asks")
	return products.ReleaseSteps(pending, named, "set the package sources in /etc/apt back to it, run apt-get update", own...)
}
