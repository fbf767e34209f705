package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// contract is what a command promises to programs: the documents that it
// prints and the exit codes that it may return.
type contract struct {
	command string // without "ncfleet"
	// json are the kinds of document of --output json: always one of them, or
	// nothing when the command failed before it had a result.
	json []string
	// ndjson are the kinds of the lines of --output ndjson where they are others.
	ndjson []string
	// exits has a sentence for each exit code beside those of every command.
	exits exits
}

type exits map[int]string

// everyExit are the exit codes that every command may return; a contract may
// say them in its own words.
var everyExit = exits{
	exitOK:    "done",
	exitError: "an error, told on standard error",
	exitUsage: "an unknown flag, a wrong argument or a bad value",
}

// rolloutExits are those of the commands that carry a rollout out, beside
// everyExit.
func rolloutExits(own exits) exits {
	all := exits{
		exitOK:         "the rollout succeeded",
		exitIncomplete: "the rollout ended, but targets were left untouched",
		exitHalted:     "the rollout waits: halted, paused or detached",
		exitAborted:    "the rollout was aborted",
		exitClosed:     "an instance is closed to its users and nothing will open it by itself; goes before any other",
		exitLocked:     "another controller writes the journal, or has taken over this one's hosts",
	}
	maps.Copy(all, own)
	return all
}

// allExits are all exit codes that there are, for the manual and the README.
var allExits = exits{
	exitOK:         "done; plan: nothing to do",
	exitError:      "an error; plan and apply: a target is blocked; survey and lease: a host is unreachable; doctor: something blocks",
	exitChanges:    "plan only: there is something to do",
	exitUsage:      "an unknown command or flag, a wrong argument or a bad value",
	exitIncomplete: "the rollout ended, but targets were left untouched",
	exitHalted:     "it waits: halted, paused or detached",
	exitAborted:    "aborted",
	exitClosed:     "an instance is closed to its users and nothing will open it by itself; goes before any other",
	exitLocked:     "another controller writes the journal, or has taken over this one's hosts",
}

