package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMaxUnavailable(t *testing.T) {
	r := newRun(t, testPlan(4))
	closed := map[string]bool{}
	for range 200 {
		r.start()
		for _, id := range r.s.InFlight() {
			if strings.HasSuffix(id, "/close") {
				closed[id] = true
				continue
			}
			r.done(id)
		}
	}
	if len(closed) != 2 {
		t.Errorf("%d closed at once, at most 2 may be: %v", len(closed), closed)
	}
}

func TestFailedTargetKeepsItsShare(t *testing.T) {
	p := testPlan(3)
	p.Policy.MaxUnavailable, p.Policy.Ahead = 1, 1
	r := newRun(t, p)
	id := r.until("/hop")
	r.event(Event{Kind: EventStepFail, Step: id, Detail: "broken"})
	id = r.until("/undo-restore")
	r.event(Event{Kind: EventStepFail, Step: id, Detail: "disk gone"})
	if v := r.finish(); v != Halted {
		t.Fatalf("verdict %q", v)
	}
	r.event(Event{Kind: EventResumed, Who: "op"})
	for range 20 {
		for _, id := range r.start() {
			if strings.HasSuffix(id, "/close") {
				t.Fatal("a second target was closed although the failed one is still out")
			}
		}
		if f := r.s.InFlight(); len(f) > 0 {
			r.done(f[0])
		}
	}
}

func TestWaveWaitsForTheOneBefore(t *testing.T) {
	r := newRun(t, testPlan(1, 2))
	for range 100 {
		for _, id := range r.start() {
			if strings.HasPrefix(id, "w1/") && !r.s.Waves[0].GateDone["w0/h01/gate-verify"] {
				t.Fatalf("%s started before the gate of w0", id)
			}
		}
		if f := r.s.InFlight(); len(f) > 0 {
			r.done(f[0])
		}
	}
	if r.s.Count().Upgraded != 3 {
		t.Errorf("%+v", r.s.Count())
	}
}

func TestBakeTime(t *testing.T) {
	p := testPlan(1, 1)
	p.Waves[0].Bake = time.Hour
	r := newRun(t, p)
	r.done(r.until("/tidy"))
	if got := r.start(); len(got) != 0 {
		t.Fatalf("started %v while baking", got)
	}
	d := r.s.Next(r.now)
	if want := r.now.Add(time.Hour); !d.Wake.Equal(want) {
		t.Fatalf("wake %v, want %v", d.Wake, want)
	}
	r.now = d.Wake.Add(-time.Second)
	if got := r.start(); len(got) != 0 {
		t.Fatalf("started %v one second early", got)
	}
	r.now = d.Wake
	if got := r.start(); !slices.Equal(got, []string{"w0/h01/gate-verify"}) {
		t.Fatalf("started %v", got)
	}
}

func TestGateFailureHalts(t *testing.T) {
	p := testPlan(1, 1)
	p.Policy.FailureBudget = 5
	r := newRun(t, p)
	id := r.until("/gate-verify")
	r.event(Event{Kind: EventStepFail, Step: id, Detail: "502"})
	if v := r.finish(); v != Halted {
		t.Fatalf("verdict %q", v)
	}
	if st := r.s.Targets["h01"]; st.Status != Failed {
		t.Errorf("status %s", st.Status)
	}
}

func TestNobodyUpgradedHalts(t *testing.T) {
	p := testPlan(1, 1)
	p.Policy.FailureBudget = 5
	r := newRun(t, p)
	id := r.until("/hop")
	r.event(Event{Kind: EventStepFail, Step: id, Detail: "x"})
	if v := r.finish(); v != Halted {
		t.Fatalf("verdict %q: the canary proved nothing", v)
	}
	r.event(Event{Kind: EventResumed, Who: "op"})
	if v := r.finish(); v != Succeeded {
		t.Fatalf("verdict after resume %q", v)
	}
}

func TestApproval(t *testing.T) {
	p := testPlan(1, 1)
	p.Waves[1].Approve = true
	r := newRun(t, p)
	if v := r.finish(); v != "" {
		t.Fatalf("verdict %q without approval", v)
	}
	if st := r.s.Targets["h02"].Status; st != Waiting {
		t.Fatalf("h02 is %s without approval", st)
	}
	r.event(Event{Kind: EventApproved, Wave: "w1", Who: "op"})
	if v := r.finish(); v != Succeeded {
		t.Fatalf("verdict %q", v)
	}
}

func TestSameHostOneAtATime(t *testing.T) {
	p := testPlan(2)
	for i := range p.Waves[0].Targets {
		p.Waves[0].Targets[i].Host = "shared"
	}
	r := newRun(t, p)
	if got := r.start(); len(got) != 1 {
		t.Errorf("started %v on one host", got)
	}
	if v := r.finish(); v != Succeeded {
		t.Errorf("verdict %q", v)
	}
}

func TestSpread(t *testing.T) {
	p := testPlan(4)
	p.Policy.SpreadLabel, p.Policy.SpreadMax, p.Policy.MaxUnavailable = "site", 1, 4
	for i := range p.Waves[0].Targets {
		p.Waves[0].Targets[i].Spread = []string{"a", "a", "b", "b"}[i]
	}
	r := newRun(t, p)
	for range 40 {
		r.start()
		for _, id := range r.s.InFlight() {
			if !strings.HasSuffix(id, "/close") {
				r.done(id)
			}
		}
	}
	var closed []string
	for _, id := range r.s.InFlight() {
		closed = append(closed, id)
	}
	if !slices.Equal(closed, []string{"w0/h01/close", "w0/h03/close"}) {
		t.Errorf("closed together: %v", closed)
	}
}

func TestAheadLimitsPreparation(t *testing.T) {
	p := testPlan(9)
	p.Policy.Ahead = 3
	r := newRun(t, p)
	if got := r.start(); len(got) != 3 {
		t.Errorf("started %v, at most 3 may be prepared", got)
	}
}

func TestShareIsHeldUntilVerified(t *testing.T) {
	p := testPlan(2)
	p.Policy.MaxUnavailable = 1
	r := newRun(t, p)
	id := r.until("h01/verify")
	for range 5 { // h02 is prepared and wants to close
		for _, other := range r.s.InFlight() {
			if other != id {
				r.done(other)
			}
		}
		r.start()
	}
	if got := r.begun("h02/close"); len(got) != 0 {
		t.Error("h02 was closed before h01 was seen from outside")
	}
	r.done(id)
	if got := r.start(); !slices.Contains(got, "w0/h02/close") {
		t.Errorf("started %v", got)
	}
}

func TestBakeWithoutGate(t *testing.T) {
	p := testPlan(1, 1)
	p.Waves[0].Bake, p.Waves[0].Gate = time.Hour, nil
	r := newRun(t, p)
	r.done(r.until("/tidy"))
	r.now = t0.Add(time.Hour - time.Second)
	if got := r.start(); len(got) != 0 {
		t.Errorf("started %v while baking", got)
	}
	r.now = t0.Add(time.Hour)
	if got := r.start(); !slices.Equal(got, []string{"w1/h02/recheck"}) {
		t.Errorf("started %v", got)
	}
}
