package sim_test

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// checkBegin looks, from the host's side, at a run that begins.
func (w *world) checkBegin(in *incarnation, h *host, r *run) {
	id, step := stepOf(r.id)
	if in.stale {
		if w.passedBy(in, h) {
			w.broken("a stale controller changes nothing", "%s begins on %s, whose lease is %s's", r.id, h.name, h.lease.holder)
			return
		}
		// From here on two controllers work on one host that only one of them
		// can reach. Nothing can be said of that; the seed ends.
		w.count("ended: stale controller on a host that its successor could not reach")
		w.quit = true
		w.dieAll()
		return
	}
	if id != in.rollout {
		w.broken("runs are named after the rollout", "%s begins %s", in.rollout, r.id)
	}
	if r.script == "gate.sh" {
		return
	}
	w.checkAgain(h, r)
	l := in.book.ledger
	s := l.steps[step]
	if s.step == nil {
		w.broken("the plan is all there is", "%s begins", r.id)
		return
	}
	if s.of.flight != step {
		w.broken("journal before act", "%s begins on %s and the journal does not say so", r.id, h.name)
	}
	switch owner, _, _ := fields(h.lease.token); {
	case owner == "" && h.released[id]:
		w.count("begun after the host's other target gave the lease back")
	case owner != id:
		w.broken("one rollout per host", "%s begins on %s, whose lease is %q", r.id, h.name, h.lease.token)
	}
	for _, b := range w.everyBook() {
		for _, o := range b.ledger.order {
			if b.rollout != id && o.plan.Host == h.name && o.holdsLease() {
				w.broken("one rollout per host", "%s begins on %s while %s of %s is under way", r.id, h.name, o.plan.Name, b.rollout)
			}
		}
	}
	// What a run tells of is looked up; only what an earlier controller's run
	// left undone, as lost, may be begun by another one.
	looked := !kindOf(s.step, plan.KindStage, plan.KindSnapshot, plan.KindRestore, plan.KindReboot, plan.KindPrepare)
	if looked && !strings.Contains(r.id, "~") && s.of.starter != in.n {
		w.broken("look up before act", "%s begins, and it was an earlier controller that wanted it", r.id)
	}
	w.checkSafe(h, r, s)
	changes := r.script == "hop.sh" || r.script == "apps.sh" || r.script == "packages"
	if !changes {
		return
	}
	if h.begun[id+step]++; h.begun[id+step] > 1 && !strings.Contains(r.id, "~") {
		w.broken("no step's effect twice", "%s begins again on %s", r.id, h.name)
	}
	if s.step.Changes {
		w.checkHandles(in.book, s, r)
	}
	for _, i := range h.instances {
		if r.script == "packages" && i.closed && i.closedFor == s.of.plan.Name && !i.changing {
			w.broken("a change is told to the watchdog", "%s begins, %s/%s does not know", r.id, h.name, i.name)
		}
	}
}

// checkAttach: what began before the step was last begun is another attempt's,
// and no answer to this one.
func (w *world) checkAttach(in *incarnation, r *run) {
	_, step := stepOf(r.id)
	if s := in.book.ledger.steps[step]; s.of != nil && s.of.flight == step && r.at.Before(s.of.flightAt) {
		w.broken("a step asked for again is another attempt", "%s answers for an earlier one", r.id)
	}
}

// checkAppend looks at what a controller makes durable.
func (in *incarnation) checkAppend(e rollout.Event) {
	for _, r := range in.book.requests {
		if _, taken := in.book.answers[r.ID]; !taken && e.Kind == rollout.EventStepBegun && r.Event.At.Before(in.attached.Add(-2*time.Second)) {
			in.w.broken("what was asked meanwhile comes first", "%s begins, and %s was asked before the controller came", e.Step, r.Event.Kind)
		}
	}
	if s := in.book.ledger.steps[e.Step]; e.Kind == rollout.EventStepFail && s.step != nil && in.refused[s.step.Host] {
		in.w.broken("what a fenced-off controller was refused is no failure", "%s: %s", e.Step, e.Detail)
	}
	in.checkAnswer(e)
}

// claimTime is how long a controller that came may take to tell the hosts.
const claimTime = 35 * time.Second

// passedBy reports whether a later controller of the rollout had the time to
// tell the host of it. One that it could not reach may still obey the former.
func (w *world) passedBy(in *incarnation, h *host) bool {
	for _, o := range w.all {
		told := o.claimed || !o.dead && time.Since(o.attached) > claimTime
		if o.rollout == in.rollout && o.book != in.book && !o.attached.IsZero() && told && !h.awayUntil.After(o.attached) {
			return true
		}
	}
	return false
}

