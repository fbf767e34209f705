package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// steps returns the steps of that suffix that were started, in order.
func (r *run) begun(part string) []string {
	var ids []string
	for _, e := range r.log {
		if e.Kind == EventStepBegun && strings.Contains(e.Step, part) {
			ids = append(ids, e.Step)
		}
	}
	return ids
}

func (r *run) fail(id, why string) {
	r.t.Helper()
	r.event(Event{Kind: EventStepFail, Step: id, Detail: why})
}

func (r *run) refused(e Event, why string) {
	r.t.Helper()
	for name, err := range map[string]error{"Allows": r.s.Allows(e), "Check": r.s.Check(e)} {
		if err == nil || !strings.Contains(err.Error(), why) {
			r.t.Errorf("%s of %s %s: %v, want %q", name, e.Kind, e.Target, err, why)
		}
	}
}

// TestAskedRollbackIsNotForgotten asks while a step runs, whatever that step's
// end is.
func TestAskedRollbackIsNotForgotten(t *testing.T) {
	cases := []struct {
		while   string
		outcome EventKind
	}{
		{"/tidy", EventStepDone}, // the last step: it would have been upgraded
		{"/verify", EventStepFail},
		{"/inspect", EventStepHeld},
		{"/hop", EventStepDone},
		{"/hop", EventStepFail},
		{"/hop", EventStepNever},
	}
	for _, c := range cases {
		r := newRun(t, testPlan(1))
		id := r.until(c.while)
		r.event(Event{Kind: EventRollback, Target: "h01", Who: "op"})
		r.event(Event{Kind: c.outcome, Step: id, Detail: "x"})
		if st := r.s.Targets["h01"].Status; st != RollingBack {
			t.Errorf("asked during %s, which %s: %s", c.while, c.outcome, st)
		}
		r.finish()
		if st := r.s.Targets["h01"]; st.Status != RolledBack {
			t.Errorf("asked during %s, which %s: %s", c.while, c.outcome, st.Status)
		}
	}
}

func TestRollbackOfUpgradedClosesFirst(t *testing.T) {
	r := newRun(t, testPlan(1))
	if v := r.finish(); v != Succeeded {
		t.Fatal(v)
	}
	r.event(Event{Kind: EventRollback, Target: "h01", Who: "op"})
	r.finish()
	want := []string{"w0/h01/undo-close", "w0/h01/undo-restore", "w0/h01/undo-open", "w0/h01/undo-release"}
	if got := r.begun("/undo-"); !slices.Equal(got, want) {
		t.Errorf("undone %v", got)
	}
}

// TestRollbackGoesOnWhereItFailed: users were let in by the rollback itself,
// restoring again would lose what they wrote.
func TestRollbackGoesOnWhereItFailed(t *testing.T) {
	r := newRun(t, testPlan(1))
	r.fail(r.until("/hop"), "x")
	r.fail(r.until("/undo-release"), "timer is masked")
	if v := r.finish(); v != Halted || len(r.s.Closed()) != 0 {
		t.Fatalf("verdict %q closed %v", v, r.s.Closed())
	}
	r.event(Event{Kind: EventRollback, Target: "h01", Who: "op"})
	if n := r.s.Attempt("w0/h01/undo-release"); n != 1 {
		t.Errorf("attempt %d: the host would answer with the failure of the first", n)
	}
	r.finish()
	if got := r.begun("/undo-restore"); len(got) != 1 {
		t.Errorf("restored %d times", len(got))
	}
	if st := r.s.Targets["h01"]; st.Status != RolledBack {
		t.Errorf("status %s", st.Status)
	}
}

func TestAcceptedFailureHaltsOnce(t *testing.T) {
	p := testPlan(3)
	p.Policy.FailureBudget, p.Policy.MaxUnavailable, p.Policy.Ahead = 5, 2, 1
	r := newRun(t, p)
	r.fail(r.until("/verify"), "login 500")
	if v := r.finish(); v != Halted {
		t.Fatal(v)
	}
	r.event(Event{Kind: EventResumed, Who: "op"})
	r.fail(r.until("/hop"), "x") // within the budget, and rolled back
	if v := r.finish(); v != Incomplete {
		t.Errorf("verdict %q (%s): the failure that was accepted halted again", v, r.s.HaltReason)
	}
}

func TestFailedRollbackHaltsThoughItsFailureWasAccepted(t *testing.T) {
	p := testPlan(2)
	p.Policy.FailureBudget = 0
	r := newRun(t, p)
	r.fail(r.until("/hop"), "x")
	id := r.until("/undo-restore")
	r.event(Event{Kind: EventResumed, Who: "op"})
	r.fail(id, "disk gone")
	if r.s.HaltReason == "" {
		t.Error("a target that could not be taken back did not halt the rollout")
	}
}

