package main

import (
	"io"

	"github.com/spf13/cobra"
)

// completions teaches the shell the names of hosts, rollouts and targets. A
// completion prints nothing of its own: what cannot be read completes nothing.
func completions(a *app, root *cobra.Command) {
	names := func(list func() []string) cobra.CompletionFunc {
		return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			out := a.stderr
			a.stderr = io.Discard
			defer func() { a.stderr = out }()
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return list(), cobra.ShellCompDirectiveNoFileComp
		}
	}
	for _, c := range root.Commands() {
		if c.Name() == "snapshot" {
			for _, verb := range c.Commands() {
				verb.ValidArgsFunction = names(a.hostNames)
			}
		}
		if c.Name() == "pin" {
			for _, verb := range c.Commands() {
				verb.ValidArgsFunction = names(a.rolloutNames)
				if verb.Name() == "update" {
					verb.ValidArgsFunction = names(a.rolloutIDs)
				}
			}
		}
		switch c.Name() {
		case "survey", "lease", "hold", "release":
			c.ValidArgsFunction = names(a.hostNames)
		case "plan", "doctor":
			c.ValidArgsFunction = names(a.rolloutNames)
		case "approve", "rollback":
			c.ValidArgsFunction = names(a.targetsOfNewest)
		case "status", "log", "resume":
			c.ValidArgsFunction = names(a.rolloutIDs)
		}
	}
}

func (a *app) hostNames() []string {
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

func (a *app) rolloutNames() []string {
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

func (a *app) rolloutIDs() []string {
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

func (a *app) targetsOfNewest() []string {
	j, err := a.read()
	if err != nil {
		return nil
	}
	defer j.Close()
	_, s, _, err := standing(j, nil)
	if err != nil {
		return nil
	}
	return targetNames(s)
}
