package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/ncfleet/ncfleet/controller/fleetreport"
)

// shownClosed is how many expected closed times the page draws; its table of
// targets has them all.
const shownClosed = 20

//go:embed fleet.html
var fleetPage string

var fleetTemplate = template.Must(template.New("fleet").Parse(fleetPage))

// FleetHTML writes the report on a fleet as one HTML page that needs nothing
// from anywhere else: no script, no font, no picture. What comes from hosts is
// escaped by the template.
func FleetHTML(w io.Writer, d *fleetreport.ReportDocument) error {
	p := pageOf(d)
	var b strings.Builder
	if err := fleetTemplate.Execute(&b, p); err != nil {
		return fmt.Errorf("cannot write report: %w", err)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("cannot write report: %w", err)
	}
	return nil
}

// htmlPage is what the template shows: words and geometry, nothing left to decide.
type htmlPage struct {
	Made, Facts, Goal, Arrived  string
	LifetimesOf, RequirementsOf string
	SoonDays                    int
	Catalogue                   bool
	Tiles                       []htmlTile
	Attention                   []htmlAttention
	Versions, Snapshots, Closed []htmlRow
	Years                       []htmlYear
	Lifetimes                   []htmlLifetime
	Ready                       htmlReady
	Obstacles                   []htmlObstacle
	HeldBy                      []htmlHeld
	Drift                       []htmlDrift
	Rollouts                    []htmlRollout
	Targets                     []htmlTarget
}

type htmlTile struct {
	Class, Label string
	Value        int
}

type htmlAttention struct{ Class, What, Where, Why string }

// htmlRow is a name, a number, a drawn bar and a remark.
type htmlRow struct {
	Name  string
	Count int
	Strip strip
	Note  string
}

type htmlLifetime struct {
	Name, Class, Word, Text string
	Strip                   strip
	Count                   int
}

type htmlReady struct {
	Ready, Blocked, Newest, Unseen int
	Strip                          strip
}

type htmlObstacle struct {
	Class, Word, Text string
	Count             int
	Where             string
}

type htmlHeld struct {
	App                 string
	Major, Count, Alone int
	Strip               strip
	Where               string
}

type htmlDrift struct {
	What, Left, Now, Since string
	Count                  int
	Where                  string
}

type htmlRollout struct {
	Began, Name, Class, Verdict string
	Strip                       strip
	Counts, Closed              string
}

type htmlTarget struct {
	Name, Nextcloud, PHP, Database, System string
	Class, State, Next                     string
	Snapshot, Changes, Closed              string
}

func pageOf(d *fleetreport.ReportDocument) htmlPage {
	p := htmlPage{Made: minute(d.Made), Goal: goal(d), Arrived: arrived(d), LifetimesOf: d.LifetimesOf, RequirementsOf: d.RequirementsOf, SoonDays: fleetreport.SoonDays, Catalogue: d.Catalogue}
	if d.FactsFrom != nil {
		p.Facts = minute(*d.FactsFrom)
		if to := minute(*d.FactsTo); to != p.Facts {
			p.Facts += " to " + to
		}
	}
	p.Tiles = tiles(&d.Counts)
	p.Attention = attention(d)
	p.Versions = versionRows(d)
	p.Years, p.Lifetimes = timeline(d)
	p.Ready = readyOf(&d.Counts)
	p.Obstacles = obstacleRows(d)
	p.HeldBy = heldRows(d)
	p.Snapshots = snapshotRows(d)
	p.Drift = driftRows(d)
	p.Closed = closedRows(d)
	p.Rollouts = rolloutRows(d)
	for i := range d.Targets {
		p.Targets = append(p.Targets, targetRow(&d.Targets[i]))
	}
	return p
}

