package rollout

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ncfleet/ncfleet/controller/plan"
)

func windowOf(from, to string) *plan.Window { return &plan.Window{From: from, To: to, Zone: "UTC"} }

// twoInstances is one wave with one host that carries two instances.
func twoInstances() *plan.Plan {
	t := plan.Target{Name: "duo", Host: "duo"}
	add := func(list *[]plan.Step, id string, k plan.Kind, ph plan.Phase, instance string, undoes ...string) {
		*list = append(*list, plan.Step{ID: "w/duo/" + id, Kind: k, Phase: ph, Target: "duo", Host: "duo", Instance: instance,
			Changes: k == plan.KindPackages, Undoes: undoes})
	}
	each := func(list *[]plan.Step, prefix string, k plan.Kind, ph plan.Phase, undoes string) {
		for i := 1; i <= 2; i++ {
			id := fmt.Sprintf("%s%s-%d", prefix, k, i)
			if undoes == "" {
				add(list, id, k, ph, fmt.Sprint("nc", i))
				continue
			}
			of := "w/duo/" + undoes
			if undoes != "packages" {
				of = fmt.Sprintf("%s-%d", of, i)
			}
			add(list, id, k, ph, fmt.Sprint("nc", i), of)
		}
	}
	add(&t.Steps, "recheck", plan.KindRecheck, plan.PhaseBefore, "")
	each(&t.Steps, "", plan.KindClose, plan.PhaseClosed, "")
	each(&t.Steps, "", plan.KindSnapshot, plan.PhaseClosed, "")
	add(&t.Steps, "packages", plan.KindPackages, plan.PhaseClosed, "")
	each(&t.Steps, "", plan.KindInspect, plan.PhaseClosed, "")
	each(&t.Steps, "", plan.KindOpen, plan.PhaseAfter, "")
	each(&t.Steps, "", plan.KindVerify, plan.PhaseAfter, "")
	each(&t.Undo, "undo-", plan.KindClose, plan.PhaseClosed, "open")
	each(&t.Undo, "undo-", plan.KindRestore, plan.PhaseClosed, "packages")
	each(&t.Undo, "undo-", plan.KindOpen, plan.PhaseClosed, "close")
	return &plan.Plan{Rollout: "duo", Policy: plan.Policy{MaxUnavailable: 1, Ahead: 1, OnHold: "wait"},
		Waves: []plan.Wave{{Name: "w", Targets: []plan.Target{t}}}}
}

// hostAlone is one wave with a host that carries no instance.
func hostAlone() *plan.Plan {
	step := func(id string, k plan.Kind, ph plan.Phase, undoes ...string) plan.Step {
		return plan.Step{ID: "w/web/" + id, Kind: k, Phase: ph, Target: "web", Host: "web", Undoes: undoes}
	}
	t := plan.Target{Name: "web", Host: "web",
		Steps: []plan.Step{step("recheck", plan.KindRecheck, plan.PhaseBefore), step("lease", plan.KindLease, plan.PhaseBefore),
			step("packages", plan.KindPackages, plan.PhaseClosed), step("unlease", plan.KindUnlease, plan.PhaseAfter)},
		Undo: []plan.Step{step("undo-lease", plan.KindLease, plan.PhaseClosed, "w/web/unlease"),
			step("undo-repair", plan.KindRepair, plan.PhaseClosed, "w/web/packages"),
			step("undo-unlease", plan.KindUnlease, plan.PhaseAfter, "w/web/lease")}}
	return &plan.Plan{Rollout: "web", Policy: plan.Policy{MaxUnavailable: 1, Ahead: 1, FailureBudget: 1},
		Waves: []plan.Wave{{Name: "w", Targets: []plan.Target{t}}}}
}

