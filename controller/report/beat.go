package report

import (
	"sort"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/rollout"
)

// Limits of the sign of life.
const (
	beatEvery = 30 * time.Second // when nothing else was written
	beatNames = 4                // steps that it names
)

// follow keeps what runs and who paused.
func (g *Progress) follow(e rollout.Event, s *rollout.State) {
	switch e.Kind {
	case rollout.EventStepBegun:
		g.running[e.Step] = e.At
	case rollout.EventStepDone, rollout.EventStepFail, rollout.EventStepHeld, rollout.EventStepRefused, rollout.EventStepNever:
		delete(g.running, e.Step)
	case rollout.EventAttached:
		for _, id := range s.InFlight() {
			g.running[id] = e.At
			if t := s.Targets[g.steps[id].step.Target]; t != nil && !t.Begun[id].IsZero() {
				g.running[id] = t.Begun[id]
			}
		}
	case rollout.EventPaused:
		g.paused = ""
		if e.Who != "" {
			g.paused = " by " + e.Who
		}
	default: // the others start and end nothing
	}
}

// Beat writes a sign of life when something runs and nothing was written for
// a while. It is called every now and then.
func (g *Progress) Beat(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.out.wrote || g.quiet.IsZero() {
		g.out.wrote, g.quiet = false, now
		return
	}
	if len(g.running) == 0 || now.Sub(g.quiet) < beatEvery {
		return
	}
	g.quiet = now
	ids := make([]string, 0, len(g.running))
	for id := range g.running {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool {
		if a, b := g.running[ids[i]], g.running[ids[j]]; !a.Equal(b) {
			return a.Before(b)
		}
		return ids[i] < ids[j]
	})
	var parts []string
	for i, id := range ids {
		if i == beatNames {
			parts = append(parts, plural(len(ids)-i, "step")+" more")
			break
		}
		parts = append(parts, g.steps[id].step.Target+" "+shortID(id)+" "+span(now.Sub(g.running[id]).Round(time.Second)))
	}
	g.page.item(0, 10, "", g.clock(now), "still running: "+strings.Join(parts, ", "))
	g.out.wrote = false
}
