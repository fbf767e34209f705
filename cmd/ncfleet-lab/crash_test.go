package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/cmd/ncfleet-lab/lab"
)

// TestDownAfterCrash kills up at several moments, and the holder of a lab that
// is up: down removes everything each time, and twice.
func TestDownAfterCrash(t *testing.T) {
	realFleet(t) // says whether there can be a lab here, and fills the cache
	for _, after := range []time.Duration{50 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second} {
		t.Run("up killed after "+after.String(), func(t *testing.T) {
			l, up := startUp(t)
			time.Sleep(after)
			if err := up.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = up.Wait() // killed, or done just before
			removed(t, l)
		})
	}
	t.Run("holder killed", func(t *testing.T) {
		l, up := startUp(t)
		if err := up.Wait(); err != nil {
			t.Fatalf("up: %v", err)
		}
		data, err := os.ReadFile(filepath.Join(l.Dir(), "run", "holder"))
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.Fields(string(data))[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(hostSettles); ; time.Sleep(50 * time.Millisecond) {
			// While it dies, status may fail in other ways.
			if _, err = l.Status(t.Context()); err != nil && strings.Contains(err.Error(), "ncfleet-lab down") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("status without a holder does not say what to do: %v", err)
			}
		}
		removed(t, l)
	})
}

// startUp starts "up 2" for a lab of its own, as a process.
func startUp(t *testing.T) (*lab.Lab, *exec.Cmd) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "lab")
	l, err := lab.New(lab.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	up := exec.Command(self, "up", "2", "--dir", dir)
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	return l, up
}

// removed runs down twice and looks for what is left.
func removed(t *testing.T, l *lab.Lab) {
	t.Helper()
	for range 2 {
		if err := l.Down(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	if left := look(l).beyond(traces{others: true}); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}
