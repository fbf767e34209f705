package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/remote"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/inventory"
)

// leaseLimit bounds the look at one host's lease.
const leaseLimit = 2 * time.Minute

func leaseCommand(a *app) *cobra.Command {
	var breakIt bool
	var reason string
	c := &cobra.Command{Use: "lease [HOST...]", Short: "whose the hosts' leases are; --break takes one away from whoever is lost", Args: cobra.ArbitraryArgs,
		Long: "lease shows for each host whether it is free, or which rollout has it.\nWith --break HOST --reason TEXT the lease of one host is taken away from a controller that is lost for good:\nthe host keeps who did it and why, and refuses that controller from then on.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !breakIt {
				if reason != "" {
					return &exitCode{exitUsage, "error: --reason says why a lease is broken; it goes with --break HOST"}
				}
				return a.leases(cmd.Context(), args)
			}
			switch {
			case len(args) != 1:
				return &exitCode{exitUsage, "error: --break takes one host; write: " + a.self() + " lease --break HOST --reason TEXT"}
			case strings.TrimSpace(reason) == "":
				return &exitCode{exitUsage, "error: a lease is not broken without a reason, which is journaled; write: " + a.self() + " lease --break " + args[0] + " --reason TEXT"}
			case strings.ContainsAny(reason, "\r\n\x00"):
				return &exitCode{exitUsage, "error: the reason must be one line"}
			}
			return a.breakLease(cmd.Context(), args[0], reason)
		}}
	c.Flags().BoolVar(&breakIt, "break", false, "take the host's lease away from whoever has it")
	c.Flags().StringVar(&reason, "reason", "", "why it is broken, for the host and the journal")
	return c
}

// hostLease is one host's lease, in the order of the inventory.
type hostLease struct {
	host  string
	state remote.LeaseState
	err   error
}

// hosts are those named, or all.
func (a *app) hosts(names []string) ([]*inventory.Host, error) {
	fleet, err := a.load()
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		var all []*inventory.Host
		for i := range fleet.Hosts {
			all = append(all, &fleet.Hosts[i])
		}
		return all, nil
	}
	var out []*inventory.Host
	for _, name := range names {
		h := fleet.Host(name)
		if h == nil {
			return nil, &exitCode{exitUsage, fmt.Sprintf("error: the inventory has no host %q", name)}
		}
		out = append(out, h)
	}
	return out, nil
}

