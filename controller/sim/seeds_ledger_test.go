package sim_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// ledger reads the raw events of one journal and holds them against the rules
// of package rollout. It shares no code with it, and knows no more than what
// an event says and what the plan holds.
type ledger struct {
	w       *world
	rollout string
	digest  string // of the plan, as the start has it
	quiet   bool
	targets map[string]*account
	steps   map[string]entry
	order   []*account
	waves   []waveAccount

	paused, aborted, halted, ended bool
	accepted                       int
}

// entry finds a step of the plan.
type entry struct {
	step       *plan.Step
	of         *account
	index      int
	undo, gate bool
}

// account is what the events say of one target.
type account struct {
	plan     *plan.Target
	wave     int
	flight   string // the step without an outcome
	flightAt time.Time
	starter  int // the controller that started it
	begun    map[string]bool
	done     map[string]bool
	handles  map[string]bool
	next     int
	closed   bool // its first closed step began
	out      bool // holds a share of max unavailable
	mayBeIn  bool // users were, or may have been, let in
	verified map[string]bool
	counted  bool // used up a share of the budget
	stuck    bool // failed, and asks for people
	accepted bool
	turned   bool // there is a reason to take it back
	held     bool
	asked    bool
	heldAt   time.Time
	gates    map[string]bool
}

type waveAccount struct {
	given   map[string]given // approvals, by person
	excused bool
	settled time.Time // the last outcome in it, in the order of events
}

func newLedger(w *world, id string) *ledger {
	l := &ledger{w: w, rollout: id, targets: map[string]*account{}, steps: map[string]entry{}, waves: make([]waveAccount, len(w.plan.Waves))}
	for i := range w.plan.Waves {
		wave := &w.plan.Waves[i]
		for k := range wave.Targets {
			t := &wave.Targets[k]
			a := &account{plan: t, wave: i, begun: map[string]bool{}, done: map[string]bool{}, handles: map[string]bool{}, verified: map[string]bool{}, gates: map[string]bool{}}
			l.targets[t.Name], l.order = a, append(l.order, a)
			for n := range t.Steps {
				l.steps[t.Steps[n].ID] = entry{step: &t.Steps[n], of: a, index: n}
			}
			for n := range t.Undo {
				l.steps[t.Undo[n].ID] = entry{step: &t.Undo[n], of: a, index: n, undo: true}
			}
		}
		for n := range wave.Gate {
			l.steps[wave.Gate[n].ID] = entry{step: &wave.Gate[n], of: l.targets[wave.Gate[n].Target], index: n, gate: true}
		}
	}
	return l
}

func (l *ledger) broken(rule, format string, a ...any) {
	if !l.quiet {
		l.w.broken(rule, format, a...)
	}
}

// see is told every event as it becomes durable.
func (l *ledger) see(e rollout.Event, by int) {
	switch e.Kind {
	case rollout.EventStarted:
		l.digest = e.Digest
	case rollout.EventStepBegun:
		l.begin(e, by)
	case rollout.EventStepDone, rollout.EventStepFail, rollout.EventStepHeld, rollout.EventStepRefused, rollout.EventStepNever:
		l.outcome(e)
	case rollout.EventPaused:
		l.paused = true
	case rollout.EventAborted:
		l.aborted, l.ended = true, false
		l.turnPrepared()
		for _, a := range l.order {
			a.turned, a.held = a.turned || a.held, false
		}
	case rollout.EventHalted:
		l.halt()
	case rollout.EventResumed:
		l.resume()
	case rollout.EventApproved:
		l.approve(e)
	case rollout.EventRollback:
		a := l.targets[e.Target]
		a.turned, a.asked, a.stuck, a.held, l.ended = true, true, false, false, false
	case rollout.EventHoldExpired:
		a := l.targets[e.Target]
		if !a.held || e.At.Before(a.heldAt.Add(l.w.plan.Policy.HoldTimeout)) {
			l.broken("a held target waits for people", "%s expires", e.Target)
		}
		a.turned, a.held, a.counted = true, false, true
	case rollout.EventApprovalExpired:
		l.expired(e)
	case rollout.EventWindowWait:
		l.waits()
	case rollout.EventEnded:
		l.ended = true
		l.checkEnd(e)
	}
	l.budget()
}

func (l *ledger) resume() {
	l.paused, l.halted, l.ended, l.accepted = false, false, false, l.failures()
	for _, a := range l.order {
		a.accepted = a.accepted || a.stuck
	}
	for w := range l.waves {
		l.waves[w].excused = l.waves[w].excused || l.settledWave(w)
	}
}

