package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// asking is a plan whose second wave asks for that many approvals.
func asking(n int, expires time.Duration) *plan.Plan {
	p := testPlan(1, 1)
	p.Waves[1].Approve, p.Waves[1].ApproveExpires = true, expires
	if n > 1 {
		p.Waves[1].Approvals = n
	}
	return p
}

func (r *run) approve(who string) {
	r.t.Helper()
	e := Event{Kind: EventApproved, Wave: "w1", Who: who, Digest: r.s.Digest}
	if err := r.s.Allows(e); err != nil {
		r.t.Fatalf("%s may not approve: %v", who, err)
	}
	r.event(e)
}

// due lets the first wave pass, so that the second one is asked for.
func due(t *testing.T, p *plan.Plan) *run {
	t.Helper()
	r := newRun(t, p)
	r.finish()
	if st := r.s.Targets["h02"].Status; st != Waiting || !r.s.Waves[0].Passed {
		t.Fatalf("h02 is %s without an approval", st)
	}
	return r
}

func (r *run) waits(want string) {
	r.t.Helper()
	if got := r.s.Next(r.now).Waits; !slices.Equal(got, []string{want}) {
		r.t.Errorf("waits %q, want %q", got, want)
	}
}

func TestTwoPeopleMustApprove(t *testing.T) {
	r := due(t, asking(2, 0))
	r.waits("wave w1 waits for approval by 2 people")
	for _, who := range []string{"anna@control", "anna@control", "Anna@laptop", "anna (ops@control)"} {
		r.approve(who)
		if got := r.start(); len(got) != 0 {
			t.Errorf("%s approves, started %v: one person is not two", who, got)
		}
	}
	r.waits("wave w1 waits for approval by 2 people: given by anna (ops@control)")
	r.approve("ben (ops@control)")
	if got := r.start(); !slices.Equal(got, []string{"w1/h02/recheck"}) {
		t.Errorf("started %v", got)
	}
}

func TestApprovalGivenAhead(t *testing.T) {
	r := newRun(t, asking(1, 0))
	r.approve("anna@control")
	if v := r.finish(); v != Succeeded {
		t.Errorf("verdict %q: an approval given before the wave was due does not count", v)
	}
}

func TestApprovalExpires(t *testing.T) {
	r := newRun(t, asking(1, time.Hour))
	r.approve("anna@control")
	id := r.until("h01/tidy")
	r.now = t0.Add(time.Hour)
	r.done(id)
	r.finish()
	if len(r.begun("h02")) != 0 {
		t.Fatal("an approval that is an hour old let the wave start; it counts for less than that")
	}
	r.waits("wave w1 waits for approval: that of anna@control expired 2026-03-02T23:00:00Z")
	at := slices.IndexFunc(r.log, func(e Event) bool { return e.Kind == EventApprovalExpired })
	if at < 0 || r.log[at].Who != "anna@control" || r.log[at].Wave != "w1" {
		t.Errorf("the journal does not tell: %+v", r.log)
	}
	r.approve("anna@control") // renewed
	if v := r.finish(); v != Succeeded {
		t.Errorf("verdict %q", v)
	}
}

// TestOneOfTwoApprovalsExpires: the loop wakes up for it, and it is renewed
// alone.
func TestOneOfTwoApprovalsExpires(t *testing.T) {
	r := due(t, asking(2, time.Hour))
	r.approve("anna@control")
	if d := r.s.Next(r.now); !d.Wake.Equal(r.now.Add(time.Hour)) {
		t.Errorf("wakes at %s", d.Wake)
	}
	r.now = t0.Add(30 * time.Minute)
	r.approve("ben@control")
	if len(r.start()) == 0 {
		t.Error("two valid approvals do not count")
	}
	r = due(t, asking(2, time.Hour))
	r.approve("anna@control")
	r.now = t0.Add(time.Hour)
	r.start()
	r.approve("ben@control")
	if got := r.start(); len(got) != 0 {
		t.Errorf("started %v with one approval that has expired", got)
	}
	r.approve("anna@control")
	if len(r.start()) == 0 {
		t.Error("renewed, and nothing starts")
	}
}

// TestBegunWaveKeepsItsApproval: an approval lets a wave start. A wave that
// lasts longer is not stopped in its middle.
func TestBegunWaveKeepsItsApproval(t *testing.T) {
	p := testPlan(3)
	p.Policy.MaxUnavailable, p.Policy.Ahead = 1, 1
	p.Waves[0].Approve, p.Waves[0].ApproveExpires = true, time.Hour
	r := newRun(t, p)
	r.event(Event{Kind: EventApproved, Wave: "w0", Who: "anna@control"})
	id := r.until("h01/tidy")
	r.now = t0.Add(48 * time.Hour)
	r.done(id)
	if v := r.finish(); v != Succeeded {
		t.Errorf("verdict %q, waits %v", v, r.s.Next(r.now).Waits)
	}
}

func TestApprovalOfAnotherPlan(t *testing.T) {
	p := asking(1, 0)
	s, err := New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{t: t, s: s, now: t0}
	r.event(Event{Kind: EventStarted, Digest: "5ca1ab1e"})
	other := Event{Kind: EventApproved, Wave: "w1", Who: "anna@control", Digest: "0b501e7e"}
	if err := r.s.Allows(other); err == nil || !strings.Contains(err.Error(), "the approval is for plan 0b501e7e, and this rollout carries out plan 5ca1ab1e") {
		t.Errorf("an operator may approve another plan: %v", err)
	}
	r.event(other) // from a journal that holds it nevertheless
	r.finish()
	if r.s.Waves[1].Approved || len(r.begun("h02")) != 0 {
		t.Error("the approval of another plan counts")
	}
	r.approve("anna@control")
	if v := r.finish(); v != Succeeded {
		t.Errorf("verdict %q", v)
	}
}

func TestApprovalThatNobodyAsksFor(t *testing.T) {
	newRun(t, asking(1, 0)).refusedWave("w0", "needs no approval")
	r := due(t, asking(1, 0))
	r.approve("anna@control")
	r.start()
	r.refusedWave("w1", "has begun")
}

func (r *run) refusedWave(wave, why string) {
	r.t.Helper()
	if err := r.s.Allows(Event{Kind: EventApproved, Wave: wave, Who: "op"}); err == nil || !strings.Contains(err.Error(), why) {
		r.t.Errorf("approval of %s: %v, want %q", wave, err, why)
	}
}

// TestApprovalExpiredMustBeTrue: an expiry that did not happen is no event of
// this rollout.
func TestApprovalExpiredMustBeTrue(t *testing.T) {
	r := newRun(t, asking(1, time.Hour))
	r.approve("anna@control")
	for name, e := range map[string]Event{
		"too early":    {Kind: EventApprovalExpired, Wave: "w1", Who: "anna@control", At: t0.Add(time.Hour - time.Second)},
		"another's":    {Kind: EventApprovalExpired, Wave: "w1", Who: "ben@control", At: t0.Add(time.Hour)},
		"another wave": {Kind: EventApprovalExpired, Wave: "w0", Who: "anna@control", At: t0.Add(time.Hour)},
		"no wave":      {Kind: EventApprovalExpired, Who: "anna@control", At: t0.Add(time.Hour)},
	} {
		if err := r.s.Check(e); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
