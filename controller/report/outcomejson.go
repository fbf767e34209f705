package report

import (
	"math"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// OutcomeDocument is how a rollout stands or ended.
type OutcomeDocument struct {
	FormatVersion int `json:"format_version"`
	// Verdict is "running" while there is none. Of an apply that started no
	// rollout it is "nothing_to_do", or "blocked" when every target is.
	Verdict string         `json:"verdict" jsonschema:"enum=succeeded,enum=incomplete,enum=halted,enum=aborted,enum=running,enum=nothing_to_do,enum=blocked"`
	Targets rollout.Counts `json:"targets"`
	Rollout string         `json:"rollout"`
	// ID is the rollout's in the journal.
	ID         string     `json:"id,omitempty"`
	PlanDigest string     `json:"plan_digest"`
	Began      *time.Time `json:"began,omitempty"`
	HaltReason string     `json:"halt_reason,omitempty"`
	// Waves are those of the plan, in order.
	Waves   []outcomeWaveView `json:"waves"`
	Blocked []blockedView     `json:"blocked"`
	Idle    []string          `json:"idle"`
	// ClosedSeconds is by target how long its users were kept out.
	ClosedSeconds map[string]float64 `json:"closed_seconds"`
	// Leases that operators took away; the target of each is a host.
	LeasesBroken []requestView `json:"leases_broken,omitempty"`
	// Of a rollout that has not ended: whether a controller carries it on, what
	// was asked and waits for one, and why nothing starts.
	Controller string        `json:"controller,omitempty" jsonschema:"enum=running,enum=none"`
	Requests   []requestView `json:"requests,omitempty"`
	Waits      []string      `json:"waits,omitempty"`
	// History is what tells the rollout's story, oldest first.
	History []moment `json:"history,omitempty"`
}

type requestView struct {
	Kind   string `json:"kind"`
	Target string `json:"target,omitempty"`
	Wave   string `json:"wave,omitempty"`
	Who    string `json:"who,omitempty"`
	Detail string `json:"detail,omitempty"`
}

type outcomeWaveView struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	// ApprovalsNeeded is how many people must approve, 0 when none.
	ApprovalsNeeded int                 `json:"approvals_needed,omitempty"`
	Approvals       []approvalView      `json:"approvals,omitempty"`
	Targets         []outcomeTargetView `json:"targets"`
}

type outcomeTargetView struct {
	Name        string `json:"name"`
	Outcome     string `json:"outcome"`
	From        string `json:"from,omitempty"`
	To          string `json:"to,omitempty"`
	Reason      string `json:"reason,omitempty"`
	StillClosed bool   `json:"still_closed,omitempty"`
}

// NotStarted is the outcome of an apply that had nothing to start, as its
// verdict says.
func NotStarted(p *plan.Plan, verdict string) OutcomeDocument {
	v := OutcomeDocument{
		FormatVersion: formatVersion, Verdict: verdict, Targets: rollout.Counts{Untouched: len(p.Blocked)}, Rollout: p.Rollout,
		PlanDigest: plan.Digest(*p), Waves: []outcomeWaveView{}, Blocked: []blockedView{},
		Idle: append([]string{}, p.Idle...), ClosedSeconds: map[string]float64{},
	}
	for _, b := range p.Blocked {
		v.Blocked = append(v.Blocked, blockedView{Target: b.Target, Problems: viewProblems(b.Problems)})
	}
	return v
}

// OutcomeJSON is how a rollout stands or ended, for programs. The verdict of
// one that has none yet is "running". live and events
// may be nil.
func OutcomeJSON(id string, s *rollout.State, verdict rollout.Verdict, live *Live, events []rollout.Event) OutcomeDocument {
	now := latest(s)
	v := OutcomeDocument{
		FormatVersion: formatVersion, Verdict: string(verdict), Targets: s.Count(), Rollout: s.Plan.Rollout, ID: id,
		PlanDigest: plan.Digest(*s.Plan), HaltReason: s.HaltReason, Waves: []outcomeWaveView{}, Blocked: []blockedView{},
		Idle: append([]string{}, s.Plan.Idle...), ClosedSeconds: map[string]float64{},
	}
	if v.Verdict == "" {
		v.Verdict = "running"
	}
	if !s.Started.IsZero() {
		began := s.Started.UTC().Truncate(time.Second)
		v.Began = &began
	}
	for i := range s.Plan.Waves {
		p := &s.Plan.Waves[i]
		wave := outcomeWaveView{Name: p.Name, Passed: passed(s, i), ApprovalsNeeded: p.Needs(), Approvals: viewApprovals(&s.Waves[i]), Targets: []outcomeTargetView{}}
		for _, t := range p.Targets {
			st := s.Targets[t.Name]
			wave.Targets = append(wave.Targets, outcomeTargetView{Name: t.Name, Outcome: string(st.Status),
				From: t.From.String(), To: t.To.String(), Reason: st.Reason, StillClosed: st.StillClosed})
			if d := closedFor(st, now); d > 0 {
				v.ClosedSeconds[t.Name] = math.Round(d.Seconds()*1000) / 1000
			}
		}
		v.Waves = append(v.Waves, wave)
	}
	for _, b := range s.Plan.Blocked {
		v.Blocked = append(v.Blocked, blockedView{Target: b.Target, Problems: viewProblems(b.Problems)})
	}
	v.live(live, verdict)
	v.History = historyView(s, events)
	return v
}

func (v *OutcomeDocument) live(l *Live, verdict rollout.Verdict) {
	if l == nil {
		return
	}
	for _, e := range l.Broken {
		v.LeasesBroken = append(v.LeasesBroken, requestView{Kind: string(e.Kind), Target: e.Target, Who: e.Who, Detail: e.Detail})
	}
	for _, e := range l.Requests {
		v.Requests = append(v.Requests, requestView{Kind: string(e.Kind), Target: e.Target, Wave: e.Wave, Who: e.Who, Detail: e.Detail})
	}
	if verdict != "" {
		return
	}
	v.Controller, v.Waits = "none", l.Waits
	if l.Running {
		v.Controller = "running"
	}
}
