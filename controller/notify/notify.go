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
	Answer   Occasion = "answer"   // somebody decided: approved, paused, resumed …
	Wait     Occasion = "wait"     // nothing starts before a window opens
	End      Occasion = "end"      // it ended; a halt is a decision too
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

	also Occasion // who asked to hear of this one hears it too
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
	last        time.Time // the last event of an earlier controller
	asked       []string  // the decisions that are asked for at the moment
}

// event is what to say of one event; s is the state after it.
func (r *reader) event(e rollout.Event, s *rollout.State) []Message {
	var out []Message
	add := func(m Message) {
		m.At = e.At
		out = append(out, r.fill(m, s))
	}
	for i, w := range s.Waves {
		if w.Passed && !r.passed[i] {
			r.passed[i] = true
			name := s.Plan.Waves[i].Name
			title := fmt.Sprintf("Wave %s of rollout %s passed", name, s.Plan.Rollout)
			if upgraded(s, i) == 0 {
				if s.HaltReason != "" {
					continue // the halt tells it
				}
				title = fmt.Sprintf("Wave %s of rollout %s is over, and nobody was upgraded", name, s.Plan.Rollout)
			}
			add(Message{Occasion: Wave, ID: "wave-" + name, Wave: name, Title: title, Text: lines(tally(s, i), following(s, i))})
		}
	}
	if m, ok := r.told(e, s); ok {
		add(m)
	}
	return out
}

// told is what one event says by itself.
func (r *reader) told(e rollout.Event, s *rollout.State) (Message, bool) {
	name, id := s.Plan.Rollout, fmt.Sprintf("%s-%d", e.Kind, s.Seq)
	m := Message{Occasion: Answer, ID: id, Wave: e.Wave, Target: e.Target, Text: e.Detail}
	switch e.Kind {
	case rollout.EventStarted:
		m = Message{Occasion: Start, ID: "start", Title: fmt.Sprintf("Rollout %s began: %d targets in %d waves", name, len(s.Targets), len(s.Plan.Waves)), Text: begins(e, s)}
	case rollout.EventAttached:
		m.Title = fmt.Sprintf("Rollout %s goes on: %s started a controller anew", name, e.Who)
		m.Text = "What was begun is looked up on the hosts; nothing is done twice."
		if !r.last.IsZero() {
			m.Text = "The one before it was last heard of at " + r.last.UTC().Format("2006-01-02 15:04:05 MST") + ". " + m.Text
		}
		if s.Paused {
			m.Title = fmt.Sprintf("%s started a controller of rollout %s anew; the rollout is still paused", e.Who, name)
			m.Commands = []string{r.command + " resume"}
		}
	case rollout.EventPaused:
		m.Title = fmt.Sprintf("Rollout %s paused by %s", name, e.Who)
		m.Text = lines(e.Detail, "What has begun finishes, nothing new starts.")
		m.Commands = []string{r.command + " resume", r.command + " abort"}
	case rollout.EventResumed:
		m.Title = fmt.Sprintf("Rollout %s resumed by %s", name, e.Who)
	case rollout.EventAborted:
		m.Title = fmt.Sprintf("Rollout %s aborted by %s", name, e.Who)
	case rollout.EventRollback:
		m.Title = fmt.Sprintf("%s asked for the rollback of %s", e.Who, e.Target)
	case rollout.EventApproved:
		m.Title, m.Text = approved(e, s)
	case rollout.EventApprovalExpired:
		m.Occasion = Decision
		m.Title = fmt.Sprintf("The approval of wave %s by %s has expired: it does not count any more", e.Wave, e.Who)
		m.Commands = []string{r.approve(e.Wave, s)}
	case rollout.EventWindowWait:
		m.Occasion, m.Title = Wait, fmt.Sprintf("Rollout %s waits: %s", name, e.Detail)
		m.Text = "It goes on by itself then, as long as its controller runs."
	case rollout.EventEnded:
		m.Occasion, m.ID, m.Title, m.Text = End, "end", fmt.Sprintf("Rollout %s ended: %s", name, e.Detail), ends(s)
		if rollout.Verdict(e.Detail) == rollout.Halted {
			m.ID, m.Title = fmt.Sprintf("halt-%d", s.Seq), fmt.Sprintf("Rollout %s halted and waits for a decision", name)
			m.also = Decision
			m.Commands = []string{r.command + " status", r.command + " resume", r.command + " abort"}
		}
	default:
		return m, false
	}
	return m, true
}

// waiting is what to say of the reasons why nothing starts, each once while it
// lasts.
func (r *reader) waiting(list []string, s *rollout.State, at time.Time) []Message {
	var out []Message
	var now []string
	for _, reason := range list {
		m := Message{Occasion: Decision, At: at}
		if name, how, ok := strings.Cut(reason, " waits for approval"); ok {
			m.Wave = strings.TrimPrefix(name, "wave ")
			m.Title = fmt.Sprintf("Wave %s of rollout %s waits for approval", m.Wave, s.Plan.Rollout)
			m.Text = asked(m.Wave, how, s)
			m.Commands = []string{r.approve(m.Wave, s)}
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
