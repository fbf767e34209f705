// Command ncfleet plans and carries out rollouts over fleets of Nextcloud
// hosts. Its files hold flags, wiring and exit codes, one file per verb;
// decisions live in the packages below.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/sim"
)

// version is set by the linker in packages.
var version = "0.1.0-dev"

// Exit codes; the README documents them.
const (
	exitOK         = 0 // done, or plan found nothing to do
	exitError      = 1
	exitChanges    = 2 // plan: there is something to do
	exitUsage      = 3
	exitIncomplete = 4 // it ended, but targets were left untouched
	exitHalted     = 5 // it waits for a decision: halted, paused or detached
	exitAborted    = 6
	exitClosed     = 7 // an instance is closed to its users and nothing will open it by itself
	exitLocked     = 8 // another controller writes the journal
)

// exitCode carries a code through cobra's error return; an empty text is not shown.
type exitCode struct {
	code int
	text string
}

func (e *exitCode) Error() string { return e.text }

func main() {
	if status, handled := sim.Main(os.Args); handled {
		os.Exit(status) // a simulated host's tools start often: no flags, no wiring
	}
	if len(os.Args) > 1 && os.Args[1] == "sim-host" {
		os.Exit(simHostMain(os.Args[2:]))
	}
	os.Exit(run(context.Background(), os.Args[1:], newApp()))
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, a *app) int {
	defer a.endTraces()
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
	return codeOf(err)
}

func rootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "ncfleet",
		Short:         "upgrade fleets of Nextcloud hosts in canary waves, with a way back at every step",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			switch {
			case a.parallel < 1:
				return &exitCode{exitUsage, fmt.Sprintf("error: --parallel %d: at least one host at once", a.parallel)}
			}
			return a.checkOutput()
		},
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &exitCode{exitUsage, "error: " + err.Error() + "\nsee: " + c.CommandPath() + " --help"}
	})
	f := root.PersistentFlags()
	f.StringArrayVarP(&a.inventory, "inventory", "i", nil, "inventory file or folder (default: fleet.hcl, else the current folder)")
	f.StringVar(&a.stateDir, "state", "", "folder of the journal and the release cache (default: .ncfleet beside the inventory)")
	f.StringArrayVar(&a.vars, "var", nil, "set a variable of the inventory, NAME=VALUE")
	f.StringVar(&a.output, "output", outputText, "text; json: one document; ndjson: one object a line, events as they happen")
	f.BoolVar(&a.noColor, "no-color", false, "no colour, as with NO_COLOR")
	f.IntVar(&a.parallel, "parallel", 200, "most hosts surveyed at once")
	root.AddCommand(
		validateCommand(a), surveyCommand(a), planCommand(a), applyCommand(a), resumeCommand(a), statusCommand(a), watchCommand(a),
		pauseCommand(a), abortCommand(a), approveCommand(a), rollbackCommand(a), logCommand(a), leaseCommand(a),
		snapshotCommand(a),
		inventoryCommand(a),
		fmtCommand(a),
		doctorCommand(a),
		notifyCommand(a),
		driverCommand(a),
		demoCommand(a),
		versionCommand(a),
		reportCommand(a),
		sudoersCommand(a),
		schemaCommand(a),
		manCommand(a),
		metricsCommand(a),
		pinCommand(a),
		holdCommand(a),
		releaseCommand(a),
	)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	completions(a, root)
	usage(root)
	tellExits(root)
	return root
}
