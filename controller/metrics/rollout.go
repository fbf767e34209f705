package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// stepBuckets are the bounds of the histogram of steps, in seconds: a look takes
// less than one, an upgrade of a large database an hour.
var stepBuckets = []float64{0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("ncfleet_"+name, help, labels, nil)
}

var (
	controllerRunning = desc("controller_running", "1 while a controller writes the journal.")
	rolloutInfo       = desc("rollout_info", "The newest rollout of the journal.", "rollout", "id")
	rolloutState      = desc("rollout_state", "1 for the state that the rollout is in.", "state")
	rolloutDecision   = desc("rollout_decision_needed", "1 when the rollout goes on only after a decision of an operator.")
	rolloutTargets    = desc("rollout_targets", "Targets of the rollout by state.", "state")
	rolloutWaves      = desc("rollout_waves", "Waves of the rollout by state.", "state")
	rolloutFailures   = desc("rollout_failures", "Failures that count towards the budget.")
	rolloutBudget     = desc("rollout_failure_budget", "Failures that are tolerated; one more halts the rollout.")
	rolloutStarted    = desc("rollout_start_timestamp_seconds", "When the rollout began.")
	rolloutLast       = desc("rollout_last_event_timestamp_seconds", "When the newest event of the rollout happened.")
	targetClosed      = desc("target_closed_timestamp_seconds", "Since when a target is closed to its users; only of targets that are.", "target")
	targetExpected    = desc("target_closed_expected_seconds", "How long the plan expects a target to be closed; only of targets that are closed.", "target")
	targetDecision    = desc("target_decision_needed", "1 for a target that waits for a decision of an operator; only of targets that do.", "target")
)

// The states of ncfleet_rollout_state.
var rolloutStates = []string{"not_begun", "running", "paused", "halted", "succeeded", "incomplete", "aborted"}

// targetStates are those of ncfleet_rollout_targets.
var targetStates = []rollout.Status{rollout.Waiting, rollout.Running, rollout.Held, rollout.RollingBack,
	rollout.Upgraded, rollout.RolledBack, rollout.Untouched, rollout.Failed}

// The states of ncfleet_rollout_waves.
var waveStates = []string{"waiting", "needs_approval", "under_way", "passed"}

// Rollout shows one rollout. As a controller's sink it follows the events; any
// goroutine may collect from it meanwhile.
type Rollout struct {
	steps    *prometheus.HistogramVec
	outcomes *prometheus.CounterVec

	mu  sync.Mutex
	now standing
}

// standing is how a rollout stands after an event.
type standing struct {
	running          bool
	id, name, state  string
	decision         bool
	targets          map[rollout.Status]int
	waves            map[string]int
	failures, budget int
	started, last    time.Time
	closed           map[string]closing
	decisions        []string
}

type closing struct {
	since    time.Time
	expected int
}

// NewRollout shows a rollout as its events so far left it. running tells
// whether a controller carries it on.
func NewRollout(id string, s *rollout.State, events []rollout.Event, running bool) *Rollout {
	r := &Rollout{
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ncfleet_step_duration_seconds",
			Help: "How long steps of the rollout took, by kind.", Buckets: stepBuckets}, []string{"kind"}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ncfleet_steps_total",
			Help: "Steps of the rollout that ended, by kind and result."}, []string{"kind", "result"}),
	}
	r.now.id, r.now.running = id, running
	for _, e := range events {
		r.count(e, s)
	}
	var last time.Time
	if len(events) > 0 {
		last = events[len(events)-1].At
	}
	r.look(s, last)
	return r
}

// Event follows a rollout; see controller.Sink.
func (r *Rollout) Event(e rollout.Event, s *rollout.State) {
	r.count(e, s)
	r.look(s, e.At)
}

// Waiting is of no interest: why nothing starts follows from the state.
func (r *Rollout) Waiting([]string, *rollout.State) {}

// results are the words for how steps end.
var results = map[rollout.EventKind]string{rollout.EventStepDone: "succeeded", rollout.EventStepFail: "failed",
	rollout.EventStepHeld: "held", rollout.EventStepRefused: "refused"}

func (r *Rollout) count(e rollout.Event, s *rollout.State) {
	result, ended := results[e.Kind]
	if !ended {
		return
	}
	step, _, ok := s.Step(e.Step)
	if !ok {
		return
	}
	r.steps.WithLabelValues(string(step.Kind)).Observe(e.Seconds)
	r.outcomes.WithLabelValues(string(step.Kind), result).Inc()
}

