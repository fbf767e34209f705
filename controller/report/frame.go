package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/rollout"
)

// Moment is a rollout at one instant, with everything that the live view shows
// of it.
type Moment struct {
	ID    string
	State *rollout.State
	Now   time.Time
	// Gates have the newest evidence of each target's gate, by target.
	Gates map[string]map[string]string
	// Away are the hosts that cannot be reached, since when.
	Away map[string]time.Time
	// Notes are what this process has to say, such as that it was interrupted.
	Notes []string
	// News are the newest events worth telling, oldest first.
	News []string
	// Paused says who paused the rollout: " by anna@control".
	Paused string
	// Watched is true when another process carries the rollout on, and Driven
	// when it runs at this moment.
	Watched, Driven bool
	// Requests were noted and wait for a controller to take them.
	Requests []rollout.Event
}

// Frame is the live view of a rollout: at most height lines, each at most width
// cells wide, without control characters unless o asks for colour. It is a
// function of its arguments alone.
//
// What needs a decision, moves or is closed is shown one by one, the rest is
// counted. The less room there is, the more is folded: news first, then what
// can be done next, waves, and targets last.
func Frame(m Moment, o Options, width, height int) []string {
	f := &frame{Moment: m, o: o, width: width, waits: map[string]string{}}
	f.decide()
	blocks := []block{{lines: f.head()}, {lines: f.decisions()}, f.waves(), f.targets(), {lines: f.held}, f.latest(), f.next()}
	const head, decisions, waves, targets, waits, news, next = 0, 1, 2, 3, 4, 5, 6
	decide := min(len(decisionCommands(m.State, o)), 4) + 2 // with a title and the keys
	soft := []give{{news, 6}, {next, max(decide, 5)}, {waves, 5}, {news, 4}, {targets, 12}, {next, max(decide, 3)}, {news, 3}}
	hard := []give{{waits, 3}, {waves, 3}, {targets, 9}, {decisions, 8}, {targets, 5}, {news, 1}, {next, max(decide-2, 2)}, {waits, 1}, {decisions, 4},
		{news, 0}, {targets, 3}, {next, 1}, {head, 3}, {waves, 1}, {targets, 1}, {waits, 0}, {decisions, 2}, {next, 0}, {waves, 0},
		{targets, 0}, {head, 2}, {decisions, 1}, {head, 1}, {decisions, 0}}
	lines := fit(blocks, soft, hard, height)
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = l.render(width, o.Color)
	}
	return out
}

// frame is one call of Frame.
type frame struct {
	Moment
	o     Options
	width int
	waits map[string]string // why a target waits, by name
	held  []line            // why nothing starts, beside what targets wait for
}

// decide sorts the reasons of the rollout's next decision: those of a target
// are shown with it.
func (f *frame) decide() {
	if f.State.Ended != "" || f.State.Started.IsZero() {
		return
	}
	for _, r := range f.State.Next(f.Now).Waits {
		name, why, ok := strings.Cut(r, " waits: ")
		switch {
		case ok && f.State.Targets[name] != nil:
			f.waits[name] = why
		case strings.Contains(r, " is closed and held: "), strings.HasPrefix(r, "the rollout is paused"),
			strings.HasPrefix(r, "wave ") && (strings.Contains(r, " bakes until ") || strings.HasSuffix(r, " waits for approval")):
			// The target, the head and the wave say so.
		default:
			f.held = append(f.held, hang(1, piece{yellow, "waits: "}, r, f.width, 2)...)
		}
	}
}

func (f *frame) clock(at time.Time) string {
	zone := f.o.Zone
	if zone == nil {
		zone = time.UTC
	}
	return at.In(zone).Format("15:04:05 MST")
}

// head says what runs, how far it is, and what may still fail or be closed.
func (f *frame) head() []line {
	s := f.State
	c := s.Count()
	all := len(s.Targets)
	title := []piece{{bold, "Rollout " + s.Plan.Rollout + " " + verdict(s, s.Ended) + f.by()}}
	if !s.Started.IsZero() {
		title = append(title, piece{"", f.elapsed()})
	}
	out := flow(append(title, piece{dim, f.clock(f.Now)}), f.width)
	if len(out) > 1 {
		out = flow(title, f.width)
	}
	parts := []piece{{bold, fmt.Sprintf("%s %d of %d done", doneBar(f.settled(), all), f.settled(), all)}}
	for _, n := range f.counts(c) {
		parts = append(parts, n)
	}
	out = append(out, flow(parts, f.width)...)
	out = append(out, flow(f.budget(), f.width)...)
	if s.HaltReason != "" {
		out = append(out, hang(0, piece{red, "HALTED: "}, brief(s.HaltReason, s)+"; what was begun ends, nothing new starts", f.width, 3)...)
	}
	if f.Watched && !f.Driven && s.Ended == "" {
		out = append(out, hang(0, piece{red, "NO CONTROLLER RUNS: "}, "nothing goes on by itself; go on with "+f.o.command("resume"), f.width, 3)...)
	}
	for _, e := range f.Requests {
		out = append(out, hang(0, piece{yellow, "noted: "}, asked(e)+"; waits for a controller", f.width, 2)...)
	}
	for _, n := range f.Notes {
		out = append(out, hang(0, piece{yellow, "! "}, n, f.width, 4)...)
	}
	return out
}

