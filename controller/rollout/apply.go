package rollout

import (
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
)

var e0 time.Time // the zero instant

// Apply records one event. An error means the event makes no sense in this
// state, which is then unchanged: the journal is damaged or two controllers
// wrote to it.
func (s *State) Apply(e Event) error {
	if err := s.Check(e); err != nil {
		return err
	}
	reason := s.HaltReason
	s.apply(e)
	if e.Seq != 0 {
		s.Seq = e.Seq
	}
	s.halt(e)
	if p, ok := s.steps[e.Step]; ok && !p.gate && s.HaltReason == reason {
		s.settleWave(p.wave, e)
	} else {
		s.settleWaves(e)
	}
	if s.HaltReason != reason {
		s.settleWaves(e) // what a halt cancelled may have settled more
	}
	return nil
}

// apply changes the state by an event that Check has passed.
func (s *State) apply(e Event) {
	switch e.Kind {
	case EventStarted:
		s.Started, s.Digest = e.At, e.Digest
	case EventStepBegun, EventStepDone, EventStepFail, EventStepHeld, EventStepRefused, EventStepNever:
		s.applyStep(e)
	case EventPaused:
		s.Paused = true
	case EventResumed:
		s.resume()
	case EventAborted:
		s.Aborted = true
		if s.Ended == Halted {
			s.Ended = ""
		}
		s.cancelPrepared("aborted by "+e.Who, e)
		s.cancelHeld(e)
	case EventApproved:
		s.approve(e)
	case EventRollback, EventHoldExpired:
		s.rollback(e)
	case EventHalted:
		s.haltFor(e.Detail, e)
	case EventEnded:
		s.Ended = Verdict(e.Detail)
	case EventApprovalExpired:
		s.expireApproval(e)
	case EventWindowWait:
		s.WindowWait = true
	case EventAttached, EventLeaseBroken:
	}
}

func (s *State) applyStep(e Event) {
	p := s.steps[e.Step]
	if p.gate {
		s.applyGate(p, e)
		return
	}
	m := s.waves[p.wave][p.target]
	t := m.state
	if e.Kind == EventStepBegun {
		s.WindowWait = false
		m.begin(p, e)
		return
	}
	t.Step = ""
	switch {
	case e.Kind == EventStepNever:
		s.neverBegan(m, p, e)
	case p.undo:
		m.applyUndo(p, e)
	default:
		s.applyForward(m, p, e)
	}
}

func (m member) begin(p place, e Event) {
	t := m.state
	t.Step = e.Step
	t.Begun[e.Step] = e.At
	if p.undo {
		if m.plan.Undo[p.index].Kind == plan.KindClose && !t.OpenedAt.IsZero() {
			t.ClosedAt, t.OpenedAt = e.At, e0
		}
		return
	}
	t.Status = Running
	if m.plan.Steps[p.index].Phase == plan.PhaseClosed && t.ClosedAt.IsZero() {
		t.ClosedAt = e.At
	}
}

// neverBegan takes a start back: the target stands where it stood before, and
// may be stopped there.
func (s *State) neverBegan(m member, p place, e Event) {
	t := m.state
	delete(t.Begun, e.Step)
	if p.undo {
		return
	}
	if !m.begunClosed() {
		t.ClosedAt = e0
	}
	switch {
	case t.Cancelled, t.ClosedAt.IsZero() && m.hasClosed() && (s.Aborted || s.HaltReason != ""):
		m.takeBack(e)
	case len(t.Begun) == 0:
		t.Status = Waiting
	}
}

func (s *State) applyForward(m member, p place, e Event) {
	t, step := m.state, &m.plan.Steps[p.index]
	switch e.Kind {
	case EventStepDone:
		m.stepDone(p, e)
	case EventStepFail:
		m.stepFailed(step, e)
	case EventStepRefused:
		if !t.ClosedAt.IsZero() { // too late to leave the target as it was
			m.stepFailed(step, e)
			return
		}
		t.Refused, t.Reason = true, e.Detail
		m.takeBack(e)
	case EventStepHeld:
		t.Reason = e.Detail
		if s.Plan.Policy.OnHold == "rollback" || s.Aborted || t.Cancelled {
			t.Counted = true
			m.takeBack(e)
			return
		}
		t.Status, t.HeldAt, t.Next = Held, e.At, p.index+1
		t.Done[e.Step] = true
	}
}

func (m member) stepDone(p place, e Event) {
	t, step := m.state, &m.plan.Steps[p.index]
	if step.Kind == plan.KindSnapshot {
		t.Handles[step.Instance] = *e.Handle
	}
	t.Done[e.Step] = true
	t.Next = p.index + 1
	if step.Kind == plan.KindOpen && m.lastOpen(p.index) {
		t.OpenedAt = e.At
	}
	switch {
	case t.Cancelled:
		m.takeBack(e)
	case t.Next == len(m.plan.Steps):
		t.Status, t.SettledAt = Upgraded, e.At
		m.backInService(e)
	}
}

