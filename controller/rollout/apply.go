package rollout

import (
	"fmt"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// Apply records one event. An error means the event makes no sense in this
// state: the journal is damaged or two controllers wrote to it.
func (s *State) Apply(e Event) error {
	if e.Seq != 0 && e.Seq != s.Seq+1 {
		return fmt.Errorf("cannot apply event %d after %d: events are missing", e.Seq, s.Seq)
	}
	if s.Started.IsZero() && e.Kind != EventStarted {
		return fmt.Errorf("cannot apply %s: the rollout has not started", e.Kind)
	}
	if err := s.apply(e); err != nil {
		return fmt.Errorf("cannot apply event %d: %w", e.Seq, err)
	}
	if e.Seq != 0 {
		s.Seq = e.Seq
	}
	s.halt(e)
	s.settleWaves(e)
	return nil
}

func (s *State) apply(e Event) error {
	switch e.Kind {
	case EventStarted:
		if !s.Started.IsZero() {
			return fmt.Errorf("the rollout started twice")
		}
		s.Started = e.At
		return nil
	case EventStepBegun, EventStepDone, EventStepFail, EventStepHeld, EventStepRefused, EventStepNever:
		return s.applyStep(e)
	case EventPaused:
		s.Paused = true
		return nil
	case EventResumed:
		s.resume()
		return nil
	case EventAborted:
		s.Aborted = true
		s.cancelPrepared("aborted by "+e.Who, e)
		s.cancelHeld(e)
		return nil
	case EventApproved:
		return s.approve(e)
	case EventRollback, EventHoldExpired:
		return s.rollback(e)
	case EventHalted:
		s.HaltReason = e.Detail
		s.cancelPrepared("the rollout halted: "+e.Detail, e)
		return nil
	case EventEnded:
		s.Ended = Verdict(e.Detail)
		return nil
	case EventAttached:
		return nil
	}
	return fmt.Errorf("unknown kind %q", e.Kind)
}

func (s *State) applyStep(e Event) error {
	p, ok := s.steps[e.Step]
	if !ok {
		return fmt.Errorf("%s of step %q, which the plan does not hold", e.Kind, e.Step)
	}
	if p.gate {
		return s.applyGate(p, e)
	}
	target := &s.Plan.Waves[p.wave].Targets[p.target]
	t := s.Targets[target.Name]
	if e.Kind == EventStepBegun {
		return s.begin(t, target, p, e)
	}
	if t.Step != e.Step {
		return fmt.Errorf("%s of %s, which does not run (running: %q)", e.Kind, e.Step, t.Step)
	}
	t.Step = ""
	if e.Kind == EventStepNever {
		delete(t.Begun, e.Step)
		return s.endCancelled(t, target, e)
	}
	if p.undo {
		return s.applyUndo(t, target, p, e)
	}
	return s.applyForward(t, target, p, e)
}

func (s *State) begin(t *TargetState, target *plan.Target, p place, e Event) error {
	if t.Step != "" {
		return fmt.Errorf("%s starts while %s runs", e.Step, t.Step)
	}
	if t.Done[e.Step] {
		return fmt.Errorf("%s starts a second time", e.Step)
	}
	t.Step = e.Step
	t.Begun[e.Step] = e.At
	if p.undo {
		if target.Undo[p.index].Kind == plan.KindClose {
			t.ClosedAt, t.OpenedAt = e.At, e0
		}
		return nil
	}
	t.Status = Running
	if target.Steps[p.index].Phase == plan.PhaseClosed && t.ClosedAt.IsZero() {
		t.ClosedAt = e.At
	}
	return nil
}

func (s *State) applyForward(t *TargetState, target *plan.Target, p place, e Event) error {
	step := &target.Steps[p.index]
	switch e.Kind {
	case EventStepDone:
		if step.Kind == plan.KindSnapshot {
			if e.Handle == nil || e.Handle.Zero() {
				return fmt.Errorf("snapshot %s succeeded without a handle", e.Step)
			}
			t.Handles[step.Instance] = *e.Handle
		}
		t.Done[e.Step] = true
		t.Next = p.index + 1
		if step.Kind == plan.KindOpen && s.lastOpen(target, p.index) {
			t.OpenedAt = e.At
		}
		if t.Next == len(target.Steps) {
			t.Status, t.SettledAt = Upgraded, e.At
			return nil
		}
		return s.endCancelled(t, target, e)
	case EventStepFail:
		t.Counted, t.Reason = true, e.Detail
		if !t.OpenedAt.IsZero() || step.Phase == plan.PhaseAfter {
			t.Status, t.SettledAt = Failed, e.At
			return nil
		}
		s.takeBack(t, target, e)
		return nil
	case EventStepRefused:
		t.Refused, t.Reason = true, e.Detail
		s.takeBack(t, target, e)
		return nil
	case EventStepHeld:
		if step.Phase != plan.PhaseClosed {
			return fmt.Errorf("%s is held, but only a closed target can wait", e.Step)
		}
		t.Reason = e.Detail
		if s.Plan.Policy.OnHold == "rollback" || s.Aborted {
			t.Counted = true
			s.takeBack(t, target, e)
			return nil
		}
		t.Status, t.HeldAt, t.Next = Held, e.At, p.index+1
		t.Done[e.Step] = true
		return nil
	}
	return fmt.Errorf("%s is no outcome of %s", e.Kind, e.Step)
}

// lastOpen reports whether the open step at index i is the target's last.
func (s *State) lastOpen(target *plan.Target, i int) bool {
	for _, st := range target.Steps[i+1:] {
		if st.Kind == plan.KindOpen {
			return false
		}
	}
	return true
}

func (s *State) applyUndo(t *TargetState, target *plan.Target, p place, e Event) error {
	step := &target.Undo[p.index]
	switch e.Kind {
	case EventStepDone:
		t.Done[e.Step] = true
		if step.Kind == plan.KindOpen {
			t.OpenedAt = e.At
		}
		if _, more := s.nextUndo(t, target); !more {
			s.settleBack(t, target, e)
		}
		return nil
	case EventStepFail, EventStepHeld, EventStepRefused:
		t.Status, t.SettledAt, t.Counted = Failed, e.At, true
		t.Reason = joinReasons(t.Reason, "rollback: "+e.Detail)
		t.StillClosed = !t.ClosedAt.IsZero() && t.OpenedAt.IsZero()
		return nil
	}
	return fmt.Errorf("%s is no outcome of %s", e.Kind, e.Step)
}

// takeBack turns a target round: its undo steps run, or it settles at once.
func (s *State) takeBack(t *TargetState, target *plan.Target, e Event) {
	t.Status, t.cancelled = RollingBack, false
	if _, more := s.nextUndo(t, target); !more {
		s.settleBack(t, target, e)
	}
}

func (s *State) settleBack(t *TargetState, target *plan.Target, e Event) {
	t.SettledAt = e.At
	t.Status = Untouched
	for _, st := range target.Steps {
		if _, begun := t.Begun[st.ID]; begun && (st.Changes || st.Phase == plan.PhaseClosed) {
			t.Status = RolledBack
		}
	}
}

// nextUndo returns the next undo step that is needed: any step it undoes began.
func (s *State) nextUndo(t *TargetState, target *plan.Target) (*plan.Step, bool) {
	for i := range target.Undo {
		u := &target.Undo[i]
		if t.Done[u.ID] {
			continue
		}
		for _, id := range u.Undoes {
			if _, begun := t.Begun[id]; begun {
				return u, true
			}
		}
	}
	return nil, false
}

// Allows reports why an operator's event would be refused in this state, nil
// when Apply would take it.
func (s *State) Allows(e Event) error {
	switch e.Kind {
	case EventPaused, EventResumed, EventAborted:
		return nil
	case EventApproved:
		return s.mayApprove(e)
	case EventRollback:
		return s.mayRollback(e)
	case EventStarted, EventStepBegun, EventStepDone, EventStepFail, EventStepHeld, EventStepRefused,
		EventStepNever, EventHoldExpired, EventHalted, EventEnded, EventAttached:
	}
	return fmt.Errorf("%q is not for operators to ask", e.Kind)
}

func (s *State) mayApprove(e Event) error {
	for w := range s.Plan.Waves {
		if e.Wave != "" && s.Plan.Waves[w].Name == e.Wave {
			return nil
		}
	}
	t, ok := s.Targets[e.Target]
	if !ok {
		return fmt.Errorf("nothing named %q waits for approval", e.Wave+e.Target)
	}
	if t.Status == Held {
		return nil
	}
	if t.Status != Failed {
		return fmt.Errorf("%s is %s, it does not wait for approval", e.Target, t.Status)
	}
	if t.OpenedAt.IsZero() || s.undoBegun(t, s.planTarget(e.Target)) {
		return fmt.Errorf("%s cannot be approved: it was not opened as upgraded", e.Target)
	}
	return nil
}

func (s *State) approve(e Event) error {
	if err := s.mayApprove(e); err != nil {
		return err
	}
	for w := range s.Plan.Waves {
		if e.Wave != "" && s.Plan.Waves[w].Name == e.Wave {
			s.Waves[w].Approved = true
			return nil
		}
	}
	t := s.Targets[e.Target]
	if t.Status == Failed { // after opening: the operator accepts the target as it is
		t.Next++
	}
	t.Status, t.SettledAt = Running, e0
	if t.Next >= len(s.planTarget(e.Target).Steps) {
		t.Status, t.SettledAt = Upgraded, e.At
	}
	return nil
}

func (s *State) undoBegun(t *TargetState, target *plan.Target) bool {
	for _, u := range target.Undo {
		if _, ok := t.Begun[u.ID]; ok {
			return true
		}
	}
	return false
}

func (s *State) mayRollback(e Event) error {
	t, ok := s.Targets[e.Target]
	if !ok {
		return fmt.Errorf("%s of %q, which the plan does not hold", e.Kind, e.Target)
	}
	switch t.Status {
	case Waiting, Untouched, RolledBack, RollingBack:
		return fmt.Errorf("%s cannot be rolled back: it is %s", e.Target, t.Status)
	case Running, Held, Upgraded, Failed:
	}
	return nil
}

func (s *State) rollback(e Event) error {
	if err := s.mayRollback(e); err != nil {
		return err
	}
	t := s.Targets[e.Target]
	t.Counted = t.Counted || e.Kind == EventHoldExpired
	t.Asked = e.Kind == EventRollback
	t.Reason = joinReasons(t.Reason, e.Detail)
	if t.Status == Failed || t.Status == Upgraded {
		// Users were let in: closing again is part of the way back.
		s.forgetUndo(t, s.planTarget(e.Target))
	}
	if t.Step != "" {
		t.cancelled = true
		return nil
	}
	s.Ended = ""
	s.takeBack(t, s.planTarget(e.Target), e)
	return nil
}

// forgetUndo lets undo steps that ran before run again.
func (s *State) forgetUndo(t *TargetState, target *plan.Target) {
	t.SettledAt, t.StillClosed = e0, false
	for _, u := range target.Undo {
		delete(t.Done, u.ID)
		delete(t.Begun, u.ID)
	}
}

// endCancelled turns a target round whose running step has just ended.
func (s *State) endCancelled(t *TargetState, target *plan.Target, e Event) error {
	if t.cancelled && t.Status == Running {
		s.takeBack(t, target, e)
		return nil
	}
	return nil
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
