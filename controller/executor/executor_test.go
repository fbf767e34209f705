package executor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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

func (m *machine) Start(_ context.Context, id, _ string, c driver.Command) (driver.RunState, error) {
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

func (m *machine) Abort(_ context.Context, id string) error {
	r := m.find(id)
	_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
	<-r.done
	return nil
}

func (m *machine) Put(_ context.Context, path, _ string, mode uint32, size int64, sum string, open func() (io.ReadCloser, error)) error {
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

func (s surveyed) Take(context.Context, string) plan.Facts { return plan.Facts(s) }

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
		Retryable: func(err error) bool { return errors.Is(err, errAway) }})
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
	b.target = &plan.Target{Name: "cloud-07/files", Host: "cloud-07", Instance: "files", Subject: driver.Subject{Host: "cloud-07", Instance: "files", StateDir: s.state},
		Steps: []plan.Step{step(plan.KindClose, n.Close()), snapshot, step(plan.KindHop, n.Hop(to, n.Kept(from))), inspect, step(plan.KindOpen, n.Open()), step(plan.KindTidy, n.Tidy([]string{n.Kept(from)}))},
		Undo:  []plan.Step{undo(plan.KindClose, n.Close()), restore, back, undo(plan.KindOpen, n.Open()), undo(plan.KindUnstage, n.Unstage([]nextcloud.Version{to}))}}
	b.plan = &plan.Plan{Scripts: nextcloud.ScriptDigests(), Waves: []plan.Wave{{Name: "canary", Targets: []plan.Target{*b.target}}}}
	b.memory = Memory{Rollout: "r1", Handles: map[string]driver.Handle{}}
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

func TestPerformOneHop(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(plan.KindClose, Succeeded, "")
	o := b.want(plan.KindSnapshot, Succeeded, "")
	if o.Handle.Key != "r1/cloud-07/files" || string(o.Handle.Data) != "made\n" || !o.Verification.Verified {
		t.Errorf("the snapshot's outcome is %+v", o)
	}
	o = b.want(plan.KindHop, Succeeded, "")
	if o.Evidence["config_version"] != "29.0.1.1" || o.Evidence["upgrade_seconds"] == "" {
		t.Errorf("the hop's evidence is %v", o.Evidence)
	}
	o = b.want(plan.KindInspect, Succeeded, "")
	for _, name := range []string{"status", "login", "login assets", "webdav", "apps", "setup checks", "log"} {
		if o.Evidence["check "+name] == "" {
			t.Errorf("there is no check %q: %v", name, o.Evidence)
		}
	}
	if left, _ := filepath.Glob(b.tree + "/data/ncfleet-probe-*"); len(left) > 0 {
		t.Errorf("the probe user was left: %q", left)
	}
	if left, _ := filepath.Glob(b.dir + "/ncfleet-door.*"); len(left) > 0 {
		t.Errorf("the door was left: %q", left)
	}
	b.want(plan.KindOpen, Succeeded, "")
}

// TestDoorWithoutForwarding goes by curl on the host.
func TestDoorWithoutForwarding(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not here")
	}
	b := newBench(t)
	b.machine.noDial = true
	b.want(plan.KindClose, Succeeded, "")
	b.want(plan.KindHop, Succeeded, "")
	o := b.want(plan.KindInspect, Succeeded, "")
	if o.Evidence["check webdav"] == "" {
		t.Errorf("evidence %v", o.Evidence)
	}
	for _, argv := range b.machine.ran {
		if strings.Contains(argv, "Nf7!") {
			t.Errorf("the password is in argv: %s", argv)
		}
	}
}

