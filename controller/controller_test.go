package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncfleet/ncfleet/controller/executor"
	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// Every test in a bubble also proves that no goroutine is left: the bubble
// does not end while one is.

func TestEverythingSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testPlan(1, 3))
		w.finish(rollout.Succeeded)
		if c := w.state().Count(); c.Upgraded != 4 {
			t.Errorf("%+v", c)
		}
		for step, n := range w.hosts.effects {
			if n != 1 || w.book.count(rollout.EventStepDone, step) != 1 {
				t.Errorf("%s: %d effects, %d outcomes", step, n, w.book.count(rollout.EventStepDone, step))
			}
		}
		if e := w.book.events[0]; e.Kind != rollout.EventStarted || e.Digest != plan.Digest(*w.plan) || e.Who != "test@here" {
			t.Errorf("first event %+v", e)
		}
		w.finish(rollout.Succeeded) // once more: nothing is left to do
		if n := w.book.count(rollout.EventAttached, ""); n != 0 {
			t.Errorf("a controller came to an ended rollout, %d times", n)
		}
	})
}

// TestOutcomes is the table of what an outcome becomes.
func TestOutcomes(t *testing.T) {
	cases := []struct {
		name    string
		step    string
		outcome executor.Outcome
		kind    rollout.EventKind
		detail  string
		status  rollout.Status
	}{
		{"failed", "w0/h01/hop", executor.Outcome{Status: executor.Failed, Detail: "exit 5"}, rollout.EventStepFail, "exit 5", rollout.RolledBack},
		{"lost", "w0/h01/hop", executor.Outcome{Status: executor.Lost, Detail: "rebooted"}, rollout.EventStepFail, "rebooted", rollout.RolledBack},
		{"refused", "w0/h01/recheck", executor.Outcome{Status: executor.Refused, Detail: "29.0.1"}, rollout.EventStepRefused, "29.0.1", rollout.Untouched},
		{"unknown", "w0/h01/hold", executor.Outcome{Status: "fine", Detail: "x"}, rollout.EventStepFail, `unknown outcome "fine": x`, rollout.Untouched},
		{"none", "w0/h01/hold", executor.Outcome{}, rollout.EventStepFail, `unknown outcome ""`, rollout.Untouched},
		{"snapshot without handle", "w0/h01/snapshot", executor.Outcome{Status: executor.Succeeded}, rollout.EventStepFail, "without a handle", rollout.RolledBack},
		{"held though open", "w0/h01/verify", executor.Outcome{Status: executor.Held, Detail: "slow"}, rollout.EventStepFail, "slow", rollout.Failed},
		{"held before close", "w0/h01/hold", executor.Outcome{Status: executor.Held, Detail: "slow"}, rollout.EventStepFail, "slow", rollout.Untouched},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, testPlan(1))
				w.hosts.outcome[c.step] = c.outcome
				if _, err := w.carryOn(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
				if w.book.count(c.kind, c.step) != 1 {
					t.Errorf("no %s of %s", c.kind, c.step)
				}
				for _, e := range w.book.events {
					if e.Kind == c.kind && e.Step == c.step && !strings.Contains(e.Detail, c.detail) {
						t.Errorf("detail %q, want %q", e.Detail, c.detail)
					}
				}
				if st := w.state().Targets["h01"].Status; st != c.status {
					t.Errorf("h01 is %s, want %s", st, c.status)
				}
			})
		})
	}
}

// TestFencedOffLeavesAtOnce: the step that was refused has no outcome, nothing is
// rolled back, and the next controller, which came later, finds out.
func TestFencedOffLeavesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testPlan(2))
		w.hosts.outcome["w0/h01/hop"] = executor.Outcome{Status: executor.Fenced, Detail: "another controller (bob) has taken over"}
		v, err := w.carryOn(t.Context(), nil)
		if v != "" || !errors.Is(err, ErrFenced) || !strings.Contains(err.Error(), "w0/h01/hop was refused: another controller (bob) has taken over") {
			t.Fatalf("verdict %q, %v", v, err)
		}
		if e := w.book.events[len(w.book.events)-1]; !w.book.openStart("w0/h01/hop") || e.Kind == rollout.EventStepFail || w.book.count(rollout.EventStepFail, "") > 0 {
			t.Errorf("the last event is %s %s", e.Kind, e.Step)
		}
		if got := fmt.Sprint(w.hosts.epochs); got != "[1]" {
			t.Errorf("epochs %s", got)
		}
		delete(w.hosts.outcome, "w0/h01/hop")
		came := len(w.book.events) + 1
		w.finish(rollout.Succeeded)
		if e := w.book.events[came-1]; e.Kind != rollout.EventAttached || fmt.Sprint(w.hosts.epochs) != fmt.Sprintf("[1 %d]", came) {
			t.Errorf("event %d is %s, epochs %v", came, e.Kind, w.hosts.epochs)
		}
	})
}

