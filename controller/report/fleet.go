package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/fleetreport"
)

// shownUnreachable is of how many hosts without facts the text gives the
// reason; all of them are named.
const shownUnreachable = 8

// Fleet writes the report on a fleet for people.
func Fleet(w io.Writer, d *fleetreport.ReportDocument, o Options) error {
	pg := newPage(w, o)
	fleetHead(pg, d)
	fleetVersions(pg, d)
	fleetLifetimes(pg, d)
	fleetReady(pg, d)
	fleetSnapshots(pg, d)
	fleetDrift(pg, d)
	fleetClosed(pg, d)
	fleetRollouts(pg, d)
	if len(d.Problems) > 0 {
		section(pg, "Not found out")
		for _, p := range d.Problems {
			pg.item(2, 4, yellow, "!", p)
		}
	}
	return pg.err
}

func section(pg *page, title string) {
	pg.line("")
	pg.line("%s", pg.paint(bold, title))
}

func fleetHead(pg *page, d *fleetreport.ReportDocument) {
	c := d.Counts
	pg.line("%s", pg.paint(bold, fmt.Sprintf("Fleet of %s with %s, %s", plural(c.Hosts, "host"), plural(c.Instances, "instance"), minute(d.Made))))
	if d.FactsFrom != nil {
		text := minute(*d.FactsFrom)
		if !d.FactsTo.Equal(*d.FactsFrom) && minute(*d.FactsTo) != text {
			text += " to " + minute(*d.FactsTo)
		}
		pg.item(2, 17, "", "facts of", text)
	}
	pg.item(2, 17, "", "goal", goal(d))
	var more []string
	for i, u := range d.Unreachable {
		if i < shownUnreachable {
			pg.item(2, 17, red, "unreachable", u.Host+": "+u.Reason)
			continue
		}
		more = append(more, u.Host)
	}
	if len(more) > 0 {
		pg.item(2, 17, red, "unreachable", fmt.Sprintf("%d more: %s", len(more), names(more)))
	}
	for _, g := range groupTargets(d, func(t *fleetreport.Target) string {
		switch t.State {
		case fleetreport.TargetClosed, fleetreport.TargetPending, fleetreport.TargetMissing:
			return string(t.State) + "\n" + t.Why
		case fleetreport.TargetOpen, fleetreport.TargetUnreachable, fleetreport.TargetHost:
		}
		return ""
	}) {
		state, why, _ := strings.Cut(g.key, "\n")
		pg.item(2, 17, red, state, names(g.names)+": "+why)
	}
}

// goal says for people what readiness is told for.
func goal(d *fleetreport.ReportDocument) string {
	if d.Goal == 0 {
		return "the next major of each instance"
	}
	return fmt.Sprintf("Nextcloud %d", d.Goal)
}

