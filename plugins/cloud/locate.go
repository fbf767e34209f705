package cloud

import (
	"context"
	_ "embed" // for the script
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

//go:embed host.sh
var hostScript string

//go:embed database.php
var databasePHP string

const lookLimit = 2 * time.Minute

// located says where the places of a subject lie.
type located struct {
	captured []driver.Place
	holes    []driver.Hole
	units    []Unit // that hold a place, and the boot disk
}

// locate asks the host where its places lie, and finds the machine's units for
// them. It changes nothing.
func (s *snapshotter) locate(ctx context.Context, m Machine, subject driver.Subject, run driver.Runner) (located, error) {
	args := []string{subject.DatabaseKind, "/"}
	for _, p := range subject.Places {
		if p.Path != "" {
			args = append(args, p.Path)
		}
	}
	r, err := run.Run(ctx, driver.Command{Argv: append([]string{"sh", "-s", "--"}, args...), Stdin: []byte(hostScript), User: "root", Timeout: lookLimit})
	if err != nil {
		return located{}, wrap(err, "cannot look at the disks of host %s", subject.Host)
	}
	f, whole := readHost(string(r.Stdout))
	if !whole {
		return located{}, driver.Errorf(driver.Retryable, "cannot look at the disks of host %s: the answer is incomplete (status %d, %s)", subject.Host, r.Exit, firstLine(r.Stderr))
	}
	l := newLook(f, m, subject)
	if subject.DatabaseKind == "mysql" || subject.DatabaseKind == "pgsql" {
		if l.server, err = databaseServer(ctx, subject, run); err != nil {
			return located{}, err
		}
	}
	return l.all(), nil
}

// server is where an instance's database is, as its config.php says.
type server struct {
	host    string // "" for a socket
	problem string // why nobody knows
}

// databaseServer asks the instance's own PHP. No password leaves the host.
func databaseServer(ctx context.Context, subject driver.Subject, run driver.Runner) (server, error) {
	if subject.PHP == "" || subject.Path(driver.PartConfig) == "" {
		return server{problem: "its place cannot be told without PHP and a config directory"}, nil
	}
	code := strings.TrimPrefix(databasePHP, "<?php\n")
	r, err := run.Run(ctx, driver.Command{Argv: []string{subject.PHP, "-r", code, "--", "ncfleet-db-facts", subject.Path(driver.PartConfig)},
		User: subject.WebUser, Timeout: lookLimit})
	if err != nil {
		return server{}, wrap(err, "cannot read the database settings of host %s", subject.Host)
	}
	if r.Exit != 0 {
		return server{problem: "its place cannot be read from config.php: " + firstLine(r.Stderr)}, nil
	}
	for line := range strings.SplitSeq(string(r.Stdout), "\n") {
		if v, ok := strings.CutPrefix(line, "host="); ok {
			return server{host: strings.Trim(v, "[]")}, nil
		}
	}
	return server{}, nil
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line
}

// look maps places to units; it is pure.
type look struct {
	hostFacts
	machine Machine
	subject driver.Subject
	server  server
	root    []string        // the disks that hold /
	byDisk  map[string]Unit // what matched
	used    map[string]Unit
}

func newLook(f hostFacts, m Machine, subject driver.Subject) *look {
	l := &look{hostFacts: f, machine: m, subject: subject, byDisk: map[string]Unit{}, used: map[string]Unit{}}
	if at, ok := f.on("self", "/"); ok {
		l.root = f.physical(at)
	}
	l.match()
	return l
}

// match finds the unit of each disk: by serial number; then, for units whose
// serial no disk shows, by device name; then the boot disk by the root file
// system on it.
func (l *look) match() {
	taken := map[string]bool{}
	take := func(name string, u Unit) {
		if _, ok := l.byDisk[name]; !ok && !taken[u.ID] {
			l.byDisk[name], taken[u.ID] = u, true
		}
	}
	disks := make([]string, 0, len(l.disks))
	for name := range l.disks {
		disks = append(disks, name)
	}
	slices.Sort(disks)
	for _, u := range l.machine.Units {
		for _, name := range disks {
			if u.Serial != "" && !u.Whole && l.shows(name, u.Serial) {
				take(name, u)
			}
		}
	}
	for _, u := range l.machine.Units {
		for _, name := range disks {
			if u.Device != "" && !u.Whole && sameDevice(u.Device, name) {
				take(name, u)
			}
		}
	}
	for _, u := range l.machine.Units {
		if u.Boot && !u.Whole && len(l.root) == 1 {
			take(l.root[0], u)
		}
	}
}

// shows reports whether the whole disk bears that serial number.
func (l *look) shows(name, serial string) bool {
	d := l.disks[name]
	if d.parent != "" || len(d.slaves) > 0 || d.backing != "" {
		return false
	}
	if endsIn(d.serial, serial) {
		return true
	}
	for id, to := range l.names {
		if to == name && endsIn(id, serial) {
			return true
		}
	}
	return false
}

// endsIn reports whether a name ends in a serial number that no letter comes
// before. The kernel may add the number of an NVMe namespace.
func endsIn(name, serial string) bool {
	name, serial = strings.ToLower(name), strings.ToLower(serial)
	if at := strings.LastIndex(name, "_"); at > 0 && strings.Trim(name[at+1:], "0123456789") == "" && !strings.HasSuffix(name, serial) {
		name = name[:at]
	}
	before, ok := strings.CutSuffix(name, serial)
	if !ok || serial == "" {
		return false
	}
	return before == "" || before[len(before)-1] < 'a' || before[len(before)-1] > 'z'
}

// namedMount is how the host mounts a disk by a name that only this volume has,
// "" when it does not.
func (l *look) namedMount(name string) string {
	for _, source := range l.sources {
		id, ok := strings.CutPrefix(source, "/dev/disk/by-id/")
		if !ok {
			continue
		}
		if to := l.names[id]; to == name || to != "" && l.disks[to].parent == name {
			return source
		}
	}
	return ""
}

// sameDevice compares names of whole disks; providers say sdf where the kernel
// says xvdf or vdf.
func sameDevice(device, name string) bool {
	device = path.Base(device)
	if device == name {
		return true
	}
	a, b := diskLetters(device), diskLetters(name)
	return a != "" && a == b
}

func diskLetters(name string) string {
	for _, prefix := range []string{"xvd", "sd", "vd", "hd"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			rest = strings.TrimRight(rest, "0123456789")
			if strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz") == "" {
				return rest
			}
		}
	}
	return ""
}

