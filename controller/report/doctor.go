package report

import (
	"io"
	"slices"
	"sort"
	"strings"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// Finding is one problem with everybody who has it.
type Finding struct {
	plan.Problem
	Blocks  bool // nothing is done on these targets while it lasts
	Targets []string
	harm    int
}

// harms rank problems by what they break: the lower, the worse. A code that is
// not here blocks an upgrade, or is worth knowing.
var harms = map[string]int{
	// Users are out, or an upgrade hangs in the middle.
	"upgrade_pending": 0, "maintenance_on": 0, "leftovers": 0, "database_unreachable": 0, "status_problem": 0,
	// There would be no way back.
	"snapshot_hole": 1, "machine_shared": 1, "coverage_unknown": 1, "dump_tool_missing": 1,
	// Nothing can be done on the host at all.
	"unreachable": 2, "sudo_refused": 2, "not_surveyed": 2, "packages_broken": 2, "mount_read_only": 2, "disk_full": 2, "inodes_full": 2,
}

const (
	harmBlocks = 3 // the upgrade would fail, and so is not begun
	harmWarns  = 4 // the upgrade goes on
)

// harmTitles say what the problems of a rank break.
var harmTitles = []string{
	"Users are out, or an upgrade hangs in the middle",
	"There would be no way back",
	"Nothing can be done there",
	"An upgrade would fail, and so is not begun",
	"Worth knowing; a rollout goes on",
}

// Findings ranks what was found wrong: what blocks first, then by harm and by
// how many have it. What a rollout cares for by itself is left out.
func Findings(looked []plan.Diagnosis, problems []plan.Problem) []Finding {
	var list []Finding
	at := map[plan.Problem]int{}
	add := func(target string, q plan.Problem, blocks bool) {
		if strings.HasPrefix(q.Remedy, "nothing to do") || q.Code == "host_blocked" {
			return
		}
		i, ok := at[q]
		if !ok {
			i = len(list)
			at[q] = i
			list = append(list, Finding{Problem: q, Blocks: blocks, harm: harmOf(q.Code, blocks)})
		}
		if target != "" && !slices.Contains(list[i].Targets, target) {
			list[i].Targets = append(list[i].Targets, target)
		}
	}
	for _, q := range problems {
		add("", q, true)
	}
	for _, d := range looked {
		for _, q := range d.Blocked {
			add(d.Target, q, true)
		}
	}
	for _, d := range looked {
		for _, q := range d.Warnings {
			add(d.Target, q, false)
		}
	}
	for i := range list {
		sort.Strings(list[i].Targets)
	}
	sort.SliceStable(list, func(i, j int) bool {
		if list[i].harm != list[j].harm {
			return list[i].harm < list[j].harm
		}
		return len(list[i].Targets) > len(list[j].Targets)
	})
	return list
}

func harmOf(code string, blocks bool) int {
	if !blocks {
		return harmWarns
	}
	if harm, known := harms[code]; known {
		return harm
	}
	return harmBlocks
}

// Doctor writes findings for people, the worst first.
func Doctor(w io.Writer, list []Finding, looked int, o Options) error {
	pg := newPage(w, o)
	if len(list) == 0 {
		pg.line("%s", pg.paint(green, "Nothing wrong was found on "+plural(looked, "target")))
		return pg.err
	}
	pg.line("%s on %s", pg.paint(bold, plural(len(list), "problem")), plural(looked, "target"))
	harm := -1
	for _, f := range list {
		if f.harm != harm {
			harm = f.harm
			pg.line("")
			pg.line("%s", pg.paint(bold, harmTitles[harm]))
		}
		style, mark := red, "✗"
		if !f.Blocks {
			style, mark = yellow, "!"
		}
		pg.item(2, 4, style, mark, f.Summary)
		if len(f.Targets) > 0 {
			pg.item(4, 11, dim, "where:", names(f.Targets))
		}
		pg.item(4, 11, dim, "why:", f.Detail)
		pg.item(4, 11, dim, "fix:", unbroken(f.Remedy))
	}
	return pg.err
}

// DoctorDocument is what doctor prints as JSON.
type DoctorDocument struct {
	FormatVersion int `json:"format_version"`
	// Rollout is whose hosts and wishes were looked at, "" for the fleet as it is.
	Rollout string `json:"rollout"`
	// Targets is how many were looked at.
	Targets  int             `json:"targets"`
	Problems []DoctorProblem `json:"problems"`
}

// DoctorProblem is one problem with everybody who has it, the worst first.
type DoctorProblem struct {
	Code string `json:"code"`
	Harm string `json:"harm" jsonschema:"enum=users_out,enum=no_way_back,enum=host_unusable,enum=upgrade_fails,enum=notice"`
	// Blocks is whether a rollout would leave these targets untouched.
	Blocks  bool     `json:"blocks"`
	Targets []string `json:"targets"`
	Summary string   `json:"summary"`
	Detail  string   `json:"detail"`
	Remedy  string   `json:"remedy"`
}

// DoctorJSON is the findings for programs.
func DoctorJSON(list []Finding, rollout string, looked int) DoctorDocument {
	v := DoctorDocument{FormatVersion: formatVersion, Rollout: rollout, Targets: looked, Problems: []DoctorProblem{}}
	words := []string{"users_out", "no_way_back", "host_unusable", "upgrade_fails", "notice"}
	for _, f := range list {
		v.Problems = append(v.Problems, DoctorProblem{f.Code, words[f.harm], f.Blocks, append([]string{}, f.Targets...), f.Summary, f.Detail, f.Remedy})
	}
	return v
}
