package report

import (
	"fmt"
	"sort"
	"strings"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// detail writes one target with every step and its command lines.
func detail(pg *page, p *plan.Plan, name string) error {
	for i := range p.Waves {
		for k := range p.Waves[i].Targets {
			if t := &p.Waves[i].Targets[k]; t.Name == name {
				pg.line("%s", pg.paint(bold, fmt.Sprintf("%s, in wave %s of rollout %s", t.Name, p.Waves[i].Name, p.Rollout)))
				entry(pg, []plan.Target{*t}, true)
				allPackages(pg, t)
				pg.line("")
				pg.line("%s", pg.paint(bold, "Steps"))
				steps(pg, t.Steps)
				pg.line("")
				pg.line("%s", pg.paint(bold, "Way back: each step runs when one that it undoes was begun"))
				steps(pg, t.Undo)
				return pg.err
			}
		}
	}
	for _, b := range p.Blocked {
		if b.Target == name {
			pg.line("%s", pg.paint(red, name+" is blocked"))
			problems(pg, b.Problems)
			return pg.err
		}
	}
	for _, n := range p.Idle {
		if n == name {
			pg.line("%s: nothing to do", name)
			for _, h := range p.HeldBack {
				if h.Target == name {
					held(pg, 15, h.Packages)
				}
			}
			return pg.err
		}
	}
	return fmt.Errorf("cannot show target %q: the plan has none of that name; it has %s", name, names(known(p)))
}

func known(p *plan.Plan) []string {
	out := append([]string(nil), p.Idle...)
	for _, b := range p.Blocked {
		out = append(out, b.Target)
	}
	for i := range p.Waves {
		for _, t := range p.Waves[i].Targets {
			out = append(out, t.Name)
		}
	}
	sort.Strings(out)
	return out
}

func allPackages(pg *page, t *plan.Target) {
	n := 0
	for _, c := range t.Packages {
		if !c.Held {
			n++
		}
	}
	if n <= shownPackages {
		return
	}
	pg.line("")
	pg.line("%s", pg.paint(bold, "Packages"))
	for _, c := range t.Packages {
		if !c.Held {
			pg.line("  %s", packageChange(c))
		}
	}
}

func steps(pg *page, list []plan.Step) {
	phase := plan.Phase("")
	for i, s := range list {
		if s.Phase != phase {
			phase = s.Phase
			pg.line("  %s", pg.paint(dim, "── "+phaseTitle(phase)))
		}
		pg.item(2, 6, "", fmt.Sprintf("%2d", i+1), s.Title)
		notes := []string{short(s), "at most " + span(s.Timeout)}
		if s.Driver != "" {
			notes = append(notes, "driver "+s.Driver)
		}
		if s.Changes {
			notes = append(notes, "changes the target")
		}
		if len(s.Undoes) > 0 {
			notes = append(notes, "undoes "+strings.Join(shortAll(s.Undoes), ", "))
		}
		for _, l := range wrap(strings.Join(notes, " · "), pg.width-6) {
			pg.line("      %s", pg.paint(dim, l))
		}
		if s.Script != "" {
			command(pg, append([]string{s.Script}, s.Args...), nil)
		}
		for _, c := range s.Commands {
			command(pg, c.Argv, &c)
		}
		if s.Gate != nil {
			pg.item(6, 12, dim, "must", gate(s.Gate))
		}
	}
}

func phaseTitle(p plan.Phase) string {
	switch p {
	case plan.PhaseBefore:
		return "users in, before"
	case plan.PhaseClosed:
		return "users out (503)"
	case plan.PhaseAfter:
		return "users in again"
	}
	return string(p)
}

// short is a step's name within its target.
func short(s plan.Step) string { return shortID(s.ID) }

func shortID(id plan.StepID) string { return id[strings.LastIndex(id, "/")+1:] }

func shortAll(ids []plan.StepID) []string {
	var out []string
	for _, id := range ids {
		out = append(out, shortID(id))
	}
	return out
}

// command writes a command line as it can be typed. Of its environment only
// the names are shown, of its input only that there is one.
func command(pg *page, argv []string, c *driver.Command) {
	line := nextcloud.QuoteArgv(argv)
	if c != nil {
		for _, k := range sortedKeys(c.Env) {
			line = k + "=… " + line
		}
		if len(c.Stdin) > 0 {
			line += " < …"
		}
	}
	pg.item(6, 8, dim, "$", line)
}

func gate(g *plan.Gate) string {
	var out []string
	out = append(out, "be "+g.Version.String())
	if g.URL != "" {
		out = append(out, "answer at "+g.URL)
	}
	if len(g.Apps) > 0 {
		out = append(out, fmt.Sprintf("have %s enabled", plural(len(g.Apps), "app")))
	}
	if len(g.MayBeDisabled) > 0 {
		out = append(out, "may lose "+strings.Join(g.MayBeDisabled, ", "))
	}
	if g.WebDAV {
		out = append(out, "pass a WebDAV round trip")
	}
	if g.SetupChecks {
		out = append(out, "show no new setup check")
	}
	if g.Log {
		out = append(out, "log nothing fatal")
	}
	if len(g.Pages) > 0 {
		out = append(out, "serve "+strings.Join(g.Pages, ", "))
	}
	return strings.Join(out, "; ")
}

func sortedKeys(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	sort.Sort(sort.Reverse(sort.StringSlice(out))) // each is put in front of the last
	return out
}