// arrived names those that have no way before them.
func arrived(d *fleetreport.ReportDocument) string {
	if d.Goal == 0 {
		return "at the newest"
	}
	return "there already"
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// targetGroup is the targets of which the same can be said.
type targetGroup struct {
	key   string
	names []string
}

// groupTargets groups targets by what of says of each, in the order of the
// first; those of which it says nothing are left out.
func groupTargets(d *fleetreport.ReportDocument, of func(*fleetreport.Target) string) []targetGroup {
	var list []targetGroup
	at := map[string]int{}
	for i := range d.Targets {
		key := of(&d.Targets[i])
		if key == "" {
			continue
		}
		n, ok := at[key]
		if !ok {
			n = len(list)
			at[key] = n
			list = append(list, targetGroup{key: key})
		}
		list[n].names = append(list[n].names, d.Targets[i].Name)
	}
	return list
}

func fleetVersions(pg *page, d *fleetreport.ReportDocument) {
	section(pg, "Versions")
	most := 0
	for _, v := range d.Versions {
		most = max(most, len(v.Targets))
	}
	for _, v := range d.Versions {
		text := fmt.Sprintf("%4d  %-20s", len(v.Targets), bar(len(v.Targets), most, 20))
		switch {
		case v.Newest == "":
			text += "  this major is not in the table"
		case v.Behind:
			text += "  behind " + v.Newest
		default:
			text += "  newest of its major"
		}
		pg.line("  %-10s %s", v.Version, text)
	}
	if n := d.Counts.Instances - d.Counts.Seen; n > 0 {
		pg.line("  %-10s %4d", "unknown", n)
	}
}

// bar draws n of most in at most width blocks; what is not none is at least one.
func bar(n, most, width int) string {
	if n == 0 || most == 0 {
		return ""
	}
	return strings.Repeat("█", max(1, n*width/most))
}

// lifeWords say how a product stands, and in which style.
func lifeWords(l *fleetreport.Lifetime) (word, style, text string) {
	switch l.State {
	case fleetreport.LifeEnded:
		last := l.Until
		if l.Longer != "" {
			last = l.Longer + " (" + l.Programme + ")"
		}
		return "ENDED", red, "ended " + last + ", " + days(-l.DaysLeft) + " ago"
	case fleetreport.LifeSoon:
		return "soon", yellow, "ends " + l.Until + ", in " + days(l.DaysLeft)
	case fleetreport.LifeLonger:
		return "longer", yellow, "ended " + l.Until + "; " + l.Programme + " until " + l.Longer
	case fleetreport.LifeUnknown:
		return "unknown", dim, "no end of life is known"
	case fleetreport.LifeSupported:
		return "ok", green, "until " + l.Until
	}
	return string(l.State), "", ""
}

// days is a number of days for people; of many, months and years.
func days(n int) string {
	switch {
	case n < 60:
		return plural(n, "day")
	case n < 730:
		return plural(n/30, "month")
	}
	return plural(n/365, "year")
}

func fleetLifetimes(pg *page, d *fleetreport.ReportDocument) {
	section(pg, "End of life, by the makers' dates (table of "+d.LifetimesOf+")")
	for i := range d.Lifetimes {
		l := &d.Lifetimes[i]
		word, style, text := lifeWords(l)
		pg.item(2, 32, style, fmt.Sprintf("%-8s %s", word, l.Product+" "+l.Cycle), fmt.Sprintf("%s; %s", text, plural(len(l.Targets), "target")))
	}
	pg.item(2, 2, dim, "", "A distribution may care longer for its own packages of PHP and databases.")
}

func fleetReady(pg *page, d *fleetreport.ReportDocument) {
	c := d.Counts
	section(pg, fmt.Sprintf("Ready for %s: %d of %d", goal(d), c.Ready, c.Seen))
	if c.Newest > 0 {
		pg.item(2, 17, "", arrived(d), plural(c.Newest, "instance"))
	}
	for _, g := range obstacles(d) {
		pg.item(2, 4, red, "✗", g.key+": "+names(g.names)+count(g.names))
	}
	if len(d.HeldBy) > 0 {
		pg.line("  held back by apps, the most first:")
	}
	for _, h := range d.HeldBy {
		text := plural(len(h.Targets), "instance")
		if n := len(h.Alone); n > 0 {
			text += fmt.Sprintf(", %d of them by it alone", n)
		}
		pg.item(4, 20, yellow, h.App, fmt.Sprintf("not for %d: %s: %s", h.Major, text, names(h.Targets)))
	}
	if len(d.HeldBy) > 0 && !d.Catalogue {
		pg.item(4, 4, dim, "", "By what is installed: no catalogue of newer releases was read; a rollout may name one, with apps { catalogue = … }.")
	}
	for _, g := range notes(d) {
		pg.item(2, 4, yellow, "!", g.key+": "+names(g.names)+count(g.names))
	}
	pg.item(2, 2, dim, "", "By versions alone; room, rights and snapshots are the plan's to judge: ncfleet plan, ncfleet doctor.")
}

// count tells how many names there are, where they are folded.
func count(list []string) string {
	if len(list) < 3 {
		return ""
	}
	return fmt.Sprintf(" (%d)", len(list))
}

// obstacles groups what is in the way of instances, apps left out.
func obstacles(d *fleetreport.ReportDocument) []targetGroup {
	return groupTexts(d, func(n *fleetreport.Next) []fleetreport.Obstacle { return n.Obstacles })
}

func notes(d *fleetreport.ReportDocument) []targetGroup {
	return groupTexts(d, func(n *fleetreport.Next) []fleetreport.Obstacle { return n.Notes })
}

func groupTexts(d *fleetreport.ReportDocument, of func(*fleetreport.Next) []fleetreport.Obstacle) []targetGroup {
	var list []targetGroup
	at := map[string]int{}
	for i := range d.Targets {
		t := &d.Targets[i]
		if t.Next == nil {
			continue
		}
		for _, o := range of(t.Next) {
			if o.App != "" {
				continue
			}
			n, ok := at[o.Text]
			if !ok {
				n = len(list)
				at[o.Text] = n
				list = append(list, targetGroup{key: o.Text})
			}
			list[n].names = append(list[n].names, t.Name)
		}
	}
	return list
}
