package rollout

import (
	"fmt"
	"maps"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Status is where a target stands.
type Status string

// The statuses of a target. Settled ones are upgraded, rolled_back, untouched
// and failed; failed asks for people.
const (
	Waiting     Status = "waiting"
	Running     Status = "running"
	Held        Status = "held" // the gate was inconclusive: closed, waiting for approve or rollback
	RollingBack Status = "rolling_back"
	Upgraded    Status = "upgraded"
	RolledBack  Status = "rolled_back"
	Untouched   Status = "untouched"
	Failed      Status = "failed"
)

// TargetState is what is known of one target. Plan indexes Target.
type TargetState struct {
	Status Status
	// Step is the running step's ID, "" when none runs.
	Step string
	// Next indexes the plan's Steps: the first not yet done.
	Next int
	// Begun and Done hold step IDs.
	Begun map[string]time.Time
	Done  map[string]bool
	// Handles are the snapshots taken, by instance.
	Handles map[string]driver.Handle
	// Attempts counts how often an undo step was begun anew after it failed.
	Attempts map[string]int
	// Counted is true once the target used up a share of the failure budget.
	Counted bool
	// Accepted is true once an operator resumed although this target failed.
	Accepted bool
	// Refused is true when the facts no longer were as planned.
	Refused bool
	// Asked is true when an operator asked for the rollback.
	Asked     bool
	Reason    string // of the failure, refusal or hold
	HeldAt    time.Time
	ClosedAt  time.Time // the first closed step began
	OpenedAt  time.Time // users were let in
	SettledAt time.Time
	// StillClosed is true when users are kept out and no step will let them in.
	StillClosed bool
	// Cancelled is true when the target must be taken back as soon as its
	// running step ends.
	Cancelled bool
}

// WaveState is what is known of one wave.
type WaveState struct {
	SettledAt time.Time // all targets settled; zero before
	// Approved is true while enough people let it start.
	Approved  bool
	Approvals []Approval // one of each person, oldest first
	Expired   []Approval // that stopped counting before the wave began
	GateBegun map[string]bool
	GateDone  map[string]bool
	Passed    bool
	// Excused is true when an operator resumed although nobody was upgraded.
	Excused bool
}

// State is the fold of a rollout's events.
type State struct {
	Plan    *plan.Plan
	Zones   plan.Zones // of the windows and blackouts
	Digest  string     // of the plan, as the rollout's start has it
	Seq     int64
	Started time.Time
	Ended   Verdict
	Paused  bool
	Aborted bool
	// WindowWait is true while nothing is under way and a window is waited for.
	WindowWait bool
	// HaltReason is why nothing new starts until an operator decides, "" when not halted.
	HaltReason string
	// Accepted is the number of failures an operator resumed after.
	Accepted int
	Waves    []WaveState
	Targets  map[string]*TargetState

	calendar *plan.Calendar
	steps    map[string]place
	waves    [][]member // as Plan.Waves and their Targets
}

// place finds a step in the plan.
type place struct {
	wave   int
	target int // -1: none
	index  int
	undo   bool
	gate   bool
}

// New returns the state before the first event. It refuses a plan whose steps
// cannot be told apart, that has a changing step without all its snapshots
// before it, or that no rule of this package could keep. zones must hold those
// of the plan's windows and blackouts; UTC needs none.
func New(p *plan.Plan, zones plan.Zones) (*State, error) {
	s := &State{Plan: p, Zones: zones, Targets: map[string]*TargetState{}, steps: map[string]place{}}
	if err := s.build(); err != nil {
		return nil, fmt.Errorf("cannot use plan of %s: %w", p.Rollout, err)
	}
	return s, nil
}

func (s *State) build() error {
	p := s.Plan
	if p.Policy.MaxUnavailable < 1 {
		return fmt.Errorf("max unavailable is %d, it must be at least 1", p.Policy.MaxUnavailable)
	}
	var err error
	if s.calendar, err = p.Policy.Calendar(s.Zones); err != nil {
		return err
	}
	s.Waves, s.waves = make([]WaveState, len(p.Waves)), make([][]member, len(p.Waves))
	for w := range p.Waves {
		s.Waves[w] = WaveState{GateBegun: map[string]bool{}, GateDone: map[string]bool{}}
		for t := range p.Waves[w].Targets {
			if err := s.addTarget(w, t); err != nil {
				return err
			}
		}
		for i, st := range p.Waves[w].Gate {
			if s.Targets[st.Target] == nil {
				return fmt.Errorf("gate step %s is of target %q, which does not stand before it", st.ID, st.Target)
			}
			if err := s.addStep(st.ID, place{wave: w, target: -1, index: i, gate: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *State) addTarget(w, t int) error {
	target := &s.Plan.Waves[w].Targets[t]
	if _, ok := s.Targets[target.Name]; ok {
		return fmt.Errorf("target %s stands in it twice", target.Name)
	}
	if len(target.Steps) == 0 {
		return fmt.Errorf("target %s has no steps", target.Name)
	}
	ts := &TargetState{Status: Waiting, Begun: map[string]time.Time{}, Done: map[string]bool{},
		Handles: map[string]driver.Handle{}, Attempts: map[string]int{}}
	s.Targets[target.Name] = ts
	s.waves[w] = append(s.waves[w], member{target, ts})
	snapshots, changing := 0, ""
	for i, st := range target.Steps {
		if st.Kind == plan.KindSnapshot {
			snapshots++
		}
		if st.Changes && snapshots == 0 {
			return fmt.Errorf("step %s changes its target and no snapshot stands before it", st.ID)
		}
		if st.Changes && changing == "" {
			changing = st.ID
		}
		if st.Kind == plan.KindSnapshot && changing != "" {
			return fmt.Errorf("snapshot %s stands after %s, which changes its target", st.ID, changing)
		}
		if err := s.addStep(st.ID, place{wave: w, target: t, index: i}); err != nil {
			return err
		}
	}
	for i, st := range target.Undo {
		for _, id := range st.Undoes {
			if p, ok := s.steps[id]; !ok || p.undo || p.wave != w || p.target != t {
				return fmt.Errorf("step %s undoes %q, which is no step of %s", st.ID, id, target.Name)
			}
		}
		if err := s.addStep(st.ID, place{wave: w, target: t, index: i, undo: true}); err != nil {
			return err
		}
	}
	return nil
}

func (s *State) addStep(id string, p place) error {
	if _, ok := s.steps[id]; ok || id == "" {
		return fmt.Errorf("step %q stands in it twice or has no name", id)
	}
	s.steps[id] = p
	return nil
}

// Step returns the plan's step of that ID and its target (nil for a gate step).
func (s *State) Step(id string) (*plan.Step, *plan.Target, bool) {
	p, ok := s.steps[id]
	if !ok {
		return nil, nil, false
	}
	w := &s.Plan.Waves[p.wave]
	if p.gate {
		return &w.Gate[p.index], s.planTarget(w.Gate[p.index].Target), true
	}
	t := &w.Targets[p.target]
	if p.undo {
		return &t.Undo[p.index], t, true
	}
	return &t.Steps[p.index], t, true
}

func (s *State) planTarget(name string) *plan.Target {
	for w := range s.Plan.Waves {
		for t := range s.Plan.Waves[w].Targets {
			if s.Plan.Waves[w].Targets[t].Name == name {
				return &s.Plan.Waves[w].Targets[t]
			}
		}
	}
	return nil
}

// InFlight lists started steps without an outcome, in plan order.
func (s *State) InFlight() []string {
	var ids []string
	for w := range s.Plan.Waves {
		for t := range s.Plan.Waves[w].Targets {
			if id := s.Targets[s.Plan.Waves[w].Targets[t].Name].Step; id != "" {
				ids = append(ids, id)
			}
		}
		for _, g := range s.Plan.Waves[w].Gate {
			if s.Waves[w].GateBegun[g.ID] {
				ids = append(ids, g.ID)
			}
		}
	}
	return ids
}

// Hosts are those that the rollout may still change by itself, with whether a
// target of theirs was begun and has not settled.
func (s *State) Hosts() map[string]bool {
	hosts := map[string]bool{}
	for _, wave := range s.waves {
		for _, m := range wave {
			if !m.state.Settled() {
				hosts[m.plan.Host] = hosts[m.plan.Host] || m.state.Status != Waiting
			}
		}
	}
	return hosts
}

// Settled reports whether a target's fate is known.
func (t *TargetState) Settled() bool {
	switch t.Status {
	case Upgraded, RolledBack, Untouched, Failed:
		return true
	case Waiting, Running, Held, RollingBack:
		return false
	}
	return false
}

// Failures counts the targets that used up the failure budget.
func (s *State) Failures() int {
	n := 0
	for _, wave := range s.waves {
		for _, m := range wave {
			if m.state.Counted {
				n++
			}
		}
	}
	return n
}

// Counts is how many targets ended how; targets not settled count as untouched
// when nothing of theirs was begun.
type Counts struct {
	Upgraded   int `json:"upgraded"`
	RolledBack int `json:"rolled_back"`
	Failed     int `json:"failed"`
	Untouched  int `json:"untouched"`
	Running    int `json:"-"`
}

// Count sums up the targets of the plan, the blocked ones included as untouched.
func (s *State) Count() Counts {
	c := Counts{Untouched: len(s.Plan.Blocked)}
	for _, t := range s.Targets {
		switch t.Status {
		case Upgraded:
			c.Upgraded++
		case RolledBack:
			c.RolledBack++
		case Failed:
			c.Failed++
		case Untouched, Waiting:
			c.Untouched++
		case Running, Held, RollingBack:
			c.Running++
		}
	}
	return c
}

// Closed names the targets whose users are kept out at this moment, or may be,
// in plan order. A host alone has no users to keep out.
func (s *State) Closed() []string {
	var names []string
	for _, wave := range s.waves {
		for _, m := range wave {
			if m.closes() && !m.state.ClosedAt.IsZero() && m.state.OpenedAt.IsZero() {
				names = append(names, m.plan.Name)
			}
		}
	}
	return names
}

// Handles returns a copy of the snapshots taken of a target, by instance.
func (s *State) Handles(target string) map[string]driver.Handle {
	return maps.Clone(s.Targets[target].Handles)
}

// Attempt is how often a step was begun before and failed: 0 the first time.
// It belongs to what the host knows a step by, so that a rollback asked for
// again is not answered with the failure of the one before.
func (s *State) Attempt(step string) int {
	p, ok := s.steps[step]
	if !ok || p.gate {
		return 0
	}
	return s.waves[p.wave][p.target].state.Attempts[step]
}
