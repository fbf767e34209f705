package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// openTimes writes when targets may start.
func openTimes(pg *page, o *plan.Policy) {
	for _, w := range o.AllWindows() {
		days := "every day"
		if len(w.Days) > 0 {
			days = strings.Join(w.Days, ", ")
		}
		pg.item(2, 17, "", "window", fmt.Sprintf("%s %s–%s %s", days, w.From, w.To, w.Zone))
	}
	for _, b := range o.Blackouts {
		days := b.From
		if b.To != b.From {
			days += " to " + b.To
		}
		pg.item(2, 17, "", "blackout", fmt.Sprintf("%s %s: %s", days, b.Zone, b.Reason))
	}
	if o.CutOff {
		text := "nothing starts that is not expected to end before the window does"
		if o.Reserve > 0 {
			text += ", with " + span(o.Reserve) + " left for a way back"
		}
		pg.item(2, 17, "", "cut-off", text)
	}
}

// asks says whose approval a wave needs.
func asks(w *plan.Wave) string {
	text := "starts when an operator approves"
	if n := w.Needs(); n > 1 {
		text = fmt.Sprintf("starts when %d people approve", n)
	}
	if w.ApproveExpires > 0 {
		text += " (counts for " + span(w.ApproveExpires) + ")"
	}
	return text
}

// approvals writes who lets a wave start, and whose word does not count any
// more.
func approvals(pg *page, s *rollout.State, i int) {
	ws, w := &s.Waves[i], &s.Plan.Waves[i]
	for k, a := range ws.Approvals {
		text := fmt.Sprintf("by %s at %s", a.Who, stamp(a.At))
		if w.Needs() > 1 {
			text += fmt.Sprintf(", %d of %d", k+1, w.Needs())
		}
		if !a.Expires.IsZero() && !s.WaveBegun(i) {
			text += ", counts until " + stamp(a.Expires)
		}
		pg.item(2, 17, "", "approved", text)
	}
	for _, a := range ws.Expired {
		pg.item(2, 17, yellow, "approval expired", fmt.Sprintf("that of %s, given %s: it counted until %s", a.Who, stamp(a.At), stamp(a.Expires)))
	}
	if left := w.Needs() - len(ws.Approvals); left > 0 && !s.WaveBegun(i) && s.Ended == "" {
		pg.item(2, 17, yellow, "needs", fmt.Sprintf("approval by %s", people(left, len(ws.Approvals))))
	}
}

func people(n, given int) string {
	switch {
	case n == 1 && given > 0:
		return "one more person"
	case n == 1:
		return "one person"
	case given > 0:
		return fmt.Sprintf("%d more people", n)
	}
	return fmt.Sprintf("%d people", n)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }
