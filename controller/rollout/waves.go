package rollout

import (
	"fmt"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
)

var e0 time.Time // the zero instant

func (s *State) applyGate(p place, e Event) error {
	w := &s.Waves[p.wave]
	step := &s.Plan.Waves[p.wave].Gate[p.index]
	if e.Kind == EventStepBegun {
		if w.GateBegun[e.Step] || w.GateDone[e.Step] {
			return fmt.Errorf("gate step %s starts a second time", e.Step)
		}
		w.GateBegun[e.Step] = true
		return nil
	}
	if !w.GateBegun[e.Step] {
		return fmt.Errorf("%s of %s, which does not run", e.Kind, e.Step)
	}
	delete(w.GateBegun, e.Step)
	switch e.Kind {
	case EventStepDone:
		w.GateDone[e.Step] = true
		return nil
	case EventStepNever:
		return nil
	case EventStepFail, EventStepHeld, EventStepRefused:
		w.GateDone[e.Step] = true
		t := s.Targets[step.Target]
		t.Status, t.Counted, t.Reason, t.SettledAt = Failed, true, e.Detail, e.At
		return nil
	}
	return fmt.Errorf("%s is no outcome of %s", e.Kind, e.Step)
}

// halt looks whether the rollout must ask before anything new starts.
func (s *State) halt(e Event) {
	if s.HaltReason != "" {
		return
	}
	if f := s.Failures() - s.Accepted; f > 0 && s.Failures() > s.Plan.Policy.FailureBudget {
		s.HaltReason = fmt.Sprintf("%d of %d targets failed, the failure budget is %d", s.Failures(), len(s.Targets), s.Plan.Policy.FailureBudget)
	}
	for w := range s.Plan.Waves {
		for i := range s.Plan.Waves[w].Targets {
			name := s.Plan.Waves[w].Targets[i].Name
			if t := s.Targets[name]; s.HaltReason == "" && t.Status == Failed && s.Failures() > s.Accepted {
				s.HaltReason = fmt.Sprintf("%s needs a decision: %s", name, t.Reason)
			}
		}
	}
	if s.HaltReason != "" {
		s.cancelPrepared("the rollout halted: "+s.HaltReason, e)
	}
}

// cancelPrepared takes back targets that were only prepared: their users never
// noticed, and nothing new may be closed.
func (s *State) cancelPrepared(reason string, e Event) {
	for w := range s.Plan.Waves {
		for i := range s.Plan.Waves[w].Targets {
			target := &s.Plan.Waves[w].Targets[i]
			t := s.Targets[target.Name]
			if t.Status != Running || !t.ClosedAt.IsZero() || !s.hasClosed(target) {
				continue
			}
			t.Reason = joinReasons(t.Reason, reason)
			if t.Step != "" {
				t.cancelled = true
				continue
			}
			s.takeBack(t, target, e)
		}
	}
}

// cancelHeld takes back targets that wait, closed, for a decision.
func (s *State) cancelHeld(e Event) {
	for w := range s.Plan.Waves {
		for i := range s.Plan.Waves[w].Targets {
			target := &s.Plan.Waves[w].Targets[i]
			if t := s.Targets[target.Name]; t.Status == Held {
				s.takeBack(t, target, e)
			}
		}
	}
}

// resume clears a pause or a halt: the operator accepts what failed so far.
func (s *State) resume() {
	s.Paused, s.HaltReason, s.Ended = false, "", ""
	s.Accepted = s.Failures()
	for w := range s.Waves {
		if !s.Waves[w].SettledAt.IsZero() {
			s.Waves[w].Excused = true
		}
	}
}

func (s *State) hasClosed(target *plan.Target) bool {
	for _, st := range target.Steps {
		if st.Phase == plan.PhaseClosed {
			return true
		}
	}
	return false
}

// settleWaves notes when the last target of a wave settled, and which waves
// have passed their gate.
func (s *State) settleWaves(e Event) {
	for w := range s.Waves {
		ws := &s.Waves[w]
		settled, upgraded, failed := true, 0, 0
		for i := range s.Plan.Waves[w].Targets {
			t := s.Targets[s.Plan.Waves[w].Targets[i].Name]
			settled = settled && t.Settled()
			if t.Status == Upgraded {
				upgraded++
			}
			if t.Status == Failed {
				failed++
			}
		}
		if !settled {
			ws.SettledAt, ws.Passed = e0, false
			continue
		}
		if ws.SettledAt.IsZero() {
			ws.SettledAt = e.At
		}
		if upgraded == 0 && failed == 0 && s.HaltReason == "" && !s.Aborted && !ws.Excused && w+1 < len(s.Waves) {
			s.HaltReason = fmt.Sprintf("no target of wave %s was upgraded; nothing is proved for the next wave", s.Plan.Waves[w].Name)
		}
		ws.Passed = s.gateDone(w)
	}
}

// gateDone reports whether every upgraded target of the wave had its gate step.
func (s *State) gateDone(w int) bool {
	for _, g := range s.Plan.Waves[w].Gate {
		if s.Targets[g.Target] != nil && s.Targets[g.Target].Status == Upgraded && !s.Waves[w].GateDone[g.ID] {
			return false
		}
	}
	return true
}
