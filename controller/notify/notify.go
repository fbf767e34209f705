// Package notify tells people, and programs of theirs, of a rollout: once per
// wave, once per decision that is needed, and at its end.
//
// It refuses to hold a rollout up: what cannot be delivered within its tries is
// dropped and told to the operator. It decides nothing and never takes an
// answer.
package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/rollout"
)

// Occasion is what a message is about.
type Occasion string

// The occasions.
const (
	Start    Occasion = "start"
	Wave     Occasion = "wave"     // all its targets settled and its gate passed
	Decision Occasion = "decision" // nothing goes on, or a site stays closed, until somebody decides
	End      Occasion = "end"
)

// Message is one thing to tell. Its JSON form is what a webhook receives.
type Message struct {
	FormatVersion int       `json:"format_version"`
	ID            string    `json:"id"` // the same when it is sent again
	Occasion      Occasion  `json:"occasion"`
	Rollout       string    `json:"rollout"`
	RolloutID     string    `json:"rollout_id"`
	At            time.Time `json:"at"`
	Wave          string    `json:"wave,omitempty"`
	Target        string    `json:"target,omitempty"`
	Title         string    `json:"title"`
	Text          string    `json:"text,omitempty"`
	Commands      []string  `json:"commands,omitempty"` // what one may type now
	Counts        Counts    `json:"targets"`
	Closed        []string  `json:"closed,omitempty"` // users are kept out, and nothing will let them in
}

// Counts are the rollout's targets by where they stand.
type Counts struct {
	Upgraded   int `json:"upgraded"`
	RolledBack int `json:"rolled_back"`
	Failed     int `json:"failed"`
	Untouched  int `json:"untouched"`
	Open       int `json:"open"` // not settled yet
}

// Plain is the message as text of several lines.
func (m Message) Plain() string {
	parts := []string{m.Title}
	if m.Text != "" {
		parts = append(parts, m.Text)
	}
	if len(m.Closed) > 0 {
		parts = append(parts, "CLOSED TO USERS, and nothing will open it by itself: "+strings.Join(m.Closed, ", "))
	}
	if len(m.Commands) > 0 {
		parts = append(parts, strings.Join(m.Commands, "\n"))
	}
	return strings.Join(parts, "\n")
}

// reader finds out what is worth a message. It belongs to the loop's goroutine.
type reader struct {
	id, command string
	passed      map[int]bool
	asked       []string // the decisions that are asked for at the moment
}

// event is what to say of one event; s is the state after it.
func (r *reader) event(e rollout.Event, s *rollout.State) []Message {
	var out []Message
	add := func(m Message) {
		m.At = e.At
		out = append(out, r.fill(m, s))
	}
	if e.Kind == rollout.EventStarted {
		add(Message{Occasion: Start, ID: "start", Title: fmt.Sprintf("Rollout %s began: %d targets in %d waves", s.Plan.Rollout, len(s.Targets), len(s.Plan.Waves))})
	}
	for i, w := range s.Waves {
		if w.Passed && !r.passed[i] {
			r.passed[i] = true
			name := s.Plan.Waves[i].Name
			add(Message{Occasion: Wave, ID: "wave-" + name, Wave: name, Title: fmt.Sprintf("Wave %s of rollout %s passed", name, s.Plan.Rollout), Text: tally(s, i)})
		}
	}
	switch e.Kind {
	case rollout.EventHalted:
		add(Message{Occasion: Decision, ID: fmt.Sprintf("halt-%d", s.Seq), Title: fmt.Sprintf("Rollout %s halted and waits for a decision", s.Plan.Rollout),
			Text: e.Detail, Commands: []string{r.command + " status", r.command + " resume", r.command + " abort"}})
	case rollout.EventEnded:
		add(Message{Occasion: End, ID: "end", Title: fmt.Sprintf("Rollout %s ended: %s", s.Plan.Rollout, e.Detail), Text: reasons(s)})
	}
	return out
}

// waiting is what to say of the reasons why nothing starts, each once while it
// lasts.
func (r *reader) waiting(list []string, s *rollout.State, at time.Time) []Message {
	var out []Message
	var now []string
	for _, reason := range list {
		m := Message{Occasion: Decision, At: at}
		if name, ok := strings.CutSuffix(reason, " waits for approval"); ok {
			m.Wave = strings.TrimPrefix(name, "wave ")
			m.Title = fmt.Sprintf("Wave %s of rollout %s waits for approval", m.Wave, s.Plan.Rollout)
			m.Commands = []string{r.command + " approve --wave " + m.Wave}
		} else if name, why, ok := strings.Cut(reason, " is closed and held: "); ok {
			m.Target = name
			m.Title = fmt.Sprintf("%s is closed to its users and waits for a decision", name)
			m.Text = why
			m.Commands = []string{r.command + " approve " + name, r.command + " rollback " + name}
		} else {
			continue
		}
		key := m.Title
		now = append(now, key)
		if !slices.Contains(r.asked, key) {
			m.ID = fmt.Sprintf("decision-%d-%s%s", s.Seq, m.Wave, m.Target)
			out = append(out, r.fill(m, s))
		}
	}
	r.asked = now
	return out
}

func (r *reader) fill(m Message, s *rollout.State) Message {
	m.FormatVersion, m.Rollout, m.RolloutID = 1, s.Plan.Rollout, r.id
	m.ID = r.id + "/" + m.ID
	m.At = m.At.UTC().Truncate(time.Second)
	for name, t := range s.Targets {
		switch t.Status {
		case rollout.Upgraded:
			m.Counts.Upgraded++
		case rollout.RolledBack:
			m.Counts.RolledBack++
		case rollout.Failed:
			m.Counts.Failed++
		case rollout.Untouched:
			m.Counts.Untouched++
		case rollout.Waiting, rollout.Running, rollout.Held, rollout.RollingBack:
			m.Counts.Open++
		}
		if t.StillClosed {
			m.Closed = append(m.Closed, name)
		}
	}
	slices.Sort(m.Closed)
	return m
}

// tally counts how the targets of a wave ended.
func tally(s *rollout.State, wave int) string {
	count := map[rollout.Status]int{}
	for _, t := range s.Plan.Waves[wave].Targets {
		count[s.Targets[t.Name].Status]++
	}
	return fmt.Sprintf("%d upgraded, %d rolled back, %d failed, %d untouched",
		count[rollout.Upgraded], count[rollout.RolledBack], count[rollout.Failed], count[rollout.Untouched])
}

// mostReasons bounds how many targets an end message explains.
const mostReasons = 20

// reasons says of each target that was not upgraded why.
func reasons(s *rollout.State) string {
	var lines []string
	left := 0
	for _, w := range s.Plan.Waves {
		for _, t := range w.Targets {
			state := s.Targets[t.Name]
			if state.Status == rollout.Upgraded {
				continue
			}
			if len(lines) == mostReasons {
				left++
				continue
			}
			line := t.Name + " " + strings.ReplaceAll(string(state.Status), "_", " ")
			if state.Reason != "" {
				line += ": " + state.Reason
			}
			lines = append(lines, line)
		}
	}
	if left > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", left))
	}
	return strings.Join(lines, "\n")
}