func (l *ledger) approve(e rollout.Event) {
	for w := range l.waves {
		if e.Wave != "" && l.w.plan.Waves[w].Name == e.Wave {
			l.approveWave(w, e)
			return
		}
	}
	a := l.targets[e.Target]
	for i := range a.plan.Undo {
		if a.begun[a.plan.Undo[i].ID] {
			l.broken("a target whose rollback was begun cannot be approved", "%s is approved after %s", a.plan.Name, a.plan.Undo[i].ID)
		}
	}
	if a.stuck && a.next < len(a.plan.Steps) {
		a.next++
	}
	a.held, a.stuck, a.turned, l.ended = false, false, false, false
	if a.next == len(a.plan.Steps) {
		a.out = false
	}
}

func (l *ledger) failures() (n int) {
	for _, a := range l.order {
		if a.counted {
			n++
		}
	}
	return n
}

func (l *ledger) halt() {
	l.halted = true
	l.turnPrepared()
}

// turnPrepared notes that what was only prepared is to be taken back.
func (l *ledger) turnPrepared() {
	for _, a := range l.order {
		if a.anyBegun() && !a.closed && a.next < len(a.plan.Steps) {
			a.turned = true
		}
	}
}

// budget looks whether the failures so far, or one that asks for people, must
// stop the rollout.
func (l *ledger) budget() {
	if l.halted {
		return
	}
	if n := l.failures(); n > l.accepted && n > l.w.plan.Policy.FailureBudget {
		l.halt()
		return
	}
	for _, a := range l.order {
		if a.stuck && !a.accepted {
			l.halt()
			return
		}
	}
	for w := range l.waves {
		if !l.aborted && !l.waves[w].excused && l.settledWave(w) && l.nobody(w) && l.waiting(w+1) {
			l.halt()
			return
		}
	}
}

// nobody reports whether a wave proved nothing: no target of it was upgraded,
// none asks for people.
func (l *ledger) nobody(w int) bool {
	for _, a := range l.order {
		if a.wave == w && (a.stuck || !a.turned) {
			return false
		}
	}
	return true
}

func (l *ledger) waiting(from int) bool {
	for _, a := range l.order {
		if a.wave >= from && !a.anyBegun() {
			return true
		}
	}
	return false
}

// stopped says why nothing new may start, "" when it may.
func (l *ledger) stopped() string {
	switch {
	case l.aborted:
		return "an aborted rollout starts nothing new"
	case l.halted:
		return "nothing new past the failure budget"
	case l.paused:
		return "a paused rollout starts nothing new"
	}
	return ""
}

func (a *account) anyBegun() bool { return len(a.begun) > 0 }

// owes is the first undo step that is needed and not done.
func (a *account) owes() *plan.Step {
	for i := range a.plan.Undo {
		u := &a.plan.Undo[i]
		for _, id := range u.Undoes {
			if a.begun[id] && !a.done[u.ID] {
				return u
			}
		}
	}
	return nil
}

// rest reports whether the target is through, one way or another.
func (a *account) rest() bool {
	return a.anyBegun() && a.flight == "" && !a.held && (a.stuck || a.next == len(a.plan.Steps) && !a.turned || a.turned && a.owes() == nil)
}

func (l *ledger) settledWave(w int) bool {
	for _, a := range l.order {
		if a.wave == w && !a.rest() {
			return false
		}
	}
	return true
}

// passed says why the wave has not passed at that time, "" when it has.
func (l *ledger) passed(w int, at time.Time) string {
	if settled := l.waves[w].settled; at.Before(settled.Add(l.w.plan.Waves[w].Bake)) {
		return fmt.Sprintf("it settled less than the bake time ago, at %s, now %s", settled, at)
	}
	upgraded, stuck := 0, 0
	for _, a := range l.order {
		if a.wave != w {
			continue
		}
		if !a.rest() {
			return a.plan.Name + " has not settled"
		}
		switch {
		case a.stuck:
			stuck++
		case !a.turned:
			upgraded++
			for _, g := range l.w.plan.Waves[w].Gate {
				if g.Target == a.plan.Name && !a.gates[g.ID] {
					return g.ID + " has not passed"
				}
			}
		}
	}
	if upgraded+stuck == 0 && !l.waves[w].excused {
		return "no target was upgraded"
	}
	return ""
}

func kindOf(s *plan.Step, k ...plan.Kind) bool {
	for _, one := range k {
		if s.Kind == one {
			return true
		}
	}
	return false
}

// checkEnd compares the verdict with what is known.
func (l *ledger) checkEnd(e rollout.Event) {
	for _, a := range l.order {
		if a.anyBegun() && !a.rest() {
			l.broken("nothing is left half done", "the rollout ends as %s and %s is not at rest", e.Detail, a.plan.Name)
		}
	}
	if v := rollout.Verdict(e.Detail); v == rollout.Succeeded || v == rollout.Incomplete {
		for w := range l.waves {
			if why := l.passed(w, e.At); why != "" && !strings.Contains(why, "no target") {
				l.broken("no wave before the gate of the one before", "the rollout ends as %s: %s", v, why)
			}
		}
	}
}
