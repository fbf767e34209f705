package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Pinning says by what a plan's versions are bound: by the lock, or by what its
// own first wave will run, which then becomes the lock.
type Pinning struct {
	Wave string // the first wave
	// Lock is the entry of fleet.lock that bound this plan, without its pins.
	Lock *Pinned `json:",omitempty"`
	// LockDigest is the digest of that entry, whole.
	LockDigest string `json:",omitempty"`
	// New is what the first wave will have run when it has passed.
	New *Pins `json:",omitempty"`
}

// limits are the versions that targets may get.
type limits struct {
	Pins
	source string // "fleet.lock", or the wave
	remedy string
}

// pins reports whether the rollout is pinned at all.
func pins(r *inventory.Rollout) bool { return r.Pin == "canary" && len(r.Waves) > 0 }

// Canary names the hosts whose installed packages a survey must list, because
// they say what the others may get.
func Canary(r *inventory.Rollout) []string {
	if !pins(r) {
		return nil
	}
	return r.Waves[0].Hosts
}

// Platform tells which hosts can run the same packages.
func Platform(h *inventory.Host, f *Facts) string {
	return strings.Join([]string{PackagesDriver(h, f), f.OS.ID, f.OS.Version, f.OS.Arch}, " ")
}

// bound is what a rollout's pins allow: the lock's, or what the first wave runs
// once its packages are installed.
func (in *Input) bound() *limits {
	r := in.Rollout
	if in.Lock != nil {
		return &limits{Pins: in.Lock.Pins, source: LockName,
			remedy: "let the first wave run new versions, which then replace the pins: ncfleet plan " + r.Name + " --new-pins"}
	}
	wave := r.Waves[0].Name
	return &limits{Pins: Pins{Packages: canaryPackages(in.Fleet, r, in.Facts)}, source: "wave " + wave,
		remedy: "have such a host in wave " + wave + ", which tries all versions first, or leave it to another rollout"}
}

// Bind holds the packages of all hosts to the rollout's pins: what is pending
// goes to the pinned version or stays as it is, with the reason. It is called
// once, before [Subjects], [SelectPackages] and [Compute], and does nothing for a
// rollout without pins.
func Bind(in *Input) {
	r := in.Rollout
	if !pins(r) {
		return
	}
	b := in.bound()
	hosts, canary := hostsByName(in.Fleet), Canary(r)
	facts := maps.Clone(in.Facts)
	in.unpinned = map[string]Problem{}
	for _, name := range r.Hosts {
		f, ok := facts[name]
		h := hosts[name]
		if !ok || h == nil || f.Packages == nil || in.Lock == nil && slices.Contains(canary, name) {
			continue
		}
		packages := *f.Packages
		var trouble []string
		packages.Pending, trouble = b.hold(r.System, packages, Platform(h, &f))
		f.Packages = &packages
		facts[name] = f
		if len(trouble) > 0 {
			in.unpinned[name] = problem("pin_unavailable", "pinned package versions cannot be had on this host", strings.Join(trouble, "; "),
				"let the host's repositories offer these versions, with a mirror that keeps them, or "+b.remedy)
		}
	}
	in.Facts = facts
}

// hold is the list of pending changes as the pins want it, and which pinned
// versions the host cannot get.
func (b *limits) hold(s inventory.System, f driver.PackageFacts, platform string) (out []driver.PackageChange, trouble []string) {
	out = slices.Clone(f.Pending)
	versions := b.Packages[platform]
	for i := range out {
		c := &out[i]
		if whyNot(s, *c) != "" {
			continue
		}
		pinned, known := versions[c.Name]
		if name, _, foreign := strings.Cut(c.Name, ":"); !known && foreign {
			pinned, known = versions[name]
		}
		want := strings.Fields(pinned)
		switch {
		case contains(want, c.To):
		case versions == nil:
			c.Held, c.Reason = true, fmt.Sprintf("not in %s: it has no host that is %q", b.source, platform)
		case !known:
			c.Held, c.Reason = true, fmt.Sprintf("not in %s: the canary did not run it", b.source)
		case contains(want, c.From):
			c.Held, c.Reason = true, fmt.Sprintf("%s has the version that is installed", b.source)
		default:
			offered := f.Offered[c.Name]
			i := len(offered) - 1
			for i >= 0 && !contains(want, offered[i]) {
				i--
			}
			if i >= 0 {
				c.Reason = fmt.Sprintf("the version of %s; the repositories have %s too", b.source, c.To)
				c.To = offered[i]
				continue
			}
			c.Held, c.Reason = true, fmt.Sprintf("%s has %s, which this host cannot get", b.source, pinned)
			trouble = append(trouble, fmt.Sprintf("%s: %s has %s, installed is %s, offered %s", c.Name, b.source, pinned, orNone(c.From), c.To))
		}
	}
	return out, trouble
}

