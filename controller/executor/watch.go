package executor

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// asLeft is how a closed site was found before a change.
type asLeft struct {
	reopened string // when the watchdog let users in, "" when it did not
	open     bool   // somebody else let them in
}

// problem says why no change may begin, "" when one may.
func (a asLeft) problem(site string) string {
	switch {
	case a.reopened != "":
		return fmt.Sprintf("%s was opened to its users at %s by its host's watchdog, because no controller was heard: nothing was changed; make a new plan", site, a.reopened)
	case a.open:
		return site + " is open to its users, and this rollout had closed it: somebody opened it meanwhile; nothing was done"
	}
	return ""
}

// begin asks the closed sites of the step whether they still are as close left
// them and, unless what is BeginLook, marks that a change begins. A target
// without an instance has no site.
func (w *work) begin(ctx context.Context, what string) (asLeft, error) {
	var found asLeft
	for _, s := range w.closes() {
		c, err := w.command(nextcloud.Begin(s.Args, what), nil)
		if err != nil {
			return found, err
		}
		c.Timeout = 5 * time.Minute
		r, err := insist(ctx, w, func() (driver.Result, error) { return w.remote.Do(ctx, w.token(), c) })
		if err != nil {
			return found, err
		}
		report := nextcloud.ParseReport(r.Stdout)
		if r.Exit != 0 {
			return found, fmt.Errorf("cannot begin: %s", orElse(last(report.Errors), lastLine(r.Stderr)))
		}
		found.reopened = orElse(found.reopened, report.Values["reopened"])
		found.open = found.open || report.Values["open"] == "yes"
	}
	return found, nil
}

// mayBegin is begin for a forward step: false with the outcome when it may not.
func (w *work) mayBegin(ctx context.Context, what string) (Outcome, bool) {
	found, err := w.begin(ctx, what)
	if err != nil {
		return w.failed("cannot see whether the site still is closed", err), false
	}
	if why := found.problem(w.target.Name); why != "" {
		return Outcome{Status: Failed, Detail: why}, false
	}
	return Outcome{}, true
}

// closes are the steps that closed the sites which the step is about: one for
// a step of an instance among several, else all of the target's.
func (w *work) closes() []plan.Step {
	var all, own []plan.Step
	for _, s := range w.target.Steps {
		if s.Kind != plan.KindClose {
			continue
		}
		all = append(all, s)
		if s.Instance == w.step.Instance {
			own = append(own, s)
		}
	}
	switch w.step.Kind {
	case plan.KindClose, plan.KindSnapshot, plan.KindRestore:
		return own
	default:
		return all
	}
}

// heartbeat lets the host hear of this controller while a step of the closed
// time works elsewhere, so that the watchdog of a site stays quiet. The caller
// stops it.
func (w *work) heartbeat(ctx context.Context) (stop func()) {
	every := time.Duration(0)
	for _, s := range w.target.Steps {
		if n, err := strconv.Atoi(nextcloud.Option(s.Args, "--watchdog")); s.Kind == plan.KindClose && err == nil && n > 0 {
			every = max(time.Duration(n)*time.Second/4, time.Second)
		}
	}
	if every == 0 || w.step.Phase != plan.PhaseClosed {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				// Whoever lost the lease learns it from the step itself; a host that
				// cannot be asked now will be asked again.
				_ = w.guard(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); done.Wait() }
}
