package report

import (
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/report/screen"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// Limits of the live view.
const (
	viewEvery = time.Second            // how often it is painted when nothing happens
	viewSoon  = 100 * time.Millisecond // and at most when much does
	viewAnew  = 15 * time.Second       // how often all of it is painted: others write on a terminal, too
	keptNews  = 50                     // lines
)

// Terminal is what a View paints on.
type Terminal struct {
	W *screen.Steady
	// Size is the terminal's at this moment; zero when nothing may be painted:
	// it is gone, or another program has it.
	Size func() (width, height int)
	Now  func() time.Time
}

// View is the live view of a rollout on a terminal. It is a sink of the
// controller's loop and folds the events into a state of its own, which a
// goroutine paints: a terminal that is slow, stopped or gone holds nothing up.
type View struct {
	mu     sync.Mutex
	moment Moment
	news   *Progress
	lines  *ring
	o      Options

	t     Terminal
	wake  chan struct{}
	anew  chan struct{}
	leave chan chan struct{}
	stop  chan struct{}
	gone  chan struct{}
	once  sync.Once
}

// NewView returns a view of a rollout of which events happened so far. It
// paints nothing before Start.
func NewView(id string, s *rollout.State, events []rollout.Event, t Terminal, o Options) (*View, error) {
	v := &View{o: o, t: t, lines: &ring{}, wake: make(chan struct{}, 1), anew: make(chan struct{}, 1),
		leave: make(chan chan struct{}), stop: make(chan struct{}), gone: make(chan struct{}),
		moment: Moment{ID: id, State: s, Gates: map[string]map[string]string{}, Away: map[string]time.Time{}}}
	quiet := o
	quiet.Color, quiet.Notable = false, true
	v.news = NewProgress(v.lines, s.Plan, quiet)
	for _, e := range events {
		if err := v.apply(e); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// apply folds an event. The caller holds the lock, or is alone.
func (v *View) apply(e rollout.Event) error {
	if err := v.moment.State.Apply(e); err != nil {
		return err
	}
	v.news.Event(e, v.moment.State)
	v.moment.Paused = v.news.paused
	step, _, ok := v.moment.State.Step(e.Step)
	if ok && e.Kind != rollout.EventStepBegun && (step.Kind == plan.KindInspect || step.Kind == plan.KindVerify) && len(e.Evidence) > 0 {
		v.moment.Gates[step.Target] = e.Evidence
	}
	return nil
}

// Event takes what happened; the state is its own.
func (v *View) Event(e rollout.Event, _ *rollout.State) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.apply(e); err != nil {
		v.moment.Notes = append(v.moment.Notes, "this view no longer follows: "+err.Error())
	}
	v.poke()
}

// Waiting does nothing: a frame asks its state why nothing starts.
func (v *View) Waiting([]string, *rollout.State) {}

// Note shows a remark of this process from now on.
func (v *View) Note(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.moment.Notes = []string{text}
	v.poke()
}

// Reached tells how an attempt to connect to a host ended.
func (v *View) Reached(host string, err error, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.news.Reached(host, err, now)
	v.moment.Away = maps.Clone(v.news.away)
	v.poke()
}

// Driven says for a view of another process's rollout whether that process
// runs, and what waits for it.
func (v *View) Driven(runs bool, requests []rollout.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.moment.Watched, v.moment.Driven, v.moment.Requests = true, runs, requests
}

// Begun names the targets that are under way.
func (v *View) Begun() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return Begun(v.moment.State)
}

// Begun names the targets of a state that are under way, in plan order.
func Begun(s *rollout.State) []string {
	var out []string
	for i := range s.Plan.Waves {
		for _, t := range s.Plan.Waves[i].Targets {
			switch s.Targets[t.Name].Status {
			case rollout.Running, rollout.Held, rollout.RollingBack:
				out = append(out, t.Name)
			case rollout.Waiting, rollout.Upgraded, rollout.RolledBack, rollout.Untouched, rollout.Failed:
			}
		}
	}
	return out
}

// Frame is what it shows at an instant on a terminal of that size.
func (v *View) Frame(now time.Time, width, height int) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.news.resize(width)
	m := v.moment
	m.Now, m.News = now, v.lines.last()
	return Frame(m, v.o, width, height)
}

func (v *View) poke() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// Start paints from now on, until Close.
func (v *View) Start() { go v.paint() }

// Resized paints all of it, because the terminal has changed.
func (v *View) Resized() {
	select {
	case v.anew <- struct{}{}:
	default:
	}
}

// Suspend gives the terminal back until Resized is called.
func (v *View) Suspend() {
	done := make(chan struct{})
	select {
	case v.leave <- done:
		<-done
	case <-v.gone:
	}
}

// Close gives the terminal back for good. It may be called from any goroutine,
// and again; Start must have been called before.
func (v *View) Close() {
	v.once.Do(func() { close(v.stop) })
	<-v.gone
}

// paint is the goroutine that alone uses the painter. While the terminal has
// not taken the last frame, none is painted.
func (v *View) paint() {
	defer close(v.gone)
	p := screen.NewPainter(v.t.W)
	defer p.Leave() // a Steady never fails
	tick := time.NewTicker(viewEvery)
	defer tick.Stop()
	var last time.Time // all of it was painted
	for {
		if w, h := v.t.Size(); w > 0 && h > 0 && !v.t.W.Busy() {
			now := v.t.Now()
			anew := now.Sub(last) > viewAnew
			if anew {
				last = now
			}
			p.Paint(v.Frame(now, w, h), w, h, anew)
		}
		select {
		case <-v.stop:
			return
		case done := <-v.leave:
			p.Leave()
			close(done)
			select {
			case <-v.anew:
			case <-v.stop:
				return
			}
			last = time.Time{}
		case <-v.anew:
			last = time.Time{}
		case <-tick.C:
		case <-v.wake:
			select {
			case <-time.After(viewSoon):
			case <-v.stop:
				return
			}
		}
	}
}

// ring keeps the last lines written to it.
type ring struct {
	lines []string
	part  string
}

func (r *ring) Write(b []byte) (int, error) {
	all := strings.Split(r.part+string(b), "\n")
	r.part = all[len(all)-1]
	r.lines = append(r.lines, all[:len(all)-1]...)
	if n := len(r.lines); n > keptNews {
		r.lines = append([]string(nil), r.lines[n-keptNews:]...)
	}
	return len(b), nil
}

func (r *ring) last() []string { return append([]string(nil), r.lines...) }
