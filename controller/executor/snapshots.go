package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// driverTries bounds how often a driver is asked again after a retryable error.
const driverTries = 4

// request names the snapshot. Where a host is a target beside its instances,
// "HOST/INSTANCE" names the instance's own snapshot: the one that the host's
// target takes of it is older, and must never pass for it.
func (w *work) request() driver.SnapshotRequest {
	subject := w.target.SubjectOf(w.step.Instance)
	key := w.memory.Rollout + "/" + w.target.Name
	if w.step.Instance != "" && w.step.Instance != w.target.Instance {
		key += "/system/" + w.step.Instance
	}
	return driver.SnapshotRequest{Key: key, Subject: subject}
}

// ask calls the step's driver, again after errors that it calls retryable.
func (w *work) ask(ctx context.Context, call func(context.Context, driver.Snapshotter, driver.Runner) error) error {
	ctx, stop := context.WithTimeout(ctx, w.timeout())
	defer stop()
	wait := 2 * time.Second
	for try := 1; ; try++ {
		d, err := w.Snapshots.Snapshotter(ctx, w.step.Driver)
		if err != nil {
			return err
		}
		if err := w.mayAsk(ctx, try); err != nil {
			return err // a driver may act where no host checks
		}
		run := &runner{work: w, try: try, seen: map[string]int{}}
		err = call(ctx, d, run)
		if refused := run.refusal(); refused != nil {
			return refused // whatever the driver made of it
		}
		if err == nil || driver.ClassOf(err) != driver.Retryable || try == driverTries {
			return err
		}
		select {
		case <-time.After(wait):
			wait = min(2*wait, longestPause)
		case <-ctx.Done():
			return err
		}
	}
}

// mayAsk asks the host for leave. An earlier try of putting a whole machine back
// may have brought back the lease of its snapshot.
func (w *work) mayAsk(ctx context.Context, try int) error {
	err := w.guard(ctx)
	if err == nil || try == 1 {
		return err
	}
	if machine, _ := w.wholeMachine(ctx); !machine {
		return err
	}
	return w.retake(ctx)
}

func (w *work) prepareSnapshot(ctx context.Context) Outcome {
	err := w.ask(ctx, func(ctx context.Context, d driver.Snapshotter, run driver.Runner) error {
		return d.Prepare(ctx, w.request(), run)
	})
	if err != nil {
		return w.failed("cannot prepare the snapshot", err)
	}
	return Outcome{Status: Succeeded}
}

// snapshot takes the snapshot and proves it; one that cannot be proven is none.
func (w *work) snapshot(ctx context.Context) Outcome {
	var o Outcome
	if why, ok := w.mayBegin(ctx, nextcloud.BeginLook); !ok {
		return why
	}
	err := w.ask(ctx, func(ctx context.Context, d driver.Snapshotter, run driver.Runner) error {
		h, err := d.Create(ctx, w.request(), run)
		if err != nil {
			return fmt.Errorf("cannot take it: %w", err)
		}
		v, err := d.Verify(ctx, h, run)
		if err != nil {
			return fmt.Errorf("cannot verify it: %w", err)
		}
		o.Handle, o.Verification = h, v
		return nil
	})
	if err != nil {
		return w.failed("the snapshot failed", err)
	}
	if !o.Verification.Verified || o.Handle.Zero() {
		return Outcome{Status: Failed, Detail: "the snapshot could not be verified: " + o.Verification.Detail}
	}
	o.Status = Succeeded
	o.Evidence = map[string]string{"snapshot": o.Handle.Key, "verified": o.Verification.Detail,
		"digest": o.Verification.Digest, "bytes": strconv.FormatInt(o.Verification.Bytes, 10)}
	return o
}

// restore swaps the old tree back, where the step has a script for it, and has
// the driver put back every place as it was. A driver of whole machines brings
// the tree too, and may be there to take back a host that does not answer.
func (w *work) restore(ctx context.Context) Outcome {
	h, ok := w.memory.Handles[w.step.Instance]
	if !ok || h.Zero() {
		return w.failed("cannot restore", errNoHandle)
	}
	machine, err := w.wholeMachine(ctx)
	if err != nil {
		return w.failed("cannot restore", err)
	}
	limited, stop := w.patience(ctx, machine)
	found, err := w.begin(limited, nextcloud.BeginRestore)
	stop()
	switch {
	case err != nil && !(machine && w.unreachable(err)):
		return w.failed("cannot restore", err)
	case found.reopened != "":
		return Outcome{Status: Succeeded, Detail: "nothing to put back: nothing had been changed when the watchdog of its host let users in at " + found.reopened}
	case found.open:
		return Outcome{Status: Failed, Detail: w.target.Name + " is open to its users: somebody opened it meanwhile, and what they wrote since then would be lost by putting the snapshot back; close it, then roll back again"}
	}
	o := Outcome{Status: Succeeded, Evidence: map[string]string{}}
	if w.step.Script != "" && !machine {
		state, err := w.runScript(ctx, nextcloud.Invocation{Script: w.step.Script, Args: w.step.Args})
		if o = w.scriptOutcome(state, err); o.Status != Succeeded {
			return o
		}
	}
	if back := w.putBack(ctx, h, machine, o.Evidence); back.Status != Succeeded {
		back.Evidence, back.Output = o.Evidence, o.Output
		return back
	}
	if r := w.restored(ctx); r.Status != Succeeded {
		return r
	}
	o.Evidence["restored"] = h.Key
	return o
}

