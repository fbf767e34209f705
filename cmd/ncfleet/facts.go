package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ncfleet/ncfleet/controller/drivers"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/release"
	"github.com/ncfleet/ncfleet/controller/remote"
	"github.com/ncfleet/ncfleet/controller/survey"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// world is what planning and applying reach outside this process: hosts,
// drivers, and the release source of one rollout.
type world struct {
	app     *app
	fleet   *inventory.Fleet
	rollout *inventory.Rollout
	set     *drivers.Set
	source  *release.Source
	pool    *remote.Pool
	// lock are the pins that bind the rollout's plan; nil without any.
	lock *plan.Pinned
	// thorough asks the hosts also what only a doctor wants to know.
	thorough bool
}

// open starts what a rollout needs. The caller closes it.
func (a *app) open(rollout *inventory.Rollout) (*world, error) {
	fleet, err := a.load()
	if err != nil {
		return nil, err
	}
	set, err := a.driverSet()
	if err != nil {
		return nil, err
	}
	state, err := a.state()
	if err != nil {
		return nil, err
	}
	w := &world{app: a, fleet: fleet, rollout: rollout, set: set, pool: a.connect()}
	if rollout != nil && rollout.Core.To != "" {
		w.source = &release.Source{Location: rollout.Core.Source, Cache: filepath.Join(state, "releases"),
			Integrity: rollout.Core.Integrity, Keyring: rollout.Core.Keyring}
	}
	return w, nil
}

func (w *world) close() error {
	err := w.set.Close()
	w.app.close()
	return err
}

