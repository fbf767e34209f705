package remote

import (
	"errors"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/ncfleet/ncfleet/inventory/sshconfig"
)

// Pool is what hosts share. It is safe for concurrent use.
type Pool struct {
	// Reached is told after each attempt to connect to a host, with the error
	// that it ended with, unless its caller gave it up. It may be nil, is set before the first use, may be
	// called by several goroutines at once and must return soon.
	Reached func(host string, err error)

	// Waiting is told when an agent keeps a host's login waiting: which host, and
	// what a person may have to do. It may be nil; the rest is as with Reached.
	Waiting func(host, what string)

	limits Limits
	ring   keyring
	chain  keychain
	asker  sshconfig.Asker
	dials  *semaphore.Weighted
	touch  *semaphore.Weighted // one person touches one security key at a time

	mu     sync.Mutex
	closed bool
	open   map[*connection]struct{}
	jumps  map[string]*jump
	bounds map[string]*semaphore.Weighted // by site
}

// NewPool returns an empty pool.
func NewPool(l Limits) *Pool {
	l = l.withDefaults()
	return &Pool{
		limits: l,
		chain:  keychain{patience: l.Agent},
		dials:  semaphore.NewWeighted(int64(l.Dials)),
		touch:  semaphore.NewWeighted(1),
		open:   map[*connection]struct{}{},
		jumps:  map[string]*jump{},
		bounds: map[string]*semaphore.Weighted{},
	}
}

// Host returns a host that connects at its first use. Every call returns a
// host with a connection of its own; bastions are shared.
func (p *Pool) Host(c Config) *Host {
	return &Host{pool: p, config: c}
}

// Close ends all connections. Hosts of a closed pool fail.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	open := p.open
	p.open = map[*connection]struct{}{}
	p.mu.Unlock()
	for c := range open {
		c.close(errPoolClosed)
	}
	p.chain.close()
	return nil
}

var (
	errPoolClosed   = errors.New("the pool is closed")
	errDisconnected = errors.New("disconnected by this program")
)

// add registers a connection; false when the pool is closed meanwhile.
func (p *Pool) add(c *connection) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.open[c] = struct{}{}
	return true
}

func (p *Pool) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

func (p *Pool) remove(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}
