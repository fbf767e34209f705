package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

func logCommand(a *app) *cobra.Command {
	var filter report.LogFilter
	var byTarget bool
	c := &cobra.Command{Use: "log [ROLLOUT-ID]", Short: "every event of a rollout, oldest first, or target by target", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if byTarget && a.json() {
				return &exitCode{exitUsage, "error: --by-target is for people; with --output json each event names its target"}
			}
			return a.onRollout(args, func(j *journal.Journal, id string) error { return a.log(j, id, filter, byTarget) })
		}}
	c.Flags().StringVar(&filter.Target, "target", "", "this target only")
	c.Flags().StringVar(&filter.Step, "step", "", "this kind of step only, such as hop, inspect or undo-restore")
	c.Flags().BoolVar(&byTarget, "by-target", false, "all steps of a target together, each with its outcome, duration and evidence")
	return c
}

func (a *app) log(j *journal.Journal, id string, filter report.LogFilter, byTarget bool) error {
	s, err := replay(j, id)
	if err != nil {
		return err
	}
	events, err := j.Events(id, 0)
	if err != nil {
		return err
	}
	// A lease that was broken is an event about a host, which may be no target.
	about := func(e rollout.Event) bool { return e.Target == filter.Target }
	if filter.Target != "" && !slices.ContainsFunc(events, about) {
		if err := a.knownTarget(s, rollout.Event{Target: filter.Target}); err != nil {
			return err
		}
	}
	if filter.Step != "" && !report.HasStep(s.Plan, filter.Step) {
		return fmt.Errorf("the plan has no step %q; its steps are %s", filter.Step, report.StepNames(s.Plan))
	}
	if byTarget {
		return report.LogByTarget(a.stdout, s.Plan, events, filter, a.look(a.stdout))
	}
	if a.json() {
		all := report.LogJSON(id, events, filter)
		return printList(a, all, all.Events)
	}
	return report.Log(a.stdout, events, filter, a.look(a.stdout))
}
