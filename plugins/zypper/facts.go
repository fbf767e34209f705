package zypper

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/rpm"
	"github.com/ncfleet/ncfleet/plugins/stale"
)

// readings are the results by what they are of.
type readings struct {
	refresh                                                              *driver.Result
	installed, newer, update, security, locks, verify, reboot, host, old driver.Result
}

func sortResults(r driver.ProbeRequest, results []driver.Result) (readings, error) {
	want := 9
	if r.Refresh {
		want++
	}
	if len(results) != want {
		return readings{}, driver.Errorf(driver.Permanent, "cannot read zypper's facts: %d results for %d probes", len(results), want)
	}
	var in readings
	if r.Refresh {
		in.refresh, results = &results[0], results[1:]
	}
	for i, to := range []*driver.Result{&in.installed, &in.newer, &in.update, &in.security, &in.locks, &in.verify, &in.reboot, &in.host, &in.old} {
		*to = results[i]
	}
	return in, nil
}

// Facts reads the results of the probes.
func (z *zypper) Facts(_ context.Context, r driver.ProbeRequest, results []driver.Result) (driver.PackageFacts, error) {
	var f driver.PackageFacts
	in, err := sortResults(r, results)
	if err != nil {
		return f, err
	}
	installed, err := rpm.ReadInstalled(in.installed)
	if err != nil {
		return f, err
	}
	host := rpm.ReadHost(in.host)
	f.Lock = host.Lock
	if host.Problem != "" {
		f.Problems = append(f.Problems, host.Problem)
	}
	if in.refresh != nil && in.refresh.Exit != 0 {
		f.Problems = append(f.Problems, "the package index cannot be renewed (zypper refresh): "+refreshError(*in.refresh))
	}
	for _, res := range results {
		if m := lockedBy.FindSubmatch(append(slices.Clone(res.Stdout), res.Stderr...)); m != nil && f.Lock == "" {
			f.Lock = rpm.Holder(string(m[1]), string(m[2]))
		}
	}
	newer, update := read(in.newer.Stdout), read(in.update.Stdout)
	security, locks, verify := read(in.security.Stdout), read(in.locks.Stdout), read(in.verify.Stdout)
	for _, a := range []struct {
		what string
		answer
		driver.Result
		summary bool
	}{
		{"the newer packages cannot be listed (zypper list-updates)", newer, in.newer, false},
		{"zypper update cannot be simulated", update, in.update, true},
		{"security patches cannot be listed (zypper patch)", security, in.security, true},
		{"locks cannot be listed (zypper locks)", locks, in.locks, false},
	} {
		f.Problems = append(f.Problems, complaints(a.what, a.answer, a.Result, a.summary)...)
	}
	f.Broken, f.Problems = broken(installed, verify, in.verify, f.Problems)
	if names, unknown := stale.Read(in.old); unknown != "" {
		f.Stale = append(names, unknown)
	} else {
		f.Stale = names
	}
	f.RebootRequired = host.Reboot || installed.NewerKernel(host.Kernel) != "" || in.reboot.Exit == 102
	seen := view(installed, newer, update, security, locks)
	f.Pending = seen.Pending(z.Products, r.Upgrades)
	if r.Offered {
		f.Offered = seen.Offered(f.Pending)
	}
	if r.Installed {
		f.Installed = seen.Keyed()
	}
	f.ReleaseSteps = releaseSteps(host.ID, f.Pending, r.Upgrades)
	slices.Sort(f.Problems)
	f.Problems = slices.Compact(f.Problems)
	return f, nil
}

