package executor

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// packages runs a driver's command lines as one detached run, in order, until
// one fails.
func (w *work) packages(ctx context.Context) Outcome {
	if len(w.step.Commands) == 0 {
		return Outcome{Status: Succeeded, Detail: "nothing to do"}
	}
	if w.step.Changes {
		if why, ok := w.mayBegin(ctx, nextcloud.BeginChange); !ok {
			return why
		}
	}
	c := driver.Command{Argv: []string{"sh", "-s"}, Stdin: []byte(commandScript(w.step.Commands)), User: "root", Timeout: w.timeout()}
	state, err := w.runAgain(ctx, w.id(), c)
	o := w.scriptOutcome(state, err)
	if o.Status == Failed && state.Phase == driver.RunExited && len(nextcloud.ParseReport(state.Stdout).Errors) == 0 {
		if why := packagesWhy(string(state.Stdout) + "\n" + string(state.Stderr)); why != "" {
			o.Detail = why
		}
	}
	if o.Status == Succeeded && w.step.Kind == plan.KindPackages {
		return w.installed(ctx, o)
	}
	return o
}

// commandScript renders commands as one script. Values are quoted; standard
// input is fed by printf, which is built into the shell.
func commandScript(commands []driver.Command) string {
	var b strings.Builder
	b.WriteString("set -u\nLC_ALL=C\nexport LC_ALL\nmain() {\n")
	for _, c := range commands {
		b.WriteString("printf 'ncfleet: run %s\\n' " + nextcloud.Quote(strings.Join(c.Argv, " ")) + "\n(\n")
		if c.Dir != "" {
			b.WriteString("cd " + nextcloud.Quote(c.Dir) + " || exit 126\n")
		}
		names := make([]string, 0, len(c.Env))
		for n := range c.Env {
			names = append(names, n)
		}
		sort.Strings(names)
		for _, n := range names {
			b.WriteString(n + "=" + nextcloud.Quote(c.Env[n]) + "\nexport " + n + "\n")
		}
		if len(c.Stdin) > 0 {
			b.WriteString("printf '%s' " + nextcloud.Quote(string(c.Stdin)) + " | " + nextcloud.QuoteArgv(c.Argv) + "\n")
		} else {
			b.WriteString(nextcloud.QuoteArgv(c.Argv) + " </dev/null\n")
		}
		b.WriteString(") || return $?\n")
	}
	b.WriteString("}\nmain\nexit $?\n")
	return b.String()
}

// installed compares what the host has with what the plan wanted: an exit
// status alone proves nothing. dpkg is asked for its versions; of another
// package manager its driver tells what is still pending, or broken.
func (w *work) installed(ctx context.Context, o Outcome) Outcome {
	want := w.target.Expect.PackagesTo
	if len(want) == 0 {
		return o
	}
	if w.step.Driver != "apt" {
		return w.settled(ctx, o)
	}
	argv := []string{"dpkg-query", "-W", "-f", "${binary:Package} ${Version} ${db:Status-Status}\\n", "--"}
	names := make([]string, 0, len(want))
	for n := range want {
		names = append(names, n)
	}
	sort.Strings(names)
	r, err := w.remote.Run(ctx, driver.Command{Argv: append(argv, names...), Timeout: 2 * time.Minute})
	if err != nil {
		return w.failed("cannot see which packages are installed", err)
	}
	have := map[string]string{}
	for _, line := range strings.Split(string(r.Stdout), "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[2] == "installed" {
			have[f[0]] = f[1]
			name, _, _ := strings.Cut(f[0], ":")
			if _, ok := have[name]; !ok {
				have[name] = f[1]
			}
		}
	}
	var wrong []string
	for _, n := range names {
		if want[n] != "" && have[n] != want[n] {
			wrong = append(wrong, fmt.Sprintf("%s is %s, planned %s", n, orElse(have[n], "not installed"), want[n]))
		}
	}
	if len(wrong) > 0 {
		o.Status, o.Detail = Failed, "packages are not as planned after the update: "+strings.Join(wrong, "; ")
		return o
	}
	o.Evidence["packages"] = strconv.Itoa(len(names)) + " as planned"
	return o
}

