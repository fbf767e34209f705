package fleetreport

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/inventory"
)

// Input is everything a report is made from.
type Input struct {
	Hosts []*inventory.Host     // that the report is on, in order
	Facts map[string]plan.Facts // by host
	// Past are the journal's rollouts, the newest first.
	Past []Past
	// Catalogue maps an app to its releases; nil means that what an app's
	// info.xml says is all there is.
	Catalogue map[string][]plan.AppRelease
	// Goal is the major that readiness is told for; 0 is the next one of each.
	Goal int
	Now  time.Time
	// Problems are what the caller could not find out.
	Problems []string
}

// Compute makes the report. The same input gives the same document.
func Compute(in Input) ReportDocument {
	d := ReportDocument{
		FormatVersion: FormatVersion, Made: second(in.Now), Goal: in.Goal, LifetimesOf: LifetimesOf, RequirementsOf: nextcloud.TableDate,
		Catalogue: in.Catalogue != nil, Unreachable: []Unreachable{}, Versions: []Version{}, Lifetimes: []Lifetime{},
		HeldBy: []HeldBy{}, Targets: []Target{}, Rollouts: []Rollout{}, Problems: append([]string{}, in.Problems...),
	}
	c := computing{in: &in, doc: &d, past: read(in.Past, in.Now), lives: map[[2]string]*Lifetime{}, versions: map[string]*Version{}}
	for _, h := range in.Hosts {
		c.host(h)
	}
	c.finish()
	for _, p := range in.Past {
		d.Rollouts = append(d.Rollouts, summary(p))
	}
	return d
}

// computing is a document in the making.
type computing struct {
	in       *Input
	doc      *ReportDocument
	past     history
	lives    map[[2]string]*Lifetime
	versions map[string]*Version
}

func (c *computing) host(h *inventory.Host) {
	d := c.doc
	d.Counts.Hosts++
	d.Counts.Instances += len(h.Instances)
	f, known := c.in.Facts[h.Name]
	f = printable(f)
	if !known {
		f.Unreachable = "it was not surveyed"
	}
	if known && !f.SeenAt.IsZero() {
		c.factsOf(second(f.SeenAt))
	}
	if f.Unreachable != "" {
		d.Counts.Unreachable++
		d.Unreachable = append(d.Unreachable, Unreachable{Host: h.Name, Reason: f.Unreachable})
	}
	for _, p := range f.Problems {
		d.Problems = append(d.Problems, h.Name+": "+p)
	}
	if len(h.Instances) == 0 {
		t := Target{Name: h.Name, Host: h.Name, State: TargetHost}
		if f.Unreachable != "" {
			t.State, t.Why = TargetUnreachable, f.Unreachable
		}
		c.system(&t, &f)
		d.Targets = append(d.Targets, t)
		return
	}
	for i := range h.Instances {
		name := h.Name
		if len(h.Instances) > 1 {
			name += "/" + h.Instances[i].Name
		}
		c.instance(Target{Name: name, Host: h.Name, Instance: h.Instances[i].Name, State: TargetOpen}, &f)
	}
}

// factsOf widens the span of the facts used.
func (c *computing) factsOf(at time.Time) {
	if from := c.doc.FactsFrom; from == nil || at.Before(*from) {
		c.doc.FactsFrom = &at
	}
	if to := c.doc.FactsTo; to == nil || at.After(*to) {
		c.doc.FactsTo = &at
	}
}

