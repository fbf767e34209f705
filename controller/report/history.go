package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/rollout"
)

// mostHistory bounds the history that an outcome tells; the log has all of it.
const mostHistory = 60

// moment is one thing that somebody who was not there has to know of a rollout.
type moment struct {
	At     time.Time `json:"at"`
	Kind   string    `json:"kind"` // the event's kind, or wave_passed, target_settled
	Wave   string    `json:"wave,omitempty"`
	Target string    `json:"target,omitempty"`
	Who    string    `json:"who,omitempty"`
	Digest string    `json:"digest,omitempty"` // of the plan that was started or approved
	Text   string    `json:"text"`
}

// teller replays a rollout's events and picks from them what tells its story.
type teller struct {
	s       *rollout.State // as it stands after the last event
	again   *rollout.State // as it stood at the time
	list    []moment
	told    map[string]rollout.Status
	passed  []bool
	waiting bool      // for a window
	heard   time.Time // when the controller at work was last heard of
}

// moments tells who decided what, what failed, what was waited for, and how
// waves and those targets that were not upgraded ended.
func moments(s *rollout.State, events []rollout.Event) []moment {
	again, err := rollout.New(s.Plan, s.Zones)
	if err != nil {
		return nil // the state itself could not have been made
	}
	t := &teller{s: s, again: again, told: map[string]rollout.Status{}, passed: make([]bool, len(s.Plan.Waves))}
	for _, e := range events {
		if err := again.Apply(e); err != nil {
			break // whoever replays the journal tells this error
		}
		t.event(e)
		t.target(e)
		t.waves(e)
	}
	return t.list
}

func (t *teller) event(e rollout.Event) {
	if t.waiting && e.Kind == rollout.EventStepBegun {
		t.waiting = false
		t.list = append(t.list, moment{At: e.At, Kind: "went_on", Text: "went on with " + shortStep(e.Step)})
	}
	t.waiting = t.waiting || e.Kind == rollout.EventWindowWait
	if m, ok := momentOf(e, t.s); ok {
		m.Text += counted(e, t.again)
		if e.Kind == rollout.EventAttached && !t.heard.IsZero() {
			m.Text += "; the one before it was last heard of at " + t.heard.UTC().Format("15:04:05")
		}
		t.list = append(t.list, m)
	}
	if e.Kind != rollout.EventResumed { // a new controller finds the wish to resume before it says that it came
		t.heard = e.At
	}
}

// target tells of the target that an event is about once it has settled.
func (t *teller) target(e rollout.Event) {
	name := eventTarget(e)
	state := t.again.Targets[name]
	if state == nil {
		return
	}
	if state.Settled() && state.Status != t.told[name] && state.Status != rollout.Upgraded {
		t.list = append(t.list, moment{At: e.At, Kind: "target_settled", Target: name, Text: settledText(name, state, e.At)})
	}
	t.told[name] = state.Status
}

func (t *teller) waves(e rollout.Event) {
	for i := range t.passed {
		before := t.passed[i]
		t.passed[i] = t.again.Waves[i].Passed
		if t.passed[i] && !before && passed(t.again, i) {
			name := t.s.Plan.Waves[i].Name
			t.list = append(t.list, moment{At: e.At, Kind: "wave_passed", Wave: name, Text: "wave " + name + " passed its gate"})
		}
	}
}

// counted says of an approval how many there are then, and until when it
// counts.
func counted(e rollout.Event, s *rollout.State) string {
	for i := range s.Plan.Waves {
		w := &s.Plan.Waves[i]
		if e.Kind != rollout.EventApproved || e.Wave == "" || w.Name != e.Wave {
			continue
		}
		text := fmt.Sprintf(" (%d of %d", len(s.Waves[i].Approvals), w.Needs())
		if w.ApproveExpires > 0 {
			text += ", counts until " + e.At.Add(w.ApproveExpires).UTC().Format("2006-01-02 15:04")
		}
		return text + ")"
	}
	return ""
}

func shortStep(id string) string {
	_, step, _ := strings.Cut(id, "/")
	return strings.ReplaceAll(step, "/", " ")
}

func settledText(name string, t *rollout.TargetState, at time.Time) string {
	text := name + " " + fate(t)
	if d := closedFor(t, at); d > 0 {
		text += ", users were out for " + span(d)
	}
	return text
}

