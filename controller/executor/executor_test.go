package executor

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

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

// TestDoorPortTaken: whoever has the port that was tried first need not answer.
func TestDoorPortTaken(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer site.Close()
	w := &work{remote: &machine{}}
	d := &door{work: w, port: silent.Addr().(*net.TCPAddr).Port, ended: make(chan struct{})}
	at := site.Listener.Addr().(*net.TCPAddr).Port
	d.output = fmt.Appendf(nil, "ncfleet: port %d\n", at)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := d.reach(ctx); err != nil || d.port != at {
		t.Errorf("port %d, want %d: %v", d.port, at, err)
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
	b.want(plan.KindClose, Succeeded, "")
	b.want(plan.KindSnapshot, Succeeded, "")
	b.driver.broken = true
	b.want(plan.KindSnapshot, Failed, "could not be verified")
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

// TestRepairThatFails: a package that cannot be configured need not keep the
// users of a site out; a host alone has nothing but its packages.
func TestRepairThatFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.target.Undo = append(b.target.Undo, plan.Step{ID: "canary/cloud-07/undo-repair", Kind: plan.KindRepair, Host: "cloud-07", Instance: "files", Timeout: time.Minute,
		Commands: []driver.Command{{Argv: []string{"sh", "-c", "echo lab-bad >&2; exit 1"}}}})
	o := b.want(plan.KindRepair, Succeeded, "packages are not at rest: lab-bad")
	if o.Evidence["degraded"] == "" {
		t.Errorf("evidence %v", o.Evidence)
	}
	b.target.Steps, b.memory.Attempt = nil, 1
	b.want(plan.KindRepair, Failed, "lab-bad")
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
	closed = false
	if o := b.want(plan.KindOpen, Succeeded, ""); o.Evidence["seen_from_outside"] != "not in maintenance mode" {
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
