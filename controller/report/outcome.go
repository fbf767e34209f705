package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// shownCommands is how many commands are proposed at most.
const shownCommands = 12

// OutcomeText writes how a rollout stands or ended, 80 columns wide.
func OutcomeText(w io.Writer, id string, s *rollout.State, v rollout.Verdict) error {
	return Outcome(w, id, s, v, Options{})
}

// Outcome writes how a rollout stands or ended, for people. id is its name in
// the journal, v the verdict, "" while it has none. The closed time of targets
// that are still closed is that up to the last event.
func Outcome(w io.Writer, id string, s *rollout.State, v rollout.Verdict, o Options) error {
	pg, now := newPage(w, o), latest(s)
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
		pg.item(2, 17, red, "halted", s.HaltReason)
	}
	if lines := closedLines(s, now); lines != "" {
		pg.item(2, 17, "", "users out", lines)
	}
	pg.item(2, 17, "", "journal", id)
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
	next(pg, s)
	return pg.err
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
	case ws.Passed:
		state = "passed"
	case !ws.SettledAt.IsZero():
		state = "settled " + ws.SettledAt.UTC().Format("15:04:05 MST")
	case begun(s, w):
		state = "under way"
	}
	pg.line("%s", pg.paint(bold, fmt.Sprintf("Wave %s · %s · %s", w.Name, plural(len(w.Targets), "target"), state)))
	var groups []group
	at := map[string]int{}
	for k := range w.Targets {
		t := &w.Targets[k]
		lines := capture(pg, func(q *page) { outcomeTarget(q, s.Targets[t.Name], t, now) })
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

func outcomeTarget(pg *page, t *rollout.TargetState, p *plan.Target, now time.Time) {
	line := fate(t)
	if len(p.Hops) > 0 && t.Status == rollout.Upgraded {
		line += " to " + p.To.String()
	}
	if t.Status == rollout.RolledBack && !p.From.Zero() {
		line += " to " + p.From.String()
	}
	if t.Step != "" {
		line += ", at step " + shortID(t.Step)
	}
	pg.item(4, 6, fateStyle(t.Status), "", line)
	if t.Reason != "" && t.Status != rollout.Upgraded {
		pg.item(6, 11, dim, "why:", t.Reason)
	}
	if (t.StillClosed || t.Status == rollout.Held) && !t.ClosedAt.IsZero() {
		pg.item(6, 11, red, "users out since", t.ClosedAt.UTC().Format("15:04:05 MST")+", "+span(closedFor(t, now)))
	}
}

// next names the commands that lead on.
func next(pg *page, s *rollout.State) {
	var lines [][2]string
	for i := range s.Plan.Waves {
		for _, p := range s.Plan.Waves[i].Targets {
			switch t := s.Targets[p.Name]; {
			case t.Status == rollout.Held:
				lines = append(lines, [2]string{"ncfleet approve " + p.Name, "let its users in as it is"},
					[2]string{"ncfleet rollback " + p.Name, "take it back"})
			case t.Status == rollout.Failed:
				back, approve := "take it back; what users wrote since it was opened is lost", s.Allows(rollout.Event{Kind: rollout.EventApproved, Target: p.Name}) == nil
				if t.StillClosed && !approve {
					back = "try the way back again, once the cause is gone"
				}
				lines = append(lines, [2]string{"ncfleet rollback " + p.Name, back})
				if approve {
					lines = append(lines, [2]string{"ncfleet approve " + p.Name, "keep it as it is"})
				}
			}
		}
	}
	if s.HaltReason != "" || s.Paused {
		lines = append(lines, [2]string{"ncfleet resume", "go on, with the failures so far accepted"})
	}
	if len(lines) == 0 {
		return
	}
	pg.line("")
	pg.line("%s", pg.paint(bold, "Next"))
	for i, l := range lines {
		if i == shownCommands {
			pg.line("  and %s more", plural(len(lines)-i, "command"))
			break
		}
		pg.item(2, 30, "", l[0], l[1])
	}
}

type outcomeView struct {
	FormatVersion int                `json:"format_version"`
	Verdict       string             `json:"verdict"`
	Targets       rollout.Counts     `json:"targets"`
	Rollout       string             `json:"rollout"`
	ID            string             `json:"id,omitempty"`
	PlanDigest    string             `json:"plan_digest"`
	Began         *time.Time         `json:"began,omitempty"`
	HaltReason    string             `json:"halt_reason,omitempty"`
	Waves         []outcomeWaveView  `json:"waves"`
	Blocked       []blockedView      `json:"blocked"`
	Idle          []string           `json:"idle"`
	ClosedSeconds map[string]float64 `json:"closed_seconds"`
}

type outcomeWaveView struct {
	Name    string              `json:"name"`
	Passed  bool                `json:"passed"`
	Targets []outcomeTargetView `json:"targets"`
}

type outcomeTargetView struct {
	Name        string `json:"name"`
	Outcome     string `json:"outcome"`
	From        string `json:"from,omitempty"`
	To          string `json:"to,omitempty"`
	Reason      string `json:"reason,omitempty"`
	StillClosed bool   `json:"still_closed,omitempty"`
}

// OutcomeJSON writes how a rollout stands or ended: one object on one line.
// The verdict of one that has none yet is "running".
func OutcomeJSON(w io.Writer, id string, s *rollout.State, verdict rollout.Verdict) error {
	now := latest(s)
	v := outcomeView{
		FormatVersion: formatVersion, Verdict: string(verdict), Targets: s.Count(), Rollout: s.Plan.Rollout, ID: id,
		PlanDigest: plan.Digest(*s.Plan), HaltReason: s.HaltReason, Waves: []outcomeWaveView{}, Blocked: []blockedView{},
		Idle: append([]string{}, s.Plan.Idle...), ClosedSeconds: map[string]float64{},
	}
	if v.Verdict == "" {
		v.Verdict = "running"
	}
	if !s.Started.IsZero() {
		began := s.Started.UTC()
		v.Began = &began
	}
	for i := range s.Plan.Waves {
		p := &s.Plan.Waves[i]
		wave := outcomeWaveView{Name: p.Name, Passed: s.Waves[i].Passed && failures(s, p) == 0, Targets: []outcomeTargetView{}}
		for _, t := range p.Targets {
			st := s.Targets[t.Name]
			wave.Targets = append(wave.Targets, outcomeTargetView{Name: t.Name, Outcome: string(st.Status),
				From: t.From.String(), To: t.To.String(), Reason: st.Reason, StillClosed: st.StillClosed})
			if d := closedFor(st, now); d > 0 {
				v.ClosedSeconds[t.Name] = d.Round(time.Millisecond).Seconds()
			}
		}
		v.Waves = append(v.Waves, wave)
	}
	for _, b := range s.Plan.Blocked {
		v.Blocked = append(v.Blocked, blockedView{Target: b.Target, Problems: viewProblems(b.Problems)})
	}
	return object(w, v, "")
}