// checkAgain: a run that is begun once more under another name is the next
// attempt of one that was lost or failed.
func (w *world) checkAgain(h *host, r *run) {
	name, n, again := strings.Cut(r.id, "~")
	if !again {
		return
	}
	if r.script == "packages" || r.script == "apps.sh" {
		w.broken("no step's effect twice", "%s begins on %s: it was lost and is not to be tried again", r.id, h.name)
	}
	if k, err := strconv.Atoi(n); err == nil && k > 2 {
		name += "~" + strconv.Itoa(k-1)
	}
	before := h.runs[name]
	if before != nil && r.script == "hop.sh" {
		w.checkHopAgain(r, before)
	}
	if before == nil || before.state.Phase == driver.RunRunning || before.state.Phase == driver.RunExited && before.state.Exit == 0 {
		w.broken("no step's effect twice", "%s begins on %s, and the attempt before it ended well or still runs", r.id, h.name)
	}
}

// holdsLease reports whether the target took its host's lease and did not give
// it back.
func (a *account) holdsLease() bool {
	took, gave := false, false
	for _, list := range [][]plan.Step{a.plan.Steps, a.plan.Undo} {
		for i := range list {
			took = took || list[i].Kind == plan.KindLease && a.done[list[i].ID]
			gave = gave || list[i].Kind == plan.KindUnlease && a.begun[list[i].ID]
		}
	}
	return took && !gave && !a.rest()
}

// checkDone compares a step that is called done with its host.
func (w *world) checkDone(l *ledger, s entry) {
	h, id := w.host(s.of.plan.Host), l.rollout+"/"+s.step.ID
	switch s.step.Kind {
	case plan.KindRecheck:
		i := h.instance("/var/www/" + s.of.plan.Instance)
		if i != nil && !i.changedAt.IsZero() && i.changedAt.Before(s.of.flightAt) {
			l.broken("facts are compared", "%s is done, and somebody changed %s before", s.step.ID, i.name)
		}
	case plan.KindPackages:
		if h.openssl != "2" {
			l.broken("success is read from the world", "%s is done, and openssl is %s", s.step.ID, h.openssl)
		}
	case plan.KindReboot:
		if r := h.runs[id]; r != nil && strings.Contains(string(r.state.Stdout), "reboot begun") && r.state.BootID == h.bootID() {
			l.broken("a reboot is seen by another boot id", "%s is done, %s is up since before", s.step.ID, h.name)
		}
	case plan.KindClose, plan.KindOpen, plan.KindVerify:
		w.checkDoor(l, s, h.instance("/var/www/"+s.step.Instance))
	}
	if kindOf(s.step, plan.KindTidy, plan.KindHop, plan.KindInspect, plan.KindReboot) || h.runs[id+"~2"] != nil || h.runs[id+"+1"] != nil {
		return
	}
	if r := h.runs[id]; r != nil && (r.state.Phase == driver.RunLost || r.state.Phase == driver.RunExited && r.state.Exit != 0) {
		l.broken("what failed or was lost is no success", "%s is done, its run is %s, exit %d", s.step.ID, r.state.Phase, r.state.Exit)
	}
}

// checkUpgrade counts how often occ upgrade begins in one hop.
func (w *world) checkUpgrade(r *run) {
	id, step := stepOf(r.id)
	s := w.ledgerOf(id).steps[step]
	if r.host.upgrades[id+step]++; s.step != nil && r.host.upgrades[id+step] > 1+s.step.Reruns {
		w.broken("a hop is run again only as often as planned", "%s begins occ upgrade for the %dth time", r.id, r.host.upgrades[id+step])
	}
}

// checkHandles finds the handle of every snapshot of the target in the raw
// journal, and the snapshot whole on its host.
func (w *world) checkHandles(b *book, s entry, r *run) {
	for i := range s.of.plan.Steps[:s.index] {
		st := &s.of.plan.Steps[i]
		if st.Kind != plan.KindSnapshot {
			continue
		}
		at := slices.IndexFunc(b.events, func(e rollout.Event) bool { return e.Kind == rollout.EventStepDone && e.Step == st.ID })
		if at < 0 || b.events[at].Handle == nil || !w.wholeSnap(b.events[at].Handle.Key) {
			w.broken("no change without a verified snapshot", "%s begins, and what %s took is not there", r.id, st.ID)
		}
	}
}

// whole reports whether a snapshot could be put back.
func (w *world) whole(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wholeSnap(key)
}

