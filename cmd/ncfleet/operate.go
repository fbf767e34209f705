package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// answerLimit is how long pause, abort and approve wait for a running
// controller to take the request.
const answerLimit = 5 * time.Second

// pick returns the rollout named by the arguments, or the newest.
func pick(j *journal.Journal, args []string) (string, error) {
	list, err := j.List()
	if err != nil {
		return "", err
	}
	if len(list) == 0 {
		return "", errors.New("the journal holds no rollout yet; ncfleet apply starts one")
	}
	if len(args) == 0 {
		return list[0].ID, nil
	}
	for _, e := range list {
		if e.ID == args[0] {
			return e.ID, nil
		}
	}
	return "", fmt.Errorf("the journal holds no rollout %q; see: ncfleet status --all", args[0])
}

func (a *app) read() (*journal.Journal, error) {
	dir, err := a.state()
	if err != nil {
		return nil, err
	}
	j, err := journal.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no rollout here yet: there is no %s; ncfleet apply starts one, or give the folder of another journal with --state DIR",
			filepath.Join(dir, journal.FileName))
	}
	return j, err
}

// ask leaves a request and waits a little for a running controller to answer.
func (a *app) ask(id string, e rollout.Event) (taken bool, err error) {
	j, err := a.read()
	if err != nil {
		return false, err
	}
	defer j.Close()
	s, err := replay(j, id)
	if err != nil {
		return false, err
	}
	if err := a.sensible(s, e); err != nil {
		return false, err
	}
	e.At = now()
	if e.Who == "" {
		e.Who = who()
	}
	request, err := j.Ask(id, e)
	if err != nil {
		return false, err
	}
	for until := time.Now().Add(answerLimit); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		taken, refusal, err := j.Answer(request)
		if err != nil {
			return false, err
		}
		if taken && refusal != "" {
			return true, errors.New(refusal)
		}
		if taken {
			return true, nil
		}
		if free, err := a.free(); err == nil && free {
			return false, nil
		}
	}
	return false, nil
}

// free reports whether no controller writes the journal.
func (a *app) free() (bool, error) {
	dir, err := a.state()
	if err != nil {
		return false, err
	}
	free, err := journal.Free(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // a journal without its lock was never written here
	}
	return free, err
}

// request builds a verb that only leaves a request.
func requestCommand(a *app, use, short string, event func(s *rollout.State, args []string) (rollout.Event, error), args cobra.PositionalArgs) *cobra.Command {
	var id, reason string
	c := &cobra.Command{Use: use, Short: short, Args: args, RunE: func(cmd *cobra.Command, args []string) error {
		var names []string
		if id != "" {
			names = append(names, id)
		}
		rolloutID, s, err := a.stands(names)
		if err != nil {
			return err
		}
		e, err := event(s, args)
		if err != nil {
			return err
		}
		e.Detail = reason
		taken, err := a.ask(rolloutID, e)
		if err != nil {
			return err
		}
		return a.asked(rolloutID, e, taken)
	}}
	c.Flags().StringVar(&id, "id", "", "the rollout (default: the newest)")
	c.Flags().StringVar(&reason, "reason", "", "why, for the journal")
	return c
}

// kindAlone is an event that says no more than its kind.
func kindAlone(k rollout.EventKind) func(*rollout.State, []string) (rollout.Event, error) {
	return func(*rollout.State, []string) (rollout.Event, error) { return rollout.Event{Kind: k}, nil }
}