// instance adds one instance: what was seen of it, and what the journal knows.
func (c *computing) instance(t Target, f *plan.Facts) {
	at := place{t.Host, t.Instance}
	if s, ok := c.past.snapshots[at]; ok {
		t.Snapshot = &s
	} else {
		c.doc.Counts.Unproven++
	}
	seen := f.Instance(t.Instance)
	switch {
	case f.Unreachable != "":
		t.State, t.Why = TargetUnreachable, f.Unreachable
	case seen == nil:
		t.State, t.Why = TargetMissing, "the survey did not look at it"
	case seen.Missing != "":
		t.State, t.Why = TargetMissing, seen.Missing
	case seen.Code.Zero():
		t.State, t.Why = TargetMissing, "its version.php could not be read"
	}
	if t.State != TargetOpen {
		t.Closed = c.past.expected(at, 0)
		c.system(&t, f)
		c.doc.Targets = append(c.doc.Targets, t)
		return
	}
	c.doc.Counts.Seen++
	switch {
	case seen.NeedsDBUpgrade || !seen.Code.SameRelease(seen.Config) && !seen.Config.Zero():
		t.State, t.Why = TargetPending, fmt.Sprintf("the code is %s, the database %s: an upgrade has not ended", seen.Code, seen.Config)
	case seen.Maintenance:
		t.State, t.Why = TargetClosed, "maintenance mode is on: users see 503"
	}
	if t.State != TargetOpen {
		c.doc.Counts.Closed++
	}
	c.system(&t, f)
	c.software(&t, seen)
	next := c.ready(seen, t.State, t.Why)
	t.Next = &next
	t.Drift = c.past.drift(at, f, seen)
	if t.Drift != nil && len(t.Drift.Changes) > 0 {
		c.doc.Counts.Drifted++
	}
	t.Closed = c.past.expected(at, plan.HopEstimate(seen, max(1, len(next.Majors))))
	c.doc.Targets = append(c.doc.Targets, t)
}

// system notes the operating system of a target's host, under the host's name.
func (c *computing) system(t *Target, f *plan.Facts) {
	if !f.SeenAt.IsZero() {
		at := second(f.SeenAt)
		t.SeenAt = &at
	}
	if f.OS.ID == "" {
		return
	}
	product := cmp.Or(systems[f.OS.ID], f.OS.ID)
	t.OS = strings.TrimSpace(product + " " + f.OS.Version)
	c.life(product, f.OS.Version, t.Host)
}

// software notes what an instance runs on, and of which version it is.
func (c *computing) software(t *Target, seen *plan.InstanceFacts) {
	t.Nextcloud, t.PHP = seen.Code.String(), seen.PHP.Version
	v, known := c.versions[t.Nextcloud]
	if !known {
		v = &Version{Version: t.Nextcloud, Major: seen.Code.Major()}
		if m, ok := nextcloud.MajorOf(v.Major); ok {
			v.Newest = m.Newest.String()
			v.Behind = seen.Code.Compare(m.Newest) < 0 && !seen.Code.SameRelease(m.Newest)
		}
		c.versions[t.Nextcloud] = v
	}
	v.Targets = append(v.Targets, t.Name)
	if c.life("Nextcloud", t.Nextcloud, t.Name).State == LifeEnded {
		c.doc.Counts.Ended++
	}
	if t.PHP != "" {
		c.life("PHP", t.PHP, t.Name)
	}
	if seen.Database.Server != "" {
		t.Database = strings.TrimSpace(seen.Database.Server + " " + seen.Database.Version)
		c.life(seen.Database.Server, seen.Database.Version, t.Name)
	}
}

// life adds a target to those that use a product.
func (c *computing) life(product, version, target string) *Lifetime {
	l := lifetimeOf(product, version, c.in.Now)
	key := [2]string{product, l.Cycle}
	if c.lives[key] == nil {
		c.lives[key] = &l
	}
	known := c.lives[key]
	if !slices.Contains(known.Targets, target) { // a host with several instances comes once each
		known.Targets = append(known.Targets, target)
	}
	return known
}

// lifeRank orders the states, the worst first.
var lifeRank = []LifeState{LifeEnded, LifeSoon, LifeLonger, LifeUnknown, LifeSupported}

// finish sorts what was collected.
func (c *computing) finish() {
	d := c.doc
	for _, v := range c.versions {
		d.Versions = append(d.Versions, *v)
	}
	slices.SortFunc(d.Versions, func(a, b Version) int { return nextcloud.CompareDotted(b.Version, a.Version) })
	for _, l := range c.lives {
		d.Lifetimes = append(d.Lifetimes, *l)
	}
	slices.SortFunc(d.Lifetimes, func(a, b Lifetime) int {
		return cmp.Or(
			cmp.Compare(slices.Index(lifeRank, a.State), slices.Index(lifeRank, b.State)),
			cmp.Compare(a.DaysLeft, b.DaysLeft),
			strings.Compare(a.Product, b.Product),
			nextcloud.CompareDotted(a.Cycle, b.Cycle))
	})
	d.HeldBy = heldBy(d.Targets)
}