// view puts together what the probes said of the packages.
func view(installed rpm.Installed, newer, update, security, locks answer) rpm.View {
	v := rpm.View{Installed: installed, Newer: newer.updates, Removed: map[string]string{}, Kept: map[string]string{}, Security: map[string]bool{}}
	var leaving []string
	for _, p := range update.changes["to-remove"] {
		v.Removed[p.Name] = ""
		leaving = append(leaving, p.Name)
	}
	for kind, list := range update.changes {
		for _, p := range list {
			switch {
			case kind == "to-remove" || strings.Contains(kind, "vendor"):
			case kind == "to-install" && len(v.Removed) > 0 && !installed.Has(p.Name):
				// zypper does not say which one of the new takes an old one's place.
				v.Replacing = append(v.Replacing, p)
				v.Kept[p.Name] = "new, perhaps in place of " + strings.Join(leaving, ", ") + "; packages are never removed"
			default:
				v.Changes = append(v.Changes, p)
			}
		}
	}
	going := map[string]bool{}
	for _, p := range v.Changes {
		going[p.Name] = true
	}
	for _, p := range newer.updates {
		if going[p.Name] {
			continue
		}
		v.Kept[p.Name] = "kept back: zypper does not choose it, for its dependencies, its vendor or its repository's priority"
		if slices.ContainsFunc(locks.locks, func(glob string) bool { ok, err := path.Match(glob, p.Name); return ok && err == nil }) {
			v.Kept[p.Name] = "locked (zypper addlock)"
		}
	}
	for _, list := range security.changes {
		for _, p := range list {
			v.Security[p.Name] = true
		}
	}
	return v
}

// broken reads zypper verify, and finds two versions of one package, which a
// transaction leaves that was killed halfway.
func broken(installed rpm.Installed, a answer, r driver.Result, problems []string) ([]string, []string) {
	var names []string
	for _, name := range installed.Twice() {
		names = append(names, name)
		problems = append(problems, "a transaction was interrupted: "+name+" is installed in two versions")
	}
	for _, problem := range a.problems {
		problems = append(problems, "zypper verify: "+problem)
	}
	for kind, list := range a.changes {
		for _, p := range list {
			if slices.Contains(names, p.Name) {
				continue
			}
			names = append(names, p.Name)
			problems = append(problems, "zypper verify: dependencies are not met, "+strings.TrimPrefix(kind, "to-")+" of "+p.Name+" would repair it")
		}
	}
	if len(a.problems) == 0 {
		problems = append(problems, complaints("the installed packages cannot be checked (zypper verify)", a, r, true)...)
	}
	slices.Sort(names)
	return slices.Compact(names), problems
}

var lockedBy = regexp.MustCompile(`locked by the application with pid (\d+)(?: \(([^)]*)\))?`)

// complaints turns a failed or cut short command into problems. A resolution
// must be there where one was asked for.
func complaints(what string, a answer, r driver.Result, summary bool) []string {
	if r.Exit == 0 && a.done && (!summary || a.summary || nothing(r)) {
		return nil
	}
	if (r.Exit == 102 || r.Exit == 103) && a.done {
		return nil
	}
	var found []string
	for _, text := range append(slices.Clone(a.errors), a.problems...) {
		if len(found) < 5 {
			found = append(found, what+": "+text)
		}
	}
	if len(found) == 0 {
		found = append(found, fmt.Sprintf("%s: exit status %d: %s", what, r.Exit, rpm.FirstLine(r.Stderr, "no message")))
	}
	return found
}

func nothing(r driver.Result) bool {
	return strings.Contains(string(r.Stdout), "Nothing to do.") || strings.Contains(string(r.Stdout), "Dependencies of all installed packages are satisfied.")
}

// refreshError finds the line that names the repository and why.
func refreshError(r driver.Result) string {
	text := string(r.Stdout) + "\n" + string(r.Stderr)
	for _, mark := range []string{"Problem retrieving", "Valid metadata not found", "Error: ", "is locked by", "Some of the repositories"} {
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			if strings.Contains(line, mark) {
				if i+1 < len(lines) && strings.HasPrefix(mark, "Problem") {
					line += " " + lines[i+1]
				}
				return strings.TrimSpace(line)
			}
		}
	}
	return fmt.Sprintf("exit status %d: %s", r.Exit, rpm.FirstLine(r.Stderr, rpm.FirstLine(r.Stdout, "no message")))
}
