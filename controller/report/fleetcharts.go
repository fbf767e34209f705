package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/ncfleet/ncfleet/controller/fleetreport"
)

// strip is one row of a chart: rectangles and lines on a bed that is 100 wide.
// Its numbers stand beside it in the table, so it is drawn for the eye alone.
type strip struct {
	Marks []mark
	Lines []tick
}

type mark struct {
	Class    string
	X, Width string
}

type tick struct {
	Class string
	X     string
}

type htmlYear struct{ X, Label string }

// at is a place on a strip, short.
func at(x float64) string { return strconv.FormatFloat(math.Round(x*100)/100, 'f', -1, 64) }

// add draws from one place to another; what lies outside the bed is cut off.
func (s *strip) add(class string, from, to float64) {
	from, to = max(from, 0), min(to, 100)
	if to > from {
		s.Marks = append(s.Marks, mark{class, at(from), at(to - from)})
	}
}

// part is a share of a whole in percent; something of it can always be seen.
func part(n, most float64) float64 {
	if n <= 0 || most <= 0 {
		return 0
	}
	return max(0.7, n/most*100)
}

// bars draws one bar per row, against the greatest.
func bars(rows []htmlRow, class func(htmlRow) string) []htmlRow {
	most := 0
	for _, r := range rows {
		most = max(most, r.Count)
	}
	for i := range rows {
		rows[i].Strip.add(class(rows[i]), 0, part(float64(rows[i].Count), float64(most)))
	}
	return rows
}

func versionRows(d *fleetreport.ReportDocument) []htmlRow {
	ended := map[string]bool{}
	var rows []htmlRow
	for _, l := range d.Lifetimes {
		if l.Product == "Nextcloud" && l.State == fleetreport.LifeEnded {
			ended[l.Cycle] = true
		}
	}
	classes := map[string]string{}
	for _, v := range d.Versions {
		r := htmlRow{Name: v.Version, Count: len(v.Targets), Note: "not in the table"}
		classes[r.Name] = "main"
		switch {
		case v.Behind:
			r.Note = "no, that is " + v.Newest
		case v.Newest != "":
			r.Note = "yes"
		}
		if ended[fmt.Sprint(v.Major)] {
			r.Note += "; past its end of life"
			classes[r.Name] = "bad"
		}
		rows = append(rows, r)
	}
	if n := d.Counts.Instances - d.Counts.Seen; n > 0 {
		rows = append(rows, htmlRow{Name: "unknown", Count: n})
		classes["unknown"] = "none"
	}
	return bars(rows, func(r htmlRow) string { return classes[r.Name] })
}

// The timeline reaches from one year before the report to four years after it.
const (
	yearsBefore = 1
	yearsAfter  = 4
)

// timeline draws until when each product in use is cared for.
func timeline(d *fleetreport.ReportDocument) ([]htmlYear, []htmlLifetime) {
	from, to := d.Made.AddDate(-yearsBefore, 0, 0), d.Made.AddDate(yearsAfter, 0, 0)
	x := func(t time.Time) float64 { return float64(t.Sub(from)) / float64(to.Sub(from)) * 100 }
	var years []htmlYear
	var ticks []tick
	for y := from.Year() + 1; y <= to.Year(); y++ {
		place := x(time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC))
		ticks = append(ticks, tick{"tick", at(place)})
		if place < 92 { // its label needs room
			years = append(years, htmlYear{at(place), fmt.Sprint(y)})
		}
	}
	ticks = append(ticks, tick{"today", at(x(d.Made))})
	var rows []htmlLifetime
	for i := range d.Lifetimes {
		l := &d.Lifetimes[i]
		word, _, text := lifeWords(l)
		r := htmlLifetime{Name: l.Product + " " + l.Cycle, Word: word, Text: text, Count: len(l.Targets), Class: lifeClass(l.State)}
		if word == "ENDED" {
			r.Word = "ended"
		}
		last := 0.0
		if end, err := time.Parse("2006-01-02", l.Until); err == nil {
			last = max(0.7, x(end.AddDate(0, 0, 1)))
			class := r.Class
			if l.State == fleetreport.LifeLonger {
				class = "warn"
			}
			r.Strip.add(class, 0, last)
		}
		if end, err := time.Parse("2006-01-02", l.Longer); err == nil {
			r.Strip.add("pale", last, x(end.AddDate(0, 0, 1)))
		}
		r.Strip.Lines = ticks
		rows = append(rows, r)
	}
	return years, rows
}

func lifeClass(s fleetreport.LifeState) string {
	switch s {
	case fleetreport.LifeEnded:
		return "bad"
	case fleetreport.LifeSoon, fleetreport.LifeLonger:
		return "warn"
	case fleetreport.LifeSupported:
		return "good"
	case fleetreport.LifeUnknown:
	}
	return "none"
}

