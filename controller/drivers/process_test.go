package drivers_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/drivers"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

func wantUnknown(t *testing.T, err error) {
	t.Helper()
	if driver.ClassOf(err) != driver.Retryable || !strings.Contains(err.Error(), "outcome is unknown") || !strings.Contains(err.Error(), `"misfit"`) {
		t.Errorf("error is %q of class %q, want a retryable one that names the driver and calls the outcome unknown", err, driver.ClassOf(err))
	}
}

func TestKilledDuringACall(t *testing.T) {
	p, s := launch(t, drivers.Options{}, nil)
	file := filepath.Join(t.TempDir(), "begun")
	errs := make(chan error, 2)
	for range 2 {
		go func() { _, err := s.Cover(t.Context(), ask("hang", "file", file), nil); errs <- err }()
	}
	until(t, "the call begins", func() bool { return exists(file) })
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, "the calls", func() {
		for range 2 {
			err := <-errs
			wantUnknown(t, err)
			if !strings.Contains(err.Error(), "killed") {
				t.Errorf("error %q does not say how the process ended", err)
			}
		}
	})
	if p.Alive() {
		t.Error("a dead driver counts as alive after its call failed")
	}
	_, err := s.Cover(t.Context(), ask("nothing"), nil)
	wantUnknown(t, err)
}

func TestExitDuringACall(t *testing.T) {
	_, s := launch(t, drivers.Options{}, nil)
	_, err := s.Cover(t.Context(), ask("exit"), nil)
	wantUnknown(t, err)
	if !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("error %q does not say how the process ended", err)
	}
}

