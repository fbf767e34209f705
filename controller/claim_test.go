package controller

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncfleet/ncfleet/controller/executor"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// claiming is a performer whose hosts can be told that a controller has come.
type claiming struct {
	*hosts
	claimed map[string]bool // host → a target is under way
	epoch   int64
}

func (c *claiming) Claim(_ context.Context, host string, underWay bool, m executor.Memory) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.claimed[host], c.epoch = underWay, m.Epoch
	return errors.New("the host is away") // which must stop nobody
}

// TestHostsAreClaimedOnResume: the controller before may only be stopped, and
// come back. Every host that the rollout may still change is told.
func TestHostsAreClaimedOnResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, testPlan(1, 2))
		p := &claiming{hosts: w.hosts, claimed: map[string]bool{}}
		run := func() (rollout.Verdict, error) {
			c := w.controller()
			c.Performer = p
			return c.Run(t.Context(), nil)
		}
		w.book.revive(24, true) // in the second wave
		if _, err := run(); !errors.Is(err, errDead) {
			t.Fatal(err)
		}
		if len(p.claimed) != 0 {
			t.Errorf("the first controller claims %v", p.claimed)
		}
		time.Sleep(time.Minute)
		w.book.revive(0, false)
		if v, err := run(); err != nil || v != rollout.Succeeded {
			t.Fatalf("%q %v", v, err)
		}
		if _, settled := p.claimed["h01"]; settled || !p.claimed["h02"] || p.epoch != 25 {
			t.Errorf("claimed %v with epoch %d", p.claimed, p.epoch)
		}
	})
}
