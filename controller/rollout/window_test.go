package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
)

func TestWindow(t *testing.T) {
	p := testPlan(1)
	p.Policy.Window = &plan.Window{Days: []string{"tue"}, From: "01:00", To: "02:00"}
	r := newRun(t, p) // Monday 22:00
	if got := r.start(); len(got) != 0 {
		t.Fatalf("started %v outside the window", got)
	}
	if v := r.finish(); v != Succeeded || r.now.Before(t0.Add(3*time.Hour)) {
		t.Errorf("verdict %q at %v", v, r.now)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	p.Policy.Window.Zone = "Europe/Berlin"
	if _, err := New(p, nil); err == nil || !strings.Contains(err.Error(), `the time zone "Europe/Berlin" is not known`) {
		t.Errorf("a zone that was not given: %v", err)
	}
	s, err := New(p, plan.Zones{"Europe/Berlin": berlin})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(Event{Kind: EventStarted, At: t0, Seq: 1}); err != nil {
		t.Fatal(err)
	}
	if d := s.Next(t0.Add(2 * time.Hour)); len(d.Start) != 1 { // 01:00 in Berlin
		t.Errorf("starts %v, waits %v", d.Start, d.Waits)
	}
}

func TestWindowHoldsBackTheClosing(t *testing.T) {
	p := testPlan(1)
	p.Policy.Window = windowOf("22:00", "23:00")
	r := newRun(t, p) // at 22:00
	id := r.until("/hold")
	r.now = t0.Add(time.Hour)
	r.done(id)
	if got := r.start(); len(got) != 0 {
		t.Errorf("started %v after the window's end", got)
	}
	if !r.s.WindowWait {
		t.Error("the wait is not in the journal")
	}
	if d := r.s.Next(r.now); !d.Wake.Equal(t0.Add(24 * time.Hour)) {
		t.Errorf("wakes at %v", d.Wake)
	}
	r.now = t0.Add(24 * time.Hour)
	id = r.until("/close")
	r.now = t0.Add(26 * time.Hour) // closed targets finish, window or not
	r.done(id)
	if got := r.start(); !slices.Equal(got, []string{"w0/h01/snapshot"}) {
		t.Errorf("started %v", got)
	}
}

// cutOff is a plan with a window from 22:00 to 23:00 in which each target needs
// 10 minutes of online work and 20 minutes of closed time.
func cutOff(sizes ...int) *plan.Plan {
	p := testPlan(sizes...)
	p.Policy.Window, p.Policy.CutOff = windowOf("22:00", "23:00"), true
	for w := range p.Waves {
		for i := range p.Waves[w].Targets {
			p.Waves[w].Targets[i].OnlineSeconds, p.Waves[w].Targets[i].ClosedSeconds = 600, 1200
		}
	}
	return p
}

func TestNothingStartsThatCannotEnd(t *testing.T) {
	for minute, want := range map[int]bool{30: true, 31: false} {
		r := newRun(t, cutOff(1))
		r.now = t0.Add(time.Duration(minute) * time.Minute)
		if got := len(r.start()) > 0; got != want {
			t.Errorf("%d min into the hour: starts %v, it needs half an hour", minute, got)
		}
	}
	r := newRun(t, cutOff(2))
	r.now = t0.Add(50 * time.Minute)
	r.start()
	d := r.s.Next(r.now)
	want := "2 targets need about 30 min, the window ends at 23:00 UTC; the next one that is long enough opens Tue 2026-03-03 22:00 UTC"
	if !slices.Contains(d.Waits, want) || !d.Wake.Equal(t0.Add(24*time.Hour)) {
		t.Errorf("waits %q until %s", d.Waits, d.Wake)
	}
	if v := r.finish(); v != Succeeded || r.now.Before(t0.Add(24*time.Hour)) {
		t.Errorf("verdict %q at %s", v, r.now)
	}
	p := cutOff(1)
	p.Policy.CutOff = false
	r = newRun(t, p)
	r.now = t0.Add(59 * time.Minute)
	if len(r.start()) == 0 {
		t.Error("without a cut-off the start alone must lie in the window")
	}
}

// TestSmallOnesStillFit: one that is too long for what is left does not hold
// up another that is not.
func TestSmallOnesStillFit(t *testing.T) {
	p := cutOff(2)
	p.Waves[0].Targets[0].ClosedSeconds = 3000 // an hour in all: it fits at 22:00 only
	r := newRun(t, p)
	r.now = t0.Add(10 * time.Minute)
	if got := r.start(); !slices.Equal(got, []string{"w0/h02/recheck"}) {
		t.Errorf("started %v", got)
	}
	if v := r.finish(); v != Succeeded || !r.now.Equal(t0.Add(24*time.Hour)) {
		t.Errorf("verdict %q at %s", v, r.now)
	}
}

// TestHostsTargetsKeepTheirOrder: a host's packages come before its instances,
// also when the time that is left is enough for an instance alone.
func TestHostsTargetsKeepTheirOrder(t *testing.T) {
	p := cutOff(3)
	two := p.Waves[0].Targets
	two[1].Host = two[0].Host
	two[0].ClosedSeconds = 3000
	r := newRun(t, p)
	r.now = t0.Add(10 * time.Minute)
	if got := r.start(); !slices.Equal(got, []string{"w0/h03/recheck"}) {
		t.Errorf("started %v", got)
	}
}

func TestNothingClosesThatCannotOpen(t *testing.T) {
	r := newRun(t, cutOff(1))
	id := r.until("/hold")
	r.now = t0.Add(41 * time.Minute) // preparing took longer than expected
	r.done(id)
	if got := r.start(); len(got) != 0 {
		t.Errorf("started %v: it needs 20 min and the window ends in 19", got)
	}
	r.now = t0.Add(24*time.Hour + 40*time.Minute)
	if got := r.start(); !slices.Equal(got, []string{"w0/h01/close"}) {
		t.Errorf("started %v", got)
	}
}

// TestReserveIsKeptFree: what is left free for a way back counts.
func TestReserveIsKeptFree(t *testing.T) {
	p := cutOff(1)
	p.Policy.Reserve = 15 * time.Minute
	r := newRun(t, p)
	r.now = t0.Add(16 * time.Minute)
	if got := r.start(); len(got) != 0 {
		t.Errorf("started %v", got)
	}
	r = newRun(t, p)
	id := r.until("/hold")
	r.now = t0.Add(26 * time.Minute)
	r.done(id)
	if got := r.start(); len(got) != 0 {
		t.Errorf("started %v", got)
	}
}

// TestThoseBeforeCount: with one out of service at a time, a third target
// would not get its turn inside the window and is not begun.
func TestThoseBeforeCount(t *testing.T) {
	p := cutOff(3)
	p.Policy.MaxUnavailable = 1
	r := newRun(t, p)
	if got := r.start(); !slices.Equal(got, []string{"w0/h01/recheck", "w0/h02/recheck"}) {
		t.Errorf("started %v: 10 + 20 + 20 min fit into the hour, 20 more do not", got)
	}
	if v := r.finish(); v != Succeeded {
		t.Errorf("verdict %q (%s)", v, r.s.HaltReason)
	}
}

func TestBlackout(t *testing.T) {
	p := testPlan(1)
	p.Policy.Blackouts = []plan.Blackout{{From: "2026-03-02", To: "2026-03-04", Zone: "UTC", Reason: "audit"}}
	r := newRun(t, p)
	if got := r.start(); len(got) != 0 {
		t.Fatalf("started %v on a blackout date", got)
	}
	d := r.s.Next(r.now)
	want := "no target starts before Thu 2026-03-05 00:00 UTC: blackout from 2026-03-02 to 2026-03-04, audit"
	if !slices.Equal(d.Waits, []string{want}) {
		t.Errorf("waits %q", d.Waits)
	}
	if v := r.finish(); v != Succeeded || !r.now.Equal(time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("verdict %q at %s", v, r.now)
	}
}

// TestAnyWindowIsEnough: a rollout may have several.
func TestAnyWindowIsEnough(t *testing.T) {
	p := testPlan(1)
	p.Policy.Window, p.Policy.MoreWindows = windowOf("01:00", "02:00"), []plan.Window{*windowOf("21:00", "23:00")}
	r := newRun(t, p)
	if len(r.start()) == 0 {
		t.Error("the second window is open, and nothing starts")
	}
}

// TestWindowWaitIsJournaled: one event for each wait, and none while something
// is under way.
func TestWindowWaitIsJournaled(t *testing.T) {
	p := testPlan(1, 1)
	p.Policy.Window = windowOf("22:00", "23:00")
	r := newRun(t, p)
	gate := r.until("/gate-verify")
	r.now = t0.Add(2 * time.Hour)
	r.start()
	waits := func() (n int) {
		for _, e := range r.log {
			if e.Kind == EventWindowWait {
				n++
			}
		}
		return n
	}
	if waits() != 0 {
		t.Error("a wait is told while the gate runs")
	}
	r.done(gate)
	for range 3 {
		r.start()
	}
	last := r.log[len(r.log)-1]
	if waits() != 1 || last.Detail != "the window is closed until Tue 2026-03-03 22:00 UTC" {
		t.Errorf("%d waits, the last event: %+v", waits(), last)
	}
	if v := r.finish(); v != Succeeded || waits() != 1 || r.s.WindowWait {
		t.Errorf("verdict %q, %d waits, still waiting: %v", v, waits(), r.s.WindowWait)
	}
}

// TestPausedDoesNotWaitForAWindow: whoever paused decides when it goes on.
func TestPausedDoesNotWaitForAWindow(t *testing.T) {
	p := testPlan(1)
	p.Policy.Window = windowOf("01:00", "02:00")
	r := newRun(t, p)
	r.event(Event{Kind: EventPaused, Who: "op"})
	if d := r.s.Next(r.now); !d.Wake.IsZero() || len(d.Record) != 0 {
		t.Errorf("wakes at %s, records %v", d.Wake, d.Record)
	}
}
