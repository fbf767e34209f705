package remote

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Pool is what hosts share. It is safe for concurrent use.
type Pool struct {
	// Reached is told after each attempt to connect to a host, with the error
	// that it ended with, unless its caller gave it up. It may be nil, is set before the first use, may be
	// called by several goroutines at once and must return soon.
	Reached func(host string, err error)

	limits Limits
	ring   keyring
	chain  keychain
	dials  *semaphore.Weighted

	mu     sync.Mutex
	closed bool
	open   map[*connection]struct{}
	jumps  map[string]*jump
}

// jump is a jump host, shared by all hosts behind it.
type jump struct {
	host  *Host
	dials *semaphore.Weighted
}

// NewPool returns an empty pool.
func NewPool(l Limits) *Pool {
	l = l.withDefaults()
	return &Pool{
		limits: l,
		dials:  semaphore.NewWeighted(int64(l.Dials)),
		open:   map[*connection]struct{}{},
		jumps:  map[string]*jump{},
	}
}

// Host returns a host that connects at its first use. Every call returns a
// host with a connection of its own; jump hosts are shared.
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

// jump returns the shared last host of the chain, which must not be empty.
func (p *Pool) jump(chain []Config) *jump {
	last := chain[len(chain)-1]
	if len(last.Jump) == 0 {
		last.Jump = chain[:len(chain)-1]
	}
	name := ""
	for i := range chain {
		name += fmt.Sprintf("%q@%q %v %v\n", chain[i].User, chain[i].endpoint(), chain[i].Keys, chain[i].Certificates)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	j := p.jumps[name]
	if j == nil {
		j = &jump{host: p.Host(last), dials: semaphore.NewWeighted(int64(p.limits.PerJump))}
		p.jumps[name] = j
	}
	return j
}
