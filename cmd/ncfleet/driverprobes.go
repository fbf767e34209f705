package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest/conformance"
)

// recorded is the file of --probes: what one host answered to a package
// driver's probes.
type recorded struct {
	Request   driver.ProbeRequest    `json:"request"`
	Results   []recordedResult       `json:"results"`
	Selection []driver.PackageChange `json:"selection,omitempty"` // none: the first pending updates
}

type recordedResult struct {
	Argv   []string `json:"argv,omitempty"` // for people
	Exit   int      `json:"exit"`
	Stdout string   `json:"stdout"`
	Stderr string   `json:"stderr,omitempty"`
}

func (r recorded) results() []driver.Result {
	var out []driver.Result
	for _, x := range r.Results {
		out = append(out, driver.Result{Exit: x.Exit, Stdout: []byte(x.Stdout), Stderr: []byte(x.Stderr)})
	}
	return out
}

// tryPackages tries a package driver.
func (u *underTest) tryPackages(ctx context.Context, r *conformance.Report, f testFlags) error {
	var rec recorded
	var err error
	switch {
	case f.local:
		rec, err = u.probeHere(ctx)
	case f.probes != "":
		var raw []byte
		if raw, err = os.ReadFile(f.probes); err == nil {
			err = json.Unmarshal(raw, &rec)
		}
		if err != nil {
			err = fmt.Errorf("cannot read the recorded probes: %s: %w", f.probes, err)
		}
	default:
		err = errors.New("a package driver is tried with what its probes say: add --probes FILE with recorded results, or --local to ask this machine")
	}
	if err != nil {
		return err
	}
	if f.record != "" {
		raw, err := json.MarshalIndent(rec, "", "  ")
		if err == nil {
			err = os.WriteFile(f.record, append(raw, '\n'), 0o644)
		}
		if err != nil {
			return fmt.Errorf("cannot record the probes: %w", err)
		}
	}
	if len(rec.Selection) == 0 {
		if rec.Selection, err = u.pending(ctx, rec); err != nil {
			return err
		}
	}
	conformance.PackageManager(r, conformance.Packages{
		Config: u.config, Request: rec.Request, Results: rec.results(),
		Selection: driver.Selection{Changes: rec.Selection},
		New: func(t conformance.T) driver.PackageManager {
			p := u.launch(t)
			d, err := p.PackageManager()
			if err != nil {
				t.Fatalf("%v", err)
			}
			return testedPackages{d, p}
		},
	})
	return nil
}

// use starts the driver, configured, for one question.
func (u *underTest) use(ctx context.Context, ask func(driver.PackageManager) error) error {
	p, err := u.launcher.Launch(ctx, u.source)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.Configure(ctx, u.config); err != nil {
		return err
	}
	d, err := p.PackageManager()
	if err != nil {
		return err
	}
	return ask(d)
}

// probeHere runs the driver's probes on this machine; they only read.
func (u *underTest) probeHere(ctx context.Context) (rec recorded, err error) {
	err = u.use(ctx, func(d driver.PackageManager) error {
		probes, err := d.Probes(ctx, rec.Request)
		if err != nil {
			return err
		}
		for _, c := range probes {
			r, err := conformance.LocalRunner{}.Run(ctx, c)
			if err != nil {
				return err
			}
			rec.Results = append(rec.Results, recordedResult{Argv: c.Argv, Exit: r.Exit, Stdout: string(r.Stdout), Stderr: string(r.Stderr)})
		}
		return nil
	})
	return rec, err
}

// maxSelected bounds what a trial compiles when nobody says what.
const maxSelected = 3

// pending selects the first updates that the driver itself finds.
func (u *underTest) pending(ctx context.Context, rec recorded) (out []driver.PackageChange, err error) {
	err = u.use(ctx, func(d driver.PackageManager) error {
		facts, err := d.Facts(ctx, rec.Request, rec.results())
		if err != nil {
			return err
		}
		for _, c := range facts.Pending {
			if c.Change == driver.ChangeUpdate && !c.Held && len(out) < maxSelected {
				out = append(out, c)
			}
		}
		if len(out) == 0 {
			return fmt.Errorf("cannot try Compile: the probes show no pending update (problems: %q); record them on a host that has some, or add a \"selection\" to the file", facts.Problems)
		}
		return nil
	})
	return out, err
}
