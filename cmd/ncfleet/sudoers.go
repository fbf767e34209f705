package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/report"
)

func sudoersCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "sudoers [HOST …]",
		Short: "the least that the login users need of sudo, as lines of a sudoers file",
		Long: "sudoers prints what the login users of the hosts need so that ncfleet can work there: the right to run sh as root,\n" +
			"and nothing else. It contacts no host. The output is a sudoers file: check it with visudo -c -f FILE and put it\n" +
			"into /etc/sudoers.d/ncfleet, owned by root, mode 0440.",
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			hosts, err := a.hosts(args)
			if err != nil {
				return err
			}
			var doc report.SudoersDocument
			for _, h := range hosts {
				c := remoteConfig(h)
				rule, why := c.SudoRule()
				if why != "" {
					doc.Needless(h.Name, why)
					continue
				}
				if rule.User == "ALL" {
					return fmt.Errorf("cannot write a rule for host %s: sudoers reads the user ALL as everybody", h.Name)
				}
				doc.Add(h.Name, rule.User, rule.Password, rule.Text())
			}
			if a.json() {
				return a.print(report.SudoersJSON(&doc))
			}
			return report.Sudoers(a.stdout, &doc)
		},
	}
}
