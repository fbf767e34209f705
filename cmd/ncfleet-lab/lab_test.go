package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/cmd/ncfleet-lab/lab"
)

// fleetSize is how many hosts the tests share: four of each database. The first
// jobHosts are for the main job, the others for scenes.
const (
	fleetSize = 12
	jobHosts  = 6
)

// leastTime is what must be left of a test run's time for a scene to begin.
const leastTime = 150 * time.Second

// scenesAtOnce is how many scenes are played side by side: they mostly wait.
const scenesAtOnce = "6"

// TestMain lets the test's own program be ncfleet-lab, as the lab's holder, as
// the ledger and to be killed, and removes the fleet that the tests share at
// the end.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"serve", "up", "ledger"}, os.Args[1]) {
		main()
	}
	flag.Parse()
	if err := flag.Set("test.parallel", scenesAtOnce); err != nil {
		panic(err) // it is a flag of every test program
	}
	code := m.Run()
	if problems := slices.Concat(shared.end(), official.end(), mixed.end(), btrfs.end(), holds.end()); len(problems) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: the lab left behind:\n  %s\n", strings.Join(problems, "\n  "))
		code = 1
	}
	os.Exit(code)
}

// sharedFleet is brought up by the first test that wants it.
type sharedFleet struct {
	once    sync.Once
	skip    string
	err     error
	lab     *lab.Lab
	dir     string
	ncfleet string // the program under test
	before  traces
	// releases is a folder of official releases, "" = the stand-in's.
	releases string
	name     string // told apart from the others by it
	size     int
	dbs      []string
	distros  []string
	disks    []string
}

var (
	shared = sharedFleet{name: "-scenes", size: fleetSize}
	// official is a fleet with official releases, where a folder of them is given.
	official = sharedFleet{name: "-official", size: 3, dbs: []string{"mariadb"}, releases: os.Getenv("NCFLEET_LAB_RELEASES")}
	// mixed has two hosts of each distribution.
	mixed = sharedFleet{name: "-mixed", size: 2 * len(lab.Distros), distros: lab.Distros}
	// btrfs is one host whose data disk is btrfs.
	btrfs = sharedFleet{name: "-btrfs", size: 1, dbs: []string{"mariadb"}, disks: []string{"btrfs"}}
	// holds is one host for what rival updaters do over reboots.
	holds = sharedFleet{name: "-holds", size: 1, dbs: []string{"sqlite"}}
)

// fleet is the shared fleet in the hands of one test.
type fleet struct {
	*testing.T
	*sharedFleet
}

// host is one of its hosts.
type host struct {
	*lab.Host
	t *testing.T
}

// realFleet returns the shared fleet, every host of which is healed, thawed and
// up, or skips the test where there can be none.
func realFleet(t *testing.T) *fleet {
	t.Helper()
	return shared.bring(t)
}

// bring returns the fleet, up, in the hands of a test.
func (s *sharedFleet) bring(t *testing.T) *fleet {
	t.Helper()
	if testing.Short() {
		t.Skip("brings up real hosts: some minutes")
	}
	// A run that is out of time ends without removing its hosts.
	if end, ok := t.Deadline(); ok && time.Until(end) < leastTime {
		t.Skipf("less than %s are left of this run's time, which a scene may need: use go test -timeout 25m", leastTime)
	}
	s.once.Do(s.begin)
	if s.skip != "" {
		t.Skip(s.skip)
	}
	if s.err != nil {
		t.Fatalf("the fleet did not come up: %v", s.err)
	}
	return &fleet{t, s}
}

func (s *sharedFleet) begin() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	if err := lab.Ready(); err != nil {
		s.skip = err.Error()
		return
	}
	removeStale(ctx)
	s.dir = filepath.Join(os.TempDir(), fmt.Sprintf("ncfleet-lab-test-%d%s", os.Getpid(), s.name))
	a := &app{stdout: os.Stdout, stderr: os.Stderr, dir: s.dir, cache: lab.DefaultCache}
	l, err := a.lab()
	if err == nil {
		if err := l.Buildable(ctx); err != nil {
			s.skip = err.Error()
			return
		}
		if !l.Built(s.distros...) {
			s.skip = "what all hosts share is not built yet, which takes some minutes: run ncfleet-lab build first"
			return
		}
		s.ncfleet, err = buildNcfleet(ctx)
	}
	if err == nil {
		s.lab, s.before = l, look(l)
	}
	begun := time.Now()
	if err == nil {
		err = l.Up(ctx, lab.UpOptions{Hosts: s.size, Distros: s.distros, DBs: s.dbs, Disks: s.disks, Releases: s.releases})
	}
	fmt.Printf("lab: %d hosts up in %.1f s\n", s.size, time.Since(begun).Seconds())
	s.err = err
}

// buildNcfleet builds the program that the tests drive.
func buildNcfleet(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "ncfleet-lab-bin-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "ncfleet")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/ncfleet/ncfleet/cmd/ncfleet").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cannot build ncfleet: %w: %s", err, out)
	}
	return path, nil
}

// removeStale removes the fleets of test runs that were killed.
func removeStale(ctx context.Context) {
	found, _ := filepath.Glob(filepath.Join(os.TempDir(), "ncfleet-lab-test-*")) // the pattern is sound
	for _, dir := range found {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), "ncfleet-lab-test-"), "-")
		pid, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
			continue
		}
		if l, err := lab.New(lab.Options{Dir: dir}); err == nil {
			fmt.Printf("lab: removing %s of an earlier run: %v\n", dir, l.Down(ctx, false))
		}
	}
}