func TestGateOutcomeDoesNotStopARollback(t *testing.T) {
	r := newRun(t, testPlan(1, 1))
	gate := r.until("/gate-verify")
	r.event(Event{Kind: EventRollback, Target: "h01", Who: "op"})
	r.start()
	r.fail(gate, "503: it is being rolled back")
	r.finish()
	if st := r.s.Targets["h01"]; st.Status != RolledBack || len(r.s.Closed()) != 0 {
		t.Errorf("status %s closed %v", st.Status, r.s.Closed())
	}
}

func TestOperatorWaitsForTheHost(t *testing.T) {
	p := testPlan(2)
	for i := range p.Waves[0].Targets {
		p.Waves[0].Targets[i].Host = "shared"
	}
	r := newRun(t, p)
	r.done(r.until("h01/tidy"))
	r.until("h02/hop")
	r.refused(Event{Kind: EventRollback, Target: "h01", Who: "op"}, "h02 of the same host is running")
	r.finish()
	if err := r.s.Allows(Event{Kind: EventRollback, Target: "h01", Who: "op"}); err != nil {
		t.Errorf("refused on a quiet host: %v", err)
	}
	p.Policy.FailureBudget = 9
	r = newRun(t, p)
	r.fail(r.until("h01/verify"), "x")
	r.event(Event{Kind: EventResumed, Who: "op"})
	r.until("h02/hop")
	r.refused(Event{Kind: EventApproved, Target: "h01", Who: "op"}, "h02 of the same host is running")
}

func TestRollbackNeedsASnapshot(t *testing.T) {
	r := newRun(t, hostAlone())
	if v := r.finish(); v != Succeeded {
		t.Fatal(v)
	}
	r.refused(Event{Kind: EventRollback, Target: "web"}, "took no snapshot")
}

func TestApproveAfterTheEndGoesOn(t *testing.T) {
	r := newRun(t, testPlan(1))
	r.fail(r.until("/verify"), "login 500")
	if v := r.finish(); v != Halted {
		t.Fatal(v)
	}
	r.event(Event{Kind: EventApproved, Target: "h01", Who: "op"})
	r.finish()
	if st := r.s.Targets["h01"]; st.Status != Upgraded || !st.Done["w0/h01/tidy"] {
		t.Errorf("the approved target was left %s", st.Status)
	}
}

func TestApproveAfterUndoIsRefused(t *testing.T) {
	r := newRun(t, testPlan(1))
	r.fail(r.until("/hop"), "x")
	r.fail(r.until("/undo-restore"), "x")
	r.refused(Event{Kind: EventApproved, Target: "h01"}, "its rollback was begun")
}

// TestAskAfterTheEnd is the table of what operators may ask of an ended rollout.
func TestAskAfterTheEnd(t *testing.T) {
	ended := func(v Verdict) *run {
		r := newRun(t, testPlan(1))
		switch v {
		case Succeeded:
		case Incomplete:
			r.event(Event{Kind: EventStepRefused, Step: r.until("/recheck"), Detail: "x"})
		case Halted:
			r.fail(r.until("/verify"), "x")
		case Aborted:
			r.event(Event{Kind: EventAborted, Who: "op"})
		}
		if got := r.finish(); got != v {
			t.Fatalf("verdict %q, want %q", got, v)
		}
		return r
	}
	cases := []struct {
		v                    Verdict
		pause, resume, abort bool
	}{
		{Succeeded, false, false, false},
		{Incomplete, false, false, false},
		{Aborted, false, false, false},
		{Halted, false, true, true},
	}
	for _, c := range cases {
		r := ended(c.v)
		for kind, want := range map[EventKind]bool{EventPaused: c.pause, EventResumed: c.resume, EventAborted: c.abort} {
			if err := r.s.Allows(Event{Kind: kind}); (err == nil) != want {
				t.Errorf("%s after %s: %v", kind, c.v, err)
			}
		}
	}
	r := ended(Halted)
	r.event(Event{Kind: EventAborted, Who: "op"})
	if v := r.finish(); v != Aborted {
		t.Errorf("a halted rollout that was aborted ends as %q", v)
	}
}

func TestAbortWhilePrepared(t *testing.T) {
	p := testPlan(6)
	p.Policy.MaxUnavailable, p.Policy.Ahead = 1, 2
	r := newRun(t, p)
	r.until("/hop")
	r.event(Event{Kind: EventAborted, Who: "op"})
	r.finish()
	if got := r.begun("/recheck"); len(got) != 3 {
		t.Errorf("begun: %v", got)
	}
	if n := len(r.begun("/close")); n != 1 {
		t.Errorf("%d targets closed: %v", n, r.begun("/close"))
	}
	if got := r.s.Count(); got.Upgraded != 1 || got.Untouched != 5 {
		t.Errorf("%+v", got)
	}
}

