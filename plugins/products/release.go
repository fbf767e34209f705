package products

import (
	"slices"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// ReleaseSteps is what a person does, in order, to move a system to its next
// release: when a pending change would move it already, or the rollout names
// OS. Else it is nil. back tells how the package sources are set to the present
// release again; own are the distribution's steps, while the site is closed.
func ReleaseSteps(pending []driver.PackageChange, named []string, back string, own ...string) []string {
	ahead := slices.ContainsFunc(pending, movesRelease)
	if !ahead && !slices.Contains(named, OS) {
		return nil
	}
	var steps []string
	if ahead {
		steps = append(steps, "if nobody meant to leave the present release: "+back+", and plan again")
	}
	steps = append(steps,
		"read the release notes of the next release, and check that your Nextcloud runs with its PHP and its database (system requirements in Nextcloud's administration manual)",
		"take a snapshot of the whole machine, and know how to go back to it",
		"switch maintenance mode on: occ maintenance:mode --on")
	return append(append(steps, own...), "switch maintenance mode off: occ maintenance:mode --off, then plan again")
}
