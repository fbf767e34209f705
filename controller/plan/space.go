package plan

import (
	"fmt"
	"sort"
	"strings"
)

// What room is reckoned with where facts say nothing.
const (
	usualTreeBytes    = 520 << 20 // an unpacked 29 is 489 MiB
	usualTreeFiles    = 27000
	usualArchiveBytes = 200 << 20
	packageBytes      = 6 << 20   // one package, downloaded or installed
	spareBytes        = 256 << 20 // left free on every mount that is written
)

// need is the room that a target takes on one mount.
type need struct {
	bytes  int64
	inodes int64
	uses   map[string]int64 // what for → bytes, for people
}

// reckon fills l.need. Staged trees lie beside the live one, a tree each, all
// at once; archives in the state folder; a migration may copy every table; a
// snapshot lies where the driver says there is room (see snapshotMount).
func (l *look) reckon() {
	l.need = map[string]need{}
	if n := int64(len(l.sel.Changes)); n > 0 {
		l.takes("/var/cache", n*packageBytes, 0, "package downloads")
		l.takes("/usr", n*packageBytes, 0, "new packages")
	}
	for _, in := range l.inside {
		l.takesSnapshot(in.ref.Name, in.seen)
	}
	if l.seen == nil {
		return
	}
	tree, files := l.seen.TreeBytes, l.seen.TreeFiles
	if tree <= 0 {
		tree, files = usualTreeBytes, usualTreeFiles
	}
	for _, h := range l.hops {
		l.takes(l.site.Path, tree+tree/20, files+files/20, "the tree of "+h.To.String())
		size := h.Release.Size
		if size <= 0 {
			size = usualArchiveBytes
		}
		l.takes(l.site.StateDir, size, 1, "the archive of "+h.To.String())
	}
	if len(l.hops) > 0 && l.seen.Database.Bytes > 0 {
		if dir := localDatabaseDir(l.seen); dir != "" {
			l.takes(dir, l.seen.Database.Bytes, 0, "tables copied by migrations")
		}
	}
	l.takesSnapshot(l.ref.Name, l.seen)
}

func localDatabaseDir(seen *InstanceFacts) string {
	d := seen.Database
	host, _, _ := strings.Cut(d.Host, ":") // a port or a socket may follow
	local := host == "" || host == "localhost" || host == "127.0.0.1" || strings.HasPrefix(host, "/")
	switch {
	case d.Kind == "sqlite3":
		return seen.DataDir
	case d.Kind == "mysql" && local:
		return "/var/lib/mysql"
	case d.Kind == "pgsql" && local:
		return "/var/lib/postgresql"
	}
	return ""
}

func (l *look) takes(path string, bytes, inodes int64, what string) {
	m := l.facts.Mount(path)
	if m == nil {
		return
	}
	n := l.need[m.Path]
	n.bytes, n.inodes = n.bytes+bytes, n.inodes+inodes
	if n.uses == nil {
		n.uses = map[string]int64{}
	}
	n.uses[what] += bytes
	l.need[m.Path] = n
}

// takesSnapshot adds a snapshot's room to the mount it is kept on, when that
// is one of the host's.
func (l *look) takesSnapshot(target string, seen *InstanceFacts) {
	c, ok := l.in.Coverage[target]
	if !ok || c.BytesFree < 0 {
		return // kept elsewhere, at a provider
	}
	bytes := c.BytesNeed
	if bytes < 0 && seen != nil {
		bytes = max(seen.TreeBytes, 0) + max(seen.Database.Bytes, 0)
	}
	if m := l.snapshotMount(c.BytesFree); m != nil {
		l.takes(m.Path, bytes, 16, "the snapshot")
		return
	}
	if bytes+spareBytes > c.BytesFree {
		l.block(problem("disk_full", "no room for the snapshot",
			fmt.Sprintf("the snapshot driver %s needs %s and has %s free", SnapshotDriver(l.host), Size(bytes+spareBytes), Size(c.BytesFree)),
			"free room where snapshots are kept, or point the driver's block elsewhere"))
	}
}

// snapshotMount finds the mount whose free room the driver reported: the one
// that comes closest, within 5 % and 64 MiB, as both numbers were read at
// different moments. nil when none does: then it is a place of its own.
func (l *look) snapshotMount(free int64) *Mount {
	var best *Mount
	var off int64
	for i := range l.facts.Mounts {
		m := &l.facts.Mounts[i]
		d := max(m.BytesFree-free, free-m.BytesFree)
		if d <= m.BytesFree/20+64<<20 && (best == nil || d < off || d == off && m.Path < best.Path) {
			best, off = m, d
		}
	}
	return best
}

// checkSpace blocks on every mount that has too little room.
func (l *look) checkSpace() {
	l.reckon()
	for i := range l.facts.Mounts {
		m := &l.facts.Mounts[i]
		n, ok := l.need[m.Path]
		if !ok {
			continue
		}
		what := n.what()
		if m.ReadOnly {
			l.block(problem("mount_read_only", m.Path+" is mounted read-only",
				fmt.Sprintf("%s (%s, %s) must take %s", m.Path, m.Device, m.FSType, what),
				"mount -o remount,rw "+m.Path))
			continue
		}
		if want := n.bytes + spareBytes; m.BytesFree < want {
			l.block(problem("disk_full", fmt.Sprintf("too little room on %s", m.Path),
				fmt.Sprintf("%s (%s, %s) has %s of %s free and needs %s: %s, %s to spare",
					m.Path, m.Device, m.FSType, Size(m.BytesFree), Size(m.BytesTotal), Size(want), what, Size(spareBytes)),
				fmt.Sprintf("free %s on %s, then plan again; see what is big: du -xh %s | sort -h | tail", Size(want-m.BytesFree), m.Path, m.Path)))
		}
		if m.InodesFree >= 0 && n.inodes > m.InodesFree {
			l.block(problem("inodes_full", fmt.Sprintf("too few inodes on %s", m.Path),
				fmt.Sprintf("%s (%s, %s) has %d inodes free and needs %d: %s", m.Path, m.Device, m.FSType, m.InodesFree, n.inodes, what),
				"remove small files there (sessions, caches, old trees), then plan again"))
		}
	}
}

// what lists what the room is for.
func (n need) what() string {
	var out []string
	for _, k := range keys(n.uses) {
		out = append(out, k+" "+Size(n.uses[k]))
	}
	return strings.Join(out, ", ")
}

// minFree is the room that must still be there when apply begins.
func (l *look) minFree() map[string]int64 {
	out := map[string]int64{}
	for path, n := range l.need {
		out[path] = n.bytes + spareBytes
	}
	return out
}

func listed(items []string) string {
	items = append([]string(nil), items...)
	sort.Strings(items)
	out := ""
	for i, s := range items {
		switch {
		case i == 0:
			out = s
		case i == len(items)-1:
			out += " and " + s
		default:
			out += ", " + s
		}
	}
	return out
}

// Size renders bytes for people, "1.5 GiB", rounded to one decimal.
func Size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
