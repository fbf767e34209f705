package cloud

import (
	"fmt"
	"slices"
	"strings"
)

// The kinds of file system that no snapshot of a disk holds.
var (
	pseudo   = setOf("proc sysfs cgroup cgroup2 devpts devtmpfs mqueue hugetlbfs debugfs tracefs securityfs pstore bpf configfs fusectl autofs binfmt_misc efivarfs nsfs rpc_pipefs")
	volatile = setOf("tmpfs ramfs")
	network  = setOf("nfs nfs4 cifs smb3 smbfs ceph glusterfs fuse.glusterfs 9p virtiofs afs lustre beegfs ocfs2 gfs2 davfs fuse.sshfs fuse.s3fs fuse.rclone fuse.davfs")
	layers   = setOf("overlay aufs squashfs fuse.fuse-overlayfs")
)

func setOf(words string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		set[w] = true
	}
	return set
}

// mounted returns the units that hold a mount, or why none does, as the end of
// a sentence.
func (l *look) mounted(m mount) ([]Unit, string) {
	for _, u := range l.machine.Units {
		switch {
		case !slices.Contains(u.Mounts, m.point):
		case u.Left != "":
			return nil, fmt.Sprintf("lies on %s (mounted at %s): %s", u.ID, m.point, u.Left)
		default:
			return []Unit{u}, ""
		}
	}
	switch {
	case network[m.kind], strings.HasPrefix(m.kind, "fuse.") && !layers[m.kind]:
		return nil, fmt.Sprintf("lies on a network or user-space file system (%s from %s at %s)", m.kind, m.source, m.point)
	case volatile[m.kind], pseudo[m.kind]:
		return nil, fmt.Sprintf("lies in memory (%s at %s)", m.kind, m.point)
	case layers[m.kind]:
		return nil, fmt.Sprintf("lies on layers whose disks cannot be told (%s at %s)", m.kind, m.point)
	}
	disks := l.physical(m)
	if len(disks) == 0 {
		// Whatever it lies on is a disk of the machine.
		return l.everyUnit(fmt.Sprintf("lies on %s (%s at %s), whose disks the host does not show", m.source, m.kind, m.point))
	}
	var units []Unit
	for _, d := range disks {
		u, ok := l.unit(d)
		switch {
		case !ok:
			return nil, fmt.Sprintf("lies on disk %s, which is none of the volumes that the provider shows of machine %s", d, l.machine.Name)
		case u.Left != "":
			return nil, fmt.Sprintf("lies on %s (disk %s): %s", u.ID, d, u.Left)
		}
		if source := l.namedMount(d); u.Replaced && source != "" {
			return nil, fmt.Sprintf("lies on %s, which the host mounts as %s: the volume of a restore has another name, and the host would not come up; mount it by UUID", u.ID, source)
		}
		units = append(units, u)
	}
	return units, ""
}

// unit is the unit that holds a disk.
func (l *look) unit(name string) (Unit, bool) {
	if u, ok := l.byDisk[name]; ok {
		return u, true
	}
	for _, u := range l.machine.Units {
		if u.Whole {
			return u, true
		}
	}
	return Unit{}, false
}

func (l *look) everyUnit(reason string) ([]Unit, string) {
	var units []Unit
	for _, u := range l.machine.Units {
		if u.Left != "" {
			return nil, reason + ", and the provider leaves out " + u.ID + ": " + u.Left
		}
		units = append(units, u)
	}
	return units, ""
}