// leases shows whose the leases are, --parallel hosts at once.
func (a *app) leases(ctx context.Context, names []string) error {
	hosts, err := a.hosts(names)
	if err != nil {
		return err
	}
	defer a.close()
	pool := a.connect()
	list := make([]hostLease, len(hosts))
	var g errgroup.Group
	g.SetLimit(a.parallel)
	for i, h := range hosts {
		g.Go(func() error {
			ctx, stop := context.WithTimeout(ctx, leaseLimit)
			defer stop()
			conn := pool.Host(remoteConfig(h))
			state, err := conn.LookLease(ctx)
			list[i] = hostLease{h.Name, state, err}
			return conn.Disconnect()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := a.showLeases(list); err != nil {
		return err
	}
	for _, l := range list {
		if l.err != nil {
			return &exitCode{exitError, ""}
		}
	}
	return nil
}

func (a *app) showLeases(list []hostLease) error {
	if a.json() {
		all := leasesDocument{FormatVersion: 1, Leases: []leaseDocument{}}
		for _, l := range list {
			all.Leases = append(all.Leases, leaseJSON(l))
		}
		return printList(a, all, all.Leases)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, l := range list {
		switch rolloutID, epoch := remote.ReadToken(l.state.Token); {
		case l.err != nil:
			fmt.Fprintf(w, "%s\tUNKNOWN\t%v\n", l.host, l.err)
		case l.state.Token == "":
			fmt.Fprintf(w, "%s\tfree\n", l.host)
		default:
			fmt.Fprintf(w, "%s\theld by %s\trollout %s\tepoch %d\tfor %s\n", l.host, holderOf(l.state), rolloutID, epoch, l.state.Age.Round(time.Second))
		}
	}
	return w.Flush()
}

// holderOf is who has a lease, without the rollout that the token names, too.
func holderOf(s remote.LeaseState) string {
	rolloutID, _ := remote.ReadToken(s.Token)
	return strings.TrimSuffix(s.Holder, ", rollout "+rolloutID)
}

// leasesDocument is whose the leases of hosts are.
type leasesDocument struct {
	FormatVersion int             `json:"format_version"`
	Leases        []leaseDocument `json:"leases"`
}

// leaseDocument is whose the lease of one host is.
type leaseDocument struct {
	FormatVersion int    `json:"format_version"`
	Host          string `json:"host"`
	State         string `json:"state" jsonschema:"enum=free,enum=held,enum=unknown"`
	Holder        string `json:"holder,omitempty"`
	Rollout       string `json:"rollout,omitempty"`
	Epoch         int64  `json:"epoch,omitempty"`
	AgeSeconds    int64  `json:"age_seconds,omitempty"`
	Error         string `json:"error,omitempty"`
}

func leaseJSON(l hostLease) leaseDocument {
	v := leaseDocument{FormatVersion: 1, Host: l.host, State: "free"}
	switch {
	case l.err != nil:
		v.State, v.Error = "unknown", l.err.Error()
	case l.state.Token != "":
		v.State, v.Holder, v.AgeSeconds = "held", holderOf(l.state), int64(l.state.Age/time.Second)
		v.Rollout, v.Epoch = remote.ReadToken(l.state.Token)
	}
	return v
}

// breakLease takes a host's lease away and journals it. A controller that runs
// here is stopped by other means: it would be fenced off in the middle.
func (a *app) breakLease(ctx context.Context, name, reason string) error {
	hosts, err := a.hosts([]string{name})
	if err != nil {
		return err
	}
	defer a.close()
	ctx, stop := context.WithTimeout(ctx, leaseLimit)
	defer stop()
	conn := a.connect().Host(remoteConfig(hosts[0]))
	l, err := conn.LookLease(ctx)
	if err != nil {
		return err
	}
	if l.Token == "" {
		return fmt.Errorf("the lease of %s is free: there is nothing to break", name)
	}
	owner, _ := remote.ReadToken(l.Token)
	if runs, err := a.runsHere(owner); err != nil {
		return err
	} else if runs {
		return fmt.Errorf("the lease of %s is that of rollout %s, whose controller runs here at this moment; stop it with: %s pause, or %s abort", name, owner, a.self(), a.self())
	}
	if err := conn.BreakLease(ctx, l.Token, who(), reason); err != nil {
		return err
	}
	a.say("%s: the lease of %s, rollout %s, is broken; that controller is refused there from now on", name, holderOf(l), owner)
	e := rollout.Event{Kind: rollout.EventLeaseBroken, Who: who(), Target: name,
		Detail: fmt.Sprintf("%s; it was that of %s, lease %q for %s", reason, l.Holder, l.Token, l.Age.Round(time.Second))}
	d := leaseBrokenDocument{FormatVersion: 1, Host: name, Holder: holderOf(l), Rollout: owner, Reason: reason}
	if d.Journaled, err = a.journalBreak(owner, e); err != nil {
		return fmt.Errorf("the lease of %s is broken, but that is not in the journal: %w", name, err)
	}
	return a.print(d)
}

// leaseBrokenDocument is a lease that was taken away.
type leaseBrokenDocument struct {
	FormatVersion int    `json:"format_version"`
	Host          string `json:"host"`
	Holder        string `json:"holder"`
	Rollout       string `json:"rollout"`
	Reason        string `json:"reason"`
	// Journaled is "later" when the next controller does it, and "nowhere" when
	// no rollout here is concerned.
	Journaled string `json:"journaled" jsonschema:"enum=now,enum=later,enum=nowhere"`
}

// The times of leaseBrokenDocument.Journaled.
const (
	journaledNow   = "now"
	journaledLater = "later"
	journaledNever = "nowhere"
)

// reads opens the journal to read, nil when there is none, and tells whether no
// controller writes it.
func (a *app) reads() (j *journal.Journal, free bool, err error) {
	dir, err := a.state()
	if err != nil {
		return nil, false, err
	}
	j, err = journal.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	if free, err = a.free(); err != nil {
		return nil, false, errors.Join(err, j.Close())
	}
	return j, free, nil
}

// runsHere reports whether a controller that has the rollout may be running: one
// writes the journal, which holds that rollout, and it has not ended.
func (a *app) runsHere(id string) (bool, error) {
	j, free, err := a.reads()
	if err != nil || j == nil {
		return false, err
	}
	defer j.Close()
	list, err := j.List()
	if err != nil || free {
		return false, err
	}
	for _, entry := range list {
		if entry.ID == id {
			s, err := replay(j, id)
			return err == nil && s.Ended == "", err
		}
	}
	return false, nil
}

// journalBreak writes the event to the rollout that it concerns, through the
// controller when one runs, and tells when it is journaled.
func (a *app) journalBreak(owner string, e rollout.Event) (when string, err error) {
	id, free, err := a.concerned(owner)
	if err != nil {
		return "", err
	}
	if id == "" {
		a.say("not journaled: no rollout here is under way or had that lease; the host keeps who broke it and why")
		return journaledNever, nil
	}
	if !free {
		taken, err := a.ask(id, e)
		if err != nil || taken {
			return journaledNow, err
		}
		a.say("%s: noted; the next controller journals it", id)
		return journaledLater, nil
	}
	dir, err := a.state()
	if err != nil {
		return "", err
	}
	j, err := journal.OpenToWrite(dir)
	if err != nil {
		return "", err
	}
	defer j.Close()
	s, err := replay(j, id)
	if err != nil {
		return "", err
	}
	e.At = now()
	if err := s.Check(e); err != nil {
		return "", err
	}
	if _, err := j.Append(id, e); err != nil {
		return "", err
	}
	a.say("%s: journaled", id)
	if s.Ended == "" {
		a.say("if that rollout is to go on, this takes the lease again: %s resume %s", a.self(), id)
	}
	return journaledNow, nil
}

// concerned is the rollout that a broken lease is journaled under, "" for none:
// the one whose lease it was, else the newest if it has not ended. A running
// controller writes to the newest only.
func (a *app) concerned(owner string) (id string, free bool, err error) {
	j, free, err := a.reads()
	if err != nil || j == nil {
		return "", free, err
	}
	defer j.Close()
	list, err := j.List()
	if err != nil || len(list) == 0 {
		return "", free, err
	}
	for _, entry := range list {
		if free && entry.ID == owner {
			return owner, free, nil
		}
	}
	s, err := replay(j, list[0].ID)
	if err != nil || s.Started.IsZero() || s.Ended != "" && list[0].ID != owner {
		return "", free, err
	}
	return list[0].ID, free, nil
}
