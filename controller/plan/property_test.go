package plan

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// drawn is a fleet of up to nine hosts with up to three instances each, in up
// to four waves, some of them in trouble.
func drawn(t *rapid.T) Input {
	n := rapid.IntRange(1, 9).Draw(t, "hosts")
	in := fixture(n)
	r := in.Rollout
	r.Core.To = rapid.SampledFrom([]string{"", "28", "29", "29.0.1", "30", "31"}).Draw(t, "to")
	r.System.Level = rapid.SampledFrom([]string{"none", "security", "update"}).Draw(t, "level")
	r.System.Reboot = rapid.SampledFrom([]string{"never", "if_required"}).Draw(t, "reboot")
	r.Apps.Update = rapid.SampledFrom([]string{"all", "none"}).Draw(t, "apps")
	r.Apps.OnIncompatible = rapid.SampledFrom([]string{"block", "disable"}).Draw(t, "incompatible")
	r.Core.Transfer = rapid.SampledFrom([]string{"push", "fetch"}).Draw(t, "transfer")
	r.MaxUnavailable = inventory.Amount{IsPercent: true, Percent: rapid.Float64Range(0, 100).Draw(t, "percent")}
	r.Waves = nil
	for i := range rapid.IntRange(1, 4).Draw(t, "waves") {
		r.Waves = append(r.Waves, inventory.Wave{Name: fmt.Sprint("wave", i)})
	}
	for i, name := range r.Hosts {
		w := 0 // the first host makes the first wave the canary
		if i > 0 {
			w = rapid.IntRange(0, len(r.Waves)-1).Draw(t, "wave")
		}
		r.Waves[w].Hosts = append(r.Waves[w].Hosts, name)
		var names []string
		for k := range rapid.IntRange(0, 3).Draw(t, "instances") {
			names = append(names, fmt.Sprint("i", k))
		}
		several(&in, name, names...)
	}
	if rapid.Bool().Draw(t, "machine snapshots") {
		for name, s := range Subjects(in.Fleet, in.Rollout, in.Facts) {
			in.Coverage[name] = driver.Coverage{Captured: s.Places, BytesFree: -1, BytesNeed: -1}
		}
	}
	for _, name := range r.Hosts {
		if rapid.IntRange(0, 3).Draw(t, "trouble") == 0 {
			k := rapid.IntRange(0, 4).Draw(t, "which")
			change(&in, name, func(f *Facts, s *InstanceFacts) {
				switch {
				case k == 0:
					f.Unreachable = "connection refused"
				case k == 1:
					f.Mounts[0].BytesFree = 1 << 20
				case s != nil && k == 2:
					s.Maintenance = true
				case s != nil && k == 3:
					s.Code, s.Config = version("29.0.16.1"), version("29.0.16.1")
				}
			})
		}
	}
	return in
}

func TestPlanProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawn(t)
		p, problems := Compute(in)
		if len(problems) > 0 {
			t.Fatalf("problems: %+v", problems)
		}
		checkPartition(t, in, p)
		ids := map[string]bool{}
		for _, w := range p.Waves {
			if len(w.Targets) == 0 {
				t.Fatalf("wave %s is empty", w.Name)
			}
			for _, s := range w.Gate {
				unique(t, ids, s.ID)
			}
			for _, tg := range w.Targets {
				checkSteps(t, ids, tg)
			}
		}
		if p.Policy.MaxUnavailable < 1 {
			t.Fatalf("max unavailable %d", p.Policy.MaxUnavailable)
		}
		data, err := Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		q, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := Encode(q); !bytes.Equal(again, data) {
			t.Fatal("a plan read back is written differently")
		}
	})
}

