package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/controller/sim"
)

// demoFlags are the demo's own.
type demoFlags struct {
	hosts  int
	keep   bool
	dir    string
	faults []string
}

func demoCommand(a *app) *cobra.Command {
	var d demoFlags
	c := &cobra.Command{
		Use:   "demo",
		Short: "a canary rollout over a simulated fleet on this machine; needs no root and touches nothing",
		Long: `demo starts a fleet of simulated hosts (folders behind SSH servers on 127.0.0.1), plans an upgrade
from Nextcloud 28 to 29 with package updates, and carries it out in waves. One host of a later wave
breaks in occ upgrade: it is rolled back, and the rollout ends within its failure budget.

The fleet's folder is removed at the end, unless --keep or --dir is given. A folder that was kept can
be served again with "ncfleet demo serve", and every other command tried on it from a second terminal.

Faults for --fault HOST=FAULT: ` + joinFaults() + `.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), d) },
	}
	c.Flags().IntVar(&d.hosts, "hosts", sim.DefaultHosts, "how many hosts")
	c.Flags().BoolVar(&d.keep, "keep", false, "keep the fleet's folder")
	c.Flags().StringVar(&d.dir, "dir", "", "a new folder for the fleet; implies --keep")
	c.Flags().StringArrayVar(&d.faults, "fault", nil, "what goes wrong, HOST=FAULT, instead of the one broken upgrade; may be given several times")
	c.AddCommand(demoServeCommand(a))
	return c
}

func joinFaults() string {
	var names []string
	for _, f := range sim.Faults() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

func demoServeCommand(a *app) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "serve --dir FOLDER",
		Short: "run the hosts of a kept demo fleet again, until interrupted",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return &exitCode{exitUsage, "error: name the folder of the fleet: ncfleet demo serve --dir FOLDER"}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			fleet, err := sim.Serve(ctx, dir, "")
			if err != nil {
				return err
			}
			a.say("%d hosts are up. From a second terminal:\n\n%sInterrupt to end them.", len(fleet.Hosts), tryNext(fleet.Dir))
			err = a.print(demoHostsDocument{1, fleet.Dir, filepath.Join(fleet.Dir, "fleet.hcl"), len(fleet.Hosts)})
			if err == nil {
				<-ctx.Done()
			}
			return errors.Join(err, fleet.Close())
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "the folder")
	return c
}

// demoHostsDocument is the hosts of a kept demo fleet, once they are up.
type demoHostsDocument struct {
	FormatVersion int    `json:"format_version"`
	Dir           string `json:"dir"`
	Inventory     string `json:"inventory"`
	Hosts         int    `json:"hosts"`
}

// options turns the flags into what is simulated. Without faults of one's own
// a host of the last wave breaks in occ upgrade.
func (d *demoFlags) options() (sim.Options, error) {
	o := sim.Options{Dir: d.dir, Hosts: d.hosts, Faults: map[string][]sim.Fault{}}
	if d.hosts < 1 || d.hosts > sim.MaxHosts {
		return o, &exitCode{exitUsage, fmt.Sprintf("error: --hosts %d: from 1 to %d", d.hosts, sim.MaxHosts)}
	}
	for _, text := range d.faults {
		host, fault, ok := strings.Cut(text, "=")
		if !ok {
			return o, &exitCode{exitUsage, fmt.Sprintf("error: --fault %s: write HOST=FAULT, such as cloud-03=disk-full", text)}
		}
		o.Faults[host] = append(o.Faults[host], sim.Fault(fault))
	}
	if len(d.faults) == 0 && d.hosts > 1 {
		o.Faults[sim.HostName(min(7, d.hosts))] = []sim.Fault{sim.UpgradeFails}
	}
	return o, nil
}

func (a *app) demo(ctx context.Context, d demoFlags) (err error) {
	begun := time.Now()
	o, err := d.options()
	if err != nil {
		return err
	}
	keep := d.keep || d.dir != ""
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "ncfleet-demo-"); err != nil {
			return fmt.Errorf("cannot make a folder for the demo: %w", err)
		}
	}
	talk := a.talk()
	fleet, err := sim.Start(ctx, o)
	if err != nil {
		return errors.Join(err, a.endDemo(nil, o.Dir, keep))
	}
	defer func() { err = errors.Join(err, a.endDemo(fleet, fleet.Dir, keep)) }()
	file := filepath.Join(fleet.Dir, "fleet.hcl")
	if err := fleet.WriteInventory(file); err != nil {
		return err
	}
	a.inventory, a.stateDir = []string{file}, ""
	fmt.Fprintf(talk, "%d simulated hosts are up, each behind an SSH server on 127.0.0.1.\n\n", len(fleet.Hosts))
	outcome := a.demoRollout(ctx, fleet.Dir, talk)
	fmt.Fprintf(talk, "\nThe demo took %d s.\n", int(time.Since(begun).Round(time.Second).Seconds()))
	demoEnd(talk, fleet.Dir, keep)
	return outcome
}

// demoRollout plans, shows the plan and carries it out, as plan and apply do.
func (a *app) demoRollout(ctx context.Context, dir string, talk io.Writer) error {
	// Until apply listens to them itself, signals must not leave hosts behind.
	planning, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	p, problems, err := a.plan(planning, sim.RolloutMonthly, false)
	interrupted := planning.Err()
	stop()
	if err = errors.Join(err, interrupted); err != nil {
		return err
	}
	for _, pr := range problems {
		return fmt.Errorf("the demo's own inventory has a problem: %s: %s", pr.Summary, pr.Detail)
	}
	if err := report.Text(talk, &p, report.Options{Width: a.width(talk), Color: a.color(talk)}); err != nil {
		return err
	}
	if err := writePlan(filepath.Join(dir, "plan.json"), p); err != nil {
		return err
	}
	if len(p.Waves) == 0 {
		return a.allBlocked(&p)
	}
	fmt.Fprintln(talk)
	return a.apply(ctx, p)
}

// endDemo stops the hosts and removes what is not kept.
func (a *app) endDemo(fleet *sim.Fleet, dir string, keep bool) error {
	var err error
	if fleet != nil {
		err = fleet.Close()
	}
	if keep {
		return err
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// demoEnd says where things lie and what to do next.
func demoEnd(w io.Writer, dir string, keep bool) {
	if !keep {
		fmt.Fprintf(w, `
Inventory, plan and journal were in %s and are removed now.
Keep them, and try every other command on these hosts:

  %s demo --keep
`, dir, self())
		return
	}
	fmt.Fprintf(w, `
  inventory  %s
  plan       %s
  journal    %s
  hosts      %s

Start the hosts again with

  %s demo serve --dir %s

and try, from a second terminal:

%s`, filepath.Join(dir, "fleet.hcl"), filepath.Join(dir, "plan.json"), filepath.Join(dir, ".ncfleet"),
		filepath.Join(dir, "hosts"), self(), dir, tryNext(dir))
}

// tryNext lists commands for a fleet in a folder.
func tryNext(dir string) string {
	inventory := filepath.Join(dir, "fleet.hcl")
	var b strings.Builder
	for _, c := range []struct{ line, what string }{
		{"status", "how the rollout stands"},
		{"log", "every event of it"},
		{"plan " + sim.RolloutMonthly, "what is left to do"},
		{"plan " + sim.RolloutFar, "to 31 in one go: every hop in its place"},
		{"apply --rollout " + sim.RolloutFar, "and do it"},
	} {
		fmt.Fprintf(&b, "  %s -i %s %s\n      # %s\n", self(), inventory, c.line, c.what)
	}
	return b.String() + "\n"
}

// self is how this program was called, for commands to copy.
func self() string {
	if exe, err := os.Executable(); err == nil && strings.Contains(exe, "go-build") {
		return "go run ./cmd/ncfleet"
	}
	return "ncfleet"
}
