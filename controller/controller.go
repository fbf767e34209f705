// Package controller carries a plan out: one loop, one goroutine that owns the
// rollout's state, and workers that perform steps.
//
// The loop's order never changes: decide (package rollout), journal, act. A
// step's start is durable before its effect begins. On resume, a started step
// without an outcome is looked up on its host, never assumed and never run a
// second time. The package decides nothing itself and prints nothing.
package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/controller/executor"
	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// Performer carries out one step and finds out what became of a started one.
type Performer interface {
	Perform(ctx context.Context, p *plan.Plan, t *plan.Target, s plan.Step, m executor.Memory) executor.Outcome
	// Lookup asks the host about a step that was started by an earlier
	// controller; found is false when the step never began there.
	Lookup(ctx context.Context, p *plan.Plan, t *plan.Target, s plan.Step, m executor.Memory) (o executor.Outcome, found bool)
}

// Journal is the durable record; see package journal.
type Journal interface {
	Append(id string, e rollout.Event) (rollout.Event, error)
	Events(id string, after int64) ([]rollout.Event, error)
	Requests(id string) ([]journal.Request, error)
	Take(request int64, refusal string) error
}

// Sink sees each event after it was applied. It must return soon and must not
// keep the state.
type Sink interface {
	Event(e rollout.Event, s *rollout.State)
	// Waiting is called when nothing new starts, with the reasons.
	Waiting(reasons []string, s *rollout.State)
}

// Errors of Run that leave the rollout unfinished, to be resumed.
var (
	// ErrPaused tells that everything begun has ended and nothing new starts.
	ErrPaused = errors.New("the rollout is paused")
	// ErrDetached tells that the controller left while steps still run on hosts.
	ErrDetached = errors.New("detached; steps on hosts go on")
	// ErrFenced tells that a host refused this controller: its lease there is
	// another controller's, was broken or is gone. It has left at once, and the
	// step that was refused has no outcome in the journal.
	ErrFenced = errors.New("this controller may not change the hosts any more")
)

// requestEvery is how often operators' requests are looked for where the
// configuration does not say.
const requestEvery = 500 * time.Millisecond

// leaveLimit bounds how long Run waits for its workers when it leaves early.
const leaveLimit = 3 * time.Second

// Config is what a Controller needs.
type Config struct {
	ID        string // of the rollout, as in the journal
	Plan      *plan.Plan
	Digest    string // of the plan, where it was computed already; else ""
	Journal   Journal
	Performer Performer
	Sink      Sink
	Zones     plan.Zones // of the plan's windows and blackouts
	Who       string     // "user@machine", for the journal
	Now       func() time.Time
	// RequestEvery is how often operators' requests are looked for; 0 is half
	// a second.
	RequestEvery time.Duration
}

// Controller carries out one rollout.
type Controller struct {
	Config
	state    *rollout.State
	epoch    int64 // the number of the event by which this controller came
	results  chan result
	workers  sync.WaitGroup
	running  int
	draining bool
}

type result struct {
	event  rollout.Event
	fenced string // why the step has no outcome, "" when it has one
}

// New returns a controller for a plan that the journal holds.
func New(c Config) (*Controller, error) {
	s, err := rollout.New(c.Plan, c.Zones)
	if err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.RequestEvery <= 0 {
		c.RequestEvery = requestEvery
	}
	return &Controller{Config: c, state: s, results: make(chan result)}, nil
}

// State is the state as of the last event; only for use after Run returned.
func (c *Controller) State() *rollout.State { return c.state }

// Run replays the journal, looks up what an earlier controller left running,
// and goes on until there is a verdict. Closing drain lets begun targets finish
// and starts nothing new; cancelling ctx leaves at once.
func (c *Controller) Run(ctx context.Context, drain <-chan struct{}) (rollout.Verdict, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer c.leave(cancel)
	ask := time.NewTicker(c.RequestEvery)
	defer ask.Stop()
	if err := c.replay(ctx); err != nil {
		return "", err
	}
	for {
		d := c.state.Next(c.Now())
		if d.Verdict != "" {
			return d.Verdict, nil
		}
		for _, e := range d.Record {
			if err := c.record(e); err != nil {
				return "", err
			}
		}
		if len(d.Record) > 0 {
			continue
		}
		for _, id := range d.Start {
			if ctx.Err() != nil {
				return "", detached(ctx)
			}
			if err := c.start(ctx, id); err != nil {
				return "", err
			}
		}
		if c.running == 0 && len(d.Start) == 0 {
			if c.draining && !c.state.AnyHeld() {
				return "", ErrPaused
			}
			c.Sink.Waiting(d.Waits, c.state)
		}
		if err := c.wait(ctx, d.Wake, ask.C, &drain); err != nil {
			return "", err
		}
	}
}

