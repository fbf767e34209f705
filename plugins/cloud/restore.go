package cloud

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Restore implements driver.Snapshotter. The machine runs when it returns, at
// the same addresses; whether the host answers is for the caller to see.
func (s *snapshotter) Restore(ctx context.Context, h driver.Handle, subject driver.Subject, _ driver.Runner) error {
	d, err := s.open(h)
	if err != nil {
		return err
	}
	defer s.lock("machine " + d.Machine)()
	if err := ctx.Err(); err != nil {
		return err
	}
	snaps, err := s.complete(ctx, h, d)
	if err != nil {
		return err
	}
	before, err := s.machine(ctx, subject)
	if err != nil {
		return err
	}
	if before.ID != d.Machine {
		return driver.Errorf(driver.Permanent, "host %s is machine %s now, and snapshot %s is of machine %s: correct the label %s, or restore by hand",
			subject.Host, before.ID, h.Key, d.Machine, s.label)
	}
	stages := Stages{pace: s.pace, Tags: Tags{Key: h.Key, Host: subject.Host, Instance: subject.Instance, Machine: d.Machine, Created: time.Now().Truncate(time.Second)}}
	err = s.pace.call(ctx, func(ctx context.Context) error {
		m, err := s.find(ctx, d.Machine)
		if err != nil {
			return err
		}
		return s.provider.Restore(ctx, m, snaps, stages)
	})
	if err != nil {
		return wrap(err, "cannot restore machine %s of host %s", before.Name, subject.Host)
	}
	return s.back(ctx, before)
}

// back waits for the machine to run, and compares its addresses.
func (s *snapshotter) back(ctx context.Context, before Machine) error {
	var after Machine
	err := s.pace.watch(ctx, "machine "+before.Name+" to run", func(ctx context.Context) (bool, error) {
		var err error
		after, err = s.find(ctx, before.ID)
		return err == nil && after.State == Running, err
	})
	if err != nil {
		return err
	}
	for _, a := range before.Addresses {
		if !slices.Contains(after.Addresses, a) {
			return driver.Errorf(driver.Permanent, "machine %s is restored and runs, but lost its address %s (it has %s): give it back in the provider's console",
				before.Name, a, strings.Join(after.Addresses, ", "))
		}
	}
	return nil
}

// Delete implements driver.Snapshotter: every snapshot of the key, and every
// volume that its restores left behind.
func (s *snapshotter) Delete(ctx context.Context, h driver.Handle, _ driver.Runner) error {
	d, err := s.open(h)
	if err != nil {
		return err
	}
	defer s.lock("key " + h.Key)()
	for range deletePasses {
		all, err := s.snaps(ctx, Filter{Machine: d.Machine, Key: h.Key})
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return nil
		}
		for _, n := range all {
			if err := s.drop(ctx, n); err != nil {
				return wrap(err, "cannot delete %s of snapshot %s", n.ID, h.Key)
			}
		}
		if err := sleep(ctx, s.pace.poll); err != nil {
			return err
		}
	}
	return driver.Errorf(driver.Retryable, "snapshot %s was deleted, but the provider still lists it: see its console", h.Key)
}

// Cover implements driver.Snapshotter.
func (s *snapshotter) Cover(ctx context.Context, subject driver.Subject, run driver.Runner) (driver.Coverage, error) {
	c := driver.Coverage{Consistent: true, BytesFree: -1, BytesNeed: -1}
	m, err := s.machine(ctx, subject)
	if err != nil {
		return c, err
	}
	l, err := s.locate(ctx, m, subject, run)
	if err != nil {
		return c, err
	}
	c.Captured, c.Missing = l.captured, l.holes
	gib, names := int64(0), []string{}
	for _, u := range l.units {
		gib += u.GiB
		names = append(names, u.ID)
	}
	c.BytesNeed = gib << 30
	c.Note = fmt.Sprintf("machine %s (%s): %s (%s)", m.Name, m.ID, counted(len(names), "snapshot"), strings.Join(names, ", "))
	if gib > 0 { // some providers do not tell
		c.Note += fmt.Sprintf(" of at most %d GiB", gib)
	}
	if s.price != "" {
		c.Note += fmt.Sprintf(", kept at about %s a GiB and month", s.price)
		if s.price == s.Price && s.PriceSource != "" {
			c.Note += " (an estimate: " + s.PriceSource + "; set price in the driver's block)"
		}
	}
	c.Note += "; a restore takes the whole machine back and restarts it"
	return c, nil
}

// List implements driver.Snapshotter. Orphans are snapshots of machines that
// are gone or that the host is no longer, and keys of which nothing is usable.
func (s *snapshotter) List(ctx context.Context, subject driver.Subject, _ driver.Runner) ([]driver.Snapshot, error) {
	machine := ""
	m, err := s.machine(ctx, subject)
	switch {
	case err == nil:
		machine = m.ID
	case !missing(err):
		return nil, err
	}
	all, err := s.snaps(ctx, Filter{})
	if err != nil {
		return nil, err
	}
	type set struct{ machine, key string }
	groups := map[set][]Snap{}
	for _, n := range all {
		if n.Host == subject.Host || machine != "" && n.Machine == machine {
			k := set{n.Machine, n.Key}
			groups[k] = append(groups[k], n)
		}
	}
	var out []driver.Snapshot
	for k, snaps := range groups {
		e := driver.Snapshot{Orphan: k.machine != machine}
		var units []string
		usable := false
		for _, n := range snaps {
			units = append(units, n.Unit)
			e.Bytes += n.Bytes
			e.Created = max(e.Created, n.Created.Unix())
			usable = usable || n.State == Ready || n.State == Pending
		}
		e.Orphan = e.Orphan || !usable
		e.Handle = s.handle(k.key, k.machine, units)
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b driver.Snapshot) int {
		if a.Created != b.Created {
			return int(b.Created - a.Created)
		}
		return strings.Compare(a.Handle.Key, b.Handle.Key)
	})
	return out, nil
}
