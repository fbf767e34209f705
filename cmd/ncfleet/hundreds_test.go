package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRolloutOverTwoHundredHosts carries out one rollout over 200 hosts and
// counts the processes of drivers that it starts.
func TestRolloutOverTwoHundredHosts(t *testing.T) {
	if os.Getenv("NCFLEET_TEST_ALL") == "" {
		t.Skip("200 simulated hosts take minutes; NCFLEET_TEST_ALL=1 plays them")
	}
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skipf("processes cannot be seen here: %v", err)
	}
	f := newFleet(t, 200)
	text, err := os.ReadFile(f.file)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, "\nrollout \"packages\" {\n  system { level = \"update\" }\n  max_unavailable = 8\n}\n"...)
	if err := os.WriteFile(f.file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(f.Dir, "packages.plan")
	f.want(exitChanges, []string{"plan", "packages", "-o", file}, "200 targets")
	begun := time.Now()
	p := f.start("apply", file)
	started := map[string]map[int]bool{}
	over := make(chan struct{})
	go func() { defer close(over); p.cmd.Wait() }() // the exit code tells
	for running := true; running; {
		for pid, name := range servingDrivers(t, p.cmd.Process.Pid) {
			if started[name] == nil {
				started[name] = map[int]bool{}
			}
			started[name][pid] = true
		}
		select {
		case <-over:
			running = false
		case <-time.After(20 * time.Millisecond):
		}
		if time.Since(begun) > 20*time.Minute {
			p.cmd.Process.Kill()
		}
	}
	if code := p.cmd.ProcessState.ExitCode(); code != exitOK || !holds(p.text(), "200 upgraded, 0 rolled back, 0 failed, 0 untouched") {
		text := p.text()
		t.Errorf("exit %d:\n%s", code, text[max(0, len(text)-6000):])
	}
	for _, name := range []string{"apt", "archive"} {
		if n := len(started[name]); n != 1 {
			t.Errorf("driver %s was started %d times, want once", name, n)
		}
	}
	t.Logf("a rollout over 200 hosts took %.0f s; processes of drivers: %s", time.Since(begun).Seconds(), fmt.Sprint(started))
}

// servingDrivers are the children of a process that serve a driver, by number.
func servingDrivers(t *testing.T, parent int) map[int]string {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, th := range threads {
		if b, err := os.ReadFile(th); err == nil { // a thread may have ended
			pids = append(pids, strings.Fields(string(b))...)
		}
	}
	found := map[int]string{}
	for _, s := range pids {
		pid, err := strconv.Atoi(s)
		if err != nil {
			continue
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		words := strings.Split(string(line), "\x00")
		if err == nil && len(words) > 3 && words[1] == "driver" && words[2] == "serve" {
			found[pid] = words[3]
		}
	}
	return found
}
