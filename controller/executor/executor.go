package executor

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Remote is one host; all methods may be called at the same time.
type Remote interface {
	// Run runs a short command that only looks. A non-zero exit is no error.
	Run(ctx context.Context, c driver.Command) (driver.Result, error)
	// Do runs a short command that changes something. Like Start, Abort and Put
	// it is refused by the host unless the host is leased under the token.
	Do(ctx context.Context, token string, c driver.Command) (driver.Result, error)
	// Start starts a detached run, or attaches to the one of that id.
	Start(ctx context.Context, id, token string, c driver.Command) (driver.RunState, error)
	Look(ctx context.Context, id string) (driver.RunState, error)
	// Wait returns when the run ended, is lost or never was. It survives lost
	// connections until ctx ends.
	Wait(ctx context.Context, id string, out func(stdout, stderr []byte)) (driver.RunState, error)
	// Abort ends a run with all its processes.
	Abort(ctx context.Context, id, token string) error
	// Put writes a file; nothing is sent when it is there already.
	Put(ctx context.Context, token, path, owner string, mode uint32, size int64, sha256 string, open func() (io.ReadCloser, error)) error
	// Dial connects to an address as the host sees it.
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// Hosts finds a host of the inventory by name.
type Hosts interface {
	Host(name string) (Remote, error)
}

// Snapshots finds a configured snapshot driver by name.
type Snapshots interface {
	Snapshotter(ctx context.Context, name string) (driver.Snapshotter, error)
}

// Releases are the verified archives cached at the controller.
type Releases interface {
	Open(ctx context.Context, r plan.Release) (path, sha256 string, size int64, open func() (io.ReadCloser, error), err error)
}

// Surveyor takes new facts of a host. TakePackages leaves its instances out:
// users wait meanwhile.
type Surveyor interface {
	Take(ctx context.Context, host string) plan.Facts
	TakePackages(ctx context.Context, host string) plan.Facts
}

// Leases take and give back the one lease of a host. A token is "ROLLOUT EPOCH
// NONCE"; what an earlier controller of the rollout holds is taken over.
type Leases interface {
	Lease(ctx context.Context, host, holder, token string) error
	Unlease(ctx context.Context, host, token string) error
}

// Deps is what an Executor needs. Secrets and HTTP may be left out.
type Deps struct {
	Hosts     Hosts
	Snapshots Snapshots
	Releases  Releases
	Surveyor  Surveyor
	Leases    Leases
	// Secrets resolves a secret's reference.
	Secrets func(ref string) (string, error)
	// Retryable tells whether an error of Remote.Start may go away by itself,
	// such as an unreachable host. Nil means none does.
	Retryable func(error) bool
	// Fenced tells whether an error says that this controller has lost the lease
	// of a host: a later controller came, it was broken, or it is gone. Held tells
	// whether another rollout has it. Nil means none does.
	Fenced, Held func(error) bool
	// HTTP looks at sites from outside; nil is a client that verifies TLS.
	HTTP *http.Client
	// Holder names this controller in leases: "user@machine".
	Holder string
	// Progress receives the output of a step as it comes; it may be nil and
	// must return soon.
	Progress func(step plan.StepID, output []byte)
}

// Status says how a step ended.
type Status string

// The statuses of an outcome.
const (
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Held      Status = "held"    // the gate asks for people
	Lost      Status = "lost"    // began, and nobody can say how it ended
	Refused   Status = "refused" // facts no longer are as planned; nothing was done
	// Fenced is no outcome of the step: this controller may not write any more,
	// and what became of the step is for another one to find out.
	Fenced Status = "fenced"
)

// Outcome is what a step left behind.
type Outcome struct {
	Status Status
	// Detail is for people: what, where, why, and what to do.
	Detail string
	// Handle is set by a snapshot step.
	Handle       driver.Handle
	Verification driver.Verification
	// Evidence are the facts that prove the status, by name.
	Evidence    map[string]string
	Checks      []nextcloud.Check
	Output      string // the tail of what the host said
	Differences []plan.Difference
	Seconds     float64
}

// Memory is what the journal remembers for a step.
type Memory struct {
	Rollout string
	// Epoch is higher for whichever controller of the rollout came later.
	Epoch int64
	// Handles are the target's snapshots by instance, "" for the host's.
	Handles map[string]driver.Handle
	// Attempt is how often this step failed before an operator asked again: 0
	// the first time. It makes another run on the host.
	Attempt int
}

// Executor performs steps; it is safe for concurrent use.
type Executor struct {
	Deps
	mu    sync.Mutex
	nonce string                 // tells this process from others in leases
	files map[string]*sync.Mutex // per host and per release: uploads against removals; and leases
	owned map[string]bool        // hosts whose lease this process has taken
}

// New returns an executor.
func New(d Deps) *Executor {
	if d.HTTP == nil {
		d.HTTP = &http.Client{Timeout: 15 * time.Second}
	}
	return &Executor{Deps: d, nonce: rand.Text(), files: map[string]*sync.Mutex{}, owned: map[string]bool{}}
}

// work is one step being performed.
type work struct {
	*Executor
	plan   *plan.Plan
	target *plan.Target
	step   plan.Step
	memory Memory
	remote Remote
}

// Perform carries out the step and tells how it ended. It may be called again
// for a step that was started before: what runs on the host is attached to.
func (e *Executor) Perform(ctx context.Context, p *plan.Plan, t *plan.Target, s plan.Step, m Memory) Outcome {
	begun := time.Now()
	w := &work{Executor: e, plan: p, target: t, step: s, memory: m}
	o, ok := w.prepare()
	if ok {
		o = w.leased(ctx, w.perform)
	}
	o.Seconds = time.Since(begun).Seconds()
	return o
}

func (w *work) perform(ctx context.Context) Outcome {
	s := w.step
	switch s.Kind {
	case plan.KindRecheck:
		return w.recheck(ctx)
	case plan.KindLease:
		return w.lease(ctx)
	case plan.KindUnlease:
		return w.unlease(ctx)
	case plan.KindStage:
		return w.stage(ctx)
	case plan.KindTidy, plan.KindUnstage:
		// Archives are removed here: not while another target sends one.
		defer w.lock("files of " + s.Host)()
		return w.script(ctx)
	case plan.KindHold, plan.KindApps, plan.KindAbsent, plan.KindRelease:
		return w.script(ctx)
	case plan.KindOpen:
		return w.letIn(ctx)
	case plan.KindHop:
		return w.hop(ctx)
	case plan.KindClose:
		return w.closeDoor(ctx)
	case plan.KindFetch, plan.KindPackages, plan.KindRepair:
		return w.packages(ctx)
	case plan.KindPrepare:
		return w.prepareSnapshot(ctx)
	case plan.KindSnapshot:
		return w.snapshot(ctx)
	case plan.KindRestore:
		return w.restore(ctx)
	case plan.KindReboot:
		return w.reboot(ctx)
	case plan.KindInspect:
		return w.inspect(ctx)
	case plan.KindVerify:
		return w.verify(ctx)
	default:
		return Outcome{Status: Failed, Detail: fmt.Sprintf("step %s has the unknown kind %q: this ncfleet is older than the plan", s.ID, s.Kind)}
	}
}

// Lookup finds out what became of a step that was started and has no outcome.
// A detached run that still goes on is waited for. found is false when the
// step never began on its host. Steps that leave no run behind are repeated:
// they only look, or their drivers are idempotent by key.
func (e *Executor) Lookup(ctx context.Context, p *plan.Plan, t *plan.Target, s plan.Step, m Memory) (o Outcome, found bool) {
	switch s.Kind {
	case plan.KindRecheck, plan.KindLease, plan.KindUnlease, plan.KindVerify, plan.KindInspect,
		plan.KindPrepare, plan.KindSnapshot, plan.KindRestore, plan.KindStage, plan.KindReboot:
		return e.Perform(ctx, p, t, s, m), true
	case plan.KindHold, plan.KindClose, plan.KindOpen, plan.KindHop, plan.KindApps, plan.KindAbsent, plan.KindRelease, plan.KindTidy, plan.KindUnstage,
		plan.KindFetch, plan.KindPackages, plan.KindRepair:
	default:
		return e.Perform(ctx, p, t, s, m), true // which says that it does not know the kind
	}
	w := &work{Executor: e, plan: p, target: t, step: s, memory: m}
	if o, ok := w.prepare(); !ok {
		return o, true
	}
	// The lease comes first: what never began must not begin afterwards, by the
	// controller that wanted it.
	if err := w.own(ctx); err != nil {
		return w.failed("cannot take over the lease", err), true
	}
	state, err := w.look(ctx, w.id())
	if err != nil {
		return w.failed("cannot look up what became of the step", err), true
	}
	if state.Phase == driver.RunNever {
		return Outcome{Detail: "the host knows no run of this step"}, false
	}
	return e.Perform(ctx, p, t, s, m), true
}

// prepare finds the host and refuses a script other than the plan's.
func (w *work) prepare() (Outcome, bool) {
	if w.step.Kind == plan.KindVerify {
		return Outcome{}, true // from outside: needs no host
	}
	var err error
	if w.remote, err = w.Hosts.Host(w.step.Host); err != nil {
		return w.failed("cannot reach host "+w.step.Host, err), false
	}
	return Outcome{}, true
}

// id is the name of the step's detached run.
func (w *work) id() string {
	id := w.memory.Rollout + "/" + w.step.ID
	if w.memory.Attempt > 0 {
		id += "+" + strconv.Itoa(w.memory.Attempt)
	}
	return id
}

// lock takes the named lock and returns what gives it back.
func (e *Executor) lock(name string) func() {
	e.mu.Lock()
	l := e.files[name]
	if l == nil {
		l = &sync.Mutex{}
		e.files[name] = l
	}
	e.mu.Unlock()
	l.Lock()
	return l.Unlock
}

func (w *work) failed(what string, err error) Outcome {
	if w.barred(err) {
		return Outcome{Status: Fenced, Detail: err.Error()}
	}
	return Outcome{Status: Failed, Detail: fmt.Sprintf("%s: %v", what, err)}
}
