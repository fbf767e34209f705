package drivers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/drivers"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// stage is where the hostile drivers act, with a bystander beside them.
type stage struct {
	*testing.T
	set       *drivers.Set
	bystander driver.PackageManager
	rows      [][2]string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{T: t, set: drivers.NewSet(drivers.NewLauncher(drivers.Options{}))}
	src, err := drivers.NewLauncher(drivers.Options{}).Builtin("fakepkg", driver.KindPackages)
	if err != nil {
		t.Fatal(err)
	}
	src.Env = map[string]string{"PLAY": "packages"}
	if err := s.set.Add(src, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.set.Close() })
	if s.bystander, err = s.set.PackageManager("fakepkg"); err != nil {
		t.Fatal(err)
	}
	s.unharmed("the start")
	return s
}

// unharmed makes a call of the other driver, which must be as ever.
func (s *stage) unharmed(after string) {
	s.Helper()
	within(s.T, "a call of another driver", func() {
		c, err := s.bystander.Probes(s.Context(), driver.ProbeRequest{})
		if err != nil || len(c) != 1 {
			s.Errorf("after %s another driver answers %v, %v", after, c, err)
		}
	})
}

// did notes what a driver did and what became of it, and looks after the others.
func (s *stage) did(what, came string, ok bool) {
	s.Helper()
	if !ok {
		s.Errorf("%s: %s", what, came)
	}
	if len(came) > 230 {
		came = came[:230] + "…"
	}
	s.rows = append(s.rows, [2]string{what, strings.ReplaceAll(came, "\n", " / ")})
	s.unharmed(what)
}

func (s *stage) refused(what string, err error, says ...string) {
	s.Helper()
	ok := err != nil
	for _, text := range says {
		ok = ok && strings.Contains(err.Error(), text)
	}
	s.did(what, fmt.Sprintf("%s: %v", driver.ClassOf(err), err), ok)
}

func (s *stage) table() {
	for _, r := range s.rows {
		s.Logf("%-44s → %s", r[0], r[1])
	}
	s.Logf("after each of the %d a call of another driver was answered as before", len(s.rows))
}

// cover is one call of a misfit of its own.
func (s *stage) cover(ctx context.Context, o drivers.Options, subject driver.Subject, run driver.Runner) (note string, err error) {
	s.Helper()
	_, d := launch(s.T, o, nil)
	within(s.T, subject.Labels["do"], func() {
		var c driver.Coverage
		c, err = d.Cover(ctx, subject, run)
		note = c.Note
	})
	return note, err
}

func TestHostileDrivers(t *testing.T) {
	if testing.Short() {
		t.Skip("some floods and large answers: half a minute")
	}
	s := newStage(t)
	defer s.table()
	s.hostileStarts()
	s.hostileCalls()
	s.hostileAnswers()
	s.hostilePackages()
	s.hostileRunner()
	s.hostileAppetite()
}

func (s *stage) hostileStarts() {
	program := func(script string) error {
		path := filepath.Join(s.TempDir(), "ncfleet-driver-misfit")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			s.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(s.Context(), 5*time.Second)
		defer cancel()
		_, err := drivers.NewLauncher(drivers.Options{}).Launch(ctx, pinned(s.T, drivers.Source{Name: "misfit", Kind: driver.KindSnapshot, Path: path}))
		return err
	}
	s.refused("says nothing at the handshake", program("sleep 300"), "given up before its handshake")
	s.refused("exits at once", program("exit 3"), "exit status 3 before the handshake")
	s.refused("writes an endless first line", program("exec head -c 30000000 /dev/zero | tr '\\0' x; sleep 300"), "given up before its handshake")
	s.refused("listens for everybody, without a certificate", program("echo '1|1|tcp|127.0.0.1:1|grpc|'; sleep 300"), "must listen on a unix socket")
	s.refused("listens elsewhere, without a certificate", program("echo '1|1|unix|/tmp/elsewhere|grpc|'; sleep 300"), "must listen on a unix socket")

	path := filepath.Join(s.TempDir(), "ncfleet-driver-misfit")
	program2, err := os.ReadFile(self(s.T))
	if err == nil {
		err = os.WriteFile(path, program2, 0o755)
	}
	if err != nil {
		s.Fatal(err)
	}
	set := newSet(s.T, pinned(s.T, drivers.Source{Name: "misfit", Kind: driver.KindSnapshot, Path: path}), nil)
	d := snapshotter(s.T, set)
	_, first := d.Cover(s.Context(), ask("exit"), nil)
	if err := os.Rename(path, path+".old"); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(path, append(program2, 'x'), 0o755); err != nil {
		s.Fatal(err)
	}
	_, err = d.Cover(s.Context(), ask("nothing"), nil)
	if first == nil {
		s.Error("the first process did not end")
	}
	s.refused("changes its file between start and restart", err, "does not have the accepted checksum")
}

