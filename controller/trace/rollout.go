package trace

import (
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"

	"github.com/ncfleet/ncfleet/controller/rollout"
)

// Rollout is a sink of the controller's loop; it belongs to its goroutine.
type Rollout struct {
	sender  *Sender
	id      string
	begun   map[string]time.Time // steps that run
	settled map[string]time.Time // targets told, by when they settled
	wave    map[string]int       // of each target
	passed  map[int]bool         // waves told
}

// NewRollout returns the sink of a rollout. What had settled in the state before
// is not told again: that was for the controller before to do.
func NewRollout(s *Sender, id string, before *rollout.State) *Rollout {
	r := &Rollout{sender: s, id: id, begun: map[string]time.Time{}, settled: map[string]time.Time{}, wave: map[string]int{}, passed: map[int]bool{}}
	for i, w := range before.Plan.Waves {
		r.passed[i] = before.Waves[i].Passed
		for _, t := range w.Targets {
			r.wave[t.Name] = i
			r.settled[t.Name] = before.Targets[t.Name].SettledAt
		}
	}
	return r
}

// The keys of spans within a rollout's trace.
const rolloutSpan = "rollout"

func waveSpan(name string) string   { return "wave " + name }
func targetSpan(name string) string { return "target " + name }

// Waiting implements controller.Sink; a trace holds what happened.
func (r *Rollout) Waiting([]string, *rollout.State) {}

// Event implements controller.Sink.
func (r *Rollout) Event(e rollout.Event, s *rollout.State) {
	switch e.Kind {
	case rollout.EventStepBegun:
		r.begun[e.Step] = e.At
	case rollout.EventStepDone, rollout.EventStepFail, rollout.EventStepHeld, rollout.EventStepRefused, rollout.EventStepNever:
		r.step(e, s)
	case rollout.EventStarted, rollout.EventEnded:
	default:
		r.moment(e, s)
	}
	if _, t, ok := s.Step(e.Step); e.Step != "" && ok && t != nil {
		r.target(t.Name, s)
	} else {
		for name := range r.settled { // what people decide may settle many
			r.target(name, s)
		}
	}
	r.waves(e, s)
	if e.Kind == rollout.EventEnded {
		r.end(e, s)
	}
}

func (r *Rollout) common(s *rollout.State, more ...attribute.KeyValue) []attribute.KeyValue {
	return append(more, attribute.String("ncfleet.rollout", s.Plan.Rollout), attribute.String("ncfleet.rollout_id", r.id))
}

func (r *Rollout) step(e rollout.Event, s *rollout.State) {
	step, t, ok := s.Step(e.Step)
	if !ok || t == nil {
		return
	}
	sp := span{key: key{r.id, fmt.Sprintf("step %s %d", e.Step, e.Seq)}, parent: targetSpan(t.Name), name: string(step.Kind), begun: r.begun[e.Step], ended: e.At, detail: e.Detail,
		attributes: r.common(s, attribute.String("ncfleet.host", t.Host), attribute.String("ncfleet.target", t.Name),
			attribute.String("ncfleet.wave", s.Plan.Waves[r.wave[t.Name]].Name), attribute.String("ncfleet.step", e.Step),
			attribute.String("ncfleet.phase", string(step.Phase)))}
	delete(r.begun, e.Step)
	if sp.begun.IsZero() { // an earlier controller started it
		sp.begun = s.Targets[t.Name].Begun[e.Step]
	}
	if sp.begun.IsZero() {
		sp.begun = e.At.Add(-time.Duration(e.Seconds * float64(time.Second)))
	}
	switch e.Kind {
	case rollout.EventStepDone:
		sp.outcome, sp.status = "succeeded", codes.Ok
	case rollout.EventStepFail:
		sp.outcome, sp.status = "failed", codes.Error
	case rollout.EventStepHeld:
		sp.outcome = "held"
	case rollout.EventStepRefused:
		sp.outcome = "refused"
	case rollout.EventStepNever:
		sp.outcome = "never_began"
	}
	r.sender.send(sp)
}

// moment is an event without a length: a pause, a decision, a halt.
func (r *Rollout) moment(e rollout.Event, s *rollout.State) {
	about := r.common(s)
	for _, a := range []struct{ name, value string }{{"ncfleet.who", e.Who}, {"ncfleet.target", e.Target}, {"ncfleet.wave", e.Wave}} {
		if a.value != "" {
			about = append(about, attribute.String(a.name, a.value))
		}
	}
	sp := span{key: key{r.id, fmt.Sprintf("event %d", e.Seq)}, parent: rolloutSpan, name: string(e.Kind), begun: e.At, ended: e.At,
		outcome: string(e.Kind), detail: e.Detail, attributes: about}
	if e.Kind == rollout.EventHalted {
		sp.status = codes.Error
	}
	r.sender.send(sp)
}

