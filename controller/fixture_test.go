package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/executor"
	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// testPlan makes waves of the given sizes with a short runbook.
func testPlan(sizes ...int) *plan.Plan {
	p := &plan.Plan{FormatVersion: plan.FormatVersion, Rollout: "spring",
		Policy: plan.Policy{MaxUnavailable: 2, FailureBudget: 1, Ahead: 3, OnHold: "wait", HoldTimeout: 15 * time.Minute}}
	n := 0
	for w, size := range sizes {
		wave := plan.Wave{Name: fmt.Sprintf("w%d", w)}
		for range size {
			n++
			t := testTarget(wave.Name, fmt.Sprintf("h%02d", n))
			wave.Targets = append(wave.Targets, t)
			wave.Gate = append(wave.Gate, plan.Step{ID: wave.Name + "/" + t.Name + "/gate-verify", Kind: plan.KindVerify, Target: t.Name})
		}
		p.Waves = append(p.Waves, wave)
	}
	return p
}

func testTarget(wave, name string) plan.Target {
	t := plan.Target{Name: name, Host: name, Instance: "nc"}
	step := func(list *[]plan.Step, id string, k plan.Kind, ph plan.Phase, undoes ...string) {
		s := plan.Step{ID: wave + "/" + name + "/" + id, Kind: k, Phase: ph, Target: name, Host: name, Instance: "nc", Changes: k == plan.KindHop}
		for _, u := range undoes {
			s.Undoes = append(s.Undoes, wave+"/"+name+"/"+u)
		}
		*list = append(*list, s)
	}
	step(&t.Steps, "recheck", plan.KindRecheck, plan.PhaseBefore)
	step(&t.Steps, "hold", plan.KindHold, plan.PhaseBefore)
	step(&t.Steps, "close", plan.KindClose, plan.PhaseClosed)
	step(&t.Steps, "snapshot", plan.KindSnapshot, plan.PhaseClosed)
	step(&t.Steps, "hop", plan.KindHop, plan.PhaseClosed)
	step(&t.Steps, "inspect", plan.KindInspect, plan.PhaseClosed)
	step(&t.Steps, "open", plan.KindOpen, plan.PhaseAfter)
	step(&t.Steps, "verify", plan.KindVerify, plan.PhaseAfter)
	step(&t.Undo, "undo-close", plan.KindClose, plan.PhaseClosed, "open")
	step(&t.Undo, "undo-restore", plan.KindRestore, plan.PhaseClosed, "hop")
	step(&t.Undo, "undo-open", plan.KindOpen, plan.PhaseClosed, "close")
	step(&t.Undo, "undo-release", plan.KindRelease, plan.PhaseAfter, "hold")
	return t
}

var errDead = errors.New("the disk is gone")

// book is a journal in memory. It dies at the diesAt-th append from then on;
// with whole that event was still written.
type book struct {
	mu       sync.Mutex
	events   []rollout.Event
	requests []journal.Request
	answers  map[int64]string
	appends  int
	diesAt   int
	whole    bool
}

func (b *book) Append(_ string, e rollout.Event) (rollout.Event, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.appends++
	dead := b.diesAt > 0 && b.appends >= b.diesAt
	if dead && !(b.whole && b.appends == b.diesAt) {
		return e, errDead
	}
	if e.Seq != int64(len(b.events)+1) {
		return e, fmt.Errorf("cannot append event %d: the journal's last is %d", e.Seq, len(b.events))
	}
	e.At = e.At.UTC()
	b.events = append(b.events, e)
	if dead {
		return e, errDead
	}
	return e, nil
}

// revive is a new controller's journal: the same events, another death.
func (b *book) revive(diesAt int, whole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.appends, b.diesAt, b.whole = 0, diesAt, whole
}

func (b *book) Events(_ string, after int64) ([]rollout.Event, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]rollout.Event(nil), b.events[after:]...), nil
}

func (b *book) Requests(string) ([]journal.Request, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var open []journal.Request
	for _, r := range b.requests {
		if _, taken := b.answers[r.ID]; !taken {
			open = append(open, r)
		}
	}
	return open, nil
}

func (b *book) Take(id int64, refusal string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[id] = refusal
	return nil
}

// ask leaves an operator's request.
func (b *book) ask(e rollout.Event) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := int64(len(b.requests) + 1)
	e.Who = "anna@control"
	b.requests = append(b.requests, journal.Request{ID: id, Event: e})
	return id
}

func (b *book) answer(id int64) (refusal string, taken bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	refusal, taken = b.answers[id]
	return refusal, taken
}

// count counts events of a kind, and of a step unless it is "".
func (b *book) count(kind rollout.EventKind, step string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, e := range b.events {
		if e.Kind == kind && (step == "" || e.Step == step) {
			n++
		}
	}
	return n
}

// openStart reports whether a step was started and has no outcome yet.
func (b *book) openStart(step string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	open := false
	for _, e := range b.events {
		if e.Step == step {
			open = e.Kind == rollout.EventStepBegun
		}
	}
	return open
}

