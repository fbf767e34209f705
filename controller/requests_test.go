package controller

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncfleet/ncfleet/controller/executor"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// during runs a controller to its end and an operator beside it.
func (w *world) during(operator func()) rollout.Verdict {
	w.t.Helper()
	gone := make(chan struct{})
	go func() { defer close(gone); operator() }()
	v, err := w.carryOn(w.t.Context(), nil)
	if err != nil {
		w.t.Error(err)
	}
	<-gone
	return v
}

// until waits for an event.
func (w *world) until(kind rollout.EventKind, step string) {
	for range 100_000 {
		if w.book.count(kind, step) > 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Errorf("no %s of %s", kind, step)
}

// taken asks and waits for the answer, at most as long as an operator would.
func (w *world) taken(e rollout.Event) (refusal string) {
	id := w.book.ask(e)
	for range 30 {
		time.Sleep(100 * time.Millisecond)
		if refusal, ok := w.book.answer(id); ok {
			return refusal
		}
	}
	w.t.Errorf("%s %s%s was not answered within 3 s", e.Kind, e.Target, e.Wave)
	return ""
}

func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testPlan(1, 5))
		v := w.during(func() {
			w.until(rollout.EventStepBegun, "w1/h02/hop")
			if r := w.taken(rollout.Event{Kind: rollout.EventPaused}); r != "" {
				t.Errorf("pause refused: %s", r)
			}
			time.Sleep(time.Hour)
			s := w.state()
			if len(s.InFlight()) > 0 || s.Ended != "" || s.Count().Upgraded == 6 {
				t.Errorf("paused: in flight %v, %+v", s.InFlight(), s.Count())
			}
			if r := w.taken(rollout.Event{Kind: rollout.EventResumed}); r != "" {
				t.Errorf("resume refused: %s", r)
			}
		})
		if v != rollout.Succeeded {
			t.Errorf("verdict %q", v)
		}
		if !strings.Contains(strings.Join(w.sink.waited, "\n"), "paused") {
			t.Errorf("nobody was told why nothing happens: %q", w.sink.waited)
		}
	})
}

func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testPlan(1, 5))
		v := w.during(func() {
			w.until(rollout.EventStepBegun, "w1/h02/hop")
			if r := w.taken(rollout.Event{Kind: rollout.EventAborted, Detail: "wrong night"}); r != "" {
				t.Errorf("abort refused: %s", r)
			}
		})
		s := w.state()
		if c := s.Count(); v != rollout.Aborted || c.Running > 0 || c.Untouched == 0 || len(s.Closed()) > 0 {
			t.Errorf("verdict %q, %+v, closed %v", v, c, s.Closed())
		}
	})
}

func TestApproveAWaveAndATarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPlan(1, 1)
		p.Waves[1].Approve = true
		w := newWorld(t, p)
		w.hosts.outcome["w0/h01/inspect"] = executor.Outcome{Status: executor.Held, Detail: "a new warning"}
		v := w.during(func() {
			w.until(rollout.EventStepHeld, "w0/h01/inspect")
			if r := w.taken(rollout.Event{Kind: rollout.EventApproved, Target: "h02"}); !strings.Contains(r, "does not wait for approval") {
				t.Errorf("a needless approval: %q", r)
			}
			if r := w.taken(rollout.Event{Kind: rollout.EventApproved, Target: "nobody"}); !strings.Contains(r, `nothing named "nobody"`) {
				t.Errorf("approval of nobody: %q", r)
			}
			if r := w.taken(rollout.Event{Kind: rollout.EventApproved, Target: "h01"}); r != "" {
				t.Errorf("approval refused: %s", r)
			}
			w.until(rollout.EventStepDone, "w0/h01/gate-verify")
			time.Sleep(24 * time.Hour)
			if w.book.count(rollout.EventStepBegun, "w1/h02/recheck") > 0 {
				t.Error("the wave started without its approval")
			}
			if r := w.taken(rollout.Event{Kind: rollout.EventApproved, Wave: "w1"}); r != "" {
				t.Errorf("approval of the wave refused: %s", r)
			}
		})
		if v != rollout.Succeeded {
			t.Errorf("verdict %q", v)
		}
	})
}

func TestRollbackWhileOthersRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testPlan(2, 3))
		v := w.during(func() {
			w.until(rollout.EventStepBegun, "w1/h03/hop")
			if r := w.taken(rollout.Event{Kind: rollout.EventRollback, Target: "h05"}); r != "" && !strings.Contains(r, "cannot be rolled back") {
				t.Errorf("rollback of h05: %q", r)
			}
			if r := w.taken(rollout.Event{Kind: rollout.EventRollback, Target: "h01"}); r != "" {
				t.Errorf("rollback refused: %s", r)
			}
			if r := w.taken(rollout.Event{Kind: rollout.EventStarted}); !strings.Contains(r, "not for operators") {
				t.Errorf("an event that is not an operator's: %q", r)
			}
		})
		if st := w.state().Targets["h01"].Status; st != rollout.RolledBack || v == "" {
			t.Errorf("h01 is %s, verdict %q", st, v)
		}
	})
}

// TestRollbackAskedAgain: the host must not answer with its first failure.
func TestRollbackAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testPlan(1))
		w.hosts.outcome["w0/h01/hop"] = executor.Outcome{Status: executor.Failed, Detail: "exit 5"}
		w.hosts.outcome["w0/h01/undo-restore"] = executor.Outcome{Status: executor.Failed, Detail: "disk full"}
		w.finish(rollout.Halted)
		if got := w.state().Closed(); len(got) != 1 {
			t.Fatalf("closed %v", got)
		}
		delete(w.hosts.outcome, "w0/h01/undo-restore")
		w.book.ask(rollout.Event{Kind: rollout.EventRollback, Target: "h01"})
		w.finish(rollout.Halted)
		s := w.state()
		if st := s.Targets["h01"].Status; st != rollout.RolledBack || len(s.Closed()) > 0 {
			t.Errorf("h01 is %s, closed %v", st, s.Closed())
		}
		if n := w.hosts.effects["w0/h01/undo-restore"]; n != 2 {
			t.Errorf("restored %d times: the second wish must be another run", n)
		}
	})
}

// TestRequestsAreHeardInTheRush: results that come all the time must not keep
// an operator waiting.
func TestRequestsAreHeardInTheRush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPlan(1, 300)
		p.Policy.Ahead, p.Policy.MaxUnavailable = 20, 20
		w := newWorld(t, p)
		w.hosts.takes = 317 * time.Millisecond
		v := w.during(func() {
			w.until(rollout.EventStepBegun, "w1/h40/hop")
			if r := w.taken(rollout.Event{Kind: rollout.EventAborted}); r != "" {
				t.Errorf("abort refused: %s", r)
			}
		})
		if c := w.state().Count(); v != rollout.Aborted || c.Untouched < 100 {
			t.Errorf("verdict %q, %+v", v, c)
		}
	})
}
