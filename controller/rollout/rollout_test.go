package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

func TestEverythingSucceeds(t *testing.T) {
	r := newRun(t, testPlan(1, 3))
	if v := r.finish(); v != Succeeded {
		t.Fatalf("verdict %q", v)
	}
	if c := r.s.Count(); c.Upgraded != 4 {
		t.Errorf("counts %+v", c)
	}
}

func TestPlanWithoutSnapshotIsRefused(t *testing.T) {
	p := testPlan(1)
	p.Waves[0].Targets[0].Steps = slices.Delete(p.Waves[0].Targets[0].Steps, 3, 4)
	if _, err := New(p, nil); err == nil || !strings.Contains(err.Error(), "no snapshot stands before it") {
		t.Errorf("err %v", err)
	}
	p = testPlan(1)
	p.Policy.MaxUnavailable = 0
	if _, err := New(p, nil); err == nil {
		t.Error("max unavailable 0 was accepted")
	}
	p = testPlan(1)
	p.Waves[0].Targets = append(p.Waves[0].Targets, p.Waves[0].Targets[0])
	if _, err := New(p, nil); err == nil {
		t.Error("a target that stands twice was accepted")
	}
}

func TestSnapshotNeedsHandle(t *testing.T) {
	r := newRun(t, testPlan(1))
	id := r.until("/snapshot")
	if err := r.s.Apply(Event{Kind: EventStepDone, Step: id, Seq: r.s.Seq + 1}); err == nil {
		t.Error("a snapshot without handle was taken for done")
	}
}

func TestChangeWaitsForHandle(t *testing.T) {
	r := newRun(t, testPlan(1))
	r.done(r.until("/snapshot"))
	r.s.Targets["h01"].Handles = map[string]driver.Handle{}
	if got := r.start(); len(got) != 0 {
		t.Errorf("started %v without a handle", got)
	}
}

func TestFailureRollsBackInOrder(t *testing.T) {
	r := newRun(t, testPlan(1, 1))
	id := r.until("/hop")
	r.event(Event{Kind: EventStepFail, Step: id, Detail: "occ upgrade: exit 5"})
	var undone []string
	for range 10 {
		ids := r.start()
		if len(ids) == 0 {
			break
		}
		undone = append(undone, ids...)
		r.done(ids...)
	}
	want := []string{"w0/h01/undo-restore", "w0/h01/undo-open", "w0/h01/undo-release"}
	if !slices.Equal(undone, want) {
		t.Errorf("undone %v, want %v", undone, want)
	}
	if st := r.s.Targets["h01"].Status; st != RolledBack {
		t.Errorf("status %s", st)
	}
}

func TestFailureBeforeCloseTouchesNothing(t *testing.T) {
	p := testPlan(2)
	r := newRun(t, p)
	id := r.until("/hold")
	r.event(Event{Kind: EventStepFail, Step: id, Detail: "no"})
	target := strings.Split(id, "/")[1]
	if v := r.finish(); v != Incomplete {
		t.Errorf("verdict %q", v)
	}
	if st := r.s.Targets[target]; st.Status != Untouched || !st.Counted || !st.Done["w0/"+target+"/undo-release"] {
		t.Errorf("%+v", st)
	}
}

func TestRefusedIsUntouchedAndNotCounted(t *testing.T) {
	r := newRun(t, testPlan(2))
	id := r.until("/recheck")
	r.event(Event{Kind: EventStepRefused, Step: id, Detail: "version changed"})
	if v := r.finish(); v != Incomplete {
		t.Errorf("verdict %q", v)
	}
	if r.s.Failures() != 0 {
		t.Error("a refusal was counted as a failure")
	}
}

func TestFailureBudgetHalts(t *testing.T) {
	p := testPlan(8)
	p.Policy.MaxUnavailable, p.Policy.Ahead = 1, 1
	r := newRun(t, p)
	for range 2 {
		id := r.until("/hop")
		r.event(Event{Kind: EventStepFail, Step: id, Detail: "x"})
	}
	if v := r.finish(); v != Halted {
		t.Fatalf("verdict %q", v)
	}
	if c := r.s.Count(); c.RolledBack != 2 || c.Untouched != 6 {
		t.Errorf("counts %+v", c)
	}
}