func TestInspectVerdicts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		do     func(b *bench)
		status Status
		detail string
	}{
		{"an app is gone", func(b *bench) {
			write(b.t, filepath.Dir(b.tree)+"/apps.json", `{"enabled":{"files":"1"},"disabled":{"mine":"1"}}`)
		}, Failed, "disabled mine"},
		{"a new setup error", func(b *bench) {
			b.target.Steps[3].Gate.Checks = map[string]string{`OCA\Settings\A`: "success"}
			write(b.t, filepath.Dir(b.tree)+"/checks.json", `{"system":{"OCA\\Settings\\A":{"severity":"error"}}}`)
		}, Held, "new errors"},
		{"a fatal entry in the log", func(b *bench) {
			f, _ := os.OpenFile(b.tree+"/data/nextcloud.log", os.O_APPEND|os.O_WRONLY, 0)
			fmt.Fprintln(f, `{"level":4,"app":"mine","message":"it broke","exception":{"Exception":"Boom","Message":"x"}}`)
			_ = f.Close()
		}, Held, "fatal: mine, Boom, it broke"},
		{"another version", func(b *bench) { b.target.Steps[3].Gate.Version = nextcloud.Version{29, 0, 2, 0} }, Failed, "expected 29.0.2"},
		{"a secret that cannot be had", func(b *bench) { b.target.Steps[3].Gate.ProbeUser = "probe" }, Failed, "secrets are not available"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.want(plan.KindClose, Succeeded, "")
			b.want(plan.KindHop, Succeeded, "")
			tt.do(b)
			b.want(plan.KindInspect, tt.status, tt.detail)
		})
	}
}

// TestDroppedConnections: one that breaks is no fault of the site.
func TestDroppedConnections(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(plan.KindClose, Succeeded, "")
	b.want(plan.KindHop, Succeeded, "")
	for _, name := range []string{"drop.php", "drop.js", "drop.txt"} {
		write(t, filepath.Dir(b.tree)+"/"+name, "")
	}
	b.want(plan.KindInspect, Succeeded, "")
	if left, _ := filepath.Glob(filepath.Dir(b.tree) + "/drop*"); len(left) > 0 {
		t.Errorf("nothing was dropped: %q", left)
	}
}

// TestInspectAgain: a door that an earlier controller left open is closed and
// another one opened.
func TestInspectAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(plan.KindClose, Succeeded, "")
	b.want(plan.KindHop, Succeeded, "")
	w := &work{Executor: b.exec, plan: b.plan, target: b.target, step: b.step(plan.KindInspect), memory: b.memory, remote: b.machine}
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := w.openDoor(ctx, 60); err != nil {
		t.Fatal(err)
	}
	cancel() // the controller is gone
	o, found := b.exec.Lookup(context.Background(), b.plan, b.target, b.step(plan.KindInspect), b.memory)
	if !found || o.Status != Succeeded || len(b.machine.started) != 4 {
		t.Errorf("found %v, %+v, runs %q", found, o, b.machine.started)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if _, found := b.exec.Lookup(context.Background(), b.plan, b.target, b.step(plan.KindClose), b.memory); found {
		t.Error("a step that never began was found")
	}
	b.want(plan.KindClose, Succeeded, "")
	o, found := b.exec.Lookup(context.Background(), b.plan, b.target, b.step(plan.KindClose), b.memory)
	if !found || o.Status != Succeeded || len(b.machine.started) != 1 {
		t.Errorf("found %v, %s: %s, runs %q", found, o.Status, o.Detail, b.machine.started)
	}
}

func TestLost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.machine.lose["r1/canary/cloud-07/close"] = true
	b.want(plan.KindClose, Succeeded, "") // anew, under another id
	if got := fmt.Sprint(b.machine.started); got != "[r1/canary/cloud-07/close r1/canary/cloud-07/close~2]" {
		t.Errorf("runs %s", got)
	}
	b.machine.lose["r1/canary/cloud-07/hop"] = true
	b.want(plan.KindHop, Lost, "the host rebooted") // an upgrade is not tried twice
}

func TestStartWaitsForTheHost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.machine.refuse = 1
	b.want(plan.KindClose, Succeeded, "")
	b.exec.Retryable = nil
	b.machine.refuse = 1
	b.want(plan.KindHop, Failed, "away")
}