func TestEverySnapshotIsNeeded(t *testing.T) {
	r := newRun(t, twoInstances())
	r.done(r.until("/snapshot-2"))
	delete(r.s.Targets["duo"].Handles, "nc1")
	if got := r.start(); len(got) != 0 {
		t.Errorf("started %v with one of two handles", got)
	}
	if err := r.s.Check(Event{Kind: EventStepBegun, Step: "w/duo/packages"}); err == nil {
		t.Error("a change without a handle was taken from the journal")
	}
}

// TestOneInstanceOpenIsOpen: users of the first instance may have written, so
// nothing rolls back by itself.
func TestOneInstanceOpenIsOpen(t *testing.T) {
	r := newRun(t, twoInstances())
	id := r.until("/open-2")
	r.event(Event{Kind: EventStepFail, Step: id, Detail: "config.php"})
	if v := r.finish(); v != Halted || len(r.begun("/undo-")) != 0 {
		t.Errorf("verdict %q, ran %v", v, r.begun("/undo-"))
	}
	if got := r.s.Closed(); !slices.Equal(got, []string{"duo"}) {
		t.Errorf("closed %v: the second instance is", got)
	}
}

func TestRollbackOpensEveryInstance(t *testing.T) {
	r := newRun(t, twoInstances())
	r.fail(r.until("/packages"), "dpkg")
	r.fail(r.until("/undo-open-2"), "config.php")
	r.finish()
	if st := r.s.Targets["duo"]; st.Status != Failed || !st.StillClosed || !slices.Equal(r.s.Closed(), []string{"duo"}) {
		t.Errorf("%s, still closed %v, closed %v", st.Status, st.StillClosed, r.s.Closed())
	}
}

// TestFailedOpen: it may have let users in before it failed, so people decide;
// unless it proved that, the target is called closed, for somebody to look.
func TestFailedOpen(t *testing.T) {
	cases := []struct {
		name     string
		evidence map[string]string
		closed   int
	}{
		{"lost, nobody knows", nil, 1},
		{"opened, then failed", map[string]string{EvidenceOpenedAt: "1700000000.5"}, 0},
	}
	for _, c := range cases {
		r := newRun(t, testPlan(1))
		r.event(Event{Kind: EventStepFail, Step: r.until("/open"), Detail: "x", Evidence: c.evidence})
		r.finish()
		if st := r.s.Targets["h01"].Status; st != Failed || len(r.s.Closed()) != c.closed {
			t.Errorf("%s: %s, closed %v", c.name, st, r.s.Closed())
		}
		if got := r.begun("/undo-"); len(got) > 0 {
			t.Errorf("%s: %v ran by itself", c.name, got)
		}
		r.event(Event{Kind: EventApproved, Target: "h01", Who: "op"})
		if got := r.start(); !slices.Equal(got, []string{"w0/h01/verify"}) {
			t.Errorf("%s: approved, started %v", c.name, got)
		}
		if len(r.s.Closed()) != 0 {
			t.Errorf("%s: approved and still called closed", c.name)
		}
	}
}

// TestForeignChangeHalts: what somebody else did to a closed target is not
// undone by itself; an operator may ask for it.
func TestForeignChangeHalts(t *testing.T) {
	r := newRun(t, testPlan(1))
	r.event(Event{Kind: EventStepFail, Step: r.until("/hop"), Detail: "x", Evidence: map[string]string{EvidenceForeign: "yes"}})
	r.finish()
	if s := r.s.Targets["h01"]; s.Status != Failed || !s.StillClosed || len(r.begun("/undo-")) > 0 {
		t.Errorf("%s, still closed %v, undone %v", s.Status, s.StillClosed, r.begun("/undo-"))
	}
	r.event(Event{Kind: EventRollback, Target: "h01", Who: "op"})
	if got := r.start(); len(got) != 1 || r.s.Targets["h01"].Status != RollingBack {
		t.Errorf("asked for, started %v", got)
	}
}

