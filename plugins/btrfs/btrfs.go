// Package btrfs is the snapshot driver "btrfs": it keeps an instance's trees in
// read-only snapshots of the subvolumes that hold them. Taking one needs a
// moment and no room, whatever the tree's size. Everything else, the database's
// dump, the config, what is put back and how, is package hostcopy's, of which
// this is a store.
//
// # What it captures
//
// The code tree and app directories outside it, each being a directory of a
// subvolume, or a subvolume, that is mounted whole. What is unfit is a hole
// with its reason: a tree on another file system, a tree that holds a nested
// subvolume (no snapshot descends into one), a subvolume that holds the data
// directory (no rename leads from one subvolume to another), a mount point.
// The operating system is a hole too: the subvolume that is mounted at / would
// only be put back by a reboot into another one, which is a person's decision.
//
// # How a tree is put back
//
// Never by turning back a subvolume that holds other things too. A tree that is
// a directory is copied out of the snapshot with shared blocks (cp --reflink)
// and swapped in by rename; a tree that is a whole subvolume comes back as a
// writable snapshot of the snapshot, swapped in the same way. Both leave
// everything outside the tree as it is.
//
// # Where snapshots lie
//
// In .ncfleet-snapshots, mode 0700, owned by root, at the root of the subvolume
// that holds the directory above the tree. Each is named after its key, with a
// checksum of the directory that remembers it, which is StateDir/btrfs-snapshots
// by default. Whoever swaps that outer subvolume by
// hand takes the snapshots along. A snapshot holds the whole subvolume, users'
// files and databases in it included, but only the trees are ever put back; its
// room grows with whatever changes in that subvolume until it is deleted.
//
// K/volumes remembers each snapshot's uuid and parent uuid; K/tree-N.seen the
// entries of a tree with their inode and change time. Verify compares them all
// and that the snapshot is still read-only.
package btrfs

import (
	_ "embed"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/hostcopy"
)

// Name is the driver's name in an inventory.
const Name = "btrfs"

//go:embed scripts/store.sh
var script string

// New returns the driver, not yet configured.
func New() driver.Snapshotter {
	return hostcopy.New(hostcopy.Store{Name: Name, Script: hostcopy.VolumeScript + script, Directory: "btrfs-snapshots"})
}
