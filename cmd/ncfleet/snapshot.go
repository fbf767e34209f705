package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/remote"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Limits of what one snapshot driver is asked for.
const (
	listSnapshots  = 5 * time.Minute
	proveSnapshot  = 30 * time.Minute
	dropSnapshot   = 30 * time.Minute
	noSnapshotHint = "see which there are: ncfleet snapshot list"
)

func snapshotCommand(a *app) *cobra.Command {
	c := &cobra.Command{Use: "snapshot", Short: "list, verify and delete the snapshots that rollouts took"}
	c.AddCommand(
		&cobra.Command{Use: "list [HOST...]", Short: "all snapshots of the hosts, and which of them a rollout may still need", Args: cobra.ArbitraryArgs,
			RunE: func(cmd *cobra.Command, args []string) error { return a.listSnapshots(cmd.Context(), args) }},
		&cobra.Command{Use: "verify HOST KEY", Short: "prove that a snapshot can be restored", Args: cobra.ExactArgs(2),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.verifySnapshot(cmd.Context(), args[0], args[1])
			}},
		&cobra.Command{Use: "delete HOST KEY", Short: "delete a snapshot that no rollout needs any more", Args: cobra.ExactArgs(2),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.deleteSnapshot(cmd.Context(), args[0], args[1])
			}},
	)
	return c
}

// kept is one snapshot, or why those of a target could not be listed.
type kept struct {
	host, target, driver string
	driver.Snapshot
	needed string // why a rollout may still need it
	err    error
}