// by is who paused a rollout that is paused.
func (f *frame) by() string {
	if f.State.Paused && f.State.HaltReason == "" && f.State.Ended == "" {
		return f.Paused
	}
	return ""
}

// counts says what became of the targets, leaving out what did not happen.
func (f *frame) counts(c rollout.Counts) []piece {
	var out []piece
	add := func(style string, n int, what string) {
		if n > 0 {
			out = append(out, piece{style, fmt.Sprintf("%d %s", n, what)})
		}
	}
	waiting := 0
	for _, t := range f.State.Targets {
		if t.Status == rollout.Waiting {
			waiting++
		}
	}
	add(green, c.Upgraded, "upgraded")
	add(yellow, c.RolledBack, "rolled back")
	add(red, c.Failed, "FAILED")
	add(yellow, c.Untouched-len(f.State.Plan.Blocked)-waiting, "untouched")
	add("", c.Running, "under way")
	add(dim, waiting, "waiting")
	add(dim, len(f.State.Plan.Blocked), "blocked by the plan")
	return out
}

// budget says how many targets may still go out of service, or fail.
func (f *frame) budget() []piece {
	s := f.State
	out, most := len(s.Out()), s.Plan.Policy.MaxUnavailable
	places := piece{"", fmt.Sprintf("out of service %d of at most %d", out, most)}
	n, budget := s.Failures(), s.Plan.Policy.FailureBudget
	failures := piece{"", fmt.Sprintf("failures %d, %d more tolerated", n, max(budget-n, 0))}
	if n >= budget {
		failures.text = fmt.Sprintf("failures %d, the next one halts", n)
	}
	if n > 0 {
		failures.style = yellow
	}
	if s.HaltReason != "" || s.Ended != "" {
		failures.text = fmt.Sprintf("failures %d, %d tolerated", n, budget)
	}
	return []piece{places, failures}
}

func (f *frame) settled() int {
	n := 0
	for _, t := range f.State.Targets {
		if t.Settled() {
			n++
		}
	}
	return n
}

// doneBar shows a share as text.
func doneBar(n, of int) string {
	const cells = 20
	full := 0
	if of > 0 {
		full = n * cells / of
	}
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", cells-full) + "]"
}

// elapsed says how long the rollout has run and, while it goes on by itself,
// how long it will still take.
func (f *frame) elapsed() string {
	s := f.State
	run := "for " + span(f.Now.Sub(s.Started).Truncate(time.Second))
	if s.Ended != "" || s.Paused || s.Aborted || s.HaltReason != "" {
		return run
	}
	run += ", about " + about(f.left()) + " to go"
	if s.AnyHeld() {
		run += " after a decision"
	}
	return run
}

// about rounds an estimate to what it can be trusted for.
func about(d time.Duration) string {
	switch {
	case d > time.Hour:
		d = d.Round(5 * time.Minute)
	case d > 10*time.Minute:
		d = d.Round(time.Minute)
	case d > time.Minute:
		d = d.Round(10 * time.Second)
	}
	return span(d.Round(time.Second))
}

// left estimates what is still to do, as the plan estimates the whole: without
// approvals and closed windows.
func (f *frame) left() time.Duration {
	p, sum := f.State.Plan, time.Duration(0)
	for i := range p.Waves {
		ws, closed, online, open := &f.State.Waves[i], 0, 0, 0
		for k := range p.Waves[i].Targets {
			t := &p.Waves[i].Targets[k]
			st := f.State.Targets[t.Name]
			if st.Settled() {
				continue
			}
			open++
			if st.OpenedAt.IsZero() {
				closed += max(t.ClosedSeconds-int(closedFor(st, f.Now)/time.Second), 1)
			}
			if st.ClosedAt.IsZero() {
				online += t.OnlineSeconds
			}
		}
		sum += time.Duration(max(share(closed, min(p.Policy.MaxUnavailable, open)), share(online, min(p.Policy.Ahead, open)))) * time.Second
		bake := p.Waves[i].Bake
		if !ws.SettledAt.IsZero() {
			bake = max(ws.SettledAt.Add(bake).Sub(f.Now), 0)
		}
		sum += bake
	}
	return sum
}

// latest are the news, the newest of them, each in two lines at most.
func (f *frame) latest() block {
	var out []line
	more := 0
	for _, n := range f.News {
		if strings.HasPrefix(n, " ") {
			if more++; more > 1 {
				continue
			}
		} else {
			more = 0
		}
		style := ""
		if strings.Contains(n, "FAILED") {
			style = red
		}
		out = append(out, say(style, n))
	}
	last := func(n int) []line {
		list := out[max(len(out)-n, 0):]
		for len(list) > 0 && strings.HasPrefix(list[0][0].text, " ") {
			list = list[1:] // the end of something whose beginning is not shown
		}
		return list
	}
	return block{lines: last(shownNews), fold: last}
}

// shownNews is how many lines of news are shown at most.
const shownNews = 12

// looks counts a wave's looks from outside.
func looks(s *rollout.State, w int) (done, all int) {
	for _, g := range s.Plan.Waves[w].Gate {
		if s.Targets[g.Target].Status == rollout.Upgraded || s.Waves[w].GateDone[g.ID] {
			all++
		}
		if s.Waves[w].GateDone[g.ID] {
			done++
		}
	}
	return done, all
}