// stepFailed takes the target back, unless users may be in and wrote already:
// then people decide. A rollback that an operator asked for is done as asked.
func (m member) stepFailed(step *plan.Step, e Event) {
	t := m.state
	t.Counted, t.Reason = true, e.Detail
	if t.Cancelled && t.Asked || !m.usersMayBeIn(step) && e.Evidence[EvidenceForeign] == "" {
		m.takeBack(e)
		return
	}
	t.Status, t.SettledAt, t.Accepted = Failed, e.At, false
	if t.OpenedAt.IsZero() && step.Kind == plan.KindOpen && e.Evidence[EvidenceOpenedAt] != "" && m.lastOpen(m.indexOf(step)) {
		t.OpenedAt = e.At
	}
	t.StillClosed = m.closes() && t.OpenedAt.IsZero()
	if t.StillClosed {
		t.Reason = joinReasons(t.Reason, "nobody can say whether its users were let in")
	}
}

// usersMayBeIn reports whether a user may have written something since the
// snapshot, seen from the failure of a forward step.
func (m member) usersMayBeIn(failed *plan.Step) bool {
	if !m.state.OpenedAt.IsZero() || failed.Phase == plan.PhaseAfter {
		return true
	}
	for _, st := range m.plan.Steps {
		if st.Kind == plan.KindOpen && m.state.Done[st.ID] {
			return true
		}
	}
	return failed.Kind == plan.KindOpen // it may have got as far as that
}

func (m member) applyUndo(p place, e Event) {
	t, step := m.state, &m.plan.Undo[p.index]
	unclear := e.Kind == EventStepHeld && step.Kind == plan.KindInspect
	if unclear {
		// An unclear look at what stood there before the rollout: keeping its
		// users out would help nobody.
		t.Reason = joinReasons(t.Reason, "after the rollback: "+e.Detail)
	}
	if e.Kind == EventStepDone || unclear {
		t.Done[e.Step] = true
		if left := e.Evidence[EvidenceDegraded]; left != "" {
			t.Reason = joinReasons(t.Reason, "rolled back, but "+left)
		}
		if step.Kind == plan.KindOpen && !m.moreToOpen() {
			t.OpenedAt = e.At
		}
		if _, more := m.nextUndo(); !more {
			m.settleBack(e)
		}
		return
	}
	t.Status, t.SettledAt, t.Counted, t.Accepted = Failed, e.At, true, false
	t.Reason = joinReasons(t.Reason, "rollback: "+e.Detail)
	t.StillClosed = m.closes() && !t.ClosedAt.IsZero() && t.OpenedAt.IsZero()
}

// takeBack turns a target round: its undo steps run, or it settles at once.
func (m member) takeBack(e Event) {
	m.state.Status, m.state.Cancelled = RollingBack, false
	if _, more := m.nextUndo(); !more {
		m.settleBack(e)
	}
}

func (m member) settleBack(e Event) {
	t := m.state
	t.Status, t.SettledAt, t.StillClosed = Untouched, e.At, false
	for _, st := range m.plan.Steps {
		if _, begun := t.Begun[st.ID]; begun && (st.Changes || st.Phase == plan.PhaseClosed) {
			t.Status = RolledBack
		}
	}
	m.backInService(e)
}

// backInService ends the time out of service of a target without users of its
// own: a host alone has no step that opens it.
func (m member) backInService(e Event) {
	if t := m.state; !m.closes() && !t.ClosedAt.IsZero() && t.OpenedAt.IsZero() {
		t.OpenedAt = e.At
	}
}

// approve lets a wave start, a held target go on, or accepts a target that
// failed when users were or may have been let in.
func (s *State) approve(e Event) {
	if w := s.wave(e.Wave); w >= 0 {
		s.approveWave(w, e)
		return
	}
	m := s.member(e.Target)
	t := m.state
	if t.Status == Failed {
		if t.Next < len(m.plan.Steps) && m.plan.Steps[t.Next].Kind == plan.KindOpen && m.lastOpen(t.Next) && t.OpenedAt.IsZero() {
			t.OpenedAt = e.At // as the operator saw it; verify looks again
		}
		t.Next++
		t.StillClosed = false
	}
	s.Ended = ""
	t.Status, t.SettledAt = Running, e0
	if t.Next >= len(m.plan.Steps) {
		t.Status, t.SettledAt = Upgraded, e.At
	}
}

func (s *State) rollback(e Event) {
	m := s.member(e.Target)
	t := m.state
	t.Counted = t.Counted || e.Kind == EventHoldExpired
	t.Asked = e.Kind == EventRollback
	t.Reason = joinReasons(t.Reason, e.Detail)
	if t.Status == Failed || t.Status == Upgraded {
		m.undoAgain()
	}
	if t.Step != "" {
		t.Cancelled = true
		return
	}
	s.Ended = ""
	m.takeBack(e)
}

// undoAgain lets a rollback go on at the step that failed. What it did before
// stays done: restoring twice would lose what users wrote in between.
func (m member) undoAgain() {
	t := m.state
	t.SettledAt, t.StillClosed = e0, false
	for _, u := range m.plan.Undo {
		if _, begun := t.Begun[u.ID]; begun && !t.Done[u.ID] {
			delete(t.Begun, u.ID)
			t.Attempts[u.ID]++
		}
	}
}

// resume clears a pause or a halt: the operator accepts what failed so far.
func (s *State) resume() {
	s.Paused, s.HaltReason, s.Ended = false, "", ""
	s.Accepted = s.Failures()
	for _, t := range s.Targets {
		t.Accepted = t.Accepted || t.Status == Failed
	}
	for w := range s.Waves {
		if !s.Waves[w].SettledAt.IsZero() {
			s.Waves[w].Excused = true
		}
	}
}

func joinReasons(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return a + "; " + b
}
