package executor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// wholeMachine reports whether the step puts a whole machine back: then the
// host is gone for a while, and what ncfleet kept on it comes back as old as
// the snapshot, with lease, fences and runs.
func (w *work) wholeMachine(ctx context.Context) (bool, error) {
	if w.step.Kind != plan.KindRestore {
		return false, nil
	}
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	d, err := w.Snapshots.Snapshotter(ctx, w.step.Driver)
	if err != nil {
		return false, err
	}
	i, err := d.Info(ctx)
	return i.Has(driver.CapabilityMachine), err
}

// deadAfter is how long a host is waited for that is to be put back whole.
const deadAfter = 2 * time.Minute

// patience bounds ctx where a host that does not answer may be dead, and to be
// put back.
func (w *work) patience(ctx context.Context, machine bool) (context.Context, context.CancelFunc) {
	if !machine {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, min(deadAfter, w.timeout()/4))
}

// unreachable reports whether an error only says that the host does not answer.
func (w *work) unreachable(err error) bool {
	return err != nil && !w.barred(err) && w.Retryable != nil && w.Retryable(err)
}

// bootID is the host's, "" while it does not answer.
func (w *work) bootID(ctx context.Context) string {
	r, err := w.remote.Run(ctx, driver.Command{Argv: []string{"cat", "/proc/sys/kernel/random/boot_id"}, Timeout: 20 * time.Second})
	if err != nil || r.Exit != 0 {
		return ""
	}
	return strings.TrimSpace(string(r.Stdout))
}

// booted waits for the host to answer with another boot id than before; before
// is "" when nobody knows, and any will do then. It returns "" when ctx ends. It
// asks often: until a restored machine's lease is taken again, its disk obeys
// whoever had it when the snapshot was taken.
func (w *work) booted(ctx context.Context, before string) string {
	wait := 2 * time.Second
	for {
		if now := w.bootID(ctx); now != "" && now != before {
			return now
		}
		select {
		case <-ctx.Done():
			return ""
		case <-time.After(wait):
			wait = min(wait*3/2, 4*time.Second)
		}
	}
}

// retake brings the lease of a restored machine back to this controller. Its
// disk may hold the lease of an earlier one, or none; another rollout's is
// respected, as is a later controller's.
func (w *work) retake(ctx context.Context) error {
	defer w.lock("lease of " + w.step.Host)()
	return w.take(ctx)
}

// returned sees a restored machine come back, and takes its lease again.
func (w *work) returned(ctx context.Context, before string) Outcome {
	limited, stop := context.WithTimeout(ctx, w.timeout())
	defer stop()
	now := w.booted(limited, before)
	if now == "" {
		if ctx.Err() == nil && before != "" && w.bootID(ctx) == before {
			return Outcome{Status: Failed, Detail: fmt.Sprintf("driver %s says that it put the machine back, but the host still has the boot id %s: it was never restarted", w.step.Driver, before)}
		}
		return Outcome{Status: Failed, Detail: fmt.Sprintf("the machine was put back, but the host did not answer within %s: look at its console", w.timeout())}
	}
	if err := w.retake(ctx); err != nil {
		return w.failed("cannot take the lease of the restored machine", err)
	}
	return Outcome{Status: Succeeded, Evidence: map[string]string{"boot_before": orElse(before, "unknown"), "boot": now}}
}
