package report

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// shownPackages is how many packages a target's entry names; all of them are
// in the target's detail.
const shownPackages = 6

// Text writes a plan for people. With Options.Target it writes every step of
// that target instead.
func Text(w io.Writer, p *plan.Plan, o Options) error {
	pg := newPage(w, o)
	if o.Target != "" {
		return detail(pg, p, o.Target)
	}
	head(pg, p)
	first := map[string]string{}
	for i := range p.Waves {
		wave(pg, p, i, first)
	}
	blocked(pg, p)
	idle(pg, p)
	return pg.err
}

func head(pg *page, p *plan.Plan) {
	n := targets(p)
	for _, l := range wrap(fmt.Sprintf("Rollout %s: %s in %s%s", p.Rollout, plural(n, "target"), plural(len(p.Waves), "wave"), aside(p)), pg.width) {
		pg.line("%s", pg.paint(bold, l))
	}
	if n == 0 {
		if len(p.Blocked) > 0 {
			pg.line("Nothing can be done as long as they are blocked.")
		} else {
			pg.line("Nothing to do.")
		}
		return
	}
	for _, c := range changes(p) {
		pg.line("  %s", c)
	}
	closed, online := ranges(p)
	pg.item(2, 17, "", "users out", "about "+closed+" a target, at most "+plural(p.Policy.MaxUnavailable, "target")+" at a time")
	pg.item(2, 17, "", "users in", "about "+online+" a target of work that nobody notices")
	pg.item(2, 17, "", "in all", "about "+whole(p)+"; approvals and closed windows come on top")
	policy(pg, p)
	pinned(pg, p.Pin)
	pg.item(2, 17, "", "facts of", p.Made.UTC().Format("2006-01-02 15:04 MST"))
	pg.item(2, 17, "", "plan", plan.Digest(*p)[:12])
}

func aside(p *plan.Plan) string {
	out := ""
	if n := len(p.Blocked); n > 0 {
		out += fmt.Sprintf(", %d blocked", n)
	}
	if n := len(p.Idle); n > 0 {
		out += fmt.Sprintf(", %d with nothing to do", n)
	}
	return out
}

func targets(p *plan.Plan) int {
	n := 0
	for i := range p.Waves {
		n += len(p.Waves[i].Targets)
	}
	return n
}

// changes sums up what the targets go from and to: "28.0.2 → 29.0.16 on 11 targets".
func changes(p *plan.Plan) []string {
	count := map[string]int{}
	packages := 0
	for i := range p.Waves {
		for _, t := range p.Waves[i].Targets {
			if len(t.Hops) > 0 {
				count[path(&t)]++
			}
			if len(t.Expect.Packages) > 0 {
				packages++
			}
		}
	}
	var out []string
	for k, n := range count {
		out = append(out, fmt.Sprintf("Nextcloud %s on %s", k, plural(n, "target")))
	}
	sort.Strings(out)
	if packages > 0 {
		out = append(out, "packages of "+plural(packages, "host"))
	}
	return out
}

// path is the way of a target's core: "28.0.2 → 29.0.16 → 30.0.17".
func path(t *plan.Target) string {
	out := t.From.String()
	for _, h := range t.Hops {
		out += " → " + h.To.String()
	}
	return out
}

func ranges(p *plan.Plan) (closed, online string) {
	var all []plan.Target
	for i := range p.Waves {
		all = append(all, p.Waves[i].Targets...)
	}
	return takes(all)
}

// takes is for how long users are out of targets, and how long the rest of the
// work takes.
func takes(list []plan.Target) (closed, online string) {
	var c, o []int
	for _, t := range list {
		c, o = append(c, t.ClosedSeconds), append(o, t.OnlineSeconds)
	}
	return between(c), between(o)
}

func between(list []int) string {
	sort.Ints(list)
	low, high := list[0], list[len(list)-1]
	if low == high {
		return secondsSpan(low)
	}
	return secondsSpan(low) + " to " + secondsSpan(high)
}

// whole estimates the length of the rollout: in each wave the closed times one
// after another, as many at once as may be out, or the online work, as many at
// once as may be prepared, whichever is longer; and the bake times.
func whole(p *plan.Plan) string {
	seconds, bake := 0, time.Duration(0)
	for i := range p.Waves {
		seconds += work(p, &p.Waves[i])
		bake += p.Waves[i].Bake
	}
	out := span(time.Duration(seconds)*time.Second + bake)
	if bake > 0 {
		out += ", " + span(bake) + " of it bake time"
	}
	return out
}

// work is the estimate for one wave, in seconds, without its bake time.
func work(p *plan.Plan, w *plan.Wave) int {
	closed, online := 0, 0
	for _, t := range w.Targets {
		closed, online = closed+t.ClosedSeconds, online+t.OnlineSeconds
	}
	n := len(w.Targets)
	return max(share(closed, min(p.Policy.MaxUnavailable, n)), share(online, min(p.Policy.Ahead, n)))
}

// share divides rounding up; nobody at once counts as one.
func share(total, at int) int {
	at = max(at, 1)
	return (total + at - 1) / at
}

func policy(pg *page, p *plan.Plan) {
	o := p.Policy
	budget := "the first failure halts"
	if o.FailureBudget > 0 {
		budget = plural(o.FailureBudget, "failure") + " tolerated, one more halts"
	}
	pg.item(2, 17, "", "failures", budget)
	if o.SpreadLabel != "" {
		pg.item(2, 17, "", "spread", fmt.Sprintf("at most %s with the same %s out at once", plural(o.SpreadMax, "target"), o.SpreadLabel))
	}
	openTimes(pg, &o)
	hold := "stays closed and asks; after " + span(o.HoldTimeout) + " it is taken back"
	if o.OnHold == "rollback" {
		hold = "is taken back at once"
	}
	pg.item(2, 17, "", "unclear gate", "the target "+hold)
}

