package drivers_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/drivers"
	"github.com/ncfleet/ncfleet/plugins/driver"
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
	file := filepath.Join(t.TempDir(), "begun")
	errs := make(chan error, 1)
	go func() { _, err := s.Cover(t.Context(), ask("hang", "file", file), nil); errs <- err }()
	until(t, "the call begins", func() bool { return exists(file) })
	if err := syscall.Kill(p.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	within(t, "a call of a frozen driver", func() { wantUnknown(t, <-errs) })
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