// hosts carries out steps like hosts do: a run that began there goes on
// without its controller and is found again by its name.
type hosts struct {
	t       *testing.T
	book    *book
	takes   time.Duration // each step
	outcome map[string]executor.Outcome

	mu      sync.Mutex
	deaf    bool                 // Perform goes on although ctx has ended
	ends    map[string]time.Time // when each run ends, by step and attempt
	effects map[string]int
	looks   int
	epochs  []int64 // of the controllers that asked, in order
}

func newHosts(t *testing.T, b *book) *hosts {
	return &hosts{t: t, book: b, takes: time.Second, outcome: map[string]executor.Outcome{}, ends: map[string]time.Time{}, effects: map[string]int{}}
}

func run(s plan.Step, m executor.Memory) string { return fmt.Sprintf("%s+%d", s.ID, m.Attempt) }

func (h *hosts) Perform(ctx context.Context, p *plan.Plan, t *plan.Target, s plan.Step, m executor.Memory) executor.Outcome {
	if !h.book.openStart(s.ID) {
		h.t.Errorf("%s is performed, and its start is not in the journal", s.ID)
	}
	if s.Changes && m.Handles["nc"].Zero() {
		h.t.Errorf("%s is performed without a snapshot", s.ID)
	}
	if s.Target != t.Name || m.Rollout != "r" {
		h.t.Errorf("%s is performed for %s of rollout %s", s.ID, t.Name, m.Rollout)
	}
	h.mu.Lock()
	h.met(m.Epoch)
	end, found := h.ends[run(s, m)]
	if !found && ctx.Err() == nil {
		end = time.Now().Add(h.takes)
		h.ends[run(s, m)] = end
		h.effects[s.ID]++
	}
	h.mu.Unlock()
	return h.wait(ctx, s, end)
}

func (h *hosts) met(epoch int64) {
	if n := len(h.epochs); n == 0 || h.epochs[n-1] != epoch {
		h.epochs = append(h.epochs, epoch)
	}
}

func (h *hosts) isDeaf() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.deaf
}

func (h *hosts) setDeaf(deaf bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deaf = deaf
}

func (h *hosts) wait(ctx context.Context, s plan.Step, end time.Time) executor.Outcome {
	done := ctx.Done()
	if h.isDeaf() {
		done = nil
	}
	select {
	case <-time.After(time.Until(end)):
	case <-done:
		return executor.Outcome{Status: executor.Failed, Detail: "the connection was cut by our own leaving"}
	}
	if o, ok := h.outcome[s.ID]; ok {
		return o
	}
	o := executor.Outcome{Status: executor.Succeeded}
	if s.Kind == plan.KindSnapshot {
		o.Handle = driver.Handle{Driver: "archive", Key: s.ID, Data: []byte("x")}
	}
	return o
}

func (h *hosts) Lookup(ctx context.Context, p *plan.Plan, t *plan.Target, s plan.Step, m executor.Memory) (executor.Outcome, bool) {
	h.mu.Lock()
	h.looks++
	h.met(m.Epoch)
	end, found := h.ends[run(s, m)]
	h.mu.Unlock()
	if !found {
		return executor.Outcome{}, false
	}
	return h.wait(ctx, s, end), true
}

// watcher checks that it sees each event once, in order, after it was applied.
type watcher struct {
	t      *testing.T
	last   int64
	waited []string
}

func (w *watcher) Event(e rollout.Event, s *rollout.State) {
	if w.last != 0 && e.Seq != w.last+1 || s.Seq != e.Seq {
		w.t.Errorf("event %d after %d, the state is at %d", e.Seq, w.last, s.Seq)
	}
	w.last = e.Seq
}

func (w *watcher) Waiting(reasons []string, _ *rollout.State) {
	w.waited = append(w.waited, reasons...)
}

// world is all that outlives a controller, and how to start one.
type world struct {
	t     *testing.T
	plan  *plan.Plan
	book  *book
	hosts *hosts
	sink  *watcher
}

func newWorld(t *testing.T, p *plan.Plan) *world {
	b := &book{answers: map[int64]string{}}
	return &world{t: t, plan: p, book: b, hosts: newHosts(t, b)}
}

func (w *world) controller() *Controller {
	w.t.Helper()
	w.sink = &watcher{t: w.t}
	c, err := New(Config{ID: "r", Plan: w.plan, Journal: w.book, Performer: w.hosts, Sink: w.sink, Who: "test@here"})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// carryOn runs a new controller to its end.
func (w *world) carryOn(ctx context.Context, drain <-chan struct{}) (rollout.Verdict, error) {
	w.t.Helper()
	return w.controller().Run(ctx, drain)
}

// finish runs a new controller to the wanted verdict.
func (w *world) finish(want rollout.Verdict) {
	w.t.Helper()
	if v, err := w.carryOn(w.t.Context(), nil); err != nil || v != want {
		w.t.Fatalf("verdict %q, %v, want %q", v, err, want)
	}
}

// state replays the journal.
func (w *world) state() *rollout.State {
	w.t.Helper()
	s, err := rollout.New(w.plan, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	events, err := w.book.Events("", 0)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range events {
		if err := s.Apply(e); err != nil {
			w.t.Fatalf("the journal cannot be replayed: %v", err)
		}
	}
	return s
}