func (w *world) wholeSnap(key string) bool {
	name, _, _ := strings.Cut(key, "/")
	snapshot, _, _ := strings.Cut(key, "\n")
	s := w.host(name).snaps[snapshot]
	return s != nil && s.whole
}

// checkClosed counts the targets that are closed at this instant.
func (w *world) checkClosed(id string) {
	l := w.ledgerOf(id)
	if l == nil {
		return
	}
	out := 0
	for _, a := range l.order {
		if closed := w.closedOf(a.plan, id); len(closed) > 0 && !a.asked {
			out++
		}
	}
	if p := w.plan.Policy; out > p.MaxUnavailable {
		w.broken("max unavailable", "%d targets are closed, at most %d may be", out, p.MaxUnavailable)
	}
}

// closedOf lists the instances of a target that the rollout keeps closed.
func (w *world) closedOf(t *plan.Target, id string) (names []string) {
	for _, i := range w.host(t.Host).instances {
		if i.closed && i.closedBy == id && i.closedFor == t.Name {
			names = append(names, i.name)
		}
	}
	return names
}

// checkRestore looks at what putting a snapshot back would lose.
func (w *world) checkRestore(r *run, i *instance, s *snap) {
	id, step := stepOf(r.id)
	l := w.ledgerOf(id)
	a := l.steps[step].of
	if i == nil {
		return
	}
	if !i.closed {
		w.broken("a snapshot is put back into a closed instance", "%s begins", r.id)
	}
	lost := 0
	for _, n := range i.writes {
		if !slices.Contains(s.of.writes, n) {
			lost++
		}
	}
	if lost > 0 && !a.asked {
		w.broken("an automatic rollback loses nothing", "%s loses %d writes that users were told of", r.id, lost)
	}
	w.forgiven[i] = w.forgiven[i] || a.asked
}

// checkAtRest looks at the fleet when nothing runs any more.
func (w *world) checkAtRest(b *book, s *rollout.State) {
	named := map[string]bool{}
	for _, n := range s.Closed() {
		named[n] = true
	}
	for _, a := range b.ledger.order {
		t := s.Targets[a.plan.Name]
		if closed := w.closedOf(a.plan, b.rollout); len(closed) > 0 && (!named[a.plan.Name] || t.Status == rollout.Failed && !t.StillClosed) {
			w.broken("no instance is left closed unnamed", "%v of %s is closed, which is %s", closed, a.plan.Name, t.Status)
		}
		w.checkTarget(a, t)
		w.checkTold(a, t)
	}
	w.checkLeases(b)
	for i, acked := range w.acked {
		for _, n := range acked {
			if !w.forgiven[i] && !slices.Contains(i.writes, n) {
				w.broken("no write is lost", "write %d of %s/%s", n, i.host.name, i.name)
				break
			}
		}
	}
}

// checkLeases: where nothing failed by itself, a host whose targets are all
// through is given back.
func (w *world) checkLeases(b *book) {
	if w.fails || w.menu.link+len(w.menu.kills) > 0 || w.menu.stale > 0 {
		return
	}
	held := map[string]bool{}
	for _, h := range w.hosts {
		owner, _, _ := fields(h.lease.token)
		held[h.name] = owner == b.rollout
	}
	for _, a := range b.ledger.order {
		if !a.rest() || a.stuck {
			delete(held, a.plan.Host)
		}
	}
	for name, is := range held {
		if is {
			w.broken("leases are given back", "%s is leased to %s", name, b.rollout)
		}
	}
}

// checkTarget compares what the rollout says of a target with its host.
func (w *world) checkTarget(a *account, t *rollout.TargetState) {
	h := w.host(a.plan.Host)
	i := h.instance("/var/www/" + a.plan.Instance)
	alone := w.rival == nil // or the other rollout is to be asked
	switch t.Status {
	case rollout.Upgraded:
		if i != nil && (i.code != full(a.plan.To) || !i.sound() || i.closed) && alone {
			w.broken("success is read from the world", "%s is called upgraded: code %s, closed %v", a.plan.Name, i.code, i.closed)
		}
	case rollout.RolledBack, rollout.Untouched:
		if i != nil && alone && (i.code != a.plan.From || !i.sound()) {
			w.broken("success is read from the world", "%s is called %s: code %s, database %s", a.plan.Name, t.Status, i.code, i.schema)
		}
	}
}

// sleep waits, unless the world ends before.
func (w *world) sleep(d time.Duration) bool {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.over:
		return false
	}
}
