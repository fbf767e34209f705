package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ownNamespaces lets a command run in new mount, network and host name
// namespaces and in a session of its own. Go makes its mounts private.
func ownNamespaces(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:       true,
		Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS,
	}
}

// endWithParent ends a command when the thread that started it ends: the
// caller must have locked its goroutine to its thread.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// lock holds a file for one process at a time.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the cache: %w", err)
	}
	err = poll(ctx, buildLimit, "the end of another build (it holds "+path+")", func() bool {
		return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Dial connects from inside the lab's network. The address must hold an IP
// address: nothing resolves names there.
func (l *Lab) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	p, err := l.holderProcess()
	if err != nil {
		return nil, err
	}
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", p.PID))
	if err != nil {
		return nil, fmt.Errorf("cannot enter the lab's network: %w", err)
	}
	defer there.Close()
	// The socket belongs to the namespace of the thread that makes it. A
	// thread that cannot return is not unlocked, so it ends with its goroutine.
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		here, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		if err != nil {
			done <- result{nil, err}
			return
		}
		defer here.Close()
		if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{nil, fmt.Errorf("cannot enter the lab's network: %w", err)}
			return
		}
		d := net.Dialer{Timeout: 10 * time.Second}
		conn, err := d.DialContext(ctx, network, address)
		if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back == nil {
			runtime.UnlockOSThread()
		}
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// Replace turns this process into a command.
func Replace(line []string) error {
	path, err := exec.LookPath(line[0])
	if err != nil {
		return err
	}
	return errors.Join(errors.New("cannot run "+path), syscall.Exec(path, line, os.Environ()))
}
