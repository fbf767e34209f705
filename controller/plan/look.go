package plan

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// look is one target while it is decided: what is known, what is to be done,
// and what is wrong.
type look struct {
	in     *Input
	ref    TargetRef
	host   *inventory.Host
	inst   *inventory.Instance // nil for a host
	facts  *Facts
	seen   *InstanceFacts // nil for a host
	site   nextcloud.Site
	packed driver.Selection       // packages installed on the host before this target's hops
	sel    driver.Selection       // packages that this very target installs
	held   []driver.PackageChange // all pending changes, shown
	hops   []Hop
	apps   []AppChange
	sound  bool // every instance is in order before anything is wanted of it
	update bool // an apps step is wanted
	reboot bool
	limits *limits         // nil when any version will do
	tells  bool            // its inspection tells the versions of apps
	need   map[string]need // room, by mount
	// inside are the instances of a host with several.
	inside   []*look
	blocked  []Problem
	warnings []Problem
}

func (l *look) block(p ...Problem) { l.blocked = append(l.blocked, p...) }
func (l *look) warn(p ...Problem)  { l.warnings = append(l.warnings, p...) }

// work reports whether anything is to be done.
func (l *look) work() bool {
	return len(l.hops) > 0 || l.update || len(l.sel.Changes) > 0 || l.reboot
}

// decide finds out what is to be done on a target and what is wrong with it.
func decide(in *Input, hosts map[string]*inventory.Host, ref TargetRef, b *limits) *look {
	h := hosts[ref.Host]
	f, known := in.Facts[ref.Host]
	l := &look{in: in, ref: ref, host: h, facts: &f, limits: b}
	if !known {
		l.block(problem("not_surveyed", "the host was not looked at",
			"no facts of host "+ref.Host+" were given", "run ncfleet plan again"))
		return l
	}
	if f.Unreachable != "" {
		l.block(unreachable(h, &f))
		return l
	}
	if f.Packages != nil {
		l.packed = SelectPackages(in.Rollout.System, *f.Packages)
	}
	if ref.Instance == "" {
		l.decideHost()
	} else {
		l.decideInstance()
	}
	if l.sound && (l.work() || len(l.blocked) > 0 || in.thorough) {
		l.checkWork() // whatever is wrong already: all of it is told at once
	} else if !l.sound {
		l.checkLease()
	}
	if in.thorough {
		l.examine()
	}
	l.blocked, l.warnings = sortProblems(l.blocked), sortProblems(l.warnings)
	return l
}

func (l *look) decideHost() {
	for i := range l.host.Instances {
		inst := &l.host.Instances[i]
		in := &look{in: l.in, host: l.host, inst: inst, facts: l.facts,
			ref: TargetRef{Name: l.ref.Name + "/" + inst.Name, Host: l.ref.Host, Instance: inst.Name}}
		in.seen = l.facts.Instance(inst.Name)
		in.checkState()
		l.block(in.blocked...)
		if in.seen != nil {
			in.site = siteOf(l.host, inst, in.seen, in.ref.Name)
		}
		l.inside = append(l.inside, in)
	}
	l.sound = len(l.blocked) == 0
	l.takePackages()
	sort.Slice(l.inside, func(i, j int) bool { return l.inside[i].ref.Name < l.inside[j].ref.Name })
}

func (l *look) decideInstance() {
	l.inst = instanceOf(l.host, l.ref.Instance)
	l.seen = l.facts.Instance(l.ref.Instance)
	l.checkState()
	if l.seen != nil && l.seen.Missing == "" {
		l.site = siteOf(l.host, l.inst, l.seen, l.ref.Name)
	}
	if len(l.blocked) > 0 {
		if l.seen != nil && l.seen.StatusProblem != "" {
			l.notWritable() // often the very cause
		}
		return
	}
	l.sound = true
	if len(l.host.Instances) == 1 {
		l.takePackages()
	}
	l.findHops()
	l.findApps()
}

