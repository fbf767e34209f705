package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

func statusCommand(a *app) *cobra.Command {
	var all bool
	c := &cobra.Command{Use: "status [ROLLOUT-ID]", Short: "how a rollout stands: read from the journal", Args: cobra.MaximumNArgs(1),
		Long: "status reads from the journal how a rollout stands, the newest one by default.",
		RunE: func(_ *cobra.Command, args []string) error {
			j, err := a.read()
			if err != nil {
				return err
			}
			defer j.Close()
			if all {
				return a.listRollouts(j)
			}
			id, err := pick(j, args)
			if err != nil {
				return err
			}
			return a.status(j, id)
		}}
	c.Flags().BoolVar(&all, "all", false, "list all rollouts of the journal")
	return c
}

func (a *app) listRollouts(j *journal.Journal) error {
	list, err := j.List()
	if err != nil {
		return err
	}
	all := rolloutsDocument{FormatVersion: 1, Rollouts: []rolloutDocument{}}
	for _, e := range list {
		all.Rollouts = append(all.Rollouts, rolloutDocument{1, e.ID, e.Name, e.Created.UTC().Truncate(time.Second), e.Digest})
		if !a.json() {
			a.say("%s  %s  %s", e.ID, e.Created.Format(time.RFC3339), e.Name)
		}
	}
	return printList(a, all, all.Rollouts)
}

// rolloutsDocument is the rollouts of a journal, the newest first.
type rolloutsDocument struct {
	FormatVersion int               `json:"format_version"`
	Rollouts      []rolloutDocument `json:"rollouts"`
}

// rolloutDocument is one rollout of a journal.
type rolloutDocument struct {
	FormatVersion int       `json:"format_version"`
	ID            string    `json:"id"`
	Rollout       string    `json:"rollout"`
	Created       time.Time `json:"created"`
	PlanDigest    string    `json:"plan_digest"`
}

// status shows one rollout and says in the exit code whether an instance is
// closed that nothing will open.
func (a *app) status(j *journal.Journal, id string) error {
	s, err := replay(j, id)
	if err != nil {
		return err
	}
	requests, err := j.Requests(id)
	if err != nil {
		return err
	}
	free, err := a.free()
	if err != nil {
		return err
	}
	live := &report.Live{Running: !free, Now: now()}
	for _, r := range requests {
		live.Requests = append(live.Requests, r.Event)
	}
	events, err := j.Events(id, 0)
	if err != nil {
		return err
	}
	for _, e := range events {
		if e.Kind == rollout.EventLeaseBroken {
			live.Broken = append(live.Broken, e)
		}
	}
	if s.Ended == "" && !s.Started.IsZero() {
		live.Waits = waits(s, now())
	}
	if err := a.reportOutcome(id, s, s.Ended, live, events); err != nil {
		return err
	}
	if s.Ended != "" || free {
		return closedOr(s, nil)
	}
	return stuckOr(s, nil)
}

// closedOr puts the instances that are still closed before any other result.
// Why they are is told with the outcome.
func closedOr(s *rollout.State, otherwise error) error { return closedExit(s.Closed(), otherwise) }

// stuckOr is closedOr while a controller runs: what it will open itself is no
// emergency.
func stuckOr(s *rollout.State, otherwise error) error {
	var stuck []string
	for _, name := range s.Closed() {
		if s.Targets[name].StillClosed {
			stuck = append(stuck, name)
		}
	}
	return closedExit(stuck, otherwise)
}

func closedExit(closed []string, otherwise error) error {
	if len(closed) == 0 {
		return otherwise
	}
	return &exitCode{exitClosed, "CLOSED TO USERS, and nothing will open it by itself: " + report.Names(closed)}
}

// waits says why nothing starts. What time alone has brought about since the
// last event, and no controller has journaled, is reckoned with.
func waits(s *rollout.State, at time.Time) []string {
	for range len(s.Plan.Waves) * maxPeople {
		d := s.Next(at)
		if len(d.Record) == 0 || d.Record[0].Kind != rollout.EventApprovalExpired {
			return d.Waits
		}
		if err := s.Apply(d.Record[0]); err != nil {
			return []string{err.Error()}
		}
	}
	return nil
}

// maxPeople bounds how many approvals of a wave are looked at.
const maxPeople = 100

// reportOutcome shows how a rollout stands or ended; live and events may be nil.
func (a *app) reportOutcome(id string, s *rollout.State, verdict rollout.Verdict, live *report.Live, events []rollout.Event) error {
	if a.json() {
		return a.print(report.OutcomeJSON(id, s, verdict, live, events))
	}
	o := a.look(a.stdout)
	o.Live, o.History = live, events
	return report.Outcome(a.stdout, id, s, verdict, o)
}
