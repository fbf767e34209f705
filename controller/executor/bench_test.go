package executor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// machine is a Remote that is this machine: real shells, runs kept by id.
type machine struct {
	env     []string
	noDial  bool
	refuse  int // Starts that fail first
	away    int // how many looks find the host unreachable
	mu      sync.Mutex
	runs    map[string]*run
	started []string
	ran     []string
	asRoot  []string        // the programs of commands as root
	lose    map[string]bool // runs that end as lost
	lease   string          // the token that has the lease
	last    string          // the token that had it last
	epoch   int64           // the highest that was seen
	taken   int             // how often the lease was asked for
	refused []string        // what was not done for want of the lease
}

type run struct {
	state driver.RunState
	done  chan struct{}
	out   lockedBuffer
	err   lockedBuffer
	cmd   *exec.Cmd
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]byte(nil), l.b.Bytes()...)
}

var errAway = errors.New("the host is away")

func (m *machine) command(ctx context.Context, c driver.Command) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Env = append(os.Environ(), m.env...)
	for k, v := range c.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Dir, cmd.Stdin = c.Dir, bytes.NewReader(c.Stdin)
	return cmd
}

func (m *machine) Run(ctx context.Context, c driver.Command) (driver.Result, error) {
	m.mu.Lock()
	m.ran = append(m.ran, strings.Join(c.Argv, " "))
	if c.User == "root" {
		m.asRoot = append(m.asRoot, c.Argv[0])
	}
	m.mu.Unlock()
	cmd := m.command(ctx, c)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	return driver.Result{Exit: cmd.ProcessState.ExitCode(), Stdout: out.Bytes(), Stderr: errs.Bytes()}, nil
}

