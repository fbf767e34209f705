package sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller"
	"github.com/ncfleet/ncfleet/controller/executor"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

var (
	errDead  = errors.New("this controller was killed")
	errAway  = errors.New("no route to host")
	errLink  = errors.New("the connection was lost")
	errHeld  = errors.New("the lease is held")
	errStale = errors.New("the lease is no longer ours")
	errOlder = errors.New("the lease is an earlier controller's")
	errFree  = errors.New("there is no lease")
)

// enter is the beginning of every call of a controller to the outside: it
// takes its time, fails when the controller is dead or the host away, and
// leaves with the world locked when the call gets through.
func (in *incarnation) enter(ctx context.Context, h *host, op, key string) error {
	w := in.w
	w.mu.Lock()
	slow := h != nil && time.Now().Before(h.slowUntil)
	in.calls[op+key]++
	n := fmt.Sprint(in.n, " ", in.calls[op+key])
	w.mu.Unlock()
	d := 5*time.Millisecond + w.jitter("link", op, key, n)
	if slow {
		d *= 12
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	in.lockAwake()
	err := in.refusal(h, op, key, n)
	if err != nil {
		w.mu.Unlock()
	}
	return err
}

// lockAwake locks the world; a process that was stopped does so when it is
// continued.
func (in *incarnation) lockAwake() {
	in.w.mu.Lock()
	for in.frozen != nil {
		wake := in.frozen
		in.w.mu.Unlock()
		<-wake
		in.w.mu.Lock()
	}
}

func (in *incarnation) refusal(h *host, op, key, n string) error {
	switch {
	case in.dead || in.point(op+" "+key):
		return errDead
	case h == nil:
		return nil
	case h.away():
		return errAway
	case in.w.linkFault("before", op, key, n):
		in.w.count("link lost before the effect")
		in.w.say("link lost before %s %s", op, key)
		return errLink
	}
	return nil
}

// leave is the end of a call that got through: the controller may be killed, or
// the connection lost, after the effect. It unlocks the world.
func (in *incarnation) leave(op, key string) error {
	defer in.w.mu.Unlock()
	if in.point(op + " done " + key) {
		return errDead
	}
	if in.w.linkFault("after", op, key, fmt.Sprint(in.n, " ", in.calls[op+key])) {
		in.w.count("link lost after the effect")
		in.w.say("link lost after %s %s", op, key)
		return errLink
	}
	return nil
}

// link is one controller's way to one host.
type link struct {
	in *incarnation
	h  *host
}

func (l link) Run(ctx context.Context, c driver.Command) (driver.Result, error) {
	key := l.h.name + " " + strings.Join(c.Argv, " ")
	if err := l.in.enter(ctx, l.h, "run", key); err != nil {
		return driver.Result{}, err
	}
	r := l.h.short(l.in, c, false)
	return r, l.in.leave("run", key)
}

func (l link) Do(ctx context.Context, token string, c driver.Command) (driver.Result, error) {
	key := l.h.name + " " + strings.Join(c.Argv, " ")
	if err := l.change(ctx, token, "do", key); err != nil {
		return driver.Result{}, err
	}
	r := l.h.short(l.in, c, true)
	return r, l.in.leave("do", key)
}

// bar notes that a host refused this controller for good: another one has passed
// it by, or the lease was broken. What only asked for the lease may still end
// well.
func (in *incarnation) bar(h *host, token string, changes bool) {
	if _, epoch, _ := fields(token); in.stale || epoch <= h.broken {
		in.barred = true
		in.refused[h.name] = in.refused[h.name] || changes
	}
}

// change is the beginning of every call that changes something: the host asks
// for the lease.
func (l link) change(ctx context.Context, token, op, key string) error {
	err := l.in.enter(ctx, l.h, op, key)
	if err != nil {
		return err
	}
	if err = l.h.guard(token); err != nil {
		l.in.bar(l.h, token, !strings.HasSuffix(key, " sh -c :"))
		l.in.w.say("%s refuses %s %s: %v", l.h.name, op, key, err)
		l.in.w.mu.Unlock()
	}
	return err
}

func (l link) Start(ctx context.Context, id, token string, c driver.Command) (driver.RunState, error) {
	if err := l.change(ctx, token, "start", id); err != nil {
		return driver.RunState{}, err
	}
	s := l.h.start(l.in, id, c)
	return s, l.in.leave("start", id)
}

func (l link) Look(ctx context.Context, id string) (driver.RunState, error) {
	if err := l.in.enter(ctx, l.h, "look", id); err != nil {
		return driver.RunState{}, err
	}
	s := driver.RunState{ID: id, Phase: driver.RunNever}
	if r := l.h.runs[id]; r != nil {
		s = r.look()
	}
	return s, l.in.leave("look", id)
}

// Wait asks again and again while the host cannot be reached.
func (l link) Wait(ctx context.Context, id string, _ func(stdout, stderr []byte)) (driver.RunState, error) {
	for {
		s, err := l.Look(ctx, id)
		if err == nil && s.Phase != driver.RunRunning || ctx.Err() != nil || errors.Is(err, errDead) {
			if err == nil {
				err = ctx.Err()
			}
			return s, err
		}
		l.in.w.mu.Lock()
		r := l.h.runs[id]
		l.in.w.mu.Unlock()
		var done <-chan struct{}
		if err == nil {
			done = r.done
		}
		timer := time.NewTimer(20*time.Second + l.in.w.jitter("wait", id))
		if err == nil {
			timer.Reset(30 * time.Minute)
		}
		select {
		case <-done:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (l link) Abort(ctx context.Context, id, token string) error {
	if err := l.change(ctx, token, "abort", id); err != nil {
		return err
	}
	if r := l.h.runs[id]; r != nil {
		l.in.w.count("run aborted")
		l.in.w.say("%s aborts %s", l.h.name, id)
		r.end(driver.RunExited, 137, "")
	}
	return l.in.leave("abort", id)
}

func (l link) Put(ctx context.Context, token, path, _ string, _ uint32, _ int64, _ string, _ func() (io.ReadCloser, error)) error {
	if err := l.change(ctx, token, "put", l.h.name+path); err != nil {
		return err
	}
	l.h.files[path] = true
	return l.in.leave("put", l.h.name+path)
}

func (l link) Dial(_ context.Context, _, address string) (net.Conn, error) {
	l.in.lockAwake()
	defer l.in.w.mu.Unlock()
	if l.in.dead {
		return nil, errDead
	}
	return l.h.dial(l.in, address)
}

// outfit is what the executor of one controller is given.
type outfit struct{ in *incarnation }

func (o outfit) Host(name string) (executor.Remote, error) { return link{o.in, o.in.w.host(name)}, nil }

func (o outfit) Open(_ context.Context, r plan.Release) (string, string, int64, func() (io.ReadCloser, error), error) {
	return "/cache/" + r.Name, "sum", 4, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("tree")), nil }, nil
}

func (o outfit) Take(ctx context.Context, name string) plan.Facts {
	h := o.in.w.host(name)
	if err := o.in.enter(ctx, h, "survey", name); err != nil {
		return plan.Facts{Host: name, Unreachable: err.Error()}
	}
	f := h.facts()
	if err := o.in.leave("survey", name); err != nil {
		return plan.Facts{Host: name, Unreachable: err.Error()}
	}
	return f
}

// TakePackages is never asked of the fake fleet, whose hosts all have apt.
func (o outfit) TakePackages(ctx context.Context, name string) plan.Facts { return o.Take(ctx, name) }

func (o outfit) Lease(ctx context.Context, name, holder, token string) error {
	h := o.in.w.host(name)
	if err := o.in.enter(ctx, h, "lease", name); err != nil {
		return err
	}
	if err := h.take(token, holder); err != nil {
		o.in.w.count("lease refused")
		o.in.bar(h, token, true)
		o.in.w.mu.Unlock()
		return err
	}
	return o.in.leave("lease", name)
}

func (o outfit) Unlease(ctx context.Context, name, token string) error {
	h := o.in.w.host(name)
	if err := o.in.enter(ctx, h, "unlease", name); err != nil {
		return err
	}
	if err := h.release(token); err != nil {
		o.in.bar(h, token, true)
		o.in.w.mu.Unlock()
		return err
	}
	return o.in.leave("unlease", name)
}

// forgetful is an executor that now and then loses a snapshot's handle: the loop
// must not believe in such a success.
type forgetful struct {
	*executor.Executor
	in *incarnation
}

func (f forgetful) Perform(ctx context.Context, p *plan.Plan, t *plan.Target, s plan.Step, m executor.Memory) executor.Outcome {
	o := f.Executor.Perform(ctx, p, t, s, m)
	if s.Kind == plan.KindSnapshot && o.Status == executor.Succeeded && f.in.w.chance(f.in.w.menu.forget, "forget", s.ID) {
		f.in.w.mu.Lock()
		defer f.in.w.mu.Unlock()
		f.in.w.count("snapshot handle lost")
		o.Handle = driver.Handle{}
	}
	return o
}

func (in *incarnation) performer() controller.Performer {
	o := outfit{in}
	return forgetful{in: in, Executor: executor.New(executor.Deps{Hosts: o, Snapshots: snapshots{in: in}, Releases: o, Surveyor: o, Leases: o,
		Retryable: func(err error) bool { return errors.Is(err, errAway) || errors.Is(err, errLink) },
		Fenced: func(err error) bool {
			return errors.Is(err, errStale) || errors.Is(err, errOlder) || errors.Is(err, errFree)
		}, Held: func(err error) bool { return errors.Is(err, errHeld) },
		HTTP: httpClient(in), Holder: "ops@control"})}
}
