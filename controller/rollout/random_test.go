package rollout

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// observer counts from the events alone, not from the state under test.
type observer struct {
	t       *testing.T
	p       *plan.Plan
	closed  map[string]bool // out of service: closed, not yet verified or taken back
	handle  map[string]bool
	opened  map[string]bool
	begun   map[string]int
	failed  map[string]bool
	asked   map[string]bool
	paused  bool
	stopped bool
	running map[string]string // host → target with a running step
	host    map[string]string // of each target
}

func (o *observer) see(s *State, e Event) {
	parts := strings.Split(e.Step, "/")
	target, kind := "", ""
	if len(parts) == 3 {
		target, kind = parts[1], parts[2]
	}
	switch e.Kind {
	case EventPaused:
		o.paused = true
	case EventResumed:
		o.paused, o.stopped = false, false
	case EventAborted:
		o.stopped = true
	case EventRollback:
		o.asked[e.Target] = true
		delete(o.closed, e.Target) // comes on top of max unavailable
	case EventStepBegun:
		o.begin(e, target, kind)
		if h := o.host[target]; kind != "gate-verify" {
			if other := o.running[h]; other != "" {
				o.t.Fatalf("%s starts while %s runs on %s", e.Step, other, h)
			}
			o.running[h] = target
		}
	case EventStepNever:
		o.begun[e.Step]--
		if kind == "close" {
			delete(o.closed, target)
		}
	case EventStepDone:
		switch kind {
		case "snapshot":
			o.handle[target] = true
		case "open":
			o.opened[target] = true
		case "verify", "undo-open":
			delete(o.closed, target)
			o.opened[target] = o.opened[target] && kind == "verify"
		}
	case EventStepFail:
		if strings.HasPrefix(kind, "undo-") {
			o.begun[e.Step]-- // may run again, when asked
		}
		o.failed[target] = true
	}
	if strings.HasPrefix(string(e.Kind), "step_") && e.Kind != EventStepBegun && kind != "gate-verify" {
		delete(o.running, o.host[target])
	}
	if n := len(o.closed); n > o.p.Policy.MaxUnavailable {
		o.t.Fatalf("%d targets out of service: %v", n, o.closed)
	}
	if len(o.failed) > o.p.Policy.FailureBudget {
		o.stopped = o.stopped || s.Accepted == 0
	}
}

func (o *observer) begin(e Event, target, kind string) {
	o.begun[e.Step]++
	if o.begun[e.Step] > 1 {
		o.t.Fatalf("%s ran twice", e.Step)
	}
	switch {
	case kind == "close":
		if o.paused || o.stopped {
			o.t.Fatalf("%s although paused or stopped", e.Step)
		}
		o.closed[target] = !o.asked[target]
		if !o.closed[target] {
			delete(o.closed, target)
		}
	case kind == "recheck":
		if o.paused || o.stopped {
			o.t.Fatalf("%s although paused or stopped", e.Step)
		}
	case kind == "hop":
		if !o.handle[target] {
			o.t.Fatalf("%s without a snapshot", e.Step)
		}
	case strings.HasPrefix(kind, "undo-"):
		if o.opened[target] && !o.asked[target] {
			o.t.Fatalf("%s by itself after opening", e.Step)
		}
	}
}

