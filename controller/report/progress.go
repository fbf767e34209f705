package report

import (
	"io"
	"strings"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/report/screen"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// Progress writes one line per event while a rollout runs:
//
//	02:14:07  canary  cloud-01  snapshot  ok  3.1 s
//
// The start of a step is shown for those that take long; with Verbose for all.
// It is a sink of the controller's loop; Beat may be called by another goroutine.
type Progress struct {
	mu      sync.Mutex
	page    *page
	options Options
	steps   map[string]place
	settled map[string]rollout.Status
	told    map[string][]string // reasons written, by target
	running map[string]time.Time
	away    map[string]time.Time // hosts that cannot be reached, since when
	out     *noting
	quiet   time.Time // since when nothing was written
	waits   string
	paused  string // who paused
	waveCol int
	nameCol int
}

// noting is a writer that remembers that something was written.
type noting struct {
	io.Writer
	wrote bool
}

func (n *noting) Write(b []byte) (int, error) {
	n.wrote = true
	return n.Writer.Write(b)
}

// place is where a step stands in the plan.
type place struct {
	wave string
	step plan.Step
}

// The widest that the columns of wave and target become.
const (
	widestWave   = 12
	widestTarget = 28
)

// NewProgress returns a Progress for a plan.
func NewProgress(w io.Writer, p *plan.Plan, o Options) *Progress {
	out := &noting{Writer: w}
	g := &Progress{page: newPage(out, o), out: out, options: o, steps: map[string]place{}, settled: map[string]rollout.Status{},
		told: map[string][]string{}, running: map[string]time.Time{}, away: map[string]time.Time{}}
	for i := range p.Waves {
		wave := &p.Waves[i]
		g.waveCol = max(g.waveCol, min(cells(wave.Name), widestWave))
		for _, s := range wave.Gate {
			g.steps[s.ID] = place{wave.Name, s}
		}
		for _, t := range wave.Targets {
			g.nameCol = max(g.nameCol, min(cells(t.Name), widestTarget))
			for _, s := range t.Steps {
				g.steps[s.ID] = place{wave.Name, s}
			}
			for _, s := range t.Undo {
				g.steps[s.ID] = place{wave.Name, s}
			}
		}
	}
	return g
}

// Err returns the first error of writing.
func (g *Progress) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.page.err
}

// resize makes the lines from now on fit another width.
func (g *Progress) resize(width int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.page.width = max(width, leastWidth)
}

// Event writes what happened. s is the state after it.
func (g *Progress) Event(e rollout.Event, s *rollout.State) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waits = ""
	g.follow(e, s)
	switch e.Kind {
	case rollout.EventStepBegun:
		if at, ok := g.steps[e.Step]; ok && !g.options.Notable && (g.options.Verbose || long(at.step.Kind)) {
			g.step(e, dim, "…", at.step.Title)
		}
	case rollout.EventStepDone:
		if !g.options.Notable || e.Detail != "" {
			g.step(e, green, "ok", seconds(e))
		}
		if e.Detail != "" {
			g.explain(e) // done, but not just as planned
		}
	case rollout.EventStepFail:
		g.step(e, red, "FAILED", seconds(e))
		g.explain(e)
	case rollout.EventStepHeld:
		g.step(e, yellow, "UNCLEAR", seconds(e))
		g.explain(e)
	case rollout.EventStepRefused:
		g.step(e, yellow, "REFUSED", seconds(e))
		g.explain(e)
	case rollout.EventStepNever:
		g.step(e, yellow, "never began", "it will be started again")
	default:
		g.event(e, s)
	}
	g.fates(e, s)
}

// Waiting writes why nothing starts, once per reason.
func (g *Progress) Waiting(reasons []string, s *rollout.State) {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := strings.Join(reasons, "\n")
	if all == g.waits || all == "" {
		return
	}
	g.waits = all
	for _, r := range reasons {
		if s != nil && s.Paused && strings.HasPrefix(r, "the rollout is paused") {
			r = "paused" + g.paused + "; resume from another terminal with: " + g.options.command("resume")
		}
		if name, _, ok := strings.Cut(r, " waits for approval"); ok {
			r += "; from another terminal: " + g.options.command("approve --wave "+strings.TrimPrefix(name, "wave "))
		}
		if name, _, ok := strings.Cut(r, " is closed and held: "); ok {
			r += "; from another terminal: " + g.options.command("approve "+name) + " or " + g.options.command("rollback "+name)
		}
		g.page.item(10, 17, dim, "waits:", brief(r, s))
	}
}