// TestBrokenLeaseIsJournaled: on request, and it changes nothing else.
func TestBrokenLeaseIsJournaled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testPlan(1))
		w.book.ask(rollout.Event{Kind: rollout.EventLeaseBroken, Target: "h09", Detail: "the laptop was stolen"})
		w.finish(rollout.Succeeded)
		if n := w.book.count(rollout.EventLeaseBroken, ""); n != 1 {
			t.Errorf("journaled %d times", n)
		}
	})
}

func TestJournalErrorStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for k := 1; k <= 40; k++ {
			w := newWorld(t, testPlan(1, 2))
			w.book.revive(k, false)
			// Nobody else ends the workers: Run must.
			if _, err := w.carryOn(context.WithoutCancel(t.Context()), nil); !errors.Is(err, errDead) {
				t.Fatalf("append %d failed and Run says: %v", k, err)
			}
			for step := range w.hosts.effects {
				if w.book.count(rollout.EventStepBegun, step) == 0 {
					t.Errorf("append %d failed: %s began without a start", k, step)
				}
			}
			if n := len(w.book.events); n != k-1 {
				t.Errorf("append %d failed: %d events", k, n)
			}
		}
	})
}

// TestSenselessEventsAreNotWritten: they would make the journal unreadable.
func TestSenselessEventsAreNotWritten(t *testing.T) {
	w := newWorld(t, testPlan(1))
	c := w.controller()
	if err := c.record(rollout.Event{Kind: rollout.EventStarted}); err != nil {
		t.Fatal(err)
	}
	for _, e := range []rollout.Event{
		{Kind: rollout.EventStarted}, {Kind: "nonsense"}, {Kind: rollout.EventHoldExpired, Target: "h01"}, {Kind: rollout.EventStepDone, Step: "w0/h01/hop"},
	} {
		if err := c.record(e); err == nil {
			t.Errorf("%s was taken", e.Kind)
		}
	}
	if n := len(w.book.events); n != 1 {
		t.Errorf("%d events were written", n)
	}
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testPlan(1, 6))
		drain := make(chan struct{})
		go func() {
			for w.book.count(rollout.EventStepBegun, "w1/h02/hop") == 0 {
				time.Sleep(100 * time.Millisecond)
			}
			close(drain)
		}()
		v, err := w.carryOn(t.Context(), drain)
		if !errors.Is(err, ErrPaused) || v != "" {
			t.Fatalf("verdict %q, %v", v, err)
		}
		s := w.state()
		if len(s.InFlight()) > 0 || len(s.Closed()) > 0 || !s.Paused {
			t.Errorf("in flight %v, closed %v, paused %v", s.InFlight(), s.Closed(), s.Paused)
		}
		if c := s.Count(); c.Upgraded == 0 || c.Upgraded == 7 {
			t.Errorf("%+v: what had begun finishes, what had not waits", c)
		}
		w.book.ask(rollout.Event{Kind: rollout.EventResumed})
		w.finish(rollout.Succeeded)
		if w.book.count(rollout.EventAttached, "") != 1 {
			t.Error("the second controller left no trace")
		}
	})
}

func TestDrainRefusesToBeResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testPlan(1))
		w.hosts.takes = 10 * time.Second
		drain := make(chan struct{})
		close(drain)
		go func() {
			time.Sleep(3 * time.Second)
			id := w.book.ask(rollout.Event{Kind: rollout.EventResumed})
			time.Sleep(2 * time.Second)
			if refusal, taken := w.book.answer(id); !taken || !strings.Contains(refusal, "about to leave") {
				t.Errorf("taken %v: %q", taken, refusal)
			}
		}()
		if _, err := w.carryOn(t.Context(), drain); !errors.Is(err, ErrPaused) {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
	})
}

// TestDrainWaitsForTheHold: leaving would keep users out for as long as nobody
// starts a controller.
func TestDrainWaitsForTheHold(t *testing.T) {
	for _, approve := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, testPlan(2, 1))
			w.hosts.outcome["w0/h01/inspect"] = executor.Outcome{Status: executor.Held, Detail: "a new warning"}
			drain := make(chan struct{})
			began := time.Now()
			go func() {
				time.Sleep(time.Minute)
				close(drain)
				time.Sleep(time.Minute)
				if approve {
					w.book.ask(rollout.Event{Kind: rollout.EventApproved, Target: "h01"})
				}
			}()
			if _, err := w.carryOn(t.Context(), drain); !errors.Is(err, ErrPaused) {
				t.Fatal(err)
			}
			st, took := w.state().Targets["h01"].Status, time.Since(began)
			if approve && (st != rollout.Upgraded || took > 5*time.Minute) || !approve && (st != rollout.RolledBack || took < 15*time.Minute) {
				t.Errorf("approved %v: %s after %v", approve, st, took)
			}
			time.Sleep(time.Hour)
		})
	}
}

