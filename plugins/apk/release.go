package apk

import (
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/products"
)

// releaseSteps is what a person does to move the system to its next release:
// https://wiki.alpinelinux.org/wiki/Upgrading_Alpine_Linux_to_a_new_release_branch
func releaseSteps(release string, pending []driver.PackageChange, named []string) []string {
	return products.ReleaseSteps(pending, named, "set /etc/apk/repositories back to the branch of "+release+", run apk update",
		"bring the present release up to date: apk update && apk upgrade",
		"set the branch in /etc/apk/repositories to the next release, then apk update && apk upgrade --available && sync, and reboot",
		"install the next PHP (php82 becomes php83, say) and move its configuration; PostgreSQL needs a dump and restore or pg_upgrade; then run occ upgrade if it asks",
		"merge the .apk-new files below /etc (update-conf)")
}
