package plan

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// expect freezes the facts that the target's plan rests on.
func (l *look) expect() Expect {
	e := Expect{BootID: l.facts.BootID, Packages: map[string]string{}, PackagesTo: map[string]string{}, MinFree: l.minFree()}
	for _, c := range l.sel.Changes {
		e.Packages[c.Name], e.PackagesTo[c.Name] = c.From, c.To
	}
	for _, r := range l.rivals() {
		if name := rivalName(r); !contains(e.Rivals, name) {
			e.Rivals = append(e.Rivals, name)
		}
	}
	sort.Strings(e.Rivals)
	if s := l.seen; s != nil {
		e.Code, e.Config, e.Maintenance, e.NeedsDBUpgrade = s.Code, s.Config, s.Maintenance, s.NeedsDBUpgrade
		e.PHP, e.DataDir, e.WebUser = s.PHP.Version, s.DataDir, s.WebUser
		e.Database = databaseName(s.Database)
		e.Apps = map[string]string{}
		for _, a := range s.Apps {
			if a.Enabled {
				e.Apps[a.ID] = a.Version
			}
		}
	}
	return e
}

func rivalName(r Rival) string {
	if r.Kind == "cron" && r.Where != "" {
		return r.Where
	}
	return r.Name
}

func databaseName(d Database) string { return strings.TrimSpace(d.Server + " " + d.Version) }

// Diff lists what no longer is as the plan expects; empty means go. The facts
// are new ones, taken without the rollout's own lease: the caller clears
// Facts.Lease when the holder is itself.
//
// A changed boot id alone is no difference: a reboot changes nothing that a
// plan rests on, and the target before this one may have caused it. Of PHP and
// the database major.minor must be as before; a patch of theirs is harmless.
func Diff(t Target, f Facts) []Difference {
	d := &differ{}
	if f.Unreachable != "" {
		d.add("host "+t.Host, "reachable", f.Unreachable)
		return d.out
	}
	d.host(t, &f)
	d.packages(t, &f)
	if t.Instance != "" {
		seen := f.Instance(t.Instance)
		if seen == nil || seen.Missing != "" {
			why := "no longer found"
			if seen != nil {
				why = seen.Missing
			}
			d.add("installation of "+t.Name, "as surveyed", why)
		} else {
			d.instance(t, seen)
		}
	} else {
		for i := range f.Instances {
			d.flags(f.Instances[i].Name, t.Expect, &f.Instances[i])
		}
	}
	sort.SliceStable(d.out, func(i, j int) bool { return d.out[i].What < d.out[j].What })
	return d.out
}

type differ struct{ out []Difference }

func (d *differ) add(what, planned, found string) {
	d.out = append(d.out, Difference{What: what, Planned: planned, Found: found})
}

func (d *differ) same(what, planned, found string) {
	if planned != found {
		d.add(what, orNone(planned), orNone(found))
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func (d *differ) host(t Target, f *Facts) {
	if f.Lease != "" {
		d.add("lease of "+t.Host, "free", "held by "+f.Lease)
	}
	for _, p := range f.Processes {
		if p.Kind == "occ" || p.Kind == "updater" || p.Kind == "packages" {
			d.add("running processes on "+t.Host, "none that would disturb", processLine(p))
		}
	}
	for _, r := range f.Rivals {
		if r.Active && !contains(t.Expect.Rivals, rivalName(r)) && (r.Instance == "" || r.Instance == t.Instance || t.Instance == "") {
			d.add("rival updater on "+t.Host, "not there", rivalName(r))
		}
	}
	for _, path := range keys(t.Expect.MinFree) {
		want := t.Expect.MinFree[path]
		m := f.Mount(path)
		switch {
		case m == nil || m.Path != path:
			d.add("mount "+path, "mounted", "not mounted")
		case m.ReadOnly:
			d.add("mount "+path, "writable", "read-only")
		case m.BytesFree < want:
			d.add("free room on "+path, "at least "+Size(want), Size(m.BytesFree))
		}
	}
}

func (d *differ) packages(t Target, f *Facts) {
	if len(t.Expect.Packages) == 0 {
		return
	}
	if f.Packages == nil {
		d.add("packages of "+t.Host, "readable", "not readable")
		return
	}
	pending := map[string]driver.PackageChange{}
	for _, c := range f.Packages.Pending {
		pending[c.Name] = c
	}
	for _, name := range keys(t.Expect.Packages) {
		from, to := t.Expect.Packages[name], t.Expect.PackagesTo[name]
		c, ok := pending[name]
		if !ok {
			d.add("package "+name, arrow(from, to), "no longer pending")
			continue
		}
		// A pinned version may be another than the newest.
		if c.From != from || c.To != to && !contains(f.Packages.Offered[name], to) {
			d.add("package "+name, arrow(from, to), arrow(c.From, c.To))
		}
	}
	if len(f.Packages.Broken) > 0 {
		d.add("half installed packages on "+t.Host, "none", strings.Join(sorted(f.Packages.Broken), ", "))
	}
}

func arrow(from, to string) string { return orNone(from) + " → " + orNone(to) }

func (d *differ) instance(t Target, s *InstanceFacts) {
	e := t.Expect
	d.same("version of "+t.Name, e.Code.Long(), s.Code.Long())
	d.same("database's version of "+t.Name, e.Config.Long(), s.Config.Long())
	d.same("PHP of "+t.Name, majorMinor(e.PHP), majorMinor(s.PHP.Version))
	d.same("database of "+t.Name, shortDatabase(e.Database), shortDatabase(databaseName(s.Database)))
	d.same("data directory of "+t.Name, e.DataDir, s.DataDir)
	d.same("web user of "+t.Name, e.WebUser, s.WebUser)
	d.flags(t.Name, e, s)
	if s.StatusProblem != "" {
		d.add("occ status of "+t.Name, "proper", s.StatusProblem)
	}
	found := map[string]string{}
	for _, a := range s.Apps {
		if a.Enabled {
			found[a.ID] = a.Version
		}
	}
	for _, id := range keys(e.Apps) {
		if v, ok := found[id]; !ok {
			d.add("app "+id+" of "+t.Name, "enabled, "+e.Apps[id], "not enabled")
		} else {
			d.same("app "+id+" of "+t.Name, e.Apps[id], v)
		}
	}
	for _, id := range keys(found) {
		if _, ok := e.Apps[id]; !ok {
			d.add("app "+id+" of "+t.Name, "not enabled", "enabled, "+found[id])
		}
	}
}

func (d *differ) flags(name string, e Expect, s *InstanceFacts) {
	d.same("maintenance mode of "+name, strconv.FormatBool(e.Maintenance), strconv.FormatBool(s.Maintenance))
	d.same("pending upgrade of "+name, strconv.FormatBool(e.NeedsDBUpgrade), strconv.FormatBool(s.NeedsDBUpgrade))
	if len(s.Leftovers) > 0 {
		d.add("leftovers of "+name, "none", strings.Join(sorted(s.Leftovers), ", "))
	}
}

// shortDatabase shortens "MariaDB 10.11.19" to "MariaDB 10.11".
func shortDatabase(s string) string {
	server, version, ok := strings.Cut(s, " ")
	if !ok {
		return s
	}
	return fmt.Sprintf("%s %s", server, majorMinor(version))
}

func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
