package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/controller/sim"
)

// fleet is a simulated fleet with its inventory, for commands that run as
// processes of their own.
type fleet struct {
	*testing.T
	*sim.Fleet
	file string
	env  []string // of processes, beside the test's own
}

func newFleet(t *testing.T, hosts int, faults ...sim.Fault) *fleet {
	t.Helper()
	t.Parallel()
	skipFleet(t, hosts)
	return startFleet(t, hosts, 3*waitLimit+time.Duration(hosts)*5*time.Second, faults...)
}

func skipFleet(t *testing.T, hosts int) {
	t.Helper()
	if testing.Short() {
		t.Skip("carries out rollouts over simulated hosts: some seconds each")
	}
	if raceDetector && hosts > 1 {
		t.Skip("simulated hosts take minutes under the race detector; one of them is enough there")
	}
}

// waitLimit bounds every wait for what a process says or for its end. It tells a
// hang from a busy machine, nothing else.
const waitLimit = 5 * time.Minute

// startFleet starts a fleet that ends after a time, or with the test; the first
// host has the faults.
func startFleet(t *testing.T, hosts int, limit time.Duration, faults ...sim.Fault) *fleet {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), limit)
	t.Cleanup(stop)
	s, err := sim.Start(ctx, sim.Options{Dir: t.TempDir(), Hosts: hosts, UpgradeSeconds: 0.3, Faults: map[string][]sim.Fault{sim.HostName(1): faults}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	f := &fleet{T: t, Fleet: s, file: filepath.Join(s.Dir, "fleet.hcl")}
	if err := s.WriteInventory(f.file); err != nil {
		t.Fatal(err)
	}
	return f
}

// edit replaces a text of a file of the fleet.
func (f *fleet) edit(path, old, new string) {
	f.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		f.Fatalf("%s holds no %q:\n%.2000s", path, old, text)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o644); err != nil {
		f.Fatal(err)
	}
}

// run runs one command line to its end, in this process.
func (f *fleet) run(args ...string) (code int, out string) {
	f.Helper()
	code, stdout, stderr := ncfleet(f.T, append([]string{"-i", f.file}, args...)...)
	return code, stdout + stderr
}

// holds looks for a text that may be broken into lines.
func holds(out, want string) bool {
	return strings.Contains(out, want) || strings.Contains(strings.Join(strings.Fields(out), " "), want)
}

// want runs one command line and checks its exit code and what it says.
func (f *fleet) want(code int, args []string, says ...string) string {
	f.Helper()
	got, out := f.run(args...)
	if got != code {
		f.Errorf("%v: exit %d, want %d\n%s", args, got, code, out)
	}
	for _, s := range says {
		if !holds(out, s) {
			f.Errorf("%v says no %q:\n%s", args, s, out)
		}
	}
	return out
}

// process is ncfleet running beside the test.
type process struct {
	*fleet
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (f *fleet) start(args ...string) *process {
	f.Helper()
	p := &process{fleet: f, cmd: exec.Command("ncfleet", append([]string{"-i", f.file}, args...)...)}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.Env = append(os.Environ(), f.env...)
	if err := p.cmd.Start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { p.cmd.Process.Kill() })
	return p
}

// sees waits until the process has said something.
func (p *process) sees(want string) {
	p.Helper()
	for until := time.Now().Add(waitLimit); !holds(p.text(), want); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			p.Fatalf("%v never says %q:\n%s", p.cmd.Args[1:], want, p.text())
		}
	}
}

// ends waits for the end of the process and checks its exit code.
func (p *process) ends(code int, says ...string) {
	p.Helper()
	timer := time.AfterFunc(waitLimit, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	p.cmd.Wait() // the exit code tells
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.Errorf("%v: exit %d, want %d\n%s", p.cmd.Args[1:], got, code, p.text())
	}
	for _, s := range says {
		if !holds(p.text(), s) {
			p.Errorf("%v says no %q:\n%s", p.cmd.Args[1:], s, p.text())
		}
	}
}

// countPHP lets a host write down every call of PHP.
func (f *fleet) countPHP(host string) (calls func(word string) int) {
	f.Helper()
	php := filepath.Join(f.Host(host).Dir, "bin", "php")
	program, err := os.Readlink(php)
	if err != nil {
		f.Fatal(err)
	}
	list := filepath.Join(f.Dir, host+".php")
	script := fmt.Sprintf("#!/bin/sh\nprintf '%%s\\n' \"$*\" >>'%s'\nexec '%s' sim-host php \"$@\"\n", list, program)
	if err := os.Remove(php); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(php, []byte(script), 0o755); err != nil {
		f.Fatal(err)
	}
	return func(word string) int {
		text, err := os.ReadFile(list)
		if err != nil {
			f.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			if slices.Contains(strings.Fields(line), word) {
				n++
			}
		}
		return n
	}
}