func readyOf(c *fleetreport.Counts) htmlReady {
	r := htmlReady{Ready: c.Ready, Blocked: c.Blocked, Newest: c.Newest, Unseen: c.Instances - c.Seen}
	x := 0.0
	for _, p := range []struct {
		class string
		n     int
	}{{"good", r.Ready}, {"bad", r.Blocked}, {"main", r.Newest}, {"none", r.Unseen}} {
		width := float64(p.n) / float64(max(c.Instances, 1)) * 100
		r.Strip.add(p.class, x, x+width)
		x += width
	}
	return r
}

// heldRows draws apps against instances: a column of the strip is an instance.
func heldRows(d *fleetreport.ReportDocument) []htmlHeld {
	column := map[string]int{}
	for _, t := range d.Targets {
		if t.Instance != "" {
			column[t.Name] = len(column)
		}
	}
	var rows []htmlHeld
	for _, h := range d.HeldBy {
		r := htmlHeld{App: h.App, Major: h.Major, Count: len(h.Targets), Alone: len(h.Alone), Where: names(h.Targets)}
		r.Strip.add("bed", 0, 100)
		width := 100 / float64(max(len(column), 1))
		var class string
		first, last := -1, -1
		draw := func() {
			if first >= 0 {
				r.Strip.add(class, float64(first)*width, float64(last+1)*width)
			}
		}
		for _, name := range h.Targets {
			c, k := "warn", column[name]
			if slices.Contains(h.Alone, name) {
				c = "bad"
			}
			if k != last+1 || c != class { // neighbours are drawn as one
				draw()
				first, class = k, c
			}
			last = k
		}
		draw()
		rows = append(rows, r)
	}
	return rows
}

func snapshotRows(d *fleetreport.ReportDocument) []htmlRow {
	by := map[string][]string{}
	for i := range d.Targets {
		if t := &d.Targets[i]; t.Instance != "" {
			by[ageClass(t.Snapshot)] = append(by[ageClass(t.Snapshot)], t.Name)
		}
	}
	var rows []htmlRow
	for _, c := range ageClasses {
		rows = append(rows, htmlRow{Name: c, Count: len(by[c]), Note: names(by[c])})
	}
	return bars(rows, func(r htmlRow) string {
		switch r.Name {
		case "never":
			return "bad"
		case "older":
			return "warn"
		}
		return "main"
	})
}

// closedRows draws the longest expected closed times.
func closedRows(d *fleetreport.ReportDocument) []htmlRow {
	var list []*fleetreport.Target
	for i := range d.Targets {
		if d.Targets[i].Closed != nil {
			list = append(list, &d.Targets[i])
		}
	}
	slices.SortStableFunc(list, func(a, b *fleetreport.Target) int {
		switch x, y := a.Closed.MaxSeconds, b.Closed.MaxSeconds; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	var rows []htmlRow
	for _, t := range list[:min(shownClosed, len(list))] {
		r := htmlRow{Name: t.Name, Note: closedWords(t.Closed)}
		most := list[0].Closed.MaxSeconds
		if t.Closed.Source == fleetreport.FromEstimate {
			r.Strip.add("none", 0, part(t.Closed.MedianSeconds, most))
		} else {
			median := part(t.Closed.MedianSeconds, most)
			r.Strip.add("main", 0, median)
			r.Strip.add("pale", median, part(t.Closed.MaxSeconds, most))
		}
		rows = append(rows, r)
	}
	return rows
}

func rolloutRows(d *fleetreport.ReportDocument) []htmlRollout {
	var rows []htmlRollout
	for _, r := range d.Rollouts {
		row := htmlRollout{Began: "not begun", Name: r.Name, Verdict: r.Verdict, Class: "warn", Closed: "–",
			Counts: fmt.Sprintf("%d upgraded, %d rolled back, %d failed, %d untouched", r.Upgraded, r.RolledBack, r.Failed, r.Untouched)}
		if r.Began != nil {
			row.Began = r.Began.UTC().Format("2006-01-02")
		}
		switch r.Verdict {
		case "succeeded":
			row.Class = "good"
		case "halted", "aborted":
			row.Class = "bad"
		}
		if r.MaxSeconds > 0 {
			row.Closed = fmt.Sprintf("%s, at most %s", tenths(r.MedianSeconds), tenths(r.MaxSeconds))
		}
		all, x := float64(max(1, r.Upgraded+r.RolledBack+r.Failed+r.Untouched)), 0.0
		for _, p := range []struct {
			class string
			n     int
		}{{"good", r.Upgraded}, {"warn", r.RolledBack}, {"bad", r.Failed}, {"none", r.Untouched}} {
			row.Strip.add(p.class, x, x+float64(p.n)/all*100)
			x += float64(p.n) / all * 100
		}
		rows = append(rows, row)
	}
	return rows
}
