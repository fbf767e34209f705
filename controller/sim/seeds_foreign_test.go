package sim_test

import (
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// vOther is of no plan.
var vOther = nextcloud.Version{29, 0, 9, 1}

// somebodyOpens is somebody else who lets users into an instance that the
// rollout keeps closed.
func (i *instance) somebodyOpens() {
	if !i.closed || i.restoring {
		return
	}
	i.host.w.count("somebody else opened a closed site")
	i.host.w.say("somebody else opens %s/%s", i.host.name, i.name)
	i.closed, i.openedAt, i.closedBy, i.closedFor = false, time.Now(), "", ""
	i.host.users()
}

// operatorBreaks is an operator who takes a host's lease away, as ncfleet lease
// --break does.
func (w *world) operatorBreaks(h *host) {
	if b := w.book; h.breakLease() {
		w.count("lease broken by an operator")
		w.say("an operator breaks the lease of %s", h.name)
		b.ask(rollout.Event{Kind: rollout.EventLeaseBroken, Target: h.name, Detail: "its controller is lost"})
	}
}

// cutShort is what else a hop that was cut short leaves behind.
func (r *run) cutShort(rebooted bool) {
	w, i := r.host.w, r.host.instance(r.option("--path"))
	if w.menu.cut == 0 || !i.closed {
		return
	}
	to, _ := nextcloud.ParseVersion(r.option("--to"))
	to = full(to)
	what := ""
	switch n := w.hash("cut short", r.id) % 12; {
	case n == 0:
		what, i.foreign = "somebody else puts another version there", true
		i.code, i.config, i.schema, i.half = vOther, vOther, vOther, false
	case n == 1:
		i.somebodyOpens()
	case n <= 4 && i.half && !rebooted:
		what, i.occUntil = "its occ goes on", time.Now().Add(20*time.Second+300*w.jitter("occ", r.id))
		w.runs.Go(func() { i.occ(to) })
	case n == 5 || n == 6:
		away := []time.Duration{20 * time.Second, 3 * time.Minute, 8 * time.Minute}[w.hash("database", r.id)%3]
		what, i.dbFrom, i.dbUntil = "the database is away", time.Now(), time.Now().Add(away)
	case n == 7 && i.half:
		what, i.appFailed = "an app's migration failed", true
		r.tell("Database error when running migration 1 for app calendar")
	case n >= 8 && n <= 9 && !i.half && i.code == to:
		what, i.part = "the swap is half done", true
	}
	if what != "" {
		w.count("hop cut short: " + what)
		w.say("%s is cut short: %s", r.id, what)
	}
}

// occ is an occ upgrade that outlived its run: it ends by itself, unless it is
// ended before.
func (i *instance) occ(to nextcloud.Version) {
	w, until := i.host.w, i.occUntil
	if !w.sleep(time.Until(until)) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if i.occUntil.Equal(until) && i.code == to && i.half {
		i.schema, i.config, i.half = to, to, false
	}
}

// pardon is an operator who has looked at a target and lets it go on.
func (w *world) pardon(a *account) {
	if i := w.host(a.plan.Host).instance("/var/www/" + a.plan.Instance); i != nil {
		i.foreign = false
	}
}

// checkHopAgain: an interrupted hop is run again only when what it left says so.
func (w *world) checkHopAgain(r, before *run) {
	const rule = "an interrupted hop is run again only when that is safe"
	i := r.host.instance(r.option("--path"))
	switch {
	case i.foreign, !i.openedAt.IsZero() && i.openedAt.Before(before.ended.Add(time.Second)):
		w.broken(rule, "%s begins, and somebody else changed or opened %s/%s", r.id, i.host.name, i.name)
	case i.part:
		w.broken(rule, "%s begins, and the swap is half done", r.id)
	case i.appFailed:
		w.broken(rule, "%s begins, and an app has failed", r.id)
	case time.Now().Before(i.dbUntil) && !i.dbFrom.After(before.ended):
		w.broken(rule, "%s begins, and the database is away", r.id)
	}
}

// checkHopFailed: an interrupted hop that may be run again is no failure yet.
func (w *world) checkHopFailed(l *ledger, s entry) {
	h := w.host(s.of.plan.Host)
	i, r := h.instance("/var/www/"+s.step.Instance), h.runs[l.rollout+"/"+s.step.ID]
	if s.step.Kind != plan.KindHop || s.step.Reruns == 0 || r == nil || r.fault != "crash_mid" || r.state.Exit != 137 || h.runs[r.id+"~2"] != nil || w.fails || w.menu.link > 0 {
		return
	}
	if i.closed && !i.foreign && !i.part && !i.appFailed && i.dbUntil.IsZero() && i.occUntil.IsZero() {
		l.broken("an interrupted hop is run again when that is safe", "%s fails after its first run", s.step.ID)
	}
}

// checkSafe looks at what begins on a site for what was done there meanwhile.
func (w *world) checkSafe(h *host, r *run, s entry) {
	i := h.instance(r.option("--path"))
	if r.script == "fake-restore" {
		i = h.instance("/var/www/" + r.command.Argv[2])
	}
	if r.script == "fake-dump" {
		if i = h.instance("/var/www/" + r.command.Argv[2]); i != nil && !i.closed && !later(i.openedAt, i.reopened).After(s.of.flightAt) {
			w.broken("snapshots are of closed instances", "%s begins, and users are in", r.id)
		}
	}
	back := r.script == "fake-restore" || r.script == "swapback.sh"
	switch {
	case !back || i == nil:
	case !i.restoring:
		w.broken("the way back is told to its host", "%s begins, %s/%s does not know", r.id, h.name, i.name)
	case i.foreign && !s.of.asked:
		w.broken("nothing of somebody else's is undone by itself", "%s begins", r.id)
	case time.Now().Before(i.occUntil) && !s.of.asked && !w.fails && w.menu.link == 0:
		w.broken("what still runs is waited for", "%s begins, and occ runs in %s/%s", r.id, h.name, i.name)
	}
	if r.script != "packages" && r.script != "reboot.sh" || s.undo {
		return
	}
	for k := range s.of.plan.Steps {
		st := &s.of.plan.Steps[k]
		if st.Kind != plan.KindClose {
			continue
		}
		c := h.instance("/var/www/" + st.Instance)
		switch {
		case c.closed && !c.changing:
			w.broken("a change is told to the watchdog", "%s begins, %s/%s does not know", r.id, h.name, c.name)
		case !c.closed && !c.openedAt.After(s.of.flightAt):
			w.broken("nothing is changed while users are in", "%s begins, %s/%s is open", r.id, h.name, c.name)
		}
	}
}

// checkReopening: a controller that works on a target is heard, whatever its
// step waits for.
func (w *world) checkReopening(i *instance, limit time.Duration) {
	l, m := w.ledgerOf(i.closedBy), &w.menu
	if w.fails || l == nil || m.link > 0 || w.made > 1 || w.all[0].dead || m.rival+m.stale > 0 {
		return
	}
	if a := l.targets[i.closedFor]; a != nil && a.flight != "" && time.Since(a.flightAt) > limit && l.steps[a.flight].step.Phase == plan.PhaseClosed {
		w.broken("the watchdog hears a controller that works", "%s/%s is opened during %s", i.host.name, i.name, a.flight)
	}
}

// checkDoor compares what is said of an instance's door with how it stands.
func (w *world) checkDoor(l *ledger, s entry, i *instance) {
	switch {
	case i != nil && s.step.Kind == plan.KindVerify && i.front:
		l.broken("verify looks from outside", "%s is done, and nobody can reach %s", s.step.ID, i.name)
	case i == nil || w.shape.noURL || w.fails || w.menu.link > 0 || w.rival != nil:
	case s.step.Kind == plan.KindClose && !i.closed && i.openedAt.IsZero() && i.reopened.IsZero():
		l.broken("a closed site is seen closed", "%s is done, and users are in", s.step.ID)
	case s.step.Kind == plan.KindOpen && i.closed:
		l.broken("an opened site is seen open", "%s is done, and users are out", s.step.ID)
	}
}

// checkBack compares a restore that is called done with what stands there.
func (w *world) checkBack(l *ledger, s entry) {
	if i := w.host(s.of.plan.Host).instance("/var/www/" + s.step.Instance); s.step.Kind == plan.KindRestore && i != nil && !i.sound() && !w.lied {
		l.broken("what is put back is as it was", "%s is done: code %s, database %s", s.step.ID, i.code, i.schema)
	}
}

// checkAnswer: what a command of a driver left as failed before this controller
// came is not the answer to its own call.
func (in *incarnation) checkAnswer(e rollout.Event) {
	if e.Kind != rollout.EventStepFail || in.attached.IsZero() || !strings.Contains(e.Detail, " ended with ") {
		return
	}
	s, calls := in.book.ledger.steps[e.Step], 0
	if s.step == nil || s.gate || !kindOf(s.step, plan.KindSnapshot, plan.KindRestore) {
		return
	}
	for id, r := range in.w.host(s.step.Host).runs {
		if _, step := stepOf(id); step == e.Step && strings.Contains(id, "/driver-") {
			if calls++; r.ended.After(in.attached) {
				return
			}
		}
	}
	if calls > 0 {
		in.w.broken("what an earlier call left behind is not the answer", "%s: %s", e.Step, e.Detail)
	}
}

// checkRepair: a package that cannot be configured need not keep users out.
func (w *world) checkRepair(l *ledger, s entry) {
	r := w.host(s.of.plan.Host).runs[l.rollout+"/"+s.step.ID]
	if s.step.Kind == plan.KindRepair && s.of.hasSite() && r != nil && r.state.Phase == driver.RunExited && r.state.Exit != 0 && !w.fails && w.menu.link == 0 {
		l.broken("a broken package does not keep a site closed", "%s fails with exit %d", s.step.ID, r.state.Exit)
	}
}

func (a *account) hasSite() bool {
	for k := range a.plan.Steps {
		if a.plan.Steps[k].Kind == plan.KindClose {
			return true
		}
	}
	return false
}

// checkTold: what a rollback left undone is told.
func (w *world) checkTold(a *account, t *rollout.TargetState) {
	for k := range a.plan.Undo {
		u := &a.plan.Undo[k]
		r := w.host(a.plan.Host).runs["r/"+u.ID]
		if u.Kind == plan.KindRepair && t.Status == rollout.RolledBack && t.Attempts[u.ID] == 0 && a.hasSite() && r != nil && r.state.Phase == driver.RunExited && r.state.Exit != 0 && !strings.Contains(t.Reason, "rolled back, but") {
			w.broken("what a rollback left undone is told", "%s ended with %d, the reason is %q", u.ID, r.state.Exit, t.Reason)
		}
	}
}

// nobodyComes: the controller is lost for good, and no other one comes.
func (w *world) nobodyComes() {
	w.sleep(2 * time.Hour)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count("ended: the controller is lost for good")
	for _, h := range w.hosts {
		for _, i := range h.instances {
			if i.closed && !i.changing && w.shape.reopen > 0 && !i.noDog && !h.closing(i) {
				w.broken("a closed and unchanged site is open in the end", "%s/%s is closed, and nobody comes", h.name, i.name)
			}
		}
	}
	w.quit = true
}

// closing reports whether a close still runs, which the watchdog waits for.
func (h *host) closing(i *instance) bool {
	for _, r := range h.runs {
		if r.script == "close.sh" && r.option("--path") == i.path && r.state.Phase == driver.RunRunning {
			return true
		}
	}
	return false
}
