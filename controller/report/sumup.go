package report

import (
	"fmt"
	"sort"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// sumUp writes a wave whose targets are too different to be shown one by one:
// how many go from where to where, what is lost, what to be warned of, and for
// how long users are out. Nothing that takes something away is left out.
func sumUp(pg *page, p *plan.Plan, w *plan.Wave) {
	const hang = 15
	var all []string
	ways, disabled, warned := tallies{}, tallies{}, tallies{}
	var packages, held, apps []int
	for i := range w.Targets {
		t := &w.Targets[i]
		all = append(all, t.Name)
		switch {
		case len(t.Hops) > 0:
			ways.add(path(t), t.Name)
		case !t.From.Zero():
			ways.add("stays at "+t.From.String(), t.Name)
		}
		changed, left := 0, 0
		for _, c := range t.Packages {
			if c.Held {
				left++
			} else {
				changed++
			}
		}
		updates := 0
		for _, a := range t.Apps {
			if a.Action == "disable" {
				disabled.add(appLine(a), t.Name)
			} else {
				updates++
			}
		}
		packages, held, apps = notZero(packages, changed), notZero(held, left), notZero(apps, updates)
		for _, pr := range t.Warnings {
			if pr.Code != "rival_held" && pr.Code != "snapshot_note" {
				warned.add(pr.Summary, t.Name)
			}
		}
	}
	group{names: all}.title(pg, "")
	for _, k := range ways.keys() {
		pg.item(4, hang, "", "core", k+" on "+plural(len(ways[k]), "target"))
	}
	for _, n := range []struct {
		label, what string
		list        []int
	}{{"packages", "changed", packages}, {"held", "left alone", held}, {"apps", "updated", apps}} {
		if len(n.list) > 0 {
			pg.item(4, hang, "", n.label, fmt.Sprintf("%s %s on %s", counts(n.list), n.what, plural(len(n.list), "target")))
		}
	}
	for _, k := range disabled.keys() {
		pg.item(4, hang, yellow, "app", k+": "+names(disabled[k]))
	}
	closed, online := takes(w.Targets)
	pg.item(4, hang, "", "users out", fmt.Sprintf("about %s a target; before and after it %s of work with users in", closed, online))
	for _, k := range warned.keys() {
		on := ", on all of them"
		if n := len(warned[k]); n < len(all) {
			on = ", on " + plural(n, "target") + ": " + names(warned[k])
		}
		pg.item(4, hang, yellow, "warning", k+on)
	}
	pg.item(4, hang, dim, "more", "the targets differ: plan "+p.Rollout+" --target NAME shows every step of one")
}

// tallies has names by what is true of them.
type tallies map[string][]string

func (m tallies) add(what, name string) { m[what] = append(m[what], name) }

func (m tallies) keys() []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// notZero adds a number that is not 0.
func notZero(list []int, n int) []int {
	if n == 0 {
		return list
	}
	return append(list, n)
}

// counts is a number, or a range of numbers.
func counts(list []int) string {
	sort.Ints(list)
	if low, high := list[0], list[len(list)-1]; low != high {
		return fmt.Sprintf("%d to %d", low, high)
	}
	return fmt.Sprint(list[0])
}