// settled looks with a survey whether a planned change is still to be made.
func (w *work) settled(ctx context.Context, o Outcome) Outcome {
	want := w.target.Expect.PackagesTo
	facts := w.Surveyor.TakePackages(ctx, w.step.Host)
	switch {
	case facts.Unreachable != "":
		o.Status, o.Detail = Failed, "cannot see which packages are installed: "+facts.Unreachable
		return o
	case facts.Packages == nil:
		o.Status, o.Detail = Failed, "cannot see which packages are installed: "+orElse(strings.Join(facts.Problems, "; "), "the package driver did not answer")
		return o
	}
	var wrong []string
	for _, c := range facts.Packages.Pending {
		if to, ok := want[c.Name]; ok && (c.To == to || slices.Contains(facts.Packages.Offered[c.Name], to)) {
			wrong = append(wrong, fmt.Sprintf("%s is %s, planned %s", c.Name, orElse(c.From, "not installed"), to))
		}
	}
	if broken := facts.Packages.Broken; len(broken) > 0 {
		wrong = append(wrong, "half installed: "+strings.Join(broken, ", "))
	}
	if len(wrong) > 0 {
		o.Status, o.Detail = Failed, "packages are not as planned after the update: "+strings.Join(wrong, "; ")
		return o
	}
	o.Evidence["packages"] = strconv.Itoa(len(want)) + " no longer pending"
	return o
}

// complaint is a line by which a package tool says what went wrong; text is a
// fmt format for the line's submatches.
type complaint struct {
	match *regexp.Regexp
	text  string
}

const (
	stillLocked = "the package manager is still locked by %s after the longest wait: wait until that has ended, or find out why it does not, then plan again"
	notOffered  = "the repository no longer offers %s, which the plan fixed so that all targets get the same: make a new plan"
)

// complaints are what the four package managers print, most telling first. The
// last lines of their output, which follow from these, say much less.
var complaints = []complaint{
	{regexp.MustCompile(`(?m)^E: Could not get lock .*held by process (\d+ \([^)\n]*\))`), fmt.Sprintf(stillLocked, "process %s")},
	// While it waits apt names the holder, at the end of its patience no more.
	{regexp.MustCompile(`(?s).*held by process (\d+ \([^)\n]*\)).*E: Unable to (?:acquire|lock) `), fmt.Sprintf(stillLocked, "process %s")},
	{regexp.MustCompile(`frontend lock was locked by another process with pid (\d+)`), fmt.Sprintf(stillLocked, "process %s")},
	{regexp.MustCompile(`System management is locked by the application with pid (\d+ \([^)\n]*\))`), fmt.Sprintf(stillLocked, "process %s")},
	{regexp.MustCompile(`RPMDB already locked by (\d+)`), fmt.Sprintf(stillLocked, "process %s")},
	{regexp.MustCompile(`(can't create transaction lock on \S+)`), fmt.Sprintf(stillLocked, "another process (%s)")},
	{regexp.MustCompile(`(?m)^ERROR: Unable to lock database: (.*)$`), fmt.Sprintf(stillLocked, "another process (%s)")},
	{regexp.MustCompile(`(?m)^E: Version '([^'\n]*)' for '([^'\n]*)' was not found`), fmt.Sprintf(notOffered, "version %s of %s")},
	{regexp.MustCompile(`(?m)^E: Unable to locate package (\S+)`), fmt.Sprintf(notOffered, "%s")},
	{regexp.MustCompile(`(?m)^E: Failed to fetch (\S+) +(?:404|File not found)`), fmt.Sprintf(notOffered, "%s")},
	{regexp.MustCompile(`(?m)^(?:No match for argument|Error: Unable to find a match): (.*)$`), fmt.Sprintf(notOffered, "%s")},
	{regexp.MustCompile(`(?m)^No provider of '([^'\n]*)' found`), fmt.Sprintf(notOffered, "%s")},
	{regexp.MustCompile(`(?m)^dpkg: error processing (?:package|archive) (\S+) \((--[a-z-]+)\)`), "package %s failed (%s): its own message stands in the output; after the rollback, repair it by hand"},
	{regexp.MustCompile(`(?m)(No space left on device|You don't have enough free space in \S+)`), "%s: make room on the host"},
	{regexp.MustCompile(`(?m)^E: (Packages need to be removed but remove is disabled)`), "%s: the planned versions cannot be installed beside what is there; plan again"},
	{regexp.MustCompile(`(?m)^E: (.+)$`), "%s"}, // apt's first error, which its later ones follow from
}

// packagesWhy finds in a package tool's output why it failed, "" when no known
// line tells.
func packagesWhy(output string) string {
	for _, c := range complaints {
		m := c.match.FindStringSubmatch(output)
		if m == nil {
			continue
		}
		words := make([]any, 0, len(m))
		for _, w := range m[1:] {
			words = append(words, strings.TrimSpace(w))
		}
		return fmt.Sprintf(c.text, words...)
	}
	return ""
}
