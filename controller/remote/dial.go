package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/semaphore"
)

// connect makes a connection, with bounded retries where the host closed it
// before SSH was established.
func (p *Pool) connect(ctx context.Context, c *Config) (*connection, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if p.isClosed() {
		return nil, &Unreachable{c.label(), ReasonClosedPool, errPoolClosed}
	}
	set, err := p.ring.set(c)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to host %s: %w", c.label(), err)
	}
	ids, err := p.chain.identities(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to host %s: %w", c.label(), err)
	}
	l := &login{pool: p, c: c, set: set, ids: ids, alone: len(ids) > 0 && ids[0].touch}
	if len(c.Jump) > 0 {
		l.through = p.jump(c.Jump)
	}
	for try := 0; ; {
		conn, err := p.connectOnce(ctx, l)
		if errors.Is(err, errTouchTaken) {
			l.alone = true
			continue
		}
		var u *Unreachable
		if err == nil || !errors.As(err, &u) || u.Host != c.label() {
			return conn, err
		}
		wait, ok := p.again(c, u.Reason, try)
		if !ok || pause(ctx, wait) != nil {
			return nil, err
		}
		try++
	}
}

// connectOnce makes one attempt. The bastion's own connection is made before
// any slot is taken, so that chains cannot wait for each other.
func (p *Pool) connectOnce(ctx context.Context, l *login) (*connection, error) {
	c := l.c
	dial := func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{Timeout: c.connectTimeout()}).DialContext(ctx, "tcp", c.endpoint())
	}
	wanted := append([]*semaphore.Weighted(nil), p.sites(c)...)
	if l.alone {
		wanted = append([]*semaphore.Weighted{p.touch}, wanted...)
	}
	left := func() {}
	if j := l.through; j != nil {
		w, err := j.enter(ctx)
		if err != nil {
			return nil, &Unreachable{c.label(), ReasonCancelled, err}
		}
		left = func() { j.leave(w) }
		bastion, err := w.host.connection(ctx)
		if err != nil {
			left()
			return nil, fmt.Errorf("cannot reach host %s through its bastion: %w", c.label(), err)
		}
		dial = func(ctx context.Context) (net.Conn, error) { return j.dial(ctx, bastion, c) }
		wanted = append(wanted, j.dials)
	}
	release, err := slots(ctx, append(wanted, p.dials)...)
	if err != nil {
		left()
		return nil, &Unreachable{c.label(), ReasonCancelled, err}
	}
	client, err := l.rounds(ctx, dial)
	release()
	if err != nil {
		left()
		return nil, err
	}
	conn := newConnection(client, c.maxSessions())
	if !p.add(conn) {
		conn.close(errPoolClosed)
		left()
		return nil, &Unreachable{c.label(), ReasonClosedPool, errPoolClosed}
	}
	go func() {
		conn.watch(c.keepalive(), positive(c.KeepaliveMisses, 2))
		p.remove(conn)
		left()
	}()
	return conn, nil
}

// broken reports whether the error is that of a lost connection, in which a
// channel was being opened perhaps.
func broken(err error) bool {
	return strings.Contains(err.Error(), "unexpected packet in response to channel open") || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || strings.Contains(err.Error(), "EOF")
}

func dialError(label string, err error) error {
	var known *Unreachable
	if errors.As(err, &known) {
		return known
	}
	var name *net.DNSError
	var network net.Error
	reason := ReasonUnspecified
	switch {
	case errors.As(err, &name):
		reason = ReasonName
	case errors.Is(err, syscall.ECONNREFUSED):
		reason = ReasonRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		reason = ReasonNoRoute
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		reason = ReasonTimeout
	case broken(err):
		reason = ReasonClosed
	}
	return &Unreachable{label, reason, err}
}

func channelReason(e *ssh.OpenChannelError) string {
	text := strings.ToLower(e.Message)
	switch {
	case e.Reason == ssh.Prohibited:
		return ReasonForwarding
	case strings.Contains(text, "refused"):
		return ReasonRefused
	case strings.Contains(text, "timed out"):
		return ReasonTimeout
	case strings.Contains(text, "resolve"), strings.Contains(text, "name or service"):
		return ReasonName
	case strings.Contains(text, "route"), strings.Contains(text, "unreachable"):
		return ReasonNoRoute
	default:
		return ReasonUnspecified
	}
}

func throughError(label, address string, err error) error {
	var channel *ssh.OpenChannelError
	if !errors.As(err, &channel) {
		return fmt.Errorf("cannot connect to %s through host %s: %w", address, label, err)
	}
	hint := ""
	if channel.Reason == ssh.Prohibited {
		hint = "; set AllowTcpForwarding yes in the sshd_config of the host"
	}
	return fmt.Errorf("cannot connect to %s through host %s: %w%s", address, label, err, hint)
}

// jitter returns half to one and a half of d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d)
}

// pause waits; it returns the context's error when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
