package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a process that this lab started. Its start time tells it from
// another one that was given the same number later.
type process struct {
	PID   int
	Began string
}

// processOf reads the start time of a running process.
func processOf(pid int) (process, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	// The name stands in brackets and may hold anything; fields are counted
	// from behind it: the state comes first, the start time is field 22.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 20 {
		return process{}, fmt.Errorf("cannot read /proc/%d/stat", pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return process{}, fmt.Errorf("process %d has ended", pid)
	}
	return process{PID: pid, Began: fields[19]}, nil
}

// alive reports whether it still runs.
func (p process) alive() bool {
	if p.PID <= 1 {
		return false
	}
	now, err := processOf(p.PID)
	return err == nil && now.Began == p.Began
}

// holderProcess returns the holder, or an error that says that it is gone.
func (l *Lab) holderProcess() (process, error) {
	data, err := os.ReadFile(l.run("holder"))
	if err != nil {
		if _, err := l.load(); err != nil {
			return process{}, err
		}
		return process{}, l.holderGone()
	}
	var p process
	if _, err := fmt.Sscan(string(data), &p.PID, &p.Began); err != nil || !p.alive() {
		return process{}, l.holderGone()
	}
	return p, nil
}

func (l *Lab) holderGone() error {
	return fmt.Errorf("the lab in %s is not running any more: its holder has ended (%s may say why); remove it with: ncfleet-lab down%s",
		l.dir, l.run("holder.log"), l.flags())
}

// poll calls ready until it is true. The error names what did not come.
func poll(ctx context.Context, limit time.Duration, what string, ready func() bool) error {
	deadline := time.Now().Add(limit)
	for !ready() {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not come within %s", what, limit)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// tool runs a program of this machine and returns its output.
func tool(ctx context.Context, name string, args ...string) (string, error) {
	return feed(ctx, "", name, args...)
}

// feed runs a program of this machine with text on its standard input, which
// is where secrets go.
func feed(ctx context.Context, stdin, name string, args ...string) (string, error) {
	// The kernel ties a program's end to the end of the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	endWithParent(cmd)
	// What the program started ends with it when ctx ends: it leads a session.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	var out, errs tail
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w%s", filepath.Base(name), err, after(errs.String(), out.String()))
	}
	return out.String(), nil
}

// after is what a failed program said, for the end of an error.
func after(texts ...string) string {
	for _, t := range texts {
		if t = strings.TrimSpace(t); t != "" {
			lines := strings.Split(t, "\n")
			return ": " + strings.Join(lines[max(0, len(lines)-8):], "\n    ")
		}
	}
	return ""
}

// tail keeps the last 64 KiB that are written to it.
type tail struct{ data []byte }

func (t *tail) Write(p []byte) (int, error) {
	const limit = 64 << 10
	t.data = append(t.data, p...)
	if len(t.data) > 2*limit {
		t.data = append([]byte(nil), t.data[len(t.data)-limit:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.data) }

// Exec runs a command in the host as root, in all its namespaces: it needs no
// network. The error of a command that ended with another code than 0 is an
// *exec.ExitError.
func (h *Host) Exec(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, argv ...string) error {
	line, err := h.enter(argv...)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.WaitDelay = 2 * time.Second
	return cmd.Run()
}

// Output runs a command in the host as root and returns what it wrote to
// standard output; what it wrote to standard error is part of the error.
func (h *Host) Output(ctx context.Context, argv ...string) (string, error) {
	return h.feed(ctx, "", argv...)
}

func (h *Host) feed(ctx context.Context, stdin string, argv ...string) (string, error) {
	line, err := h.enter(argv...)
	if err != nil {
		return "", err
	}
	out, err := feed(ctx, stdin, line[0], line[1:]...)
	if err != nil {
		return "", fmt.Errorf("%s on %s: %w", argv[0], h.Name, err)
	}
	return out, nil
}

// enter is the command line that runs argv in the host.
func (h *Host) enter(argv ...string) ([]string, error) {
	p, err := h.power()
	if err != nil {
		return nil, err
	}
	if !p.Init.alive() {
		return nil, fmt.Errorf("%s is down; switch it on with: ncfleet-lab reboot %s%s", h.Name, h.Name, h.lab.flags())
	}
	return append([]string{"nsenter", "-t", strconv.Itoa(p.Init.PID), "-m", "-u", "-i", "-n", "-p", "-r", "--",
		"env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8",
		"TERM=" + term(), "sh", "-c", `cd / && exec "$@"`, "sh"}, argv...), nil
}

func term() string {
	if t := os.Getenv("TERM"); t != "" {
		return t
	}
	return "dumb"
}

// Inside is the command line that runs argv of this machine in the lab's
// network, with the caller's own files and rights.
func (l *Lab) Inside(argv ...string) ([]string, error) {
	p, err := l.holderProcess()
	if err != nil {
		return nil, err
	}
	return append([]string{"nsenter", "-t", strconv.Itoa(p.PID), "-n", "--"}, argv...), nil
}

// Code is the exit code of a command that ran and failed; ok is false for
// other errors.
func Code(err error) (code int, ok bool) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, false
	}
	return exit.ExitCode(), true
}