func TestDetach(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, testPlan(1, 3))
			w.hosts.takes = time.Minute
			w.hosts.setDeaf(deaf)
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				time.Sleep(10*time.Minute + 30*time.Second)
				cancel(errors.New("interrupted twice"))
			}()
			began := time.Now()
			v, err := w.carryOn(ctx, nil)
			if !errors.Is(err, ErrDetached) || v != "" || !strings.Contains(err.Error(), "interrupted twice") {
				t.Fatalf("verdict %q, %v", v, err)
			}
			if late := time.Since(began) - 10*time.Minute - 30*time.Second; late > leaveLimit {
				t.Errorf("left %v after it was told", late)
			}
			events, flight := len(w.book.events), w.state().InFlight()
			if len(flight) == 0 {
				t.Fatal("nothing was left running: the test proves nothing")
			}
			time.Sleep(time.Hour) // hosts finish; nobody listens
			if len(w.book.events) != events {
				t.Errorf("%d events were written after the controller had left", len(w.book.events)-events)
			}
			w.hosts.setDeaf(false)
			w.finish(rollout.Succeeded)
			for step, n := range w.hosts.effects {
				if n != 1 {
					t.Errorf("%s ran %d times", step, n)
				}
			}
			if w.hosts.looks != len(flight) {
				t.Errorf("looked up %d of %d steps", w.hosts.looks, len(flight))
			}
		})
	}
}

func TestAnotherPlanIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testPlan(1))
		w.book.revive(9, false)
		if _, err := w.carryOn(t.Context(), nil); !errors.Is(err, errDead) {
			t.Fatal(err)
		}
		w.book.revive(0, false)
		w.plan = testPlan(1)
		w.plan.Policy.FailureBudget = 7
		if _, err := w.carryOn(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "digest") {
			t.Errorf("another plan under the same journal: %v", err)
		}
	})
}

// TestBigRollout runs 1,000 targets, in real time.
func TestBigRollout(t *testing.T) {
	p := testPlan(1, 999)
	p.Policy.MaxUnavailable, p.Policy.Ahead = 50, 50
	w := newWorld(t, p)
	w.hosts.takes = 0
	began := time.Now()
	c, err := New(Config{ID: "r", Plan: p, Journal: w.book, Performer: quick{}, Sink: &watcher{t: t}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.Run(t.Context(), nil)
	if err != nil || v != rollout.Succeeded || c.State().Count().Upgraded != 1000 {
		t.Fatalf("%q %v %+v", v, err, c.State().Count())
	}
	took := time.Since(began)
	t.Logf("%d events in %v", len(w.book.events), took)
	if took > time.Minute {
		t.Errorf("1,000 targets took the loop %v", took)
	}
}

// quick succeeds at once.
type quick struct{}

func (quick) Perform(ctx context.Context, _ *plan.Plan, _ *plan.Target, s plan.Step, _ executor.Memory) executor.Outcome {
	return (&hosts{}).wait(ctx, s, time.Time{})
}

func (q quick) Lookup(ctx context.Context, p *plan.Plan, t *plan.Target, s plan.Step, m executor.Memory) (executor.Outcome, bool) {
	return q.Perform(ctx, p, t, s, m), true
}

// TestWithTheRealJournal leaves and comes back with events on disk.
func TestWithTheRealJournal(t *testing.T) {
	dir, p := t.TempDir(), testPlan(1, 2)
	for round := range 200 {
		j, err := journal.OpenToWrite(dir)
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			if _, err := j.Create("r", time.Now(), *p); err != nil {
				t.Fatal(err)
			}
		}
		stored, err := j.Plan("r")
		if err != nil {
			t.Fatal(err)
		}
		c, err := New(Config{ID: "r", Plan: &stored, Journal: &leaving{j, 5}, Performer: quick{}, Sink: &watcher{t: t}})
		if err != nil {
			t.Fatal(err)
		}
		v, err := c.Run(t.Context(), nil)
		if cerr := j.Close(); cerr != nil {
			t.Fatal(cerr)
		}
		if v == rollout.Succeeded && err == nil {
			return
		}
		if !errors.Is(err, errDead) {
			t.Fatalf("round %d: %q %v", round, v, err)
		}
	}
	t.Error("no end")
}

// leaving is a journal that fails after some appends.
type leaving struct {
	Journal
	left int
}

func (l *leaving) Append(id string, e rollout.Event) (rollout.Event, error) {
	if l.left--; l.left < 0 {
		return e, fmt.Errorf("append: %w", errDead)
	}
	return l.Journal.Append(id, e)
}
