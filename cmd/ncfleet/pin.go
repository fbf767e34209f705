package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/inventory"
)

func pinCommand(a *app) *cobra.Command {
	c := &cobra.Command{Use: "pin", Short: "the exact versions in fleet.lock, by which rollouts with pin = \"canary\" are bound"}
	c.AddCommand(
		&cobra.Command{Use: "list [ROLLOUT]", Short: "what is pinned, since when and by which rollout", Args: cobra.MaximumNArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return a.listPins(strings.Join(args, "")) }},
		&cobra.Command{Use: "update [ROLLOUT-ID]", Short: "write what the first wave of a rollout ran into fleet.lock, from the journal", Args: cobra.MaximumNArgs(1),
			Long: "update writes fleet.lock from the journal. apply does so by itself when the first wave has passed;\nthis is for when it could not, or to go back to the pins of an earlier rollout.",
			RunE: func(_ *cobra.Command, args []string) error { return a.onRollout(args, a.updatePins) }},
		&cobra.Command{Use: "clear ROLLOUT", Short: "forget a rollout's pins: its next plan takes the newest versions, first wave first", Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return a.clearPins(args[0]) }},
	)
	return c
}

// pinsPath is where fleet.lock lies: beside the inventory.
func (a *app) pinsPath() (string, error) {
	paths, err := a.paths()
	if err != nil {
		return "", err
	}
	return filepath.Join(folderOf(paths), plan.LockName), nil
}

// readPins reads fleet.lock. A missing one is empty.
func (a *app) readPins() (plan.Lock, string, error) {
	path, err := a.pinsPath()
	if err != nil {
		return plan.Lock{}, "", err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return plan.Lock{}, path, nil
	}
	if err != nil {
		return plan.Lock{}, path, fmt.Errorf("cannot read the pins: %w", err)
	}
	l, err := plan.DecodeLock(text)
	var at *plan.LockError
	if errors.As(err, &at) {
		return l, path, fmt.Errorf("cannot read %s:%d: %s; restore it from version control, or delete it and run: %s pin update", path, at.Line, at.Cause, a.self())
	}
	return l, path, err
}

// pinsOf are the pins that bind a rollout, nil when none do.
func (a *app) pinsOf(r *inventory.Rollout, fresh bool) (*plan.Pinned, error) {
	if r.Pin == "" {
		if fresh {
			return nil, &exitCode{exitUsage, fmt.Sprintf("error: --new-pins: rollout %s is not pinned; write pin = \"canary\" into its block", r.Name)}
		}
		return nil, nil
	}
	if fresh {
		return nil, nil
	}
	l, _, err := a.readPins()
	if p, ok := l.Rollouts[r.Name]; ok {
		return &p, err
	}
	return nil, err
}

// pinsFit refuses a plan that was bound by pins that changed since.
func (a *app) pinsFit(p *plan.Plan) error {
	if p.Pin == nil || p.Pin.LockDigest == "" {
		return nil
	}
	l, path, err := a.readPins()
	if err != nil {
		return err
	}
	if l.Rollouts[p.Rollout].Digest() != p.Pin.LockDigest {
		return fmt.Errorf("cannot apply the plan of %s: the pins in %s changed since it was made; plan again with: %s plan %s", p.Rollout, path, a.self(), p.Rollout)
	}
	return nil
}

// writePins replaces fleet.lock in one step; a crash leaves the old or the new.
func writePins(path string, l plan.Lock) error {
	text, err := plan.EncodeLock(l)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+plan.LockName+"-*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer os.Remove(temp.Name()) // gone already when all went well
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close()); err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// pinner writes fleet.lock once the first wave of its rollout has passed.
type pinner struct {
	app  *app
	id   string
	j    *journal.Journal
	once sync.Once
}

// Event looks whether the first wave has passed.
func (p *pinner) Event(_ rollout.Event, s *rollout.State) {
	if done, _ := ranAll(s); !done {
		return
	}
	p.once.Do(func() {
		if l, _, err := p.app.readPins(); err == nil && l.Rollouts[s.Plan.Rollout].RolloutID == p.id {
			return // an earlier controller of this rollout did it
		}
		text, err := p.app.pinRollout(p.j, p.id, s)
		if err != nil {
			text = fmt.Sprintf("warning: the versions of the first wave are not pinned: %v; write them with: %s pin update %s", err, p.app.self(), p.id)
		}
		fmt.Fprintln(p.app.stderr, text)
	})
}

// Waiting is nothing to a pinner.
func (p *pinner) Waiting([]string, *rollout.State) {}

// ranAll reports whether the first wave of a rollout that makes new pins has
// passed, and why its versions must not be pinned, "" when they may.
func ranAll(s *rollout.State) (passed bool, why string) {
	pin := s.Plan.Pin
	if pin == nil || pin.New == nil {
		return false, "the rollout makes no new pins: its block has no pin = \"canary\", or it was bound by pins itself"
	}
	for i, w := range s.Plan.Waves {
		if w.Name != pin.Wave {
			continue
		}
		for _, t := range w.Targets {
			if st := s.Targets[t.Name].Status; st != rollout.Upgraded {
				why = fmt.Sprintf("%s of wave %s was not upgraded (%s)", t.Name, w.Name, st)
			}
		}
		if !s.Waves[i].Passed {
			return false, "wave " + w.Name + " has not passed"
		}
		return true, why
	}
	return true, "" // nothing was to be done in the first wave: it runs these versions already
}

