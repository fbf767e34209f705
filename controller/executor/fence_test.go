package executor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

var (
	errFenced = errors.New("another controller has taken over")
	errHeld   = errors.New("another rollout has the lease")
)

// Lease takes over what a lower epoch of the rollout holds.
func (m *machine) Lease(_ context.Context, _, _, token string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down > 0 {
		m.down--
		return errAway
	}
	m.taken++
	rollout, epoch := words(token)
	if have, _ := words(m.lease); m.lease != "" && have != rollout {
		return errHeld
	}
	if m.last != token && epoch <= m.epoch {
		return errFenced
	}
	m.lease, m.last, m.epoch = token, token, epoch
	return nil
}

func (m *machine) Unlease(_ context.Context, _, token string) error {
	if err := m.guard("unlease", token); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lease = ""
	return nil
}

func words(token string) (rollout string, epoch int64) {
	_, _ = fmt.Sscanf(token, "%s %d", &rollout, &epoch)
	return rollout, epoch
}

// guard refuses what is not done under the lease.
func (m *machine) guard(what, token string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lease == token {
		return nil
	}
	m.refused = append(m.refused, what)
	return errFenced
}

func (m *machine) Do(ctx context.Context, token string, c driver.Command) (driver.Result, error) {
	if err := m.guard(strings.Join(c.Argv, " "), token); err != nil {
		return driver.Result{Exit: -1}, err
	}
	return m.Run(ctx, c)
}

// pass lets a later controller of the rollout take the lease.
func (m *machine) pass() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lease, m.last, m.epoch = "r1 7 later", "r1 7 later", 7
}

// TestLeaseIsTakenOnce: before the first look-up or change, however many steps
// follow, and not by steps that only look.
func TestLeaseIsTakenOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.memory.Epoch = 4
	b.machine.lease, b.machine.epoch = "r1 1 earlier", 1
	if _, found := b.exec.Lookup(context.Background(), b.plan, b.target, b.step(plan.KindClose), b.memory); found || b.machine.taken != 1 {
		t.Errorf("looking for a run: found %v, the lease was asked for %d times", found, b.machine.taken)
	}
	for _, k := range []plan.Kind{plan.KindClose, plan.KindSnapshot, plan.KindOpen} {
		b.want(k, Succeeded, "")
	}
	if rollout, epoch := words(b.machine.lease); b.machine.taken != 1 || rollout != "r1" || epoch != 4 {
		t.Errorf("taken %d times, the lease is %q", b.machine.taken, b.machine.lease)
	}
	step := func(k plan.Kind) Outcome {
		return b.exec.Perform(context.Background(), b.plan, b.target, plan.Step{ID: "x", Kind: k, Host: "cloud-07"}, b.memory)
	}
	for _, k := range []plan.Kind{plan.KindUnlease, plan.KindLease} {
		if o := step(k); o.Status != Succeeded {
			t.Errorf("%s: %s: %s", k, o.Status, o.Detail)
		}
	}
	b.want(plan.KindTidy, Succeeded, "")
	if b.machine.taken != 2 || len(b.machine.refused) > 0 {
		t.Errorf("taken %d times, refused %q", b.machine.taken, b.machine.refused)
	}
	b.machine.lease = "r2 1 other"
	if o := step(plan.KindLease); o.Status != Failed || !strings.Contains(o.Detail, "another rollout") {
		t.Errorf("a host of another rollout: %s: %s", o.Status, o.Detail)
	}
}

