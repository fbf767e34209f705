package cloud

import (
	"path"
	"slices"
	"strings"
)

// hostFacts is what host.sh prints.
type hostFacts struct {
	real      map[string]string  // a place's path, links resolved; "" where nothing is
	mounts    map[string][]mount // by "self" or the process id of a database server
	disks     map[string]disk    // by kernel name
	names     map[string]string  // a name below /dev/disk/by-id or /dev/mapper to the kernel's
	pools     [][]string         // the disks of each btrfs
	servers   map[string]string  // process id of a database server to its data directory
	addresses []string           // of the host itself
	sources   []string           // what /etc/fstab and mount units mount
}

type mount struct {
	number string // major:minor
	point  string
	kind   string // "ext4"
	source string
}

type disk struct {
	name    string
	number  string
	size    int64 // bytes
	serial  string
	parent  string   // of a partition
	slaves  []string // of a device mapper or RAID device
	backing string   // of a loop device
}

// readHost parses the script's output; whole is false when its end is missing.
func readHost(out string) (f hostFacts, whole bool) {
	f = hostFacts{real: map[string]string{}, mounts: map[string][]mount{}, disks: map[string]disk{}, names: map[string]string{}, servers: map[string]string{}}
	for line := range strings.SplitSeq(out, "\n") {
		w := strings.Split(line, "\t")
		switch {
		case w[0] == "end":
			whole = true
		case w[0] == "path" && len(w) == 3:
			f.real[w[1]] = w[2]
		case w[0] == "mount" && len(w) == 3:
			if m, ok := readMount(w[2]); ok {
				f.mounts[w[1]] = append(f.mounts[w[1]], m)
			}
		case w[0] == "disk" && len(w) == 8:
			f.disks[w[1]] = disk{name: w[1], number: w[2], size: 512 * number(w[3]), serial: strings.TrimSpace(w[4]), parent: w[5], slaves: strings.Fields(w[6]), backing: w[7]}
		case w[0] == "name" && len(w) == 3:
			f.names[w[1]] = w[2]
		case w[0] == "pool" && len(w) == 2:
			f.pools = append(f.pools, strings.Fields(w[1]))
		case w[0] == "server" && len(w) == 3:
			f.servers[w[1]] = w[2]
		case w[0] == "source" && len(w) == 2:
			f.sources = append(f.sources, strings.TrimSpace(w[1]))
		case w[0] == "address" && len(w) == 2:
			f.addresses = append(f.addresses, w[1])
		}
	}
	return f, whole
}

func number(s string) int64 {
	n := int64(0)
	for _, r := range s {
		if r < '0' || r > '9' || n > 1<<53 {
			return 0
		}
		n = 10*n + int64(r-'0')
	}
	return n
}

// readMount reads a line of /proc/PID/mountinfo.
func readMount(line string) (mount, bool) {
	before, after, ok := strings.Cut(line, " - ")
	l, r := strings.Fields(before), strings.Fields(after)
	if !ok || len(l) < 6 || len(r) < 2 {
		return mount{}, false
	}
	return mount{number: l[2], point: unescape(l[4]), kind: r[0], source: unescape(r[1])}, true
}

// unescape undoes the kernel's \040 for a space, and so on.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// on returns the mount that holds the path, the last mounted one first.
func (f hostFacts) on(process, p string) (mount, bool) {
	best, found := mount{}, false
	for _, m := range f.mounts[process] {
		if within(p, m.point) && (!found || len(m.point) >= len(best.point)) {
			best, found = m, true
		}
	}
	return best, found
}

// below returns the mounts inside the path, in order of their points.
func (f hostFacts) below(p string) []mount {
	var out []mount
	for _, m := range f.mounts["self"] {
		if m.point != p && within(m.point, p) {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b mount) int { return strings.Compare(a.point, b.point) })
	return out
}

// within reports whether p is dir or lies below it.
func within(p, dir string) bool {
	return p == dir || dir == "/" && path.IsAbs(p) || strings.HasPrefix(p, dir+"/")
}

// physical returns the kernel names of the whole disks that a mount lies on.
func (f hostFacts) physical(m mount) []string {
	first := ""
	for _, d := range f.disks {
		if d.number == m.number {
			first = d.name
		}
	}
	if first == "" { // btrfs and others number their mounts themselves
		first = path.Base(m.source)
		if to := f.names[first]; to != "" && f.disks[first].name == "" {
			first = to
		}
	}
	start := []string{first}
	for _, pool := range f.pools {
		if slices.Contains(pool, first) {
			start = pool
		}
	}
	seen, out := map[string]bool{}, []string{}
	for _, n := range start {
		out = f.descend(n, seen, out)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// descend follows partitions, device mapper, RAID and loop devices down to the
// disks. A device in the kernel's list is followed once.
func (f hostFacts) descend(name string, seen map[string]bool, out []string) []string {
	d, ok := f.disks[name]
	if !ok || seen[name] {
		return out
	}
	seen[name] = true
	switch {
	case d.parent != "":
		return f.descend(d.parent, seen, out)
	case len(d.slaves) > 0:
		for _, s := range d.slaves {
			out = f.descend(s, seen, out)
		}
		return out
	case d.backing != "":
		if m, ok := f.on("self", d.backing); ok {
			for _, below := range f.disks {
				if below.number == m.number {
					out = f.descend(below.name, seen, out)
				}
			}
		}
		return out
	}
	return append(out, name)
}
