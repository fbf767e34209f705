package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

const (
	watchEvery = 500 * time.Millisecond // how often the journal is read
	// orphanLimit is how long no controller may run before watching ends:
	// nothing goes on by itself then.
	orphanLimit = 5 * time.Second
)

func watchCommand(a *app) *cobra.Command {
	return &cobra.Command{Use: "watch [ROLLOUT-ID]", Short: "follow a rollout that another process carries out: reads the journal alone", Args: cobra.MaximumNArgs(1),
		Long: `watch follows a rollout, the newest one by default, until it ends or no controller carries it on: as a live
view on a terminal, a line per event elsewhere. It reads the journal, contacts no host and holds nothing up.
Ctrl-C ends watching, not the rollout. At the end it shows what status shows, and exits as status does:
0, or 7 when an instance is closed to its users and nothing will open it by itself.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onRollout(args, func(j *journal.Journal, id string) error {
				defer a.outlive()()
				ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
				defer stop()
				if err := a.watch(ctx, j, id); err != nil {
					return err
				}
				return a.status(j, id)
			})
		}}
}

// watch shows a rollout until it ends, nobody carries it on, or ctx is over.
func (a *app) watch(ctx context.Context, j *journal.Journal, id string) error {
	s, err := replay(j, id)
	if err != nil || s.Ended != "" {
		return err
	}
	events, err := j.Events(id, 0)
	if err != nil {
		return err
	}
	c := s.Count()
	fmt.Fprintf(a.talk(), "Watching %s: %d upgraded, %d rolled back, %d failed, %d under way.\n", id, c.Upgraded, c.RolledBack, c.Failed, c.Running)
	shown, err := a.course(id, s.Plan, events)
	if err != nil {
		return err
	}
	defer func() { shown.end(); fmt.Fprintln(a.talk()) }()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for driven := now(); s.Ended == ""; {
		free, err := a.follow(j, id, s, shown)
		if err != nil {
			return err
		}
		if !free {
			driven = now()
		}
		if now().Sub(driven) > orphanLimit || steady(a.stdout).Gone() {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	return nil
}

// follow shows what happened since the state s, and whether no controller runs.
func (a *app) follow(j *journal.Journal, id string, s *rollout.State, shown *course) (free bool, err error) {
	if free, err = a.free(); err != nil {
		return false, err
	}
	events, err := j.Events(id, s.Seq)
	if err != nil {
		return false, err
	}
	for _, e := range events {
		if err := s.Apply(e); err != nil {
			return false, fmt.Errorf("cannot follow rollout %s: %w", id, err)
		}
		shown.Event(e, s)
		eventStream{a}.Event(e, s)
	}
	if shown.view == nil {
		if s.Ended == "" && !s.Started.IsZero() && len(s.InFlight()) == 0 {
			shown.Waiting(s.Next(now()).Waits, s)
		}
		return free, nil
	}
	requests, err := j.Requests(id)
	if err != nil {
		return false, err
	}
	var asked []rollout.Event
	for _, r := range requests {
		asked = append(asked, r.Event)
	}
	shown.view.Driven(!free, asked)
	return free, nil
}