func TestHaltLetsBegunTargetsFinish(t *testing.T) {
	p := testPlan(6)
	p.Policy.FailureBudget = 0
	r := newRun(t, p)
	first := r.until("/hop")
	second := ""
	for second == "" { // bring another target into its closed phase too
		r.start()
		for _, id := range r.s.InFlight() {
			if strings.HasSuffix(id, "/hop") && id != first {
				second = id
			} else if id != first {
				r.done(id)
			}
		}
	}
	r.event(Event{Kind: EventStepFail, Step: first, Detail: "x"})
	if v := r.finish(); v != Halted {
		t.Fatalf("verdict %q", v)
	}
	if c := r.s.Count(); c.Upgraded != 1 || c.RolledBack != 1 || c.Untouched != 4 || c.Running != 0 {
		t.Errorf("counts %+v", c)
	}
	if len(r.s.Closed()) != 0 {
		t.Errorf("left closed: %v", r.s.Closed())
	}
}

func TestPauseStartsNothingNew(t *testing.T) {
	r := newRun(t, testPlan(4))
	r.until("/hop")
	r.event(Event{Kind: EventPaused, Who: "op"})
	before := map[string]Status{}
	for n, ts := range r.s.Targets {
		if ts.ClosedAt.IsZero() {
			before[n] = ts.Status
		}
	}
	if v := r.finish(); v != "" {
		t.Fatalf("verdict %q", v)
	}
	for n := range before {
		if !r.s.Targets[n].ClosedAt.IsZero() {
			t.Errorf("%s was closed during the pause", n)
		}
	}
	if len(r.s.Closed()) != 0 {
		t.Errorf("left closed by the pause: %v", r.s.Closed())
	}
	r.event(Event{Kind: EventResumed, Who: "op"})
	if v := r.finish(); v != Succeeded {
		t.Fatalf("verdict %q", v)
	}
}

func TestAbortFinishesOrTakesBack(t *testing.T) {
	r := newRun(t, testPlan(6))
	r.until("/hop")
	r.event(Event{Kind: EventAborted, Who: "op"})
	if v := r.finish(); v != Aborted {
		t.Fatalf("verdict %q", v)
	}
	c := r.s.Count()
	if c.Running != 0 || c.Upgraded == 0 || c.Untouched == 0 || len(r.s.Closed()) != 0 {
		t.Errorf("%+v closed %v", c, r.s.Closed())
	}
	for n, ts := range r.s.Targets {
		_, held := ts.Begun["w0/"+n+"/hold"]
		if held && ts.Status == Untouched && !ts.Done["w0/"+n+"/undo-release"] {
			t.Errorf("%s: rival updaters were left held", n)
		}
	}
}

func TestHold(t *testing.T) {
	hold := func(p *plan.Plan) *run {
		r := newRun(t, p)
		r.event(Event{Kind: EventStepHeld, Step: r.until("/inspect"), Detail: "new warning"})
		return r
	}
	t.Run("approved", func(t *testing.T) {
		r := hold(testPlan(1))
		if v := r.start(); len(v) != 0 {
			t.Fatalf("started %v while held", v)
		}
		r.event(Event{Kind: EventApproved, Target: "h01", Who: "op"})
		if v := r.finish(); v != Succeeded || r.s.Count().Upgraded != 1 {
			t.Fatalf("verdict %q", v)
		}
	})
	t.Run("expires", func(t *testing.T) {
		r := hold(testPlan(1))
		r.now = r.now.Add(15*time.Minute - time.Second)
		if got := r.start(); len(got) != 0 {
			t.Fatalf("started %v too early", got)
		}
		r.now = r.now.Add(time.Second)
		if got := r.start(); !slices.Equal(got, []string{"w0/h01/undo-restore"}) {
			t.Fatalf("started %v", got)
		}
		if v := r.finish(); v != Succeeded || r.s.Count().RolledBack != 1 || r.s.Failures() != 1 {
			t.Errorf("verdict %q %+v failures %d", v, r.s.Count(), r.s.Failures())
		}
	})
	t.Run("policy rollback", func(t *testing.T) {
		p := testPlan(1)
		p.Policy.OnHold = "rollback"
		if got := hold(p).start(); !slices.Equal(got, []string{"w0/h01/undo-restore"}) {
			t.Errorf("started %v", got)
		}
	})
	t.Run("abort rolls back", func(t *testing.T) {
		r := hold(testPlan(1))
		r.event(Event{Kind: EventAborted, Who: "op"})
		if got := r.start(); !slices.Equal(got, []string{"w0/h01/undo-restore"}) {
			t.Errorf("started %v", got)
		}
		if v := r.finish(); v != Aborted || r.s.Count().RolledBack != 1 {
			t.Errorf("verdict %q %+v", v, r.s.Count())
		}
	})
}