func (s *stage) hostileCalls() {
	ctx := s.Context()
	for _, c := range [][]string{
		{"exit in a call", "exit", "exit status 7", "outcome is unknown"},
		{"kills itself in a call", "kill itself", "signal: killed", "outcome is unknown"},
		{"panics in a call", "panic", "the driver panicked"},
		{"answers with 100 MB", "answer of 100 MB", "more than 64 MiB"},
	} {
		_, err := s.cover(ctx, drivers.Options{}, ask(c[1]), nil)
		s.refused(c[0], err, c[2:]...)
	}
	p, d := launch(s.T, drivers.Options{PingEvery: 100 * time.Millisecond, PingDeadline: 2 * time.Second}, nil)
	file := filepath.Join(s.TempDir(), "begun")
	errs := make(chan error, 1)
	go func() { _, err := d.Cover(ctx, ask("hang", "file", file), nil); errs <- err }()
	until(s.T, "the call begins", func() bool { return exists(file) })
	if err := syscall.Kill(p.PID(), syscall.SIGSTOP); err != nil {
		s.Fatal(err)
	}
	within(s.T, "a frozen driver", func() { s.refused("freezes as a whole in a call", <-errs, "outcome is unknown") })

	short, cancel := context.WithTimeout(ctx, time.Second)
	_, err := s.cover(short, drivers.Options{}, ask("hang", "file", filepath.Join(s.TempDir(), "x")), nil)
	cancel()
	// Whose clock runs out first, the controller's or the driver's, is chance.
	s.refused("hangs in one call, answers pings", err, "its outcome is unknown, what it began is found again by its key")

	file = filepath.Join(s.TempDir(), "ignored")
	short, cancel = context.WithTimeout(ctx, time.Second)
	_, err = s.cover(short, drivers.Options{}, ask("ignore the end", "file", file), nil)
	cancel()
	until(s.T, "the late answer", func() bool { return exists(file + ".late") })
	s.refused("ignores the end of a call, answers later", err, "its outcome is unknown, what it began is found again by its key")

	_, d = launch(s.T, drivers.Options{}, nil)
	c, err := d.Cover(ctx, ask("leave a stray"), nil)
	stray, _ := strconv.Atoi(c.Note)
	until(s.T, "a child runs", func() bool { return stray > 0 && !gone(stray) })
	_, _ = d.Cover(ctx, ask("exit"), nil)
	until(s.T, "the child ends with the driver", func() bool { return gone(stray) })
	s.did("leaves a child and dies", "the child was killed with the driver's process group", err == nil)
}

func (s *stage) hostileAnswers() {
	ctx := s.Context()
	note, err := s.cover(ctx, drivers.Options{}, ask("odd text"), nil)
	s.did("answers with escape codes and no UTF-8", fmt.Sprintf("made plain: %q", note), err == nil && !strings.ContainsAny(note, "\x1b\x07\u202e") && strings.Contains(note, "gnp.exe"))
	_, err = s.cover(ctx, drivers.Options{}, ask("odd error"), nil)
	s.did("fails with escape codes", fmt.Sprintf("made plain: %q", err), err != nil && !strings.Contains(err.Error(), "\x1b") && driver.ClassOf(err) == driver.Quota)

	d := snapshotter(s.T, newSet(s.T, misfitSource(nil), nil))
	for what, says := range map[string]string{
		"handle of another": `a handle of driver "archive"`, "handle of another key": `a handle of the key "r1/somebody-else"`,
		"huge handle": "a handle of 1048576 bytes", "no handle": "no handle",
	} {
		_, err := d.Create(ctx, driver.SnapshotRequest{Key: "r1/a", Subject: ask(what)}, nil)
		s.refused("Create: "+what, err, says, "this is a bug of the driver")
	}
	v, err := d.Verify(ctx, driver.Handle{Driver: "misfit", Key: "r1/a"}, nil)
	s.did("says verified of a snapshot that is none", `believed: the journal keeps its word ("`+v.Detail+`"); driver test finds such a driver, and the gate looks at what a Restore left`, err == nil && v.Verified)

	var log records
	p, d2 := launch(s.T, drivers.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, nil)
	s.Setenv("CLOUD_SECRET", "inherited")
	if err := p.Configure(ctx, driver.Config{"token": "tok-98765"}); err != nil {
		s.Fatal(err)
	}
	c, err := d2.Cover(ctx, ask("where is the secret"), nil)
	s.did("looks for its secret and ours", c.Note, err == nil && c.Note == `knows 9 bytes, found in []`)
	_, err = d2.Cover(ctx, ask("secret"), nil)
	_ = p.Close()
	s.did("prints its secret in errors and log", fmt.Sprint(err), err != nil && !strings.Contains(err.Error(), "tok-98765") && !log.has("tok-98765"))
}

