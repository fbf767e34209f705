package controller

import (
	"context"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/controller/executor"
)

// claimer is a performer that can tell a host that this controller has come.
type claimer interface {
	Claim(ctx context.Context, host string, underWay bool, m executor.Memory) error
}

// How many hosts are claimed at once, and how long one may take. What cannot be
// claimed in time is claimed before this controller changes it.
const (
	claimsAtOnce = 32
	claimLimit   = 30 * time.Second
)

// claim has every host that the rollout may still change refuse the controllers
// before this one: one that was stopped, its folder copied, and comes back.
func (c *Controller) claim(ctx context.Context) {
	p, ok := c.Performer.(claimer)
	if !ok {
		return
	}
	places := make(chan struct{}, claimsAtOnce)
	var wait sync.WaitGroup
	for host, underWay := range c.state.Hosts() {
		places <- struct{}{}
		wait.Go(func() {
			defer func() { <-places }()
			ctx, stop := context.WithTimeout(ctx, claimLimit)
			defer stop()
			_ = p.Claim(ctx, host, underWay, executor.Memory{Rollout: c.ID, Epoch: c.epoch})
		})
	}
	wait.Wait()
}