// target sends a target's span when it has settled. One that an operator takes
// back later settles again, and gets a second.
func (r *Rollout) target(name string, s *rollout.State) {
	t := s.Targets[name]
	told := r.settled[name]
	if t.SettledAt.IsZero() || t.SettledAt.Equal(told) {
		return
	}
	r.settled[name] = t.SettledAt
	wave := s.Plan.Waves[r.wave[name]]
	sp := span{key: key{r.id, targetSpan(name)}, parent: waveSpan(wave.Name), name: "target " + name, ended: t.SettledAt,
		outcome: string(t.Status), detail: t.Reason, attributes: r.common(s, attribute.String("ncfleet.target", name), attribute.String("ncfleet.wave", wave.Name))}
	if !told.IsZero() {
		sp.key.span += fmt.Sprintf(" again %d", s.Seq)
		sp.begun = told
	} else {
		sp.begun = earliest(time.Time{}, t)
	}
	if !t.ClosedAt.IsZero() && !t.OpenedAt.IsZero() {
		sp.attributes = append(sp.attributes, attribute.Float64("ncfleet.closed_seconds", t.OpenedAt.Sub(t.ClosedAt).Seconds()))
	}
	switch t.Status {
	case rollout.Upgraded:
		sp.status = codes.Ok
	case rollout.Failed, rollout.RolledBack:
		sp.status = codes.Error
	default:
	}
	r.sender.send(sp)
}

// earliest is the first begin of a step of the target, or the time given if
// that is before it.
func earliest(first time.Time, t *rollout.TargetState) time.Time {
	for _, at := range t.Begun {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

// waves sends the span of each wave that has passed; at the rollout's end also
// of those that began and did not pass.
func (r *Rollout) waves(e rollout.Event, s *rollout.State) {
	for i, w := range s.Plan.Waves {
		ended := e.Kind == rollout.EventEnded
		if r.passed[i] || !s.Waves[i].Passed && !ended {
			continue
		}
		r.passed[i] = true
		var begun time.Time
		for _, t := range w.Targets {
			begun = earliest(begun, s.Targets[t.Name])
		}
		if begun.IsZero() {
			continue // it never began
		}
		sp := span{key: key{r.id, waveSpan(w.Name)}, parent: rolloutSpan, name: "wave " + w.Name, begun: begun, ended: e.At, outcome: "passed", status: codes.Ok,
			attributes: r.common(s, attribute.String("ncfleet.wave", w.Name), attribute.Int("ncfleet.targets", len(w.Targets)))}
		if !s.Waves[i].Passed {
			sp.outcome, sp.status = "not_passed", codes.Error
		}
		r.sender.send(sp)
	}
}

func (r *Rollout) end(e rollout.Event, s *rollout.State) {
	sp := span{key: key{r.id, rolloutSpan}, name: "rollout " + s.Plan.Rollout, begun: s.Started, ended: e.At, outcome: string(s.Ended), status: codes.Ok,
		attributes: r.common(s, attribute.Int("ncfleet.targets", len(s.Targets)), attribute.Int("ncfleet.waves", len(s.Waves)))}
	if s.Ended == rollout.Halted || s.Ended == rollout.Aborted {
		sp.status, sp.detail = codes.Error, s.HaltReason
	}
	r.sender.send(sp)
}

// Surveyed is how the survey of one host went.
type Surveyed struct {
	Host         string
	Begun, Ended time.Time
	Unreachable  string // why, "" when it was reached
}

// Survey sends the trace of a survey: a span for each host.
func (s *Sender) Survey(rolloutName string, hosts []Surveyed) {
	if len(hosts) == 0 {
		return
	}
	all := Surveyed{Begun: hosts[0].Begun, Ended: hosts[0].Ended}
	failed := 0
	for _, h := range hosts {
		if h.Begun.Before(all.Begun) {
			all.Begun = h.Begun
		}
		if h.Ended.After(all.Ended) {
			all.Ended = h.Ended
		}
	}
	name := fmt.Sprintf("survey %s %d", rolloutName, all.Begun.UnixNano())
	about := attribute.String("ncfleet.rollout", rolloutName)
	for _, h := range hosts {
		sp := span{key: key{name, "host " + h.Host}, parent: "survey", name: "survey " + h.Host, begun: h.Begun, ended: h.Ended, outcome: "reached", status: codes.Ok,
			attributes: []attribute.KeyValue{about, attribute.String("ncfleet.host", h.Host)}}
		if h.Unreachable != "" {
			failed++
			sp.outcome, sp.status, sp.detail = "unreachable", codes.Error, h.Unreachable
		}
		s.send(sp)
	}
	sp := span{key: key{name, "survey"}, name: "survey", begun: all.Begun, ended: all.Ended, outcome: "surveyed", status: codes.Ok,
		attributes: []attribute.KeyValue{about, attribute.Int("ncfleet.hosts", len(hosts)), attribute.Int("ncfleet.unreachable", failed)}}
	s.send(sp)
}
