package plan

import (
	"fmt"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Timeouts of steps for which the rollout names none. They are generous: a
// step cut short is worse than a slow one.
const (
	timeoutShort    = 5 * time.Minute // recheck, lease, hold, release, unlease
	timeoutStage    = time.Hour
	timeoutFetch    = time.Hour
	timeoutPrepare  = 2 * time.Hour
	timeoutClose    = 15 * time.Minute // waits for a running cron.php
	timeoutSnapshot = 4 * time.Hour
	timeoutPackages = 2 * time.Hour
	timeoutReboot   = 20 * time.Minute
	timeoutHop      = 6 * time.Hour
	timeoutApps     = time.Hour
	timeoutGate     = 10 * time.Minute
	timeoutTidy     = 4 * time.Hour // indices of big tables
	appRounds       = 5             // an update of one app may make another's possible
	hopReruns       = 2             // of a hop that was interrupted
)

// builder writes the steps of one target.
type builder struct {
	*look
	wave  string
	steps []Step
	undo  []Step
	// The drivers' names.
	snapshots, packages string
	count               map[Kind]int
	times               map[Kind]int // how often a kind occurs, for numbering
}

// add appends a step. Repeated kinds are numbered when there are several.
func (b *builder) add(list *[]Step, prefix string, s Step) string {
	s.ID = b.wave + "/" + b.ref.Name + "/" + prefix + string(s.Kind)
	if b.times[s.Kind] > 1 {
		key := Kind(prefix) + s.Kind
		b.count[key]++
		s.ID += fmt.Sprintf("-%d", b.count[key])
	}
	s.Target, s.Host = b.ref.Name, b.ref.Host
	if s.Instance == "" && b.seen != nil {
		s.Instance = b.seen.Name
	}
	*list = append(*list, s)
	return s.ID
}

func (b *builder) step(s Step) string     { return b.add(&b.steps, "", s) }
func (b *builder) undoStep(s Step) string { return b.add(&b.undo, "undo-", s) }

func script(s Step, i nextcloud.Invocation) Step {
	s.Script, s.Args = i.Script, i.Args
	return s
}

func or(d, fallback time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return fallback
}

// build writes the steps of a target and their undo, in runbook order.
func (l *look) build(wave string) ([]Step, []Step) {
	b := &builder{look: l, wave: wave, count: map[Kind]int{}, times: map[Kind]int{},
		snapshots: SnapshotDriver(l.host), packages: PackagesDriver(l.host, l.facts)}
	b.times[KindStage], b.times[KindHop] = len(l.hops), len(l.hops)
	for _, k := range []Kind{KindPrepare, KindClose, KindSnapshot, KindInspect, KindOpen, KindVerify} {
		b.times[k] = len(l.insides())
	}
	ids := b.before()
	b.closed(ids)
	b.after(ids)
	b.back(ids)
	return b.steps, b.undo
}

// stepIDs remembers which steps an undo step must name.
type stepIDs map[Kind][]StepID

func (i stepIDs) note(k Kind, id StepID) { i[k] = append(i[k], id) }

func (i stepIDs) of(kinds ...Kind) []StepID {
	var out []StepID
	for _, k := range kinds {
		out = append(out, i[k]...)
	}
	return out
}

func (b *builder) before() stepIDs {
	ids := stepIDs{}
	b.step(Step{Kind: KindRecheck, Phase: PhaseBefore, Title: "look whether everything still is as planned", Timeout: timeoutShort})
	ids.note(KindLease, b.step(Step{Kind: KindLease, Phase: PhaseBefore, Title: "take the host's lease", Timeout: timeoutShort}))
	if units, files := b.holdable(); len(units)+len(files) > 0 {
		ids.note(KindHold, b.step(script(Step{Kind: KindHold, Phase: PhaseBefore, Timeout: timeoutShort,
			Title: "hold " + listed(append(append([]string(nil), units...), files...))}, b.hostSite().Hold(units, files))))
	}
	for i := range b.hops {
		ids.note(KindStage, b.step(b.stage(i)))
	}
	if c := b.compiled(); len(c.Stage) > 0 {
		b.step(Step{Kind: KindFetch, Phase: PhaseBefore, Title: fmt.Sprintf("download %s, install nothing", packageCount(len(b.sel.Changes))),
			Commands: c.Stage, Driver: b.packages, Timeout: or(b.in.Rollout.System.Timeout, timeoutFetch)})
	}
	for _, in := range b.insides() {
		b.step(Step{Kind: KindPrepare, Phase: PhaseBefore, Instance: in.seen.Name, Driver: b.snapshots,
			Title: b.named("prepare the snapshot", in), Timeout: timeoutPrepare})
	}
	return ids
}

// stage carries apps over from the tree that the release will replace: the
// live one, or the one staged before it.
func (b *builder) stage(i int) Step {
	h, from := b.hops[i], b.site.Path
	if i > 0 {
		from = b.site.Staged(h.From)
	}
	release := h.Release
	url, how := "", "send"
	if b.in.Rollout.Core.Transfer == "fetch" {
		url, how = release.URL, "fetch"
	}
	return script(Step{Kind: KindStage, Phase: PhaseBefore, Release: &release, Timeout: timeoutStage,
		Title: fmt.Sprintf("%s %s and unpack it beside the live tree", how, h.To)},
		b.site.Stage(ArchivePath(b.site.StateDir, release), url, release.SHA512, h.To, from))
}

func (b *builder) closed(ids stepIDs) {
	for _, in := range b.insides() {
		ids.note(KindClose, b.step(script(Step{Kind: KindClose, Phase: PhaseClosed, Instance: in.seen.Name, Timeout: timeoutClose,
			Title: b.named("pause cron, maintenance mode on, seen closed", in)}, in.site.Close(int(b.in.Rollout.ReopenAfter/time.Second)))))
	}
	for _, in := range b.insides() {
		b.step(Step{Kind: KindSnapshot, Phase: PhaseClosed, Instance: in.seen.Name, Driver: b.snapshots,
			Title: b.named("take the snapshot and verify it", in), Timeout: timeoutSnapshot})
	}
	alone := len(b.insides()) == 0
	if alone && b.systemCaptured() {
		b.step(Step{Kind: KindSnapshot, Phase: PhaseClosed, Driver: b.snapshots, Title: "take the snapshot and verify it", Timeout: timeoutSnapshot})
	}
	if n := len(b.sel.Changes); n > 0 {
		// Without a snapshot of the system nothing on a host alone could be
		// restored: the step changes no state that a snapshot guards.
		ids.note(KindPackages, b.step(Step{Kind: KindPackages, Phase: PhaseClosed, Commands: b.compiled().Apply, Driver: b.packages,
			Title: "install " + packageCount(n), Timeout: or(b.in.Rollout.System.Timeout, timeoutPackages), Changes: !alone || b.systemCaptured()}))
	}
	if b.reboot {
		ids.note(KindReboot, b.step(script(Step{Kind: KindReboot, Phase: PhaseClosed, Timeout: timeoutReboot,
			Title: "reboot if the host asks for it, wait for another boot id"}, b.hostSite().Reboot())))
	}
	for _, h := range b.hops {
		ids.note(KindHop, b.step(script(Step{Kind: KindHop, Phase: PhaseClosed, Changes: true, Reruns: b.reruns(), Timeout: or(b.in.Rollout.Core.Timeout, timeoutHop),
			Title: fmt.Sprintf("swap in %s, occ upgrade, reload PHP", h.To)}, b.site.Hop(h.To, b.site.Kept(h.From)))))
	}
	if b.update {
		ids.note(KindApps, b.step(script(Step{Kind: KindApps, Phase: PhaseClosed, Changes: true, Timeout: timeoutApps,
			Title: "update apps until none is left"}, b.site.Apps(appRounds, b.appPins()))))
	}
	for _, in := range b.insides() {
		ids.note(KindInspect, b.step(Step{Kind: KindInspect, Phase: PhaseClosed, Instance: in.seen.Name, Gate: b.gate(in, b.versionAfter(in), true),
			Title: b.named("check the working site behind the private door", in), Timeout: or(b.in.Rollout.Gate.Timeout, timeoutGate)}))
	}
	// An open that fails may have let users in already: like all that comes
	// after it, it is nothing that rolls back by itself.
	for _, in := range b.insides() {
		ids.note(KindOpen, b.step(script(Step{Kind: KindOpen, Phase: PhaseAfter, Instance: in.seen.Name, Timeout: timeoutClose,
			Title: b.named("maintenance mode off, cron on", in)}, in.site.Open())))
	}
}

func (b *builder) after(ids stepIDs) {
	for _, in := range b.insides() {
		if g := b.outside(in); g != nil {
			b.step(Step{Kind: KindVerify, Phase: PhaseAfter, Instance: in.seen.Name, Gate: g,
				Title: b.named("look from outside", in), Timeout: or(b.in.Rollout.Gate.Timeout, timeoutGate)})
		}
	}
	if len(b.hops) > 0 {
		b.step(script(Step{Kind: KindTidy, Phase: PhaseAfter, Timeout: timeoutTidy,
			Title: "add missing indices, remove old trees and archives"}, b.site.Tidy(b.leftBehind())))
	}
	if units, files := b.holdable(); len(ids[KindHold]) > 0 && b.absent() {
		b.step(script(Step{Kind: KindAbsent, Phase: PhaseAfter, Timeout: timeoutShort,
			Title: "remove for good " + listed(append(append([]string(nil), units...), files...))}, nextcloud.Remove(b.hostSite().StateDir, units, files)))
	}
	if len(ids[KindHold]) > 0 {
		ids.note(KindRelease, b.step(script(Step{Kind: KindRelease, Phase: PhaseAfter, Title: "put rival updaters back as found", Timeout: timeoutShort}, b.hostSite().Unhold())))
	}
	ids.note(KindUnlease, b.step(Step{Kind: KindUnlease, Phase: PhaseAfter, Title: "give the host's lease back", Timeout: timeoutShort}))
}

// back writes the undo. The first three only run when an operator takes back
// a target that was opened already: it must be leased, held and closed again.
func (b *builder) back(ids stepIDs) {
	b.undoStep(Step{Kind: KindLease, Phase: PhaseBefore, Title: "take the host's lease again", Timeout: timeoutShort, Undoes: ids.of(KindUnlease)})
	if units, files := b.holdable(); len(ids[KindRelease]) > 0 {
		b.undoStep(script(Step{Kind: KindHold, Phase: PhaseBefore, Title: "hold rival updaters again", Timeout: timeoutShort,
			Undoes: ids.of(KindRelease)}, b.hostSite().Hold(units, files)))
	}
	for i, in := range b.insides() {
		b.undoStep(script(Step{Kind: KindClose, Phase: PhaseClosed, Instance: in.seen.Name, Timeout: timeoutClose,
			Title: b.named("close it again", in), Undoes: ids[KindOpen][i : i+1]}, in.site.Close(0)))
	}
	// A machine that comes back whole brings its packages along, and may be one
	// that they broke: it is asked for nothing before.
	whole := b.wholeMachine() && b.systemCaptured()
	if p := ids[KindPackages]; len(p) > 0 && !whole {
		b.undoStep(Step{Kind: KindRepair, Phase: PhaseClosed, Commands: b.compiled().Repair, Driver: b.packages,
			Title: "bring packages to rest", Timeout: timeoutPackages, Undoes: p})
	}
	b.restores(ids)
	if changing := ids.of(KindPackages, KindReboot, KindHop, KindApps); len(changing) > 0 {
		for _, in := range b.insides() {
			b.undoStep(Step{Kind: KindInspect, Phase: PhaseClosed, Instance: in.seen.Name, Gate: b.gate(in, in.seen.Code, false),
				Title: b.named("check that it works as before", in), Timeout: or(b.in.Rollout.Gate.Timeout, timeoutGate), Undoes: changing})
		}
	}
	for i, in := range b.insides() {
		b.undoStep(script(Step{Kind: KindOpen, Phase: PhaseClosed, Instance: in.seen.Name, Timeout: timeoutClose,
			Title: b.named("maintenance mode off, cron on", in), Undoes: ids[KindClose][i : i+1]}, in.site.Open()))
	}
	if s := ids[KindStage]; len(s) > 0 {
		b.undoStep(script(Step{Kind: KindUnstage, Phase: PhaseAfter, Title: "remove staged trees and archives", Timeout: timeoutStage, Undoes: s},
			b.site.Unstage(b.path())))
	}
	if h := ids[KindHold]; len(h) > 0 {
		b.undoStep(script(Step{Kind: KindRelease, Phase: PhaseAfter, Title: "put rival updaters back as found", Timeout: timeoutShort, Undoes: h}, b.hostSite().Unhold()))
	}
	b.undoStep(Step{Kind: KindUnlease, Phase: PhaseAfter, Title: "give the host's lease back", Timeout: timeoutShort, Undoes: ids[KindLease]})
}

// reruns is how often an interrupted hop may be run again.
func (b *builder) reruns() int {
	if b.in.Rollout.Core.Interrupted == "rollback" {
		return 0
	}
	return hopReruns
}

// restores puts the snapshot back after a hop or an app update was begun, and
// after packages too when the snapshot holds the system.
func (b *builder) restores(ids stepIDs) {
	undoes := ids.of(KindHop, KindApps)
	if b.systemCaptured() {
		undoes = ids.of(KindPackages, KindReboot, KindHop, KindApps)
	}
	if len(undoes) == 0 {
		return
	}
	b.times[KindRestore] = len(b.insides())
	for _, in := range b.insides() {
		s := Step{Kind: KindRestore, Phase: PhaseClosed, Instance: in.seen.Name, Driver: b.snapshots,
			Title: b.named("put the snapshot back", in), Timeout: timeoutSnapshot, Undoes: undoes}
		if len(b.hops) > 0 {
			s.Title = b.named("swap the old tree back, put the snapshot back", in)
			s = script(s, b.site.SwapBack(b.site.Kept(b.seen.Code), b.seen.Code))
		}
		if b.wholeMachine() {
			s.Title = "put the whole machine back"
		}
		b.undoStep(s)
	}
	if len(b.insides()) == 0 {
		b.undoStep(Step{Kind: KindRestore, Phase: PhaseClosed, Driver: b.snapshots, Title: "put the snapshot back", Timeout: timeoutSnapshot, Undoes: undoes})
	}
}

// leftBehind are the trees that tidy removes: each one that a hop replaced.
// The first goes too: the verified snapshot holds it, and a tree left lying
// would look like an interrupted upgrade to the next plan. The archives are
// the scripts' own to remove, as other instances may need them.
func (b *builder) leftBehind() []string {
	var out []string
	for _, h := range b.hops {
		out = append(out, b.site.Kept(h.From))
	}
	return out
}

func (b *builder) compiled() driver.Commands {
	if len(b.sel.Changes) == 0 {
		return driver.Commands{}
	}
	return b.in.CompiledPackages[b.host.Name]
}

// absent reports whether rival updaters are removed for good.
func (l *look) absent() bool { return l.host.AutoUpdate == "absent" }

func (b *builder) holdable() (units, files []string) { return Holdable(b.rivals()) }

// Holdable splits rivals into units and cron files. What is neither, a bare
// process, cannot be held.
func Holdable(rivals []Rival) (units, files []string) {
	for _, r := range rivals {
		switch {
		case r.Kind == "cron" && !contains(files, rivalName(r)):
			files = append(files, rivalName(r))
		case (r.Kind == "timer" || r.Kind == "service") && !contains(units, r.Name):
			units = append(units, r.Name)
		}
	}
	return sorted(units), sorted(files)
}

// hostSite is the site of steps that are the host's: the instance's own, or
// one with the host's name and folder alone.
func (b *builder) hostSite() nextcloud.Site {
	if b.seen != nil {
		return b.site
	}
	return nextcloud.Site{Name: b.ref.Name, StateDir: stateDir(b.host)}
}

// named adds the instance's name to a title where there are several.
func (b *builder) named(title string, in *look) string {
	if len(b.inside) > 1 {
		return title + " (" + in.seen.Name + ")"
	}
	return title
}

func packageCount(n int) string {
	if n == 1 {
		return "1 package"
	}
	return fmt.Sprintf("%d packages", n)
}
