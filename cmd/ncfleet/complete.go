package main

import (
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/controller/sim"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// lister gives the words that may stand in one place; args are those before it.
type lister func(args []string) []string

// argumentWords has for each command, by its name without "ncfleet", the words
// of its arguments: one list for each, or, with many, the first for all.
func (a *app) argumentWords() map[string]struct {
	lists []lister
	many  bool
} {
	type words = struct {
		lists []lister
		many  bool
	}
	one := func(list ...lister) words { return words{lists: list} }
	return map[string]words{
		"approve":         one(a.targetsOrWaves),
		"doctor":          one(a.rolloutNames),
		"driver test":     one(a.driverNames),
		"hold":            {[]lister{a.hostNames}, true},
		"inventory show":  one(a.hostNames),
		"lease":           {[]lister{a.hostNames}, true},
		"log":             one(a.rolloutIDs),
		"plan":            one(a.rolloutNames),
		"pin clear":       one(a.rolloutNames),
		"pin list":        one(a.rolloutNames),
		"pin update":      one(a.rolloutIDs),
		"release":         {[]lister{a.hostNames}, true},
		"report":          {[]lister{a.hostNames}, true},
		"resume":          one(a.rolloutIDs),
		"rollback":        one(a.targetsOfNewest),
		"schema":          one(func([]string) []string { return schemaNames() }),
		"snapshot delete": one(a.hostNames, a.snapshotKeys),
		"snapshot list":   {[]lister{a.hostNames}, true},
		"snapshot verify": one(a.hostNames, a.snapshotKeys),
		"status":          one(a.rolloutIDs),
		"sudoers":         {[]lister{a.hostNames}, true},
		"survey":          {[]lister{a.hostNames}, true},
		"watch":           one(a.rolloutIDs),
	}
}

// flagWords has the words of flags by their names. A flag of a name means the
// same in every command that has it.
func (a *app) flagWords() map[string]lister {
	return map[string]lister{
		"fault":   func([]string) []string { return faultWords() },
		"id":      a.rolloutIDs,
		"kind":    func([]string) []string { return []string{string(driver.KindPackages), string(driver.KindSnapshot)} },
		"output":  func([]string) []string { return outputs },
		"rollout": a.rolloutNames,
		"target":  a.targetNames,
	}
}

// completions teaches the shell the names of hosts, rollouts, targets, waves,
// snapshots and drivers. A completion prints nothing of its own and contacts no
// host: what cannot be read completes nothing.
func completions(a *app, root *cobra.Command) {
	quietly := func(list lister, args []string) []string {
		out := a.stderr
		a.stderr = io.Discard
		defer func() { a.stderr = out }()
		var words []string
		for _, w := range list(args) {
			if !slices.Contains(args, w) {
				words = append(words, w)
			}
		}
		return words
	}
	arguments, flags := a.argumentWords(), a.flagWords()
	var teach func(c *cobra.Command)
	teach = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			teach(sub)
		}
		for name, list := range flags {
			if c.LocalFlags().Lookup(name) == nil {
				continue
			}
			// It fails for a flag that has its words already: nothing to tell.
			_ = c.RegisterFlagCompletionFunc(name, func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
				return quietly(list, args), cobra.ShellCompDirectiveNoFileComp
			})
		}
		w, ok := arguments[strings.TrimPrefix(c.CommandPath(), root.Name()+" ")]
		if !ok {
			return
		}
		c.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			switch {
			case w.many:
				return quietly(w.lists[0], args), cobra.ShellCompDirectiveNoFileComp
			case len(args) < len(w.lists):
				return quietly(w.lists[len(args)], args), cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
	}
	teach(root)
}

func (a *app) hostNames([]string) []string {
	fleet, err := a.load()
	if err != nil {
		return nil
	}
	var out []string
	for _, h := range fleet.Hosts {
		out = append(out, h.Name)
	}
	return out
}

func (a *app) rolloutNames([]string) []string {
	fleet, err := a.load()
	if err != nil {
		return nil
	}
	var out []string
	for _, r := range fleet.Rollouts {
		out = append(out, r.Name)
	}
	return out
}

// targetNames are those of the inventory's hosts: a rollout may have none yet.
func (a *app) targetNames([]string) []string {
	fleet, err := a.load()
	if err != nil {
		return nil
	}
	var out []string
	for _, h := range fleet.Hosts {
		out = append(out, h.Name)
		for _, i := range h.Instances {
			if len(h.Instances) > 1 {
				out = append(out, h.Name+"/"+i.Name)
			}
		}
	}
	return out
}

// driverNames are the built-in drivers and those that the inventory uses.
func (a *app) driverNames([]string) []string {
	var out []string
	for _, b := range builtins {
		out = append(out, b.name)
	}
	if fleet, err := a.load(); err == nil {
		for _, d := range usedDrivers(fleet) {
			if !slices.Contains(out, d.Name) {
				out = append(out, d.Name)
			}
		}
	}
	return out
}

func faultWords() []string {
	var out []string
	for _, f := range sim.Faults() {
		out = append(out, sim.HostName(1)+"="+string(f))
	}
	return out
}

func (a *app) rolloutIDs([]string) []string {
	j, err := a.read()
	if err != nil {
		return nil
	}
	defer j.Close()
	list, err := j.List()
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range list {
		out = append(out, e.ID)
	}
	return out
}

// newest is the newest rollout as it stands, nil when it cannot be read.
func (a *app) newest() *rollout.State {
	j, err := a.read()
	if err != nil {
		return nil
	}
	defer j.Close()
	_, s, _, err := standing(j, nil)
	if err != nil {
		return nil
	}
	return s
}

func (a *app) targetsOfNewest([]string) []string {
	s := a.newest()
	if s == nil {
		return nil
	}
	return targetNames(s)
}

// targetsOrWaves are what approve may name: with --wave a wave, which it says
// itself when a target is given.
func (a *app) targetsOrWaves([]string) []string {
	s := a.newest()
	if s == nil {
		return nil
	}
	var out []string
	for _, w := range s.Plan.Waves {
		out = append(out, w.Name)
	}
	return append(targetNames(s), out...)
}

// snapshotKeys are the keys of the snapshots that the journal's rollouts took of
// the host in the argument before.
func (a *app) snapshotKeys(args []string) []string {
	j, err := a.read()
	if err != nil {
		return nil
	}
	defer j.Close()
	list, err := j.List()
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range list {
		s, err := replay(j, e.ID)
		if err != nil {
			continue
		}
		for _, w := range s.Plan.Waves {
			for _, t := range w.Targets {
				if t.Host != args[0] {
					continue
				}
				for _, h := range s.Handles(t.Name) {
					out = append(out, h.Key)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
