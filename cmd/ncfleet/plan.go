package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/controller/survey"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// pickRollout finds a rollout by name; "" means the only one.
func pickRollout(f *inventory.Fleet, name string) (*inventory.Rollout, error) {
	if name == "" && len(f.Rollouts) == 1 {
		return &f.Rollouts[0], nil
	}
	if r := f.Rollout(name); r != nil {
		return r, nil
	}
	var names []string
	for _, r := range f.Rollouts {
		names = append(names, r.Name)
	}
	if name == "" {
		return nil, &exitCode{exitUsage, "error: name a rollout; the inventory has: " + strings.Join(names, ", ")}
	}
	return nil, fmt.Errorf("the inventory has no rollout %q; it has: %s", name, strings.Join(names, ", "))
}

func planCommand(a *app) *cobra.Command {
	var file, target string
	var fresh bool
	c := &cobra.Command{
		Use:   "plan [ROLLOUT]",
		Short: "survey the hosts and decide everything; changes nothing",
		Long:  "plan surveys the hosts and decides the whole rollout: every target, wave and step. It changes nothing.",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, problems, err := a.plan(cmd.Context(), strings.Join(args, ""), fresh)
			if err != nil {
				return err
			}
			if err := a.showPlan(p, problems, target); err != nil {
				return err
			}
			if file != "" {
				if err := writePlan(file, p); err != nil {
					return err
				}
				fmt.Fprintf(a.stderr, "plan written to %s; carry it out with: %s apply %s\n", file, a.self(), nextcloud.Quote(file))
			}
			return planExit(p, problems)
		},
	}
	c.Flags().StringVarP(&file, "out", "o", "", "write the plan to FILE, for apply")
	c.Flags().StringVar(&target, "target", "", "show every step of this target")
	c.Flags().BoolVar(&fresh, "new-pins", false, "let the first wave take the newest versions; once it has passed they replace those of fleet.lock")
	return c
}

// plan surveys and decides. With fresh the pins of fleet.lock do not bind it.
func (a *app) plan(ctx context.Context, name string, fresh bool) (plan.Plan, []plan.Problem, error) {
	fleet, err := a.load()
	if err != nil {
		return plan.Plan{}, nil, err
	}
	r, err := pickRollout(fleet, name)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	lock, err := a.pinsOf(r, fresh)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	w, err := a.open(r)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	defer w.close()
	w.lock = lock
	in, err := w.input(ctx)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	p, problems := plan.Compute(in)
	return p, problems, nil
}

// input asks hosts, drivers and the release source for everything that a plan
// is made from.
func (w *world) input(ctx context.Context) (plan.Input, error) {
	in := plan.Input{Fleet: w.fleet, Rollout: w.rollout, Scripts: nextcloud.ScriptDigests(), Lock: w.lock}
	var err error
	if in.Zones, err = loadZones(w.rollout.ZoneNames()); err != nil {
		return in, err
	}
	if in.Facts, err = w.survey(ctx, w.rollout.Hosts, true); err != nil {
		return in, err
	}
	plan.Bind(&in)
	in.Releases, in.ReleasesProblem = w.releases(ctx, in.Facts)
	w.tryArchives(ctx, &in)
	if in.Catalogue, err = w.catalogue(ctx); err != nil {
		return in, err
	}
	if in.Coverage, err = w.coverage(ctx, in.Facts); err != nil {
		return in, err
	}
	if in.CompiledPackages, err = w.compiled(ctx, in.Facts); err != nil {
		return in, err
	}
	in.Drivers, err = w.driverUses(ctx, in.Facts)
	return in, err
}

// tryArchives tries from the hosts that fetch releases by themselves whether
// each of those is there for them: a source may answer and not have it.
func (w *world) tryArchives(ctx context.Context, in *plan.Input) {
	if w.rollout.Core.Transfer != "fetch" {
		return
	}
	archives := plan.Archives(*in)
	var requests []survey.Request
	for _, name := range w.rollout.Hosts {
		if h := w.fleet.Host(name); h != nil && len(archives[name]) > 0 && !silent(in.Facts[name].Downloads) {
			bare := *h
			bare.Instances = nil
			requests = append(requests, survey.Request{Host: bare, Remote: w.pool.Host(remoteConfig(h)), Now: now, Downloads: archives[name]})
		}
	}
	for _, f := range survey.Many(ctx, requests, w.app.parallel, survey.Take) {
		all := in.Facts[f.Host]
		all.Downloads = append(all.Downloads, f.Downloads...)
		in.Facts[f.Host] = all
	}
}

// silent reports whether a source did not answer at all.
func silent(tried []plan.Reach) bool {
	return slices.ContainsFunc(tried, func(r plan.Reach) bool { return !r.OK && r.Status == 0 })
}

