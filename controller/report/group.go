package report

import (
	"strings"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// shownGroups is how many different entries a wave shows; with more of them it
// is summed up.
const shownGroups = 8

// group is the targets whose entries read the same.
type group struct {
	names []string
	lines []string
	key   string
}

// title writes the group's names and what follows them.
func (g group) title(pg *page, after string) {
	if len(g.names) > 1 {
		after = " (" + plural(len(g.names), "target") + ")" + after
	}
	for i, l := range wrap(names(g.names)+after, pg.width-4) {
		pg.line("%s%s", spaces(2+2*min(i, 1)), pg.paint(bold, l))
	}
}

// fold groups targets by what their entries say beside how long it takes, in
// the order of their first.
func fold(pg *page, list []plan.Target) []group {
	var of [][]plan.Target
	var keys []string
	at := map[string]int{}
	for _, t := range list {
		key := strings.Join(capture(pg, func(q *page) { entry(q, []plan.Target{t}, false) }), "\n")
		k, ok := at[key]
		if !ok {
			k = len(of)
			at[key] = k
			of, keys = append(of, nil), append(keys, key)
		}
		of[k] = append(of[k], t)
	}
	var out []group
	for k, same := range of {
		g := group{key: keys[k], lines: capture(pg, func(q *page) { entry(q, same, true) })}
		for _, t := range same {
			g.names = append(g.names, t.Name)
		}
		out = append(out, g)
	}
	return out
}

// capture writes onto a page of the same kind and returns its lines.
func capture(pg *page, f func(*page)) []string {
	var b strings.Builder
	f(&page{w: &b, width: pg.width, color: pg.color})
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}