// event writes what concerns the rollout as a whole.
func (g *Progress) event(e rollout.Event, s *rollout.State) {
	what := strings.ReplaceAll(string(e.Kind), "_", " ")
	about := strings.TrimSpace(e.Target + " " + e.Wave)
	line := what
	if about != "" {
		line += " " + about
	}
	if e.Who != "" {
		line += " by " + e.Who
	}
	if e.Kind == rollout.EventEnded {
		line = "rollout " + e.Detail
	} else if e.Detail != "" {
		line += ": " + brief(e.Detail, s)
	}
	if r := e.Evidence["reason"]; r != "" {
		line += ": " + brief(r, s)
	}
	if e.Kind == rollout.EventPaused {
		line += "; what has begun finishes, nothing new starts"
	}
	g.page.item(0, 10, "", g.clock(e.At), line)
}

func (g *Progress) step(e rollout.Event, style, outcome, more string) {
	at := g.steps[e.Step]
	name := shortID(e.Step)
	lead := g.clock(e.At) + "  " + column(at.wave, g.waveCol) + "  " + column(at.step.Target, g.nameCol) + "  " + column(name, 12) + "  "
	room := g.page.width - cells(lead) - cells(outcome) - 2
	if cells(more) > room {
		more = screen.Cut(more, room)
	}
	g.page.line("%s%s", lead, g.page.paint(style, outcome)+gap(more))
}

func gap(s string) string {
	if s == "" {
		return ""
	}
	return "  " + s
}

// explain writes the reason of a step's end below its line, which names the
// target already.
func (g *Progress) explain(e rollout.Event) {
	target := g.steps[e.Step].step.Target
	g.told[target] = append(g.told[target], e.Detail)
	text := unnamed(e.Detail, target, hostOf(target))
	list, after, ok := differences(text)
	if ok {
		text = strings.TrimSuffix(stale, ": ") + "; " + after
	}
	for _, l := range wrap(text, g.page.width-10) {
		g.page.line("%s%s", spaces(10), l)
	}
	for _, d := range list {
		g.page.item(10, 12, "", "-", d)
	}
}

// fates writes the end of each target that settled with this event.
func (g *Progress) fates(e rollout.Event, s *rollout.State) {
	if s == nil {
		return
	}
	name := e.Target
	if at, ok := g.steps[e.Step]; ok {
		name = at.step.Target
	}
	t, ok := s.Targets[name]
	if !ok || !t.Settled() || g.settled[name] == t.Status {
		if ok && !t.Settled() {
			delete(g.settled, name)
		}
		return
	}
	g.settled[name] = t.Status
	line := name + " " + fate(t)
	if c := closedFor(t, e.At); c > 0 {
		line += ", closed for " + span(c)
	}
	if t.Status != rollout.Upgraded {
		why := t.Reason
		if s.HaltReason != "" {
			why = strings.ReplaceAll(why, "the rollout halted: "+s.HaltReason, "the rollout halted")
		}
		if why = rest(why, g.told[name]); why != "" {
			line += ": " + unnamed(why, name, hostOf(name))
		}
	}
	lines := wrap(line, g.page.width-10)
	for i, l := range lines {
		lead := spaces(10)
		if i == 0 {
			lead = column(g.clock(e.At), 10)
		}
		g.page.line("%s%s", lead, g.page.paint(fateStyle(t.Status), l))
	}
}

func fate(t *rollout.TargetState) string {
	what := strings.ReplaceAll(string(t.Status), "_", " ")
	if t.StillClosed {
		what += ", STILL CLOSED"
	}
	return what
}

func fateStyle(s rollout.Status) string {
	switch s {
	case rollout.Upgraded:
		return green
	case rollout.Failed:
		return red
	case rollout.RolledBack, rollout.Untouched, rollout.Held:
		return yellow
	case rollout.Waiting, rollout.Running, rollout.RollingBack:
		return ""
	}
	return ""
}

// closedFor is how long users were kept out, until now when they still are.
func closedFor(t *rollout.TargetState, now time.Time) time.Duration {
	if t.ClosedAt.IsZero() {
		return 0
	}
	end := t.OpenedAt
	if end.IsZero() {
		end = now
	}
	return end.Sub(t.ClosedAt)
}

// long reports whether people wonder about a step of that kind while it runs.
func long(k plan.Kind) bool {
	switch k {
	case plan.KindStage, plan.KindClose, plan.KindPackages, plan.KindReboot, plan.KindHop, plan.KindRestore:
		return true
	default:
		return false
	}
}

func seconds(e rollout.Event) string {
	if e.Seconds <= 0 {
		return ""
	}
	d := time.Duration(e.Seconds * float64(time.Second))
	if d < 10*time.Second {
		d = d.Round(100 * time.Millisecond)
	}
	return span(d)
}

func (g *Progress) clock(at time.Time) string {
	zone := g.options.Zone
	if zone == nil {
		zone = time.UTC
	}
	return at.In(zone).Format("15:04:05")
}

// column pads s, or cuts it in the middle, to exactly n cells.
func column(s string, n int) string {
	return screen.Column(s, n)
}
