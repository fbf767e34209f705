package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/fleetreport"
)

// shownRollouts is how many of the journal's rollouts the text names.
const shownRollouts = 5

// ageClass names how old a snapshot is.
func ageClass(p *fleetreport.Proven) string {
	if p == nil {
		return "never"
	}
	switch d := p.AgeSeconds / 86400; {
	case d < 1:
		return "under a day"
	case d < 7:
		return "under a week"
	case d < 31:
		return "under a month"
	}
	return "older"
}

var ageClasses = []string{"under a day", "under a week", "under a month", "older", "never"}

func fleetSnapshots(pg *page, d *fleetreport.ReportDocument) {
	section(pg, "Last snapshot that was proven, by age")
	groups := map[string][]string{}
	for _, g := range groupTargets(d, func(t *fleetreport.Target) string {
		if t.Instance == "" {
			return ""
		}
		return ageClass(t.Snapshot)
	}) {
		groups[g.key] = g.names
	}
	for _, c := range ageClasses {
		if list := groups[c]; len(list) > 0 {
			style := ""
			if c == "never" || c == "older" {
				style = yellow
			}
			pg.item(2, 17, style, c, fmt.Sprintf("%d: %s", len(list), names(list)))
		}
	}
	pg.item(2, 2, dim, "", "As the journal tells; which of them still lie there: ncfleet snapshot list.")
}

// changeText is one change for people.
func changeText(c fleetreport.Change) string {
	return c.What + " " + c.Left + " → " + c.Now
}

func fleetDrift(pg *page, d *fleetreport.ReportDocument) {
	section(pg, "Changed since the last rollout that upgraded it")
	none, known := 0, 0
	groups := groupTargets(d, func(t *fleetreport.Target) string {
		if t.Drift == nil {
			return ""
		}
		known++
		if len(t.Drift.Changes) == 0 {
			none++
			return ""
		}
		var list []string
		for _, c := range t.Drift.Changes {
			list = append(list, changeText(c))
		}
		return strings.Join(list, "; ")
	})
	if none > 0 {
		pg.item(2, 17, "", "nothing", plural(none, "instance"))
	}
	if n := d.Counts.Seen - known; n > 0 {
		pg.item(2, 17, "", "never upgraded", plural(n, "instance"))
	}
	for _, g := range groups {
		pg.item(2, 4, yellow, "!", names(g.names)+count(g.names)+": "+g.key)
	}
}

// closedWords says how long a closed time is expected to be, and by what.
func closedWords(e *fleetreport.Expected) string {
	if e == nil {
		return "unknown"
	}
	if e.Source == fleetreport.FromHistory && e.Samples == 1 {
		return tenths(e.MedianSeconds) + " (once)"
	}
	if e.Source == fleetreport.FromHistory {
		return fmt.Sprintf("%s, at most %s (%s)", tenths(e.MedianSeconds), tenths(e.MaxSeconds), plural(e.Samples, "time"))
	}
	return "about " + tenths(e.MedianSeconds) + " (estimated from sizes)"
}

// tenths is a span of seconds; whole ones from ten seconds on.
func tenths(s float64) string {
	return span(time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond))
}

func fleetClosed(pg *page, d *fleetreport.ReportDocument) {
	section(pg, "Expected closed time, by each instance's own history")
	groups := groupTargets(d, func(t *fleetreport.Target) string {
		if t.Instance == "" {
			return ""
		}
		rank, words := closedRange(t.Closed)
		return fmt.Sprintf("%d\n%s", rank, words)
	})
	slices.SortFunc(groups, func(a, b targetGroup) int { return strings.Compare(a.key, b.key) })
	for _, g := range groups {
		_, words, _ := strings.Cut(g.key, "\n")
		pg.item(2, 28, "", words, fmt.Sprintf("%d: %s", len(g.names), names(g.names)))
	}
}

// closedSteps are the bounds by which expected closed times are grouped, in seconds.
var closedSteps = []float64{10, 30, 60, 120, 300, 600, 1800}

// closedRange groups an expected closed time; the greatest seen counts. rank,
// one digit, orders the groups.
func closedRange(e *fleetreport.Expected) (rank int, words string) {
	if e == nil {
		return len(closedSteps) + 1, "unknown"
	}
	by := "measured"
	if e.Source == fleetreport.FromEstimate {
		by = "estimated"
	}
	for i, s := range closedSteps {
		if e.MaxSeconds <= s {
			return i, "up to " + secondsSpan(int(s)) + ", " + by
		}
	}
	return len(closedSteps), "longer, " + by
}

func fleetRollouts(pg *page, d *fleetreport.ReportDocument) {
	if len(d.Rollouts) == 0 {
		return
	}
	section(pg, "Rollouts of this journal")
	for i, r := range d.Rollouts {
		if i == shownRollouts {
			pg.line("  and %s before: ncfleet status --all", plural(len(d.Rollouts)-i, "rollout"))
			break
		}
		began := "not begun"
		if r.Began != nil {
			began = r.Began.UTC().Format("2006-01-02")
		}
		text := fmt.Sprintf("%s %s: %d upgraded, %d rolled back, %d failed, %d untouched", r.Name, r.Verdict, r.Upgraded, r.RolledBack, r.Failed, r.Untouched)
		if r.MaxSeconds > 0 {
			text += fmt.Sprintf("; users out %s, at most %s", tenths(r.MedianSeconds), tenths(r.MaxSeconds))
		}
		pg.item(2, 14, "", began, text)
	}
}
