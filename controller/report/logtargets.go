package report

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// LogByTarget writes the steps of each target together, in the order of the
// plan: when each began, how it ended, how long it took, what it told and what
// proves it. Targets of which the filter takes nothing are left out.
func LogByTarget(w io.Writer, p *plan.Plan, events []rollout.Event, filter LogFilter, o Options) error {
	pg := newPage(w, o)
	of := map[string][]rollout.Event{}
	for _, e := range events {
		if t := eventTarget(e); t != "" && filter.takes(e) {
			of[t] = append(of[t], e)
		}
	}
	titles := titlesOf(p)
	first := true
	for i := range p.Waves {
		for k := range p.Waves[i].Targets {
			t := &p.Waves[i].Targets[k]
			if len(of[t.Name]) == 0 {
				continue
			}
			if !first {
				pg.line("")
			}
			first = false
			pg.line("%s", pg.paint(bold, t.Name+" · wave "+p.Waves[i].Name))
			targetLog(pg, of[t.Name], titles)
		}
	}
	return pg.err
}

// titlesOf are the titles of a plan's steps.
func titlesOf(p *plan.Plan) map[plan.StepID]string {
	out := map[plan.StepID]string{}
	add := func(list []plan.Step) {
		for _, s := range list {
			out[s.ID] = s.Title
		}
	}
	for i := range p.Waves {
		add(p.Waves[i].Gate)
		for k := range p.Waves[i].Targets {
			add(p.Waves[i].Targets[k].Steps)
			add(p.Waves[i].Targets[k].Undo)
		}
	}
	return out
}

// HasStep reports whether a step's name is one of a plan.
func HasStep(p *plan.Plan, name string) bool {
	for id := range titlesOf(p) {
		if (LogFilter{Step: name}).takes(rollout.Event{Step: id}) {
			return true
		}
	}
	return false
}

// StepNames lists the names of a plan's steps.
func StepNames(p *plan.Plan) string {
	seen := map[string]bool{}
	var out []string
	for id := range titlesOf(p) {
		if n := shortID(id); !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	sort.Strings(out)
	return strings.Join(out, ", ")
}

// targetLog writes the steps of one target, each at the place of its end. A
// step that has not ended stands last.
func targetLog(pg *page, events []rollout.Event, titles map[plan.StepID]string) {
	const indent = 12
	begun := map[string]time.Time{}
	var open []string
	for _, e := range events {
		if e.Step == "" {
			pg.item(2, indent, bold, e.At.UTC().Format("15:04:05"), strings.ReplaceAll(string(e.Kind), "_", " ")+byWhom(e))
			logMore(pg, indent, rollout.Event{Detail: e.Detail})
			continue
		}
		if e.Kind == rollout.EventStepBegun {
			begun[e.Step] = e.At
			open = append(open, e.Step)
			continue
		}
		at := begun[e.Step]
		if at.IsZero() {
			at = e.At
		}
		style, outcome := ending(e.Kind)
		if took := seconds(e); took != "" {
			outcome += " after " + took
		}
		logStep(pg, at, e.Step, titles[e.Step], style, outcome)
		logMore(pg, indent+2, e)
		delete(begun, e.Step)
	}
	for _, id := range open {
		if at, runs := begun[id]; runs {
			logStep(pg, at, id, titles[id], yellow, "no outcome yet")
			delete(begun, id)
		}
	}
}

func logStep(pg *page, at time.Time, id, title, style, outcome string) {
	lead := fmt.Sprintf("  %s  %-12s  ", at.UTC().Format("15:04:05"), shortID(id))
	pg.line("%s%s", lead, pg.paint(style, outcome))
	for _, l := range wrap(title, pg.width-12) {
		pg.line("%s%s", spaces(12), pg.paint(dim, l))
	}
}

func byWhom(e rollout.Event) string {
	if e.Who == "" {
		return ""
	}
	return " by " + e.Who
}

// ending says in a word how a step ended.
func ending(k rollout.EventKind) (style, word string) {
	switch k {
	case rollout.EventStepDone:
		return green, "ok"
	case rollout.EventStepFail:
		return red, "FAILED"
	case rollout.EventStepHeld:
		return yellow, "UNCLEAR"
	case rollout.EventStepRefused:
		return yellow, "REFUSED"
	case rollout.EventStepNever:
		return yellow, "never began"
	default:
		return "", strings.ReplaceAll(string(k), "_", " ")
	}
}
