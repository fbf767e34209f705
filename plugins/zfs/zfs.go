// Package zfs is the snapshot driver "zfs": it keeps an instance's trees in
// snapshots of the datasets that hold them. Everything else, the database's
// dump, the config, what is put back and how, is package hostcopy's, of which
// this is a store.
//
// Its commands follow the manual pages of OpenZFS 2. It was tried against a
// stand-in for them that really takes snapshots, not against a ZFS pool: no
// kernel that its authors' tests ran on had the module.
//
// # What it captures
//
// The code tree and app directories outside it, each being a directory of a
// dataset. A tree that is a dataset's mount point, or holds one, is a hole, for
// it cannot be swapped by rename; so is the operating system.
//
// # How a tree is put back
//
// It is copied out of MOUNTPOINT/.zfs/snapshot and swapped in by rename. The
// driver refuses to use zfs rollback, which would take back all else in the
// dataset, users' files too, and destroys every newer snapshot. The copy needs
// the tree's room, unless the pool clones blocks.
//
// # Where snapshots lie
//
// They are DATASET@ncfleet-SUM, SUM being a checksum of the directory that
// remembers them (StateDir/zfs-snapshots by default) and of the key, which is
// also in the property ncfleet:key. K/volumes remembers each one's guid;
// K/tree-N.seen the entries of a tree with their inode and change time. Verify
// compares them all. A snapshot is destroyed by its name alone, never with
// clones or children.
package zfs

import (
	_ "embed"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/hostcopy"
)

// Name is the driver's name in an inventory.
const Name = "zfs"

//go:embed scripts/store.sh
var script string

// New returns the driver, not yet configured.
func New() driver.Snapshotter {
	return hostcopy.New(hostcopy.Store{Name: Name, Script: hostcopy.VolumeScript + script, Directory: "zfs-snapshots"})
}