// leave tells the workers that nobody listens any more. What they left running
// on hosts goes on there.
func (c *Controller) leave(cancel context.CancelCauseFunc) {
	cancel(ErrDetached)
	gone := make(chan struct{})
	go func() { c.workers.Wait(); close(gone) }()
	select {
	case <-gone:
	case <-time.After(leaveLimit):
	}
}

// replay folds the journal and starts look-ups for steps without an outcome.
func (c *Controller) replay(ctx context.Context) error {
	events, err := c.Journal.Events(c.ID, 0)
	if err != nil {
		return err
	}
	for _, e := range events {
		if err := c.state.Apply(e); err != nil {
			return fmt.Errorf("cannot replay rollout %s: %w", c.ID, err)
		}
	}
	digest := c.Digest
	if digest == "" {
		digest = plan.Digest(*c.Plan)
	}
	if len(events) == 0 {
		return c.came(rollout.Event{Kind: rollout.EventStarted, Who: c.Who, Digest: digest})
	}
	if events[0].Digest != digest {
		return fmt.Errorf("cannot replay rollout %s: its plan has the digest %s, the journal says %s", c.ID, digest, events[0].Digest)
	}
	if _, err := c.takeRequests(); err != nil {
		return err
	}
	if c.state.Ended != "" {
		return nil
	}
	if err := c.came(rollout.Event{Kind: rollout.EventAttached, Who: c.Who}); err != nil {
		return err
	}
	c.claim(ctx)
	for _, id := range c.state.InFlight() {
		c.launch(ctx, id, true)
	}
	return nil
}

// came records the event by which this controller came. Its number is the
// controller's epoch: hosts refuse whoever came earlier.
func (c *Controller) came(e rollout.Event) error {
	if err := c.record(e); err != nil {
		return err
	}
	c.epoch = c.state.Seq
	return nil
}

// record makes an event durable, then applies it: never the other way round,
// and never one that could not be applied when it is read back.
func (c *Controller) record(e rollout.Event) error {
	if e.At.IsZero() {
		e.At = c.Now()
	}
	e.Seq = c.state.Seq + 1
	if err := c.state.Check(e); err != nil {
		return err
	}
	e, err := c.Journal.Append(c.ID, e)
	if err != nil {
		return err
	}
	if err := c.state.Apply(e); err != nil {
		return err
	}
	c.Sink.Event(e, c.state)
	return nil
}

func (c *Controller) start(ctx context.Context, id string) error {
	if err := c.record(rollout.Event{Kind: rollout.EventStepBegun, Step: id}); err != nil {
		return err
	}
	c.launch(ctx, id, false)
	return nil
}

// launch performs or looks up a step in a worker; the core's own limits bound
// how many run at once.
func (c *Controller) launch(ctx context.Context, id string, lookup bool) {
	step, target, ok := c.state.Step(id)
	if !ok || target == nil {
		panic("rollout started a step that its plan does not hold: " + id)
	}
	memory := executor.Memory{Rollout: c.ID, Epoch: c.epoch, Handles: c.state.Handles(target.Name), Attempt: c.state.Attempt(id)}
	begun := c.Now()
	c.running++
	c.workers.Go(func() {
		var out executor.Outcome
		if lookup {
			found := false
			if out, found = c.Performer.Lookup(ctx, c.Plan, target, *step, memory); !found {
				c.send(ctx, result{event: rollout.Event{Kind: rollout.EventStepNever, Step: id, Detail: out.Detail}})
				return
			}
		} else {
			out = c.Performer.Perform(ctx, c.Plan, target, *step, memory)
		}
		if out.Status == executor.Fenced {
			c.send(ctx, result{fenced: fmt.Sprintf("%s was refused: %s", id, out.Detail)})
			return
		}
		e := eventOf(id, out)
		e.Seconds = c.Now().Sub(begun).Seconds()
		c.send(ctx, result{event: e})
	})
}

