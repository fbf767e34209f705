package remote

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

func TestDetachedRun(t *testing.T) {
	t.Parallel()
	s := startSSHD(t)
	leaseTo(t, s.config)
	h := s.connect(t)
	ctx := testContext(t)
	c := driver.Command{
		Argv: []string{"sh", "-c", `echo "$SECRET"; cat; pwd; echo err >&2; sleep 2; echo end; exit 7`},
		Env:  map[string]string{"SECRET": "s3cr3t"}, Stdin: []byte("input\n"), Dir: "/usr",
	}
	state, err := h.Start(ctx, "wave1/web1/update", testToken, c)
	if err != nil {
		t.Fatal(err)
	}
	if state.Phase != driver.RunRunning || state.Attached || state.PID == 0 || state.Started == 0 {
		t.Errorf("after start: %+v", state)
	}
	var streamed strings.Builder
	state, err = h.Wait(ctx, "wave1/web1/update", func(out, errs []byte) { streamed.Write(out) })
	if err != nil {
		t.Fatal(err)
	}
	const want = "s3cr3t\ninput\n/usr\nend\n"
	if state.Phase != driver.RunExited || state.Exit != 7 || string(state.Stdout) != want || string(state.Stderr) != "err\n" || state.Ended == 0 {
		t.Errorf("after wait: %+v, stdout %q, stderr %q", state, state.Stdout, state.Stderr)
	}
	if streamed.String() != want {
		t.Errorf("streamed %q", streamed.String())
	}
	again, err := h.Start(ctx, "wave1/web1/update", testToken, c)
	if err != nil || !again.Attached || again.Phase != driver.RunExited || again.Exit != 7 || string(again.Stdout) != want {
		t.Errorf("second start: %+v, %v", again, err)
	}
	looked, err := h.Look(ctx, "wave1/web1/update")
	if err != nil || looked.Exit != 7 || string(looked.Stdout) != want {
		t.Errorf("look: %+v, %v", looked, err)
	}
	filepath.WalkDir(s.config.StateDir, func(path string, d os.DirEntry, err error) error {
		if raw, _ := os.ReadFile(path); strings.Contains(string(raw), "s3cr3t") && filepath.Base(path) != "stdout" {
			t.Errorf("%s holds the secret", path)
		}
		return nil
	})
	if err := h.Forget(ctx, "wave1/web1/update", testToken); err != nil {
		t.Error(err)
	}
	if never, err := h.Look(ctx, "wave1/web1/update"); err != nil || never.Phase != driver.RunNever {
		t.Errorf("after forget: %+v, %v", never, err)
	}
}

// The folder is private; what the command makes must not be.
func TestDetachedRunHasTheUsualMask(t *testing.T) {
	t.Parallel()
	s := startSSHD(t)
	leaseTo(t, s.config)
	h := s.connect(t)
	ctx := testContext(t)
	if _, err := h.Start(ctx, "mask", testToken, driver.Command{Argv: []string{"sh", "-c", "umask"}}); err != nil {
		t.Fatal(err)
	}
	state, err := h.Wait(ctx, "mask", nil)
	if err != nil || !strings.HasPrefix(string(state.Stdout), "0022\n") {
		t.Errorf("got %q %q, %v", state.Stdout, state.Stderr, err)
	}
}

func TestDetachedRunSurvivesConnection(t *testing.T) {
	t.Parallel()
	s := startSSHD(t)
	leaseTo(t, s.config)
	h := s.connect(t)
	ctx := testContext(t)
	c := driver.Command{Argv: []string{"sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done; exit 3"}}
	if _, err := h.Start(ctx, "long", testToken, c); err != nil {
		t.Fatal(err)
	}
	cut := make(chan struct{})
	h.mu.Lock()
	first := h.conn
	h.mu.Unlock()
	go func() {
		defer close(cut)
		for range 2 {
			time.Sleep(time.Second)
			s.severConnections(t)
		}
	}()
	state, err := h.Wait(ctx, "long", nil)
	<-cut
	if first.alive() {
		t.Error("the connection was not cut, the test shows nothing")
	}
	if err != nil || state.Exit != 3 || string(state.Stdout) != "1\n2\n3\n4\n5\n6\n" {
		t.Errorf("got %+v, stdout %q, %v", state, state.Stdout, err)
	}
}

func TestParallelStartsClaimOnce(t *testing.T) {
	t.Parallel()
	s := startSSHD(t)
	leaseTo(t, s.config)
	h := s.connect(t)
	ctx := testContext(t)
	count := filepath.Join(s.dir, "count")
	enough := filepath.Join(s.dir, "enough")
	c := driver.Command{Argv: []string{"sh", "-c", "echo x >>" + quote(count) + "; until [ -e " + quote(enough) + " ]; do sleep 0.1; done"}}
	var mu sync.Mutex
	fresh := 0
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			state, err := h.Start(ctx, "same", testToken, c)
			if err != nil || state.Phase != driver.RunRunning {
				t.Errorf("start: %+v, %v", state, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !state.Attached {
				fresh++
			}
		})
	}
	wg.Wait()
	write(t, enough, "")
	if _, err := h.Wait(ctx, "same", nil); err != nil {
		t.Fatal(err)
	}
	if raw, _ := os.ReadFile(count); fresh != 1 || string(raw) != "x\n" {
		t.Errorf("%d fresh starts, it ran as often as %q", fresh, raw)
	}
}

