package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"golang.org/x/crypto/ssh"
)

// Run runs a command and returns its outcome, whatever its exit status. An
// error means that it did not run (NotStarted, SudoError, Unreachable,
// HostKeyError, AuthError), that its outcome is not known (OutcomeUnknown),
// or, with a valid result, that an output was cut (OutputTruncated).
func (h *Host) Run(ctx context.Context, c driver.Command) (driver.Result, error) {
	if c.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, c.Timeout)
		defer stop()
	}
	out, errs := &buffer{limit: h.pool.limits.Output}, &buffer{limit: h.pool.limits.Output}
	exit, err := h.stream(ctx, c, &streams{stdin: bytes.NewReader(c.Stdin), stdout: out, stderr: errs})
	result := driver.Result{Exit: exit, Stdout: out.bytes(), Stderr: errs.bytes()}
	if err != nil {
		return result, err
	}
	for _, s := range []struct {
		name string
		b    *buffer
	}{{"stdout", out}, {"stderr", errs}} {
		if s.b.cut() {
			return result, &OutputTruncated{h.config.label(), title(c.Argv), s.name, s.b.limit}
		}
	}
	return result, nil
}

// streams are the ends of a command. A nil stdin is empty.
type streams struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// stream runs a command with its outputs going to writers. Before the command
// is sent it is safe to try again on a new connection.
func (h *Host) stream(ctx context.Context, c driver.Command, s *streams) (int, error) {
	if err := h.settle(ctx); err != nil {
		return -1, err
	}
	w, err := h.config.compose(c)
	if err != nil {
		return -1, fmt.Errorf("host %s: %w", h.config.label(), err)
	}
	var password []byte
	if w.secret != nil {
		p, err := w.secret()
		if err != nil {
			return -1, fmt.Errorf("cannot get the sudo password for host %s: %w", h.config.label(), err)
		}
		password = append([]byte(p), '\n')
	}
	const tries = 3
	for try := 1; ; try++ {
		conn, err := h.connection(ctx)
		if err != nil {
			return -1, err
		}
		sess, leave, err := h.open(ctx, conn)
		if err == nil {
			x := &execution{host: h, wire: &w, password: password, streams: s, session: sess, conn: conn}
			exit, err := x.run(ctx)
			leave()
			return exit, err
		}
		if conn.alive() || ctx.Err() != nil || try == tries {
			return -1, err
		}
	}
}

