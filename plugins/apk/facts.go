package apk

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/stale"
)

// readings are the results by what they are of.
type readings struct {
	refresh                                               *driver.Result
	installed, world, newer, simulation, check, host, old driver.Result
}

func sortResults(r driver.ProbeRequest, results []driver.Result) (readings, error) {
	want := 7
	if r.Refresh {
		want++
	}
	if len(results) != want {
		return readings{}, driver.Errorf(driver.Permanent, "cannot read apk's facts: %d results for %d probes", len(results), want)
	}
	var in readings
	if r.Refresh {
		in.refresh, results = &results[0], results[1:]
	}
	for i, to := range []*driver.Result{&in.installed, &in.world, &in.newer, &in.simulation, &in.check, &in.host, &in.old} {
		*to = results[i]
	}
	return in, nil
}

// Facts reads the results of the probes.
func (a *apk) Facts(_ context.Context, r driver.ProbeRequest, results []driver.Result) (driver.PackageFacts, error) {
	var f driver.PackageFacts
	in, err := sortResults(r, results)
	if err != nil {
		return f, err
	}
	installed := readInstalled(string(in.installed.Stdout))
	if len(installed) == 0 || in.installed.Exit != 0 {
		return f, driver.Errorf(driver.Permanent, "cannot read the installed packages: apk info ended with status %d: %s", in.installed.Exit, firstLine(in.installed.Stderr, "it listed none"))
	}
	if in.refresh != nil && in.refresh.Exit != 0 {
		f.Problems = append(f.Problems, complaint("the package index cannot be renewed (apk update)", *in.refresh))
	}
	if in.world.Exit != 0 {
		f.Problems = append(f.Problems, complaint("the pinned packages cannot be read (/etc/apk/world)", in.world))
	}
	if in.newer.Exit != 0 || !strings.Contains(string(in.newer.Stdout), "Available:") || missingIndex.Match(in.newer.Stdout) {
		f.Problems = append(f.Problems, complaint("the newer packages cannot be listed (apk version)", in.newer))
	}
	if in.simulation.Exit != 0 || !summary.Match(in.simulation.Stdout) {
		f.Problems = append(f.Problems, complaint("apk upgrade cannot be simulated", in.simulation))
	}
	f.Broken = readBroken(string(in.check.Stdout))
	if !summary.Match(in.check.Stdout) {
		f.Problems = append(f.Problems, complaint("the installed packages cannot be checked (apk fix --simulate)", in.check))
	}
	system := readHost(&f, string(in.host.Stdout), installed)
	if in.host.Exit != 0 || !strings.HasSuffix(strings.TrimSpace(string(in.host.Stdout)), "end") {
		f.Problems = append(f.Problems, "the lock and a wanted reboot are unknown: "+firstLine(in.host.Stderr, "the probe gave no answer"))
	}
	names, unknown := stale.Read(in.old)
	if f.Stale = names; unknown != "" {
		f.Stale = append(f.Stale, unknown)
	}
	f.Pending = pending(in, installed)
	if r.Installed {
		f.Installed = installed
	}
	a.Products.Decide(f.Pending, a.Products.Majors(installed), r.Upgrades, less)
	f.ReleaseSteps = releaseSteps(system, f.Pending, r.Upgrades)
	slices.Sort(f.Problems)
	f.Problems = slices.Compact(f.Problems)
	return f, nil
}

var nameVersion = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9_.+-]*?)-([0-9][^-\s]*(?:-r[0-9]+)?)$`)

// readInstalled reads apk info -v.
func readInstalled(text string) map[string]string {
	installed := map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		if m := nameVersion.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			installed[m[1]] = m[2]
		}
	}
	return installed
}

var (
	newerLine    = regexp.MustCompile(`^(\S+) +< +(\S+)`)
	moveLine     = regexp.MustCompile(`^\(\d+/\d+\) (Upgrading|Downgrading|Installing|Purging) (\S+) \((?:(\S+) -> )?(\S+)\)`)
	keptLine     = regexp.MustCompile(`^kept (\S+) ?(.*)`)
	brokenLine   = regexp.MustCompile(`^\(\d+/\d+\) (?:Reinstalling|Replacing) (\S+) `)
	missingIndex = regexp.MustCompile(`(?m)^(?:WARNING|ERROR): .*(?:opening|APKINDEX|No such file)`)
	// summary ends every run of apk that came to a result.
	summary = regexp.MustCompile(`(?m)^(?:OK:|\d+ errors?;) .* in \d+ packages`)
	pin     = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9_.+-]*)(?:[=<>~@].*)$`)
)

