// Package lvm is the snapshot driver "lvm": it keeps an instance's trees in
// read-only snapshots of the logical volumes that hold them, thin ones where
// the volume is thin. Everything else, the database's dump, the config, what is
// put back and how, is package hostcopy's, of which this is a store.
//
// Its commands follow the manual pages of LVM 2.03. It was tried against a
// stand-in for them that really takes snapshots, not against logical volumes:
// no kernel that its authors' tests ran on had the device mapper.
//
// # What it captures
//
// The code tree and app directories outside it, on ext2, ext3, ext4 or XFS. The
// operating system is a hole.
//
// # How a tree is put back
//
// The snapshot is mounted read-only, in a mount namespace that ends with the
// call (scripts run by unshare -m sh, which sudo must allow), and the tree is
// copied out and swapped in by rename. The driver refuses
// to merge a snapshot (lvconvert --merge): a volume in use is only merged at
// its next activation, so at the next boot, and everything else on it would go
// back too, users' files included.
//
// # Where snapshots lie
//
// They are VG/ncfleet-SUM with the tag ncfleet, SUM being a checksum of the
// directory that remembers them (StateDir/lvm-snapshots by default) and of the
// key. A volume that is not thin gives each snapshot room in its group, percent
// of its own size. When more than that is overwritten the snapshot is lost,
// which Verify and Restore tell; until it is deleted every first write costs a
// copy. So keep is 1 at best here. K/volumes remembers each one's uuid and its
// origin's; K/tree-N.seen the entries of a tree with their inode and change
// time. Verify compares them all.
package lvm

import (
	_ "embed"
	"strconv"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/hostcopy"
)

// Name is the driver's name in an inventory.
const Name = "lvm"

//go:embed scripts/store.sh
var script string

// defaultPercent holds a failed upgrade's writes on a volume with other tenants.
const defaultPercent = 20

// New returns the driver, not yet configured.
func New() driver.Snapshotter {
	return hostcopy.New(hostcopy.Store{
		Name: Name, Script: hostcopy.VolumeScript + script, Directory: "lvm-snapshots",
		Shell: []string{"unshare", "-m", "sh"},
		Attributes: []driver.Attribute{{Name: "percent", Type: "number", Default: strconv.Itoa(defaultPercent),
			Help: "Room of a snapshot of a volume that is not thin, as a share of its size, 1 to 100."}},
		Arguments: arguments,
	})
}

func arguments(c driver.Config) ([]string, error) {
	percent := float64(defaultPercent)
	if v, ok := c["percent"].(float64); ok {
		percent = v
	}
	if percent < 1 || percent > 100 || percent != float64(int(percent)) {
		return nil, driver.Errorf(driver.Permanent, "percent = %v: write a whole number from 1 to 100", percent)
	}
	return []string{"size=" + strconv.Itoa(int(percent))}, nil
}
