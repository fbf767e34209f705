package rollout

import (
	"fmt"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// Check reports why an event makes no sense in this state, nil when Apply
// takes it. A controller asks before it makes an event durable: one that Apply
// refuses would make the journal unreadable.
func (s *State) Check(e Event) error {
	if e.Seq != 0 && e.Seq != s.Seq+1 {
		return fmt.Errorf("cannot apply event %d after %d: events are missing", e.Seq, s.Seq)
	}
	if s.Started.IsZero() && e.Kind != EventStarted {
		return fmt.Errorf("cannot apply %s: the rollout has not started", e.Kind)
	}
	if err := s.check(e); err != nil {
		return fmt.Errorf("cannot apply event %d: %w", e.Seq, err)
	}
	return nil
}

func (s *State) check(e Event) error {
	switch e.Kind {
	case EventStarted:
		if !s.Started.IsZero() {
			return fmt.Errorf("the rollout started twice")
		}
		if e.At.IsZero() {
			return fmt.Errorf("the rollout started at no time")
		}
		return nil
	case EventStepBegun, EventStepDone, EventStepFail, EventStepHeld, EventStepRefused, EventStepNever:
		return s.checkStep(e)
	case EventPaused, EventResumed, EventAborted, EventHalted, EventAttached, EventLeaseBroken, EventWindowWait:
		return nil
	case EventApprovalExpired:
		return s.checkExpired(e)
	case EventApproved:
		if s.wave(e.Wave) >= 0 {
			return nil
		}
		return s.mayApprove(e)
	case EventRollback:
		return s.mayRollback(e)
	case EventHoldExpired:
		if t := s.Targets[e.Target]; t == nil || t.Status != Held {
			return fmt.Errorf("%s of %q, which is not held", e.Kind, e.Target)
		}
		return nil
	case EventEnded:
		switch v := Verdict(e.Detail); v {
		case Succeeded, Incomplete, Halted, Aborted:
			return nil
		default:
			return fmt.Errorf("unknown verdict %q", v)
		}
	}
	return fmt.Errorf("unknown kind %q", e.Kind)
}

func (s *State) checkStep(e Event) error {
	p, ok := s.steps[e.Step]
	if !ok {
		return fmt.Errorf("%s of step %q, which the plan does not hold", e.Kind, e.Step)
	}
	if p.gate {
		return s.checkGate(p, e)
	}
	m := s.waves[p.wave][p.target]
	if e.Kind == EventStepBegun {
		return m.checkBegin(p, e)
	}
	if m.state.Step != e.Step {
		return fmt.Errorf("%s of %s, which does not run (running: %q)", e.Kind, e.Step, m.state.Step)
	}
	if p.undo {
		return nil
	}
	step := &m.plan.Steps[p.index]
	if e.Kind == EventStepDone && step.Kind == plan.KindSnapshot && (e.Handle == nil || e.Handle.Zero()) {
		return fmt.Errorf("snapshot %s succeeded without a handle", e.Step)
	}
	if e.Kind == EventStepHeld && step.Phase != plan.PhaseClosed {
		return fmt.Errorf("%s is held, but only a closed target can wait", e.Step)
	}
	return nil
}

// checkBegin takes only the one step that is next: a step out of order or a
// second time is no event of this rollout.
func (m member) checkBegin(p place, e Event) error {
	t := m.state
	switch {
	case t.Step != "":
		return fmt.Errorf("%s starts while %s runs", e.Step, t.Step)
	case t.Done[e.Step]:
		return fmt.Errorf("%s starts a second time", e.Step)
	case p.undo:
		if u, ok := m.nextUndo(); t.Status != RollingBack || !ok || u.ID != e.Step {
			return fmt.Errorf("%s starts, but it is not what takes %s (%s) back next", e.Step, m.plan.Name, t.Status)
		}
	case t.Status != Waiting && t.Status != Running || t.Next != p.index:
		return fmt.Errorf("%s starts, but it is not the next step of %s (%s)", e.Step, m.plan.Name, t.Status)
	case m.plan.Steps[p.index].Changes && !m.snapshotsRecorded():
		return fmt.Errorf("%s starts without a snapshot of %s", e.Step, m.plan.Name)
	}
	return nil
}

func (s *State) checkGate(p place, e Event) error {
	w := &s.Waves[p.wave]
	if e.Kind != EventStepBegun {
		if !w.GateBegun[e.Step] {
			return fmt.Errorf("%s of %s, which does not run", e.Kind, e.Step)
		}
		return nil
	}
	if w.GateBegun[e.Step] || w.GateDone[e.Step] {
		return fmt.Errorf("gate step %s starts a second time", e.Step)
	}
	return nil
}

// Allows reports why an operator's event would be refused in this state, nil
// when Apply would take it.
func (s *State) Allows(e Event) error {
	final := s.Ended != "" && s.Ended != Halted
	switch e.Kind {
	case EventPaused:
		if s.Ended != "" {
			return fmt.Errorf("the rollout has ended: %s", s.Ended)
		}
		return nil
	case EventResumed, EventAborted:
		if final {
			return fmt.Errorf("the rollout has ended: %s", s.Ended)
		}
		return nil
	case EventApproved:
		return s.mayApprove(e)
	case EventRollback:
		return s.mayRollback(e)
	case EventLeaseBroken:
		return nil
	case EventStarted, EventStepBegun, EventStepDone, EventStepFail, EventStepHeld, EventStepRefused,
		EventStepNever, EventHoldExpired, EventHalted, EventEnded, EventAttached, EventApprovalExpired, EventWindowWait:
	}
	return fmt.Errorf("%q is not for operators to ask", e.Kind)
}

func (s *State) mayApprove(e Event) error {
	if w := s.wave(e.Wave); w >= 0 {
		return s.mayApproveWave(w, e)
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
	m := s.member(e.Target)
	if m.undoBegun() {
		return fmt.Errorf("%s cannot be approved: its rollback was begun; finish it with a rollback", e.Target)
	}
	return s.hostFree(m)
}

func (s *State) mayRollback(e Event) error {
	t, ok := s.Targets[e.Target]
	if !ok {
		return fmt.Errorf("%s of %q, which the plan does not hold", e.Kind, e.Target)
	}
	switch t.Status {
	case Waiting, Untouched, RolledBack, RollingBack:
		return fmt.Errorf("%s cannot be rolled back: it is %s", e.Target, t.Status)
	case Running, Held:
		return nil
	case Upgraded, Failed:
		m := s.member(e.Target)
		if !m.undoBegun() && !m.restores() {
			return fmt.Errorf("%s cannot be rolled back: its plan took no snapshot that could be put back", e.Target)
		}
		if o := s.builtOn(m); o != "" && m.restores() {
			return fmt.Errorf("%s cannot be rolled back before %s: its snapshots are older and would take %s back unasked; roll back %s first", e.Target, o, o, o)
		}
		return s.hostFree(m)
	}
	return fmt.Errorf("%s cannot be rolled back: it is in the unknown state %q", e.Target, t.Status)
}

// builtOn names a target that was changed after this one, a host whose
// snapshots hold it too, and that still stands so; "" when there is none.
func (s *State) builtOn(host member) string {
	if host.plan.Instance != "" {
		return ""
	}
	for _, wave := range s.waves {
		for _, o := range wave {
			if o.plan.Host != host.plan.Host || o.plan.Name == host.plan.Name || o.state.Status == RolledBack {
				continue
			}
			for _, st := range o.plan.Steps {
				if _, begun := o.state.Begun[st.ID]; begun && st.Changes {
					return o.plan.Name
				}
			}
		}
	}
	return ""
}

// hostFree refuses to set a settled target in motion while another one of its
// host is.
func (s *State) hostFree(m member) error {
	for _, wave := range s.waves {
		for _, o := range wave {
			if o.plan.Host == m.plan.Host && o.plan.Name != m.plan.Name && o.state.Status != Waiting && !o.state.Settled() {
				return fmt.Errorf("%s must wait: %s of the same host is %s; ask again when it has settled", m.plan.Name, o.plan.Name, o.state.Status)
			}
		}
	}
	return nil
}