// pending puts together what apk would change and what it leaves alone.
func pending(in readings, installed map[string]string) []driver.PackageChange {
	pins := map[string]string{}
	for _, word := range strings.Fields(string(in.world.Stdout)) {
		if m := pin.FindStringSubmatch(word); m != nil {
			pins[m[1]] = word
		}
	}
	changes := map[string]driver.PackageChange{}
	for _, line := range strings.Split(string(in.newer.Stdout), "\n") {
		m := newerLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if nv := nameVersion.FindStringSubmatch(m[1]); nv != nil {
			c := driver.PackageChange{Name: nv[1], From: nv[2], To: m[2], Held: true, Reason: "kept back: apk does not choose it, for its dependencies or its repository"}
			if word := pins[nv[1]]; word != "" {
				c.Reason = "pinned in /etc/apk/world: " + word
			}
			changes[c.Name] = c
		}
	}
	for _, line := range strings.Split(string(in.simulation.Stdout), "\n") {
		if m := keptLine.FindStringSubmatch(line); m != nil {
			if c, ok := changes[m[1]]; ok {
				c.Reason = "kept back: its dependencies cannot be met: " + m[2]
				changes[m[1]] = c
			}
		}
		m := moveLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		c := driver.PackageChange{Name: m[2], From: m[3], To: m[4]}
		if m[1] == "Purging" {
			c.Change, c.From, c.To = driver.ChangeRemove, m[4], ""
		}
		changes[c.Name] = c
	}
	list := make([]driver.PackageChange, 0, len(changes))
	for _, c := range changes {
		list = append(list, c)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// readBroken reads apk fix --simulate: what it would install again.
func readBroken(text string) []string {
	var names []string
	for _, line := range strings.Split(text, "\n") {
		if m := brokenLine.FindStringSubmatch(line); m != nil {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	return names
}

var kernelRelease = regexp.MustCompile(`^(.+)-(\d+)-([a-z][a-z0-9]*)$`)

// readHost reads the host probe's lines and returns the system's release.
func readHost(f *driver.PackageFacts, text string, installed map[string]string) string {
	system := ""
	for _, line := range strings.Split(text, "\n") {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "lock":
			pid, command, _ := strings.Cut(value, " ")
			if f.Lock == "" && pid != "" {
				f.Lock = command + " (process " + pid + ")"
			}
		case "reboot":
			f.RebootRequired = true
		case "kernel":
			// Package linux-lts 6.6.31-r0 is the kernel 6.6.31-0-lts.
			if m := kernelRelease.FindStringSubmatch(value); m != nil && less(m[1]+"-r"+m[2], installed["linux-"+m[3]]) {
				f.RebootRequired = true
			}
		case "release":
			system = value
		}
	}
	return system
}

// complaint turns a failed command's first error into a problem.
func complaint(what string, r driver.Result) string {
	lines := strings.Split(string(r.Stderr)+"\n"+string(r.Stdout), "\n")
	for i, line := range lines {
		for _, mark := range []string{"ERROR: ", "WARNING: "} {
			text, ok := strings.CutPrefix(line, mark)
			if !ok {
				continue
			}
			if strings.HasSuffix(text, ":") && i+1 < len(lines) {
				text += " " + strings.TrimSpace(lines[i+1])
			}
			return what + ": " + text
		}
	}
	return fmt.Sprintf("%s: exit status %d: %s", what, r.Exit, firstLine(r.Stderr, firstLine(r.Stdout, "no message")))
}

func firstLine(b []byte, otherwise string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	if line == "" {
		return otherwise
	}
	return line
}