// driverUses names the drivers of the rollout's hosts with their versions; the
// plan keeps those that its steps use.
func (w *world) driverUses(ctx context.Context, facts map[string]plan.Facts) ([]plan.DriverUse, error) {
	seen := map[plan.DriverUse]bool{}
	var uses []plan.DriverUse
	add := func(kind driver.Kind, name string) error {
		u := plan.DriverUse{Kind: string(kind), Name: name}
		if seen[u] {
			return nil
		}
		seen[u] = true
		i, err := w.driverInfo(ctx, kind, name)
		u.Version, u.Machine = i.Version, kind == driver.KindSnapshot && i.Has(driver.CapabilityMachine)
		uses = append(uses, u)
		return err
	}
	for _, name := range w.rollout.Hosts {
		h := w.fleet.Host(name)
		if err := add(driver.KindSnapshot, plan.SnapshotDriver(h)); err != nil {
			return nil, err
		}
		f := facts[name]
		if f.Packages == nil {
			continue
		}
		if err := add(driver.KindPackages, plan.PackagesDriver(h, &f)); err != nil {
			return nil, err
		}
	}
	return uses, nil
}

// driverInfo asks a driver what it is.
func (w *world) driverInfo(ctx context.Context, kind driver.Kind, name string) (driver.Info, error) {
	var d driver.Driver
	var err error
	switch kind {
	case driver.KindSnapshot:
		d, err = w.set.Snapshotter(name)
	case driver.KindPackages:
		d, err = w.set.PackageManager(name)
	default:
		err = fmt.Errorf("unknown kind of driver %q", kind)
	}
	if err != nil {
		return driver.Info{}, err
	}
	return d.Info(ctx)
}

// driversFit refuses a plan that was made with other versions of its drivers.
func (w *world) driversFit(ctx context.Context, p *plan.Plan) error {
	for _, u := range p.Drivers {
		if u.Version == "" {
			continue // the plan does not know it
		}
		i, err := w.driverInfo(ctx, driver.Kind(u.Kind), u.Name)
		if err != nil {
			return fmt.Errorf("cannot carry out the plan of %s: %w", p.Rollout, err)
		}
		if i.Version != u.Version {
			return fmt.Errorf("cannot carry out the plan of %s: it was made with %s driver %q version %s, and this one is %s; plan again with: %s plan %s",
				p.Rollout, u.Kind, u.Name, u.Version, i.Version, w.app.self(), p.Rollout)
		}
	}
	return nil
}

func (a *app) showPlan(p plan.Plan, problems []plan.Problem, target string) error {
	if len(problems) > 0 {
		if err := report.Problems(a.stderr, problems, a.look(a.stderr)); err != nil {
			return err
		}
	}
	if a.json() {
		return a.print(report.PlanJSON(&p, problems))
	}
	if len(problems) > 0 {
		return nil
	}
	o := a.look(a.stdout)
	o.Target = target
	return report.Text(a.stdout, &p, o)
}

// planExit gives 1 when a target is blocked, 2 when there is something to do,
// 0 when there is not.
func planExit(p plan.Plan, problems []plan.Problem) error {
	targets := 0
	for _, w := range p.Waves {
		targets += len(w.Targets)
	}
	switch {
	case len(p.Blocked) > 0 || len(problems) > 0:
		return &exitCode{exitError, ""}
	case targets > 0:
		return &exitCode{exitChanges, ""}
	}
	return nil
}

func writePlan(file string, p plan.Plan) error {
	text, err := plan.Encode(p)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("cannot write plan: %w", err)
	}
	return nil
}

// readPlan reads a plan file and refuses one that another inventory or another
// ncfleet made.
func (a *app) readPlan(file string) (plan.Plan, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return plan.Plan{}, fmt.Errorf("cannot read plan: %w", err)
	}
	p, err := plan.Decode(bytes.TrimSpace(text))
	if err != nil {
		if isPlan(text) {
			return plan.Plan{}, fmt.Errorf("cannot use plan %s: %w", file, err)
		}
		return plan.Plan{}, fmt.Errorf("%s is not a plan file of ncfleet; make one with: %s plan -o FILE", file, a.self())
	}
	return p, errors.Join(a.fits(&p), a.pinsFit(&p))
}

// isPlan reports whether a file is a plan, of whatever version.
func isPlan(text []byte) bool {
	var head struct {
		FormatVersion int
		Rollout       string
	}
	return json.Unmarshal(text, &head) == nil && head.FormatVersion > 0 && head.Rollout != ""
}

// fits refuses a plan whose inventory or host scripts are no longer those it
// was made with. Facts are checked host by host when apply begins.
func (a *app) fits(p *plan.Plan) error {
	fleet, err := a.load()
	if err != nil {
		return err
	}
	if p.InventoryDigest != fleet.Digest {
		return fmt.Errorf("cannot apply the plan of %s: the inventory changed since it was made; plan again with: %s plan %s", p.Rollout, a.self(), p.Rollout)
	}
	have := nextcloud.ScriptDigests()
	for name, digest := range p.Scripts {
		if have[name] != digest {
			return fmt.Errorf("cannot apply the plan of %s: it was made by an ncfleet with another %s; plan again with this one", p.Rollout, name)
		}
	}
	return nil
}

var errNothing = errors.New("nothing to do")
