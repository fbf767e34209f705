package main

import (
	"fmt"

	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// sensible refuses what an operator asks when it cannot be, with the names
// that could be meant.
func (a *app) sensible(s *rollout.State, e rollout.Event) error {
	switch e.Kind {
	case rollout.EventRollback, rollout.EventApproved:
		if e.Wave != "" {
			return a.knownWave(s, e.Wave)
		}
		if err := a.knownTarget(s, e); err != nil {
			return err
		}
		if err := settledBack(s, e); err != nil {
			return err
		}
	default: // the others are about the whole rollout
	}
	return s.Allows(e)
}

func (a *app) knownTarget(s *rollout.State, e rollout.Event) error {
	if s.Targets[e.Target] != nil {
		return nil
	}
	for _, w := range s.Plan.Waves {
		if w.Name == e.Target && e.Kind == rollout.EventApproved {
			return fmt.Errorf("%s is a wave, not a target; to let it start: %s approve --wave %s", w.Name, a.self(), w.Name)
		}
	}
	for _, b := range s.Plan.Blocked {
		if b.Target == e.Target {
			return fmt.Errorf("%s is blocked by the plan: nothing was done on it", e.Target)
		}
	}
	return fmt.Errorf("the plan has no target %q; its targets are %s", e.Target, report.Names(targetNames(s)))
}

func (a *app) knownWave(s *rollout.State, name string) error {
	var names []string
	for _, w := range s.Plan.Waves {
		if w.Name == name {
			return nil
		}
		names = append(names, w.Name)
	}
	if s.Targets[name] != nil {
		return fmt.Errorf("%s is a target, not a wave; leave --wave out: %s approve %s", name, a.self(), name)
	}
	return fmt.Errorf("the plan has no wave %q; its waves are %s", name, report.Names(names))
}

// settledBack says in people's words why a target cannot be taken back.
func settledBack(s *rollout.State, e rollout.Event) error {
	if e.Kind != rollout.EventRollback {
		return nil
	}
	switch s.Targets[e.Target].Status {
	case rollout.RolledBack:
		return fmt.Errorf("%s is rolled back already; there is nothing left to take back", e.Target)
	case rollout.RollingBack:
		return fmt.Errorf("%s is being rolled back already", e.Target)
	case rollout.Untouched, rollout.Waiting:
		return fmt.Errorf("nothing was done on %s; there is nothing to take back", e.Target)
	case rollout.Running, rollout.Held, rollout.Upgraded, rollout.Failed:
	}
	return nil
}

func targetNames(s *rollout.State) []string {
	var names []string
	for _, w := range s.Plan.Waves {
		for _, t := range w.Targets {
			names = append(names, t.Name)
		}
	}
	return names
}