// canaryPackages are the packages of the first wave's hosts once the selection
// is installed.
func canaryPackages(fleet *inventory.Fleet, r *inventory.Rollout, facts map[string]Facts) map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, name := range Canary(r) {
		f, ok := facts[name]
		h := fleet.Host(name)
		if !ok || h == nil || f.Packages == nil || f.Unreachable != "" {
			continue
		}
		mine := maps.Clone(f.Packages.Installed)
		if mine == nil {
			mine = map[string]string{}
		}
		for _, c := range SelectPackages(r.System, *f.Packages).Changes {
			mine[c.Name] = c.To
		}
		platform := Platform(h, &f)
		if out[platform] == nil {
			out[platform] = map[string]string{}
		}
		join(out[platform], mine)
	}
	return out
}

// join adds versions to those that other hosts run.
func join(into, more map[string]string) {
	for name, v := range more {
		if have := strings.Fields(into[name]); !contains(have, v) {
			have = append(have, v)
			slices.Sort(have)
			into[name] = strings.Join(have, " ")
		}
	}
}

// pinner follows a plan while it is computed; nil for a rollout without pins.
type pinner struct {
	lock  *Pinned
	bound *limits
	new   *Pins
	wave  string
	first bool // the first wave is being decided
	loose bool // its apps are known only when it has run
}

func startPinning(in *Input) *pinner {
	if !pins(in.Rollout) {
		return nil
	}
	if in.unpinned == nil {
		Bind(in)
	}
	p := &pinner{lock: in.Lock, wave: in.Rollout.Waves[0].Name, first: true}
	if in.Lock != nil {
		p.bound = in.bound()
	} else {
		p.new = &Pins{Releases: map[string]PinnedRelease{}, Apps: map[string]string{}, Packages: canaryPackages(in.Fleet, in.Rollout, in.Facts)}
	}
	return p
}

// limits are those of the target that is decided next.
func (p *pinner) limits() *limits {
	if p == nil {
		return nil
	}
	return p.bound
}

// learns reports whether the next target's versions become pins.
func (p *pinner) learns() bool { return p != nil && p.first && p.lock == nil }

func (p *pinner) note(l *look) {
	if !p.learns() {
		return
	}
	p.new.note(l)
	p.loose = p.loose || l.update && len(l.hops) > 0
}

// firstWaveDecided binds the later waves to what the first one will run. What
// the app store offers after a hop is not known before.
func (p *pinner) firstWaveDecided(in *Input) {
	if p == nil {
		return
	}
	p.first = false
	if p.lock != nil {
		return
	}
	p.bound = in.bound()
	p.bound.Releases, p.bound.Apps = p.new.Releases, p.new.Apps
	if p.loose {
		p.bound.Apps = nil
	}
}

func (p *pinner) outcome() *Pinning {
	if p == nil {
		return nil
	}
	out := &Pinning{Wave: p.wave, New: p.new}
	if p.lock != nil {
		head := *p.lock
		head.Pins = Pins{}
		out.Lock, out.LockDigest = &head, p.lock.Digest()
	}
	return out
}

