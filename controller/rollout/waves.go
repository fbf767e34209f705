package rollout

import (
	"fmt"
)

func (s *State) applyGate(p place, e Event) {
	w := &s.Waves[p.wave]
	if e.Kind == EventStepBegun {
		w.GateBegun[e.Step] = true
		return
	}
	delete(w.GateBegun, e.Step)
	if e.Kind == EventStepNever {
		return
	}
	w.GateDone[e.Step] = true
	t := s.Targets[s.Plan.Waves[p.wave].Gate[p.index].Target]
	// A target that an operator takes back meanwhile is judged by its rollback.
	if e.Kind != EventStepDone && t.Status == Upgraded {
		t.Status, t.Counted, t.Accepted, t.Reason, t.SettledAt = Failed, true, false, e.Detail, e.At
	}
}

// halt looks whether the rollout must ask before anything new starts.
func (s *State) halt(e Event) {
	if s.HaltReason != "" {
		return
	}
	failures := s.Failures()
	if failures > s.Accepted && failures > s.Plan.Policy.FailureBudget {
		s.haltFor(fmt.Sprintf("%d of %d targets failed, the failure budget is %d", failures, len(s.Targets), s.Plan.Policy.FailureBudget), e)
		return
	}
	for _, wave := range s.waves {
		for _, m := range wave {
			if t := m.state; t.Status == Failed && !t.Accepted {
				s.haltFor(fmt.Sprintf("%s needs a decision: %s", m.plan.Name, t.Reason), e)
				return
			}
		}
	}
}

func (s *State) haltFor(reason string, e Event) {
	s.HaltReason = reason
	s.cancelPrepared("the rollout halted: "+reason, e)
}

// cancelPrepared takes back targets that were only prepared: their users never
// noticed, and nothing new may be closed.
func (s *State) cancelPrepared(reason string, e Event) {
	for _, wave := range s.waves {
		for _, m := range wave {
			t := m.state
			if t.Status != Running || !t.ClosedAt.IsZero() || !m.hasClosed() {
				continue
			}
			t.Reason = joinReasons(t.Reason, reason)
			if t.Step != "" {
				t.Cancelled = true
				continue
			}
			m.takeBack(e)
		}
	}
}

// cancelHeld takes back targets that wait, closed, for a decision.
func (s *State) cancelHeld(e Event) {
	for _, wave := range s.waves {
		for _, m := range wave {
			if m.state.Status == Held {
				m.takeBack(e)
			}
		}
	}
}

func (s *State) settleWaves(e Event) {
	for w := range s.waves {
		s.settleWave(w, e)
	}
}

// settleWave notes when the last target of a wave settled, and whether the
// wave has passed its gate.
func (s *State) settleWave(w int, e Event) {
	ws := &s.Waves[w]
	upgraded, failed := 0, 0
	for _, m := range s.waves[w] {
		if !m.state.Settled() {
			ws.SettledAt, ws.Passed = e0, false
			return
		}
		switch m.state.Status {
		case Upgraded:
			upgraded++
		case Failed:
			failed++
		}
	}
	if ws.SettledAt.IsZero() {
		ws.SettledAt = e.At
	}
	ws.Passed = s.gateDone(w)
	if upgraded == 0 && failed == 0 && s.HaltReason == "" && !s.Aborted && !ws.Excused && s.waiting(w+1) {
		s.haltFor(fmt.Sprintf("no target of wave %s was upgraded; nothing is proved for the next wave", s.Plan.Waves[w].Name), e)
	}
}

// waiting reports whether any target from wave w on has not begun: what an
// earlier wave proved still matters to it.
func (s *State) waiting(w int) bool {
	for ; w < len(s.waves); w++ {
		for _, m := range s.waves[w] {
			if m.state.Status == Waiting {
				return true
			}
		}
	}
	return false
}

// gateDone reports whether every upgraded target of the wave had its gate step.
func (s *State) gateDone(w int) bool {
	for _, g := range s.Plan.Waves[w].Gate {
		if s.Targets[g.Target].Status == Upgraded && !s.Waves[w].GateDone[g.ID] {
			return false
		}
	}
	return true
}