func tiles(c *fleetreport.Counts) []htmlTile {
	class := func(n int, bad string) string {
		if n == 0 {
			return "good"
		}
		return bad
	}
	return []htmlTile{
		{"", "hosts", c.Hosts},
		{"", "instances", c.Instances},
		{class(c.Unreachable, "bad"), "hosts without facts", c.Unreachable},
		{class(c.Closed, "bad"), "closed to users", c.Closed},
		{class(c.Ended, "bad"), "past end of life", c.Ended},
		{class(c.Blocked, "warn"), "not ready for the next major", c.Blocked},
		{class(c.Drifted, "warn"), "changed since the last rollout", c.Drifted},
		{class(c.Unproven, "warn"), "without a proven snapshot", c.Unproven},
	}
}

func attention(d *fleetreport.ReportDocument) []htmlAttention {
	var list []htmlAttention
	for _, u := range d.Unreachable {
		list = append(list, htmlAttention{"bad", "no facts", u.Host, u.Reason})
	}
	for _, t := range d.Targets {
		switch t.State {
		case fleetreport.TargetClosed, fleetreport.TargetPending, fleetreport.TargetMissing:
			list = append(list, htmlAttention{"bad", string(t.State), t.Name, t.Why})
		case fleetreport.TargetOpen, fleetreport.TargetUnreachable, fleetreport.TargetHost:
		}
	}
	for _, p := range d.Problems {
		list = append(list, htmlAttention{"warn", "not found out", "", p})
	}
	return list
}

func obstacleRows(d *fleetreport.ReportDocument) []htmlObstacle {
	var list []htmlObstacle
	for _, g := range obstacles(d) {
		list = append(list, htmlObstacle{"bad", "in the way", g.key, len(g.names), names(g.names)})
	}
	for _, g := range notes(d) {
		list = append(list, htmlObstacle{"warn", "note", g.key, len(g.names), names(g.names)})
	}
	return list
}

// driftRows has a row for each change, with those that show it.
func driftRows(d *fleetreport.ReportDocument) []htmlDrift {
	var rows []htmlDrift
	at := map[htmlDrift]int{}
	var where [][]string
	for _, t := range d.Targets {
		if t.Drift == nil {
			continue
		}
		for _, c := range t.Drift.Changes {
			key := htmlDrift{What: c.What, Left: c.Left, Now: c.Now, Since: t.Drift.Since.UTC().Format("2006-01-02")}
			n, known := at[key]
			if !known {
				n = len(rows)
				at[key], rows, where = n, append(rows, key), append(where, nil)
			}
			where[n] = append(where[n], t.Name)
		}
	}
	for i, list := range where {
		rows[i].Count, rows[i].Where = len(list), names(list)
	}
	return rows
}

func targetRow(t *fleetreport.Target) htmlTarget {
	r := htmlTarget{Name: t.Name, Nextcloud: t.Nextcloud, PHP: t.PHP, Database: t.Database, System: t.OS, Closed: "unknown", Snapshot: "never"}
	r.Class, r.State, r.Next = nextWords(t)
	if t.Snapshot != nil {
		r.Snapshot = t.Snapshot.At.UTC().Format("2006-01-02")
	}
	switch {
	case t.Drift == nil:
		r.Changes = "–"
	default:
		r.Changes = fmt.Sprint(len(t.Drift.Changes))
	}
	if e := t.Closed; e != nil {
		r.Closed = tenths(e.MedianSeconds)
		if e.Source == fleetreport.FromEstimate {
			r.Closed = "≈ " + r.Closed
		}
	}
	if t.Instance == "" {
		r.Closed, r.Snapshot, r.Changes = "–", "–", "–"
	}
	return r
}

// nextWords says where a target stands on the way to its goal.
func nextWords(t *fleetreport.Target) (class, state, text string) {
	if t.Next == nil {
		if t.State == fleetreport.TargetHost {
			return "none", "no instance", ""
		}
		return "bad", string(t.State), ""
	}
	switch t.Next.State {
	case fleetreport.Ready:
		return "good", "ready", ""
	case fleetreport.Newest:
		return "good", "newest", ""
	case fleetreport.Blocked:
		var list []string
		for _, o := range t.Next.Obstacles {
			list = append(list, o.Text)
		}
		return "bad", "blocked", strings.Join(list, "; ")
	}
	return "none", string(t.Next.State), ""
}
