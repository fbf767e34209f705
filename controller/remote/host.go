package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Host is one host. It is safe for concurrent use.
type Host struct {
	pool     *Pool
	settling sync.Mutex
	config   Config

	mu      sync.Mutex
	conn    *connection
	pending *pending
	failed  error     // of a bastion: the last attempt's
	until   time.Time // failed counts until then
}

// pending is a connection attempt that others wait for.
type pending struct {
	done chan struct{}
	err  error
}

// Name returns the host's name for messages.
func (h *Host) Name() string {
	h.settling.Lock()
	defer h.settling.Unlock()
	return h.config.label()
}

// settle completes the configuration from the ssh_config, once. Whoever uses
// the configuration calls it first.
func (h *Host) settle(ctx context.Context) error {
	h.settling.Lock()
	defer h.settling.Unlock()
	if h.config.SSHConfig == "" {
		return nil
	}
	full, err := h.pool.complete(ctx, h.config)
	if err != nil {
		return fmt.Errorf("cannot connect to host %s: %w", h.config.label(), err)
	}
	h.config = full
	return nil
}

// connection returns the live connection, or makes one; concurrent callers
// share one attempt.
func (h *Host) connection(ctx context.Context) (*connection, error) {
	if err := h.settle(ctx); err != nil {
		return nil, err
	}
	for {
		h.mu.Lock()
		if h.conn != nil && h.conn.alive() {
			c := h.conn
			h.mu.Unlock()
			return c, nil
		}
		if a := h.pending; a != nil {
			h.mu.Unlock()
			select {
			case <-a.done:
			case <-ctx.Done():
				return nil, &Unreachable{h.config.label(), ReasonCancelled, ctx.Err()}
			}
			// An attempt that ended with its own caller says nothing.
			var u *Unreachable
			if a.err != nil && (!errors.As(a.err, &u) || u.Reason != ReasonCancelled) {
				return nil, a.err
			}
			continue
		}
		if h.failed != nil && time.Now().Before(h.until) {
			err := h.failed
			h.mu.Unlock()
			return nil, err
		}
		a := &pending{done: make(chan struct{})}
		h.pending = a
		h.mu.Unlock()

		c, err := h.pool.connect(ctx, &h.config)
		h.mu.Lock()
		h.pending, h.failed = nil, nil
		switch {
		case err == nil:
			h.conn = c
		case h.config.bastion && ctx.Err() == nil:
			h.failed, h.until = err, time.Now().Add(h.pool.limits.Rest)
		}
		h.mu.Unlock()
		a.err = err
		close(a.done)
		if h.pool.Reached != nil && ctx.Err() == nil {
			h.pool.Reached(h.config.label(), err)
		}
		return c, err
	}
}

// Disconnect ends the connection, if there is one. Commands in flight get
// OutcomeUnknown; detached runs go on. The next use connects again.
func (h *Host) Disconnect() error {
	h.mu.Lock()
	c := h.conn
	h.conn = nil
	h.mu.Unlock()
	if c != nil {
		c.close(errDisconnected)
	}
	return nil
}

// Dial connects to an address as the host sees it, through the host.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := h.connection(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := c.client.DialContext(ctx, network, address)
	if err != nil {
		return nil, throughError(h.config.label(), address, err)
	}
	return conn, nil
}

// connection is one SSH connection. Whatever ends it closes gone.
type connection struct {
	client   *ssh.Client
	sessions chan struct{} // a token per session
	gone     chan struct{}
	cause    error // valid after gone

	once     sync.Once
	mu       sync.Mutex
	active   int
	released chan struct{} // closed and renewed whenever a session ends
}

func newConnection(client *ssh.Client, sessions int) *connection {
	return &connection{
		client:   client,
		sessions: make(chan struct{}, sessions),
		gone:     make(chan struct{}),
		released: make(chan struct{}),
	}
}

func (c *connection) alive() bool {
	select {
	case <-c.gone:
		return false
	default:
		return true
	}
}

func (c *connection) close(cause error) {
	c.once.Do(func() {
		c.cause = cause
		close(c.gone)
		// Closing may block on a dead peer's full buffers.
		go c.client.Close()
	})
}

// watch closes the connection when it breaks or falls silent, and returns.
func (c *connection) watch(interval time.Duration, misses int) {
	go func() {
		err := c.client.Wait()
		if err == nil {
			err = errors.New("the connection ended")
		}
		c.close(err)
	}()
	if interval <= 0 {
		<-c.gone
		return
	}
	missed := 0
	timer := time.NewTimer(interval)
	defer timer.Stop()
	answer := make(chan error, 1)
	asking := false
	for {
		select {
		case <-c.gone:
			return
		case err := <-answer:
			asking, missed = false, 0
			if err != nil {
				c.close(err)
				return
			}
		case <-timer.C:
			timer.Reset(interval)
			if asking {
				if missed++; missed >= misses {
					c.close(errSilent)
					return
				}
				continue
			}
			asking = true
			go func() {
				_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
				answer <- err
			}()
		}
	}
}

var errSilent = errors.New("the host stopped answering (keepalive)")

// enter counts a session in; leave counts it out and wakes who waits.
func (c *connection) enter() {
	c.mu.Lock()
	c.active++
	c.mu.Unlock()
}

func (c *connection) leave() {
	c.mu.Lock()
	c.active--
	close(c.released)
	c.released = make(chan struct{})
	c.mu.Unlock()
}

func (c *connection) others() (int, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.active, c.released
}
