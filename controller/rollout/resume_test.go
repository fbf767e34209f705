package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// started lists, from the events alone, what was begun and has no outcome.
func started(log []Event) map[string]bool {
	running := map[string]bool{}
	for _, e := range log {
		switch e.Kind {
		case EventStepBegun:
			running[e.Step] = true
		case EventStepDone, EventStepFail, EventStepHeld, EventStepRefused, EventStepNever:
			delete(running, e.Step)
		}
	}
	return running
}

// TestEveryPrefixCanBeResumed cuts the logs of random rollouts after every
// event, as a crash would.
func TestEveryPrefixCanBeResumed(t *testing.T) {
	for seed := int64(1); seed <= 60; seed++ {
		whole := randomRollout(t, seed)
		for n := 1; n <= len(whole.log); n++ {
			resumed := resume(t, whole.s.Plan, whole.log[:n])
			if t.Failed() {
				t.Fatalf("seed %d, %d of %d events", seed, n, len(whole.log))
			}
			if n%5 == 0 {
				resumed.toTheEnd()
			}
			if t.Failed() {
				t.Fatalf("seed %d, resumed after %d of %d events", seed, n, len(whole.log))
			}
		}
	}
}

// resume folds a log and looks at what the core wants next.
func resume(t *testing.T, p *plan.Plan, log []Event) *run {
	t.Helper()
	s, err := New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range log {
		if err := s.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	want := started(log)
	flight := s.InFlight()
	if len(flight) != len(want) || slices.ContainsFunc(flight, func(id string) bool { return !want[id] }) {
		t.Errorf("in flight %v, want %v", flight, want)
	}
	r := &run{t: t, s: s, now: log[len(log)-1].At, log: slices.Clone(log)}
	before := dump(t, s)
	d := s.Next(r.now)
	if again := s.Next(r.now); fmt.Sprint(d) != fmt.Sprint(again) || dump(t, s) != before {
		t.Error("Next changed something, or its mind")
	}
	for i, id := range d.Start {
		if want[id] || slices.Contains(d.Start[:i], id) {
			t.Errorf("%s would start a second time", id)
		}
		if err := s.Check(Event{Kind: EventStepBegun, Step: id}); err != nil {
			t.Errorf("Next starts what Apply refuses: %v", err)
		}
	}
	for _, e := range d.Record {
		if err := s.Check(e); err != nil {
			t.Errorf("Next records what Apply refuses: %v", err)
		}
	}
	if len(d.Record) > 0 && len(d.Start) > 0 {
		t.Error("Next starts and records at once")
	}
	if len(d.Start)+len(d.Record)+len(flight) == 0 && d.Verdict == "" && d.Wake.IsZero() && len(d.Waits) == 0 {
		t.Error("nothing runs, nothing starts, nobody is asked")
	}
	return r
}

// toTheEnd lets the rest succeed, with an operator who grants what is asked.
func (r *run) toTheEnd() {
	r.t.Helper()
	for range 2000 {
		r.start()
		if flight := r.s.InFlight(); len(flight) > 0 {
			r.done(flight[0])
			continue
		}
		d := r.s.Next(r.now)
		if d.Verdict != "" {
			break
		}
		switch {
		case r.s.Paused:
			r.event(Event{Kind: EventResumed, Who: "op"})
		case d.Wake.IsZero():
			for w, wave := range r.s.Plan.Waves {
				if wave.Approve && !r.s.Waves[w].Approved {
					r.event(Event{Kind: EventApproved, Wave: wave.Name, Who: "op"})
				}
			}
		default:
			r.now = d.Wake
		}
	}
	if r.s.Ended == "" {
		r.t.Errorf("no verdict; waits %v", r.s.Next(r.now).Waits)
	}
	for name, st := range r.s.Targets {
		if !st.Settled() && st.Status != Waiting {
			r.t.Errorf("%s was left %s", name, st.Status)
		}
	}
}

// TestRefusedEventsChangeNothing: an event that makes no sense leaves the
// state as it was, so that the controller may record a failure instead.
func TestRefusedEventsChangeNothing(t *testing.T) {
	r := newRun(t, testPlan(1))
	id := r.until("/snapshot")
	before := dump(t, r.s)
	for _, e := range []Event{
		{Kind: EventStepDone, Step: id}, // no handle
		{Kind: EventStepBegun, Step: id},
		{Kind: EventStepBegun, Step: "w0/h01/hop"},
		{Kind: EventStepBegun, Step: "w0/h01/undo-open"},
		{Kind: EventStepBegun, Step: "w0/h01/hold"},
		{Kind: EventStepDone, Step: "w0/h01/hop"},
		{Kind: EventHoldExpired, Target: "h01"},
		{Kind: EventEnded, Detail: "nonsense"},
		{Kind: EventApproved, Target: "h01"},
		{Kind: EventStarted, At: t0},
		{Kind: EventPaused, Seq: r.s.Seq + 2},
		{Kind: EventPaused, Seq: r.s.Seq},
	} {
		if err := r.s.Apply(e); err == nil {
			t.Errorf("%s %s was taken", e.Kind, e.Step)
		}
		if dump(t, r.s) != before {
			t.Fatalf("%s %s was refused and changed the state", e.Kind, e.Step)
		}
	}
	r.done(id)
	if err := r.s.Apply(Event{Kind: EventStepBegun, Step: "w0/h01/inspect"}); err == nil {
		t.Error("a step was skipped")
	}
	if err := r.s.Apply(Event{Kind: EventStepBegun, Step: "w0/h01/undo-open"}); err == nil {
		t.Error("a target that runs was taken back by a step of its own")
	}
}

func TestHeldOnlyWhileClosed(t *testing.T) {
	r := newRun(t, testPlan(1))
	id := r.until("/verify")
	if err := r.s.Check(Event{Kind: EventStepHeld, Step: id}); err == nil {
		t.Error("an open target may not wait for a decision behind closed doors")
	}
}

func TestGateLooksAtFewAtOnce(t *testing.T) {
	p := testPlan(40)
	p.Policy.Ahead, p.Policy.MaxUnavailable = 40, 40
	r := newRun(t, p)
	r.until("/gate-verify")
	r.start()
	if n := len(r.s.InFlight()); n != gateLimit {
		t.Errorf("%d looks at once, the limit is %d", n, gateLimit)
	}
	if v := r.finish(); v != Succeeded {
		t.Errorf("verdict %q", v)
	}
}

// bigPlan is one canary and 999 others, 16 steps each.
func bigPlan(n int) *plan.Plan {
	p := testPlan(1, n-1)
	p.Policy.MaxUnavailable, p.Policy.Ahead, p.Policy.FailureBudget = n/20, n/20, n
	for w := range p.Waves {
		for i := range p.Waves[w].Targets {
			t := &p.Waves[w].Targets[i]
			for len(t.Steps) < 16 {
				extra := t.Steps[1]
				extra.ID = fmt.Sprintf("%s/%s/hold-%d", p.Waves[w].Name, t.Name, len(t.Steps))
				t.Steps = slices.Insert(t.Steps, 2, extra)
			}
		}
	}
	return p
}

// TestBigRollout: 1,000 targets with 16 steps each are no work worth naming.
func TestBigRollout(t *testing.T) {
	began := time.Now()
	r := newRun(t, bigPlan(1000))
	var last time.Duration
	queue := []string{}
	for r.s.Ended == "" {
		queue = append(queue, r.start()...)
		if len(queue) == 0 {
			break
		}
		r.done(queue[0])
		queue = queue[1:]
	}
	if c := r.s.Count(); r.s.Ended != Succeeded || c.Upgraded != 1000 {
		t.Fatalf("%q %+v", r.s.Ended, c)
	}
	if last = time.Since(began); last > time.Minute {
		t.Errorf("%d events took %v", len(r.log), last)
	}
	t.Logf("%d events in %v", len(r.log), last)
}

func BenchmarkNext(b *testing.B) {
	s, err := New(bigPlan(1000), nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Apply(Event{Kind: EventStarted, At: t0}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if d := s.Next(t0); len(d.Start) == 0 {
			b.Fatal(strings.Join(d.Waits, "\n"))
		}
	}
}

func BenchmarkApply(b *testing.B) {
	s, err := New(bigPlan(1000), nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Apply(Event{Kind: EventStarted, At: t0}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.Apply(Event{Kind: EventPaused, At: t0}); err != nil {
			b.Fatal(err)
		}
	}
}
