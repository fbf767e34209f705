package rollout

import (
	"fmt"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// opening is when targets may start, as of now.
type opening struct {
	open bool
	end  time.Time // zero: it does not end
}

// shutOut is what the windows keep from starting, all of it together.
type shutOut struct {
	names       []string
	least, most time.Duration // that one of them needs
}

// roomFor reports whether a target may start now, or close, and is expected to
// end before the opening does. Others that have to close before it count too.
func (c *chooser) roomFor(target *plan.Target, closing bool) bool {
	need, before := c.Plan.Policy.Room(target, closing), time.Duration(0)
	if !closing {
		before = c.queue()
	}
	if o := c.present(); o.open && (o.end.IsZero() || !c.now.Add(before+need).After(o.end)) {
		return true
	}
	s := &c.shut
	if len(s.names) == 0 || need < s.least {
		s.least = need
	}
	s.most = max(s.most, need)
	s.names = append(s.names, target.Name)
	return false
}

func (c *chooser) present() opening {
	if c.opening == nil {
		end, open := c.calendar.Until(c.now)
		c.opening = &opening{open, end}
	}
	return *c.opening
}

// queue is how long those that have begun and are not open again will keep
// their users out, as many at once as may be.
func (c *chooser) queue() time.Duration {
	if !c.Plan.Policy.CutOff {
		return 0
	}
	return time.Duration(c.before/c.Plan.Policy.MaxUnavailable) * time.Second
}

// tellShut says what the windows keep from starting, and when it may.
func (c *chooser) tellShut() {
	if len(c.shut.names) == 0 {
		return
	}
	next, _, found := c.calendar.Next(c.now, c.shut.least)
	switch {
	case !found:
		c.holding = true // time alone will not help
	case next.After(c.now):
		c.wake(next)
	}
	c.wait("%s", c.shutReason(next, found))
}

func (c *chooser) shutReason(next time.Time, found bool) string {
	when := next.Format("Mon 2006-01-02 15:04 MST")
	if !found {
		when = "two years from now at least"
	}
	o := c.present()
	if b := c.calendar.Blackout(c.now); b != nil {
		return fmt.Sprintf("no target starts before %s: blackout from %s to %s, %s", when, b.From, b.To, b.Reason)
	}
	if !o.open {
		return "the window is closed until " + when
	}
	who, need := c.shut.names[0]+" needs", "about "+plan.Roughly(c.shut.least)
	if n := len(c.shut.names); n > 1 {
		who = fmt.Sprintf("%d targets need", n)
		if most := plan.Roughly(c.shut.most); "about "+most != need {
			need += " to " + most
		}
	}
	end := o.end.Format("15:04 MST") // not "in 8 min": what is said must not change while it holds
	if !next.After(c.now) {
		return fmt.Sprintf("%s %s, and others go before; the window ends at %s", who, need, end)
	}
	return fmt.Sprintf("%s %s, the window ends at %s; the next one that is long enough opens %s", who, need, end, when)
}
