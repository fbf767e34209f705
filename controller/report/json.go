package report

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// formatVersion is the version of this package's JSON forms. Names are only
// ever added within a version.
const formatVersion = 1

// Encode writes a document for programs: over several lines when indent is not
// empty, else on one. It is the one encoder of what commands print.
func Encode(w io.Writer, document any, indent string) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(document); err != nil {
		return fmt.Errorf("cannot write the result: %w", err)
	}
	return nil
}

// PlanDocument is a plan: every target, wave and step of a rollout, decided
// ahead.
type PlanDocument struct {
	FormatVersion int    `json:"format_version"`
	Rollout       string `json:"rollout"`
	// Digest identifies the plan: the same decision has the same digest.
	Digest string `json:"digest"`
	// FactsOf is when the newest of the facts were seen.
	FactsOf time.Time `json:"facts_of"`
	// Changes tells whether there is something to do.
	Changes bool        `json:"changes"`
	Targets targetCount `json:"targets"`
	Policy  policyView  `json:"policy"`
	Waves   []waveView  `json:"waves"`
	// Blocked are the targets on which nothing will be done, with the reasons.
	Blocked []blockedView `json:"blocked"`
	// Idle are the selected targets with nothing to do.
	Idle []string `json:"idle"`
	// Problems are those of the rollout itself, which no target has alone.
	Problems []problemView `json:"problems,omitempty"`
	// HeldBack is what is pending on idle targets, all of it held.
	HeldBack []heldBackView `json:"held_back,omitempty"`
	Pins     *pinView       `json:"pins,omitempty"`
}

type heldBackView struct {
	Target   string        `json:"target"`
	Packages []packageView `json:"packages"`
}

type targetCount struct {
	Planned int `json:"planned"`
	Blocked int `json:"blocked"`
	Idle    int `json:"idle"`
}

type policyView struct {
	MaxUnavailable     int    `json:"max_unavailable"`
	FailureBudget      int    `json:"failure_budget"`
	Ahead              int    `json:"ahead"`
	SpreadLabel        string `json:"spread_label,omitempty"`
	SpreadMax          int    `json:"spread_max,omitempty"`
	OnHold             string `json:"on_hold"`
	HoldTimeoutSeconds int    `json:"hold_timeout_seconds"`
	// Window is the first of Windows.
	Window    *windowView    `json:"window,omitempty"`
	Windows   []windowView   `json:"windows,omitempty"`
	Blackouts []blackoutView `json:"blackouts,omitempty"`
	// CutOff: nothing starts that is not expected to end, with so much time
	// left, before a window does.
	CutOff         bool `json:"cut_off,omitempty"`
	ReserveSeconds int  `json:"reserve_seconds,omitempty"`
}

type blackoutView struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Zone   string `json:"zone"`
	Reason string `json:"reason"`
}

type windowView struct {
	Days []string `json:"days"`
	From string   `json:"from"`
	To   string   `json:"to"`
	Zone string   `json:"zone"`
}

type waveView struct {
	Name        string `json:"name"`
	BakeSeconds int    `json:"bake_seconds"`
	Approve     bool   `json:"approve"`
	// Approvals is how many different people must approve, 0 when none.
	Approvals             int          `json:"approvals"`
	ApproveExpiresSeconds int          `json:"approve_expires_seconds,omitempty"`
	Targets               []targetView `json:"targets"`
	Gate                  []stepView   `json:"gate"`
}

type targetView struct {
	Name          string        `json:"name"`
	Host          string        `json:"host"`
	Instance      string        `json:"instance,omitempty"`
	From          string        `json:"from,omitempty"`
	To            string        `json:"to,omitempty"`
	Hops          []string      `json:"hops"`
	Packages      []packageView `json:"packages"`
	Stale         []string      `json:"stale_services,omitempty"`
	Apps          []appView     `json:"apps"`
	Warnings      []problemView `json:"warnings"`
	ClosedSeconds int           `json:"closed_seconds"`
	OnlineSeconds int           `json:"online_seconds"`
	Steps         []stepView    `json:"steps"`
	Undo          []stepView    `json:"undo"`
}

type packageView struct {
	Name     string `json:"name"`
	From     string `json:"from,omitempty"`
	To       string `json:"to,omitempty"`
	Change   string `json:"change"`
	Product  string `json:"product,omitempty"`
	Security bool   `json:"security"`
	Held     bool   `json:"held"`
	Reason   string `json:"reason,omitempty"`
}

type appView struct {
	ID     string `json:"id"`
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	Action string `json:"action"`
	Reason string `json:"reason,omitempty"`
}

type problemView struct {
	Code    string `json:"code"`
	Summary string `json:"summary"`
	Detail  string `json:"detail"`
	Remedy  string `json:"remedy"`
}

type blockedView struct {
	Target   string        `json:"target"`
	Problems []problemView `json:"problems"`
}

