package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// Live is what a reader of the journal knows beside the events of a rollout
// that has not ended.
type Live struct {
	// Now is the instant of the look; zero stands for that of the last event.
	Now time.Time
	// Running is true while a controller writes the journal.
	Running bool
	// Requests were noted and wait for a controller to take them.
	Requests []rollout.Event
	// Waits says why nothing starts.
	Waits []string
	// Broken are the leases that operators took away.
	Broken []rollout.Event
}

// Outcome writes how a rollout stands or ended, for people. id is its name in
// the journal, v the verdict, "" while it has none. The closed time of targets
// that are still closed is that up to the last event.
func Outcome(w io.Writer, id string, s *rollout.State, v rollout.Verdict, o Options) error {
	pg, now := newPage(w, o), latest(s)
	if o.Live != nil && v == "" && o.Live.Now.After(now) {
		now = o.Live.Now
	}
	c := s.Count()
	title := fmt.Sprintf("Rollout %s %s: %d upgraded, %d rolled back, %d failed, %d untouched",
		s.Plan.Rollout, verdict(s, v), c.Upgraded, c.RolledBack, c.Failed, c.Untouched)
	if c.Running > 0 {
		title += fmt.Sprintf(", %d under way", c.Running)
	}
	for _, l := range wrap(title, pg.width) {
		pg.line("%s", pg.paint(verdictStyle(v), l))
	}
	if !s.Started.IsZero() {
		pg.item(2, 17, "", "began", s.Started.UTC().Format("2006-01-02 15:04:05 MST"))
	}
	if s.HaltReason != "" {
		pg.item(2, 17, red, "halted", brief(s.HaltReason, s))
	}
	if lines := closedLines(s, now); lines != "" {
		pg.item(2, 17, "", "users out", lines)
	}
	pg.item(2, 17, "", "journal", id)
	live(pg, s, v, o, now)
	for i := range s.Plan.Waves {
		outcomeWave(pg, s, i, now)
	}
	if n := len(s.Plan.Blocked); n > 0 {
		pg.line("")
		var list []string
		for _, b := range s.Plan.Blocked {
			list = append(list, b.Target)
		}
		pg.item(0, 2, "", "Blocked by the plan, untouched ("+plural(n, "target")+"):", "")
		for _, l := range wrap(names(list), pg.width-2) {
			pg.line("  %s", l)
		}
	}
	history(pg, s, o.History)
	next(pg, s, o)
	return pg.err
}

// live writes who carries the rollout on, what was asked, and what it waits for.
func live(pg *page, s *rollout.State, v rollout.Verdict, o Options, now time.Time) {
	l := o.Live
	if l == nil {
		return
	}
	for _, e := range l.Broken {
		pg.item(2, 17, yellow, "lease broken", fmt.Sprintf("%s by %s: %s", e.Target, e.Who, e.Detail))
	}
	for _, e := range l.Requests {
		pg.item(2, 17, yellow, "noted", asked(e)+"; waits for a controller")
	}
	if v != "" {
		return
	}
	if !l.Running && !s.Started.IsZero() {
		pg.item(2, 17, red, "controller", "NONE RUNS: nothing goes on by itself. Go on with: "+o.command("resume"))
	} else if l.Running {
		pg.item(2, 17, "", "controller", "runs")
		f := &frame{Moment: Moment{State: s, Now: now}}
		budget := f.budget()
		pg.item(2, 17, "", "limits", budget[0].text+"; "+budget[1].text)
		if !s.Started.IsZero() {
			pg.item(2, 17, "", "time", f.elapsed())
		}
	}
	for _, r := range foldWaits(l.Waits) {
		pg.item(2, 17, dim, "waits", brief(r, s))
	}
}

// foldWaits joins the reasons of targets that wait for the same.
func foldWaits(list []string) []string {
	var out []string
	of := map[string][]string{}
	for _, r := range list {
		name, why, ok := strings.Cut(r, " waits: ")
		if ok && of[why] != nil {
			of[why] = append(of[why], name)
			continue
		}
		if ok {
			of[why] = []string{name}
		}
		out = append(out, r)
	}
	for i, r := range out {
		if _, why, ok := strings.Cut(r, " waits: "); ok && len(of[why]) > 1 {
			out[i] = names(of[why]) + " wait: " + why
		}
	}
	return out
}