// checkPartition: every reference is planned, blocked or idle, exactly once,
// in its wave, and the waves keep their order, the canary first.
func checkPartition(t *rapid.T, in Input, p Plan) {
	where := map[string][]string{}
	for _, b := range p.Blocked {
		where[b.Target] = append(where[b.Target], "blocked")
		if len(b.Problems) == 0 {
			t.Fatalf("%s is blocked without a reason", b.Target)
		}
	}
	for _, i := range p.Idle {
		where[i] = append(where[i], "idle")
	}
	order := map[string]int{}
	for i, w := range in.Rollout.Waves {
		order[w.Name] = i
	}
	last := -1
	for _, w := range p.Waves {
		if order[w.Name] <= last {
			t.Fatalf("wave %s out of order", w.Name)
		}
		last = order[w.Name]
		for _, tg := range w.Targets {
			where[tg.Name] = append(where[tg.Name], w.Name)
		}
	}
	for _, ref := range Targets(in.Fleet, in.Rollout) {
		at := where[ref.Name]
		if len(at) != 1 || at[0] != "blocked" && at[0] != "idle" && at[0] != ref.Wave {
			t.Fatalf("%s of wave %s stands at %v", ref.Name, ref.Wave, at)
		}
		delete(where, ref.Name)
	}
	if len(where) > 0 {
		t.Fatalf("unknown targets %v", where)
	}
}

func unique(t *rapid.T, ids map[string]bool, id string) {
	if id == "" || ids[id] {
		t.Fatalf("step id %q is not unique", id)
	}
	ids[id] = true
}

// needUndo are the kinds that leave something behind when they fail.
var needUndo = map[Kind]bool{
	KindLease: true, KindHold: true, KindStage: true, KindClose: true,
	KindPackages: true, KindHop: true, KindApps: true, KindOpen: true,
}

func checkSteps(t *rapid.T, ids map[string]bool, tg Target) {
	undone, by := map[StepID]bool{}, map[StepID]map[Kind]bool{}
	for _, s := range tg.Undo {
		unique(t, ids, s.ID)
		if len(s.Undoes) == 0 || s.Timeout <= 0 {
			t.Fatalf("%s undoes nothing or has no timeout", s.ID)
		}
		for _, id := range s.Undoes {
			undone[id] = true
			if by[id] == nil {
				by[id] = map[Kind]bool{}
			}
			by[id][s.Kind] = true
		}
	}
	alone := tg.Instance == "" && len(tg.Subjects) == 0
	closed, snapshots := map[string]bool{}, map[string]bool{}
	own := map[StepID]bool{}
	for _, s := range tg.Steps {
		unique(t, ids, s.ID)
		own[s.ID] = true
		if s.Timeout <= 0 || s.Title == "" || s.Target != tg.Name || s.Host != tg.Host {
			t.Fatalf("%s is not whole", s.ID)
		}
		if needUndo[s.Kind] && !undone[s.ID] {
			t.Fatalf("%s is undone by nothing", s.ID)
		}
		if k := by[s.ID]; (s.Kind == KindHop || s.Kind == KindApps) && !(k[KindRestore] && k[KindInspect]) ||
			s.Kind == KindPackages && (!k[KindRepair] || !alone && !k[KindInspect]) ||
			s.Kind == KindClose && !k[KindOpen] || s.Kind == KindOpen && !k[KindClose] || s.Kind == KindStage && !k[KindUnstage] {
			t.Fatalf("%s is undone by %v alone", s.ID, k)
		}
		switch s.Kind {
		case KindClose:
			closed[s.Instance] = true
		case KindSnapshot:
			snapshots[s.Instance] = true
		default:
		}
		if s.Changes && (s.Instance == "" && len(snapshots) == 0 || s.Instance != "" && !snapshots[s.Instance]) {
			t.Fatalf("%s changes before a snapshot of %q", s.ID, s.Instance)
		}
		if s.Changes && s.Instance == "" {
			for name := range tg.Subjects {
				if !snapshots[name] || !closed[name] {
					t.Fatalf("%s changes the host while %s is open or has no snapshot", s.ID, name)
				}
			}
		}
		if s.Phase == PhaseClosed && s.Instance != "" && !closed[s.Instance] {
			t.Fatalf("%s is closed before close", s.ID)
		}
		if s.Kind == KindOpen && s.Phase != PhaseAfter {
			t.Fatalf("%s would roll back by itself though users may be in", s.ID)
		}
		if s.Phase != PhaseClosed && s.Kind != KindOpen && s.Instance != "" && closed[s.Instance] {
			t.Fatalf("%s runs in phase %s before open", s.ID, s.Phase)
		}
		if s.Kind == KindOpen {
			closed[s.Instance] = false
		}
	}
	for id := range undone {
		if !own[id] {
			t.Fatalf("%s is undone and no step", id)
		}
	}
}
