package rollout

import (
	"fmt"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// Next decides what to do at the instant now. It changes nothing: the caller
// journals each event of the decision, applies it, and asks again.
func (s *State) Next(now time.Time) Decision {
	if s.Ended != "" {
		return Decision{Verdict: s.Ended}
	}
	c := &chooser{State: s, now: now, hosts: map[string]bool{}, spread: map[string]int{}}
	if c.expireApprovals(); len(c.d.Record) > 0 {
		return c.d
	}
	if c.expireHolds(); len(c.d.Record) > 0 {
		return c.d
	}
	c.survey()
	c.continueTargets()
	c.advanceWave()
	c.tellShut()
	if len(c.d.Start) == 0 && c.inFlight == 0 {
		c.end()
	}
	return c.d
}

// chooser is one call of Next: the decision so far and what it already uses up.
type chooser struct {
	*State
	now      time.Time
	d        Decision
	inFlight int             // steps running
	out      int             // targets out of service
	ahead    int             // targets prepared or being prepared
	hosts    map[string]bool // hosts with a begun, unsettled target
	spread   map[string]int  // out targets by label value
	holding  bool            // a target waits for people
	before   int             // seconds of closed time that begun targets have before them
	opening  *opening        // once asked
	shut     shutOut
}

func (c *chooser) wake(t time.Time) {
	if c.d.Wake.IsZero() || t.Before(c.d.Wake) {
		c.d.Wake = t
	}
}

func (c *chooser) wait(format string, a ...any) {
	c.d.Waits = append(c.d.Waits, fmt.Sprintf(format, a...))
}

// each calls f for every target in plan order.
func (c *chooser) each(f func(m member)) {
	for _, wave := range c.waves {
		for _, m := range wave {
			f(m)
		}
	}
}

func (c *chooser) expireHolds() {
	c.each(func(m member) {
		t := m.state
		if t.Status != Held {
			return
		}
		until := t.HeldAt.Add(c.Plan.Policy.HoldTimeout)
		if !c.now.Before(until) {
			c.d.Record = append(c.d.Record, Event{At: c.now, Kind: EventHoldExpired, Target: m.plan.Name,
				Detail: "nobody decided within " + spoken(c.Plan.Policy.HoldTimeout)})
			return
		}
		c.holding = true
		c.wake(until)
		c.wait("%s is closed and held: %s; approve or roll it back before %s", m.plan.Name, t.Reason, until.UTC().Format(time.RFC3339))
	})
}

// survey counts what is used up before anything more is started.
func (c *chooser) survey() {
	c.each(func(m member) {
		t := m.state
		if t.Step != "" {
			c.inFlight++
		}
		if t.Status != Waiting && !t.Settled() {
			c.hosts[m.plan.Host] = true
			if t.ClosedAt.IsZero() {
				c.ahead++
			}
			if t.OpenedAt.IsZero() {
				c.before += m.plan.ClosedSeconds
			}
		}
		if m.isOut() {
			c.takeShare(m.plan)
		}
	})
	for w := range c.Waves {
		c.inFlight += len(c.Waves[w].GateBegun)
	}
}

func (c *chooser) takeShare(target *plan.Target) {
	c.out++
	c.spread[target.Spread]++
}

// continueTargets starts the next step of every begun target.
func (c *chooser) continueTargets() {
	c.each(func(m member) {
		if m.state.Step != "" {
			return
		}
		switch m.state.Status {
		case RollingBack:
			if u, ok := m.nextUndo(); ok {
				c.d.Start = append(c.d.Start, u.ID)
			}
		case Running:
			c.forward(m)
		case Waiting, Held, Upgraded, RolledBack, Untouched, Failed:
		}
	})
}

func (c *chooser) forward(m member) {
	step := &m.plan.Steps[m.state.Next]
	if step.Phase == plan.PhaseClosed && m.state.ClosedAt.IsZero() {
		if !c.mayClose(m.plan) {
			return
		}
		c.takeShare(m.plan)
	}
	if step.Changes && !m.snapshotsRecorded() {
		c.wait("%s may not start: the snapshot of %s is not in the journal", step.ID, m.plan.Name)
		return
	}
	c.d.Start = append(c.d.Start, step.ID)
}

// mayClose decides whether one more target may go out of service.
func (c *chooser) mayClose(target *plan.Target) bool {
	if c.stopped() || !c.roomFor(target, true) {
		return false
	}
	if c.out >= c.Plan.Policy.MaxUnavailable {
		c.wait("%s waits: %d of at most %d targets are out of service", target.Name, c.out, c.Plan.Policy.MaxUnavailable)
		return false
	}
	if m := c.Plan.Policy.SpreadMax; m > 0 && c.spread[target.Spread] >= m {
		c.wait("%s waits: %d target(s) with %s %q are out of service", target.Name, c.spread[target.Spread], c.Plan.Policy.SpreadLabel, target.Spread)
		return false
	}
	return true
}

// stopped reports whether nothing new may start.
func (c *chooser) stopped() bool {
	return c.Paused || c.Aborted || c.HaltReason != ""
}

// advanceWave works on the first wave that has not passed.
func (c *chooser) advanceWave() {
	w := 0
	for w < len(c.Waves) && c.wavePassed(w) {
		w++
	}
	if w == len(c.Waves) {
		return
	}
	if c.Waves[w].SettledAt.IsZero() {
		c.startTargets(w)
		return
	}
	c.gate(w)
}

// wavePassed reports whether the next wave may start, as far as this one goes.
func (c *chooser) wavePassed(w int) bool {
	ws := &c.Waves[w]
	return !ws.SettledAt.IsZero() && ws.Passed && !c.now.Before(ws.SettledAt.Add(c.Plan.Waves[w].Bake))
}

func (c *chooser) startTargets(w int) {
	if c.stopped() || !c.approvedEnough(w) {
		return
	}
	shut := map[string]bool{} // hosts whose next target has no room: its others come after it
	for _, m := range c.waves[w] {
		if m.state.Status != Waiting || c.hosts[m.plan.Host] || shut[m.plan.Host] {
			continue
		}
		if c.ahead >= max(c.Plan.Policy.Ahead, 1) {
			return
		}
		if !c.roomFor(m.plan, false) {
			shut[m.plan.Host] = true
			continue
		}
		c.ahead++
		c.before += m.plan.ClosedSeconds
		c.hosts[m.plan.Host] = true
		c.d.Start = append(c.d.Start, m.plan.Steps[0].ID)
	}
}

// gateLimit is how many targets of a wave are looked at from outside at once.
const gateLimit = 16

// gate starts the looks from outside once the bake time is over.
func (c *chooser) gate(w int) {
	until := c.Waves[w].SettledAt.Add(c.Plan.Waves[w].Bake)
	if c.now.Before(until) {
		if !c.stopped() {
			c.wake(until)
			c.wait("wave %s bakes until %s", c.Plan.Waves[w].Name, until.UTC().Format(time.RFC3339))
		}
		return
	}
	if c.stopped() {
		return
	}
	running := len(c.Waves[w].GateBegun)
	for _, g := range c.Plan.Waves[w].Gate {
		if running >= gateLimit {
			return
		}
		if c.Targets[g.Target].Status != Upgraded || c.Waves[w].GateBegun[g.ID] || c.Waves[w].GateDone[g.ID] {
			continue
		}
		c.d.Start = append(c.d.Start, g.ID)
		running++
	}
}

// end decides the verdict when nothing runs and nothing can be started.
func (c *chooser) end() {
	if len(c.shut.names) > 0 && !c.WindowWait {
		next, _, found := c.calendar.Next(c.now, c.shut.least)
		c.d = Decision{Record: []Event{{At: c.now, Kind: EventWindowWait, Detail: c.shutReason(next, found)}}}
		return
	}
	var v Verdict
	reason := c.HaltReason
	switch {
	case c.holding && c.AnyHeld():
		return
	case c.Aborted:
		v = Aborted
	case c.HaltReason != "":
		v = Halted
	case c.allPassed():
		v = Succeeded
		if n := c.Count(); n.Untouched > 0 || n.Failed > 0 {
			v = Incomplete
		}
	case c.Paused:
		c.wait("the rollout is paused; nothing new starts before it is resumed")
		return
	case c.holding, !c.d.Wake.IsZero():
		return
	default:
		c.d = Decision{Record: []Event{{At: c.now, Kind: EventHalted,
			Detail: "nothing more can start: failed targets use up what may be out of service"}}}
		return
	}
	e := Event{At: c.now, Kind: EventEnded, Detail: string(v)}
	if reason != "" {
		e.Evidence = map[string]string{"reason": reason}
	}
	c.d = Decision{Record: []Event{e}}
}

// AnyHeld reports whether a closed target waits for a decision.
func (s *State) AnyHeld() bool {
	for _, t := range s.Targets {
		if t.Status == Held {
			return true
		}
	}
	return false
}

func (c *chooser) allPassed() bool {
	for w := range c.Waves {
		if !c.wavePassed(w) {
			return false
		}
	}
	return true
}

// spoken renders a duration as people write it: "15m", not "15m0s".
func spoken(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
