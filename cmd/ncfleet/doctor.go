package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/report"
)

func doctorCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor [ROLLOUT]",
		Short: "what is wrong on the hosts, worst first, and how to fix it; changes nothing",
		Long: "doctor surveys the hosts of a rollout as plan does, and lists what it found wrong by what it breaks:\n" +
			"users out, no way back, hosts that cannot be used, upgrades that would fail, things worth knowing.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, problems, err := a.plan(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			looked := len(p.Idle) + len(p.Blocked)
			for _, w := range p.Waves {
				looked += len(w.Targets)
			}
			list := report.Findings(&p, problems)
			if a.json() {
				err = a.print(report.DoctorJSON(list, looked))
			} else {
				err = report.Doctor(a.stdout, list, looked, a.look(a.stdout))
			}
			if err == nil && len(list) > 0 && list[0].Blocks {
				return &exitCode{exitError, ""}
			}
			return err
		},
	}
}