func TestNothingRollsBackByItselfAfterOpening(t *testing.T) {
	r := newRun(t, testPlan(1, 1))
	id := r.until("/verify")
	r.event(Event{Kind: EventStepFail, Step: id, Detail: "login 500"})
	if v := r.finish(); v != Halted {
		t.Fatalf("verdict %q", v)
	}
	for _, e := range r.log {
		if strings.Contains(e.Step, "/undo-") {
			t.Errorf("%s ran by itself", e.Step)
		}
	}
	r.event(Event{Kind: EventRollback, Target: "h01", Who: "op"})
	if got := r.start(); !slices.Equal(got, []string{"w0/h01/undo-close"}) {
		t.Errorf("an operator's rollback must close first, started %v", got)
	}
	r.done("w0/h01/undo-close")
	r.finish()
	if st := r.s.Targets["h01"]; st.Status != RolledBack || len(r.s.Closed()) != 0 {
		t.Errorf("status %s closed %v", st.Status, r.s.Closed())
	}
}

func TestOperatorAcceptsFailedVerify(t *testing.T) {
	r := newRun(t, testPlan(1))
	id := r.until("/verify")
	r.event(Event{Kind: EventStepFail, Step: id, Detail: "login 500"})
	r.finish()
	r.event(Event{Kind: EventApproved, Target: "h01", Who: "op"})
	r.event(Event{Kind: EventResumed, Who: "op"})
	if got := r.start(); !slices.Equal(got, []string{"w0/h01/tidy"}) {
		t.Errorf("started %v", got)
	}
}

func TestRollbackThatFailsHaltsAndIsNamed(t *testing.T) {
	p := testPlan(1, 1)
	p.Policy.FailureBudget = 9
	r := newRun(t, p)
	r.event(Event{Kind: EventStepFail, Step: r.until("/hop"), Detail: "x"})
	r.event(Event{Kind: EventStepFail, Step: r.until("/undo-restore"), Detail: "disk gone"})
	if v := r.finish(); v != Halted {
		t.Fatalf("verdict %q", v)
	}
	if got := r.s.Closed(); !slices.Equal(got, []string{"h01"}) {
		t.Errorf("closed %v", got)
	}
}

func TestStepThatNeverBeganStartsAgain(t *testing.T) {
	r := newRun(t, testPlan(1))
	id := r.until("/hop")
	r.event(Event{Kind: EventStepNever, Step: id})
	if got := r.start(); !slices.Equal(got, []string{id}) {
		t.Errorf("started %v", got)
	}
}

func TestEventsThatMakeNoSense(t *testing.T) {
	cases := map[string]Event{
		"unknown kind":     {Kind: "nonsense"},
		"unknown step":     {Kind: EventStepBegun, Step: "w9/x/y"},
		"outcome unasked":  {Kind: EventStepDone, Step: "w0/h01/hold"},
		"started twice":    {Kind: EventStarted},
		"gate unasked":     {Kind: EventStepDone, Step: "w0/h01/gate-verify"},
		"unknown approval": {Kind: EventApproved, Target: "nobody"},
		"needless approve": {Kind: EventApproved, Target: "h01"},
		"rollback waiting": {Kind: EventRollback, Target: "h01"},
		"gap":              {Kind: EventPaused, Seq: 99},
	}
	for name, e := range cases {
		r := newRun(t, testPlan(1))
		if err := r.s.Apply(e); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	r := newRun(t, testPlan(1))
	id := r.until("/hold")
	if err := r.s.Apply(Event{Kind: EventStepBegun, Step: id}); err == nil {
		t.Error("a running step started again")
	}
	r.done(id)
	if err := r.s.Apply(Event{Kind: EventStepBegun, Step: id}); err == nil {
		t.Error("a done step started again")
	}
}

func TestHaltTakesBackThePrepared(t *testing.T) {
	p := testPlan(4)
	p.Policy.FailureBudget, p.Policy.MaxUnavailable, p.Policy.Ahead = 0, 1, 2
	r := newRun(t, p)
	id := r.until("h01/hop")
	r.until("h03/hold", id) // h02 is prepared, h03 is being prepared
	r.fail(id, "x")
	if v := r.finish(); v != Halted {
		t.Fatal(v)
	}
	for _, name := range []string{"h02", "h03"} {
		if st := r.s.Targets[name]; st.Status != Untouched || !st.Done["w0/"+name+"/undo-release"] {
			t.Errorf("%s is %s, its rivals were left held", name, st.Status)
		}
	}
}

func TestLateRefusalIsAFailure(t *testing.T) {
	r := newRun(t, testPlan(1))
	r.event(Event{Kind: EventStepRefused, Step: r.until("/hop"), Detail: "x"})
	r.finish()
	if st := r.s.Targets["h01"]; st.Status != RolledBack || !st.Counted || st.Refused {
		t.Errorf("%s, counted %v", st.Status, st.Counted)
	}
}
