package drivers_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/drivers"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

// patience is the limit of everything that ought to happen at once.
const patience = 3 * time.Minute

// The test binary plays every part: the tests, the drivers and the controller
// that gets killed.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_CONTROLLER") != "" {
		controller()
	}
	if !rpc.Started() {
		os.Exit(m.Run())
	}
	if path := os.Getenv("COUNT_STARTS"); path != "" {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			fmt.Fprintln(f, os.Getpid())
			f.Close()
		}
	}
	switch os.Getenv("PLAY") {
	case "other version":
		fmt.Println("1|99|unix|/nowhere|grpc|")
		time.Sleep(patience)
	case "misfit packages":
		rpc.Serve(&misfitPackages{})
	case "packages":
		rpc.Serve(drivertest.FakePackages{})
	default:
		rpc.Serve(&misfit{FakeSnapshotter: drivertest.NewFakeSnapshotter(os.TempDir())})
	}
}

// misfit is a snapshotter that misbehaves on request: Cover does what the
// label "do" says.
type misfit struct {
	*drivertest.FakeSnapshotter
	config driver.Config
}

func (m *misfit) Info(context.Context) (driver.Info, error) {
	return driver.Info{Name: "misfit", Version: "0.9", Kind: driver.KindSnapshot, Schema: driver.Schema{Attributes: []driver.Attribute{
		{Name: "token", Type: "string", Secret: true, Help: "A secret."},
		{Name: "size", Type: "number", Help: "A number."},
	}}}, nil
}

func (m *misfit) Configure(_ context.Context, c driver.Config) error {
	m.config = c
	return nil
}

func (m *misfit) Cover(ctx context.Context, s driver.Subject, run driver.Runner) (driver.Coverage, error) {
	note, err := m.do(ctx, s, run)
	return driver.Coverage{Note: note}, err
}

func (m *misfit) do(ctx context.Context, s driver.Subject, run driver.Runner) (string, error) {
	switch do := s.Labels["do"]; do {
	case "nothing":
		return strconv.Itoa(os.Getpid()), nil
	case "environment":
		var names []string
		for _, e := range os.Environ() {
			name, _, _ := strings.Cut(e, "=")
			names = append(names, name)
		}
		sort.Strings(names)
		return strings.Join(names, " "), nil
	case "stdin":
		b, err := io.ReadAll(os.Stdin)
		return string(b), err
	case "panic":
		var none map[string]int
		none["x"] = 1
	case "exit":
		os.Exit(7)
	case "hang":
		touch(s.Labels["file"])
		select {}
	case "wait":
		touch(s.Labels["file"])
		<-ctx.Done()
		touch(s.Labels["file"] + ".cancelled")
		return "", ctx.Err()
	case "flood":
		return flood()
	case "secret":
		slog.Error("using token " + m.config["token"].(string))
		return "", driver.Errorf(driver.Auth, "the provider refuses %s", m.config["token"])
	case "quota":
		return "", fmt.Errorf("outer: %w", &driver.Error{Class: driver.Quota, Message: "no room", After: 90 * time.Second})
	case "config":
		return fmt.Sprint(m.config), nil
	case "run":
		r, err := run.Run(ctx, driver.Command{Argv: []string{"\xff odd", "b"}, Stdin: make([]byte, 5<<20), Env: map[string]string{"A": "1"}, Timeout: time.Minute})
		return fmt.Sprintf("%d %x %d", r.Exit, sha256.Sum256(r.Stdout), len(r.Stderr)), err
	case "late":
		go func() {
			time.Sleep(100 * time.Millisecond)
			_, err := run.Run(context.Background(), driver.Command{Argv: []string{"late"}})
			_ = os.WriteFile(s.Labels["file"], []byte(fmt.Sprint(err)), 0o600)
		}()
	case "leave a child":
		c := exec.Command("/bin/sleep", "300")
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: s.Labels["setsid"] != ""}
		c.Stdout, c.Stderr = os.NewFile(1, "stdout"), os.NewFile(2, "stderr")
		err := c.Start()
		return strconv.Itoa(c.Process.Pid), err
	default:
		if deed, ok := deeds[do]; ok {
			return deed(m, ctx, s, run)
		}
		return "", fmt.Errorf("unknown request %q", do)
	}
	return "", nil
}

func touch(path string) { _ = os.WriteFile(path, nil, 0o600) }

// flood writes to every stream that there is.
func flood() (string, error) {
	raw := bufio.NewWriter(os.NewFile(2, "stderr"))
	for i := range 50000 {
		fmt.Fprintf(raw, "raw line %d\n", i)
		if i%50 == 0 {
			fmt.Fprintf(os.Stderr, "stderr line %d\n", i)
			fmt.Fprintf(os.Stdout, "stdout line %d\n", i)
		}
	}
	fmt.Fprintln(raw, strings.Repeat("x", 3<<20))
	fmt.Fprint(os.NewFile(1, "stdout"), strings.Repeat("no newline ", 100000))
	return "", raw.Flush()
}

// controller starts a driver, tells its process number and waits to be killed.
func controller() {
	p, err := drivers.NewLauncher(drivers.Options{}).Launch(context.Background(), misfitSource(nil))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.PID())
	time.Sleep(patience)
	os.Exit(1)
}

func misfitSource(env map[string]string) drivers.Source {
	src, err := drivers.NewLauncher(drivers.Options{}).Builtin("misfit", driver.KindSnapshot)
	if err != nil {
		panic(err)
	}
	src.Env = env
	return src
}

func ask(do string, more ...string) driver.Subject {
	labels := map[string]string{"do": do}
	for i := 0; i+1 < len(more); i += 2 {
		labels[more[i]] = more[i+1]
	}
	return driver.Subject{Host: "h", Labels: labels}
}

func launch(t *testing.T, o drivers.Options, env map[string]string) (*drivers.Process, driver.Snapshotter) {
	t.Helper()
	p, err := drivers.NewLauncher(o).Launch(t.Context(), misfitSource(env))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	s, err := p.Snapshotter()
	if err != nil {
		t.Fatal(err)
	}
	return p, s
}

// within fails the test when f takes longer than patience.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s did not end within %s", what, patience)
	}
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// gone reports whether a process no longer runs; a zombie does not run.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(b), ") Z ")
}
