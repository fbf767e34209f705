package main

import (
	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/cmd/ncfleet-lab/lab"
)

func execCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "exec HOST COMMAND…",
		Short: "run a command in a host as root, also when its network is cut",
		Long: `exec enters the namespaces of a host and runs a command there as root. It needs no network. It ends with
the command's own exit code.`,
		Example: "  ncfleet-lab exec lab-01 systemctl --failed\n  ncfleet-lab exec lab-01 sh -c 'tail -n 5 /var/log/apt/history.log'",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, h, err := a.host(args[0])
			if err != nil {
				return err
			}
			err = h.Exec(cmd.Context(), a.stdin, a.stdout, a.stderr, args[1:]...)
			if code, ran := lab.Code(err); ran {
				return &exitCode{code, ""}
			}
			return err
		},
	}
	c.Flags().SetInterspersed(false)
	return c
}

func runCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "run COMMAND…",
		Short: "run a command of this machine in the lab's network, where the hosts can be reached",
		Long: `run runs a command of this machine with this machine's files, but inside the lab's network: that is how
ncfleet, ssh or curl reach the hosts. Nothing else can be reached there, and no names are resolved.`,
		Example: "  ncfleet-lab run ncfleet -i /var/lib/ncfleet-lab/fleet.hcl plan\n  ncfleet-lab run curl -s http://10.77.0.101/status.php",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := a.lab()
			if err != nil {
				return err
			}
			if err := lab.Ready(); err != nil {
				return err
			}
			line, err := l.Inside(args...)
			if err != nil {
				return err
			}
			return lab.Replace(line)
		},
	}
	c.Flags().SetInterspersed(false)
	return c
}