// end removes the fleet and reports what is left of it.
func (s *sharedFleet) end() []string {
	if s.ncfleet != "" {
		defer os.RemoveAll(filepath.Dir(s.ncfleet))
	}
	if s.lab == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	begun := time.Now()
	if err := s.lab.Down(ctx, false); err != nil {
		return []string{err.Error()}
	}
	after := look(s.lab)
	fmt.Printf("lab: down in %.1f s; left: %d processes, %d mounts, %d loop devices, %d control groups, %d files; inotify limit %s (before: %s)\n",
		time.Since(begun).Seconds(), len(after.processes), len(after.mounts), len(after.loops), len(after.groups), len(after.files), after.inotify, s.before.inotify)
	return after.beyond(s.before)
}

// traces are what can be seen of a lab from outside, without its own records.
type traces struct {
	processes, mounts, loops, groups, files []string
	inotify                                 string
	others                                  bool // other labs are on this machine
}

// look searches the whole machine for a lab: mounts of every process' namespace
// are read, so that a namespace that anybody still holds is seen.
func look(l *lab.Lab) traces {
	var t traces
	dir := l.Dir()
	procs, _ := filepath.Glob("/proc/[0-9]*") // the patterns here are sound
	for _, p := range procs {
		pid := filepath.Base(p)
		if line, err := os.ReadFile(p + "/cmdline"); err == nil && bytes.Contains(line, []byte(dir)) {
			t.processes = append(t.processes, pid+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
		if mounts, err := os.ReadFile(p + "/mountinfo"); err == nil && bytes.Contains(mounts, []byte(dir+"/")) {
			t.mounts = append(t.mounts, "in the mount namespace of process "+pid)
		}
	}
	backing, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, b := range backing {
		if file, err := os.ReadFile(b); err == nil && bytes.HasPrefix(file, []byte(dir)) {
			t.loops = append(t.loops, strings.TrimSpace(string(file)))
		}
	}
	for _, folder := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		found, _ := filepath.Glob(folder + l.Group())
		t.groups = append(t.groups, found...)
		others, _ := filepath.Glob(folder + "ncfleet-lab-*")
		t.others = t.others || len(others) > len(found)
	}
	if _, err := os.Stat(dir); err == nil {
		t.files = append(t.files, dir)
	}
	if data, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances"); err == nil {
		t.inotify = strings.TrimSpace(string(data))
	}
	return t
}

// beyond lists what is there now and was not before.
func (t traces) beyond(before traces) []string {
	var new []string
	for _, pair := range [][2][]string{{t.processes, before.processes}, {t.mounts, before.mounts}, {t.loops, before.loops},
		{t.groups, before.groups}, {t.files, before.files}} {
		for _, item := range pair[0] {
			if !slices.Contains(pair[1], item) {
				new = append(new, item)
			}
		}
	}
	// While another lab is up, the setting stays raised, or is put back by it.
	if t.inotify != before.inotify && !t.others && !before.others {
		new = append(new, "fs.inotify.max_user_instances is "+t.inotify+", was "+before.inotify)
	}
	return new
}

// host returns a host by its number, from 1.
func (f *fleet) host(n int) *host {
	f.Helper()
	h, err := f.lab.Host(fmt.Sprintf("lab-%02d", n))
	if err != nil {
		f.Fatal(err)
	}
	return &host{h, f.T}
}

// hosts returns them all.
func (f *fleet) hosts() []*host {
	f.Helper()
	var list []*host
	for n := range f.size {
		list = append(list, f.host(n+1))
	}
	return list
}

// run runs a program of this machine inside the lab's network.
func (f *fleet) run(argv ...string) (stdout, stderr string, code int) {
	f.Helper()
	cmd, err := f.lab.Command(f.Context(), argv...)
	if err != nil {
		f.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		f.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// verb runs a verb of ncfleet-lab on the shared fleet and returns its output.
func (f *fleet) verb(args ...string) string {
	f.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}
	// Also in a clean-up, where the test's own context has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.Context()), 5*time.Minute)
	defer cancel()
	if code := run(ctx, append([]string{"--dir", f.dir}, args...), a); code != 0 {
		f.Fatalf("ncfleet-lab %s: code %d: %s", strings.Join(args, " "), code, errs.String())
	}
	return out.String()
}

// exec runs a command in the host as root, whatever its network is like.
func (h *host) exec(argv ...string) string {
	h.t.Helper()
	out, err := h.Output(h.t.Context(), argv...)
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// ssh runs a command line on the host over OpenSSH, as the user ops.
func (f *fleet) ssh(h *host, command string) (stdout, stderr string, code int) {
	f.Helper()
	return f.run("ssh", "-i", f.lab.KeyFile(), "-o", "UserKnownHostsFile="+f.lab.KnownHosts(), "-o", "BatchMode=yes",
		"-o", "ConnectTimeout=5", "ops@"+h.Address, command)
}

// within waits until a condition holds and fails the test when it does not.
func (h *host) within(limit time.Duration, what string, holds func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("%s: %s did not come within %s", h.Name, what, limit)
		}
	}
}
