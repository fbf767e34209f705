package sim_test

import (
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// begin checks the start of a step against the rules.
func (l *ledger) begin(e rollout.Event, by int) {
	s := l.steps[e.Step]
	if s.step == nil {
		l.broken("the plan is all there is", "%s begins", e.Step)
		return
	}
	switch a := s.of; {
	case s.gate:
		l.beginGate(e, s)
	case a.flight != "":
		l.broken("one step at a time", "%s begins while %s runs", e.Step, a.flight)
	case a.done[e.Step]:
		l.broken("no step twice", "%s begins again", e.Step)
	case s.undo:
		l.beginUndo(e, s)
	default:
		l.beginForward(e, s)
	}
	if s.gate {
		return
	}
	for _, o := range l.order {
		if o != s.of && o.plan.Host == s.of.plan.Host && o.flight != "" {
			l.broken("two targets of one host never run at once", "%s begins while %s runs", e.Step, o.flight)
		}
	}
	s.of.flight, s.of.flightAt, s.of.starter, s.of.begun[e.Step] = e.Step, time.Now(), by, true
}

func (l *ledger) beginGate(e rollout.Event, s entry) {
	if why := l.stopped(); why != "" {
		l.broken(why, "%s begins", e.Step)
	}
	for _, a := range l.order {
		if a.wave == s.of.wave && !a.rest() {
			l.broken("the gate looks after the wave", "%s begins, %s is not at rest", e.Step, a.plan.Name)
		}
	}
	if w := s.of.wave; e.At.Before(l.waves[w].settled.Add(l.w.plan.Waves[w].Bake)) {
		l.broken("the gate looks after the bake time", "%s begins at %s, wave %d settled at %s", e.Step, e.At, w, l.waves[w].settled)
	}
	if s.of.turned || s.of.gates[e.Step] {
		l.broken("the gate looks at what is upgraded, once", "%s begins", e.Step)
	}
}

func (l *ledger) beginForward(e rollout.Event, s entry) {
	a := s.of
	switch {
	case a.held:
		l.broken("a held target waits for people", "%s begins", e.Step)
	case a.stuck || a.turned:
		l.broken("a failed target does not go on", "%s begins", e.Step)
	case s.index != a.next:
		l.broken("steps run in order", "%s begins and step %d is next", e.Step, a.next)
	}
	if s.index == 0 {
		l.mayBegin(e, a)
	}
	if s.step.Phase == plan.PhaseClosed && !a.closed {
		l.mayClose(e, a)
		a.closed, a.out = true, true
	}
	if s.step.Changes {
		for i := range a.plan.Steps[:s.index] {
			if st := &a.plan.Steps[i]; st.Kind == plan.KindSnapshot && !a.handles[st.Instance] {
				l.broken("no change without a verified snapshot", "%s begins and %s has no handle", e.Step, st.ID)
			}
		}
	}
	if s.step.Kind == plan.KindOpen {
		a.mayBeIn = true
	}
}

// mayBegin checks the start of a new target.
func (l *ledger) mayBegin(e rollout.Event, a *account) {
	if why := l.stopped(); why != "" {
		l.broken(why, "%s begins", e.Step)
	}
	for w := range a.wave {
		if why := l.passed(w, e.At); why != "" {
			l.broken("no wave before the gate of the one before", "%s begins, but of wave %d %s", e.Step, w, why)
		}
	}
	l.mayStartWave(e, a.wave)
	l.inWindow(e, a, false)
	ahead := 0
	for _, o := range l.order {
		if o == a || !o.anyBegun() || o.rest() {
			continue
		}
		if o.plan.Host == a.plan.Host {
			l.broken("two targets of one host never run at once", "%s begins and %s is not at rest", e.Step, o.plan.Name)
		}
		if !o.closed {
			ahead++
		}
	}
	if ahead >= max(l.w.plan.Policy.Ahead, 1) {
		l.broken("at most Ahead targets are being prepared", "%s begins beside %d", e.Step, ahead)
	}
}

// mayClose checks the first step that takes a target out of service.
func (l *ledger) mayClose(e rollout.Event, a *account) {
	if why := l.stopped(); why != "" {
		l.broken(why, "%s begins", e.Step)
	}
	l.inWindow(e, a, true)
	out, same := 0, 0
	for _, o := range l.order {
		if o.out && !o.asked {
			out++
			if o.plan.Spread == a.plan.Spread {
				same++
			}
		}
	}
	p := l.w.plan.Policy
	if out >= p.MaxUnavailable {
		l.broken("max unavailable", "%s begins, %d of %d are out of service", e.Step, out, p.MaxUnavailable)
	}
	if p.SpreadMax > 0 && same >= p.SpreadMax {
		l.broken("spread", "%s begins, %d of %s are out of service", e.Step, same, a.plan.Spread)
	}
}

func (l *ledger) beginUndo(e rollout.Event, s entry) {
	a := s.of
	switch u := a.owes(); {
	case !a.turned:
		l.broken("nothing is taken back without a reason", "%s begins", e.Step)
	case u == nil || u.ID != e.Step:
		l.broken("a rollback undoes what began, in order", "%s begins", e.Step)
	}
	if a.mayBeIn && !a.asked {
		l.broken("no automatic rollback after opening", "%s begins", e.Step)
	}
	if s.step.Kind == plan.KindClose {
		a.out = true
	}
}

// outcome notes how a step ended.
func (l *ledger) outcome(e rollout.Event) {
	s := l.steps[e.Step]
	if s.gate {
		l.gateOutcome(e, s)
		return
	}
	a := s.of
	if e.Kind == rollout.EventStepFail && kindOf(s.step, plan.KindLease, plan.KindUnlease) && strings.Contains(e.Detail, errLink.Error()) {
		l.broken("a lost connection is asked again", "%s: %s", e.Step, e.Detail)
	}
	if a.flight != e.Step {
		l.broken("an outcome is of what runs", "%s of %s, and %q runs", e.Kind, e.Step, a.flight)
	}
	a.flight, l.waves[a.wave].settled = "", e.At
	if e.Kind == rollout.EventStepNever {
		l.never(a, s)
		return
	}
	if s.undo {
		l.undoOutcome(e, s)
		return
	}
	switch e.Kind {
	case rollout.EventStepDone:
		l.w.checkDone(l, s)
		a.done[e.Step] = true
		a.next = s.index + 1
		if s.step.Kind == plan.KindSnapshot {
			a.handles[s.step.Instance] = e.Handle != nil && !e.Handle.Zero()
		}
		if a.next == len(a.plan.Steps) {
			a.out = false
		}
		if kindOf(s.step, plan.KindOpen, plan.KindVerify) && a.seen() {
			a.out = false
		}
	case rollout.EventStepHeld:
		if a.next = s.index + 1; l.w.plan.Policy.OnHold == "rollback" || l.aborted || a.turned {
			a.turned, a.counted = true, true
			return
		}
		a.done[e.Step], a.held, a.heldAt = true, true, e.At
	case rollout.EventStepRefused:
		a.turned = true
		a.counted = a.counted || a.closed
	case rollout.EventStepFail:
		l.w.checkHopFailed(l, s)
		a.counted = true
		if (a.mayBeIn || e.Evidence[rollout.EvidenceForeign] != "" || s.step.Phase == plan.PhaseAfter) && !a.asked {
			a.stuck, a.accepted = true, false
		} else {
			a.turned = true
		}
	}
}

// seen reports whether the target is open, and every look from outside that the
// plan holds was good.
func (a *account) seen() bool {
	for i := range a.plan.Steps {
		if st := &a.plan.Steps[i]; kindOf(st, plan.KindOpen, plan.KindVerify) && !a.done[st.ID] {
			return false
		}
	}
	return true
}

// never takes the start back: the host says that nothing came of it.
func (l *ledger) never(a *account, s entry) {
	delete(a.begun, s.step.ID)
	if s.undo {
		return
	}
	if s.step.Kind == plan.KindOpen {
		a.mayBeIn = a.anyOpen()
	}
	a.closed = false
	for i := range a.plan.Steps {
		a.closed = a.closed || a.plan.Steps[i].Phase == plan.PhaseClosed && a.begun[a.plan.Steps[i].ID]
	}
	a.out = a.out && a.closed
	if !a.closed && (l.aborted || l.halted) && a.anyBegun() {
		a.turned = true
	}
}

func (a *account) anyOpen() bool {
	for i := range a.plan.Steps {
		if st := &a.plan.Steps[i]; st.Kind == plan.KindOpen && a.begun[st.ID] {
			return true
		}
	}
	return false
}

func (l *ledger) undoOutcome(e rollout.Event, s entry) {
	a := s.of
	if e.Kind == rollout.EventStepDone || e.Kind == rollout.EventStepHeld && s.step.Kind == plan.KindInspect {
		l.w.checkBack(l, s)
		a.done[e.Step] = true
		a.out = a.out && a.owes() != nil
		return
	}
	l.w.checkRepair(l, s)
	a.counted, a.stuck, a.accepted, a.turned = true, true, false, true
}

func (l *ledger) gateOutcome(e rollout.Event, s entry) {
	if e.Kind == rollout.EventStepNever {
		return
	}
	a := s.of
	a.gates[e.Step] = true
	if e.Kind != rollout.EventStepDone && !a.turned && !a.stuck {
		a.counted, a.stuck, a.accepted, a.out = true, true, false, true
	}
}