// open opens a session within the connection's limit. A host that refuses
// further sessions is asked again when one ended.
func (h *Host) open(ctx context.Context, c *connection) (*ssh.Session, func(), error) {
	fail := func(reason string, err error) (*ssh.Session, func(), error) {
		return nil, nil, &Unreachable{h.config.label(), reason, err}
	}
	select {
	case c.sessions <- struct{}{}:
	case <-c.gone:
		return fail(ReasonBroken, c.cause)
	case <-ctx.Done():
		return fail(ReasonCancelled, ctx.Err())
	}
	const lonely = 20 // refusals while no other session is open
	for refused := 0; ; {
		active, released := c.others()
		sess, err := c.newSession(ctx)
		if err == nil {
			c.enter()
			return sess, func() { <-c.sessions; c.leave() }, nil
		}
		var rejected *ssh.OpenChannelError
		if !errors.As(err, &rejected) {
			<-c.sessions
			if ctx.Err() != nil {
				return fail(ReasonCancelled, ctx.Err())
			}
			c.close(err)
			return fail(ReasonBroken, err)
		}
		if active == 0 {
			if refused++; refused >= lonely {
				<-c.sessions
				return fail(ReasonNoSession, err)
			}
		}
		t := time.NewTimer(jitter(250 * time.Millisecond))
		select {
		case <-released:
		case <-t.C:
		case <-c.gone:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// newSession is client.NewSession that a context can leave.
func (c *connection) newSession(ctx context.Context) (*ssh.Session, error) {
	type opened struct {
		s   *ssh.Session
		err error
	}
	got := make(chan opened, 1)
	go func() {
		s, err := c.client.NewSession()
		got <- opened{s, err}
	}()
	var err error
	select {
	case o := <-got:
		return o.s, o.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.gone:
		err = c.cause
	}
	go func() {
		if o := <-got; o.err == nil {
			o.s.Close()
		}
	}()
	return nil, err
}

// execution is one command on one session.
type execution struct {
	host     *Host
	wire     *wire
	password []byte
	streams  *streams
	session  *ssh.Session
	conn     *connection

	started atomic.Bool // the host's shell accepted the command
	refused chan string // sudo's complaint before the command began
	ready   chan struct{}
	stderr  *peek
}

func (x *execution) run(ctx context.Context) (int, error) {
	x.stderr = &peek{to: x.streams.stderr}
	x.session.Stderr = x.stderr
	x.session.Stdout = x.streams.stdout
	x.refused, x.ready = make(chan string, 1), make(chan struct{})
	quiet := &peek{to: x.streams.stdout}
	if x.password != nil {
		x.session.Stdout = &gate{mark: x.wire.mark, to: quiet, ready: x.ready}
		x.stderr.complain = x.refused
	} else {
		x.session.Stdout = quiet
		close(x.ready)
	}
	ended := make(chan error, 1)
	go func() { ended <- x.converse() }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		x.leave()
		return -1, x.unknown(ctx.Err())
	case <-x.conn.gone:
		// What arrived before the connection ended may hold the status.
		select {
		case err = <-ended:
		case <-time.After(time.Second):
			return -1, x.unknown(x.conn.cause)
		}
	}
	return x.outcome(err, quiet.empty())
}

// leave ends the session from here. The command may go on: a root session
// ignores signals.
func (x *execution) leave() {
	go func() {
		x.session.Signal(ssh.SIGTERM)
		x.session.Close()
	}()
}

// converse sends the command and its stdin and waits for the end.
func (x *execution) converse() error {
	stdin, err := x.session.StdinPipe()
	if err != nil {
		return err
	}
	if err := x.session.Start(x.wire.line); err != nil {
		return err
	}
	x.started.Store(true)
	go func() {
		defer stdin.Close()
		if x.password != nil && !x.offerPassword(stdin) {
			return
		}
		if len(x.wire.head) > 0 {
			if _, err := stdin.Write(x.wire.head); err != nil {
				return
			}
		}
		if x.streams.stdin != nil {
			io.Copy(stdin, x.streams.stdin) // a command need not read it all
		}
	}()
	return x.session.Wait()
}

// offerPassword gives sudo the password, once: what follows must not be taken
// for further guesses, which could lock the account.
func (x *execution) offerPassword(stdin io.Writer) bool {
	const patience = time.Minute // a slow directory service, not a wrong password
	if _, err := stdin.Write(x.password); err != nil {
		return false
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-x.ready:
		return true
	case <-x.refused:
	case <-t.C:
	case <-x.conn.gone:
	}
	return false
}

func (x *execution) unknown(err error) error {
	return &OutcomeUnknown{x.host.config.label(), x.wire.title, err}
}

// outcome turns the end of a session into an exit status.
func (x *execution) outcome(err error, silent bool) (int, error) {
	var exit *ssh.ExitError
	code := 0
	switch {
	case err == nil:
	case errors.As(err, &exit):
		code = exitCode(exit)
	case x.started.Load() || !x.conn.alive() || broken(err):
		// The connection knows better why, if it ended as well.
		select {
		case <-x.conn.gone:
			err = x.conn.cause
		case <-time.After(100 * time.Millisecond):
		}
		return -1, x.unknown(err)
	default:
		return -1, &NotStarted{x.host.config.label(), x.wire.title, "the host's SSH daemon refuses commands: " + err.Error()}
	}
	if code != 0 && silent {
		if err := x.refusal(code); err != nil {
			return -1, err
		}
	}
	return code, nil
}

// exitCode is 128+n for signal n, as a shell would say.
func exitCode(e *ssh.ExitError) int {
	if e.Signal() == "" {
		return e.ExitStatus()
	}
	if n, ok := signals[e.Signal()]; ok {
		return 128 + n
	}
	return -1
}

var signals = map[string]int{
	"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9,
	"USR1": 10, "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "XCPU": 24, "XFSZ": 25, "SYS": 31,
}

// buffer keeps the first bytes of an output.
type buffer struct {
	mu      sync.Mutex
	b       []byte
	limit   int
	dropped bool
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	keep := min(len(p), b.limit-len(b.b))
	b.b = append(b.b, p[:keep]...)
	b.dropped = b.dropped || keep < len(p)
	return len(p), nil
}

func (b *buffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b[:len(b.b):len(b.b)]
}

func (b *buffer) cut() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}
