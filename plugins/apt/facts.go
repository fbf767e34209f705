package apt

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"

	debversion "github.com/knqyf263/go-deb-version"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/stale"
)

// readings are the results by what they are of.
type readings struct {
	refresh                                       *driver.Result
	upgrade, full, status, holds, audit, box, old driver.Result
	offered                                       *driver.Result
}

func sortResults(r driver.ProbeRequest, results []driver.Result) (readings, error) {
	want := 7
	if r.Refresh {
		want++
	}
	if r.Offered {
		want++
	}
	if len(results) != want {
		return readings{}, driver.Errorf(driver.Permanent, "cannot read apt's facts: %d results for %d probes", len(results), want)
	}
	var got readings
	if r.Refresh {
		got.refresh, results = &results[0], results[1:]
	}
	if r.Offered {
		got.offered = &results[len(results)-1]
	}
	got.upgrade, got.full, got.status, got.holds, got.audit, got.box, got.old =
		results[0], results[1], results[2], results[3], results[4], results[5], results[6]
	return got, nil
}

// Facts reads the results of the probes.
func (a *apt) Facts(_ context.Context, r driver.ProbeRequest, results []driver.Result) (driver.PackageFacts, error) {
	var f driver.PackageFacts
	in, err := sortResults(r, results)
	if err != nil {
		return f, err
	}
	installed, broken, err := readStatus(in.status)
	if err != nil {
		return f, err
	}
	f.Broken = broken
	system := readHost(&f, string(in.box.Stdout))
	if in.box.Exit != 0 || !strings.HasSuffix(strings.TrimSpace(string(in.box.Stdout)), "end") {
		f.Problems = append(f.Problems, "locks and a wanted reboot are unknown: "+firstLine(in.box.Stderr, "the probe gave no answer"))
	}
	names, unknown := stale.Read(in.old)
	if f.Stale = names; unknown != "" {
		f.Stale = append(f.Stale, unknown)
	}
	if in.refresh != nil {
		f.Problems = append(f.Problems, complaints("the package index cannot be renewed (apt-get update)", *in.refresh)...)
	}
	for command, res := range map[string]driver.Result{"apt-get upgrade": in.upgrade, "apt-get dist-upgrade": in.full} {
		found := complaints(command+" cannot be simulated", res)
		if res.Exit == 0 && !summary.Match(res.Stdout) {
			found = append(found, command+" cannot be simulated: its output has no summary: "+firstLine(res.Stdout, "it is empty"))
		}
		f.Problems = append(f.Problems, found...)
	}
	if text := strings.TrimSpace(string(in.audit.Stdout)); text != "" && len(f.Broken) == 0 {
		f.Problems = append(f.Problems, "dpkg --audit: "+firstLine([]byte(text), ""))
	}
	for _, res := range results {
		if holder := lockHolder(string(res.Stdout) + "\n" + string(res.Stderr)); holder != "" && f.Lock == "" {
			f.Lock = holder
		}
	}
	f.Pending = a.pending(in, installed, r.Upgrades)
	if in.offered != nil {
		f.Offered = readOffered(f.Pending, string(in.offered.Stdout))
	}
	if r.Installed {
		f.Installed = installed
	}
	f.ReleaseSteps = releaseSteps(system, f.Pending, r.Upgrades)
	slices.Sort(f.Problems)
	f.Problems = slices.Compact(f.Problems)
	slices.Sort(f.Broken)
	return f, nil
}

// pending merges both simulations into one sorted list.
func (a *apt) pending(in readings, installed map[string]string, upgrades []string) []driver.PackageChange {
	some, all := readSimulation(string(in.upgrade.Stdout)), readSimulation(string(in.full.Stdout))
	held := map[string]bool{}
	for _, name := range strings.Fields(string(in.holds.Stdout)) {
		held[name] = true
	}
	changes := map[string]driver.PackageChange{}
	for name, c := range all.changes {
		if _, ok := some.changes[name]; !ok && !c.Held {
			c.Held, c.Reason = true, "kept back: it needs changes that apt-get upgrade does not make"
			if len(all.removed) > 0 {
				c.Reason = "kept back: together with it " + list(all.removed, 3) + " would be removed"
			}
		}
		changes[name] = c
	}
	for name, c := range some.changes {
		changes[name] = c
	}
	for _, name := range all.removed {
		changes[name] = driver.PackageChange{Name: name, From: installed[name], Change: driver.ChangeRemove}
	}
	for _, sim := range []simulation{some, all} {
		for name, kept := range sim.kept {
			if _, ok := changes[name]; ok {
				continue
			}
			if kept.From == "" {
				kept.From = installed[name]
			}
			kept.Name, kept.Held = name, true
			if held[name] || held[base(name)] {
				kept.Reason = "on hold (apt-mark hold)"
			}
			changes[name] = kept
		}
	}
	list := make([]driver.PackageChange, 0, len(changes))
	for _, c := range changes {
		list = append(list, c)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	a.Products.Decide(list, a.Products.Majors(installed), upgrades, less)
	return list
}

func less(a, b string) bool {
	va, errA := debversion.NewVersion(a)
	vb, errB := debversion.NewVersion(b)
	return errA == nil && errB == nil && va.LessThan(vb)
}

// base is a package's name without its architecture.
func base(name string) string {
	name, _, _ = strings.Cut(name, ":")
	return name
}

func list(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

var lockLine = regexp.MustCompile(`(?:held by process (\d+)(?: \(([^)]*)\))?|locked by another process with pid (\d+))`)

// lockHolder finds the process that apt or dpkg names as holding the lock.
func lockHolder(text string) string {
	m := lockLine.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return holder(m[1]+m[3], m[2])
}

func holder(pid, command string) string {
	if command == "" {
		return "process " + pid
	}
	return command + " (process " + pid + ")"
}

// summary ends every simulation that came to a result.
var summary = regexp.MustCompile(`(?m)^\d+ upgraded, \d+ newly installed, `)

// complaints turns a failed command's errors into problems.
func complaints(what string, r driver.Result) []string {
	if r.Exit == 0 {
		return nil
	}
	var found []string
	for _, line := range strings.Split(string(r.Stderr)+"\n"+string(r.Stdout), "\n") {
		if text, ok := strings.CutPrefix(line, "E: "); ok && len(found) < 5 {
			found = append(found, what+": "+text)
		}
	}
	if len(found) == 0 {
		found = append(found, fmt.Sprintf("%s: exit status %d: %s", what, r.Exit, firstLine(r.Stderr, "no message")))
	}
	return found
}

func firstLine(b []byte, otherwise string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	if line == "" {
		return otherwise
	}
	return line
}