// all looks at every place.
func (l *look) all() located {
	var out located
	for _, p := range l.subject.Places {
		reason := l.place(p)
		if reason == "" {
			out.captured = append(out.captured, p)
			continue
		}
		out.holes = append(out.holes, driver.Hole{Place: p, Reason: reason})
	}
	// The machine comes back with its boot disk, whatever the places are; the
	// plan must know, as it takes back whatever else the machine carries.
	if at, ok := l.on("self", "/"); ok && !l.asked(driver.PartSystem) {
		if units, reason := l.mounted(at); reason == "" {
			l.use(units)
			out.captured = append(out.captured, driver.Place{Part: driver.PartSystem, Path: "/", Detail: "the whole machine comes back"})
		}
	}
	for _, u := range l.machine.Units {
		if (u.Boot || u.Whole) && u.Left == "" {
			l.used[u.ID] = u
		}
	}
	for _, u := range l.machine.Units {
		if _, ok := l.used[u.ID]; ok {
			out.units = append(out.units, u)
		}
	}
	return out
}

func (l *look) asked(p driver.Part) bool {
	return slices.ContainsFunc(l.subject.Places, func(o driver.Place) bool { return o.Part == p })
}

// place returns why the place is not captured, "" when it is.
func (l *look) place(p driver.Place) string {
	switch {
	case p.Part == driver.PartObjects:
		return "objects lie on no disk of the machine"
	case p.Part == driver.PartDatabase && p.Path == "":
		return l.database()
	case p.Path == "":
		return "it has no path"
	}
	real := l.real[p.Path]
	if p.Part == driver.PartSystem {
		real = "/"
	}
	if real == "" {
		return "it is not on the host"
	}
	at, ok := l.on("self", real)
	if !ok {
		return "no mounted file system holds it"
	}
	units, reason := l.mounted(at)
	for _, inside := range l.below(real) {
		if reason != "" {
			break
		}
		if l.elsewhere(p, inside.point) || pseudo[inside.kind] {
			continue
		}
		more, why := l.mounted(inside)
		if why != "" {
			reason = inside.point + " inside it " + why
		}
		units = append(units, more...)
	}
	if reason == "" {
		l.use(units)
	}
	return reason
}

func (l *look) use(units []Unit) {
	for _, u := range units {
		l.used[u.ID] = u
	}
}

// systemPoints are where packages put files; other mounts below / are not the
// system's.
var systemPoints = []string{"/usr", "/var", "/etc", "/boot", "/opt", "/lib", "/lib64", "/bin", "/sbin", "/root"}

// elsewhere reports whether a mount inside a place belongs to another place, or
// to none.
func (l *look) elsewhere(p driver.Place, point string) bool {
	if p.Part == driver.PartSystem {
		at := slices.IndexFunc(systemPoints, func(dir string) bool { return point == dir })
		return at < 0 && point != "/var/lib" && point != "/var/lib/dpkg" && point != "/var/lib/rpm"
	}
	for _, other := range l.subject.Places {
		if real := l.real[other.Path]; real != "" && other.Path != p.Path && other.Part != driver.PartSystem &&
			within(point, real) && within(real, l.real[p.Path]) {
			return true
		}
	}
	return false
}

// database finds the data of the instance's database server among those that
// run on the host.
func (l *look) database() string {
	if l.server.problem != "" {
		return l.server.problem
	}
	if h := l.server.host; h != "" && h != "localhost" && !strings.HasPrefix(h, "/") && !strings.HasPrefix(h, "127.") && h != "::1" && !slices.Contains(l.addresses, h) {
		return fmt.Sprintf("its server is %s, not a disk of this machine", h)
	}
	if len(l.servers) == 0 {
		return "no database server runs on the host, although its config.php names one: a tunnel or a proxy to another machine?"
	}
	var all []Unit
	for process, dir := range l.servers {
		at, ok := l.on(process, dir)
		if !ok {
			return "no mounted file system holds its data directory " + dir
		}
		units, reason := l.mounted(at)
		if reason != "" {
			return fmt.Sprintf("its data directory %s %s", dir, reason)
		}
		all = append(all, units...)
	}
	l.use(all)
	return ""
}