// takePackages makes the host's packages this target's work.
func (l *look) takePackages() {
	system := l.in.Rollout.System
	if !wantsPackages(system) {
		return
	}
	if l.facts.Packages == nil {
		l.block(problem("packages_unknown", "the packages of the host could not be read",
			fmt.Sprintf("host %s: no package driver answered (package manager found: %q)%s", l.host.Name, l.facts.PackageManager, packageTrouble(l.facts)),
			"name a driver in the host block, packages = \"apt\", or leave system { } out of the rollout"))
		return
	}
	l.sel, l.held = l.packed, pendingPackages(system, *l.facts.Packages)
	l.checkRelease()
	if p, ok := l.in.unpinned[l.host.Name]; ok {
		l.block(p)
	}
	if len(l.sel.Changes) == 0 {
		l.checkReadable() // that nothing is seen to wait may not be true
	}
	l.reboot = system.Reboot == "if_required" && (len(l.sel.Changes) > 0 || l.facts.Packages.RebootRequired)
}

// packageTrouble is what the survey says of the packages that it could not read.
func packageTrouble(f *Facts) string {
	for _, p := range f.Problems {
		if strings.HasPrefix(p, "packages: ") {
			return ": " + strings.TrimPrefix(p, "packages: ")
		}
	}
	return ""
}

// findHops plans the way to the wanted release.
func (l *look) findHops() {
	to := l.in.Rollout.Core.To
	if to == "" {
		return
	}
	goal, err := nextcloud.ParseGoal(to)
	if err != nil {
		return // told once for the whole rollout
	}
	if l.in.ReleasesProblem != "" {
		if !goal.Admits(l.seen.Code) || goal.Numbers < 3 {
			l.block(problem("release_source", "the release source could not be read", l.in.ReleasesProblem,
				"check core { source = … } and that this machine can read it, then plan again"))
		}
		return
	}
	path, err := nextcloud.Path(l.seen.Code, goal, l.pinnedReleases())
	if !l.checkPinned(goal, path, err) {
		return
	}
	var pe *nextcloud.PathError
	if errors.As(err, &pe) {
		l.block(problem(pe.Code, fmt.Sprintf("%s cannot go to %s", l.seen.Code, goal), pe.What, pe.Remedy))
		return
	}
	from := l.seen.Code
	for _, v := range path {
		l.hops = append(l.hops, Hop{From: from, To: v, Release: releaseOf(l.in.Releases, v)})
		from = v
	}
}

// releaseOf picks the release of a version; of several archives of it the one
// whose name sorts first, so that input order does not matter.
func releaseOf(releases []Release, v nextcloud.Version) Release {
	var best Release
	for _, r := range releases {
		if r.Version == v && (best.Name == "" || r.Name < best.Name) {
			best = r
		}
	}
	return best
}

// to is the version that the target ends at.
func (l *look) to() nextcloud.Version {
	if n := len(l.hops); n > 0 {
		return l.hops[n-1].To
	}
	return l.seen.Code
}

func (l *look) path() []nextcloud.Version {
	var out []nextcloud.Version
	for _, h := range l.hops {
		out = append(out, h.To)
	}
	return out
}

func problem(code, summary, detail, remedy string) Problem {
	return Problem{Code: code, Summary: summary, Detail: detail, Remedy: remedy}
}

// sortProblems orders by code and then by text, and drops repetitions.
func sortProblems(ps []Problem) []Problem {
	sort.SliceStable(ps, func(i, j int) bool {
		if ps[i].Code != ps[j].Code {
			return ps[i].Code < ps[j].Code
		}
		if ps[i].Summary != ps[j].Summary {
			return ps[i].Summary < ps[j].Summary
		}
		return ps[i].Detail < ps[j].Detail
	})
	var out []Problem
	for _, p := range ps {
		if len(out) == 0 || out[len(out)-1] != p {
			out = append(out, p)
		}
	}
	return out
}
