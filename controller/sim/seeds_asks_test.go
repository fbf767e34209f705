package sim_test

import (
	"fmt"
	"math/rand"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// drawAsks draws what a rollout asks people and calendars for. It has its own
// source of chance, so that what else a seed draws does not depend on it.
func (s *shape) drawAsks(seed int64) {
	rnd := rand.New(rand.NewSource(seed ^ 0x61736b73))
	for w := range s.approve {
		s.approvals, s.expires = append(s.approvals, 0), append(s.expires, 0)
		if s.approve[w] {
			s.approvals[w] = 1 + rnd.Intn(2)
			s.expires[w] = []time.Duration{0, 5 * time.Minute, 20 * time.Minute}[rnd.Intn(3)]
		}
	}
	switch {
	case s.policy.Window != nil:
		s.policy.CutOff = rnd.Intn(2) == 0
		s.policy.Reserve = time.Duration(rnd.Intn(3)) * time.Minute
	case rnd.Intn(25) == 0:
		day := epoch.UTC().Format(time.DateOnly)
		s.policy.Blackouts = []plan.Blackout{{From: day, To: day, Zone: "UTC", Reason: "audit"}}
	}
}

// approvers are two people who let waves start, again and again until enough
// of their words count. One of them has an old plan on the desk at times.
func (w *world) approvers() {
	people := []string{"anna@desk", "ben@desk"}
	for n := 0; w.sleep(3*time.Minute + w.jitter("approvers", fmt.Sprint(n))); n++ {
		w.mu.Lock()
		for _, b := range w.everyBook() {
			for i := range w.plan.Waves {
				name := w.plan.Waves[i].Name
				if !w.plan.Waves[i].Approve || b.ledger.ended || b.ledger.waveBegun(i) || b.ledger.approvedAt(i, time.Now()) {
					continue
				}
				e := rollout.Event{Kind: rollout.EventApproved, Wave: name, Digest: b.ledger.digest}
				if w.hash("old plan", name, fmt.Sprint(n))%8 == 0 {
					e.Digest = "0ld"
				}
				b.askAs(people[w.hash("who", name, fmt.Sprint(n))%2], e)
			}
		}
		w.mu.Unlock()
	}
}

// given is one person's approval as the events have it.
type given struct{ at, until time.Time }

// approveWave notes an approval. Each person has one word, the newest.
func (l *ledger) approveWave(w int, e rollout.Event) {
	if e.Digest != "" && e.Digest != l.digest {
		l.broken("an approval of another plan does not count", "%s approves %s", e.Who, e.Digest)
	}
	g := given{at: e.At}
	if d := l.w.plan.Waves[w].ApproveExpires; d > 0 {
		g.until = e.At.Add(d)
	}
	if l.waves[w].given == nil {
		l.waves[w].given = map[string]given{}
	}
	l.waves[w].given[e.Who] = g
}

// approvedAt reports whether enough people's words count at that instant.
func (l *ledger) approvedAt(w int, at time.Time) bool {
	n := 0
	for _, g := range l.waves[w].given {
		if g.until.IsZero() || at.Before(g.until) {
			n++
		}
	}
	return n >= max(l.w.plan.Waves[w].Approvals, 1)
}

func (l *ledger) waveBegun(w int) bool {
	for _, a := range l.order {
		if a.wave == w && a.anyBegun() {
			return true
		}
	}
	return false
}

// mayStartWave checks the approvals of a wave whose first target begins. The
// start is stamped a moment after it was decided.
func (l *ledger) mayStartWave(e rollout.Event, w int) {
	if !l.w.plan.Waves[w].Approve || l.waveBegun(w) {
		return
	}
	if !l.approvedAt(w, e.At) && !l.approvedAt(w, e.At.Add(-10*time.Second)) {
		l.broken("no wave without its approvals", "%s begins, given: %v", e.Step, l.waves[w].given)
	}
}

// expired checks that an approval is only called expired when it is.
func (l *ledger) expired(e rollout.Event) {
	for w := range l.waves {
		if l.w.plan.Waves[w].Name != e.Wave {
			continue
		}
		if g, ok := l.waves[w].given[e.Who]; !ok || g.until.IsZero() || e.At.Before(g.until) || l.waveBegun(w) {
			l.broken("an approval does not expire before its time", "%s of %s at %s: %v", e.Wave, e.Who, e.At, g)
		}
		delete(l.waves[w].given, e.Who)
	}
}

// waits checks that a wait for a window is told when nothing else is under way.
func (l *ledger) waits() {
	for _, a := range l.order {
		if a.flight != "" {
			l.broken("a wait for a window is told when nothing is under way", "%s runs", a.flight)
		}
	}
	if why := l.stopped(); why != "" {
		l.broken("a stopped rollout does not wait for a window", "%s", why)
	}
	l.w.count("waited for a window")
}

// inWindow checks that targets may start then: not on a blackout date, inside
// the window, which closes at To and opens at From, and, with a cut-off, so
// that what is expected to be done by then is done before it closes.
func (l *ledger) inWindow(e rollout.Event, a *account, closing bool) {
	p := l.w.plan.Policy
	day := func(at time.Time) string { return at.UTC().Format(time.DateOnly) }
	for _, b := range p.Blackouts {
		if day(e.At.Add(-10*time.Second)) >= b.From && day(e.At) <= b.To {
			l.broken("nothing begins on a blackout date", "%s begins at %s", e.Step, e.At)
		}
	}
	if p.Window == nil {
		return
	}
	// The start is stamped a moment after it was decided.
	if left, open := l.left(e.At); !open {
		if _, open = l.left(e.At.Add(-10 * time.Second)); !open {
			l.broken("nothing begins outside the window", "%s begins at %s", e.Step, e.At)
		}
	} else if need := l.needs(a, closing); left+10*time.Second < need {
		l.broken("nothing begins that cannot end in the window", "%s begins at %s, needs %s of %s", e.Step, e.At, need, left)
	}
}

func (l *ledger) needs(a *account, closing bool) time.Duration {
	p := l.w.plan.Policy
	if !p.CutOff {
		return 0
	}
	need := p.Reserve + time.Duration(a.plan.ClosedSeconds)*time.Second
	if !closing {
		need += time.Duration(a.plan.OnlineSeconds) * time.Second
	}
	return need
}

// left is how long the window is still open.
func (l *ledger) left(at time.Time) (time.Duration, bool) {
	at = at.UTC()
	midnight := at.Truncate(24 * time.Hour)
	of := func(clock string) time.Time {
		t, err := time.Parse("15:04", clock)
		if err != nil {
			panic(err)
		}
		return midnight.Add(time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute)
	}
	to, from := of(l.w.plan.Policy.Window.To), of(l.w.plan.Policy.Window.From)
	switch {
	case at.Before(to):
		return to.Sub(at), true
	case at.Before(from):
		return 0, false
	}
	return to.Add(24 * time.Hour).Sub(at), true
}