func (m *machine) Start(_ context.Context, id, token string, c driver.Command) (driver.RunState, error) {
	if err := m.guard(id, token); err != nil {
		return driver.RunState{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse > 0 {
		m.refuse--
		return driver.RunState{}, errAway
	}
	if r := m.runs[id]; r != nil {
		s := r.look()
		s.Attached = true
		return s, nil
	}
	r := &run{done: make(chan struct{}), state: driver.RunState{ID: id, Phase: driver.RunRunning, BootID: "boot-1"}}
	r.cmd = m.command(context.Background(), c)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.err
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := r.cmd.Start(); err != nil {
		return driver.RunState{}, err
	}
	lost := m.lose[id]
	go func() {
		_ = r.cmd.Wait()
		r.state.Exit = r.cmd.ProcessState.ExitCode()
		r.state.Phase = driver.RunExited
		if lost {
			r.state.Phase, r.state.Detail = driver.RunLost, "the host rebooted"
		}
		close(r.done)
	}()
	if m.runs == nil {
		m.runs = map[string]*run{}
	}
	m.runs[id] = r
	if c.User == "root" {
		m.asRoot = append(m.asRoot, c.Argv[0])
	}
	m.started = append(m.started, id)
	return driver.RunState{ID: id, Phase: driver.RunRunning}, nil
}

func (r *run) look() driver.RunState {
	s := driver.RunState{Phase: driver.RunRunning}
	select {
	case <-r.done:
		s = r.state
	default:
	}
	s.Stdout, s.Stderr = r.out.bytes(), r.err.bytes()
	return s
}

func (m *machine) find(id string) *run {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.runs[id]
}

func (m *machine) Look(_ context.Context, id string) (driver.RunState, error) {
	m.mu.Lock()
	away := m.away > 0
	m.away--
	m.mu.Unlock()
	if away {
		return driver.RunState{}, errAway
	}
	if r := m.find(id); r != nil {
		return r.look(), nil
	}
	return driver.RunState{ID: id, Phase: driver.RunNever}, nil
}

func (m *machine) Wait(ctx context.Context, id string, out func(stdout, stderr []byte)) (driver.RunState, error) {
	r := m.find(id)
	if r == nil {
		return driver.RunState{ID: id, Phase: driver.RunNever}, nil
	}
	told := 0
	for {
		ended := false
		select {
		case <-r.done:
			ended = true
		case <-ctx.Done():
			return driver.RunState{}, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if b := r.out.bytes(); out != nil && len(b) > told {
			out(b[told:], nil)
			told = len(b)
		}
		if ended {
			return r.look(), nil
		}
	}
}

func (m *machine) Abort(_ context.Context, id, token string) error {
	if err := m.guard("abort "+id, token); err != nil {
		return err
	}
	r := m.find(id)
	_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
	<-r.done
	return nil
}

func (m *machine) Put(_ context.Context, token, path, _ string, mode uint32, size int64, sum string, open func() (io.ReadCloser, error)) error {
	if err := m.guard(path, token); err != nil {
		return err
	}
	in, err := open()
	if err != nil {
		return err
	}
	defer in.Close()
	b, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	if have := sha256.Sum256(b); int64(len(b)) != size || hex.EncodeToString(have[:]) != sum {
		return errors.New("the content is not as announced")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b, os.FileMode(mode))
}

func (m *machine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if m.noDial {
		return nil, errors.New("administratively prohibited")
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

func (m *machine) Host(string) (Remote, error) { return m, nil }

// rest is what the tests never call.
type rest struct{ driver.Snapshotter }

// memorySnapshots is a driver that copies the tree.
type memorySnapshots struct {
	rest
	site      *site
	broken    bool
	retryable int
	restored  []string
	restore   func() // what putting back does to the world
}

func (f *memorySnapshots) Snapshotter(context.Context, string) (driver.Snapshotter, error) {
	return f, nil
}

func (f *memorySnapshots) Create(ctx context.Context, r driver.SnapshotRequest, run driver.Runner) (driver.Handle, error) {
	if f.retryable > 0 {
		f.retryable--
		return driver.Handle{}, driver.Errorf(driver.Retryable, "busy")
	}
	res, err := run.Run(ctx, driver.Command{Argv: []string{"sh", "-c", "echo made"}, Timeout: time.Hour})
	return driver.Handle{Driver: "memory", Key: r.Key, Data: res.Stdout}, err
}

func (f *memorySnapshots) Verify(context.Context, driver.Handle, driver.Runner) (driver.Verification, error) {
	return driver.Verification{Verified: !f.broken, Digest: "d", Detail: "compared"}, nil
}

func (f *memorySnapshots) Restore(_ context.Context, h driver.Handle, _ driver.Subject, _ driver.Runner) error {
	f.restored = append(f.restored, h.Key)
	if f.restore != nil {
		f.restore()
	}
	return nil
}

type file struct{ path string }

func (f file) Open(context.Context, plan.Release) (string, string, int64, func() (io.ReadCloser, error), error) {
	b, err := os.ReadFile(f.path)
	sum := sha256.Sum256(b)
	return f.path, hex.EncodeToString(sum[:]), int64(len(b)), func() (io.ReadCloser, error) { return os.Open(f.path) }, err
}

type surveyed plan.Facts

func (s surveyed) Take(context.Context, string) plan.Facts         { return plan.Facts(s) }
func (s surveyed) TakePackages(context.Context, string) plan.Facts { return plan.Facts(s) }

type bench struct {
	*site
	machine *machine
	driver  *memorySnapshots
	exec    *Executor
	plan    *plan.Plan
	target  *plan.Target
	memory  Memory
}

// newBench is a target with the steps of one hop, and an executor for it.
func newBench(t *testing.T) *bench {
	s := newSite(t)
	b := &bench{site: s, machine: &machine{env: s.env, lose: map[string]bool{}}, driver: &memorySnapshots{site: s}}
	b.exec = New(Deps{Hosts: b.machine, Snapshots: b.driver, Surveyor: surveyed(plan.Facts{Unreachable: "gone"}),
		Leases: b.machine, Retryable: func(err error) bool { return errors.Is(err, errAway) },
		Fenced: func(err error) bool { return errors.Is(err, errFenced) }, Held: func(err error) bool { return errors.Is(err, errHeld) }})
	n := nextcloud.Site{Name: "cloud-07/files", Path: s.tree, DataDir: s.tree + "/data", WebUser: user(t), PHP: s.php, StateDir: s.state,
		Reload: [][]string{{"sh", "-c", `grep -o '[0-9]*,[0-9]*,[0-9]*,[0-9]*' "$0/version.php" >>"$1"`, s.tree, s.dir + "/reloads"}}}
	from, to := nextcloud.Version{28, 0, 2, 5}, nextcloud.Version{29, 0, 1, 0}
	step := func(k plan.Kind, i nextcloud.Invocation) plan.Step {
		return plan.Step{ID: "canary/cloud-07/" + string(k), Kind: k, Host: "cloud-07", Instance: "files", Script: i.Script, Args: i.Args, Timeout: time.Minute}
	}
	inspect := step(plan.KindInspect, nextcloud.Invocation{})
	inspect.Gate = &plan.Gate{Version: to, HostHeader: "cloud.test", Apps: []string{"files", "mine"}, WebDAV: true, SetupChecks: true, Log: true}
	snapshot := step(plan.KindSnapshot, nextcloud.Invocation{})
	snapshot.Driver = "memory"
	restore := step(plan.KindRestore, n.SwapBack(n.Kept(from), from))
	restore.Driver = "memory"
	undo := func(k plan.Kind, i nextcloud.Invocation) plan.Step {
		u := step(k, i)
		u.ID = "canary/cloud-07/undo-" + string(k)
		return u
	}
	back := undo(plan.KindInspect, nextcloud.Invocation{})
	back.Gate = &plan.Gate{Version: from, HostHeader: "cloud.test", Apps: []string{"files", "mine"}, WebDAV: true}
	b.target = &plan.Target{From: from, Name: "cloud-07/files", Host: "cloud-07", Instance: "files", Subject: driver.Subject{Host: "cloud-07", Instance: "files", StateDir: s.state},
		Steps: []plan.Step{step(plan.KindClose, n.Close(0)), snapshot, step(plan.KindHop, n.Hop(to, n.Kept(from))), inspect, step(plan.KindOpen, n.Open()), step(plan.KindTidy, n.Tidy([]string{n.Kept(from)}))},
		Undo:  []plan.Step{undo(plan.KindClose, n.Close(0)), restore, back, undo(plan.KindOpen, n.Open()), undo(plan.KindUnstage, n.Unstage([]nextcloud.Version{to}))}}
	b.plan = &plan.Plan{Scripts: nextcloud.ScriptDigests(), Waves: []plan.Wave{{Name: "canary", Targets: []plan.Target{*b.target}}}}
	b.memory = Memory{Rollout: "r1", Epoch: 1, Handles: map[string]driver.Handle{}}
	release(t, s.staged, "29,0,1,1", "28.0")
	write(t, s.staged+"/.ncfleet-staged", "x")
	return b
}

func (b *bench) step(k plan.Kind) plan.Step {
	for _, s := range append(append([]plan.Step(nil), b.target.Steps...), b.target.Undo...) {
		if s.Kind == k {
			return s
		}
	}
	b.t.Fatalf("no step %s", k)
	return plan.Step{}
}

func (b *bench) perform(k plan.Kind) Outcome {
	b.t.Helper()
	return b.exec.Perform(context.Background(), b.plan, b.target, b.step(k), b.memory)
}

func (b *bench) want(k plan.Kind, status Status, detail string) Outcome {
	b.t.Helper()
	o := b.perform(k)
	if o.Status != status || !strings.Contains(o.Detail, detail) || strings.HasPrefix(o.Detail, "cloud-07: ") {
		b.t.Fatalf("%s: %s: %s; want %s: …%s…\n%s", k, o.Status, o.Detail, status, detail, o.Output)
	}
	return o
}