// look takes over how the rollout stands.
func (r *Rollout) look(s *rollout.State, last time.Time) {
	n := standing{name: s.Plan.Rollout, failures: s.Failures(), budget: s.Plan.Policy.FailureBudget, started: s.Started, last: last,
		targets: map[rollout.Status]int{rollout.Untouched: len(s.Plan.Blocked)}, waves: map[string]int{}, closed: map[string]closing{}}
	n.state = stateOf(s)
	for i := range s.Plan.Waves {
		wave := waveState(s, i)
		n.waves[wave]++
		if wave == "needs_approval" && s.Ended == "" {
			n.decision = true
		}
		for k := range s.Plan.Waves[i].Targets {
			n.target(&s.Plan.Waves[i].Targets[k], s)
		}
	}
	for _, name := range s.Closed() {
		c := n.closed[name]
		c.since = s.Targets[name].ClosedAt
		n.closed[name] = c
	}
	for name, c := range n.closed {
		if c.since.IsZero() {
			delete(n.closed, name)
		}
	}
	n.decision = n.decision || n.state == "halted" || n.state == "paused" || len(n.decisions) > 0 && s.Ended == ""
	r.mu.Lock()
	defer r.mu.Unlock()
	n.id, n.running = r.now.id, r.now.running
	r.now = n
}

func (n *standing) target(t *plan.Target, s *rollout.State) {
	status := s.Targets[t.Name].Status
	n.targets[status]++
	n.closed[t.Name] = closing{expected: t.ClosedSeconds} // those that are open are left out again
	if status == rollout.Held || status == rollout.Failed && !s.Targets[t.Name].Accepted {
		n.decisions = append(n.decisions, t.Name)
	}
}

func stateOf(s *rollout.State) string {
	switch {
	case s.Ended != "":
		return string(s.Ended)
	case s.Started.IsZero():
		return "not_begun"
	case s.HaltReason != "":
		return "halted"
	case s.Paused:
		return "paused"
	}
	return "running"
}

func waveState(s *rollout.State, i int) string {
	w := &s.Plan.Waves[i]
	if s.Waves[i].Passed {
		return "passed"
	}
	for _, t := range w.Targets {
		if s.Targets[t.Name].Status != rollout.Waiting {
			return "under_way"
		}
	}
	if w.Approve && !s.Waves[i].Approved && (i == 0 || s.Waves[i-1].Passed) {
		return "needs_approval"
	}
	return "waiting"
}

// Describe names everything that Collect may send.
func (r *Rollout) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{controllerRunning, rolloutInfo, rolloutState, rolloutDecision, rolloutTargets, rolloutWaves, rolloutFailures,
		rolloutBudget, rolloutStarted, rolloutLast, targetClosed, targetExpected, targetDecision} {
		ch <- d
	}
	r.steps.Describe(ch)
	r.outcomes.Describe(ch)
}

// Collect sends the metrics of this moment.
func (r *Rollout) Collect(ch chan<- prometheus.Metric) {
	r.mu.Lock()
	n := r.now // look never changes what it put here
	r.mu.Unlock()
	g := gauges{ch}
	g.truth(controllerRunning, n.running)
	g.set(rolloutInfo, 1, n.name, n.id)
	for _, s := range rolloutStates {
		g.truth(rolloutState, s == n.state, s)
	}
	g.truth(rolloutDecision, n.decision)
	for _, s := range targetStates {
		g.set(rolloutTargets, float64(n.targets[s]), string(s))
	}
	for _, s := range waveStates {
		g.set(rolloutWaves, float64(n.waves[s]), s)
	}
	g.set(rolloutFailures, float64(n.failures))
	g.set(rolloutBudget, float64(n.budget))
	g.time(rolloutStarted, n.started)
	g.time(rolloutLast, n.last)
	for name, c := range n.closed {
		g.time(targetClosed, c.since, name)
		g.set(targetExpected, float64(c.expected), name)
	}
	for _, name := range n.decisions {
		g.set(targetDecision, 1, name)
	}
	r.steps.Collect(ch)
	r.outcomes.Collect(ch)
}

// gauges sends single values.
type gauges struct{ ch chan<- prometheus.Metric }

func (g gauges) set(d *prometheus.Desc, value float64, labels ...string) {
	g.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (g gauges) truth(d *prometheus.Desc, is bool, labels ...string) {
	value := 0.0
	if is {
		value = 1
	}
	g.set(d, value, labels...)
}

// time sends an instant, unless there was none.
func (g gauges) time(d *prometheus.Desc, at time.Time, labels ...string) {
	if !at.IsZero() {
		g.set(d, float64(at.UnixMilli())/1000, labels...)
	}
}

// NoRollout tells that the journal holds no rollout, or that there is none.
type NoRollout struct{ Running bool }

// Describe names everything that Collect may send.
func (NoRollout) Describe(ch chan<- *prometheus.Desc) { ch <- controllerRunning }

// Collect sends the metrics of this moment.
func (r NoRollout) Collect(ch chan<- prometheus.Metric) {
	gauges{ch}.truth(controllerRunning, r.Running)
}
