package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What a terminal is told around a live view; see package screen.
const (
	entersView = "\x1b[?1049h"
	leavesView = "\x1b[?7h\x1b[?25h\x1b[0m\x1b[?1049l"
)

// terminal is a pseudo-terminal with ncfleet on it, and what it was sent.
type terminal struct {
	*fleet
	master *os.File
	cmd    *exec.Cmd

	mu   sync.Mutex
	seen strings.Builder
	over chan struct{} // closed when nothing more can be read
}

// onTerminal starts ncfleet as the foreground process of a terminal of its own.
// Nobody reads what it shows before reads is called.
func (f *fleet) onTerminal(args ...string) *terminal {
	f.Helper()
	// Of one descriptor there is one file: whoever closes it twice closes another
	// test's socket.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		f.Skipf("no pseudo-terminals here: %v", err)
	}
	master := os.NewFile(uintptr(fd), "terminal")
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0),
		unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}))
	if err != nil {
		f.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		f.Fatal(err)
	}
	defer slave.Close()
	x := &terminal{fleet: f, cmd: exec.Command("ncfleet", append([]string{"-i", f.file}, args...)...), master: master, over: make(chan struct{})}
	x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = slave, slave, slave
	x.cmd.Env = append(os.Environ(), "TERM=xterm", "CI=", "NO_COLOR=1")
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := x.cmd.Start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { x.cmd.Process.Kill(); master.Close() })
	return x
}

// reads reads from now on what is shown.
func (x *terminal) reads() *terminal {
	go func() {
		defer close(x.over)
		b := make([]byte, 4096)
		for {
			n, err := x.master.Read(b)
			x.mu.Lock()
			x.seen.Write(b[:n])
			x.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return x
}

func (x *terminal) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.seen.String()
}

// sees waits until something was shown.
func (x *terminal) sees(want string) {
	x.Helper()
	for until := time.Now().Add(waitLimit); !strings.Contains(x.text(), want); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			x.Fatalf("%v never shows %q:\n%q", x.cmd.Args[1:], want, x.text())
		}
	}
}

// ends waits for the end and returns what stands on the terminal after the live
// view, which must have given it back.
func (x *terminal) ends(code int) string {
	x.Helper()
	timer := time.AfterFunc(waitLimit, func() { x.cmd.Process.Kill() })
	defer timer.Stop()
	x.cmd.Wait() // the exit code tells
	<-x.over
	if got := x.cmd.ProcessState.ExitCode(); got != code {
		x.Errorf("%v: exit %d, want %d\n%q", x.cmd.Args[1:], got, code, x.text())
	}
	parts := strings.Split(x.text(), leavesView)
	if len(parts) != 2 || strings.Count(parts[0], entersView) != 1 || strings.Contains(parts[1], "\x1b") {
		x.Errorf("%v does not give the terminal back once:\n%q", x.cmd.Args[1:], x.text())
	}
	return strings.ReplaceAll(parts[len(parts)-1], "\r\n", "\n")
}

// TestTerminals carries one rollout through four terminals: one interrupted by
// Ctrl-C, one that is closed in the middle, one that watches, and one
// that is stopped with Ctrl-S.
func TestTerminals(t *testing.T) {
	f := newFleet(t, 2)
	f.edit(f.file, `wave "everybody" { rest = true }`, "wave \"everybody\" {\n    rest = true\n    approve = true\n  }")
	x := f.onTerminal("apply", "--rollout", "monthly", "--yes").reads()
	x.sees("under way")
	if _, err := x.master.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	x.sees("! interrupted; ")
	if out := x.ends(exitHalted); !holds(out, "Rollout monthly is paused: ") || !holds(out, "the rollout is paused; go on with: ncfleet -i "+f.file+" resume ") {
		t.Errorf("after Ctrl-C the terminal says\n%s", out)
	}

	x = f.onTerminal("resume").reads()
	x.sees("WAITS FOR APPROVAL")
	if err := x.master.Close(); err != nil {
		t.Fatal(err)
	}
	watch := f.onTerminal("watch").reads()
	watch.sees("WAITS FOR APPROVAL")
	if x.cmd.ProcessState != nil || x.cmd.Process.Signal(syscall.Signal(0)) != nil {
		t.Error("the rollout went with its terminal")
	}
	f.want(exitOK, []string{"status"}, "controller     runs")
	f.want(exitOK, []string{"approve", "--wave", "everybody"}, "approved")
	x.cmd.Wait() // the exit code tells
	if code := x.cmd.ProcessState.ExitCode(); code != exitOK {
		t.Errorf("without its terminal the rollout exits with %d", code)
	}
	if out := watch.ends(exitOK); !holds(out, "Rollout monthly succeeded: 2 upgraded, 0 rolled back, 0 failed, 0 untouched") {
		t.Errorf("watch ends with\n%s", out)
	}

	f.onceOnly()
	x = f.onTerminal("rollback", "cloud-02", "--accept-loss")
	if _, err := x.master.WriteString("\x13"); err != nil { // Ctrl-S
		t.Fatal(err)
	}
	for until := time.Now().Add(waitLimit); ; time.Sleep(50 * time.Millisecond) {
		if _, out := f.run("status"); holds(out, "Rollout monthly succeeded: 1 upgraded, 1 rolled back") {
			break
		} else if time.Now().After(until) {
			t.Fatalf("a stopped terminal holds the rollout up:\n%s", out)
		}
	}
	if _, err := x.reads().master.WriteString("\x11"); err != nil { // Ctrl-Q
		t.Fatal(err)
	}
	if x.cmd.Wait(); x.cmd.ProcessState.ExitCode() != exitOK {
		t.Errorf("on a stopped terminal the rollout exits with %d", x.cmd.ProcessState.ExitCode())
	}
}
