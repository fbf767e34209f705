package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
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
	ids, err := p.chain.identities(c)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to host %s: %w", c.label(), err)
	}
	var through *jump
	if len(c.Jump) > 0 {
		through = p.jump(c.Jump)
	}
	for try := 0; ; try++ {
		conn, err := p.connectOnce(ctx, c, set, ids, through)
		var u *Unreachable
		if err == nil || !errors.As(err, &u) || u.Reason != ReasonClosed || u.Host != c.label() || try >= p.limits.Retries {
			return conn, err
		}
		if pause(ctx, jitter(200*time.Millisecond<<try)) != nil {
			return nil, err
		}
	}
}

func (p *Pool) connectOnce(ctx context.Context, c *Config, set *keySet, ids []identity, through *jump) (*connection, error) {
	cancelled := func(err error) error { return &Unreachable{c.label(), ReasonCancelled, err} }
	dial := (&net.Dialer{Timeout: c.connectTimeout()}).DialContext
	if through != nil {
		// The jump host's own connection is made before any slot is taken, so
		// that chains cannot wait for each other.
		bastion, err := through.host.connection(ctx)
		if err != nil {
			return nil, fmt.Errorf("cannot reach host %s: %w", c.label(), err)
		}
		dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, stop := context.WithTimeout(ctx, c.connectTimeout())
			defer stop()
			return bastion.client.DialContext(ctx, network, address)
		}
	}
	slots := []*semaphore.Weighted{p.dials}
	if through != nil {
		slots = []*semaphore.Weighted{through.dials, p.dials}
	}
	for _, s := range slots {
		if err := s.Acquire(ctx, 1); err != nil {
			return nil, cancelled(err)
		}
		defer s.Release(1)
	}
	tcp, err := dial(ctx, "tcp", c.endpoint())
	if err != nil {
		if ctx.Err() != nil {
			return nil, cancelled(ctx.Err())
		}
		return nil, dialError(c.label(), err)
	}
	client, err := handshake(ctx, c, tcp, &hostKeyCheck{ring: &p.ring, set: set, c: c}, ids)
	if err != nil {
		return nil, err
	}
	conn := newConnection(client, c.maxSessions())
	if !p.add(conn) {
		conn.close(errPoolClosed)
		return nil, &Unreachable{c.label(), ReasonClosedPool, errPoolClosed}
	}
	go func() {
		conn.watch(c.keepalive(), positive(c.KeepaliveMisses, 2))
		p.remove(conn)
	}()
	return conn, nil
}

// handshake establishes SSH within the deadline; closing the connection is
// the only way to interrupt it that works through jump hosts as well.
func handshake(ctx context.Context, c *Config, tcp net.Conn, check *hostKeyCheck, ids []identity) (*ssh.Client, error) {
	signers := make([]ssh.Signer, len(ids))
	tried := make([]string, len(ids))
	for i, id := range ids {
		signers[i], tried[i] = id.signer, id.what
	}
	config := &ssh.ClientConfig{
		User:              c.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signers...)},
		HostKeyCallback:   check.callback,
		HostKeyAlgorithms: check.set.algorithms(c.endpoint()),
		ClientVersion:     "SSH-2.0-ncfleet",
	}
	var late atomic.Bool
	timer := time.AfterFunc(c.handshakeTimeout(), func() { late.Store(true); tcp.Close() })
	stop := context.AfterFunc(ctx, func() { tcp.Close() })
	conn, channels, requests, err := ssh.NewClientConn(tcp, c.endpoint(), config)
	inTime, notStopped := timer.Stop(), stop()
	if err == nil && inTime && notStopped {
		return ssh.NewClient(conn, channels, requests), nil
	}
	tcp.Close()
	switch {
	case check.err != nil:
		return nil, check.err
	case check.fail != nil:
		return nil, check.fail
	case ctx.Err() != nil:
		return nil, &Unreachable{c.label(), ReasonCancelled, ctx.Err()}
	case late.Load():
		return nil, &Unreachable{c.label(), ReasonStalled, fmt.Errorf("no SSH handshake within %s", c.handshakeTimeout())}
	}
	return nil, handshakeError(c, tried, err)
}

func handshakeError(c *Config, tried []string, err error) error {
	var algorithms *ssh.AlgorithmNegotiationError
	switch {
	case errors.As(err, &algorithms):
		return &Unreachable{c.label(), ReasonAlgorithms, err}
	case strings.Contains(err.Error(), "unable to authenticate"):
		return &AuthError{c.label(), c.User, tried, err}
	case broken(err):
		return &Unreachable{c.label(), ReasonClosed, err}
	default:
		return &Unreachable{c.label(), ReasonUnspecified, err}
	}
}

// broken reports whether the error is that of a lost connection.
func broken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || strings.Contains(err.Error(), "EOF")
}

func dialError(label string, err error) error {
	var channel *ssh.OpenChannelError
	if errors.As(err, &channel) {
		return &Unreachable{label, channelReason(channel), fmt.Errorf("the jump host cannot reach it: %w", err)}
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
