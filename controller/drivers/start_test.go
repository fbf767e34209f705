package drivers_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/drivers"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

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
		"another version":  {other, "it speaks version 99 of the driver protocol and this ncfleet version 1; install a newer ncfleet"},
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

func TestHandshakeVariablesCannotBeSet(t *testing.T) {
	for _, name := range []string{"PLUGIN_CLIENT_CERT", "NCFLEET_DRIVER_LIFELINE"} {
		_, err := drivers.NewLauncher(drivers.Options{}).Launch(t.Context(), misfitSource(map[string]string{name: "x"}))
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a source that sets %s: error %v", name, err)
		}
	}
}

func TestDriverDiesWithAKilledController(t *testing.T) {
	temp, err := os.MkdirTemp("/tmp", "nc")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temp)
	c := exec.Command(self(t))
	c.Env = []string{"TEST_CONTROLLER=1", "TMPDIR=" + temp}
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
