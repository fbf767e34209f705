package dnf

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/rpm"
	"github.com/ncfleet/ncfleet/plugins/stale"
)

// readings are the results by what they are of.
type readings struct {
	refresh                                                                        *driver.Result
	installed, newer, plain, obsoleting, security, locks, check, reboot, host, old driver.Result
}

func sortResults(r driver.ProbeRequest, results []driver.Result) (readings, error) {
	want := 10
	if r.Refresh {
		want++
	}
	if len(results) != want {
		return readings{}, driver.Errorf(driver.Permanent, "cannot read dnf's facts: %d results for %d probes", len(results), want)
	}
	var in readings
	if r.Refresh {
		in.refresh, results = &results[0], results[1:]
	}
	for i, to := range []*driver.Result{&in.installed, &in.newer, &in.plain, &in.obsoleting, &in.security, &in.locks, &in.check, &in.reboot, &in.host, &in.old} {
		*to = results[i]
	}
	return in, nil
}

// Facts reads the results of the probes.
func (d *dnf) Facts(_ context.Context, r driver.ProbeRequest, results []driver.Result) (driver.PackageFacts, error) {
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
	if in.refresh != nil {
		f.Problems = append(f.Problems, complaints("the package index cannot be renewed (dnf makecache)", *in.refresh)...)
	}
	for _, res := range results {
		if f.Lock == "" {
			f.Lock = lockHolder(res)
		}
	}
	f.Problems = append(f.Problems, complaints("the newer packages cannot be listed (dnf repoquery)", in.newer)...)
	f.Problems = append(f.Problems, complaints("security advisories cannot be listed (dnf updateinfo)", in.security)...)
	plain, obsoleting := readTable(string(in.plain.Stdout)), readTable(string(in.obsoleting.Stdout))
	for option, sim := range map[string]struct {
		table
		driver.Result
	}{"0": {plain, in.plain}, "1": {obsoleting, in.obsoleting}} {
		if !sim.done {
			sim.Exit = max(sim.Exit, 1)
			f.Problems = append(f.Problems, complaints("dnf upgrade with obsoletes="+option+" cannot be simulated", sim.Result)...)
		}
	}
	f.Broken, f.Problems = broken(in.check, f.Problems)
	var unknown string
	if f.Stale, unknown = stale.Read(in.old); unknown != "" {
		f.Stale = append(f.Stale, unknown)
	}
	f.RebootRequired = host.Reboot || installed.NewerKernel(host.Kernel) != "" || rebootWanted(in.reboot)
	seen := view(in, installed, plain, obsoleting)
	f.Pending = seen.Pending(d.Products, r.Upgrades)
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
func view(in readings, installed rpm.Installed, plain, obsoleting table) rpm.View {
	v := rpm.View{Installed: installed, Newer: readCandidates(in.newer), Changes: plain.changes,
		Removed: map[string]string{}, Kept: map[string]string{}, Security: map[string]bool{}}
	for _, t := range []table{plain, obsoleting} {
		for name, by := range t.removed {
			// An old kernel that makes room for a new one is no removal.
			if by == "" && slices.ContainsFunc(t.changes, func(p rpm.Package) bool { return p.Name == name }) {
				continue
			}
			v.Removed[name] = by
		}
		for _, p := range t.replaces {
			v.Replacing = append(v.Replacing, p)
		}
	}
	reason := reasons(string(in.plain.Stderr) + "\n" + string(in.plain.Stdout))
	for _, name := range plain.kept {
		v.Kept[name] = "kept back: its dependencies cannot be met" + reason[name]
	}
	going := map[string]bool{}
	for _, p := range plain.changes {
		going[p.Name] = true
	}
	for _, p := range v.Newer {
		if !going[p.Name] && v.Kept[p.Name] == "" {
			v.Kept[p.Name] = "kept back: dnf does not choose it; an exclude in its configuration, or dependencies that cannot be met" + reason[p.Name]
		}
	}
	for _, name := range readLocks(string(in.locks.Stdout)) {
		if !going[name] {
			v.Kept[name] = "locked (dnf versionlock)"
		}
	}
	for _, line := range strings.Split(string(in.security.Stdout), "\n") {
		for _, word := range strings.Fields(line) {
			if p, ok := rpm.SplitNEVRA(word); ok && installed.Has(p.Name) {
				v.Security[p.Name] = true
			}
		}
	}
	return v
}

func readCandidates(r driver.Result) []rpm.Package {
	var list []rpm.Package
	for _, line := range strings.Split(string(r.Stdout), "\n") {
		if f := strings.Split(strings.TrimRight(line, "\r"), "\t"); len(f) == 4 {
			list = append(list, rpm.Package{Name: f[0], EVR: strings.TrimPrefix(f[1], "0:"), Arch: f[2]})
		}
	}
	return list
}

var problemFor = regexp.MustCompile(`cannot install (?:the best update candidate for package|both) (\S+)`)

// reasons finds dnf's word on why a package is not updated, by name.
func reasons(text string) map[string]string {
	out := map[string]string{}
	name := ""
	for _, line := range strings.Split(text, "\n") {
		if m := problemFor.FindStringSubmatch(line); m != nil {
			p, _ := rpm.SplitNEVRA(m[1] + ".any")
			name = nameOf(m[1], p)
			continue
		}
		if detail, ok := strings.CutPrefix(strings.TrimSpace(line), "- "); ok && name != "" && out[name] == "" {
			out[name] = ": " + detail
		}
	}
	return out
}

// nameOf reads the name of a package that dnf writes with or without its
// architecture.
func nameOf(word string, p rpm.Package) string {
	if full, ok := rpm.SplitNEVRA(word); ok {
		return full.Name
	}
	return p.Name
}

var lockEntry = regexp.MustCompile(`^!?([A-Za-z0-9_][A-Za-z0-9_.+-]*)-(?:\d+:)?[^-\s]+-[^-\s]+$`)

// readLocks reads versionlock's entries, such as "bash-0:5.1.8-9.el9.*".
func readLocks(text string) []string {
	var names []string
	for _, line := range strings.Split(text, "\n") {
		if m := lockEntry.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			names = append(names, m[1])
		}
	}
	return names
}

