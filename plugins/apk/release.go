package apk

import (
	"slices"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/products"
)

// releaseSteps is what a person does to move the system to its next release:
// when its repositories already point there, or the rollout asks for it.
// https://wiki.alpinelinux.org/wiki/Upgrading_Alpine_Linux_to_a_new_release_branch
func releaseSteps(release string, pending []driver.PackageChange, named []string) []string {
	ahead := slices.ContainsFunc(pending, func(c driver.PackageChange) bool {
		return c.Product == products.OS && c.Change == driver.ChangeUpgrade
	})
	if !ahead && !slices.Contains(named, products.OS) {
		return nil
	}
	var steps []string
	if ahead {
		steps = append(steps, "if nobody meant to leave release "+release+": set /etc/apk/repositories back to its branch, run apk update, and plan again")
	}
	return append(steps,
		"read the release notes of the next release, and check that your Nextcloud runs with its PHP and its database (system requirements in Nextcloud's administration manual)",
		"take a snapshot of the whole machine, and know how to go back to it",
		"switch maintenance mode on: occ maintenance:mode --on",
		"bring the present release up to date: apk update && apk upgrade",
		"set the branch in /etc/apk/repositories to the next release, then apk update && apk upgrade --available && sync, and reboot",
		"install the next PHP (php82 becomes php83, say) and move its configuration; PostgreSQL needs a dump and restore or pg_upgrade; then run occ upgrade if it asks",
		"merge the .apk-new files below /etc (update-conf)",
		"switch maintenance mode off: occ maintenance:mode --off, then plan again")
}