// requestDocument is what an operator asked a rollout's controller for.
type requestDocument struct {
	FormatVersion int `json:"format_version"`
	// ID is the rollout's in the journal.
	ID     string `json:"id"`
	Kind   string `json:"kind" jsonschema:"enum=paused,enum=aborted,enum=approved,enum=resumed,enum=rollback_asked"`
	Target string `json:"target,omitempty"`
	Wave   string `json:"wave,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Taken is false when no controller runs: the next one takes it.
	Taken bool `json:"taken"`
}

// asked tells what became of a request.
func (a *app) asked(id string, e rollout.Event, taken bool) error {
	if taken {
		a.say("%s: %s%s", id, kindWords(e.Kind), a.approvalsLeft(id, e))
	} else {
		a.say("%s: noted; no controller runs at this moment, it counts from: %s resume %s", id, a.self(), id)
	}
	return a.print(requestDocument{1, id, string(e.Kind), e.Target, e.Wave, e.Detail, taken})
}

func pauseCommand(a *app) *cobra.Command {
	return requestCommand(a, "pause", "start nothing new; what has begun finishes",
		kindAlone(rollout.EventPaused), cobra.NoArgs)
}

func abortCommand(a *app) *cobra.Command {
	return requestCommand(a, "abort", "end the rollout; what is closed finishes or rolls back, what was only prepared is taken back",
		kindAlone(rollout.EventAborted), cobra.NoArgs)
}

func resumeCommand(a *app) *cobra.Command {
	return metricsFlag(a, &cobra.Command{Use: "resume [ROLLOUT-ID]", Short: "go on with a rollout: after a pause, a halt or a controller's death", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			j, err := a.read()
			if err != nil {
				return err
			}
			id, s, requests, err := standing(j, args)
			if err := errors.Join(err, j.Close()); err != nil {
				return err
			}
			if s.Ended != "" && s.Ended != rollout.Halted && len(requests) == 0 {
				fmt.Fprintln(a.stderr, "the rollout has ended; there is nothing to go on with")
				return a.ended(id, s, s.Ended, nil)
			}
			return a.goOn(cmd, args, func(s *rollout.State) (*rollout.Event, error) {
				if s.Paused || s.HaltReason != "" || s.Ended == rollout.Halted {
					return &rollout.Event{Kind: rollout.EventResumed}, nil
				}
				return nil, nil
			})
		}})
}

func rollbackCommand(a *app) *cobra.Command {
	var id, reason string
	var accept bool
	c := &cobra.Command{Use: "rollback TARGET", Short: "take one target back to its snapshot", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var names []string
			if id != "" {
				names = append(names, id)
			}
			e := rollout.Event{Kind: rollout.EventRollback, Target: args[0], Detail: reason}
			return a.goOn(cmd, names, func(s *rollout.State) (*rollout.Event, error) {
				if err := a.sensible(s, e); err != nil {
					return nil, err
				}
				if t := s.Targets[args[0]]; !t.OpenedAt.IsZero() && !accept {
					return nil, &exitCode{exitUsage, fmt.Sprintf("users of %s were let in at %s: everything they wrote since then in its database will be lost (files stay on disk).\nIf that is what you want: %s rollback %s --accept-loss",
						args[0], t.OpenedAt.Format(time.RFC3339), a.self(), args[0])}
				}
				return &e, nil
			})
		}}
	c.Flags().StringVar(&id, "id", "", "the rollout (default: the newest)")
	c.Flags().StringVar(&reason, "reason", "asked by an operator", "why, for the journal")
	c.Flags().BoolVar(&accept, "accept-loss", false, "roll back although users were let in")
	return c
}

// goOn hands an event to the running controller, or carries the rollout on in
// this process when none runs.
func (a *app) goOn(cmd *cobra.Command, args []string, event func(*rollout.State) (*rollout.Event, error)) error {
	r, err := a.read()
	if err != nil {
		return err
	}
	id, s, _, err := standing(r, args)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	e, err := event(s)
	if err != nil {
		return err
	}
	if e != nil {
		taken, err := a.ask(id, *e)
		if err != nil {
			return err
		}
		if taken {
			return a.asked(id, *e, true)
		}
	}
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
	p, err := j.Plan(id)
	if err != nil {
		return err
	}
	if err := a.fits(&p); err != nil {
		return err
	}
	w, err := a.ready(cmd.Context(), &p)
	if err != nil {
		return err
	}
	defer w.close()
	return a.carryOut(cmd.Context(), w, j, id, &p)
}

// onRollout reads the journal and does something with the rollout that the
// arguments name.
func (a *app) onRollout(args []string, do func(j *journal.Journal, id string) error) error {
	j, err := a.read()
	if err != nil {
		return err
	}
	defer j.Close()
	id, err := pick(j, args)
	if err != nil {
		return err
	}
	return do(j, id)
}

// standing reads the rollout that the arguments name.
func standing(j *journal.Journal, args []string) (string, *rollout.State, []journal.Request, error) {
	id, err := pick(j, args)
	if err != nil {
		return "", nil, nil, err
	}
	s, err := replay(j, id)
	if err != nil {
		return "", nil, nil, err
	}
	requests, err := j.Requests(id)
	return id, s, requests, err
}

func kindWords(k rollout.EventKind) string { return strings.ReplaceAll(string(k), "_", " ") }
