package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/report/screen"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// moving is a target that the live view shows in a line of its own.
type moving struct {
	plan *plan.Target
	*rollout.TargetState
	rank int
}

// rankOf orders targets by how much people should look at them; 0 is not shown
// one by one.
func rankOf(t *rollout.TargetState) int {
	switch t.Status {
	case rollout.Failed, rollout.Held:
		return 0 // a decision is shown above
	case rollout.RollingBack:
		return 1
	case rollout.Running:
		if !t.ClosedAt.IsZero() && t.OpenedAt.IsZero() {
			return 2
		}
		return 3
	case rollout.Waiting, rollout.Upgraded, rollout.RolledBack, rollout.Untouched:
	}
	return 0
}

// targets shows those that move, each in a line, and counts the others.
func (f *frame) targets() block {
	var list []moving
	var ready, waiting, back, untouched []string
	at := f.current()
	for i := range f.State.Plan.Waves {
		for k := range f.State.Plan.Waves[i].Targets {
			p := &f.State.Plan.Waves[i].Targets[k]
			t := f.State.Targets[p.Name]
			switch r := rankOf(t); {
			case r > 0 && t.Step == "" && t.ClosedAt.IsZero() && f.waits[p.Name] != "":
				ready = append(ready, p.Name)
			case r > 0:
				list = append(list, moving{p, t, r})
			case t.Status == rollout.Waiting && i == at:
				waiting = append(waiting, p.Name)
			case t.Status == rollout.RolledBack:
				back = append(back, p.Name)
			case t.Status == rollout.Untouched:
				untouched = append(untouched, p.Name)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b moving) int { return cmp.Compare(a.rank, b.rank) })
	var rest []line
	for _, g := range []struct {
		style, what string
		names       []string
	}{{yellow, "rolled back", back}, {yellow, "untouched", untouched}, {"", "ready, waiting to close", ready}, {dim, "waiting in this wave", waiting}} {
		if len(g.names) > 0 {
			rest = append(rest, line{{g.style, fmt.Sprintf("  %d %s", len(g.names), g.what)}, {"", ": " + names(g.names)}})
		}
	}
	col := 0
	for _, m := range list {
		col = max(col, min(cells(shown(m.plan.Name)), f.nameRoom()))
	}
	var lines, whole []line
	for _, m := range list {
		l := f.targetLine(m, col)
		lines, whole = append(lines, l), append(append(whole, l), f.why(m)...)
	}
	return block{lines: append(whole, rest...), fold: func(n int) []line {
		if len(lines)+len(rest) > n {
			return foldTargets(list, lines, rest, n)
		}
		var out []line
		room := n - len(lines) - len(rest)
		for i, m := range list {
			why := f.why(m)
			why = why[:min(len(why), room)]
			out, room = append(append(out, lines[i]), why...), room-len(why)
		}
		return append(out, rest...)
	}}
}

// why is the reason for which a target is taken back, in one line.
func (f *frame) why(m moving) []line {
	if m.Status != rollout.RollingBack || m.Reason == "" {
		return nil
	}
	return hang(4, piece{dim, "why: "}, unnamed(m.Reason, m.plan.Name, m.plan.Host), f.width, 1)
}

// nameRoom is how wide the column of names may become.
func (f *frame) nameRoom() int { return max(min(widestTarget, f.width-62), 12) }

// foldTargets shows n lines, n at least 1: first the targets that move, as far
// as there is room, then a count of the rest of them, then the others.
func foldTargets(list []moving, lines, rest []line, n int) []line {
	for len(lines)+len(rest) > n && len(rest) > 1 && len(lines) > 0 {
		rest = rest[1:]
	}
	room := n - min(len(rest), max(n-2, 0))
	if len(lines) <= room {
		return append(slices.Clone(lines), rest[:min(len(rest), n-len(lines))]...)
	}
	out := slices.Clone(lines[:max(room-1, 0)])
	closed := 0
	var more []string
	for _, m := range list[len(out):] {
		more = append(more, m.plan.Name)
		if m.rank < 3 {
			closed++
		}
	}
	text := fmt.Sprintf("  and %d more under way", len(more))
	if closed > 0 {
		text += fmt.Sprintf(", %d of them closed", closed)
	}
	out = append(out, line{{bold, text}, {"", ": " + names(more)}})
	return append(out, rest[:min(len(rest), n-len(out))]...)
}

// targetLine is a target that moves: its step, since when, and its users.
func (f *frame) targetLine(m moving, col int) line {
	name := screen.Column(shown(m.plan.Name), col)
	step, since := "", ""
	if m.Step != "" {
		step = shortID(m.Step)
		since = span(f.Now.Sub(m.Begun[m.Step]).Truncate(time.Second))
	}
	count := fmt.Sprintf("%d/%d", min(m.Next+1, len(m.plan.Steps)), len(m.plan.Steps))
	if m.Status == rollout.RollingBack {
		count = "back"
	}
	style, users := f.users(m)
	out := line{{"", "  "}, {bold, name}}
	if f.width >= usualWidth {
		out = append(out, piece{dim, fmt.Sprintf("  %5s", count)})
	}
	out = append(out, piece{"", " " + screen.Column(step, 12)}, piece{"", fmt.Sprintf(" %10s  ", since)}, piece{style, users})
	if at, away := f.Away[m.plan.Host]; away {
		return append(out, piece{red, ", NOT REACHABLE for " + span(f.Now.Sub(at).Truncate(time.Second))})
	}
	if seen := f.gateSeen(m.plan.Name); seen != "" && m.Status == rollout.Running {
		out = append(out, piece{dim, ", gate " + seen})
	}
	return out
}

// users says whether a target's users are in, and for how long.
func (f *frame) users(m moving) (style, text string) {
	closed, expected := closedFor(m.TargetState, f.Now).Truncate(time.Second), time.Duration(m.plan.ClosedSeconds)*time.Second
	switch {
	case m.Status == rollout.RollingBack && !m.ClosedAt.IsZero() && m.OpenedAt.IsZero():
		return red, "ROLLS BACK, CLOSED " + span(closed)
	case m.Status == rollout.RollingBack:
		return yellow, "ROLLS BACK, users in"
	case m.ClosedAt.IsZero():
		return "", "users in, " + span(f.Now.Sub(firstBegun(m.TargetState)).Truncate(time.Second)) + " of ~" + span(time.Duration(m.plan.OnlineSeconds)*time.Second)
	case !m.OpenedAt.IsZero():
		return green, "open, was closed " + span(closed)
	case closed > expected:
		return red, "CLOSED " + span(closed) + ", LATE: expected " + span(expected)
	}
	return yellow, "CLOSED " + span(closed) + " of ~" + span(expected)
}

// firstBegun is when the target's first step began.
func firstBegun(t *rollout.TargetState) time.Time {
	var first time.Time
	for _, at := range t.Begun {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

// gateSeen sums up what a target's gate has seen.
func (f *frame) gateSeen(target string) string {
	all, well := 0, 0
	for k, v := range f.Gates[target] {
		if strings.HasPrefix(k, "check ") {
			all++
			if r, _, _ := strings.Cut(v, ":"); passes(r) {
				well++
			}
		}
	}
	if all == 0 {
		return ""
	}
	if well == all {
		return fmt.Sprintf("%d/%d", well, all)
	}
	return fmt.Sprintf("%d/%d ok", well, all)
}

// decisions are the targets that people must decide on.
func (f *frame) decisions() []line {
	var out []line
	for i := range f.State.Plan.Waves {
		for k := range f.State.Plan.Waves[i].Targets {
			p := &f.State.Plan.Waves[i].Targets[k]
			t := f.State.Targets[p.Name]
			if t.Status != rollout.Held && (t.Status != rollout.Failed || t.Accepted && !t.StillClosed) {
				continue
			}
			out = append(out, f.decision(p, t)...)
		}
	}
	return out
}

func (f *frame) decision(p *plan.Target, t *rollout.TargetState) []line {
	mark, style, what := "?", yellow, "HELD, CLOSED "+span(closedFor(t, f.Now).Truncate(time.Second))
	switch {
	case t.Status == rollout.Failed && t.StillClosed:
		mark, style, what = "✗", red, "FAILED, STILL CLOSED, "+span(closedFor(t, f.Now).Truncate(time.Second))
	case t.Status == rollout.Failed:
		mark, style, what = "✗", red, "FAILED, users are in"
	default:
		until := t.HeldAt.Add(f.State.Plan.Policy.HoldTimeout)
		what += fmt.Sprintf("; taken back at %s, in %s", f.clock(until), span(until.Sub(f.Now).Round(time.Second)))
	}
	out := hang(0, piece{style, mark + " " + shown(p.Name) + "  "}, what, f.width, 2)
	if t.Reason != "" {
		why, after, listed := differences(unnamed(t.Reason, p.Name, p.Host))
		text := unnamed(t.Reason, p.Name, p.Host)
		if listed {
			text = strings.Join(why, "; ") + "; " + after
		}
		out = append(out, hang(4, piece{dim, "why: "}, text, f.width, 3)...)
	}
	if seen := f.gateSeen(p.Name); seen != "" {
		out = append(out, hang(4, piece{dim, "gate: "}, seen+f.checks(p.Name, t.Reason), f.width, 2)...)
	}
	return out
}

// checks lists what a target's gate has looked at: what passed by name, what
// did not with what was seen, unless the reason says it already.
func (f *frame) checks(target, reason string) string {
	var well, bad []string
	for _, k := range evidenceKeys(f.Gates[target]) {
		name, ok := strings.CutPrefix(k, "check ")
		result, seen, _ := strings.Cut(f.Gates[target][k], ": ")
		switch {
		case !ok:
		case passes(result):
			well = append(well, name)
		case !strings.Contains(reason, seen):
			bad = append(bad, name+": "+seen)
		}
	}
	out := ""
	if len(well) > 0 {
		out = " (" + strings.Join(well, ", ") + ")"
	}
	if len(bad) > 0 {
		out += "; " + strings.Join(bad, "; ")
	}
	return out
}

// passes reports whether a check's result, as the gate's evidence has it, is no
// reason to ask.
func passes(result string) bool { return result == "pass" || result == "note" || result == "skip" }
