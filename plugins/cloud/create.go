package cloud

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Create implements driver.Snapshotter.
func (s *snapshotter) Create(ctx context.Context, r driver.SnapshotRequest, run driver.Runner) (driver.Handle, error) {
	if r.Key == "" {
		return driver.Handle{}, driver.Errorf(driver.Permanent, "a snapshot needs a key")
	}
	defer s.lock("key " + r.Key)()
	if err := ctx.Err(); err != nil {
		return driver.Handle{}, err
	}
	m, err := s.machine(ctx, r.Subject)
	if err != nil {
		return driver.Handle{}, err
	}
	l, err := s.locate(ctx, m, r.Subject, run)
	if err != nil {
		return driver.Handle{}, err
	}
	w := work{snapshotter: s, machine: m, request: r, run: run}
	units, err := w.units(ctx, l)
	if err != nil {
		return driver.Handle{}, err
	}
	if err := w.capture(ctx, units); err != nil {
		return driver.Handle{}, wrap(err, "host %s, machine %s", r.Subject.Host, m.Name)
	}
	ids := make([]string, len(units))
	for i, u := range units {
		ids[i] = u.ID
	}
	return s.handle(r.Key, m.ID, ids), nil
}

// work is one Create.
type work struct {
	*snapshotter
	machine Machine
	request driver.SnapshotRequest
	run     driver.Runner
	flushed bool
}

// units returns what is to be captured. What an earlier call captured counts,
// even where a restore has replaced the machine's volumes since.
func (w *work) units(ctx context.Context, l located) ([]Unit, error) {
	have, err := w.usable(ctx)
	if err != nil {
		return nil, err
	}
	current := map[string]bool{}
	for _, u := range w.machine.Units {
		current[u.ID] = true
	}
	var before []Unit
	replaced := false
	for id, n := range have {
		before = append(before, Unit{ID: id})
		replaced = replaced || !current[id] && n.State == Ready
	}
	if replaced && len(before) >= len(l.units) {
		return before, nil
	}
	if len(l.units) == 0 {
		return nil, driver.Errorf(driver.Permanent, "host %s: no disk of machine %s holds anything of the target", w.request.Subject.Host, w.machine.Name)
	}
	return l.units, nil
}

// usable returns the snapshot that counts for each unit: the oldest ready one,
// or else the oldest pending one.
func (w *work) usable(ctx context.Context) (map[string]Snap, error) {
	all, err := w.snaps(ctx, Filter{Machine: w.machine.ID, Key: w.request.Key})
	if err != nil {
		return nil, err
	}
	return choose(all), nil
}

// choose picks from snapshots that are sorted oldest first.
func choose(all []Snap) map[string]Snap {
	best := map[string]Snap{}
	for _, state := range []string{Ready, Pending} {
		for _, n := range all {
			if _, ok := best[n.Unit]; !ok && n.State == state {
				best[n.Unit] = n
			}
		}
	}
	return best
}

// capture begins what is missing, waits for all and leaves one snapshot of each
// unit.
func (w *work) capture(ctx context.Context, units []Unit) error {
	for _, u := range units {
		if err := w.ensure(ctx, u); err != nil {
			return err
		}
	}
	failures, absent := 0, map[string]int{}
	err := w.pace.watch(ctx, "the snapshots of machine "+w.machine.Name, func(ctx context.Context) (bool, error) {
		have, err := w.usable(ctx)
		if err != nil {
			return false, err
		}
		ready := true
		for _, u := range units {
			n, listed := have[u.ID]
			ready = ready && listed && n.State == Ready
			if listed {
				continue
			}
			gone, err := w.vanished(ctx, u, absent)
			if err != nil || !gone {
				return false, err
			}
			if failures++; failures >= failedTries {
				return false, driver.Errorf(driver.Permanent, "the provider failed %d times to make a snapshot of %s: see its console", failures, u.ID)
			}
			absent[u.ID] = 0
			if err := w.ensure(ctx, u); err != nil {
				return false, err
			}
		}
		return ready, nil
	})
	if err != nil {
		return err
	}
	return w.dropExtra(ctx)
}

// vanished reports whether the unit's snapshot must be begun again: it failed,
// or does not appear in any list. Failed ones are deleted.
func (w *work) vanished(ctx context.Context, u Unit, absent map[string]int) (bool, error) {
	all, err := w.snaps(ctx, Filter{Machine: w.machine.ID, Key: w.request.Key})
	if err != nil {
		return false, err
	}
	failed := false
	for _, n := range all {
		if n.Unit == u.ID && n.State == Failed {
			failed = true
			if err := w.drop(ctx, n); err != nil {
				return false, err
			}
		}
	}
	absent[u.ID]++
	return failed || absent[u.ID] > appearLooks, nil
}

