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

// until lets everything succeed, but for the steps that stay, until a step of
// that suffix was started.
func (r *run) until(suffix string, stay ...string) string {
	r.t.Helper()
	for range 1000 {
		r.start()
		flight := slices.DeleteFunc(r.s.InFlight(), func(id string) bool { return slices.Contains(stay, id) })
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
	c.Plan, c.Zones = nil, nil
	b, err := json.Marshal(&c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
