package remote

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// TestRunFolder: what a run is stands on the host's disk. It outlives the
// connection that began it; another controller finds it running, reads its
// output from any offset, and ends it through its folder.
func TestRunFolder(t *testing.T) {
	t.Parallel()
	s := startSSHD(t)
	leaseTo(t, s.config)
	first, second := s.connect(t), s.connect(t)
	ctx := testContext(t)
	if never, err := second.Look(ctx, "r/run"); err != nil || never.Phase != driver.RunNever {
		t.Errorf("before it began: %+v, %v", never, err)
	}
	// Neither a hang-up nor TERM to the session ends it.
	c := driver.Command{Argv: []string{"sh", "-c", "printf 0123456789; printf abc >&2; trap '' HUP; sleep 610"}}
	began, err := first.Start(ctx, "r/run", testToken, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Disconnect(); err != nil {
		t.Fatal(err)
	}
	s.severConnections(t)
	state, err := second.Look(ctx, "r/run")
	for ; err == nil && len(state.Stdout)+len(state.Stderr) < 13; state, err = second.Look(ctx, "r/run") {
	}
	if err != nil || state.Phase != driver.RunRunning || state.PID != began.PID || state.BootID == "" || state.Started == 0 {
		t.Fatalf("while it runs: %+v, %v", state, err)
	}
	run := filepath.Join(s.config.StateDir, "runs", "r:run")
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	for name, want := range map[string]string{"stdout": "0123456789", "stderr": "abc", "token": testToken + "\n", "boot_id": string(boot), "started": strconv.FormatInt(state.Started, 10) + "\n"} {
		if got, err := os.ReadFile(filepath.Join(run, name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q, want %q, %v", name, got, want, err)
		}
	}
	if pid, _ := os.ReadFile(filepath.Join(run, "pid")); !strings.HasPrefix(string(pid), strconv.Itoa(state.PID)+" ") {
		t.Errorf("pid holds %q, want %d", pid, state.PID)
	}
	for _, at := range []struct {
		out, err           int
		wantOut, wantError string
	}{{0, 0, "0123456789", "abc"}, {1, 2, "123456789", "c"}, {9, 3, "9", ""}, {10, 4, "", ""}, {11, 0, "", "abc"}} {
		got, err := second.script(ctx, "r/run", watchScript, "", nil, "0", strconv.Itoa(at.out), strconv.Itoa(at.err), "99", "99")
		if err != nil || string(got.Stdout) != at.wantOut || string(got.Stderr) != at.wantError {
			t.Errorf("from %d and %d: %q %q, %v", at.out, at.err, got.Stdout, got.Stderr, err)
		}
	}
	if err := second.Abort(ctx, "r/run", testToken); err != nil {
		t.Fatal(err)
	}
	state, err = second.Wait(ctx, "r/run", nil)
	if err != nil || state.Phase != driver.RunExited || state.Exit != 143 || state.Ended == 0 || string(state.Stdout) != "0123456789" {
		t.Errorf("after the abort: %+v, %v", state, err)
	}
	if rc, err := os.ReadFile(filepath.Join(run, "rc")); err != nil || string(rc) != "143\n" {
		t.Errorf("rc holds %q, %v", rc, err)
	}
	child, err := os.ReadFile(filepath.Join(run, "child"))
	if err != nil || len(strings.Fields(string(child))) == 0 {
		t.Fatalf("child holds %q, %v", child, err)
	}
	if _, err := os.Stat("/proc/" + strings.Fields(string(child))[0]); err == nil {
		t.Errorf("process %s of the run goes on", child)
	}
}