// send delivers a worker's result, unless the controller has left: then the
// outcome stays on the host and is looked up on resume.
func (c *Controller) send(ctx context.Context, r result) {
	if ctx.Err() != nil {
		return
	}
	select {
	case c.results <- r:
	case <-ctx.Done():
	}
}

// sensible turns an outcome that its step cannot have, such as a snapshot
// without a handle, into a failure.
func (c *Controller) sensible(e rollout.Event) rollout.Event {
	err := c.state.Check(e)
	if err == nil {
		return e
	}
	return rollout.Event{Kind: rollout.EventStepFail, Step: e.Step, Evidence: e.Evidence, Seconds: e.Seconds,
		Detail: strings.TrimSpace(fmt.Sprintf("its outcome is not believed: %v. %s", err, e.Detail))}
}

// eventOf turns an outcome into the event that records it.
func eventOf(id string, o executor.Outcome) rollout.Event {
	e := rollout.Event{Step: id, Detail: o.Detail, Evidence: o.Evidence}
	switch o.Status {
	case executor.Succeeded:
		e.Kind = rollout.EventStepDone
		if !o.Handle.Zero() {
			e.Handle = &o.Handle
		}
	case executor.Held:
		e.Kind = rollout.EventStepHeld
	case executor.Refused:
		e.Kind = rollout.EventStepRefused
	case executor.Failed, executor.Lost:
		e.Kind = rollout.EventStepFail
	default:
		e.Kind = rollout.EventStepFail
		e.Detail = fmt.Sprintf("unknown outcome %q: %s", o.Status, o.Detail)
	}
	return e
}

// wait blocks until something happened: a result, a request, a point in time,
// the wish to drain or to leave. It looks at the clock as often as for requests:
// that of a machine that slept has jumped, and the timer has not.
func (c *Controller) wait(ctx context.Context, wake time.Time, ask <-chan time.Time, drain *<-chan struct{}) error {
	var timer <-chan time.Time
	if !wake.IsZero() {
		timer = time.After(max(wake.Sub(c.Now()), time.Millisecond))
	}
	for {
		if done, err := c.waitOnce(ctx, wake, timer, ask, drain); done || err != nil {
			return err
		}
	}
}

func (c *Controller) waitOnce(ctx context.Context, wake time.Time, timer, ask <-chan time.Time, drain *<-chan struct{}) (done bool, err error) {
	select {
	case r := <-c.results:
		c.running--
		if r.fenced != "" {
			return true, fmt.Errorf("%w: %s", ErrFenced, r.fenced)
		}
		return true, c.record(c.sensible(r.event))
	case <-*drain:
		*drain = nil
		c.draining = true
		return true, c.record(rollout.Event{Kind: rollout.EventPaused, Who: c.Who, Detail: "interrupted; begun targets finish"})
	case <-ctx.Done():
		return true, detached(ctx)
	case <-ask:
		taken, err := c.takeRequests()
		return taken || !wake.IsZero() && !c.Now().Before(wake), err
	case <-timer:
		return true, nil
	}
}

func detached(ctx context.Context) error {
	return fmt.Errorf("%w: %w", ErrDetached, context.Cause(ctx))
}

func (c *Controller) allows(e rollout.Event) error {
	if c.draining && e.Kind == rollout.EventResumed {
		return errors.New("the controller was interrupted and is about to leave; resume when it has left")
	}
	return c.state.Allows(e)
}

// takeRequests applies what operators asked for through the journal, and
// reports whether there was something.
func (c *Controller) takeRequests() (taken bool, err error) {
	requests, err := c.Journal.Requests(c.ID)
	if err != nil {
		return false, err
	}
	for _, r := range requests {
		refusal := ""
		if err := c.allows(r.Event); err != nil {
			refusal = err.Error()
		} else {
			e := r.Event
			e.Seq, e.At = 0, c.Now()
			if err := c.record(e); err != nil {
				return true, err
			}
		}
		if err := c.Journal.Take(r.ID, refusal); err != nil {
			return true, err
		}
	}
	return len(requests) > 0, nil
}
