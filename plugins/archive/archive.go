// Package archive is the snapshot driver "archive": it captures an instance on
// any host into a directory of that very host, with nothing but tar, find and
// the database's own dump program. What it captures, where it all lies and what
// it refuses is told by package hostcopy, of which this is the store with the
// fewest demands.
//
// Its trees are K/tree-N.tar and K/tree-N.delta.tar, by default below
// StateDir/snapshots.
//
// Prepare's archive may catch a file in the middle of a change. Create
// therefore compares what is there with the listing taken before that archive
// (type, mode, owner, size, mtime, ctime, inode, name) and archives again every
// entry that differs or is new. Without GNU tar and find there is no delta:
// Create archives everything.
package archive

import (
	_ "embed"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/hostcopy"
)

// Name is the driver's name in an inventory.
const Name = "archive"

//go:embed scripts/store.sh
var script string

// New returns the driver, not yet configured.
func New() driver.Snapshotter {
	return hostcopy.New(hostcopy.Store{
		Name: Name, Script: script, Directory: "snapshots", Capabilities: []string{"prepare"},
	})
}
