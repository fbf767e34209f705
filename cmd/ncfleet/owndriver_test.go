package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/sim"
)

// python finds a Python that can build and run the example driver.
func python(t *testing.T) (path, why string) {
	t.Helper()
	for _, p := range []string{os.Getenv("NCFLEET_TEST_PYTHON"), "python3"} {
		if p == "" {
			continue
		}
		path, err := exec.LookPath(p)
		if err != nil {
			why = err.Error()
			continue
		}
		out, err := exec.Command(path, "-c", "import grpc, grpc_tools").CombinedOutput()
		if err == nil {
			return path, ""
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		why = path + ": " + lines[len(lines)-1]
	}
	return "", why + " (NCFLEET_TEST_PYTHON may name one with grpcio and grpcio-tools)"
}

// declare adds blocks of drivers that keep their snapshots below a folder.
func (f *fleet) declare(kept string, names ...string) {
	f.Helper()
	text, err := os.ReadFile(f.file)
	for _, name := range slices.Compact(names) {
		text = fmt.Appendf(text, "\ndriver \"snapshot\" %q {\n  directory = %q\n}\n", name, filepath.Join(kept, name))
	}
	if err = errors.Join(err, os.WriteFile(f.file, text, 0o644)); err != nil {
		f.Fatal(err)
	}
}

// TestOwnDriversInARollout does what the README tells a newcomer: the example
// drivers, built outside, pinned, and used by a rollout. One host's upgrade
// breaks, so that a driver of one's own takes it back.
func TestOwnDriversInARollout(t *testing.T) {
	t.Parallel()
	if testing.Short() || raceDetector {
		t.Skip("builds drivers and carries out a rollout: a minute, and several under the race detector")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not here to build a driver")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "drivers")
	build := func(c *exec.Cmd) {
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c.Args, err, out)
		}
	}
	build(exec.Command("go", "build", "-o", filepath.Join(path, "ncfleet-driver-copy"), "../../examples/driver-go"))
	second := "copy"
	if py, why := python(t); py != "" {
		c := exec.Command("../../examples/driver-python/build.sh", filepath.Join(path, "ncfleet-driver-pycopy"))
		c.Env = append(os.Environ(), "PYTHON="+py)
		build(c)
		second = "pycopy"
	} else {
		t.Logf("without the Python driver, which cannot be built here: %s", why)
	}

	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(stop)
	s, err := sim.Start(ctx, sim.Options{Dir: filepath.Join(dir, "fleet"), Hosts: 2, UpgradeSeconds: 0.3,
		Faults: map[string][]sim.Fault{sim.HostName(2): {sim.UpgradeFails}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	f := &fleet{T: t, Fleet: s, file: filepath.Join(s.Dir, "fleet.hcl")}
	if err := s.WriteInventory(f.file); err != nil {
		t.Fatal(err)
	}
	f.edit(f.file, `"archive"`, fmt.Sprintf(`each.key == "cloud-01" ? "copy" : %q`, second))
	f.declare(filepath.Join(dir, "kept"), "copy", second)
	run := func(code int, args []string, says ...string) {
		t.Helper()
		c := exec.Command("ncfleet", append([]string{"-i", f.file}, args...)...)
		c.Env = append(os.Environ(), "NCFLEET_DRIVER_PATH="+path)
		out, _ := c.CombinedOutput() // the exit code tells
		if c.ProcessState.ExitCode() != code {
			t.Fatalf("%v: exit %d, want %d\n%s", args, c.ProcessState.ExitCode(), code, out)
		}
		for _, want := range says {
			if !holds(string(out), want) {
				t.Errorf("%v says no %q:\n%s", args, want, out)
			}
		}
	}
	run(exitError, []string{"plan", sim.RolloutMonthly}, "accept it with: ncfleet driver lock")
	run(exitOK, []string{"driver", "lock"}, "snapshot copy 0.1.0")
	run(exitOK, []string{"apply", "--rollout", sim.RolloutMonthly, "--yes"}, "1 upgraded, 1 rolled back, 0 failed")
	kept, err := filepath.Glob(filepath.Join(dir, "kept", "*", "*cloud-0*"))
	if err != nil || len(kept) < 2 {
		t.Errorf("the drivers kept %q, %v", kept, err)
	}
}
