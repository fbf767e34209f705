//go:build unix

package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// drainFor is how long the output of an ended driver may take to arrive. It
// only matters when a child that left the process group keeps it open.
const drainFor = time.Second

// maxHandshake bounds the line by which a driver says where it listens.
const maxHandshake = 16 << 10

// child is one driver process with a process group of its own. It replaces
// go-plugin's runner, which would hand the driver our standard input, kill the
// leader only, and wait for ever for a pipe that a grandchild holds open.
type child struct {
	cmd            *exec.Cmd
	maxMemory      uint64
	stdout, stderr *outlet
	ours           []*os.File    // our ends, closed when the process has ended
	exited         chan struct{} // closed then, and when it could not be started
	exit           string        // how it ended, valid after exited; "" when it never ran

	mu       sync.Mutex
	reaped   bool
	unwanted bool // killed, perhaps before its start
}

func (c *child) ended() bool {
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}

// newChild prepares the process; it does not run yet.
func newChild(o Options, env []string, words *said) (*child, error) {
	files, err := pipes(3)
	if err != nil {
		return nil, fmt.Errorf("cannot make the driver's pipes: %w", err)
	}
	life, out, errs := files[0], files[1], files[2]
	cmd := &exec.Cmd{
		Path: o.Path, Args: append([]string{o.shown()}, o.Args...), Dir: "/",
		Env:    append(append(env, o.env()...), lifelineKey+"=3"),
		Stdout: out[1], Stderr: errs[1],
		ExtraFiles:  []*os.File{life[0]},
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	return &child{
		cmd: cmd, maxMemory: o.MaxMemory,
		stdout: &outlet{from: out[0], to: words.stream(), lines: 1, drained: make(chan struct{})},
		stderr: &outlet{from: errs[0], to: words.stream(), drained: make(chan struct{})},
		ours:   []*os.File{life[1], out[0], errs[0]},
		exited: make(chan struct{}),
	}, nil
}

func pipes(n int) (all [][2]*os.File, err error) {
	for range n {
		r, w, err := os.Pipe()
		if err != nil {
			for _, p := range all {
				_, _ = p[0].Close(), p[1].Close()
			}
			return nil, err
		}
		all = append(all, [2]*os.File{r, w})
	}
	return all, nil
}

// Start starts the process. ctx bounds the start only.
func (c *child) Start(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := errors.New("given up before it began")
	if !c.unwanted {
		err = c.cmd.Start()
	}
	for _, f := range []any{c.cmd.Stdout, c.cmd.Stderr, c.cmd.ExtraFiles[0]} {
		_ = f.(*os.File).Close()
	}
	if err != nil {
		for _, f := range c.ours {
			_ = f.Close()
		}
		c.stdout.finish() // nobody will read them
		c.stderr.finish()
		close(c.exited)
		return err
	}
	confine(c.cmd.Process.Pid, c.maxMemory)
	go c.reap()
	return nil
}

func (c *child) reap() {
	state, err := c.cmd.Process.Wait()
	c.mu.Lock()
	c.reaped = true
	// Whatever the driver left behind in its group ends with it. The group's
	// number stays taken for as long as a member of it lives.
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	c.mu.Unlock()
	c.exit = "for an unknown reason"
	if err == nil {
		c.exit = "with " + state.String()
	}
	close(c.exited)
	c.drain()
	for _, f := range c.ours {
		_ = f.Close()
	}
}

// drain waits until everything the driver wrote has been read, or drainFor.
func (c *child) drain() {
	limit := time.After(drainFor)
	for _, o := range []*outlet{c.stdout, c.stderr} {
		select {
		case <-o.drained:
		case <-limit:
			return
		}
	}
}

// kill ends the whole group at once. It is safe at any time.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unwanted = true
	if c.cmd.Process != nil && !c.reaped {
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	}
}

// The rest is what go-plugin asks of a runner.

func (c *child) Wait(context.Context) error {
	<-c.exited
	return nil
}

func (c *child) Kill(context.Context) error {
	c.kill()
	return nil
}

func (c *child) Diagnose(context.Context) string { return "" }
func (c *child) Stdout() io.ReadCloser           { return c.stdout }
func (c *child) Stderr() io.ReadCloser           { return c.stderr }
func (c *child) Name() string                    { return c.cmd.Path }

func (c *child) ID() string {
	if c.cmd.Process == nil {
		return ""
	}
	return strconv.Itoa(c.cmd.Process.Pid)
}

func (c *child) PluginToHost(network, addr string) (string, string, error) {
	return network, addr, nil
}

func (c *child) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}

// outlet hands go-plugin the first lines (the handshake) and everything after
// them to a writer, so that no reader of go-plugin's can stall or choke.
type outlet struct {
	from  *os.File
	to    *lineWriter
	lines int    // still go-plugin's
	first []byte // what go-plugin got

	drained chan struct{} // closed at the end of the stream
	end     sync.Once
}

// finish flushes an unended line and marks the stream as read.
func (o *outlet) finish() {
	o.end.Do(func() {
		o.to.end()
		close(o.drained)
	})
}

func (o *outlet) Read(p []byte) (int, error) {
	if o.lines > 0 {
		n, err := o.from.Read(p[:1]) // to the newline and not a byte further
		o.first = append(o.first, p[:n]...)
		if n == 1 && p[0] == '\n' {
			o.lines--
		}
		if len(o.first) > maxHandshake {
			o.lines = 0
			_, _ = o.to.Write(o.first)
		}
		if err != nil {
			o.finish()
		}
		return n, eof(err)
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := o.from.Read(buf)
		_, _ = o.to.Write(buf[:n])
		if err != nil {
			o.finish()
			return 0, eof(err)
		}
	}
}

// eof takes any end of the pipe, ours or the process's, for the end of file.
func eof(err error) error {
	if err != nil {
		return io.EOF
	}
	return nil
}

func (o *outlet) Close() error { return nil } // reap closes