type stepView struct {
	ID             string     `json:"id"`
	Kind           string     `json:"kind"`
	Phase          string     `json:"phase"`
	Title          string     `json:"title"`
	Argv           [][]string `json:"argv,omitempty"`
	Driver         string     `json:"driver,omitempty"`
	TimeoutSeconds int        `json:"timeout_seconds"`
	Changes        bool       `json:"changes"`
	Undoes         []string   `json:"undoes,omitempty"`
}

// PlanJSON is a plan for programs, with the problems of the rollout itself.
func PlanJSON(p *plan.Plan, problems []plan.Problem) PlanDocument {
	o := p.Policy
	v := PlanDocument{
		FormatVersion: formatVersion, Rollout: p.Rollout, Digest: plan.Digest(*p), FactsOf: p.Made.UTC().Truncate(time.Second),
		Changes: targets(p) > 0, Targets: targetCount{Planned: targets(p), Blocked: len(p.Blocked), Idle: len(p.Idle)},
		Policy: policyView{
			MaxUnavailable: o.MaxUnavailable, FailureBudget: o.FailureBudget, Ahead: o.Ahead, SpreadLabel: o.SpreadLabel,
			SpreadMax: o.SpreadMax, OnHold: o.OnHold, HoldTimeoutSeconds: wholeSeconds(o.HoldTimeout),
		},
		Waves: []waveView{}, Blocked: []blockedView{}, Idle: append([]string{}, p.Idle...), Pins: viewPin(p.Pin),
	}
	for _, w := range o.AllWindows() {
		v.Policy.Windows = append(v.Policy.Windows, windowView{Days: append([]string{}, w.Days...), From: w.From, To: w.To, Zone: w.Zone})
		v.Policy.Window = &v.Policy.Windows[0]
	}
	for _, b := range o.Blackouts {
		v.Policy.Blackouts = append(v.Policy.Blackouts, blackoutView(b))
	}
	v.Policy.CutOff, v.Policy.ReserveSeconds = o.CutOff, wholeSeconds(o.Reserve)
	for i := range p.Waves {
		w := &p.Waves[i]
		view := waveView{Name: w.Name, BakeSeconds: wholeSeconds(w.Bake), Approve: w.Approve,
			Approvals: w.Needs(), ApproveExpiresSeconds: wholeSeconds(w.ApproveExpires), Targets: []targetView{}, Gate: viewSteps(w.Gate)}
		for k := range w.Targets {
			view.Targets = append(view.Targets, viewTarget(&w.Targets[k]))
		}
		v.Waves = append(v.Waves, view)
	}
	for _, b := range p.Blocked {
		v.Blocked = append(v.Blocked, blockedView{Target: b.Target, Problems: viewProblems(b.Problems)})
	}
	for _, h := range p.HeldBack {
		v.HeldBack = append(v.HeldBack, heldBackView{Target: h.Target, Packages: viewPackages(h.Packages)})
	}
	if len(problems) > 0 {
		v.Problems = viewProblems(problems)
	}
	return v
}

// wholeSeconds is a duration in whole seconds.
func wholeSeconds(d time.Duration) int { return int(d / time.Second) }

func viewTarget(t *plan.Target) targetView {
	v := targetView{
		Name: t.Name, Host: t.Host, Instance: t.Instance, From: t.From.String(), To: t.To.String(), Hops: []string{},
		Packages: viewPackages(t.Packages), Stale: t.Stale, Apps: []appView{}, Warnings: viewProblems(t.Warnings),
		ClosedSeconds: t.ClosedSeconds, OnlineSeconds: t.OnlineSeconds, Steps: viewSteps(t.Steps), Undo: viewSteps(t.Undo),
	}
	for _, h := range t.Hops {
		v.Hops = append(v.Hops, h.To.String())
	}
	for _, a := range t.Apps {
		v.Apps = append(v.Apps, appView{ID: a.ID, From: a.From, To: a.To, Action: a.Action, Reason: a.Reason})
	}
	return v
}

func viewPackages(list []driver.PackageChange) []packageView {
	out := make([]packageView, 0, len(list))
	for _, c := range list {
		out = append(out, packageView{Name: c.Name, From: c.From, To: c.To, Change: string(c.Change),
			Product: c.Product, Security: c.Security, Held: c.Held, Reason: c.Reason})
	}
	return out
}

func viewProblems(list []plan.Problem) []problemView {
	out := []problemView{}
	for _, p := range list {
		out = append(out, problemView{Code: p.Code, Summary: p.Summary, Detail: p.Detail, Remedy: p.Remedy})
	}
	return out
}

func viewSteps(list []plan.Step) []stepView {
	out := []stepView{}
	for _, s := range list {
		v := stepView{ID: s.ID, Kind: string(s.Kind), Phase: string(s.Phase), Title: s.Title, Driver: s.Driver,
			TimeoutSeconds: wholeSeconds(s.Timeout), Changes: s.Changes, Undoes: s.Undoes}
		if s.Script != "" {
			v.Argv = append(v.Argv, append([]string{s.Script}, s.Args...))
		}
		for _, c := range s.Commands {
			v.Argv = append(v.Argv, c.Argv)
		}
		out = append(out, v)
	}
	return out
}