func TestLookupWaitsForTheHost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(plan.KindClose, Succeeded, "")
	b.machine.mu.Lock()
	b.machine.away = 1 // the host cannot be asked at first: that is no failure of the step
	b.machine.mu.Unlock()
	o, found := b.exec.Lookup(context.Background(), b.plan, b.target, b.step(plan.KindClose), b.memory)
	if !found || o.Status != Succeeded {
		t.Errorf("found %v, %s: %s", found, o.Status, o.Detail)
	}
}

func TestTimeoutEndsTheRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := plan.Step{ID: "canary/cloud-07/packages", Kind: plan.KindFetch, Host: "cloud-07", Timeout: 200 * time.Millisecond,
		Commands: []driver.Command{{Argv: []string{"sleep", "600"}}}}
	o := b.exec.Perform(context.Background(), b.plan, b.target, s, b.memory)
	if o.Status != Failed || !strings.Contains(o.Detail, "took longer than") {
		t.Errorf("%s: %s", o.Status, o.Detail)
	}
	if st := b.machine.find("r1/canary/cloud-07/packages").look(); st.Phase != driver.RunExited {
		t.Errorf("the run is %s", st.Phase)
	}
}

func TestRefusesAnotherScript(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.plan.Scripts["close.sh"] = strings.Repeat("0", 64)
	b.want(plan.KindClose, Failed, "not the script that the plan was made with")
	if len(b.machine.started) > 0 {
		t.Error("it was started")
	}
}

func TestSnapshotMustBeVerified(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.driver.retryable = 1
	b.want(plan.KindSnapshot, Succeeded, "")
	b.driver.broken = true
	b.want(plan.KindSnapshot, Failed, "could not be verified")
}

func TestRestore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(plan.KindClose, Succeeded, "")
	before := digest(t, b.tree)
	b.want(plan.KindRestore, Failed, "no snapshot")
	write(t, filepath.Dir(b.tree)+"/upgrade", "fail")
	b.want(plan.KindHop, Failed, "failed (exit 5)")
	b.memory.Handles["files"] = driver.Handle{Driver: "memory", Key: "r1/cloud-07/files"}
	b.want(plan.KindRestore, Succeeded, "")
	if after := digest(t, b.tree); after != before || fmt.Sprint(b.driver.restored) != "[r1/cloud-07/files]" {
		t.Errorf("restored %q; not as before:\n%s\nwas\n%s", b.driver.restored, after, before)
	}
}

// TestRestoreAfterSuccess takes back a target that was opened and tidied: the
// kept tree is gone, so the driver brings everything, under a running web.
func TestRestoreAfterSuccess(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(plan.KindClose, Succeeded, "")
	b.want(plan.KindSnapshot, Succeeded, "")
	snapshot, before := b.dir+"/snapshot", digest(t, b.tree, "config/config.php", "data/nextcloud.log")
	copyTree(t, b.tree, snapshot)
	for _, k := range []plan.Kind{plan.KindHop, plan.KindInspect, plan.KindOpen, plan.KindTidy} {
		b.want(k, Succeeded, "")
	}
	if exists(b.kept) || codeVersion(b.tree) != "29.0.1.1" {
		t.Fatalf("kept %v, version %s", exists(b.kept), codeVersion(b.tree))
	}
	write(t, b.tree+"/data/alice/files/later.txt", "written after it was opened")
	b.memory.Handles["files"] = driver.Handle{Driver: "memory", Key: "r1/cloud-07/files"}
	b.driver.restore = func() {
		if codeVersion(b.tree) == "28.0.2.5" {
			return
		}
		bad := b.tree + ".ncfleet-bad-r1"
		_ = os.Rename(b.tree, bad)
		copyTree(t, snapshot, b.tree)
		_ = os.RemoveAll(b.tree + "/data")
		_ = os.Rename(bad+"/data", b.tree+"/data")
	}
	undo := b.target.Undo
	for n := range 2 { // the second time as an operator who asks again
		b.memory.Attempt = n
		_ = os.Remove(b.dir + "/reloads")
		for _, s := range undo[:4] {
			if o := b.exec.Perform(context.Background(), b.plan, b.target, s, b.memory); o.Status != Succeeded {
				t.Fatalf("time %d, %s: %s: %s\n%s", n+1, s.ID, o.Status, o.Detail, o.Output)
			}
			if got, _ := os.ReadFile(b.dir + "/reloads"); s.Kind == plan.KindRestore && !strings.HasSuffix(string(got), "28,0,2,5\n") {
				t.Errorf("PHP was last reloaded with %q", got)
			}
		}
		if c := readConfig(b.tree + "/config/config.php"); c["maintenance"] != "false" || c["version"] != `"28.0.2.5"` {
			t.Errorf("time %d: opened with %v", n+1, c)
		}
	}
	if o := b.exec.Perform(context.Background(), b.plan, b.target, undo[4], b.memory); o.Status != Succeeded {
		t.Errorf("unstage: %s", o.Detail)
	}
	if !exists(b.tree + "/data/alice/files/later.txt") {
		t.Error("a user's file is gone")
	}
	_ = os.Remove(b.tree + "/data/alice/files/later.txt")
	_ = os.Remove(b.tree + "/config/zz-ncfleet.config.php")
	want := strings.ReplaceAll(before, lineOf(before, "config/zz-ncfleet.config.php"), "")
	if after := digest(t, b.tree, "config/config.php", "data/nextcloud.log"); after != want {
		t.Errorf("not as before:\n%s\nwas\n%s", after, want)
	}
	if left, _ := filepath.Glob(b.tree + ".ncfleet-*"); len(left) > 0 {
		t.Errorf("left lying: %q", left)
	}
}

