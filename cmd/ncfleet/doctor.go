package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/inventory"
)

func doctorCommand(a *app) *cobra.Command {
	var whole bool
	c := &cobra.Command{
		Use:   "doctor [ROLLOUT]",
		Short: "what is wrong on the hosts, worst first, and how to fix it; changes nothing",
		Long: "doctor surveys the hosts of a rollout as plan does, and more thoroughly, and lists what it found wrong by what it\n" +
			"breaks: users out, no way back, hosts that cannot be used, upgrades that would fail, things worth knowing.\n" +
			"Without ROLLOUT it takes the only one of the inventory; where there are none or several, and with --fleet, it\n" +
			"looks at the whole fleet as it is, whatever any rollout would want of it.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if whole && len(args) > 0 {
				return &exitCode{exitUsage, "error: --fleet looks at the fleet as it is; it goes without a rollout"}
			}
			return a.doctor(cmd.Context(), strings.Join(args, ""), whole)
		},
	}
	c.Flags().BoolVar(&whole, "fleet", false, "the whole fleet as it is, without a rollout")
	return c
}

func (a *app) doctor(ctx context.Context, name string, whole bool) error {
	fleet, err := a.load()
	if err != nil {
		return err
	}
	r := asIs(fleet)
	if name != "" || !whole && len(fleet.Rollouts) == 1 {
		if r, err = pickRollout(fleet, name); err != nil {
			return err
		}
	}
	w, err := a.open(r)
	if err != nil {
		return err
	}
	defer w.close()
	w.thorough = true
	in, err := w.input(ctx)
	if err != nil {
		return err
	}
	looked, problems := plan.Examine(in)
	list := report.Findings(looked, problems)
	if a.json() {
		err = a.print(report.DoctorJSON(list, r.Name, len(looked)))
	} else {
		err = report.Doctor(a.stdout, list, len(looked), a.look(a.stdout))
	}
	if err == nil && len(list) > 0 && list[0].Blocks {
		return &exitCode{exitError, ""}
	}
	return err
}

// asIs is a rollout over all hosts that wants nothing of them.
func asIs(fleet *inventory.Fleet) *inventory.Rollout {
	r := &inventory.Rollout{}
	for _, h := range fleet.Hosts {
		r.Hosts = append(r.Hosts, h.Name)
	}
	r.Waves = []inventory.Wave{{Name: "fleet", Hosts: r.Hosts}}
	return r
}
