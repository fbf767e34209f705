package report

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/ncfleet/ncfleet/controller/plan"
)

func blocked(pg *page, p *plan.Plan) {
	if len(p.Blocked) == 0 {
		return
	}
	pg.line("")
	pg.line("%s", pg.paint(red, fmt.Sprintf("Blocked: %s, on which nothing will be done", plural(len(p.Blocked), "target"))))
	var groups []group
	at := map[string]int{}
	for _, b := range p.Blocked {
		lines := capture(pg, func(q *page) { problems(q, b.Problems) })
		key := strings.Join(lines, "\n")
		k, ok := at[key]
		if !ok {
			k = len(groups)
			at[key] = k
			groups = append(groups, group{lines: lines})
		}
		groups[k].names = append(groups[k].names, b.Target)
	}
	if len(groups) > shownGroups {
		byProblem(pg, p.Blocked)
		return
	}
	for _, g := range groups {
		g.title(pg, "")
		for _, l := range g.lines {
			pg.line("%s", l)
		}
	}
}

// byProblem writes each kind of problem once, with one example, where blocked
// targets are too different to be shown one by one.
func byProblem(pg *page, list []plan.Blocked) {
	type kind struct {
		first plan.Problem
		names []string
	}
	var kinds []*kind
	at := map[string]*kind{}
	for _, b := range list {
		for _, pr := range b.Problems {
			k := at[pr.Code]
			if k == nil {
				k = &kind{first: pr}
				at[pr.Code], kinds = k, append(kinds, k)
			}
			if n := len(k.names); n == 0 || k.names[n-1] != b.Target {
				k.names = append(k.names, b.Target)
			}
		}
	}
	for _, k := range kinds {
		example := ""
		if len(k.names) > 1 {
			example = "; for example " + k.names[0]
		}
		group{names: k.names}.title(pg, example)
		problems(pg, []plan.Problem{k.first})
	}
	pg.item(2, 9, dim, "more", "doctor lists all problems, plan with --target NAME those of one target")
}

func problems(pg *page, list []plan.Problem) {
	for _, p := range list {
		pg.item(4, 6, red, "✗", p.Summary)
		pg.item(6, 11, dim, "why:", p.Detail)
		pg.item(6, 11, dim, "fix:", unbroken(p.Remedy))
	}
}

// commands are what people copy out of a remedy: a part in backticks, or what
// it begins with, or what follows a colon, when that is a command line.
var commands = regexp.MustCompile("`[^`]*`|(?:^|: )(?:sudo|ssh-keyscan|curl|echo|printf) (?:[^;,]|[;,][^ ])*")

// unbroken keeps the command lines of a remedy from being broken.
func unbroken(remedy string) string {
	return commands.ReplaceAllStringFunc(remedy, func(c string) string {
		before := ""
		if rest, ok := strings.CutPrefix(c, ": "); ok {
			before, c = ": ", rest
		}
		return before + strings.ReplaceAll(c, " ", solid)
	})
}

// Problems writes the problems of a rollout itself, those that make a plan
// impossible.
func Problems(w io.Writer, list []plan.Problem, o Options) error {
	pg := newPage(w, o)
	pg.line("%s", pg.paint(red, fmt.Sprintf("No plan can be made: %s", plural(len(list), "problem"))))
	problems(pg, list)
	return pg.err
}

func idle(pg *page, p *plan.Plan) {
	if len(p.Idle) == 0 {
		return
	}
	pg.line("")
	pg.item(0, 2, "", "Nothing to do on "+plural(len(p.Idle), "target")+":", "")
	for _, l := range wrap(names(p.Idle), pg.width-2) {
		pg.line("  %s", l)
	}
	heldBack(pg, p)
}

// heldBack tells what is pending on the targets with nothing to do, and why it
// is held; targets with the same are named together.
func heldBack(pg *page, p *plan.Plan) {
	var groups []group
	at := map[string]int{}
	for _, h := range p.HeldBack {
		lines := capture(pg, func(q *page) { held(q, 15, h.Packages) })
		key := strings.Join(lines, "\n")
		k, ok := at[key]
		if !ok {
			k = len(groups)
			at[key] = k
			groups = append(groups, group{lines: lines})
		}
		groups[k].names = append(groups[k].names, h.Target)
	}
	for _, g := range groups {
		pg.line("")
		g.title(pg, ", with only held changes pending")
		for _, l := range g.lines {
			pg.line("%s", l)
		}
	}
}
