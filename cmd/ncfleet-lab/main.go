// Command ncfleet-lab keeps a fleet of realistic hosts on one Linux machine,
// for tests, for a first hour with ncfleet and for rehearsals. Its files hold
// flags, texts and exit codes, one file per verb or topic; the fleet is in
// package lab.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/cmd/ncfleet-lab/lab"
	"github.com/ncfleet/ncfleet/cmd/ncfleet-lab/ledger"
)

// Exit codes. A command run by exec ends with that command's own code.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 3
)

// exitCode carries a code through cobra's error return; an empty text is not shown.
type exitCode struct {
	code int
	text string
}

func (e *exitCode) Error() string { return e.text }

// app is one run of the program.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	dir, cache, output string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr})
	stop()
	os.Exit(code)
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, a *app) int {
	root := rootCommand(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var code *exitCode
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		if code.text != "" {
			fmt.Fprintln(a.stderr, code.text)
		}
		return code.code
	}
	fmt.Fprintf(a.stderr, "error: %v\n", err)
	return exitError
}

func rootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "ncfleet-lab",
		Short: "a fleet of realistic Nextcloud hosts on this machine, with faults at hand",
		Long: `ncfleet-lab brings up a fleet of hosts on this Linux machine: each has systemd, OpenSSH, a real package
tool (apt, dnf or zypper), PHP-FPM behind nginx, cron, a database and an installed Nextcloud, all in
namespaces of their own. The machine's network and mounts are not touched; "down" removes everything.

A first hour, as root:

  ncfleet-lab up 6                          # a few minutes the first time, then under a minute
  ncfleet-lab status
  ncfleet-lab run ncfleet -i /var/lib/ncfleet-lab/fleet.hcl plan
  ncfleet-lab run ncfleet -i /var/lib/ncfleet-lab/fleet.hcl apply --rollout monthly --yes
  ncfleet-lab cut lab-04                    # in the middle of it, from another terminal
  ncfleet-lab heal lab-04
  ncfleet-lab exec lab-04 journalctl -n 20
  ncfleet-lab down`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.output != "text" && a.output != "json" {
				return &exitCode{exitUsage, fmt.Sprintf("error: --output %q is neither text nor json", a.output)}
			}
			return nil
		},
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &exitCode{exitUsage, "error: " + err.Error() + "\nsee: " + c.CommandPath() + " --help"}
	})
	root.PersistentFlags().StringVar(&a.dir, "dir", lab.DefaultDir, "folder of the lab")
	root.PersistentFlags().StringVar(&a.cache, "cache", lab.DefaultCache, "folder of what is built once")
	root.PersistentFlags().StringVar(&a.output, "output", "text", "text or json (status only)")
	root.AddCommand(
		buildCommand(a), upCommand(a), downCommand(a), statusCommand(a), inventoryCommand(a), execCommand(a), runCommand(a),
		cutCommand(a), healCommand(a), refuseCommand(a), slowCommand(a), rebootCommand(a), resetCommand(a), freezeCommand(a), thawCommand(a),
		imageCommand(a), restoreImageCommand(a),
		fillCommand(a), drainCommand(a), lockPackagesCommand(a), offerCommand(a), ledger.Command(), serveCommand(a),
	)
	for _, c := range root.Commands() {
		wrongUse(c)
	}
	return root
}

// wrongUse makes wrong arguments errors of usage.
func wrongUse(c *cobra.Command) {
	check := c.Args
	if check == nil {
		return
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &exitCode{exitUsage, fmt.Sprintf("error: %v\nusage: %s\nsee: %s --help", err, cmd.UseLine(), cmd.CommandPath())}
		}
		return nil
	}
}

// lab opens the lab that the flags name.
func (a *app) lab() (*lab.Lab, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find this program: %w", err)
	}
	return lab.New(lab.Options{Dir: a.dir, Cache: a.cache, Holder: []string{self, "serve"}, Log: a.stderr})
}

// host opens a host of the lab.
func (a *app) host(name string) (*lab.Lab, *lab.Host, error) {
	l, err := a.lab()
	if err != nil {
		return nil, nil, err
	}
	if err := lab.Ready(); err != nil {
		return nil, nil, err
	}
	h, err := l.Host(name)
	return l, h, err
}

// flags are what must stand on a command line to mean the same lab.
func (a *app) flags() string {
	text := ""
	if a.dir != lab.DefaultDir {
		text += " --dir " + a.dir
	}
	if a.cache != lab.DefaultCache {
		text += " --cache " + a.cache
	}
	return text
}