func TestFrozenDriverIsKilledByTheWatchdog(t *testing.T) {
	p, s := launch(t, drivers.Options{PingEvery: 100 * time.Millisecond, PingDeadline: 2 * time.Second}, nil)
	if err := syscall.Kill(p.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	within(t, "a call of a frozen driver", func() {
		_, err := s.Cover(t.Context(), ask("nothing"), nil)
		wantUnknown(t, err)
	})
}

func TestFrozenDriverDoesNotHangClose(t *testing.T) {
	p, _ := launch(t, drivers.Options{PingEvery: time.Hour}, nil)
	if err := syscall.Kill(p.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	within(t, "Close", func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	if !gone(p.PID()) {
		t.Error("the frozen process still runs")
	}
}

func TestPanicIsAnErrorAndTheProcessLives(t *testing.T) {
	p, s := launch(t, drivers.Options{}, nil)
	_, err := s.Cover(t.Context(), ask("panic"), nil)
	if driver.ClassOf(err) != driver.Panicked {
		t.Fatalf("error %v is of class %q", err, driver.ClassOf(err))
	}
	for _, want := range []string{"assignment to entry in nil map", "main_test.go:", "Cover"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	c, err := s.Cover(t.Context(), ask("nothing"), nil)
	if err != nil || c.Note != strconv.Itoa(p.PID()) {
		t.Errorf("the call after the panic: process %s, error %v, want process %d", c.Note, err, p.PID())
	}
}

func TestTypedErrorsCrossWhole(t *testing.T) {
	_, s := launch(t, drivers.Options{}, nil)
	_, err := s.Cover(t.Context(), ask("quota"), nil)
	var typed *driver.Error
	if !errors.As(err, &typed) || typed.Class != driver.Quota || typed.After != 90*time.Second || typed.Message != "outer: no room" {
		t.Errorf("error %#v", err)
	}
	_, err = s.Cover(t.Context(), ask("what?"), nil)
	if errors.As(err, &typed) || err == nil || err.Error() != `unknown request "what?"` {
		t.Errorf("a plain error came as %#v", err)
	}
}

// records counts log lines.
type records struct {
	mu    sync.Mutex
	bytes int
	lines []string
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes += len(p)
	r.lines = append(r.lines, string(p))
	return len(p), nil
}

func (r *records) has(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(strings.Join(r.lines, ""), text)
}

func TestFloodOfOutputDoesNoHarm(t *testing.T) {
	var log records
	p, s := launch(t, drivers.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, nil)
	within(t, "the flood", func() {
		if _, err := s.Cover(t.Context(), ask("flood"), nil); err != nil {
			t.Error(err)
		}
		if _, err := s.Cover(t.Context(), ask("nothing"), nil); err != nil {
			t.Error(err)
		}
	})
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if !log.has("dropped") || !log.has("raw line 0") || !log.has("driver=misfit") {
		t.Error("the log lacks the first lines, the driver's name or the count of dropped ones")
	}
	if n := len(log.lines); n > 20000 {
		t.Errorf("%d of 52000 lines reached the log", n)
	}
	for _, l := range log.lines {
		if len(l) > 32<<10 {
			t.Errorf("a log line is %d bytes long", len(l))
		}
	}
}

// echo answers with a long output and checks what it is asked to run.
type echo struct {
	out []byte
	got driver.Command
}

func (e *echo) Run(_ context.Context, c driver.Command) (driver.Result, error) {
	e.got = c
	return driver.Result{Exit: 3, Stdout: e.out, Stderr: make([]byte, 100_000)}, nil
}

func TestLongOutputThroughTheRunner(t *testing.T) {
	_, s := launch(t, drivers.Options{}, nil)
	run := &echo{out: bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16)}
	c, err := s.Cover(t.Context(), ask("run"), run)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("3 %x 100000", sha256.Sum256(run.out)); c.Note != want {
		t.Errorf("the driver saw %q, want %q", c.Note, want)
	}
	g := run.got
	if g.Argv[0] != "\xff odd" || len(g.Stdin) != 5<<20 || g.Env["A"] != "1" || g.Timeout != time.Minute {
		t.Errorf("the Runner got argv %q, %d bytes of input, env %v, timeout %s", g.Argv, len(g.Stdin), g.Env, g.Timeout)
	}
}

type refusing struct{}

func (refusing) Run(context.Context, driver.Command) (driver.Result, error) {
	return driver.Result{}, driver.Errorf(driver.Auth, "no key")
}

func TestRunnerErrorsReachTheDriver(t *testing.T) {
	_, s := launch(t, drivers.Options{}, nil)
	if _, err := s.Cover(t.Context(), ask("run"), refusing{}); driver.ClassOf(err) != driver.Auth || err.Error() != "no key" {
		t.Errorf("the Runner's error came back as %v", err)
	}
	if _, err := s.Cover(t.Context(), ask("run"), nil); driver.ClassOf(err) != driver.Permanent {
		t.Errorf("a call without a Runner: %v", err)
	}
}

func TestRunnerEndsWithItsCall(t *testing.T) {
	_, s := launch(t, drivers.Options{}, nil)
	file := filepath.Join(t.TempDir(), "late")
	run := &echo{}
	if _, err := s.Cover(t.Context(), ask("late", "file", file), run); err != nil {
		t.Fatal(err)
	}
	var said []byte
	until(t, "the late command is answered", func() bool { said, _ = os.ReadFile(file); return len(said) > 0 })
	if !strings.Contains(string(said), "has returned") || run.got.Argv != nil {
		t.Errorf("a command after the call's end was answered with %q (it ran: %v)", said, run.got.Argv)
	}
}

func TestCancelCrossesTheWire(t *testing.T) {
	_, s := launch(t, drivers.Options{}, nil)
	file := filepath.Join(t.TempDir(), "wait")
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 1)
	go func() { _, err := s.Cover(ctx, ask("wait", "file", file), nil); errs <- err }()
	until(t, "the call begins", func() bool { return exists(file) })
	cancel()
	within(t, "the cancelled call", func() {
		if err := <-errs; !errors.Is(err, context.Canceled) || driver.ClassOf(err) != driver.Retryable {
			t.Errorf("error %v", err)
		}
	})
	until(t, "the driver sees the end of its context", func() bool { return exists(file + ".cancelled") })
}

func TestEnvironmentAndInputAreNotInherited(t *testing.T) {
	t.Setenv("CLOUD_TOKEN", "very secret")
	_, s := launch(t, drivers.Options{}, map[string]string{"GIVEN": "1"})
	c, err := s.Cover(t.Context(), ask("environment"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(c.Note, "GIVEN") {
		t.Errorf("the driver lacks what Source.Env gives it: %s", c.Note)
	}
	for _, name := range strings.Fields(c.Note) {
		if name != "GIVEN" && name != "LC_ALL" && !strings.HasPrefix(name, "PLUGIN_") && !strings.HasPrefix(name, "NCFLEET_DRIVER") {
			t.Errorf("the driver inherited %s", name)
		}
	}
	within(t, "reading standard input", func() {
		if c, err := s.Cover(t.Context(), ask("stdin"), nil); err != nil || c.Note != "" {
			t.Errorf("the driver's standard input gave %q, error %v", c.Note, err)
		}
	})
}

func TestHandshakeVariablesCannotBeSet(t *testing.T) {
	for _, name := range []string{"PLUGIN_CLIENT_CERT", "NCFLEET_DRIVER_LIFELINE"} {
		_, err := drivers.NewLauncher(drivers.Options{}).Launch(t.Context(), misfitSource(map[string]string{name: "x"}))
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a source that sets %s: error %v", name, err)
		}
	}
}

func TestWrongChecksumIsRefused(t *testing.T) {
	src := misfitSource(map[string]string{"COUNT_STARTS": filepath.Join(t.TempDir(), "starts")})
	src.SHA256 = strings.Repeat("ab", 32)
	_, err := drivers.NewLauncher(drivers.Options{}).Launch(t.Context(), src)
	var wrong *rpc.ChecksumError
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "ncfleet driver lock") {
		t.Errorf("error %v", err)
	}
	if exists(src.Env["COUNT_STARTS"]) {
		t.Error("the refused program was started")
	}
	src.SHA256 = ""
	if _, err := drivers.NewLauncher(drivers.Options{}).Launch(t.Context(), src); err == nil || !strings.Contains(err.Error(), "ncfleet driver lock") {
		t.Errorf("a source without a checksum: error %v", err)
	}
}

func TestProgramsThatAreNoDrivers(t *testing.T) {
	script := func(content string) drivers.Source {
		path := filepath.Join(t.TempDir(), "ncfleet-driver-misfit")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+content+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return pinned(t, drivers.Source{Name: "misfit", Kind: driver.KindSnapshot, Path: path})
	}
	other := misfitSource(map[string]string{"PLAY": "other version"})
	kind, name := misfitSource(nil), misfitSource(nil)
	kind.Kind, name.Name = driver.KindPackages, "somebody"
	tests := map[string]struct {
		src  drivers.Source
		want string
	}{
		"ends at once":     {script("echo 'no config' >&2; exit 4"), "exit status 4 before the handshake; check that it is a driver built for this version of ncfleet; its last words: no config"},
		"speaks something": {script("echo hello; exec sleep 60"), `says "hello"`},
		"another version":  {other, "speaks another version"},
		"another kind":     {kind, `says it is driver "snapshot" "misfit"`},
		"another name":     {name, `says it is driver "snapshot" "misfit"`},
	}
	for what, c := range tests {
		t.Run(what, func(t *testing.T) {
			_, err := drivers.NewLauncher(drivers.Options{}).Launch(t.Context(), c.src)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

func pinned(t *testing.T, src drivers.Source) drivers.Source {
	t.Helper()
	sum, err := drivers.FileSHA256(src.Path)
	if err != nil {
		t.Fatal(err)
	}
	src.SHA256 = sum
	return src
}

func TestGivenUpStartLeavesNothing(t *testing.T) {
	temp, err := os.MkdirTemp("/tmp", "nc")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temp)
	path, mark := filepath.Join(t.TempDir(), "ncfleet-driver-misfit"), filepath.Join(t.TempDir(), "pid")
	t.Setenv("TMPDIR", temp)
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho $$ >"+mark+"\nsleep 300\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for !exists(mark) && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond)
		cancel()
	}()
	within(t, "a start that was given up", func() {
		_, err := drivers.NewLauncher(drivers.Options{}).Launch(ctx, pinned(t, drivers.Source{Name: "misfit", Kind: driver.KindSnapshot, Path: path}))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
	b, _ := os.ReadFile(mark)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || !gone(pid) {
		t.Errorf("process %q still runs", b)
	}
	p, _ := launch(t, drivers.Options{}, nil)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestChildrenOfADriver(t *testing.T) {
	for _, setsid := range []string{"", "yes"} {
		t.Run("setsid="+setsid, func(t *testing.T) {
			p, s := launch(t, drivers.Options{}, nil)
			c, err := s.Cover(t.Context(), ask("leave a child", "setsid", setsid), nil)
			if err != nil {
				t.Fatal(err)
			}
			child, err := strconv.Atoi(c.Note)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = syscall.Kill(child, syscall.SIGKILL) }()
			within(t, "Close with a child that holds the streams", func() {
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
			if setsid == "" {
				until(t, "the child ends with its group", func() bool { return gone(child) })
			}
		})
	}
}

func TestDriverDiesWithAKilledController(t *testing.T) {
	c := exec.Command(self(t))
	c.Env = []string{"TEST_CONTROLLER=1"}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the controller says %q", line)
	}
	if gone(pid) {
		t.Fatal("the driver does not run")
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	until(t, "the driver ends with its controller", func() bool { return gone(pid) })
}

func TestSecretsAreMasked(t *testing.T) {
	var log records
	p, s := launch(t, drivers.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, nil)
	if err := p.Configure(t.Context(), driver.Config{"token": "tok-12345", "size": 2.5}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Cover(t.Context(), ask("secret"), nil)
	if driver.ClassOf(err) != driver.Auth || err.Error() != "the provider refuses ***" {
		t.Errorf("error %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if log.has("tok-12345") || !log.has("using token ***") || !log.has("level=ERROR") {
		t.Errorf("the log: %q", log.lines)
	}
}

func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