// TestRestoreMustReload: old code in the cache of a web that opens again would
// meet the restored database.
func TestRestoreMustReload(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(plan.KindClose, Succeeded, "")
	b.memory.Handles["files"] = driver.Handle{Driver: "memory", Key: "r1/cloud-07/files"}
	b.driver.restore = func() { _ = os.Remove(b.tree + "/version.php") }
	b.want(plan.KindRestore, Failed, "expected 28.0.2")
	b.driver.restore = func() { write(t, b.tree+"/version.php", versionPHP("28,0,2,5", "27.1")) }
	args := b.target.Undo[1].Args
	for i := range args[1:] {
		if args[i] == "--reload" {
			args[i+1] = "false"
		}
	}
	b.memory.Attempt = 1
	b.want(plan.KindRestore, Failed, "cannot reload PHP")
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// lineOf is the line of a digest about a path, with its line break.
func lineOf(digest, path string) string {
	for _, l := range strings.SplitAfter(digest, "\n") {
		if strings.HasPrefix(l, path+" ") {
			return l
		}
	}
	return ""
}

func TestStageSends(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	path, sum := b.archive("29,0,1,1", "28.0")
	cached := filepath.Join(t.TempDir(), "cached")
	if err := os.Rename(path, cached); err != nil {
		t.Fatal(err)
	}
	_ = os.RemoveAll(b.staged)
	b.exec.Releases = file{cached}
	s := plan.Step{ID: "canary/cloud-07/stage", Kind: plan.KindStage, Host: "cloud-07", Instance: "files", Script: "stage.sh",
		Args: append(b.base(), b.stageArgs(path, sum)...), Release: &plan.Release{Name: "nextcloud-29.0.1.tar.bz2", SHA512: sum}}
	o := b.exec.Perform(context.Background(), b.plan, b.target, s, b.memory)
	if o.Status != Succeeded || !exists(b.staged+"/.ncfleet-staged") {
		t.Errorf("%s: %s\n%s", o.Status, o.Detail, o.Output)
	}
}

func TestRecheckRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := plan.Step{ID: "canary/cloud-07/recheck", Kind: plan.KindRecheck, Host: "cloud-07"}
	o := b.exec.Perform(context.Background(), b.plan, b.target, s, b.memory)
	if o.Status != Refused || len(o.Differences) != 1 || !strings.Contains(o.Detail, "planned reachable, found gone") {
		t.Errorf("%s: %s", o.Status, o.Detail)
	}
}

func TestPackagesRunInOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	out := filepath.Join(b.dir, "out")
	s := plan.Step{ID: "canary/cloud-07/fetch", Kind: plan.KindFetch, Host: "cloud-07", Commands: []driver.Command{
		{Argv: []string{"sh", "-c", "cat >>\"$0\"; echo \"$A\" >>\"$0\"", out}, Stdin: []byte("it's %s\n"), Env: map[string]string{"A": "b c"}},
		{Argv: []string{"sh", "-c", "pwd >>\"$0\"; exit 3", out}, Dir: "/"},
		{Argv: []string{"touch", out + ".never"}},
	}}
	o := b.exec.Perform(context.Background(), b.plan, b.target, s, b.memory)
	got, _ := os.ReadFile(out)
	if o.Status != Failed || string(got) != "it's %s\nb c\n/\n" || exists(out+".never") {
		t.Errorf("%s: %s, %q", o.Status, o.Detail, got)
	}
}

func TestOutside(t *testing.T) {
	t.Parallel()
	closed := false
	page := `<html data-requesttoken="x"></html>`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/sub/status.php":
			fmt.Fprintf(w, `{"installed":true,"version":"29.0.1.1","maintenance":%v,"needsDbUpgrade":false}`, closed)
		case closed:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			fmt.Fprint(w, page)
		}
	}))
	defer server.Close()
	b := newBench(t)
	verify := plan.Step{ID: "canary/cloud-07/verify", Kind: plan.KindVerify, Host: "cloud-07", Instance: "files", Gate: &plan.Gate{URL: server.URL + "/sub", Version: nextcloud.Version{29, 0, 1, 0}}}
	if o := b.exec.Perform(context.Background(), b.plan, b.target, verify, b.memory); o.Status != Succeeded {
		t.Errorf("%s: %s", o.Status, o.Detail)
	}
	closed = true
	b.target.Steps = append(b.target.Steps, verify)
	if o := b.want(plan.KindClose, Succeeded, ""); o.Evidence["seen_from_outside"] != "closed" {
		t.Errorf("evidence %v", o.Evidence)
	}
}

// TestRootRunsShellsOnly: one rule for sh is all that sudoers needs.
func TestRootRunsShellsOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, k := range []plan.Kind{plan.KindClose, plan.KindHop, plan.KindInspect} {
		b.want(k, Succeeded, "")
	}
	w := &work{Executor: b.exec, plan: b.plan, target: b.target, step: b.step(plan.KindInspect), memory: b.memory, remote: b.machine}
	if err := w.stopDoor(context.Background(), b.state, "cloud-07/files"); err != nil || !exists(b.state+"/sites/cloud-07+files/door-stop") {
		t.Errorf("the door is not told to stop: %v", err)
	}
	if err := w.stopDoor(context.Background(), b.state+"/none", "x"); err == nil {
		t.Error("a door that cannot be told to stop is no error")
	}
	b.target.Expect.PackagesTo = map[string]string{"no-such-package": "1"}
	b.exec.Perform(context.Background(), b.plan, b.target, plan.Step{ID: "x", Kind: plan.KindPackages, Driver: "apt", Commands: []driver.Command{{Argv: []string{"true"}, User: "root"}}}, b.memory)
	write(t, b.staged+"/.ncfleet-staged", "x")
	w.step.Args, w.step.Release = []string{"--staged", b.staged, "--archive", "/x"}, &plan.Release{SHA512: "x"}
	if err := w.send(context.Background()); err != nil {
		t.Errorf("the staged tree is not seen: %v", err)
	}
	for _, program := range b.machine.asRoot {
		if program != "sh" {
			t.Errorf("%s runs as root", program)
		}
	}
	if len(b.machine.asRoot) < 7 {
		t.Errorf("ran as root: %q", b.machine.asRoot)
	}
}

func TestUnknownKind(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.exec.Perform(context.Background(), b.plan, b.target, plan.Step{ID: "x", Kind: "dance", Host: "cloud-07"}, b.memory)
	if o.Status != Failed || !strings.Contains(o.Detail, "unknown kind") {
		t.Errorf("%s: %s", o.Status, o.Detail)
	}
}