// contracts has every command. A new command gets a line here, its documents
// in documents.go, and its exit codes are shown in TestEveryExitCode.
var contracts = []contract{
	{command: "abort", json: []string{"request"}},
	{command: "apply", json: []string{"outcome"}, ndjson: []string{"event", "outcome"}, exits: rolloutExits(exits{
		exitOK:    "the rollout succeeded, or there was nothing to do",
		exitError: "an error; every target is blocked; or the answer was not \"yes\"",
		exitUsage: "an unknown flag, a wrong argument or a bad value; no rollout named where there are several; a question without a terminal"})},
	{command: "approve", json: []string{"request"}},
	{command: "completion bash"}, {command: "completion fish"}, {command: "completion powershell"}, {command: "completion zsh"},
	{command: "demo", json: []string{"outcome"}, ndjson: []string{"event", "outcome"}, exits: rolloutExits(nil)},
	{command: "demo serve", json: []string{"demo-hosts"}, exits: exits{exitOK: "interrupted, all hosts ended"}},
	{command: "doctor", json: []string{"doctor"}, exits: exits{
		exitOK: "no problem stands in the way", exitError: "at least one problem stands in the way, or an error came up"}},
	{command: "driver list", json: []string{"drivers"}, ndjson: []string{"driver"}},
	{command: "driver lock", json: []string{"driver-lock"}},
	{command: "driver new", json: []string{"driver-new"}},
	{command: "driver test", json: []string{"driver-test"}, exits: exits{
		exitOK: "no promise is broken", exitError: "a promise is broken, or an error came up"}},
	{command: "driver verify", json: []string{"driver-verify"}, exits: exits{
		exitOK: "all drivers are as accepted", exitError: "a driver is not as accepted, or an error came up"}},
	{command: "fmt", json: []string{"formatted"}, exits: exits{
		exitError: "a file has an error; with --check, a file would change; or an error came up"}},
	{command: "hold", json: []string{"held"}, ndjson: []string{"held-host"}, exits: exits{
		exitError: "a host could not be held, or an error came up"}},
	{command: "inventory export ansible"}, {command: "inventory export json", json: []string{"inventory"}},
	{command: "inventory export prometheus"}, {command: "inventory export ssh-config"},
	{command: "inventory graph", json: []string{"graph"}},
	{command: "inventory import ansible", json: []string{"import"}},
	{command: "inventory import ssh-config", json: []string{"import"}},
	{command: "inventory list", json: []string{"hosts"}},
	{command: "inventory schema"},
	{command: "inventory show", json: []string{"host"}, exits: exits{exitUsage: "an unknown flag or host"}},
	{command: "lease", json: []string{"leases", "lease-broken"}, ndjson: []string{"lease", "lease-broken"}, exits: exits{
		exitError: "the lease of a host is not known, or an error came up",
		exitUsage: "an unknown flag, host or a bad value; --break without --reason"}},
	{command: "log", json: []string{"log"}, ndjson: []string{"event"}},
	{command: "man", json: []string{"man"}},
	{command: "metrics", json: []string{"metrics"}},
	{command: "notify", json: []string{"messages"}, ndjson: []string{"message"}, exits: exits{
		exitOK: "every message was sent", exitError: "a message was not sent, or an error came up"}},
	{command: "pause", json: []string{"request"}},
	{command: "pin clear", json: []string{"pins"}},
	{command: "pin list", json: []string{"pins"}},
	{command: "pin update", json: []string{"pins"}},
	{command: "plan", json: []string{"plan"}, exits: exits{
		exitOK:      "there is nothing to do",
		exitError:   "a target is blocked, or an error came up",
		exitChanges: "there is something to do",
		exitUsage:   "an unknown flag, a wrong argument or a bad value; no rollout named where there are several"}},
	{command: "release", json: []string{"held"}, ndjson: []string{"held-host"}, exits: exits{
		exitError: "a host could not be released, or an error came up"}},
	{command: "report", json: []string{"report"}, exits: exits{
		exitOK: "there are facts of every host", exitError: "there are none of a host, or an error came up"}},
	{command: "resume", json: []string{"outcome", "request"}, ndjson: []string{"event", "outcome", "request"}, exits: rolloutExits(exits{
		exitOK: "the rollout succeeded, or the controller that runs goes on"})},
	{command: "rollback", json: []string{"outcome", "request"}, ndjson: []string{"event", "outcome", "request"}, exits: rolloutExits(exits{
		exitOK:    "the rollout succeeded, or the controller that runs takes the target back",
		exitUsage: "an unknown flag, a wrong argument or a bad value; the target was opened, and --accept-loss is missing"})},
	{command: "schema", json: []string{"schemas", "schema-file"}, ndjson: []string{"schema", "schema-file"}},
	{command: "snapshot delete", json: []string{"snapshot-deleted"}},
	{command: "snapshot list", json: []string{"snapshots"}, ndjson: []string{"snapshot"}, exits: exits{
		exitError: "the snapshots of a target are not known, or an error came up"}},
	{command: "snapshot verify", json: []string{"snapshot-verified"}, exits: exits{
		exitOK: "the snapshot can be restored", exitError: "it cannot, or an error came up"}},
	{command: "status", json: []string{"outcome", "rollouts"}, ndjson: []string{"outcome", "rollout"}, exits: exits{
		exitOK: "told; no instance is closed for good", exitClosed: "an instance is closed to its users and nothing will open it by itself"}},
	{command: "sudoers", json: []string{"sudoers"}},
	{command: "survey", json: []string{"survey"}, ndjson: []string{"surveyed-host"}, exits: exits{
		exitOK: "every host was surveyed", exitError: "a host is unreachable, or an error came up"}},
	{command: "validate", json: []string{"validation"}, exits: exits{
		exitOK: "the inventory is valid", exitError: "it is not, or an error came up"}},
	{command: "version", json: []string{"version"}},
	{command: "watch", json: []string{"outcome"}, ndjson: []string{"event", "outcome"}, exits: exits{
		exitOK: "told; no instance is closed for good", exitClosed: "an instance is closed to its users and nothing will open it by itself"}},
}

// contractOf finds the contract of a command.
func contractOf(c *cobra.Command) (contract, bool) {
	name := strings.TrimPrefix(strings.TrimPrefix(c.CommandPath(), c.Root().Name()), " ")
	i := slices.IndexFunc(contracts, func(k contract) bool { return k.command == name })
	if i < 0 {
		return contract{}, false
	}
	return contracts[i], true
}

// codes are all exit codes of the command with their sentences.
func (k contract) codes() exits {
	all := maps.Clone(everyExit)
	maps.Copy(all, k.exits)
	return all
}

// lines are the kinds of document of --output ndjson.
func (k contract) lines() []string {
	if k.ndjson != nil {
		return k.ndjson
	}
	return k.json
}

// pairs are the codes in order, each with its sentence.
func (e exits) pairs() [][2]string {
	var list [][2]string
	for _, code := range slices.Sorted(maps.Keys(e)) {
		list = append(list, [2]string{strconv.Itoa(code), e[code]})
	}
	return list
}

// exitsNote is the annotation that holds a command's exit codes for its help.
const exitsNote = "exits"

// tellExits lets the help of a command and of those below it end with their
// exit codes.
func tellExits(c *cobra.Command) {
	for _, sub := range c.Commands() {
		tellExits(sub)
	}
	if k, ok := contractOf(c); ok {
		if c.Annotations == nil {
			c.Annotations = map[string]string{}
		}
		var lines []string
		for _, p := range k.codes().pairs() {
			lines = append(lines, "  "+p[0]+"  "+p[1])
		}
		c.Annotations[exitsNote] = strings.Join(lines, "\n")
	}
	if !c.HasParent() {
		c.SetUsageTemplate(c.UsageTemplate() + "{{with .Annotations}}{{with .exits}}\nExit codes:\n{{.}}\n{{end}}{{end}}")
	}
}