// driverSet declares the inventory's drivers, pinned and with checked configuration.
func (a *app) driverSet() (*drivers.Set, error) {
	log := slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	l := drivers.NewLauncher(drivers.Options{Log: log})
	sources, used, err := a.sources(l)
	if err != nil {
		return nil, err
	}
	path, err := a.lockPath()
	if err != nil {
		return nil, err
	}
	lock, err := drivers.ReadLock(path)
	if err != nil {
		return nil, err
	}
	set := drivers.NewSet(l)
	for i, s := range sources {
		if s, err = lock.Pin(s); err != nil {
			return nil, err
		}
		config, err := a.driverConfig(l, s, used[i])
		if err != nil {
			return nil, err
		}
		if err := tryConfig(context.Background(), s, used[i], config); err != nil {
			return nil, err
		}
		if err := set.Add(s, config); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// driverConfig checks a driver block against the schema that the driver itself
// declares.
func (a *app) driverConfig(l *drivers.Launcher, s drivers.Source, d inventory.Driver) (driver.Config, error) {
	schema, err := schemaOf(l, s)
	if err != nil {
		return nil, err
	}
	return a.checkedConfig(schema, d)
}

// checkedConfig is the configuration that a block gives; problems are shown
// with their place in the operator's file.
func (a *app) checkedConfig(schema driver.Schema, d inventory.Driver) (driver.Config, error) {
	block := map[string]any{}
	for name, v := range d.Config {
		if ref, ok := v.(inventory.Secret); ok {
			v = drivers.Secret(ref) // judged before it is read
		}
		block[name] = v
	}
	if problems := drivers.CheckConfig(schema, block); len(problems) > 0 {
		var list []inventory.Problem
		for _, p := range problems {
			list = append(list, inventory.Problem{Attribute: p.Attribute, Summary: p.Summary, Detail: p.Detail, Conceal: p.Secret})
		}
		if err := d.Diagnose(list).Render(a.stderr, a.color(a.stderr), a.width(a.stderr)); err != nil {
			return nil, err
		}
		return nil, &exitCode{exitError, ""}
	}
	for name, v := range d.Config {
		if ref, ok := v.(inventory.Secret); ok {
			text, err := secret(ref)
			if err != nil {
				return nil, fmt.Errorf("driver %q %q, %s: %w", d.Kind, d.Name, name, err)
			}
			block[name] = drivers.Secret(text)
		}
	}
	return drivers.CompleteConfig(schema, block)
}

func schemaOf(l *drivers.Launcher, s drivers.Source) (driver.Schema, error) {
	if s.Builtin {
		for _, b := range builtins {
			if b.name == s.Name && b.kind == s.Kind {
				info, err := b.make().Info(context.Background())
				return info.Schema, err
			}
		}
	}
	_, info, err := l.Inspect(context.Background(), s)
	return info.Schema, err
}

// host returns the connection to a host of the inventory.
func (w *world) host(name string) (*remote.Host, *inventory.Host, error) {
	h := w.fleet.Host(name)
	if h == nil {
		return nil, nil, fmt.Errorf("cannot reach %s: the inventory has no host of that name", name)
	}
	return w.pool.Host(remoteConfig(h)), h, nil
}

// wantsPackages reports whether the rollout changes packages.
func (w *world) wantsPackages() bool {
	s := w.rollout.System
	return s.Level != "" && s.Level != "none" || len(s.Upgrades) > 0
}

// request says what a survey of one host must find out for the rollout.
func (w *world) request(h *inventory.Host, refresh bool) (survey.Request, error) {
	r := survey.Request{Host: *h, Remote: w.pool.Host(remoteConfig(h)), Now: now, Paths: []string{h.StateDir}}
	if w.rollout == nil {
		return r, nil
	}
	r.Shops, r.Indices = w.thorough, w.thorough
	if s := w.rollout.System; w.wantsPackages() {
		if name := plan.PackagesDriver(h, &plan.Facts{}); name != "" {
			pm, err := w.set.PackageManager(name)
			if err != nil {
				return r, err
			}
			r.Packages = pm
		} else {
			r.PackagesFor = func(manager string) (survey.Packages, error) { return w.set.PackageManager(manager) }
		}
		r.Probe = driver.ProbeRequest{Refresh: refresh && s.Refresh, Upgrades: s.Upgrades,
			Installed: slices.Contains(plan.Canary(w.rollout), h.Name), Offered: w.rollout.Pin != ""}
	}
	if w.rollout.Core.To != "" {
		r.SetupChecks = w.rollout.Gate.SetupChecks != "off"
		if w.rollout.Core.Transfer == "fetch" {
			r.Downloads = append(r.Downloads, w.rollout.Core.Source)
		}
	}
	if w.rollout.Apps.Update == "all" {
		r.AppStore, r.Shops = true, true
	}
	return r, nil
}

// survey asks all of the rollout's hosts, each at most surveyLimit long, and
// gives connections back: memory is for connected hosts only.
func (w *world) survey(ctx context.Context, hosts []string, refresh bool) (map[string]plan.Facts, error) {
	var requests []survey.Request
	for _, name := range hosts {
		h := w.fleet.Host(name)
		if h == nil {
			return nil, fmt.Errorf("cannot survey %s: the inventory has no host of that name", name)
		}
		r, err := w.request(h, refresh)
		if err != nil {
			return nil, err
		}
		requests = append(requests, r)
	}
	var told *surveyed
	sender := w.app.traces()
	if sender != nil {
		told = &surveyed{}
	}
	counted := w.app.count("surveyed", hosts)
	defer counted.end()
	list := survey.Many(ctx, requests, w.app.parallel, func(ctx context.Context, r survey.Request) plan.Facts {
		defer counted.done(r.Host.Name)
		ctx, cancel := context.WithTimeout(ctx, surveyLimit)
		defer cancel()
		f := told.take(func() plan.Facts { return survey.Take(ctx, r) })
		if len(requests) > w.app.parallel {
			if h, ok := r.Remote.(*remote.Host); ok {
				_ = h.Disconnect() // it is dialled again when needed
			}
		}
		return f
	})
	if sender != nil {
		name := ""
		if w.rollout != nil {
			name = w.rollout.Name
		}
		sender.Survey(name, told.list)
	}
	facts := make(map[string]plan.Facts, len(list))
	for _, f := range list {
		facts[f.Host] = f
	}
	return facts, nil
}

// surveyLimit bounds one host's survey; its parts have shorter limits.
const surveyLimit = 20 * time.Minute

// coverage asks the snapshot drivers what they would capture.
func (w *world) coverage(ctx context.Context, facts map[string]plan.Facts) (map[string]driver.Coverage, error) {
	subjects := plan.Subjects(w.fleet, w.rollout, facts)
	out := make(map[string]driver.Coverage, len(subjects))
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(w.app.parallel, 1))
	for name, s := range subjects {
		g.Go(func() error {
			conn, h, err := w.host(s.Host)
			if err != nil {
				return err
			}
			snap, err := w.set.Snapshotter(plan.SnapshotDriver(h))
			if err != nil {
				return err
			}
			c, err := snap.Cover(ctx, s, conn)
			if len(subjects) > w.app.parallel {
				_ = conn.Disconnect() // as in survey
			}
			if err != nil {
				c = driver.Coverage{BytesFree: -1, BytesNeed: -1}
				for _, p := range s.Places {
					c.Missing = append(c.Missing, driver.Hole{Place: p, Reason: err.Error()})
				}
			}
			mu.Lock()
			defer mu.Unlock()
			out[name] = c
			return nil
		})
	}
	return out, g.Wait()
}

// compiled lets the package drivers turn each host's selection into command lines.
func (w *world) compiled(ctx context.Context, facts map[string]plan.Facts) (map[string]driver.Commands, error) {
	out := map[string]driver.Commands{}
	for name, f := range facts {
		if f.Packages == nil {
			continue
		}
		selection := plan.SelectPackages(w.rollout.System, *f.Packages)
		if len(selection.Changes) == 0 {
			continue
		}
		pm, err := w.set.PackageManager(plan.PackagesDriver(w.fleet.Host(name), &f))
		if err != nil {
			return nil, err
		}
		c, err := pm.Compile(ctx, selection)
		if err != nil {
			return nil, fmt.Errorf("cannot compile the packages of %s: %w", name, err)
		}
		out[name] = c
	}
	return out, nil
}
