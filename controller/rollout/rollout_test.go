package rollout

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

var t0 = time.Date(2026, 3, 2, 22, 0, 0, 0, time.UTC) // a Monday

// testPlan makes waves of the given sizes with a short runbook.
func testPlan(sizes ...int) *plan.Plan {
	p := &plan.Plan{Rollout: "test", Policy: plan.Policy{MaxUnavailable: 2, FailureBudget: 1, Ahead: 4, OnHold: "wait", HoldTimeout: 15 * time.Minute}}
	n := 0
	for w, size := range sizes {
		wave := plan.Wave{Name: fmt.Sprintf("w%d", w)}
		for range size {
			n++
			wave.Targets = append(wave.Targets, testTarget(wave.Name, fmt.Sprintf("h%02d", n)))
			name := wave.Targets[len(wave.Targets)-1].Name
			wave.Gate = append(wave.Gate, plan.Step{ID: wave.Name + "/" + name + "/gate-verify", Kind: plan.KindVerify, Target: name})
		}
		p.Waves = append(p.Waves, wave)
	}
	return p
}

func testTarget(wave, name string) plan.Target {
	id := func(k string) string { return wave + "/" + name + "/" + k }
	step := func(k plan.Kind, ph plan.Phase, changes bool) plan.Step {
		return plan.Step{ID: id(string(k)), Kind: k, Phase: ph, Target: name, Host: name, Instance: "nc", Changes: changes}
	}
	undo := func(k plan.Kind, of ...string) plan.Step {
		s := plan.Step{ID: id("undo-" + string(k)), Kind: k, Target: name, Host: name, Instance: "nc"}
		for _, o := range of {
			s.Undoes = append(s.Undoes, id(o))
		}
		return s
	}
	return plan.Target{Name: name, Host: name, Instance: "nc",
		Steps: []plan.Step{
			step(plan.KindRecheck, plan.PhaseBefore, false), step(plan.KindHold, plan.PhaseBefore, false),
			step(plan.KindClose, plan.PhaseClosed, false), step(plan.KindSnapshot, plan.PhaseClosed, false),
			step(plan.KindHop, plan.PhaseClosed, true), step(plan.KindInspect, plan.PhaseClosed, false),
			step(plan.KindOpen, plan.PhaseAfter, false), step(plan.KindVerify, plan.PhaseAfter, false),
			step(plan.KindTidy, plan.PhaseAfter, false),
		},
		Undo: []plan.Step{
			undo(plan.KindClose, "open"), undo(plan.KindRestore, "hop"), undo(plan.KindOpen, "close"), undo(plan.KindRelease, "hold"),
		},
	}
}

// run is a rollout under test: a state, its log of events and a clock.
type run struct {
	t   *testing.T
	s   *State
	now time.Time
	log []Event
}

func newRun(t *testing.T, p *plan.Plan) *run {
	t.Helper()
	s, err := New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{t: t, s: s, now: t0}
	r.event(Event{Kind: EventStarted})
	return r
}

func (r *run) event(e Event) {
	r.t.Helper()
	e.At, e.Seq = r.now, r.s.Seq+1
	if err := r.s.Apply(e); err != nil {
		r.t.Fatalf("apply %s %s: %v", e.Kind, e.Step, err)
	}
	r.log = append(r.log, e)
}

// start asks what to start and records the starts.
func (r *run) start() []string {
	r.t.Helper()
	for range 10 {
		d := r.s.Next(r.now)
		for _, e := range d.Record {
			r.event(e)
		}
		if len(d.Record) > 0 {
			continue
		}
		for _, id := range d.Start {
			r.event(Event{Kind: EventStepBegun, Step: id})
		}
		return d.Start
	}
	r.t.Fatal("Next records without end")
	return nil
}

func (r *run) done(ids ...string) {
	r.t.Helper()
	for _, id := range ids {
		e := Event{Kind: EventStepDone, Step: id}
		if strings.Contains(id, "/snapshot") {
			e.Handle = &driver.Handle{Driver: "archive", Key: id}
		}
		r.event(e)
	}
}

// until lets everything succeed until a step of that suffix was started.
func (r *run) until(suffix string) string {
	r.t.Helper()
	for range 1000 {
		r.start()
		flight := r.s.InFlight()
		if len(flight) == 0 {
			break
		}
		for _, id := range flight {
			if strings.HasSuffix(id, suffix) {
				return id
			}
		}
		r.done(flight[0])
	}
	r.t.Fatalf("no step %s ever starts; waits: %v", suffix, r.s.Next(r.now).Waits)
	return ""
}

// finish lets everything succeed, moving the clock as asked, until a verdict.
func (r *run) finish() Verdict {
	r.t.Helper()
	for range 5000 {
		r.start()
		if flight := r.s.InFlight(); len(flight) > 0 {
			r.done(flight[0])
			continue
		}
		d := r.s.Next(r.now)
		if d.Verdict != "" {
			return d.Verdict
		}
		if d.Wake.IsZero() {
			return ""
		}
		r.now = d.Wake
	}
	r.t.Fatal("no end")
	return ""
}

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

func TestWindow(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zone data on this machine: ", err)
	}
	w := plan.Window{Days: []string{"sat"}, From: "22:00", To: "04:00"}
	at := func(s string) time.Time {
		v, err := time.ParseInLocation("2006-01-02 15:04", s, berlin)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	cases := []struct {
		at   string
		open bool
		next string
	}{
		{"2026-03-28 21:59", false, "2026-03-28 22:00"},
		{"2026-03-28 22:00", true, ""},
		{"2026-03-29 03:59", true, ""}, // the night of the spring change: one hour shorter
		{"2026-03-29 04:00", false, "2026-04-04 22:00"},
		{"2026-10-25 02:30", true, ""}, // stands twice in autumn, open both times
		{"2026-03-27 23:00", false, "2026-03-28 22:00"},
	}
	for _, c := range cases {
		open, next := windowAt(w, at(c.at), berlin)
		if open != c.open || (c.next != "" && !next.Equal(at(c.next))) {
			t.Errorf("%s: open %v next %v", c.at, open, next)
		}
	}
	p := testPlan(1)
	p.Policy.Window = &plan.Window{Days: []string{"tue"}, From: "01:00", To: "02:00"}
	r := newRun(t, p) // Monday 22:00
	if got := r.start(); len(got) != 0 {
		t.Fatalf("started %v outside the window", got)
	}
	if v := r.finish(); v != Succeeded || r.now.Before(t0.Add(3*time.Hour)) {
		t.Errorf("verdict %q at %v", v, r.now)
	}
}

func replayed(t *testing.T, p *plan.Plan, log []Event) string {
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
	return dump(t, s)
}

func dump(t *testing.T, s *State) string {
	t.Helper()
	c := *s
	c.Plan, c.Location = nil, nil
	b, err := json.Marshal(&c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