func (s *stage) hostilePackages() {
	src, err := drivers.NewLauncher(drivers.Options{}).Builtin("misfit", driver.KindPackages)
	if err != nil {
		s.Fatal(err)
	}
	src.Env = map[string]string{"PLAY": "misfit packages"}
	set := newSet(s.T, src, nil)
	d, err := set.PackageManager("misfit")
	if err != nil {
		s.Fatal(err)
	}
	ctx := s.Context()
	facts := func(what string) (driver.PackageFacts, error) {
		return d.Facts(ctx, driver.ProbeRequest{Upgrades: []string{what}}, nil)
	}
	_, err = facts("many")
	s.refused("reports 100 000 pending changes", err, "100000 items of pending, at most 20000")
	_, err = facts("unknown change")
	s.refused("reports a change that nobody knows", err, `unknown change "explode"`)
	f, err := facts("escapes")
	b, _ := json.Marshal(f)
	s.did("names a package with escape codes", string(b), err == nil && !strings.Contains(string(b), "\\u001b"))
	_, err = d.Probes(ctx, driver.ProbeRequest{})
	s.refused("returns a command with a NUL byte", err, "NUL byte", "bug of the driver")
	_, err = d.Compile(ctx, driver.Selection{})
	s.refused("returns a word of 200 KiB", err, "longer than 128 KiB")
	i, err := d.Info(ctx)
	s.did("says another name and kind the second time", fmt.Sprintf("not asked again: it stays %q %q", i.Kind, i.Name), err == nil && i.Name == "misfit")
}

// counting notes how many commands run at once.
type counting struct{ now, most, all atomic.Int32 }

func (c *counting) Run(ctx context.Context, _ driver.Command) (driver.Result, error) {
	c.all.Add(1)
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for m := c.most.Load(); n > m && !c.most.CompareAndSwap(m, n); m = c.most.Load() {
	}
	time.Sleep(time.Millisecond)
	return driver.Result{}, nil
}

func (s *stage) hostileRunner() {
	ctx := s.Context()
	run := &counting{}
	note, err := s.cover(ctx, drivers.Options{}, ask("odd commands"), run)
	s.did("asks for commands that no shell can run", note, err == nil && strings.Count(note, "cannot run a command") == 6 && run.all.Load() == 0)
	_, err = s.cover(ctx, drivers.Options{}, ask("a thousand commands"), run)
	s.did("asks for 1000 commands at once", fmt.Sprintf("%d ran, at most %d at once", run.all.Load(), run.most.Load()), err == nil && run.most.Load() <= 8 && run.all.Load() == 1000)
	file := filepath.Join(s.TempDir(), "late")
	run = &counting{}
	if _, err := s.cover(ctx, drivers.Options{}, ask("late", "file", file), run); err != nil {
		s.Error(err)
	}
	var said []byte
	until(s.T, "the late command is answered", func() bool { said, _ = os.ReadFile(file); return len(said) > 0 })
	s.did("keeps the Runner of a call that returned", string(said), strings.Contains(string(said), "has returned") && run.all.Load() == 0)
}

func (s *stage) hostileAppetite() {
	ctx := s.Context()
	for what, do := range map[string]string{"writes 100 MB of log": "flood 100 MB", "writes one line of 50 MB": "one endless line"} {
		var log records
		_, err := s.cover(ctx, drivers.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, ask(do), nil)
		log.mu.Lock()
		n := log.bytes
		log.mu.Unlock()
		s.did(what, fmt.Sprintf("%d KiB of it were kept", n>>10), err == nil && n < 4<<20)
	}
	before := resident(s.T)
	_, err := s.cover(ctx, drivers.Options{}, ask("eat memory"), nil)
	var typed *driver.Error
	s.did("allocates 4 GiB", fmt.Sprintf("stopped at 2 GiB: %v", err), errors.As(err, &typed) && strings.Contains(err.Error(), "its process ended"))
	if grown := resident(s.T) - before; grown > 512<<20 {
		s.Errorf("the controller grew by %d MiB", grown>>20)
	}
	note, err := s.cover(ctx, drivers.Options{}, ask("open files"), nil)
	n, _ := strconv.Atoi(note)
	s.did("opens files without end", fmt.Sprintf("stopped after %d", n), err == nil && n > 0 && n < 4096)
}

// resident is this process's memory.
func resident(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(b))
	if err != nil || len(fields) < 2 {
		t.Skipf("memory can only be read and limited on Linux: %v", err)
	}
	pages, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
