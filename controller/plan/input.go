package plan

import (
	"sort"
	"strings"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Input is everything a plan is made from. Nothing else has a say.
type Input struct {
	Fleet   *inventory.Fleet
	Rollout *inventory.Rollout
	Facts   map[string]Facts // by host
	// Releases are what the release source offers, pinned.
	Releases []Release
	// ReleasesProblem says why the release source could not be read, "" fine.
	ReleasesProblem string
	// Catalogue maps an app to its releases; nil means that what an app's
	// info.xml says is all there is.
	Catalogue map[string][]AppRelease
	// Coverage is what a snapshot of each target would capture, by target name;
	// see [Subjects] for what it is asked of.
	Coverage map[string]driver.Coverage
	// CompiledPackages are the command lines for exactly what [SelectPackages]
	// selects, by host.
	CompiledPackages map[string]driver.Commands
	Drivers          []DriverUse
	Scripts          map[string]string
	// Unfit gives by host a reason, found by other means than facts, why
	// releases cannot reach it.
	Unfit map[string]string
	// Zones are the time zones of the rollout's windows and blackouts.
	Zones Zones
	// thorough makes every check, whether or not anything is to be done.
	thorough bool
	// Lock are the pins that bind a rollout with pin = "canary"; nil lets its
	// first wave run the newest versions, which bind the others.
	Lock *Pinned

	unpinned map[string]Problem // by host, filled by Bind
}

// AppRelease is one release of an app as a catalogue lists it. Empty bounds
// are open.
type AppRelease struct {
	Version      string
	MinNextcloud string // "28"
	MaxNextcloud string
	MinPHP       string
	MaxPHP       string
	Nightly      bool
}

// TargetRef names a target before facts exist.
type TargetRef struct {
	Name     string // "cloud-07", or "cloud-07/files" on a host with several instances
	Host     string
	Instance string // "" for a host
	Wave     string
}

// Targets lists what a rollout may touch, in the order of its waves. A host
// with several instances stands before them under its own name when the
// rollout wants packages.
func Targets(fleet *inventory.Fleet, r *inventory.Rollout) []TargetRef {
	hosts := hostsByName(fleet)
	var refs []TargetRef
	for _, w := range r.Waves {
		for _, name := range w.Hosts {
			if h := hosts[name]; h != nil {
				refs = append(refs, targetsOf(h, r, w.Name)...)
			}
		}
	}
	return refs
}

func targetsOf(h *inventory.Host, r *inventory.Rollout, wave string) []TargetRef {
	switch len(h.Instances) {
	case 0:
		return []TargetRef{{Name: h.Name, Host: h.Name, Wave: wave}}
	case 1:
		return []TargetRef{{Name: h.Name, Host: h.Name, Instance: h.Instances[0].Name, Wave: wave}}
	}
	var refs []TargetRef
	if wantsPackages(r.System) {
		refs = append(refs, TargetRef{Name: h.Name, Host: h.Name, Wave: wave})
	}
	for _, i := range h.Instances {
		refs = append(refs, TargetRef{Name: h.Name + "/" + i.Name, Host: h.Name, Instance: i.Name, Wave: wave})
	}
	return refs
}

// Subjects says what snapshots are of, by target name: every instance of the
// rollout's hosts that the facts know, and every host that has none. Ask the
// drivers for their coverage of exactly these.
func Subjects(fleet *inventory.Fleet, r *inventory.Rollout, facts map[string]Facts) map[string]driver.Subject {
	hosts := hostsByName(fleet)
	out := map[string]driver.Subject{}
	for _, ref := range Targets(fleet, r) {
		h, f := hosts[ref.Host], facts[ref.Host]
		if f.Unreachable != "" {
			continue
		}
		system := f.Packages != nil && len(SelectPackages(r.System, *f.Packages).Changes) > 0
		if ref.Instance == "" {
			if len(h.Instances) == 0 && system {
				out[ref.Name] = subjectOf(h, nil, nil, true)
			}
			continue
		}
		if seen := f.Instance(ref.Instance); seen != nil && seen.Missing == "" {
			out[ref.Name] = subjectOf(h, instanceOf(h, ref.Instance), seen, system)
		}
	}
	return out
}

// Archives are the URLs of the releases that the instances of a rollout's hosts
// need, by host, each once and in the order of the way.
func Archives(in Input) map[string][]string {
	hosts := hostsByName(in.Fleet)
	out := map[string][]string{}
	for _, ref := range Targets(in.Fleet, in.Rollout) {
		f := in.Facts[ref.Host]
		l := &look{in: &in, ref: ref, host: hosts[ref.Host], facts: &f, seen: f.Instance(ref.Instance)}
		if l.seen == nil || l.seen.Missing != "" || l.seen.Code.Zero() {
			continue
		}
		l.findHops()
		for _, h := range l.hops {
			if !contains(out[ref.Host], h.Release.URL) {
				out[ref.Host] = append(out[ref.Host], h.Release.URL)
			}
		}
	}
	return out
}

// HostSubjects says what snapshots of a host are of, by target name, whatever
// a rollout would want of it: every instance that the facts know, or the host
// when it has none.
func HostSubjects(h *inventory.Host, f *Facts) map[string]driver.Subject {
	out := map[string]driver.Subject{}
	for _, ref := range targetsOf(h, &inventory.Rollout{}, "") {
		if ref.Instance == "" {
			out[ref.Name] = subjectOf(h, nil, nil, true)
		} else if seen := f.Instance(ref.Instance); seen != nil && seen.Missing == "" {
			out[ref.Name] = subjectOf(h, instanceOf(h, ref.Instance), seen, true)
		}
	}
	return out
}

// subjectOf lists the places where the state of an instance lives; system
// adds the operating system's packages.
func subjectOf(h *inventory.Host, inst *inventory.Instance, seen *InstanceFacts, system bool) driver.Subject {
	s := driver.Subject{Host: h.Name, Labels: h.Labels, StateDir: stateDir(h)}
	if seen != nil {
		site := siteOf(h, inst, seen, "")
		s.Instance, s.WebUser, s.PHP, s.DatabaseKind = seen.Name, site.WebUser, site.PHP, seen.Database.Kind
		s.Places = append(s.Places,
			driver.Place{Part: driver.PartCode, Path: site.Path},
			driver.Place{Part: driver.PartConfig, Path: site.Path + "/config"})
		for _, a := range sortedApps(seen.AppsPaths) {
			if !a.Inside {
				s.Places = append(s.Places, driver.Place{Part: driver.PartApps, Path: a.Path})
			}
		}
		s.Places = append(s.Places, databasePlace(seen),
			driver.Place{Part: driver.PartData, Path: seen.DataDir})
		if c := seen.Settings.ObjectStore; c != "" {
			s.Places = append(s.Places, driver.Place{Part: driver.PartObjects, Detail: c})
		}
	}
	if system {
		s.Places = append(s.Places, driver.Place{Part: driver.PartSystem, Path: "/", Detail: "packages and /etc"})
	}
	return s
}

func databasePlace(seen *InstanceFacts) driver.Place {
	d := seen.Database
	if d.Kind == "sqlite3" {
		name := d.Name
		switch {
		case name == "":
			name = seen.DataDir + "/owncloud.db"
		case !strings.HasPrefix(name, "/"):
			name = seen.DataDir + "/" + strings.TrimSuffix(name, ".db") + ".db"
		}
		return driver.Place{Part: driver.PartDatabase, Path: name, Detail: "SQLite"}
	}
	return driver.Place{Part: driver.PartDatabase, Detail: d.Server + " " + d.Name + "@" + d.Host}
}

// siteOf joins what the inventory says of an instance with what was seen; the
// inventory's word goes first.
func siteOf(h *inventory.Host, inst *inventory.Instance, seen *InstanceFacts, target string) nextcloud.Site {
	s := nextcloud.Site{
		Name: target, Path: seen.Path, DataDir: seen.DataDir, WebUser: seen.WebUser,
		PHP: seen.PHP.Path, StateDir: stateDir(h), Reload: seen.PHP.Reload,
	}
	if seen.TreeIsLink != "" {
		s.Path = seen.TreeIsLink
	}
	if inst == nil {
		return s
	}
	if s.Path == "" {
		s.Path = inst.Path
	}
	if inst.WebUser != "" {
		s.WebUser = inst.WebUser
	}
	if inst.PHP != "" {
		s.PHP = inst.PHP
	}
	if len(inst.Reload) > 0 {
		s.Reload = [][]string{inst.Reload}
	}
	s.URL = inst.URL
	return s
}

// DefaultSnapshot is the snapshot driver of a host whose block names none.
const DefaultSnapshot = "archive"

// SnapshotDriver is the name of the driver that takes a host's snapshots.
func SnapshotDriver(h *inventory.Host) string {
	if h.Snapshot != "" {
		return h.Snapshot
	}
	return DefaultSnapshot
}

// PackagesDriver is the name of the driver of a host's packages: the one its
// block names, else that of the package manager found, "" when none was. yum is
// served by the driver "dnf".
func PackagesDriver(h *inventory.Host, f *Facts) string {
	if h.Packages == "yum" {
		return "dnf"
	}
	if h.Packages != "" {
		return h.Packages
	}
	return f.PackageManager
}

// defaultStateDir is used when the inventory leaves the folder open.
const defaultStateDir = "/var/lib/ncfleet"

func stateDir(h *inventory.Host) string {
	if h.StateDir != "" {
		return h.StateDir
	}
	return defaultStateDir
}

// ArchivePath is where a release's archive lies on a host.
func ArchivePath(stateDir string, r Release) string { return stateDir + "/releases/" + r.Name }

func hostsByName(fleet *inventory.Fleet) map[string]*inventory.Host {
	m := make(map[string]*inventory.Host, len(fleet.Hosts))
	for i := range fleet.Hosts {
		m[fleet.Hosts[i].Name] = &fleet.Hosts[i]
	}
	return m
}

func instanceOf(h *inventory.Host, name string) *inventory.Instance {
	for i := range h.Instances {
		if h.Instances[i].Name == name {
			return &h.Instances[i]
		}
	}
	return nil
}

func sortedApps(paths []AppsPath) []AppsPath {
	out := append([]AppsPath(nil), paths...)
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out
}
