package executor

import (
	"context"
	"fmt"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// token is what the host's lease must hold for this process to change it.
func (w *work) token() string {
	return fmt.Sprintf("%s %d %s", w.memory.Rollout, w.memory.Epoch, w.nonce)
}

func (w *work) holder() string { return w.Holder + ", rollout " + w.memory.Rollout }

func (w *work) fenced(err error) bool { return err != nil && w.Fenced != nil && w.Fenced(err) }

// barred reports whether a host refused a change for want of the lease.
func (w *work) barred(err error) bool {
	return w.fenced(err) || err != nil && w.Held != nil && w.Held(err)
}

// needsLease reports whether the step changes its host, other than by the
// lease itself.
func (w *work) needsLease() bool {
	switch w.step.Kind {
	case plan.KindRecheck, plan.KindLease, plan.KindUnlease, plan.KindVerify:
		return false
	default:
		return true
	}
}

// leased performs a step under the host's lease. What an earlier controller
// left is taken over before this process changes a host for the first time. A
// failure counts only while the lease is still ours: a controller that was
// passed by may have seen what the later one did, and must not judge by it.
func (w *work) leased(ctx context.Context, perform func(context.Context) Outcome) Outcome {
	if !w.needsLease() {
		return perform(ctx)
	}
	// A step that cannot tell what its driver is does so itself.
	machine, _ := w.wholeMachine(ctx)
	limited, stop := w.patience(ctx, machine)
	err := w.own(limited)
	stop()
	// A host that does not answer may be taken back with its whole machine; the
	// lease is taken when it does.
	if err != nil && !(machine && w.unreachable(err)) {
		return w.failed("cannot take over the lease", err)
	}
	quiet := w.heartbeat(ctx)
	o := perform(ctx)
	quiet()
	if o.Status != Succeeded && o.Status != Fenced && ctx.Err() == nil {
		if err := w.guard(ctx); err != nil {
			return Outcome{Status: Fenced, Detail: err.Error()}
		}
	}
	return o
}

// guard asks the host whether its lease is still ours; the error says that it is
// not. A host that cannot be asked is none: to take a dead host back is what
// some drivers are for.
func (w *work) guard(ctx context.Context) error {
	_, err := w.remote.Do(ctx, w.token(), driver.Command{Argv: []string{"sh", "-c", ":"}, User: "root", Timeout: time.Minute})
	if w.barred(err) {
		return err
	}
	return nil
}

// own takes the host's lease unless this process has it already.
func (w *work) own(ctx context.Context) error {
	defer w.lock("lease of " + w.step.Host)()
	if w.owns(w.step.Host) {
		return nil
	}
	return w.take(ctx)
}

// take asks for the lease, again while the host cannot be reached: a token that
// has it already is given it again.
func (w *work) take(ctx context.Context) error {
	_, err := insist(ctx, w, func() (struct{}, error) {
		return struct{}{}, w.Leases.Lease(ctx, w.step.Host, w.holder(), w.token())
	})
	w.remember(w.step.Host, err == nil)
	return err
}

// Claim passes by whatever earlier controller of the rollout still lives: from
// here on the host refuses it. A host on which a target is under way stays
// leased to this process; another one is given back at once.
func (e *Executor) Claim(ctx context.Context, host string, underWay bool, m Memory) error {
	w := &work{Executor: e, step: plan.Step{Host: host}, memory: m}
	defer w.lock("lease of " + host)()
	err := w.take(ctx)
	if err == nil && !underWay {
		w.remember(host, false)
		return w.Leases.Unlease(ctx, host, w.token())
	}
	return err
}

func (e *Executor) owns(host string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.owned[host]
}

func (e *Executor) remember(host string, owned bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if owned {
		e.owned[host] = true
	} else {
		delete(e.owned, host)
	}
}

func (w *work) lease(ctx context.Context) Outcome {
	defer w.lock("lease of " + w.step.Host)()
	err := w.take(ctx)
	switch {
	case err == nil:
		return Outcome{Status: Succeeded}
	case w.fenced(err):
		return Outcome{Status: Fenced, Detail: err.Error()}
	}
	// Another rollout has the host. Nothing was begun there that could be harmed.
	return Outcome{Status: Failed, Detail: fmt.Sprintf("cannot take the lease: %v", err)}
}

func (w *work) unlease(ctx context.Context) Outcome {
	defer w.lock("lease of " + w.step.Host)()
	w.remember(w.step.Host, false)
	_, err := insist(ctx, w, func() (struct{}, error) {
		return struct{}{}, w.Leases.Unlease(ctx, w.step.Host, w.token())
	})
	if err != nil {
		return w.failed("cannot give the lease back", err)
	}
	return Outcome{Status: Succeeded}
}