// putBack has the driver restore and, after a whole machine, sees the host come
// back. It adds to the evidence.
func (w *work) putBack(ctx context.Context, h driver.Handle, machine bool, evidence map[string]string) Outcome {
	before := ""
	if machine {
		before = w.bootID(ctx)
	}
	err := w.ask(ctx, func(ctx context.Context, d driver.Snapshotter, run driver.Runner) error {
		return d.Restore(ctx, h, w.target.SubjectOf(w.step.Instance), run)
	})
	if err != nil {
		if machine && !w.barred(err) && w.guard(ctx) != nil {
			// The machine may be back already. Without the lease the failure would
			// count as another controller's.
			_ = w.retake(ctx)
		}
		return w.failed("cannot put the snapshot back", err)
	}
	if !machine {
		return Outcome{Status: Succeeded}
	}
	o := w.returned(ctx, before)
	maps.Copy(evidence, o.Evidence)
	return o
}

// restored has the web's PHP forget the code that the driver replaced. A host
// without an instance has none.
func (w *work) restored(ctx context.Context) Outcome {
	site := nextcloud.Base(w.step.Args)
	if len(site) == 0 {
		var err error
		if site, err = w.siteArgs(); err != nil {
			return Outcome{Status: Succeeded}
		}
	}
	c, err := w.command(nextcloud.Restored(site, nextcloud.Option(w.step.Args, "--from")), nil)
	if err != nil {
		return w.scriptOutcome(driver.RunState{}, err)
	}
	state, err := w.runAgain(ctx, w.id()+"/restored", c)
	return w.scriptOutcome(state, err)
}

// longCommand is the limit above which a driver's command becomes a detached
// run, so that a lost connection does not kill a dump.
const longCommand = 10 * time.Minute

// leftovers bounds how many runs of earlier calls are passed over.
const leftovers = 20

// runner runs a driver's commands on the step's host.
type runner struct {
	*work
	try     int
	mu      sync.Mutex
	seen    map[string]int
	refused error // by the host, as this controller may not change it any more
}

// Run runs a command; nobody knows which of a driver's only look. An error that
// tells of a lost lease is kept: on its way through the driver it would lose its
// kind.
func (r *runner) Run(ctx context.Context, c driver.Command) (driver.Result, error) {
	res, err := r.run(ctx, c)
	if r.barred(err) {
		r.mu.Lock()
		r.refused = err
		r.mu.Unlock()
	}
	return res, err
}

func (r *runner) refusal() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

// run runs a long command under an id made from its own text, so that a driver
// call repeated after a crash attaches to what still runs.
func (r *runner) run(ctx context.Context, c driver.Command) (driver.Result, error) {
	if c.Timeout > 0 && c.Timeout <= longCommand {
		return r.remote.Do(ctx, r.token(), c)
	}
	if c.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, c.Timeout)
		defer stop()
	}
	for left := leftovers; ; left-- {
		id := r.next(c)
		state, err := r.start(ctx, id, c)
		if err != nil {
			return driver.Result{Exit: -1}, err
		}
		attached := state.Attached && state.Phase != driver.RunRunning
		if state.Phase == driver.RunRunning {
			state, err = r.remote.Wait(ctx, id, nil)
		} else {
			state, err = r.remote.Look(ctx, id)
		}
		if err != nil {
			return driver.Result{Exit: -1}, err
		}
		// What an earlier call left behind as failed or lost is not its answer.
		if attached && left > 0 && (state.Phase != driver.RunExited || state.Exit != 0) {
			continue
		}
		if state.Phase != driver.RunExited {
			return state.Result(), driver.Errorf(driver.Retryable, "a command of driver %s was lost: %s", r.step.Driver, state.Detail)
		}
		return state.Result(), nil
	}
}

// next is the id of this command: the same text asked for again within one
// call of the driver is another command.
func (r *runner) next(c driver.Command) string {
	sum := sha256.New()
	for _, a := range c.Argv {
		sum.Write([]byte(a + "\x00"))
	}
	sum.Write([]byte("\x01" + c.User + "\x00" + c.Dir + "\x00"))
	sum.Write(c.Stdin)
	text := hex.EncodeToString(sum.Sum(nil)[:8])
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[text]++
	return fmt.Sprintf("%s/driver-%d-%s-%d", r.id(), r.try, text, r.seen[text])
}