// TestStepThatNeverBeganMayBeStopped: a close that the controller's death kept
// from beginning is a new start, for pause and abort too.
func TestStepThatNeverBeganMayBeStopped(t *testing.T) {
	r := newRun(t, testPlan(1))
	id := r.until("/close")
	r.event(Event{Kind: EventPaused, Who: "op"})
	r.event(Event{Kind: EventStepNever, Step: id})
	if got := r.start(); len(got) != 0 {
		t.Errorf("paused, started %v", got)
	}
	if got := r.s.Closed(); len(got) != 0 {
		t.Errorf("closed %v", got)
	}
	r = newRun(t, testPlan(1))
	id = r.until("/close")
	r.event(Event{Kind: EventAborted, Who: "op"})
	r.event(Event{Kind: EventStepNever, Step: id})
	if got := r.start(); !slices.Equal(got, []string{"w0/h01/undo-release"}) {
		t.Errorf("aborted, started %v", got)
	}
	r = newRun(t, testPlan(1))
	id = r.until("/recheck")
	r.event(Event{Kind: EventStepNever, Step: id})
	if st := r.s.Targets["h01"].Status; st != Waiting {
		t.Errorf("a target that never began is %s", st)
	}
}

func TestPauseKeepsThePrepared(t *testing.T) {
	p := testPlan(2)
	p.Policy.MaxUnavailable, p.Policy.Ahead = 1, 1
	r := newRun(t, p)
	r.until("h01/hold")
	r.event(Event{Kind: EventPaused, Who: "op"})
	for range 5 {
		r.done(r.s.InFlight()...)
		r.start()
	}
	if got := append(r.begun("/close"), r.begun("h02")...); len(got) != 0 {
		t.Errorf("started while paused: %v", got)
	}
	if st := r.s.Targets["h01"]; st.Status != Running || st.Next != 2 {
		t.Errorf("h01 %s at %d: what is prepared waits", st.Status, st.Next)
	}
	r = newRun(t, p)
	r.event(Event{Kind: EventPaused, Who: "op"})
	if got := r.start(); len(got) != 0 {
		t.Errorf("paused before it began, started %v", got)
	}
}

func TestDeadlockHalts(t *testing.T) {
	p := testPlan(5)
	p.Policy.MaxUnavailable, p.Policy.Ahead, p.Policy.FailureBudget = 1, 2, 9
	r := newRun(t, p)
	r.fail(r.until("/verify"), "x") // keeps its share for good
	if v := r.finish(); v != Halted {
		t.Fatal(v)
	}
	r.event(Event{Kind: EventResumed, Who: "op"})
	if v := r.finish(); v != Halted || !strings.Contains(r.s.HaltReason, "nothing more can start") {
		t.Fatalf("verdict %q: %s", v, r.s.HaltReason)
	}
	for name, st := range r.s.Targets {
		if !st.Settled() && st.Status != Waiting {
			t.Errorf("%s was left %s", name, st.Status)
		}
	}
}

func TestUnclearLookAtTheOldVersionOpensIt(t *testing.T) {
	p := testPlan(1)
	target := &p.Waves[0].Targets[0]
	look := plan.Step{ID: "w0/h01/undo-inspect", Kind: plan.KindInspect, Target: "h01", Host: "h01", Instance: "nc", Undoes: []string{"w0/h01/hop"}}
	target.Undo = slices.Insert(target.Undo, 2, look)
	r := newRun(t, p)
	r.event(Event{Kind: EventStepFail, Step: r.until("/hop"), Detail: "x"})
	r.event(Event{Kind: EventStepHeld, Step: r.until("/undo-inspect"), Detail: "a new warning"})
	r.finish()
	if st := r.s.Targets["h01"]; st.Status != RolledBack || len(r.s.Closed()) != 0 || !strings.Contains(st.Reason, "a new warning") {
		t.Errorf("status %s closed %v reason %q", st.Status, r.s.Closed(), st.Reason)
	}
}

func TestRollbackOfACanaryAfterTheEndProvesNothingWrong(t *testing.T) {
	r := newRun(t, testPlan(1, 1))
	if v := r.finish(); v != Succeeded {
		t.Fatalf("verdict %q", v)
	}
	r.event(Event{Kind: EventRollback, Target: "h01", Who: "op"})
	if v := r.finish(); v != Succeeded || r.s.HaltReason != "" {
		t.Errorf("verdict %q, halted: %q", v, r.s.HaltReason)
	}
}

func TestSpoken(t *testing.T) {
	for d, want := range map[time.Duration]string{15 * time.Minute: "15m", 90 * time.Minute: "1h30m", time.Hour: "1h", 90 * time.Second: "1m30s"} {
		if got := spoken(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