// Another start of the run holds the claim and gives up while ours looks on.
func TestStartAfterAnotherGaveUp(t *testing.T) {
	t.Parallel()
	for name, claimed := range map[string]string{"before it wrote": "", "while it wrote": "claimed"} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t)
			leaseTo(t, s.config)
			run := filepath.Join(s.config.StateDir, "runs", "r")
			if err := os.MkdirAll(run, 0o700); err != nil {
				t.Fatal(err)
			}
			if claimed != "" {
				write(t, filepath.Join(run, claimed), strconv.FormatInt(time.Now().Unix(), 10)+"\n")
			}
			h := newTestPool(t).Host(s.config)
			go func() {
				for s.execs.Load() == 0 {
					time.Sleep(10 * time.Millisecond)
				}
				time.Sleep(500 * time.Millisecond) // ours waits up to five seconds
				os.Rename(run, run+".gone")
			}()
			ctx := testContext(t)
			state, err := h.Start(ctx, "r", testToken, driver.Command{Argv: []string{"echo", "done"}})
			if err != nil || state.Attached {
				t.Fatalf("start: %+v, %v", state, err)
			}
			if state, err = h.Wait(ctx, "r", nil); err != nil || state.Phase != driver.RunExited || string(state.Stdout) != "done\n" {
				t.Errorf("got %+v, %v", state, err)
			}
		})
	}
}

// A start whose input ends too early gives up and leaves nothing that another
// one could take for a run.
func TestStartsThatGiveUpLeaveTheIDFree(t *testing.T) {
	state := t.TempDir()
	leaseTo(t, Config{StateDir: state})
	run := filepath.Join(state, "runs", "r")
	start := func(before string) string {
		cmd := exec.Command("sh", "-c", before+libScript+fenceScript+startScript, "ncfleet", state, "r",
			testToken, "MARK", "unit", "true", "exit 0", "100", "100")
		cmd.Stdin = strings.NewReader("# for people\nMARK\ntoo short")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if out := start(""); !strings.HasPrefix(out, "fail cannot write the run folder") {
		t.Errorf("it says %q", out)
	}
	if left, err := os.ReadDir(filepath.Dir(run)); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	// While it read, its run was forgotten and claimed by another start.
	out := start("cat() { command cat >/dev/null; rm -rf " + quote(run) + "; mkdir " + quote(run) + "; echo OTHER >" + quote(run) + "/mark; return 1; }\n")
	if mark, err := os.ReadFile(filepath.Join(run, "mark")); err != nil || string(mark) != "OTHER\n" {
		t.Errorf("another start's folder: %q, %v; it says %q", mark, err, out)
	}
}

func TestAbort(t *testing.T) {
	t.Parallel()
	s := startSSHD(t)
	leaseTo(t, s.config)
	h := s.connect(t)
	ctx := testContext(t)
	left, aborted := filepath.Join(s.dir, "left"), filepath.Join(s.dir, "aborted")
	c := driver.Command{Argv: []string{"sh", "-c", "sh -c 'until [ -e \"$1\" ]; do sleep 0.1; done; echo x >\"$2\"' sh " + quote(aborted) + " " + quote(left) + " & sleep 60 & wait"}}
	if _, err := h.Start(ctx, "a", testToken, c); err != nil {
		t.Fatal(err)
	}
	if err := h.Abort(ctx, "a", testToken); err != nil {
		t.Fatal(err)
	}
	state, err := h.Look(ctx, "a")
	if err != nil || state.Phase != driver.RunExited || state.Exit != 143 {
		t.Errorf("after abort: %+v, %v", state, err)
	}
	write(t, aborted, "")
	time.Sleep(time.Second) // ten times what a child that lives would need
	if _, err := os.Stat(left); err == nil {
		t.Error("a child went on after abort")
	}
	if err := h.Abort(ctx, "none", testToken); err == nil {
		t.Error("aborting a run that never was is no error")
	}
}

func TestLostRuns(t *testing.T) {
	t.Parallel()
	s := startSSHD(t)
	leaseTo(t, s.config)
	h := s.connect(t)
	ctx := testContext(t)
	for _, c := range []struct{ name, spoil, detail string }{
		{"killed", `read -r pid start <pid; read -r child x <child; kill -9 "$pid" "$child"`, "gone"},
		{"rebooted", `echo other >boot_id`, "rebooted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := h.Start(ctx, c.name, testToken, driver.Command{Argv: []string{"sleep", "20"}}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
			mustRun(t, h, driver.Command{Argv: []string{"sh", "-c", c.spoil}, Dir: filepath.Join(s.config.StateDir, "runs", c.name)})
			state, err := h.Wait(ctx, c.name, nil)
			if err != nil || state.Phase != driver.RunLost || !strings.Contains(state.Detail, c.detail) || state.Result().Exit != -1 {
				t.Errorf("got %+v, %v", state, err)
			}
		})
	}
}