// TestRandomRollouts throws outcomes, pauses, aborts, approvals and clock
// jumps at the core and checks the rules from outside. A failing seed is named.
func TestRandomRollouts(t *testing.T) {
	for seed := int64(1); seed <= 3000; seed++ {
		randomRollout(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func randomRollout(t *testing.T, seed int64) *run {
	rnd := rand.New(rand.NewSource(seed))
	p := testPlan(1+rnd.Intn(2), 1+rnd.Intn(5), 1+rnd.Intn(4))
	p.Policy.MaxUnavailable, p.Policy.FailureBudget, p.Policy.Ahead = 1+rnd.Intn(3), rnd.Intn(3), 1+rnd.Intn(4)
	p.Waves[1].Approve = rnd.Intn(3) == 0
	p.Waves[0].Bake = time.Duration(rnd.Intn(2)) * time.Hour
	o := &observer{t: t, p: p, closed: map[string]bool{}, handle: map[string]bool{}, opened: map[string]bool{},
		begun: map[string]int{}, failed: map[string]bool{}, asked: map[string]bool{}, running: map[string]string{}, host: map[string]string{}}
	shared := rnd.Intn(2) == 0
	for w := range p.Waves {
		for i := range p.Waves[w].Targets {
			if target := &p.Waves[w].Targets[i]; shared {
				target.Host = fmt.Sprint("m", rnd.Intn(4))
			}
			o.host[p.Waves[w].Targets[i].Name] = p.Waves[w].Targets[i].Host
		}
	}
	r := newRun(t, p)
	seen := 0
	for range 2000 {
		r.start()
		if len(r.s.InFlight()) > 0 {
			r.randomOutcome(rnd)
		} else {
			d := r.s.Next(r.now)
			if d.Verdict != "" && !r.takeOneBack(rnd) {
				break
			}
			r.unblock(rnd, d)
		}
		r.randomOperator(rnd)
		for ; seen < len(r.log); seen++ {
			o.see(r.s, r.log[seen])
		}
	}
	if r.s.Next(r.now).Verdict == "" {
		t.Errorf("seed %d: no verdict; waits %v", seed, r.s.Next(r.now).Waits)
	}
	for name, ts := range r.s.Targets {
		if !ts.Settled() && ts.Status != Waiting {
			t.Errorf("seed %d: %s was left %s", seed, name, ts.Status)
		}
	}
	for _, name := range r.s.Closed() {
		if r.s.Targets[name].Status != Failed {
			t.Errorf("seed %d: %s was left closed and is %s", seed, name, r.s.Targets[name].Status)
		}
	}
	if live, again := dump(t, r.s), replayed(t, p, r.log); live != again {
		t.Errorf("seed %d: replay differs\nlive   %s\nreplay %s", seed, live, again)
	}
	return r
}

func (r *run) randomOutcome(rnd *rand.Rand) {
	flight := r.s.InFlight()
	id := flight[rnd.Intn(len(flight))]
	r.now = r.now.Add(time.Duration(rnd.Intn(90)) * time.Second)
	step, _, _ := r.s.Step(id)
	switch n := rnd.Intn(40); {
	case n == 0:
		r.event(Event{Kind: EventStepFail, Step: id, Detail: "x"})
	case n == 1:
		r.event(Event{Kind: EventStepNever, Step: id})
	case n == 2 && step.Kind == plan.KindRecheck:
		r.event(Event{Kind: EventStepRefused, Step: id, Detail: "x"})
	case n <= 4 && step.Kind == plan.KindInspect:
		r.event(Event{Kind: EventStepHeld, Step: id, Detail: "x"})
	default:
		r.done(id)
	}
}

// takeOneBack asks for the rollback of a target now and then.
func (r *run) takeOneBack(rnd *rand.Rand) bool {
	if rnd.Intn(3) > 0 {
		return false
	}
	for _, wave := range r.s.waves {
		for _, m := range wave {
			e := Event{Kind: EventRollback, Target: m.plan.Name, Who: "op"}
			if rnd.Intn(3) == 0 && r.s.Allows(e) == nil {
				r.event(e)
				return true
			}
		}
	}
	return false
}

// unblock does what a rollout at rest waits for.
func (r *run) unblock(rnd *rand.Rand, d Decision) {
	for w, wave := range r.s.Plan.Waves {
		if wave.Approve && !r.s.Waves[w].Approved {
			r.event(Event{Kind: EventApproved, Wave: wave.Name, Who: "op"})
			return
		}
	}
	if r.s.Paused && r.s.Ended == "" {
		r.event(Event{Kind: EventResumed, Who: "op"})
		return
	}
	if !d.Wake.IsZero() {
		r.now = d.Wake
	}
}

func (r *run) randomOperator(rnd *rand.Rand) {
	var e Event
	switch rnd.Intn(60) {
	case 4:
		r.takeOneBack(rnd)
	case 0:
		e = Event{Kind: EventPaused, Who: "op"}
	case 1:
		e = Event{Kind: EventResumed, Who: "op"}
	case 2:
		if rnd.Intn(4) == 0 {
			e = Event{Kind: EventAborted, Who: "op"}
		}
	case 3:
		for name, ts := range r.s.Targets {
			if ts.Status == Held {
				e = Event{Kind: EventApproved, Target: name, Who: "op"}
			}
		}
	}
	if e.Kind != "" && r.s.Ended == "" && r.s.Allows(e) == nil {
		r.event(e)
	}
}