// wave writes a wave. first remembers by their text the entries written so
// far: one that reads the same is not written again.
func wave(pg *page, p *plan.Plan, i int, first map[string]string) {
	w := &p.Waves[i]
	pg.line("")
	title := fmt.Sprintf("Wave %d of %d: %s · %s", i+1, len(p.Waves), w.Name, plural(len(w.Targets), "target"))
	pg.line("%s", pg.paint(bold, title))
	then := []string{"takes about " + secondsSpan(work(p, w))}
	if w.Approve {
		then = append(then, asks(w))
	}
	if w.Bake > 0 {
		then = append(then, "bakes for "+span(w.Bake))
	}
	if len(w.Gate) > 0 {
		then = append(then, fmt.Sprintf("then %s from outside", plural(len(w.Gate), "look")))
	}
	for _, l := range wrap(strings.Join(then, ", "), pg.width-2) {
		pg.line("  %s", pg.paint(dim, l))
	}
	groups := fold(pg, w.Targets)
	if len(groups) > shownGroups {
		sumUp(pg, p, w)
		return
	}
	for _, g := range groups {
		if like, ok := first[g.key]; ok {
			g.title(pg, ": as "+like)
			continue
		}
		first[g.key] = g.names[0]
		g.title(pg, "")
		for _, l := range g.lines {
			pg.line("%s", l)
		}
	}
}

// entry writes what is done to targets of which all is the same; with times,
// how long it takes.
func entry(pg *page, same []plan.Target, times bool) {
	const hang = 15
	t := &same[0]
	if len(t.Hops) > 0 {
		pg.item(4, hang, "", "core", path(t))
	} else if !t.From.Zero() {
		pg.item(4, hang, "", "core", "stays at "+t.From.String())
	}
	if len(t.Packages) > 0 {
		pg.item(4, hang, "", "packages", packageLine(t.Packages))
		held(pg, hang, t.Packages)
	}
	if len(t.Stale) > 0 {
		pg.item(4, hang, yellow, "old code", "still run by "+some(t.Stale)+", from before an earlier update")
	}
	for _, a := range t.Apps {
		pg.item(4, hang, style(a.Action), "app", appLine(a))
	}
	if times {
		closed, online := takes(same)
		pg.item(4, hang, "", "users out", fmt.Sprintf("about %s; before and after it %s of work with users in", closed, online))
	}
	for _, p := range t.Warnings {
		text := p.Summary
		if p.Detail != "" {
			text += ": " + p.Detail
		}
		if p.Code == "rival_held" || p.Code == "snapshot_note" {
			pg.item(4, hang, dim, "note", text)
			continue
		}
		pg.item(4, hang, yellow, "warning", text)
		if !strings.HasPrefix(p.Remedy, "nothing to do") {
			pg.item(hang, hang+5, dim, "fix:", p.Remedy)
		}
	}
}

func style(action string) string {
	if action == "disable" {
		return yellow
	}
	return ""
}

func appLine(a plan.AppChange) string {
	out := a.ID + " "
	switch a.Action {
	case "update":
		out += a.From + " → " + a.To
	case "disable":
		out += a.From + " will be DISABLED"
	default:
		out += a.From + " " + a.Action
	}
	if a.Reason != "" {
		out += " (" + a.Reason + ")"
	}
	return out
}

// packageLine counts what will be changed by kind and names some.
func packageLine(list []driver.PackageChange) string {
	count := map[driver.Change]int{}
	security := 0
	var changed []string
	for _, c := range list {
		if c.Held {
			continue
		}
		count[c.Change]++
		if c.Security {
			security++
		}
		changed = append(changed, packageChange(c))
	}
	if len(changed) == 0 {
		return "none is changed"
	}
	var out []string
	for _, k := range []driver.Change{driver.ChangeUpgrade, driver.ChangeUpdate, driver.ChangeInstall} {
		if count[k] > 0 {
			out = append(out, plural(count[k], string(k)))
		}
	}
	text := strings.Join(out, ", ")
	if security > 0 {
		text += fmt.Sprintf(" (%d for security)", security)
	}
	return text + ": " + some(changed)
}

func packageChange(c driver.PackageChange) string {
	s := c.Name + " " + c.From + " → " + c.To
	switch {
	case c.From == "":
		s = c.Name + " " + c.To + " (new)"
	case c.To == "":
		s = c.Name + " " + c.From + " (gone)"
	}
	if c.Change == driver.ChangeUpgrade {
		s += " (upgrade)"
	}
	return s
}

func some(list []string) string {
	if len(list) <= shownPackages {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:shownPackages], ", "), len(list)-shownPackages)
}

// held lists what is left alone, by reason.
func held(pg *page, hang int, list []driver.PackageChange) {
	by := map[string][]string{}
	var reasons []string
	for _, c := range list {
		if !c.Held {
			continue
		}
		if by[c.Reason] == nil {
			reasons = append(reasons, c.Reason)
		}
		by[c.Reason] = append(by[c.Reason], c.Name+" "+c.From+" → "+c.To)
	}
	sort.Strings(reasons)
	for _, r := range reasons {
		pg.item(4, hang, dim, "held", r+": "+some(by[r]))
	}
}