// note adds what a target of the first wave will have run.
func (p *Pins) note(l *look) {
	if l.seen == nil || l.seen.Missing != "" {
		return
	}
	for _, h := range l.hops {
		p.Releases[h.To.String()] = PinnedRelease{Archive: h.Release.Name, SHA512: h.Release.SHA512}
	}
	if code := l.seen.Code.String(); len(l.hops) == 0 && l.in.Rollout.Core.To != "" {
		if _, known := p.Releases[code]; !known {
			p.Releases[code] = PinnedRelease{Build: l.seen.Code.Long()}
		}
	}
	after := map[string]string{}
	for _, a := range l.seen.Apps {
		if a.Enabled && !a.Shipped {
			after[a.ID] = a.Version
		}
	}
	for _, c := range l.apps {
		if c.Action == "disable" {
			delete(after, c.ID)
		} else if c.To != "" {
			after[c.ID] = c.To
		}
	}
	join(p.Apps, after)
}

// pinnedReleases are the releases of the source that the target may get.
func (l *look) pinnedReleases() []nextcloud.Version {
	known := make([]nextcloud.Version, 0, len(l.in.Releases))
	for _, r := range l.in.Releases {
		if l.limits == nil {
			known = append(known, r.Version)
		} else if _, ok := l.limits.Releases[r.Version.String()]; ok {
			known = append(known, r.Version)
		}
	}
	return known
}

// checkPinned blocks a way that the pins do not allow: other archives than the
// first wave's, and releases that it did not run.
func (l *look) checkPinned(goal nextcloud.Goal, path []nextcloud.Version, pathErr error) bool {
	if l.limits == nil {
		return true
	}
	if pathErr != nil {
		free, err := nextcloud.Path(l.seen.Code, goal, l.allReleases())
		if err != nil {
			return true // the pins are not the reason
		}
		words := make([]string, 0, len(free))
		for _, v := range free {
			words = append(words, v.String())
		}
		l.block(problem("not_pinned", fmt.Sprintf("the way to %s is not in %s", goal, l.limits.source),
			fmt.Sprintf("%s → %s; %s has %s", l.seen.Code, strings.Join(words, " → "), l.limits.source, orNone(strings.Join(slices.Sorted(maps.Keys(l.limits.Releases)), ", "))),
			l.limits.remedy))
		return false
	}
	for _, v := range path {
		r, pin := releaseOf(l.in.Releases, v), l.limits.Releases[v.String()]
		if pin.SHA512 != "" && r.SHA512 != pin.SHA512 {
			l.block(problem("archive_changed", fmt.Sprintf("the archive of %s is not the one of %s", v, l.limits.source),
				fmt.Sprintf("%s at %s has SHA-512 %.12s…, pinned is %s with %.12s…", r.Name, r.URL, r.SHA512, orNone(pin.Archive), pin.SHA512),
				"find out why the source has another archive of the same version; when it is right, "+l.limits.remedy))
			return false
		}
	}
	return true
}

func (l *look) allReleases() []nextcloud.Version {
	out := make([]nextcloud.Version, 0, len(l.in.Releases))
	for _, r := range l.in.Releases {
		out = append(out, r.Version)
	}
	return out
}

// pinnedApp reports whether the pins let an app go to that version, and why not.
func (l *look) pinnedApp(id, to string) (ok bool, why string) {
	if l.limits == nil || l.limits.Apps == nil {
		return true, ""
	}
	pinned, known := l.limits.Apps[id]
	switch {
	case contains(strings.Fields(pinned), to):
		return true, ""
	case !known:
		return false, fmt.Sprintf("%s is offered and not in %s: the canary did not run it", to, l.limits.source)
	}
	return false, fmt.Sprintf("%s is offered and %s has %s", to, l.limits.source, pinned)
}

// appPins are the versions, "ID=VERSION", to which the apps step may go; nil for
// any.
func (l *look) appPins() []string {
	if l.limits == nil || l.limits.Apps == nil {
		return nil
	}
	out := []string{}
	for _, a := range l.seen.Apps {
		if a.Enabled && !a.Shipped {
			for _, v := range strings.Fields(l.limits.Apps[a.ID]) {
				out = append(out, a.ID+"="+v)
			}
		}
	}
	slices.Sort(out)
	return out
}