// asked says what a request wants: "abort by anna@control".
func asked(e rollout.Event) string {
	words := []string{strings.ReplaceAll(string(e.Kind), "_", " ")}
	switch e.Kind {
	case rollout.EventPaused:
		words[0] = "pause"
	case rollout.EventResumed:
		words[0] = "resume"
	case rollout.EventAborted:
		words[0] = "abort"
	case rollout.EventApproved:
		words[0] = "approve"
	case rollout.EventRollback:
		words[0] = "rollback"
	case rollout.EventLeaseBroken:
		words[0] = "broken lease of"
	default: // no other is asked for
	}
	if e.Wave != "" {
		words = append(words, "wave "+e.Wave)
	}
	if e.Target != "" {
		words = append(words, e.Target)
	}
	if e.Who != "" {
		words = append(words, "by "+e.Who)
	}
	text := strings.Join(words, " ")
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// latest is the newest instant that the state knows.
func latest(s *rollout.State) time.Time {
	last := s.Started
	later := func(t time.Time) {
		if t.After(last) {
			last = t
		}
	}
	for _, t := range s.Targets {
		later(t.SettledAt)
		later(t.HeldAt)
		later(t.OpenedAt)
		later(t.ClosedAt)
		for _, at := range t.Begun {
			later(at)
		}
	}
	return last
}

func verdict(s *rollout.State, v rollout.Verdict) string {
	if v != "" {
		return string(v)
	}
	switch {
	case s.Started.IsZero():
		return "has not begun"
	case s.HaltReason != "":
		return "halts"
	case s.Aborted:
		return "is being aborted"
	case s.Paused:
		return "is paused"
	}
	return "runs"
}

func verdictStyle(v rollout.Verdict) string {
	switch v {
	case rollout.Succeeded:
		return green
	case rollout.Halted, rollout.Aborted:
		return red
	case rollout.Incomplete:
		return yellow
	}
	return bold
}

// closedLines sums up how long users were kept out.
func closedLines(s *rollout.State, now time.Time) string {
	var list []int
	for i := range s.Plan.Waves {
		for _, t := range s.Plan.Waves[i].Targets {
			if d := closedFor(s.Targets[t.Name], now); d > 0 {
				list = append(list, int(d.Round(time.Second)/time.Second))
			}
		}
	}
	if len(list) == 0 {
		return ""
	}
	n := len(list)
	return between(list) + " on " + plural(n, "target")
}

// outcomeWave folds the targets of a wave that ended the same way.
func outcomeWave(pg *page, s *rollout.State, i int, now time.Time) {
	w := &s.Plan.Waves[i]
	ws := s.Waves[i]
	pg.line("")
	state := "not begun"
	switch {
	case failures(s, w) > 0:
		state = plural(failures(s, w), "failure")
	case passed(s, i):
		state = "passed"
	case ws.Passed:
		state = "nobody upgraded"
	case !ws.SettledAt.IsZero():
		state = "settled " + ws.SettledAt.UTC().Format("15:04:05 MST")
	case begun(s, w):
		state = "under way"
	}
	pg.line("%s", pg.paint(bold, fmt.Sprintf("Wave %s · %s · %s", w.Name, plural(len(w.Targets), "target"), state)))
	approvals(pg, s, i)
	var groups []group
	at := map[string]int{}
	for k := range w.Targets {
		t := &w.Targets[k]
		lines := capture(pg, func(q *page) { outcomeTarget(q, s, t, now) })
		key := strings.Join(lines, "\n")
		n, ok := at[key]
		if !ok {
			n = len(groups)
			at[key] = n
			groups = append(groups, group{lines: lines})
		}
		groups[n].names = append(groups[n].names, t.Name)
	}
	for _, g := range groups {
		g.title(pg, "")
		for _, l := range g.lines {
			pg.line("%s", l)
		}
	}
}

// passed reports whether a wave proved something: it has its gate behind it,
// nobody failed and somebody was upgraded.
func passed(s *rollout.State, wave int) bool {
	w := &s.Plan.Waves[wave]
	upgraded := 0
	for _, t := range w.Targets {
		if s.Targets[t.Name].Status == rollout.Upgraded {
			upgraded++
		}
	}
	return s.Waves[wave].Passed && failures(s, w) == 0 && upgraded > 0
}

func failures(s *rollout.State, w *plan.Wave) int {
	n := 0
	for _, t := range w.Targets {
		if s.Targets[t.Name].Status == rollout.Failed {
			n++
		}
	}
	return n
}

func begun(s *rollout.State, w *plan.Wave) bool {
	for _, t := range w.Targets {
		if s.Targets[t.Name].Status != rollout.Waiting {
			return true
		}
	}
	return false
}

func outcomeTarget(pg *page, s *rollout.State, p *plan.Target, now time.Time) {
	t := s.Targets[p.Name]
	line := fate(t)
	if t.Status == rollout.Waiting && s.Ended != "" {
		line = "untouched, not begun"
	}
	if len(p.Hops) > 0 && t.Status == rollout.Upgraded {
		line += " to " + p.To.String()
	}
	if t.Status == rollout.RolledBack && !p.From.Zero() {
		line += " to " + p.From.String()
	}
	if t.Step != "" {
		line += ", at step " + shortID(t.Step) + " for " + span(now.Sub(t.Begun[t.Step]).Truncate(time.Second))
	}
	if (t.Status == rollout.Running || t.Status == rollout.RollingBack) && !t.ClosedAt.IsZero() && t.OpenedAt.IsZero() {
		line += ", closed for " + span(closedFor(t, now).Truncate(time.Second)) + " of about " + secondsSpan(p.ClosedSeconds)
	}
	pg.item(4, 6, fateStyle(t.Status), "", line)
	if t.Reason != "" && t.Status != rollout.Upgraded {
		why := t.Reason
		if s.HaltReason != "" {
			why = strings.ReplaceAll(why, "the rollout halted: "+s.HaltReason, "the rollout halted")
		}
		reason(pg, 6, 11, unnamed(why, p.Name, p.Host))
	}
	if (t.StillClosed || t.Status == rollout.Held) && !t.ClosedAt.IsZero() {
		pg.item(6, 11, red, "users out since", t.ClosedAt.UTC().Format("15:04:05 MST")+", "+span(closedFor(t, now)))
	}
}
