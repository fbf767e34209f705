package plan

import (
	"fmt"
	"time"
)

// checkWindows blocks a target for which no opening would ever last: a
// rollout would wait for it for ever.
func (l *look) checkWindows(p *Plan, openings *Calendar) {
	var t Target
	t.ClosedSeconds, t.OnlineSeconds = l.estimate()
	need := p.Policy.Room(&t, false)
	if _, _, found := openings.Next(p.Made, need); found {
		return
	}
	longest := openings.Longest(p.Made)
	if longest == 0 {
		l.block(problem("window_never_opens", "no window of the rollout ever opens",
			"none of its windows opens within two years outside of the blackouts", "change the window's days, or shorten the blackout"))
		return
	}
	what := fmt.Sprintf("it is expected to need %s (%s of work with users in, %s with users out", Roughly(need),
		Roughly(time.Duration(t.OnlineSeconds)*time.Second), Roughly(time.Duration(t.ClosedSeconds)*time.Second))
	if p.Policy.Reserve > 0 {
		what += ", " + Roughly(p.Policy.Reserve) + " of window_reserve"
	}
	l.block(problem("window_too_short", "it cannot end inside any window",
		fmt.Sprintf("%s), and the longest opening in the coming year lasts %s", what, Roughly(longest)),
		"give the rollout a longer window; or let targets start although they are not expected to end in it: window_cutoff = \"none\""))
}

// Roughly is a duration for people: in minutes, rounded up, or in seconds below
// one.
func Roughly(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%d s", int(d.Round(time.Second)/time.Second))
	}
	m := int((d + time.Minute - 1) / time.Minute)
	switch {
	case m < 60:
		return fmt.Sprintf("%d min", m)
	case m%60 == 0:
		return fmt.Sprintf("%d h", m/60)
	}
	return fmt.Sprintf("%d h %d min", m/60, m%60)
}
