package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/cmd/ncfleet-lab/lab"
)

// fault is a verb that does one thing to one host. do returns what it did; undo
// is the verb that takes it back, with its arguments after HOST.
func (a *app) fault(use, short, undo string, do func(ctx context.Context, h *lab.Host) (string, error)) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, h, err := a.host(args[0])
			if err != nil {
				return err
			}
			did, err := do(cmd.Context(), h)
			if err != nil {
				return err
			}
			if undo != "" {
				did += fmt.Sprintf("; undo: ncfleet-lab%s %s %s", a.flags(), undo, h.Name)
			}
			fmt.Fprintln(a.stdout, did)
			return nil
		},
	}
}

func cutCommand(a *app) *cobra.Command {
	return a.fault("cut HOST", "pull the host's network cable", "heal", func(ctx context.Context, h *lab.Host) (string, error) {
		return h.Name + " is cut off: packets to and from it vanish", h.Cut(ctx)
	})
}

func healCommand(a *app) *cobra.Command {
	return a.fault("heal HOST", "undo cut, refuse and slow", "", func(ctx context.Context, h *lab.Host) (string, error) {
		return h.Name + " is reachable again, at full speed", h.Heal(ctx)
	})
}

func refuseCommand(a *app) *cobra.Command {
	return a.fault("refuse HOST", "let port 22 refuse new connections", "heal", func(ctx context.Context, h *lab.Host) (string, error) {
		return h.Name + " refuses new connections to port 22", h.Refuse(ctx)
	})
}

func slowCommand(a *app) *cobra.Command {
	var rate, loss string
	c := a.fault("slow HOST", "limit the host's bandwidth and lose packets, both ways", "heal", func(ctx context.Context, h *lab.Host) (string, error) {
		if rate == "" && loss == "" {
			rate = "1mbit"
		}
		did := h.Name + " is slow:"
		if rate != "" {
			did += " " + rate
		}
		if loss != "" {
			did += " loses " + strings.TrimSuffix(loss, "%") + "% of its packets each way"
		}
		return did, h.Slow(ctx, rate, loss)
	})
	c.Flags().StringVar(&rate, "rate", "", "bandwidth, such as 1mbit or 200kbit (default 1mbit without --loss)")
	c.Flags().StringVar(&loss, "loss", "", "share of packets lost each way, such as 10%")
	return c
}

func rebootCommand(a *app) *cobra.Command {
	var hard bool
	c := a.fault("reboot HOST", "reboot the host, or switch it on; waits until it is back", "", func(ctx context.Context, h *lab.Host) (string, error) {
		how := "has rebooted"
		if hard {
			how = "lost its power and is back"
		}
		if err := h.Reboot(ctx, hard); err != nil {
			return "", err
		}
		id, err := h.BootID(ctx)
		return h.Name + " " + how + "; its boot id is " + id, err
	})
	c.Flags().BoolVar(&hard, "hard", false, "cut the power: nothing gets a chance to end well")
	return c
}

func resetCommand(a *app) *cobra.Command {
	return a.fault("reset HOST", "make the host anew, as up made it", "", func(ctx context.Context, h *lab.Host) (string, error) {
		return h.Name + " is as it was after up", h.Reset(ctx)
	})
}

func freezeCommand(a *app) *cobra.Command {
	return a.fault("freeze HOST", "stop every process of the host, as a hung machine does", "thaw", func(ctx context.Context, h *lab.Host) (string, error) {
		return h.Name + " hangs: it accepts connections and answers nothing", h.Freeze(ctx)
	})
}

func thawCommand(a *app) *cobra.Command {
	return a.fault("thaw HOST", "undo freeze", "", func(ctx context.Context, h *lab.Host) (string, error) {
		return h.Name + " goes on", h.Thaw(ctx)
	})
}

func fillCommand(a *app) *cobra.Command {
	var leave string
	c := a.fault("fill HOST", "fill the host's data disk (/srv)", "drain", func(ctx context.Context, h *lab.Host) (string, error) {
		left, err := h.Fill(ctx, leave)
		return fmt.Sprintf("the data disk of %s has %d bytes left", h.Name, left), err
	})
	c.Flags().StringVar(&leave, "leave", "10M", "how much stays free, such as 0, 500K or 10M")
	return c
}

func drainCommand(a *app) *cobra.Command {
	return a.fault("drain HOST", "undo fill", "", func(ctx context.Context, h *lab.Host) (string, error) {
		return "the data disk of " + h.Name + " has its room again", h.Drain(ctx)
	})
}

func lockPackagesCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "lock-packages HOST SECONDS",
		Aliases: []string{"lock-apt"},
		Short:   "let a process of the host hold the locks of its package tools for a while",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			seconds, err := strconv.Atoi(args[1])
			if err != nil {
				return &exitCode{exitUsage, fmt.Sprintf("error: %q is no number of seconds", args[1])}
			}
			_, h, err := a.host(args[0])
			if err != nil {
				return err
			}
			if err := h.LockPackages(cmd.Context(), seconds); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "a process of %s holds the locks of its package tools for %d s; undo: ncfleet-lab%s exec %s systemctl stop lab-lock\n",
				h.Name, seconds, a.flags(), h.Name)
			return nil
		},
	}
}

func offerCommand(a *app) *cobra.Command {
	var broken bool
	c := a.fault("offer HOST", "let newer packages appear in the repository of the host", "", func(_ context.Context, h *lab.Host) (string, error) {
		did := h.Name + " is offered newer packages"
		if broken {
			did += ", and lab-bad 1.1, whose installation fails"
		}
		return did + "; it sees them when its package index is renewed; there is no way back", h.Offer(broken)
	})
	c.Flags().BoolVar(&broken, "broken", false, "among them one whose postinst script (or %post scriptlet) fails")
	return c
}