// onceOnly checks journal and run folders: no step began twice, unless the
// host itself said that it never had, and no run has a second folder.
func (f *fleet) onceOnly() {
	f.Helper()
	j, err := journal.Open(filepath.Join(f.Dir, ".ncfleet"))
	if err != nil {
		f.Fatal(err)
	}
	defer j.Close()
	list, err := j.List()
	if err != nil || len(list) != 1 {
		f.Fatalf("%d rollouts, %v", len(list), err)
	}
	events, err := j.Events(list[0].ID, 0)
	if err != nil {
		f.Fatal(err)
	}
	begun := map[string]int{}
	for _, e := range events {
		switch e.Kind {
		case rollout.EventStepBegun:
			if begun[e.Step]++; begun[e.Step] > 1 {
				f.Errorf("event %d: %s begins once more", e.Seq, e.Step)
			}
		case rollout.EventStepNever:
			begun[e.Step]--
		}
	}
	for _, h := range f.Hosts {
		runs, err := os.ReadDir(filepath.Join(h.State, "runs"))
		if err != nil {
			continue // a host that was never touched has none
		}
		seen := map[string]string{}
		for _, r := range runs {
			parts := strings.SplitN(r.Name(), ":", 5)
			if len(parts) < 4 || len(parts) > 4 && strings.HasPrefix(parts[4], "driver") {
				continue
			}
			step := strings.Join(parts[:4], ":")
			if seen[step] != "" {
				f.Errorf("%s ran twice on %s: %s and %s", step, h.Name, seen[step], r.Name())
			}
			seen[step] = r.Name()
		}
	}
}

// refusesOtherPlans changes what a plan rests on beside the hosts' facts.
func (f *fleet) refusesOtherPlans(file string) {
	f.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	other := file + ".other"
	if err := os.WriteFile(other, text, 0o600); err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"archive", "apt"} {
		if !regexp.MustCompile(`"Name": "` + name + `",\s*"Version": "[^"]+"`).Match(text) {
			f.Errorf("the plan does not know the version of driver %s", name)
		}
	}
	at := regexp.MustCompile(`"Name": "apt",\s*"Version": "`).FindString(string(text))
	f.edit(other, at, at+"0.")
	f.want(exitError, []string{"apply", other}, `it was made with packages driver "apt" version 0.`, "plan again with: ncfleet -i ")
	f.edit(f.file, "budget = 1", "budget = 2")
	f.want(exitError, []string{"apply", file}, "the inventory changed since it was made; plan again with: ")
	f.edit(f.file, "budget = 2", "budget = 1")
	if list, err := filepath.Glob(filepath.Join(f.Dir, ".ncfleet", "journal.db")); err != nil || len(list) > 0 {
		f.want(exitError, []string{"status"}, "the journal holds no rollout yet")
	}
}

// TestKilledAndResumedWithAStalePlan kills the controller at random moments.
// Two of the three hosts are changed by hand between plan and apply: they are
// refused, with each difference.
func TestKilledAndResumedWithAStalePlan(t *testing.T) {
	f := newFleet(t, 3)
	calls := f.countPHP("cloud-01")
	file := filepath.Join(f.Dir, "plan.json")
	f.want(exitChanges, []string{"plan", "monthly", "-o", file}, "plan written to "+file)
	f.refusesOtherPlans(file)
	f.edit(filepath.Join(f.Host("cloud-02").Dir, "packages.json"), `"7.88.1-10+deb12u6"`, `"7.88.1-10+deb12u7"`)
	f.edit(filepath.Join(f.Host("cloud-03").Tree, "version.php"), "28, 0, 2, 5", "28, 0, 2, 6")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	p := f.start("apply", file)
	p.sees("rollout started")
	for range 3 {
		time.Sleep(time.Duration(300+random.IntN(2500)) * time.Millisecond)
		if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
			break // it has ended already
		}
		p.cmd.Wait() // killed
		if out := f.want(statusCode(f), []string{"status"}); strings.Contains(out, "is not as it was written") {
			t.Fatal(out)
		}
		p = f.start("resume")
	}
	p.ends(exitIncomplete, "1 upgraded, 0 rolled back, 0 failed, 2 untouched", "no longer as planned",
		"- package curl: planned 7.88.1-10+deb12u5 → 7.88.1-10+deb12u6, found 7.88.1-10+deb12u5 →",
		"- version of cloud-03: planned 28.0.2.5, found 28.0.2.6", "plan anew what was refused")
	if n := calls("upgrade"); n != 1 {
		t.Errorf("occ upgrade ran %d times", n)
	}
	f.onceOnly()
	f.want(exitOK, []string{"status"}, "1 upgraded", "no longer as planned")
	f.want(exitIncomplete, []string{"resume"}, "the rollout has ended; there is nothing to go on with", "1 upgraded")
}

// statusCode is what status must end with now: 7 while something is closed and
// no controller runs.
func statusCode(f *fleet) int {
	f.Helper()
	dir := filepath.Join(f.Dir, ".ncfleet")
	j, err := journal.Open(dir)
	if err != nil {
		f.Fatal(err)
	}
	defer j.Close()
	_, s, _, err := standing(j, nil)
	if err != nil {
		f.Fatal(err)
	}
	if len(s.Closed()) > 0 {
		return exitClosed
	}
	return exitOK
}
