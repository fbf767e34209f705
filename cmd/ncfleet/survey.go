package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/inventory"
)

func surveyCommand(a *app) *cobra.Command {
	var rollout string
	var quiet bool
	c := &cobra.Command{Use: "survey [HOST …]", Short: "ask hosts what they are; changes nothing, prints JSON",
		RunE: func(cmd *cobra.Command, args []string) error {
			fleet, err := a.load()
			if err != nil {
				return err
			}
			var r *inventory.Rollout
			if rollout != "" {
				if r, err = pickRollout(fleet, rollout); err != nil {
					return err
				}
			}
			if len(args) == 0 {
				for _, h := range fleet.Hosts {
					args = append(args, h.Name)
				}
			}
			return a.survey(cmd.Context(), r, args, quiet)
		}}
	c.Flags().StringVar(&rollout, "rollout", "", "ask what this rollout would need")
	c.Flags().BoolVar(&quiet, "quiet", false, "count only")
	return c
}

func (a *app) survey(ctx context.Context, r *inventory.Rollout, hosts []string, quiet bool) error {
	w, err := a.open(r)
	if err != nil {
		return err
	}
	defer w.close()
	facts, err := w.survey(ctx, hosts, false)
	if err != nil {
		return err
	}
	unreachable := 0
	all := report.SurveyDocument{FormatVersion: 1, Hosts: []report.SurveyedHostDocument{}}
	for _, name := range hosts {
		f := facts[name]
		f.SeenAt = f.SeenAt.Truncate(time.Second)
		if f.Unreachable != "" {
			unreachable++
			fmt.Fprintf(a.stderr, "%s: %s\n", name, f.Unreachable)
		}
		all.Hosts = append(all.Hosts, report.FactsJSON(f))
	}
	if !quiet {
		if a.output == outputText {
			a.output = outputJSON // facts have no other form
		}
		if err := printList(a, all, all.Hosts); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.stderr, "%s surveyed, %d unreachable\n", report.Plural(len(hosts), "host"), unreachable)
	if unreachable > 0 {
		return &exitCode{exitError, ""}
	}
	return nil
}
