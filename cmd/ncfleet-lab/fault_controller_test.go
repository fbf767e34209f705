package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/rollout"
)

// runbook are the kinds of step of the scene's rollout, in order.
var runbook = []string{"recheck", "lease", "hold", "stage", "fetch", "prepare", "close", "snapshot", "packages",
	"reboot", "hop", "apps", "inspect", "open", "verify", "tidy", "release", "unlease"}

// TestControllerKilledInEachStep: kill -9 as soon as a step of each kind began,
// or a moment later, when it runs on the host; then resume: nothing happens
// twice, nothing is lost.
func TestControllerKilledInEachStep(t *testing.T) {
	t.Parallel()
	for name, moment := range map[string]time.Duration{"at once": 0, "a moment later": 400 * time.Millisecond} {
		t.Run(name, func(t *testing.T) { killedInEachStep(t, moment) })
	}
}

func killedInEachStep(t *testing.T, moment time.Duration) {
	s := newScene(t, play{system: true})
	running := s.apply()
	inFlight := map[string]bool{}
	for _, kind := range runbook {
		s.reach(kind)
		time.Sleep(moment)
		running.kill()
		inFlight[kind] = s.inFlight(kind)
		running = s.ncfleet("resume")
	}
	_, out := running.ends(5*time.Minute, 0)
	table := "| step | in flight at the kill | after resume |\n|---|---|---|\n"
	for _, kind := range runbook {
		table += fmt.Sprintf("| %s | %v | %s |\n", kind, inFlight[kind], s.outcomes(kind))
	}
	s.is("29.0.1")
	s.once()
	came := 0
	for _, e := range s.events() {
		if e.Kind == rollout.EventAttached {
			came++
		}
	}
	// Some die before they have told the journal that they came.
	if came < len(runbook)/2 {
		t.Errorf("only %d controllers came", came)
	}
	s.tell("killed %d times; %s\n%s", len(runbook), said(out, "upgraded", "succeeded"), table)
	s.checkLedger()
}

// inFlight reports whether the step of a kind has begun and has no outcome.
func (s *scene) inFlight(kind string) bool {
	open := false
	for _, e := range s.events() {
		if kindOf(e.Step) == kind {
			open = e.Kind == rollout.EventStepBegun
		}
	}
	return open
}

// outcomes are what the journal says of the step of a kind, its start left out.
func (s *scene) outcomes(kind string) string {
	var list []string
	for _, e := range s.events() {
		if kindOf(e.Step) == kind && e.Kind != rollout.EventStepBegun {
			list = append(list, string(e.Kind))
		}
	}
	return strings.Join(list, ", ")
}

// TestNeverLeftDown: the controller dies while the site is closed and nothing
// was changed yet, and nobody resumes. The host opens the site by itself.
func TestNeverLeftDown(t *testing.T) {
	s := newScene(t, play{more: "  failures {\n    budget       = 1\n    reopen_after = \"1m\"\n  }"})
	a := s.apply()
	s.reach("close")
	s.wait(time.Minute, "the closed site", func() bool {
		site, err := s.host.Site(t.Context())
		return err == nil && site.Maintenance
	})
	a.kill()
	killed := time.Now()
	if out := s.host.exec("ls", "/var/lib/ncfleet/sites/"+s.host.Name); strings.Contains(out, "changing") {
		t.Skipf("the controller was killed too late, a change had begun: %s", out)
	}
	_, status := s.ncfleet("status").ends(time.Minute, 7)
	if !strings.Contains(status, "CLOSED TO USERS") {
		t.Errorf("status does not name it:\n%s", status)
	}
	s.wait(4*time.Minute, "the watchdog", func() bool {
		site, err := s.host.Site(t.Context())
		return err == nil && !site.Maintenance
	})
	s.tell("status: %s; opened by its host %.0f s after the kill", said(status, "CLOSED"), time.Since(killed).Seconds())
	_, out := s.ncfleet("resume").ends(4*time.Minute, 0)
	if !strings.Contains(out, "watchdog") {
		t.Errorf("resume does not tell of the watchdog:\n%s", out)
	}
	s.is("28.0.2")
	s.once()
	s.tell("resume: %s", said(out, "watchdog", "rolled back"))
	s.checkLedger()
}

// TestTwoControllers: on one journal the second is refused at once; from
// another journal the host's lease refuses it, and nothing of the first is hurt.
func TestTwoControllers(t *testing.T) {
	s := newScene(t, play{seconds: 8})
	other := filepath.Join(s.dir, "other")
	// Both make their plans while the host is free.
	s.ncfleet("plan", "fault", "-o", filepath.Join(s.dir, "p.json")).ends(time.Minute, 2)
	a := s.apply()
	s.reach("stage")
	_, same := s.apply().ends(time.Minute, 1, 5, 8)
	_, second := s.ncfleet("--state", other, "apply", filepath.Join(s.dir, "p.json")).ends(2*time.Minute, 1, 4, 5)
	_, lease := s.ncfleet("lease").ends(time.Minute, 0)
	_, out := a.ends(4*time.Minute, 0)
	s.is("29.0.1")
	s.once()
	s.tell("same journal: %s", lastLine(same))
	s.tell("other journal: %s; lease: %s", said(second, "lease", "untouched"), strings.TrimSpace(lease))
	s.tell("the first: %s", said(out, "upgraded"))
	if !strings.Contains(second, "lease") {
		t.Errorf("the other controller does not tell of the lease:\n%s", second)
	}
	s.checkLedger()
}

// TestDriverProcess: the snapshot driver's process is killed, or frozen, in the
// middle of a call.
func TestDriverProcess(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "frozen": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, play{seconds: 2})
			a := s.apply()
			s.reach("snapshot")
			pid := 0
			s.wait(20*time.Second, "the driver's process", func() bool {
				pid = driverOf(a.cmd.Process.Pid)
				return pid != 0
			})
			if err := syscall.Kill(pid, signal); err != nil {
				t.Fatal(err)
			}
			during := s.inFlight("snapshot")
			_, out := a.ends(5*time.Minute, 0)
			s.is("29.0.1")
			s.once()
			s.tell("snapshot in flight: %v; %s", during, said(out, "driver", "snapshot", "upgraded"))
			s.checkLedger()
		})
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// driverOf finds the process of the driver archive below a process, 0 for none.
func driverOf(parent int) int {
	found, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is sound
	for _, file := range found {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		var pid, ppid int
		i := strings.LastIndexByte(string(text), ')')
		if _, err := fmt.Sscan(string(text), &pid); err != nil || i < 0 {
			continue
		}
		var state string
		if _, err := fmt.Sscan(string(text[i+1:]), &state, &ppid); err != nil || ppid != parent {
			continue
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if err == nil && strings.Contains(string(line), "archive") {
			return pid
		}
	}
	return 0
}
