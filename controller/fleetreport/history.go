package fleetreport

import (
	"math"
	"sort"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// Past is one rollout as the journal tells it.
type Past struct {
	ID     string
	State  *rollout.State
	Events []rollout.Event
}

// shownSamples is how many of the newest closed times of a target count.
const shownSamples = 10

// place names an instance in facts and plans.
type place struct{ host, instance string }

// history is what the journal's rollouts say of each instance.
type history struct {
	closed    map[place][]float64 // seconds, the newest first
	snapshots map[place]Proven
	left      map[place]left
	packages  map[string]packagesLeft // by host
}

// packagesLeft are the versions to which the last rollout that changed a host's
// packages brought them.
type packagesLeft struct {
	order int // of the rollout, 0 the newest
	to    map[string]string
}

// left is an instance as the last rollout that upgraded it left it.
type left struct {
	order   int // of the rollout, 0 the newest
	rollout string
	at      time.Time
	target  *plan.Target
}

// read goes through the rollouts, the newest first.
func read(past []Past, now time.Time) history {
	h := history{closed: map[place][]float64{}, snapshots: map[place]Proven{}, left: map[place]left{}, packages: map[string]packagesLeft{}}
	for order, p := range past {
		h.readSnapshots(p, now)
		for i := range p.State.Plan.Waves {
			targets := p.State.Plan.Waves[i].Targets
			for k := range targets {
				h.readTarget(p, order, &targets[k])
			}
		}
	}
	return h
}

func (h *history) readTarget(p Past, order int, t *plan.Target) {
	s := p.State.Targets[t.Name]
	if s.Status != rollout.Upgraded {
		return
	}
	if len(t.Expect.PackagesTo) > 0 && h.packages[t.Host].to == nil {
		h.packages[t.Host] = packagesLeft{order, t.Expect.PackagesTo}
	}
	if t.Instance == "" {
		return
	}
	at := place{t.Host, t.Instance}
	if _, known := h.left[at]; !known {
		h.left[at] = left{order: order, rollout: p.ID, at: s.SettledAt, target: t}
	}
	if d := closedFor(s); d > 0 && len(h.closed[at]) < shownSamples {
		h.closed[at] = append(h.closed[at], d)
	}
}

// closedFor is how long users were kept out, in seconds; 0 when they were not,
// or still are.
func closedFor(s *rollout.TargetState) float64 {
	if s.ClosedAt.IsZero() || s.OpenedAt.IsZero() {
		return 0
	}
	return milli(s.OpenedAt.Sub(s.ClosedAt).Seconds())
}

// readSnapshots keeps the newest proven snapshot of each instance: a snapshot
// step ends well only when its driver verified what it took.
func (h *history) readSnapshots(p Past, now time.Time) {
	for _, e := range p.Events {
		if e.Kind != rollout.EventStepDone || e.Handle == nil {
			continue
		}
		step, target, ok := p.State.Step(e.Step)
		if !ok || step.Kind != plan.KindSnapshot || target == nil {
			continue
		}
		at := place{step.Host, step.Instance}
		if known, ok := h.snapshots[at]; ok && !e.At.After(known.At) {
			continue
		}
		h.snapshots[at] = Proven{At: second(e.At), AgeSeconds: int64(now.Sub(e.At) / time.Second), Rollout: p.ID, Key: e.Handle.Key}
	}
}

// expected is the median and the greatest of a target's own closed times, else
// the estimate.
func (h *history) expected(at place, estimate int) *Expected {
	if samples := h.closed[at]; len(samples) > 0 {
		median, most := middle(samples)
		return &Expected{Source: FromHistory, MedianSeconds: median, MaxSeconds: most, Samples: len(samples)}
	}
	if estimate <= 0 {
		return nil
	}
	return &Expected{Source: FromEstimate, MedianSeconds: float64(estimate), MaxSeconds: float64(estimate)}
}

// middle returns the median and the greatest of some numbers, 0 of none. The
// median of an even count is the mean of the two in the middle.
func middle(list []float64) (median, most float64) {
	if len(list) == 0 {
		return 0, 0
	}
	sorted := append([]float64(nil), list...)
	sort.Float64s(sorted)
	n := len(sorted)
	median = sorted[n/2]
	if n%2 == 0 {
		median = milli((sorted[n/2-1] + sorted[n/2]) / 2)
	}
	return median, sorted[n-1]
}

// milli rounds seconds to thousandths.
func milli(s float64) float64 { return math.Round(s*1000) / 1000 }

func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// summary is a rollout in short.
func summary(p Past) Rollout {
	s := p.State
	c := s.Count()
	r := Rollout{ID: p.ID, Name: s.Plan.Rollout, Verdict: string(s.Ended), Upgraded: c.Upgraded,
		RolledBack: c.RolledBack, Failed: c.Failed, Untouched: c.Untouched}
	if r.Verdict == "" {
		r.Verdict = "running"
	}
	if !s.Started.IsZero() {
		began := second(s.Started)
		r.Began = &began
	}
	var closed []float64
	for i := range s.Plan.Waves {
		for _, t := range s.Plan.Waves[i].Targets {
			if d := closedFor(s.Targets[t.Name]); d > 0 {
				closed = append(closed, d)
			}
		}
	}
	r.MedianSeconds, r.MaxSeconds = middle(closed)
	return r
}