var (
	duplicate = regexp.MustCompile(`^(\S+) is a duplicate with (\S+)$`)
	lacking   = regexp.MustCompile(`^(\S+) has missing requires of (.+)$`)
)

// broken reads dnf check. Two versions of one package are what a transaction
// leaves that was killed halfway.
func broken(r driver.Result, problems []string) ([]string, []string) {
	var names []string
	found := false
	for _, line := range strings.Split(string(r.Stdout), "\n") {
		line = strings.TrimSpace(line)
		if m := duplicate.FindStringSubmatch(line); m != nil {
			found = true
			if p, ok := rpm.SplitNEVRA(m[1]); ok {
				names = append(names, p.Name)
			}
			problems = append(problems, "a transaction was interrupted: "+line)
		}
		if m := lacking.FindStringSubmatch(line); m != nil {
			found = true
			if p, ok := rpm.SplitNEVRA(m[1]); ok {
				names = append(names, p.Name)
			}
			problems = append(problems, "dnf check: "+line)
		}
	}
	if r.Exit != 0 && !found {
		problems = append(problems, complaints("the installed packages cannot be checked (dnf check)", r)...)
	}
	slices.Sort(names)
	return slices.Compact(names), problems
}

// rebootWanted reads needs-restarting -r, whose status 1 also stands for errors.
func rebootWanted(r driver.Result) bool {
	return r.Exit == 1 && strings.Contains(string(r.Stdout), "Reboot is required")
}

var (
	lockedBy = regexp.MustCompile(`(?:already locked by|application with PID|process with pid) (\d+)(?: is: (\S+))?`)
	named    = regexp.MustCompile(`application with PID (\d+) is: (\S+)`)
)

// lockHolder finds the process that dnf names as holding a lock.
func lockHolder(r driver.Result) string {
	text := string(r.Stdout) + "\n" + string(r.Stderr)
	if m := named.FindStringSubmatch(text); m != nil {
		return rpm.Holder(m[1], m[2])
	}
	if m := lockedBy.FindStringSubmatch(text); m != nil {
		return rpm.Holder(m[1], "")
	}
	return ""
}

// complaints turns a failed command's errors into problems.
func complaints(what string, r driver.Result) []string {
	if r.Exit == 0 {
		return nil
	}
	var found []string
	for _, line := range strings.Split(string(r.Stderr)+"\n"+string(r.Stdout), "\n") {
		if text, ok := strings.CutPrefix(line, "Error: "); ok && len(found) < 5 && strings.TrimSpace(text) != "" {
			found = append(found, what+": "+strings.TrimSpace(text))
		}
	}
	if len(found) == 0 {
		found = append(found, fmt.Sprintf("%s: exit status %d: %s", what, r.Exit, rpm.FirstLine(r.Stderr, rpm.FirstLine(r.Stdout, "no message"))))
	}
	return found
}
