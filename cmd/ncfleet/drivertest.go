package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/drivers"
	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest/conformance"
)

// testFlags are those of driver test.
type testFlags struct {
	config  string
	subject string
	store   string
	probes  string
	record  string
	local   bool
	limit   time.Duration
	verbose bool
}

func driverTestCommand(a *app) *cobra.Command {
	var f testFlags
	c := &cobra.Command{
		Use:   "test DRIVER",
		Short: "try every promise of the driver contract on an executable or a built-in driver",
		Long: `test starts a driver as a rollout would, tries every promise of the contract on it, and says which
ones it keeps: idempotency by key, restore, verify of damaged snapshots, foreign handles, calls at
the same time, calls given up, hosts lost and the driver killed in the middle of its work.

A snapshot driver is tried on a folder made for it, with this machine as its host: what it would run
on a host runs here, as you. --subject tries it on something else, which the trial changes and
restores: never name what you cannot lose.

A package driver changes nothing. It is tried with recorded results of its probes (--probes), or with
those of this machine (--local); --record keeps them for later.

Its configuration comes from its driver block in the file of --config, as in an inventory.`,
		Example: `  ncfleet driver test ./ncfleet-driver-copy --config test.hcl
  ncfleet driver test apt --local --record probes.json
  ncfleet driver test apt --probes probes.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.testDriver(cmd.Context(), args[0], f) },
	}
	flags := c.Flags()
	flags.StringVar(&f.config, "config", "", "HCL file with the driver's block")
	flags.StringVar(&f.subject, "subject", "", "JSON file that says what a snapshot driver is tried on (host, instance, places …)")
	flags.StringVar(&f.store, "store", "", "folder of this machine where a snapshot driver keeps snapshots, for the trial of damaged ones (default: the folder that its configuration names)")
	flags.StringVar(&f.probes, "probes", "", "JSON file with recorded results of a package driver's probes")
	flags.StringVar(&f.record, "record", "", "with --local: write what the probes said to this file")
	flags.BoolVar(&f.local, "local", false, "run a package driver's probes on this machine")
	flags.DurationVar(&f.limit, "limit", 5*time.Minute, "most time for one promise")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show the driver's log")
	return c
}

// underTest is a driver that is being tried.
type underTest struct {
	launcher *drivers.Launcher
	source   drivers.Source
	info     driver.Info
	config   driver.Config
	first    time.Duration // of its first start
}

func (a *app) testDriver(ctx context.Context, name string, f testFlags) error {
	log := slog.New(slog.DiscardHandler)
	if f.verbose {
		log = slog.New(slog.NewTextHandler(a.stderr, nil))
	}
	u := &underTest{launcher: drivers.NewLauncher(drivers.Options{Log: log})}
	begun := time.Now()
	if err := u.identify(ctx, name); err != nil {
		return err
	}
	u.first = time.Since(begun)
	if err := a.configureTest(u, f.config); err != nil {
		return err
	}
	begun = time.Now()
	if !a.json() {
		a.testHead(u)
	}
	r := conformance.NewReport(ctx, f.limit, func(l conformance.Line) {
		if !a.json() {
			a.testLine(l)
		}
	})
	r.Try(conformance.Promise{Name: "starts and ends", Fix: "Serve returns when it is closed; start no child that outlives the driver, and hold no stream open."}, u.startAndEnd)
	var err error
	switch u.info.Kind {
	case driver.KindSnapshot:
		err = u.trySnapshots(r, f)
	case driver.KindPackages:
		err = u.tryPackages(ctx, r, f)
	default:
		err = fmt.Errorf("cannot try driver %q: its kind %q is none of %q and %q", u.info.Name, u.info.Kind, driver.KindPackages, driver.KindSnapshot)
	}
	if err != nil {
		return err
	}
	return a.testEnd(u, r, time.Since(begun))
}

// identify finds the driver: a file by its path, else a built-in one by its
// name, else an executable of that name on the driver path.
func (u *underTest) identify(ctx context.Context, name string) error {
	path := name
	if !strings.ContainsRune(name, os.PathSeparator) {
		for _, b := range builtins {
			if b.name == name {
				var err error
				if u.source, err = u.launcher.Builtin(b.name, b.kind, "driver", "serve", b.name); err != nil {
					return err
				}
				u.info, err = b.make().Info(ctx)
				return err
			}
		}
		found, err := drivers.Find(name, driver.KindSnapshot, driverPath(), nil)
		if err != nil {
			if _, stat := os.Stat(name); stat != nil {
				return fmt.Errorf("%w\nor name an executable by its path, such as ./%s", err, name)
			}
			found.Path = name
		}
		path = found.Path
	}
	var err error
	u.source, u.info, err = u.launcher.Identify(ctx, path)
	return err
}

// configureTest reads the driver's block and checks it against its schema.
func (a *app) configureTest(u *underTest, file string) error {
	block := inventory.Driver{Kind: string(u.info.Kind), Name: u.info.Name}
	if file != "" {
		fleet, diags := inventory.Load([]string{file}, inventory.Options{KnownDrivers: builtinNames()})
		if err := diags.Render(a.stderr, a.color(a.stderr), a.width(a.stderr)); err != nil {
			return err
		}
		if diags.HasErrors() {
			return &exitCode{exitError, ""}
		}
		found := false
		for _, d := range fleet.Drivers {
			if d.Kind == block.Kind && d.Name == block.Name {
				block, found = d, true
			}
		}
		if !found {
			return fmt.Errorf("%s has no block: driver %q %q { … }", file, block.Kind, block.Name)
		}
	} else if missing := required(u.info.Schema); len(missing) > 0 {
		return fmt.Errorf("cannot try driver %q without its configuration; write a file such as test.hcl\n\n  driver %q %q {\n%s  }\n\nand add --config test.hcl",
			u.info.Name, block.Kind, block.Name, strings.Join(missing, ""))
	}
	var err error
	u.config, err = a.checkedConfig(u.info.Schema, block)
	return err
}

// required shows the attributes that a block cannot do without.
func required(s driver.Schema) []string {
	var lines []string
	for _, a := range s.Attributes {
		if a.Required {
			lines = append(lines, fmt.Sprintf("    %s = …  # %s: %s\n", a.Name, a.Type, a.Help))
		}
	}
	return lines
}

// launch starts the driver for one promise.
func (u *underTest) launch(t conformance.T) *drivers.Process {
	p, err := u.launcher.Launch(t.Context(), u.source)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("%v", err)
		}
	})
	return p
}

func (u *underTest) startAndEnd(t conformance.T) {
	p := u.launch(t)
	if err := p.Configure(t.Context(), u.config); err != nil {
		t.Errorf("Configure: %v", err)
	}
	begun := time.Now()
	if err := p.Close(); err != nil {
		t.Errorf("%v", err)
	}
	if took := time.Since(begun); took > 2500*time.Millisecond {
		t.Errorf("it was asked to end and had to be killed %s later", took.Round(time.Millisecond))
	}
}

func (a *app) testHead(u *underTest) {
	where := u.source.Path
	if u.source.Builtin {
		where = "built in"
	}
	caps := "no capabilities"
	if len(u.info.Capabilities) > 0 {
		caps = "capabilities: " + strings.Join(u.info.Capabilities, ", ")
	}
	fmt.Fprintf(a.stdout, "driver %q %q %s, protocol %d, %s\n%s, sha256 %.12s…, first start %s\n\n",
		u.info.Kind, u.info.Name, u.info.Version, driver.ProtocolVersion, caps, where, u.source.SHA256, u.first.Round(time.Millisecond))
}

// maxFoundLine bounds what the text report shows of one finding; the JSON
// report has it whole.
const maxFoundLine = 600

func (a *app) testLine(l conformance.Line) {
	fmt.Fprintf(a.stdout, "  %-10s %-42s %6.1f s\n", l.Verdict, l.Promise, l.Seconds)
	for _, f := range l.Found {
		if len(f) > maxFoundLine {
			f = strings.ToValidUTF8(f[:maxFoundLine], "") + " …"
		}
		fmt.Fprintf(a.stdout, "             %s\n", strings.ReplaceAll(f, "\n", "\n             "))
	}
	if l.Fix != "" {
		fmt.Fprintf(a.stdout, "             fix: %s\n", l.Fix)
	}
}

// driverTestDocument is which promises of the contract a driver keeps.
type driverTestDocument struct {
	FormatVersion int         `json:"format_version"`
	Kind          driver.Kind `json:"kind" jsonschema:"enum=packages,enum=snapshot"`
	Name          string      `json:"name"`
	Version       string      `json:"version"`
	Capabilities  []string    `json:"capabilities"`
	// Protocol is the version of the contract.
	Protocol int                `json:"protocol"`
	Path     string             `json:"path"`
	Builtin  bool               `json:"builtin"`
	SHA256   string             `json:"sha256"`
	Promises []conformance.Line `json:"promises"`
	Kept     int                `json:"kept"`
	Broken   int                `json:"broken"`
	NotTried int                `json:"not_tried"`
	Seconds  float64            `json:"seconds"`
}

// testEnd prints the summary, or the whole report as JSON.
func (a *app) testEnd(u *underTest, r *conformance.Report, took time.Duration) error {
	kept, broken, not := r.Count(conformance.Kept), r.Count(conformance.Broken), r.Count(conformance.NotTried)
	if a.json() {
		if err := a.print(driverTestDocument{
			FormatVersion: 1, Kind: u.info.Kind, Name: u.info.Name, Version: u.info.Version,
			Capabilities: append([]string{}, u.info.Capabilities...), Protocol: driver.ProtocolVersion,
			Path: u.source.Path, Builtin: u.source.Builtin, SHA256: u.source.SHA256,
			Promises: r.Lines, Kept: kept, Broken: broken, NotTried: not, Seconds: took.Seconds(),
		}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.stdout, "\n%s kept, %d broken, %d not tried, in %s\n", report.Plural(kept, "promise"), broken, not, took.Round(100*time.Millisecond))
	}
	if !r.OK() {
		return &exitCode{exitError, ""}
	}
	return nil
}