// ensure begins the unit's snapshot unless there is one.
func (w *work) ensure(ctx context.Context, u Unit) error {
	have, err := w.usable(ctx)
	if err != nil {
		return err
	}
	if _, ok := have[u.ID]; ok {
		return nil
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	tags := w.tags(u)
	return w.pace.call(ctx, func(ctx context.Context) error {
		_, err := w.provider.Begin(ctx, w.machine, u, tags)
		if err == nil {
			return nil
		}
		if found, looked := w.appears(ctx, u, err); looked == nil && found {
			return nil
		}
		return err
	})
}

// appears looks for a snapshot whose Begin gave an error. Where the answer was
// lost it looks several times, as lists run late.
func (w *work) appears(ctx context.Context, u Unit, cause error) (bool, error) {
	if !again(cause) {
		return false, nil
	}
	looks := 1
	if Unsure(cause) {
		looks = settleLooks
	}
	for i := range looks {
		if i > 0 {
			if err := sleep(ctx, w.pace.poll); err != nil {
				return false, err
			}
		}
		have, err := w.usable(ctx)
		if err != nil {
			return false, err
		}
		if _, ok := have[u.ID]; ok {
			return true, nil
		}
	}
	return false, nil
}

func (w *work) tags(u Unit) Tags {
	return Tags{Key: w.request.Key, Host: w.request.Subject.Host, Instance: w.request.Subject.Instance,
		Machine: w.machine.ID, Unit: u.ID, Created: time.Now().Truncate(time.Second)}
}

// dropExtra deletes all snapshots of the key but the one that counts for each
// unit: lost answers make others.
func (w *work) dropExtra(ctx context.Context) error {
	all, err := w.snaps(ctx, Filter{Machine: w.machine.ID, Key: w.request.Key})
	if err != nil {
		return err
	}
	best := choose(all)
	for _, n := range all {
		if n.State == Retained || best[n.Unit].ID == n.ID {
			continue
		}
		if err := w.drop(ctx, n); err != nil {
			return wrap(err, "cannot delete the extra snapshot %s", n.ID)
		}
	}
	return nil
}

// drop deletes one snapshot.
func (s *snapshotter) drop(ctx context.Context, n Snap) error {
	err := s.pace.call(ctx, func(ctx context.Context) error { return s.provider.Delete(ctx, n) })
	if missing(err) {
		return nil
	}
	return err
}

// flushLimit bounds the flush of a host's file systems.
const flushLimit = 9 * time.Minute

// flush writes out what the host holds in memory, once in a Create.
func (w *work) flush(ctx context.Context) error {
	if w.flushed || w.machine.State != Running {
		return nil
	}
	r, err := w.run.Run(ctx, driver.Command{Argv: []string{"sync"}, User: "root", Timeout: flushLimit})
	if err != nil {
		return wrap(err, "cannot flush the file systems of host %s", w.request.Subject.Host)
	}
	if r.Exit != 0 {
		return driver.Errorf(driver.Retryable, "cannot flush the file systems of host %s: sync ended with status %d: %s", w.request.Subject.Host, r.Exit, r.Stderr)
	}
	w.flushed = true
	return nil
}

// complete returns the ready snapshot of each of the handle's units. One that a
// list does not show is looked for again: lists run late, or backwards.
func (s *snapshotter) complete(ctx context.Context, h driver.Handle, d handleData) ([]Snap, error) {
	for look := 1; ; look++ {
		all, err := s.snaps(ctx, Filter{Machine: d.Machine, Key: h.Key})
		if err != nil {
			return nil, err
		}
		out, err := pick(all, h, d)
		if !missing(err) || look == settleLooks {
			return out, err
		}
		if err := sleep(ctx, s.pace.poll); err != nil {
			return nil, err
		}
	}
}

func pick(all []Snap, h driver.Handle, d handleData) ([]Snap, error) {
	best := choose(all)
	var out []Snap
	for _, u := range d.Units {
		n, ok := best[u]
		if !ok {
			return nil, driver.Errorf(driver.NotFound, "snapshot %s is gone: machine %s has no snapshot of %s with that key", h.Key, d.Machine, u)
		}
		if n.State != Ready {
			return nil, driver.Errorf(driver.Retryable, "snapshot %s of %s is not ready: the provider says %s", n.ID, u, n.State)
		}
		out = append(out, n)
	}
	return out, nil
}

// Verify implements driver.Snapshotter: every unit has a snapshot that the
// provider calls usable, and the machine that it belongs to is there. Its
// contents can be proven by a restore alone.
func (s *snapshotter) Verify(ctx context.Context, h driver.Handle, _ driver.Runner) (driver.Verification, error) {
	d, err := s.open(h)
	if err != nil {
		return driver.Verification{}, err
	}
	snaps, err := s.complete(ctx, h, d)
	if err != nil {
		return driver.Verification{}, err
	}
	m, err := s.find(ctx, d.Machine)
	if err != nil {
		return driver.Verification{}, wrap(err, "cannot find the machine of snapshot %s", h.Key)
	}
	v := driver.Verification{Verified: true}
	ids := make([]string, len(snaps))
	for i, n := range snaps {
		v.Bytes += n.Bytes
		ids[i] = n.ID
	}
	slices.Sort(ids)
	v.Detail = fmt.Sprintf("%s calls %d of %d snapshots of machine %s usable: %v; their contents are proven by a restore alone", s.Name, len(snaps), len(d.Units), m.Name, ids)
	return v, nil
}
