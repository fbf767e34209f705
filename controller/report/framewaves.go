package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/report/screen"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// waves shows a line for each wave; folded, those that are over are one line,
// and those to come are one.
func (f *frame) waves() block {
	s := f.State
	col := 0
	for i := range s.Plan.Waves {
		col = max(col, min(cells(shown(s.Plan.Waves[i].Name)), widestWave))
	}
	var lines []line
	for i := range s.Plan.Waves {
		lines = append(lines, f.waveLine(i, col))
	}
	b := block{lines: lines, fold: func(n int) []line { return f.foldWaves(lines, n) }}
	if over := f.current(); over > shownWaves {
		b.lines = f.foldWaves(lines, len(lines)-over+1)
	}
	return b
}

// shownWaves is how many waves that are over have a line of their own.
const shownWaves = 4

// current is the wave that is worked on; the last one when all are over.
func (f *frame) current() int {
	for i := range f.State.Waves {
		ws := &f.State.Waves[i]
		if !ws.Passed || f.Now.Before(ws.SettledAt.Add(f.State.Plan.Waves[i].Bake)) {
			return i
		}
	}
	return len(f.State.Waves) - 1
}

// foldWaves shows the waves in at most n lines, n at least 1: the one that is
// worked on stays.
func (f *frame) foldWaves(lines []line, n int) []line {
	at := f.current()
	if at < 0 || n < 1 {
		return nil
	}
	before, after := lines[:at], lines[at+1:]
	if len(before)+1+len(after) > n && len(before) > 1 {
		before = []line{f.fold("✓", "over", 0, at)}
	}
	if len(before)+1+len(after) > n && len(after) > 1 {
		after = []line{f.fold(" ", "to come", at+1, len(lines))}
	}
	out := append(append(append([]line{}, before...), lines[at]), after...)
	for len(out) > n && len(out) > 1 {
		if len(before) > 0 {
			before, out = nil, out[1:]
			continue
		}
		out = out[:len(out)-1]
	}
	return out
}

// fold is one line about several waves.
func (f *frame) fold(mark, state string, from, to int) line {
	names, n := []string{}, 0
	var c rollout.Counts
	for i := from; i < to; i++ {
		w := f.State.Plan.Waves[i]
		names, n = append(names, w.Name), n+len(w.Targets)
		for _, t := range w.Targets {
			tally(&c, f.State.Targets[t.Name].Status)
		}
	}
	parts := []string{plural(to-from, "wave") + " " + state, plural(n, "target")}
	if done := tallied(c); done != "" {
		parts = append(parts, done)
	}
	return line{{green, mark + " "}, {"", strings.Join(parts, ", ")}, {dim, ": " + Names(names)}}
}

// tally counts a target that has settled, or is under way.
func tally(c *rollout.Counts, s rollout.Status) {
	switch s {
	case rollout.Upgraded:
		c.Upgraded++
	case rollout.RolledBack:
		c.RolledBack++
	case rollout.Failed:
		c.Failed++
	case rollout.Untouched:
		c.Untouched++
	case rollout.Running, rollout.Held, rollout.RollingBack:
		c.Running++
	case rollout.Waiting:
	}
}

func tallied(c rollout.Counts) string {
	var out []string
	for _, n := range []struct {
		n    int
		what string
	}{{c.Upgraded, "upgraded"}, {c.RolledBack, "rolled back"}, {c.Failed, "FAILED"}, {c.Untouched, "untouched"}, {c.Running, "under way"}} {
		if n.n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n.n, n.what))
		}
	}
	return strings.Join(out, ", ")
}

// waveLine says how a wave stands, in words.
func (f *frame) waveLine(i, col int) line {
	s, w := f.State, &f.State.Plan.Waves[i]
	var c rollout.Counts
	for _, t := range w.Targets {
		tally(&c, s.Targets[t.Name].Status)
	}
	noun := "targets"
	if len(w.Targets) == 1 {
		noun = "target"
	}
	mark, style, state := f.waveState(i)
	out := line{{style, mark + " "}, {bold, screen.Column(shown(w.Name), col)}, {"", fmt.Sprintf("  %4d %-7s  ", len(w.Targets), noun)}, {style, state}}
	if done := tallied(c); done != "" && c != (rollout.Counts{Upgraded: len(w.Targets)}) && c != (rollout.Counts{Running: c.Running}) {
		out = append(out, piece{"", ": " + done})
	}
	return out
}

// waveState is a wave's mark, style and word.
func (f *frame) waveState(i int) (mark, style, state string) {
	s, w, ws := f.State, &f.State.Plan.Waves[i], &f.State.Waves[i]
	baked := ws.SettledAt.Add(w.Bake)
	done, all := looks(s, i)
	switch {
	case failures(s, w) > 0 && !ws.SettledAt.IsZero():
		return "✗", red, plural(failures(s, w), "failure")
	case !ws.SettledAt.IsZero() && f.Now.Before(baked) && s.Ended == "":
		return ">", yellow, fmt.Sprintf("bakes, %s of %s left", span(baked.Sub(f.Now).Round(time.Second)), span(w.Bake))
	case ws.Passed && passed(s, i):
		return "✓", green, "passed"
	case ws.Passed:
		return "-", yellow, "over, nobody upgraded"
	case !ws.SettledAt.IsZero():
		return ">", yellow, fmt.Sprintf("gate, %d of %d seen well from outside", done, all)
	case begun(s, w):
		return ">", yellow, "under way"
	case w.Needs() > 1 && !ws.Approved && i == f.current():
		return "?", yellow, fmt.Sprintf("WAITS FOR APPROVAL, %d of %d given", len(ws.Approvals), w.Needs())
	case w.Needs() > 0 && !ws.Approved && i == f.current():
		return "?", yellow, "WAITS FOR APPROVAL"
	case w.Needs() > 0 && !ws.Approved:
		return " ", dim, "to come, after an approval"
	}
	return " ", dim, "to come"
}