// TestPassedByExecutor: every step of a controller that another one has passed
// by is without outcome, and does nothing.
func TestPassedByExecutor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.memory.Handles["files"] = driver.Handle{Driver: "memory", Key: "k"}
	b.exec.Releases = file{b.tree + "/version.php"}
	stage := b.step(plan.KindClose)
	stage.ID, stage.Kind, stage.Release = "canary/cloud-07/stage", plan.KindStage, &plan.Release{Name: "x"}
	// A driver that never asks the host is not called either.
	restore := b.step(plan.KindRestore)
	restore.Script = ""
	steps := append(append([]plan.Step{restore, stage}, b.target.Steps...), b.target.Undo...)
	for _, k := range []plan.Kind{plan.KindLease, plan.KindUnlease, plan.KindFetch, plan.KindPrepare, plan.KindReboot, plan.KindHold} {
		steps = append(steps, plan.Step{ID: "canary/cloud-07/" + string(k), Kind: k, Host: "cloud-07", Script: "hold.sh", Commands: []driver.Command{{Argv: []string{"true"}}}})
	}
	b.want(plan.KindClose, Succeeded, "") // it had the lease
	b.machine.pass()
	began := len(b.machine.started)
	for _, s := range steps {
		o := b.exec.Perform(context.Background(), b.plan, b.target, s, b.memory)
		if o.Status != Fenced || !strings.Contains(o.Detail, "another controller has taken over") {
			t.Errorf("%s: %s: %s", s.ID, o.Status, o.Detail)
		}
	}
	if len(b.machine.started) != began || len(b.driver.restored) > 0 {
		t.Errorf("runs %q, restored %q", b.machine.started, b.driver.restored)
	}
	// One that comes with an old epoch does not even begin.
	fresh := New(b.exec.Deps)
	if o := fresh.Perform(context.Background(), b.plan, b.target, b.step(plan.KindHop), b.memory); o.Status != Fenced {
		t.Errorf("a fresh one: %s: %s", o.Status, o.Detail)
	}
}

// TestFailureOfThePassedBy: what a passed by controller sees go wrong may be
// the work of the later one. It is no failure of the host.
func TestFailureOfThePassedBy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := plan.Step{ID: "canary/cloud-07/packages", Kind: plan.KindFetch, Host: "cloud-07", Timeout: time.Minute,
		Commands: []driver.Command{{Argv: []string{"sh", "-c", `until [ -e "$0" ]; do sleep 0.05; done; exit 3`, b.dir + "/end"}}}}
	ended := make(chan Outcome)
	go func() { ended <- b.exec.Perform(context.Background(), b.plan, b.target, s, b.memory) }()
	for until := time.Now().Add(time.Minute); b.machine.find("r1/canary/cloud-07/packages") == nil && time.Now().Before(until); {
		time.Sleep(10 * time.Millisecond)
	}
	b.machine.pass()
	write(t, b.dir+"/end", "")
	if o := <-ended; o.Status != Fenced {
		t.Errorf("%s: %s", o.Status, o.Detail)
	}
}

// TestDriverHidesTheRefusal: a driver's error, or its silence, does not hide
// that the host refused its command.
func TestDriverHidesTheRefusal(t *testing.T) {
	t.Parallel()
	for _, says := range []error{nil, driver.Errorf(driver.Retryable, "the disk is busy")} {
		t.Run(fmt.Sprint(says), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.want(plan.KindClose, Succeeded, "")
			calls := 0
			w := &work{Executor: b.exec, plan: b.plan, target: b.target, step: b.step(plan.KindSnapshot), memory: b.memory, remote: b.machine}
			err := w.ask(context.Background(), func(ctx context.Context, _ driver.Snapshotter, run driver.Runner) error {
				calls++
				b.machine.pass()
				_, _ = run.Run(ctx, driver.Command{Argv: []string{"sh", "-c", "touch " + b.dir + "/short"}, Timeout: time.Minute})
				return says
			})
			if !w.barred(err) || calls != 1 || exists(b.dir+"/short") {
				t.Errorf("%d calls, %v", calls, err)
			}
		})
	}
}

// TestClaim: a host with a target under way keeps the lease that the claim took,
// another one gets it back.
func TestClaim(t *testing.T) {
	t.Parallel()
	for _, underWay := range []bool{true, false} {
		b := newBench(t)
		b.machine.mu.Lock()
		b.machine.lease = ""
		b.machine.mu.Unlock()
		if err := b.exec.Claim(t.Context(), "cloud-07", underWay, b.memory); err != nil {
			t.Fatal(err)
		}
		b.machine.mu.Lock()
		leased, taken := b.machine.lease != "", b.machine.taken
		b.machine.mu.Unlock()
		if leased != underWay || taken == 0 {
			t.Errorf("under way %v: leased %v, taken %d times", underWay, leased, taken)
		}
	}
}
