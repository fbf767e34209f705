package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ncfleet/ncfleet/controller"
	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/controller/trace"
)

func applyCommand(a *app) *cobra.Command {
	var name string
	var yes, fresh bool
	c := &cobra.Command{
		Use:   "apply [PLANFILE]",
		Short: "carry out a plan in waves; without a file, plan first and ask",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var p plan.Plan
			var err error
			if len(args) == 1 && fresh {
				return &exitCode{exitUsage, "error: --new-pins is for making a plan, and " + args[0] + " is made; leave one of them out"}
			}
			if len(args) == 1 {
				p, err = a.readPlan(args[0])
			} else {
				p, err = a.planAndAsk(cmd.Context(), name, yes, fresh)
			}
			if errors.Is(err, errNothing) {
				a.say("nothing to do")
				return a.print(report.NotStarted(&p, "nothing_to_do"))
			}
			if err != nil {
				return err
			}
			return a.apply(cmd.Context(), p)
		},
	}
	c.Flags().StringVar(&name, "rollout", "", "the rollout to plan when no file is given")
	c.Flags().BoolVar(&fresh, "new-pins", false, "as of plan, when no file is given")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask (needed without a terminal)")
	return metricsFlag(a, c)
}

// planAndAsk plans, shows and lets the operator decide.
func (a *app) planAndAsk(ctx context.Context, name string, yes, fresh bool) (plan.Plan, error) {
	p, problems, err := a.plan(ctx, name, fresh)
	if err != nil {
		return p, err
	}
	if len(problems) > 0 {
		if err := report.Problems(a.stderr, problems, a.look(a.stderr)); err != nil {
			return p, err
		}
		return p, &exitCode{exitError, ""}
	}
	shown := a.talk()
	if err := report.Text(shown, &p, a.look(shown)); err != nil {
		return p, err
	}
	fmt.Fprintln(shown)
	if len(p.Waves) == 0 {
		if len(p.Blocked) > 0 {
			return p, a.allBlocked(&p)
		}
		return p, errNothing
	}
	if yes {
		return p, nil
	}
	f, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return p, &exitCode{exitUsage, "error: apply asks before it starts, and there is no terminal; write --yes, or apply a plan file"}
	}
	fmt.Fprint(a.stderr, "Carry out this plan? Only \"yes\" starts it: ")
	line, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "yes" {
		return p, &exitCode{exitError, "not started"}
	}
	return p, nil
}

// allBlocked says that nothing can be started, and why.
func (a *app) allBlocked(p *plan.Plan) error {
	if err := a.print(report.NotStarted(p, "blocked")); err != nil {
		return err
	}
	return &exitCode{exitError, "every target is blocked; nothing was done"}
}

// apply journals the plan under a new rollout and carries it out.
func (a *app) apply(ctx context.Context, p plan.Plan) error {
	defer a.outlive()()
	dir, err := a.state()
	if err != nil {
		return err
	}
	j, err := journal.OpenToWrite(dir)
	if err != nil {
		return err
	}
	defer j.Close()
	if open, err := unfinished(j); err != nil {
		return err
	} else if open != "" {
		return fmt.Errorf("rollout %s has not ended; go on with: %s resume %s\nor end it with: %s abort --id %s, and then resume it", open, a.self(), open, a.self(), open)
	}
	w, err := a.ready(ctx, &p)
	if err != nil {
		return err
	}
	defer w.close()
	created := now()
	digest := plan.Digest(p)
	id := fmt.Sprintf("%s-%s-%s", created.Format("20060102-150405"), p.Rollout, digest[:6])
	if _, err := j.Create(id, created, p); err != nil {
		return err
	}
	return a.carryOut(ctx, w, j, id, &p)
}

// ready opens what a plan needs and refuses to begin when a secret is missing
// or a driver is not the one that the plan was made with.
func (a *app) ready(ctx context.Context, p *plan.Plan) (*world, error) {
	fleet, err := a.load()
	if err != nil {
		return nil, err
	}
	if err := checkSecrets(fleet, p); err != nil {
		return nil, err
	}
	w, err := a.open(fleet.Rollout(p.Rollout))
	if err != nil {
		return nil, err
	}
	if err := w.driversFit(ctx, p); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// unfinished returns the newest rollout if it has not ended.
func unfinished(j *journal.Journal) (string, error) {
	list, err := j.List()
	if err != nil || len(list) == 0 {
		return "", err
	}
	s, err := replay(j, list[0].ID)
	if err != nil {
		return "", err
	}
	if s.Ended == "" && !s.Started.IsZero() {
		return list[0].ID, nil
	}
	return "", nil
}

// replay folds a rollout's journal.
func replay(j *journal.Journal, id string) (*rollout.State, error) {
	p, err := j.Plan(id)
	if err != nil {
		return nil, err
	}
	zones, err := loadZones(p.Policy.ZoneNames())
	if err != nil {
		return nil, err
	}
	s, err := rollout.New(&p, zones)
	if err != nil {
		return nil, err
	}
	events, err := j.Events(id, 0)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		if err := s.Apply(e); err != nil {
			return nil, fmt.Errorf("cannot replay rollout %s: %w", id, err)
		}
	}
	return s, nil
}