// momentOf is what an event itself tells; steps that went well tell nothing.
func momentOf(e rollout.Event, s *rollout.State) (moment, bool) {
	m := moment{At: e.At, Kind: string(e.Kind), Wave: e.Wave, Target: eventTarget(e), Who: e.Who, Digest: e.Digest}
	by := ""
	if e.Who != "" {
		by = " by " + e.Who
	}
	switch e.Kind {
	case rollout.EventStarted:
		m.Text = strings.Join(append([]string{"began" + by + ", plan " + shortDigest(e.Digest)}, changes(s.Plan)...), "; ")
	case rollout.EventAttached:
		m.Text = "a controller was started anew" + by
	case rollout.EventPaused, rollout.EventResumed, rollout.EventAborted:
		m.Text = string(e.Kind) + by
	case rollout.EventApproved:
		m.Text = "approved" + by + ": " + e.Target
		if e.Wave != "" {
			m.Text = "wave " + e.Wave + " approved" + by
			if e.Digest != "" {
				m.Text += ", plan " + shortDigest(e.Digest)
			}
		}
	case rollout.EventApprovalExpired:
		m.Text = "the approval of wave " + e.Wave + by + " expired"
	case rollout.EventWindowWait:
		m.Text = "waited"
	case rollout.EventHoldExpired:
		m.Text = e.Target + " is taken back"
	case rollout.EventRollback:
		m.Text = "rollback of " + e.Target + " asked for" + by
	case rollout.EventLeaseBroken:
		m.Text = "lease of " + e.Target + " broken" + by
	case rollout.EventHalted:
		m.Text = "halted"
	case rollout.EventEnded:
		m.Text = "ended: " + e.Detail
		if r := e.Evidence["reason"]; r != "" {
			m.Text += ": " + cut(brief(r, s))
		}
		return m, true
	case rollout.EventStepFail:
		m.Text = shortStep(e.Step) + " failed"
	case rollout.EventStepHeld:
		m.Text = shortStep(e.Step) + " was unclear"
	case rollout.EventStepRefused:
		m.Text = shortStep(e.Step) + " refused"
	default:
		return m, false
	}
	if e.Detail != "" {
		m.Text += ": " + cut(unnamed(brief(e.Detail, s), m.Target, hostOf(m.Target)))
	}
	return m, true
}

// longestMoment is the most characters of a reason that a history tells; the
// target's own entry has all of it.
const longestMoment = 240

func cut(text string) string {
	if r := []rune(text); len(r) > longestMoment {
		return string(r[:longestMoment-1]) + "…"
	}
	return text
}

func shortDigest(digest string) string { return digest[:min(12, len(digest))] }

// history writes the rollout's moments; none when the events were not given.
func history(pg *page, s *rollout.State, events []rollout.Event) {
	list := moments(s, events)
	if len(list) == 0 {
		return
	}
	pg.line("")
	pg.line("%s", pg.paint(bold, "History, in UTC"))
	left := 0
	if len(list) > mostHistory { // how it began and how it stands
		left = len(list) - mostHistory
		list = append(append([]moment(nil), list[:mostHistory/2]...), list[len(list)-mostHistory/2:]...)
	}
	for i, m := range list {
		if left > 0 && i == mostHistory/2 {
			pg.line("  … %s left out here; all of it: ncfleet log", plural(left, "moment"))
		}
		pg.item(2, 23, "", m.At.UTC().Format("2006-01-02 15:04:05"), m.Text)
	}
}

// historyView is all moments for programs.
func historyView(s *rollout.State, events []rollout.Event) []moment {
	list := moments(s, events)
	for i := range list {
		list[i].At = list[i].At.UTC().Truncate(time.Millisecond)
	}
	return list
}

// approvalView is one person's approval of a wave.
type approvalView struct {
	Who     string     `json:"who"`
	At      time.Time  `json:"at"`
	Expires *time.Time `json:"expires,omitempty"`
	// Counts is false of one that expired before the wave began.
	Counts bool `json:"counts"`
}

func viewApprovals(ws *rollout.WaveState) []approvalView {
	var out []approvalView
	for k, list := range [][]rollout.Approval{ws.Approvals, ws.Expired} {
		for _, a := range list {
			v := approvalView{Who: a.Who, At: a.At.UTC().Truncate(time.Second), Counts: k == 0}
			if !a.Expires.IsZero() {
				until := a.Expires.UTC().Truncate(time.Second)
				v.Expires = &until
			}
			out = append(out, v)
		}
	}
	return out
}
