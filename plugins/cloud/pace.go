package cloud

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Limits of what is repeated. Times are multiples of the poll interval (5 s by
// default), so that one setting makes a whole test fast.
const (
	callTries    = 8  // of one provider method
	longestPause = 12 // polls: the longest pause between two tries, unless the provider asks for more
	patience     = 60 // polls: the longest pause that a provider may ask for
	settleLooks  = 4  // looks, a poll apart, for what a lost answer may have made
	appearLooks  = 24 // looks for what was begun and is in no list yet
	failedTries  = 3  // snapshots that fail before Create gives up
	deletePasses = 12 // looks after a deletion until nothing is listed
)

// pace is how fast the driver asks.
type pace struct {
	poll time.Duration
	wait time.Duration // the longest wait for one thing
}

// sleep waits for about d, or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d - d/8 + rand.N(d/4+1))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// call repeats f while its error is Retryable, with growing pauses.
func (p pace) call(ctx context.Context, f func(context.Context) error) error {
	pause := p.poll / 2
	for try := 1; ; try++ {
		err := f(ctx)
		if err == nil || !again(err) || try == callTries || ctx.Err() != nil {
			return err
		}
		if sleep(ctx, p.pause(err, pause)) != nil {
			return err
		}
		pause = min(2*pause, longestPause*p.poll)
	}
}

// pause is how long to wait after that error: what the provider asks for, if it
// is not absurd.
func (p pace) pause(err error, usual time.Duration) time.Duration {
	var e *driver.Error
	if asError(err, &e) && e.After > usual {
		return min(e.After, max(patience*p.poll, 2*time.Second))
	}
	return usual
}

// watch polls done until it is true.
func (p pace) watch(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	end := time.Now().Add(p.wait)
	for {
		ok, err := done(ctx)
		if err != nil || ok {
			return err
		}
		if time.Now().After(end) {
			return driver.Errorf(driver.Retryable, "still waiting for %s after %s: see the provider's console; raise wait in the driver's block if it only takes longer", what, p.wait)
		}
		if err := sleep(ctx, p.poll); err != nil {
			return driver.Errorf(driver.Retryable, "ended while waiting for %s: %v", what, err)
		}
	}
}

// Stages is what a Provider's Restore works with.
type Stages struct {
	Tags Tags // for what it makes; Unit is for the provider to fill in
	pace pace
}

// Wait polls until done is true, with the operator's poll interval and limit,
// and bears Retryable errors as Call does; what is for people: "server 42 to stop".
func (s Stages) Wait(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	return s.pace.watch(ctx, what, func(ctx context.Context) (bool, error) {
		var ok bool
		err := s.pace.call(ctx, func(ctx context.Context) (err error) {
			ok, err = done(ctx)
			return err
		})
		return ok, err
	})
}

// Call repeats one API call that may safely be repeated.
func (s Stages) Call(ctx context.Context, f func(context.Context) error) error {
	return s.pace.call(ctx, f)
}
