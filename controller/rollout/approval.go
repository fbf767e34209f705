package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Approval is one person's word that a wave may start.
type Approval struct {
	Who string // the operator as in the event
	At  time.Time
	// Expires is when it stops counting; zero is never.
	Expires time.Time
}

// person is who an operator is, whatever the machine and the account:
// "anna@control", "anna@laptop" and "anna (ops@control)" are one person.
func person(who string) string {
	name, _, _ := strings.Cut(who, " (")
	name, _, _ = strings.Cut(name, "@")
	return strings.ToLower(strings.TrimSpace(name))
}

// approveWave notes an approval. Of each person the newest counts; one that
// was given for another plan does not.
func (s *State) approveWave(w int, e Event) {
	if e.Digest != "" && e.Digest != s.Digest {
		return
	}
	ws, wave := &s.Waves[w], &s.Plan.Waves[w]
	a := Approval{Who: e.Who, At: e.At}
	if wave.ApproveExpires > 0 {
		a.Expires = e.At.Add(wave.ApproveExpires)
	}
	same := func(o Approval) bool { return person(o.Who) == person(a.Who) }
	ws.Approvals = append(slices.DeleteFunc(ws.Approvals, same), a)
	ws.Expired = slices.DeleteFunc(ws.Expired, same)
	ws.Approved = len(ws.Approvals) >= max(wave.Needs(), 1)
}

// expireApproval takes back one that came too early. A wave that has begun
// keeps what let it start.
func (s *State) expireApproval(e Event) {
	w := s.wave(e.Wave)
	ws := &s.Waves[w]
	for i, a := range ws.Approvals {
		if a.Who == e.Who {
			ws.Expired = append(ws.Expired, a)
			ws.Approvals = slices.Delete(ws.Approvals, i, i+1)
			break
		}
	}
	ws.Approved = len(ws.Approvals) >= max(s.Plan.Waves[w].Needs(), 1)
}

// wave is the index of a wave, -1 when the plan has none of that name.
func (s *State) wave(name string) int {
	for w := range s.Plan.Waves {
		if name != "" && s.Plan.Waves[w].Name == name {
			return w
		}
	}
	return -1
}

// WaveBegun reports whether a target of the wave has begun.
func (s *State) WaveBegun(w int) bool {
	for _, m := range s.waves[w] {
		if m.state.Status != Waiting {
			return true
		}
	}
	return false
}

func (s *State) checkExpired(e Event) error {
	w := s.wave(e.Wave)
	if w < 0 || s.WaveBegun(w) {
		return fmt.Errorf("%s of wave %q, which does not wait for approval", e.Kind, e.Wave)
	}
	for _, a := range s.Waves[w].Approvals {
		if a.Who == e.Who && !a.Expires.IsZero() && !e.At.Before(a.Expires) {
			return nil
		}
	}
	return fmt.Errorf("%s of %q, whose approval of wave %s does not end then", e.Kind, e.Who, e.Wave)
}

// mayApproveWave reports why an operator's approval of a wave is refused.
func (s *State) mayApproveWave(w int, e Event) error {
	name := s.Plan.Waves[w].Name
	switch {
	case e.Digest != "" && e.Digest != s.Digest:
		return fmt.Errorf("wave %s cannot be approved: the approval is for plan %s, and this rollout carries out plan %s", name, shortDigest(e.Digest), shortDigest(s.Digest))
	case s.Plan.Waves[w].Needs() == 0:
		return fmt.Errorf("wave %s needs no approval", name)
	case s.WaveBegun(w):
		return fmt.Errorf("wave %s has begun; it needs no approval any more", name)
	}
	return nil
}

func shortDigest(digest string) string { return digest[:min(12, len(digest))] }

// expireApprovals records approvals that ended before their wave began.
func (c *chooser) expireApprovals() {
	for w := range c.Waves {
		if c.WaveBegun(w) {
			continue
		}
		for _, a := range c.Waves[w].Approvals {
			if !a.Expires.IsZero() && !c.now.Before(a.Expires) {
				c.d.Record = append(c.d.Record, Event{At: c.now, Kind: EventApprovalExpired, Wave: c.Plan.Waves[w].Name, Who: a.Who,
					Detail: fmt.Sprintf("it was given %s and counts for %s; the wave has not begun", a.At.UTC().Format(time.RFC3339), spoken(c.Plan.Waves[w].ApproveExpires))})
			}
		}
	}
}

// approvedEnough reports whether enough people let the wave start. A wave that
// has begun is not asked for again.
func (c *chooser) approvedEnough(w int) bool {
	wave, ws := &c.Plan.Waves[w], &c.Waves[w]
	if wave.Needs() == 0 || ws.Approved || c.WaveBegun(w) {
		return true
	}
	c.holding = true
	text := fmt.Sprintf("wave %s waits for approval", wave.Name)
	if wave.Needs() > 1 {
		text += fmt.Sprintf(" by %d people", wave.Needs())
	}
	var notes []string
	for _, a := range ws.Approvals {
		note := "given by " + a.Who
		if !a.Expires.IsZero() {
			c.wake(a.Expires)
			note += " until " + a.Expires.UTC().Format(time.RFC3339)
		}
		notes = append(notes, note)
	}
	for _, a := range ws.Expired {
		notes = append(notes, fmt.Sprintf("that of %s expired %s", a.Who, a.Expires.UTC().Format(time.RFC3339)))
	}
	if len(notes) > 0 {
		text += ": " + strings.Join(notes, "; ")
	}
	c.wait("%s", text)
	return false
}