// loadZones loads time zones by their names.
func loadZones(names []string) (plan.Zones, error) {
	zones := plan.Zones{}
	for _, name := range names {
		zone, err := time.LoadLocation(name)
		if err != nil {
			return nil, fmt.Errorf("cannot load the time zone of a window: %w", err)
		}
		zones[name] = zone
	}
	return zones, nil
}

// carryOut runs the loop over a journaled rollout and reports how it ended.
func (a *app) carryOut(ctx context.Context, w *world, j *journal.Journal, id string, p *plan.Plan) error {
	performer, err := w.performer(id)
	if err != nil {
		return err
	}
	before, err := replay(j, id)
	if err != nil {
		return err
	}
	events, err := j.Events(id, 0)
	if err != nil {
		return err
	}
	var last time.Time
	if len(events) > 0 {
		last = events[len(events)-1].At
	}
	told, endTold, err := a.notifier(w.fleet, id, before, last)
	if err != nil {
		return err
	}
	defer endTold()
	measured, endMeasured, err := a.metricsSink(j, id, before)
	if err != nil {
		return err
	}
	defer endMeasured()
	shown, err := a.course(id, p, events)
	if err != nil {
		return err
	}
	quiet := sync.OnceFunc(shown.end)
	defer quiet() // also when the loop panics
	hear := sinks{eventStream{a}, shown, told, measured, &pinner{app: a, id: id, j: j}}
	if sender := a.traces(); sender != nil {
		hear = append(hear, trace.NewRollout(sender, id, before))
	}
	c, err := controller.New(controller.Config{ID: id, Plan: p, Journal: j, Performer: guarded{performer, quiet}, Sink: hear,
		Zones: before.Zones, Who: who(), Now: now})
	if err != nil {
		return err
	}
	ctx, drain, stop := a.interrupts(ctx, shown)
	defer stop()
	a.hearReached(shown.reached)
	defer a.hearReached(nil)
	verdict, err := c.Run(ctx, drain)
	quiet()
	fmt.Fprintln(a.talk())
	return a.ended(id, c.State(), verdict, err)
}

// beatEvery is how often a running rollout looks whether it should give a sign
// of life; how often it does is the report's to say.
const beatEvery = time.Second

// signOfLife beats until the function it returns is called.
func signOfLife(p *report.Progress) (end func()) {
	stop, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.Beat(now())
			case <-stop:
				return
			}
		}
	}()
	return func() { close(stop); <-gone }
}

// interrupts turns the first Ctrl-C (or SIGTERM) into a drain and the second
// into a detach.
func (a *app) interrupts(ctx context.Context, shown *course) (context.Context, <-chan struct{}, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	drain := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			if text := shown.finishing(); shown.view != nil {
				shown.view.Note(text)
			} else {
				fmt.Fprintln(a.stderr, "\n"+text)
			}
			close(drain)
		case <-ctx.Done():
			return
		}
		select {
		case s := <-signals:
			cancel(fmt.Errorf("interrupted twice (%s)", s))
		case <-ctx.Done():
		}
	}()
	return ctx, drain, func() { signal.Stop(signals); cancel(nil) }
}

// reportEnd shows how a rollout ended, with its history.
func (a *app) reportEnd(id string, s *rollout.State, verdict rollout.Verdict) error {
	j, err := a.read()
	if err != nil {
		return err
	}
	events, err := j.Events(id, 0)
	if err := errors.Join(err, j.Close()); err != nil {
		return err
	}
	return a.reportOutcome(id, s, verdict, nil, events)
}

// ended says how the rollout stands and gives the exit code. Instances that
// are closed and that nothing will open are named loudest.
func (a *app) ended(id string, s *rollout.State, verdict rollout.Verdict, err error) error {
	unfinished := errors.Is(err, controller.ErrPaused) || errors.Is(err, controller.ErrDetached)
	if errors.Is(err, controller.ErrFenced) {
		// What this controller knows of the instances may be out of date: the
		// other one tells which are closed.
		return fmt.Errorf("%w\nit has left and its journal stays as it is; see who has the hosts: %s lease", err, a.self())
	}
	if err != nil && !unfinished {
		fmt.Fprintf(a.stderr, "error: %v\nnothing is lost: go on with: %s resume %s\n", err, a.self(), id)
		if perr := a.print(report.OutcomeJSON(id, s, verdict, nil, nil)); perr != nil {
			return perr
		}
		return closedOr(s, &exitCode{exitError, ""})
	}
	if rerr := a.reportEnd(id, s, verdict); rerr != nil {
		return rerr
	}
	if unfinished {
		return closedOr(s, &exitCode{exitHalted, fmt.Sprintf("%v; go on with: %s resume %s", err, a.self(), id)})
	}
	switch verdict {
	case rollout.Succeeded:
		return closedOr(s, nil)
	case rollout.Incomplete:
		return closedOr(s, &exitCode{exitIncomplete, ""})
	case rollout.Halted:
		return closedOr(s, &exitCode{exitHalted, ""})
	case rollout.Aborted:
		return closedOr(s, &exitCode{exitAborted, ""})
	}
	return fmt.Errorf("unknown verdict %q", verdict)
}
