package rollout

import "testing"

// TestBrokenLeaseChangesNothing: after any event, of random rollouts, the same
// is done next as without it. An ended rollout takes it, too.
func TestBrokenLeaseChangesNothing(t *testing.T) {
	broken := Event{Kind: EventLeaseBroken, Who: "op", Target: "h01", Detail: "lost"}
	for seed := int64(1); seed <= 10; seed++ {
		log := randomRollout(t, seed).log
		s, err := New(randomRollout(t, seed).s.Plan, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(broken); err == nil {
			t.Error("a rollout that has not started takes it")
		}
		for i, e := range log {
			e.Seq = 0
			if err := s.Apply(e); err != nil {
				t.Fatalf("seed %d, event %d: %v", seed, i, err)
			}
			before := dump(t, s)
			if err := s.Allows(broken); err != nil {
				t.Fatal(err)
			}
			if err := s.Apply(broken); err != nil {
				t.Fatal(err)
			}
			if after := dump(t, s); after != before {
				t.Fatalf("seed %d, after event %d (%s):\n%s\nwas\n%s", seed, i, e.Kind, after, before)
			}
		}
	}
}