// pinRollout writes what the first wave of a rollout ran, and says so.
func (a *app) pinRollout(j *journal.Journal, id string, s *rollout.State) (string, error) {
	if _, why := ranAll(s); why != "" {
		return "", errors.New(why)
	}
	events, err := j.Events(id, 0)
	if err != nil {
		return "", err
	}
	entry := plan.Pinned{RolloutID: id, Plan: plan.Digest(*s.Plan), Wave: s.Plan.Pin.Wave, By: who(), At: now().Truncate(time.Second), Pins: told(s.Plan, events)}
	l, path, err := a.readPins()
	if err != nil {
		return "", err
	}
	all := maps.Clone(l.Rollouts)
	if all == nil {
		all = map[string]plan.Pinned{}
	}
	all[s.Plan.Rollout] = entry
	if err := writePins(path, plan.Lock{Rollouts: all}); err != nil {
		return "", err
	}
	return fmt.Sprintf("pinned: what wave %s ran is in %s now (%s)", entry.Wave, path, counted(entry.Pins)), nil
}

// told are the new pins with what the steps of the first wave said: builds, and
// the versions of apps after the store was asked.
func told(p *plan.Plan, events []rollout.Event) plan.Pins {
	out := *p.Pin.New
	out.Releases, out.Apps = maps.Clone(out.Releases), map[string]string{}
	heard := false
	for _, e := range events {
		step, target := p.Step(e.Step)
		if e.Kind != rollout.EventStepDone || step == nil || !strings.HasPrefix(step.ID, p.Pin.Wave+"/"+target.Name+"/") {
			continue
		}
		if build := e.Evidence[rollout.EvidenceCode]; step.Kind == plan.KindHop && build != "" {
			for v, r := range out.Releases {
				if strings.HasPrefix(build, v+".") {
					r.Build = build
					out.Releases[v] = r
				}
			}
		}
		for name, v := range e.Evidence {
			id, ok := strings.CutPrefix(name, rollout.EvidenceApp)
			if !ok || step.Kind != plan.KindInspect {
				continue
			}
			heard = true
			if have := strings.Fields(out.Apps[id]); !slices.Contains(have, v) {
				have = append(have, v)
				slices.Sort(have)
				out.Apps[id] = strings.Join(have, " ")
			}
		}
	}
	if !heard {
		out.Apps = p.Pin.New.Apps
	}
	return out
}

func counted(p plan.Pins) string {
	n := 0
	for _, list := range p.Packages {
		n += len(list)
	}
	return strings.Join([]string{report.Plural(len(p.Releases), "release"), report.Plural(len(p.Apps), "app"),
		report.Plural(n, "package") + " on " + report.Plural(len(p.Packages), "platform")}, ", ")
}

func (a *app) updatePins(j *journal.Journal, id string) error {
	s, err := replay(j, id)
	if err != nil {
		return err
	}
	text, err := a.pinRollout(j, id, s)
	if err != nil {
		return fmt.Errorf("cannot pin the versions of rollout %s: %w", id, err)
	}
	a.say("%s", text)
	l, _, err := a.readPins()
	if err != nil {
		return err
	}
	return a.print(report.PinsJSON(l, s.Plan.Rollout))
}

func (a *app) clearPins(name string) error {
	l, path, err := a.readPins()
	if err != nil {
		return err
	}
	if _, ok := l.Rollouts[name]; !ok {
		return fmt.Errorf("%s has no pins of rollout %q; see: %s pin list", path, name, a.self())
	}
	delete(l.Rollouts, name)
	if err := writePins(path, l); err != nil {
		return err
	}
	a.say("%s: the pins of %s are gone; its next plan takes the newest versions, first wave first", path, name)
	return a.print(report.PinsJSON(l, ""))
}

func (a *app) listPins(name string) error {
	l, path, err := a.readPins()
	if err != nil {
		return err
	}
	if _, ok := l.Rollouts[name]; name != "" && !ok {
		return fmt.Errorf("%s has no pins of rollout %q", path, name)
	}
	if a.json() {
		return a.print(report.PinsJSON(l, name))
	}
	if len(l.Rollouts) == 0 {
		fmt.Fprintf(a.stderr, "nothing is pinned: there is no %s, or it is empty; a rollout with pin = \"canary\" writes it\n", path)
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, r := range slices.Sorted(maps.Keys(l.Rollouts)) {
		if name != "" && r != name {
			continue
		}
		p := l.Rollouts[r]
		fmt.Fprintf(w, "%s\t%s\t%s\n", r, p.At.Format("2006-01-02 15:04 MST"), counted(p.Pins))
		fmt.Fprintf(w, "\twave %s of %s\tby %s\n", p.Wave, p.RolloutID, p.By)
		if name == "" {
			continue
		}
		for _, v := range slices.Sorted(maps.Keys(p.Releases)) {
			fmt.Fprintf(w, "  release\t%s\t%s %.12s\n", v, p.Releases[v].Archive, p.Releases[v].SHA512)
		}
		for _, id := range slices.Sorted(maps.Keys(p.Apps)) {
			fmt.Fprintf(w, "  app\t%s\t%s\n", id, p.Apps[id])
		}
		for _, platform := range slices.Sorted(maps.Keys(p.Packages)) {
			for _, n := range slices.Sorted(maps.Keys(p.Packages[platform])) {
				fmt.Fprintf(w, "  %s\t%s\t%s\n", platform, n, p.Packages[platform][n])
			}
		}
	}
	return w.Flush()
}