// TestDegradedRollbackSaysSo: what a rollback had to leave undone stands in the
// target's reason.
func TestDegradedRollbackSaysSo(t *testing.T) {
	r := newRun(t, testPlan(1))
	r.event(Event{Kind: EventStepFail, Step: r.until("/hop"), Detail: "x"})
	step := r.start()
	if len(step) != 1 {
		t.Fatalf("started %v", step)
	}
	r.event(Event{Kind: EventStepDone, Step: step[0], Evidence: map[string]string{EvidenceDegraded: "packages are not at rest"}})
	r.finish()
	if s := r.s.Targets["h01"]; s.Status != RolledBack || s.Reason != "x; rolled back, but packages are not at rest" {
		t.Errorf("%s: %q", s.Status, s.Reason)
	}
}

func TestHostAloneIsNeverClosed(t *testing.T) {
	r := newRun(t, hostAlone())
	r.until("/packages")
	if got := r.s.Closed(); len(got) != 0 {
		t.Errorf("closed to users: %v, but it has none", got)
	}
	if v := r.finish(); v != Succeeded || r.s.Targets["web"].OpenedAt.IsZero() {
		t.Errorf("verdict %q, back in service at %v", v, r.s.Targets["web"].OpenedAt)
	}
	r = newRun(t, hostAlone())
	r.fail(r.until("/packages"), "dpkg")
	if v := r.finish(); v != Succeeded || len(r.begun("/undo-lease")) != 0 || len(r.s.Closed()) != 0 {
		t.Errorf("verdict %q, undone %v", v, r.begun("/undo-"))
	}
}

// TestPlansThatNoRuleCouldKeep are refused before the first event.
func TestPlansThatNoRuleCouldKeep(t *testing.T) {
	cases := map[string]func(p *plan.Plan){
		"snapshot after a change": func(p *plan.Plan) {
			s := p.Waves[0].Targets[0].Steps
			s[4], s[5] = s[5], s[4] // hop before inspect …
			s[5].Kind = plan.KindSnapshot
			s[4].Changes = true
		},
		"no steps":        func(p *plan.Plan) { p.Waves[0].Targets[0].Steps = nil; p.Waves[0].Targets[0].Undo = nil },
		"step twice":      func(p *plan.Plan) { p.Waves[0].Targets[0].Steps[1].ID = p.Waves[0].Targets[0].Steps[0].ID },
		"undo of another": func(p *plan.Plan) { p.Waves[0].Targets[0].Undo[0].Undoes = []string{"w0/h02/open"} },
		"gate of nobody":  func(p *plan.Plan) { p.Waves[0].Gate[0].Target = "nobody" },
		"window times":    func(p *plan.Plan) { p.Policy.Window = windowOf("22", "4") },
		"window days":     func(p *plan.Plan) { p.Policy.Window = &plan.Window{Days: []string{"Mon"}, From: "22:00", To: "04:00"} },
	}
	for name, spoil := range cases {
		p := testPlan(2)
		spoil(p)
		if _, err := New(p, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New(testPlan(2), nil); err != nil {
		t.Errorf("the plan that was spoiled: %v", err)
	}
}

// TestRollbackOfAHostAfterItsInstances: the host's snapshots hold its instances
// as they were before their own upgrades; putting them back would take these
// back, and what users wrote since, without anybody having asked for it.
func TestRollbackOfAHostAfterItsInstances(t *testing.T) {
	p := twoInstances()
	inst := testTarget("w", "nc1")
	inst.Host = "duo"
	p.Waves[0].Targets = append(p.Waves[0].Targets, inst)
	r := newRun(t, p)
	r.finish()
	back := Event{Kind: EventRollback, Target: "duo", Who: "anna"}
	if err := r.s.Allows(back); err == nil {
		t.Error("the host is rolled back beneath its upgraded instance")
	}
	r.event(Event{Kind: EventRollback, Target: "nc1", Who: "anna"})
	r.finish()
	if err := r.s.Allows(back); err != nil {
		t.Errorf("the instance was rolled back first: %v", err)
	}
}