// snapshots are all snapshots of the hosts, in order of host, target and age.
// The hosts are surveyed first: a driver wants to know what a target is.
func (w *world) snapshots(ctx context.Context, names []string) ([]kept, error) {
	hosts, err := w.app.hosts(names)
	if err != nil {
		return nil, err
	}
	names = nil
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	facts, err := w.survey(ctx, names, false)
	if err != nil {
		return nil, err
	}
	lists := make([][]kept, len(hosts))
	var g errgroup.Group
	g.SetLimit(w.app.parallel)
	for i, h := range hosts {
		g.Go(func() error {
			f := facts[h.Name]
			if f.Unreachable != "" {
				lists[i] = []kept{{host: h.Name, target: h.Name, driver: plan.SnapshotDriver(h), err: errors.New(f.Unreachable)}}
				return nil
			}
			for target, s := range plan.HostSubjects(h, &f) {
				lists[i] = append(lists[i], w.snapshotsOf(ctx, target, plan.SnapshotDriver(h), s)...)
			}
			conn, _, err := w.host(h.Name)
			if err != nil {
				return err
			}
			return conn.Disconnect()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var all []kept
	for _, l := range lists {
		sort.SliceStable(l, func(i, j int) bool { return l[i].target < l[j].target })
		all = append(all, l...)
	}
	return all, w.markNeeded(ctx, all)
}

// snapshotsOf are one target's, newest first.
func (w *world) snapshotsOf(ctx context.Context, target, name string, s driver.Subject) []kept {
	ctx, stop := context.WithTimeout(ctx, listSnapshots)
	defer stop()
	failed := func(err error) []kept { return []kept{{host: s.Host, target: target, driver: name, err: err}} }
	d, err := w.set.Snapshotter(name)
	if err != nil {
		return failed(err)
	}
	conn, _, err := w.host(s.Host)
	if err != nil {
		return failed(err)
	}
	list, err := d.List(ctx, s, conn)
	if err != nil {
		return failed(err)
	}
	var out []kept
	for _, e := range list {
		out = append(out, kept{host: s.Host, target: target, driver: name, Snapshot: e})
	}
	return out
}

// markNeeded says of each snapshot why it must stay: it belongs to a rollout of
// this journal that has not ended, or to the one that holds the host's lease,
// which may be another controller's.
func (w *world) markNeeded(ctx context.Context, all []kept) error {
	unfinished := map[string]bool{}
	j, _, err := w.app.reads()
	if err != nil {
		return err
	}
	if j != nil {
		defer j.Close()
		list, err := j.List()
		if err != nil {
			return err
		}
		for _, e := range list {
			s, err := replay(j, e.ID)
			if err != nil {
				return err
			}
			unfinished[e.ID] = s.Ended == ""
		}
	}
	holders := map[string]string{}
	for i, k := range all {
		if k.err != nil {
			continue
		}
		owner, _, _ := strings.Cut(k.Handle.Key, "/")
		if _, asked := holders[k.host]; !asked {
			if holders[k.host], err = w.leaseOwner(ctx, k.host); err != nil {
				return err
			}
		}
		switch {
		case unfinished[owner]:
			all[i].needed = "rollout " + owner + " has not ended"
		case holders[k.host] == owner:
			all[i].needed = "rollout " + owner + " holds the host's lease"
		}
	}
	return nil
}

func (w *world) leaseOwner(ctx context.Context, host string) (string, error) {
	ctx, stop := context.WithTimeout(ctx, leaseLimit)
	defer stop()
	conn, _, err := w.host(host)
	if err != nil {
		return "", err
	}
	l, err := conn.LookLease(ctx)
	if err != nil {
		return "", fmt.Errorf("cannot tell whether a rollout still needs the snapshots of %s: %w", host, err)
	}
	owner, _ := remote.ReadToken(l.Token)
	return owner, nil
}

func (a *app) listSnapshots(ctx context.Context, names []string) error {
	w, err := a.open(nil)
	if err != nil {
		return err
	}
	defer w.close()
	all, err := w.snapshots(ctx, names)
	if err != nil {
		return err
	}
	failed := false
	list := snapshotsDocument{FormatVersion: 1, Snapshots: []snapshotDocument{}}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, k := range all {
		failed = failed || k.err != nil
		switch {
		case a.json():
			list.Snapshots = append(list.Snapshots, k.document())
		case k.err != nil:
			fmt.Fprintf(t, "%s\t%s\tUNKNOWN: %v\n", k.target, k.driver, k.err)
		default:
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", k.target, k.driver, k.Handle.Key,
				time.Unix(k.Created, 0).UTC().Format("2006-01-02 15:04 MST"), sizeOf(k.Bytes), k.remark())
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(all) == 0 {
		a.say("no snapshots")
	}
	if err := printList(a, list, list.Snapshots); err != nil {
		return err
	}
	if failed {
		return &exitCode{exitError, ""}
	}
	return nil
}

// sizeOf is a size for people; a driver that cannot tell says 0 or less.
func sizeOf(bytes int64) string {
	if bytes <= 0 {
		return "-"
	}
	return plan.Size(bytes)
}

func (k kept) remark() string {
	var list []string
	if k.needed != "" {
		list = append(list, "needed: "+k.needed)
	}
	if k.Orphan {
		list = append(list, "orphan: nothing refers to it any more")
	}
	return strings.Join(list, "; ")
}

// snapshotsDocument is the snapshots of hosts.
type snapshotsDocument struct {
	FormatVersion int                `json:"format_version"`
	Snapshots     []snapshotDocument `json:"snapshots"`
}

// snapshotDocument is one snapshot of a target, or why its snapshots cannot be
// listed.
type snapshotDocument struct {
	FormatVersion int    `json:"format_version"`
	Host          string `json:"host"`
	Target        string `json:"target"`
	Driver        string `json:"driver"`
	Key           string `json:"key,omitempty"`
	Created       string `json:"created,omitempty"`
	Bytes         int64  `json:"bytes,omitempty"`
	// Needed says why a rollout may still need it.
	Needed string `json:"needed,omitempty"`
	// Orphan is true when nothing refers to it any more.
	Orphan bool   `json:"orphan,omitempty"`
	Error  string `json:"error,omitempty"`
}

func (k kept) document() snapshotDocument {
	v := snapshotDocument{FormatVersion: 1, Host: k.host, Target: k.target, Driver: k.driver}
	if k.err != nil {
		v.Error = k.err.Error()
		return v
	}
	v.Key, v.Created, v.Bytes = k.Handle.Key, time.Unix(k.Created, 0).UTC().Format(time.RFC3339), max(k.Bytes, 0)
	v.Needed, v.Orphan = k.needed, k.Orphan
	return v
}

// withSnapshot finds one snapshot of a host by its key.
func (a *app) withSnapshot(ctx context.Context, host, key string, do func(k kept, d driver.Snapshotter, conn *remote.Host) error) error {
	w, err := a.open(nil)
	if err != nil {
		return err
	}
	defer w.close()
	all, err := w.snapshots(ctx, []string{host})
	if err != nil {
		return err
	}
	var unknown error
	for _, k := range all {
		if k.err != nil {
			unknown = k.err
			continue
		}
		if k.Handle.Key != key {
			continue
		}
		d, err := w.set.Snapshotter(k.driver)
		if err != nil {
			return err
		}
		conn, _, err := w.host(host)
		if err != nil {
			return err
		}
		return do(k, d, conn)
	}
	if unknown != nil {
		return fmt.Errorf("cannot list the snapshots of %s: %w", host, unknown)
	}
	return fmt.Errorf("host %s has no snapshot %q; %s %s", host, key, noSnapshotHint, host)
}

// snapshotVerifiedDocument says whether a snapshot can be restored.
type snapshotVerifiedDocument struct {
	FormatVersion int    `json:"format_version"`
	Host          string `json:"host"`
	Target        string `json:"target"`
	Driver        string `json:"driver"`
	Key           string `json:"key"`
	Verified      bool   `json:"verified"`
	// Detail is what was checked, or what is wrong.
	Detail string `json:"detail"`
}

// snapshotDeletedDocument names a snapshot that was deleted.
type snapshotDeletedDocument struct {
	FormatVersion int    `json:"format_version"`
	Host          string `json:"host"`
	Target        string `json:"target"`
	Driver        string `json:"driver"`
	Key           string `json:"key"`
}

func (a *app) verifySnapshot(ctx context.Context, host, key string) error {
	return a.withSnapshot(ctx, host, key, func(k kept, d driver.Snapshotter, conn *remote.Host) error {
		ctx, stop := context.WithTimeout(ctx, proveSnapshot)
		defer stop()
		v, err := d.Verify(ctx, k.Handle, conn)
		if err != nil {
			return fmt.Errorf("cannot verify snapshot %s: %w", key, err)
		}
		if err := a.print(snapshotVerifiedDocument{1, host, k.target, k.driver, key, v.Verified, v.Detail}); err != nil {
			return err
		}
		if !v.Verified {
			return fmt.Errorf("snapshot %s cannot be restored: %s", key, v.Detail)
		}
		a.say("%s: verified: %s", key, v.Detail)
		return nil
	})
}

func (a *app) deleteSnapshot(ctx context.Context, host, key string) error {
	return a.withSnapshot(ctx, host, key, func(k kept, d driver.Snapshotter, conn *remote.Host) error {
		if k.needed != "" {
			return fmt.Errorf("snapshot %s is not deleted: %s, and it may be its only way back; end the rollout first: %s resume, or %s abort", key, k.needed, a.self(), a.self())
		}
		ctx, stop := context.WithTimeout(ctx, dropSnapshot)
		defer stop()
		if err := d.Delete(ctx, k.Handle, conn); err != nil {
			return fmt.Errorf("cannot delete snapshot %s: %w", key, err)
		}
		a.say("%s: deleted", key)
		return a.print(snapshotDeletedDocument{1, host, k.target, k.driver, key})
	})
}
