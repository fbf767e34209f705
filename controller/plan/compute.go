package plan

import (
	"fmt"
	"sort"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// holdTimeout is how long a target whose gate was inconclusive stays closed
// and waits for a person before it is taken back. Users see 503 meanwhile.
const holdTimeout = 15 * time.Minute

// Compute decides a whole rollout. The problems are those of the rollout
// itself: with any, the plan is empty. What is wrong with one target is in the
// plan's Blocked. The order of the input's slices does not matter.
func Compute(in Input) (Plan, []Problem) {
	if ps := refuse(&in); len(ps) > 0 {
		return Plan{}, ps
	}
	r := in.Rollout
	p := Plan{
		FormatVersion: FormatVersion, Rollout: r.Name, InventoryDigest: in.Fleet.Digest,
		Scripts: in.Scripts, Policy: policy(r),
	}
	hosts := hostsByName(in.Fleet)
	p.Made = made(&in)
	openings, err := p.Policy.Calendar(in.Zones)
	if err != nil {
		return Plan{}, []Problem{problem("bad_window", "a window or blackout of the rollout cannot be read", err.Error(), "correct the window or the blackout")}
	}
	pin := startPinning(&in)
	for i, w := range r.Waves {
		wave := Wave{Name: w.Name, Bake: w.Bake, Approve: w.Approve || w.Approvals > 0, ApproveExpires: w.ApproveExpires}
		if w.Approvals > 1 {
			wave.Approvals = w.Approvals
		}
		for _, name := range w.Hosts {
			p.addHost(&in, hosts, &wave, hosts[name], openings, pin)
		}
		if i == 0 {
			pin.firstWaveDecided(&in)
		}
		if len(wave.Targets) > 0 {
			wave.Gate = gateSteps(r, &wave)
			p.Waves = append(p.Waves, wave)
		}
	}
	n := 0
	for i := range p.Waves {
		n += len(p.Waves[i].Targets)
	}
	p.Policy.MaxUnavailable = maxUnavailable(r.MaxUnavailable, n)
	p.Policy.FailureBudget = failureBudget(r.Failures, n)
	p.Policy.Ahead = aheadOf(p.Policy.MaxUnavailable)
	p.Pin = pin.outcome()
	p.Drivers = driversUsed(&p, in.Drivers)
	sort.Strings(p.Idle)
	sort.Slice(p.HeldBack, func(i, j int) bool { return p.HeldBack[i].Target < p.HeldBack[j].Target })
	sort.Slice(p.Blocked, func(i, j int) bool { return p.Blocked[i].Target < p.Blocked[j].Target })
	return p, nil
}

// made is when the newest facts were seen.
func made(in *Input) time.Time {
	var at time.Time
	for _, w := range in.Rollout.Waves {
		for _, name := range w.Hosts {
			if f, ok := in.Facts[name]; ok && f.SeenAt.After(at) {
				at = f.SeenAt.UTC().Round(0)
			}
		}
	}
	return at
}

// refuse looks for what makes any plan impossible.
func refuse(in *Input) []Problem {
	var ps []Problem
	r := in.Rollout
	if r.Core.To != "" {
		if _, err := nextcloud.ParseGoal(r.Core.To); err != nil {
			ps = append(ps, problem("bad_goal", "the goal of the rollout cannot be read", err.Error(), "write core { to = \"29\" } or core { to = \"29.0.1\" }"))
		}
	}
	hosts := hostsByName(in.Fleet)
	seen := map[string]string{}
	for _, w := range r.Waves {
		for _, h := range w.Hosts {
			if hosts[h] == nil {
				ps = append(ps, problem("unknown_host", "a wave names a host that the fleet does not have", "wave "+w.Name+": "+h, "declare host \""+h+"\" or take it from the wave"))
			}
			if other, ok := seen[h]; ok {
				ps = append(ps, problem("host_twice", "a host stands in two waves", fmt.Sprintf("%s is in %s and in %s", h, other, w.Name), "take it from one of them"))
			}
			seen[h] = w.Name
		}
	}
	return ps
}

// addHost decides every target of a host. When the host's own target is
// blocked its instances are too: packages come before core.
func (p *Plan) addHost(in *Input, hosts map[string]*inventory.Host, wave *Wave, h *inventory.Host, openings *Calendar, pin *pinner) {
	hostBlocked := false
	for _, ref := range targetsOf(h, in.Rollout, wave.Name) {
		l := decide(in, hosts, ref, pin.limits())
		if len(l.blocked) == 0 && l.work() {
			l.checkWindows(p, openings)
		}
		if len(l.blocked) == 0 && hostBlocked && l.work() {
			l.block(problem("host_blocked", "the packages of its host cannot be updated", "target "+ref.Host+" is blocked and comes first", "see "+ref.Host))
		}
		switch {
		case len(l.blocked) > 0:
			hostBlocked = hostBlocked || ref.Instance == ""
			p.Blocked = append(p.Blocked, Blocked{Target: ref.Name, Problems: l.blocked})
		case !l.work():
			p.Idle = append(p.Idle, ref.Name)
			if len(l.held) > 0 {
				p.HeldBack = append(p.HeldBack, HeldBack{Target: ref.Name, Packages: l.held})
			}
		default:
			l.tells = pin.learns()
			wave.Targets = append(wave.Targets, l.target(wave.Name))
		}
		if len(l.blocked) == 0 {
			pin.note(l)
		}
	}
}

// target freezes what was decided.
func (l *look) target(wave string) Target {
	t := Target{
		Name: l.ref.Name, Host: l.ref.Host, Instance: l.ref.Instance,
		Hops: l.hops, Packages: l.held, Apps: l.apps, Warnings: l.warnings, Expect: l.expect(),
	}
	if len(l.held) > 0 || len(l.sel.Changes) > 0 {
		t.Stale = l.facts.Packages.Stale
	}
	if s := l.in.Rollout.Spread; s != nil {
		t.Spread = l.host.Labels[s.Label]
	}
	if l.seen != nil {
		t.From, t.To = l.seen.Code, l.to()
	}
	switch {
	case l.seen != nil:
		t.Subject = subjectOf(l.host, l.inst, l.seen, len(l.sel.Changes) > 0)
	case len(l.inside) == 0:
		t.Subject = subjectOf(l.host, nil, nil, true)
	default:
		t.Subject = subjectOf(l.host, nil, nil, true)
		t.Subjects = map[string]driver.Subject{}
		for _, in := range l.inside {
			t.Subjects[in.seen.Name] = subjectOf(l.host, in.inst, in.seen, true)
		}
	}
	t.Steps, t.Undo = l.build(wave)
	t.ClosedSeconds, t.OnlineSeconds = l.estimate()
	return t
}

// SubjectOf is what a snapshot step of that instance is of.
func (t *Target) SubjectOf(instance string) driver.Subject {
	if s, ok := t.Subjects[instance]; ok {
		return s
	}
	return t.Subject
}

// gateSteps are one look from outside per instance that can be seen from
// there, after the bake time.
func gateSteps(r *inventory.Rollout, w *Wave) []Step {
	var steps []Step
	for _, t := range w.Targets {
		n := 0
		for _, s := range t.Steps {
			if s.Kind != KindVerify {
				continue
			}
			n++
			s.ID = w.Name + "/" + t.Name + "/gate-verify"
			if len(t.Subjects) > 1 {
				s.ID += fmt.Sprintf("-%d", n)
			}
			s.Title += ", after the bake time"
			steps = append(steps, s)
		}
	}
	return steps
}

func policy(r *inventory.Rollout) Policy {
	p := Policy{OnHold: "wait", HoldTimeout: r.Gate.HoldTimeout}
	if p.HoldTimeout <= 0 {
		p.HoldTimeout = holdTimeout
	}
	if r.Gate.OnHold == "rollback" {
		p.OnHold = "rollback"
	}
	if r.Spread != nil {
		p.SpreadLabel, p.SpreadMax = r.Spread.Label, max(1, r.Spread.Max)
	}
	for i, w := range r.Windows {
		window := Window{Days: w.Days, From: w.From, To: w.To, Zone: w.Zone}
		if i == 0 {
			p.Window = &window
		} else {
			p.MoreWindows = append(p.MoreWindows, window)
		}
	}
	for _, b := range r.Blackouts {
		p.Blackouts = append(p.Blackouts, Blackout{From: b.From, To: b.To, Zone: b.Zone, Reason: b.Reason})
	}
	if len(r.Windows)+len(r.Blackouts) > 0 && r.WindowCutoff != "none" {
		p.CutOff, p.Reserve = true, r.WindowReserve
	}
	return p
}

// driversUsed are the drivers that some step needs, with the versions given.
func driversUsed(p *Plan, all []DriverUse) []DriverUse {
	used := map[[2]string]bool{}
	for _, w := range p.Waves {
		for _, t := range w.Targets {
			for _, s := range append(append([]Step(nil), t.Steps...), t.Undo...) {
				switch s.Kind {
				case KindFetch, KindPackages, KindRepair:
					used[[2]string{string(driver.KindPackages), s.Driver}] = true
				case KindPrepare, KindSnapshot, KindRestore:
					used[[2]string{string(driver.KindSnapshot), s.Driver}] = true
				default: // the other kinds need no driver
				}
			}
		}
	}
	var out []DriverUse
	for _, d := range all {
		if used[[2]string{d.Kind, d.Name}] {
			out = append(out, d)
			delete(used, [2]string{d.Kind, d.Name})
		}
	}
	for k := range used { // of unknown version; sorted below
		out = append(out, DriverUse{Kind: k[0], Name: k[1]})
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Kind != out[j].Kind {
			return out[i].Kind < out[j].Kind
		}
		return out[i].Name < out[j].Name
	})
	return out
}

// Step returns the step of that ID and its target; a gate step's target is the
// one it looks at. Both are nil when the plan has no such step.
func (p *Plan) Step(id StepID) (*Step, *Target) {
	for w := range p.Waves {
		wave := &p.Waves[w]
		for t := range wave.Targets {
			target := &wave.Targets[t]
			for _, list := range [][]Step{target.Steps, target.Undo} {
				for i := range list {
					if list[i].ID == id {
						return &list[i], target
					}
				}
			}
			for i := range wave.Gate {
				if wave.Gate[i].ID == id && wave.Gate[i].Target == target.Name {
					return &wave.Gate[i], target
				}
			}
		}
	}
	return nil, nil
}
