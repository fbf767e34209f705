package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/semaphore"
)

// jump is a bastion, shared by all hosts behind it.
type jump struct {
	pool   *Pool
	config Config // with the way to it
	limits JumpLimits
	dials  *semaphore.Weighted

	mu    sync.Mutex
	ways  []*way
	freed chan struct{} // closed and renewed whenever a host leaves a way
}

// way is one connection to a bastion with the hosts behind it.
type way struct {
	host  *Host
	hosts int
}

// jump returns the shared last bastion of the chain, which must not be empty.
func (p *Pool) jump(chain []Config) *jump {
	last := chain[len(chain)-1]
	last.bastion = true
	if len(last.Jump) == 0 {
		last.Jump = chain[:len(chain)-1]
	}
	name := ""
	for i := range chain {
		c := &chain[i]
		name += fmt.Sprintf("%q@%q %q %q %q %t %t %q %q\n", c.User, c.endpoint(), c.Keys, c.Certificates, c.AgentSocket, c.Agent, c.IdentitiesOnly, c.KnownHosts, c.HostKeyAlias)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	j := p.jumps[name]
	if j == nil {
		limits := last.Bounds.withDefaults()
		j = &jump{pool: p, config: last, limits: limits, dials: semaphore.NewWeighted(int64(limits.Handshakes)), freed: make(chan struct{})}
		p.jumps[name] = j
	}
	return j
}

// enter finds room for one more host on a connection to the bastion. The
// caller gives it back with leave.
func (j *jump) enter(ctx context.Context) (*way, error) {
	for {
		j.mu.Lock()
		i := slices.IndexFunc(j.ways, func(w *way) bool { return w.hosts < j.limits.Channels })
		if i < 0 && len(j.ways) < j.limits.Connections {
			i = len(j.ways)
			j.ways = append(j.ways, &way{host: j.pool.Host(j.config)})
		}
		if i >= 0 {
			w := j.ways[i]
			w.hosts++
			j.mu.Unlock()
			return w, nil
		}
		freed := j.freed
		j.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, fmt.Errorf("bastion %s has %d connections with %d hosts on each, and none became free: %w", j.config.label(), j.limits.Connections, j.limits.Channels, ctx.Err())
		}
	}
}

func (j *jump) leave(w *way) {
	j.mu.Lock()
	defer j.mu.Unlock()
	w.hosts--
	close(j.freed)
	j.freed = make(chan struct{})
}

// dial opens a connection to the host from the bastion.
func (j *jump) dial(ctx context.Context, bastion *connection, c *Config) (net.Conn, error) {
	ctx, stop := context.WithTimeout(ctx, c.connectTimeout())
	defer stop()
	conn, err := bastion.client.DialContext(ctx, "tcp", c.endpoint())
	var refused *ssh.OpenChannelError
	switch {
	case err == nil:
		return conn, nil
	case errors.As(err, &refused) && refused.Reason == ssh.Prohibited:
		return nil, &Unreachable{c.label(), ReasonForwarding, fmt.Errorf(
			"bastion %s refuses to forward to %s: %w; in its sshd_config set AllowTcpForwarding to yes or local, DisableForwarding to no, and name %s in PermitOpen where that is set; a key with restrict in authorized_keys needs port-forwarding",
			j.config.label(), c.endpoint(), err, c.endpoint())}
	case errors.As(err, &refused) && refused.Message == "open failed":
		// That is what sshd says when it could not even try.
		return nil, &Unreachable{c.label(), ReasonUnspecified, fmt.Errorf(
			"bastion %s could not try to reach it and gives no reason: %w; see its log (journalctl -u ssh): if that says \"Too many open files\", raise LimitNOFILE there or lower channels in its bastion block (%d)",
			j.config.label(), err, j.limits.Channels)}
	case errors.As(err, &refused):
		return nil, &Unreachable{c.label(), channelReason(refused), fmt.Errorf("bastion %s cannot reach it: %w", j.config.label(), err)}
	}
	return nil, fmt.Errorf("by bastion %s: %w", j.config.label(), err)
}

// slots takes one of each semaphore, in their order, which must be the same
// for everybody. The caller calls release.
func slots(ctx context.Context, list ...*semaphore.Weighted) (release func(), err error) {
	taken := 0
	release = func() {
		for _, s := range list[:taken] {
			s.Release(1)
		}
	}
	for _, s := range list {
		if err := s.Acquire(ctx, 1); err != nil {
			release()
			return nil, err
		}
		taken++
	}
	return release, nil
}

// sites returns the bounds of the host, in one order for all hosts.
func (p *Pool) sites(c *Config) []*semaphore.Weighted {
	if len(c.Sites) == 0 {
		return nil
	}
	sorted := slices.Clone(c.Sites)
	slices.SortFunc(sorted, func(a, b Site) int { return strings.Compare(a.Name, b.Name) })
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*semaphore.Weighted
	for _, s := range sorted {
		sem := p.bounds[s.Name]
		if sem == nil {
			sem = semaphore.NewWeighted(int64(max(s.Parallel, 1)))
			p.bounds[s.Name] = sem
		}
		out = append(out, sem)
	}
	return out
}

// again reports whether an attempt is worth repeating, and after how long. A
// bastion that refuses may be restarting.
func (p *Pool) again(c *Config, reason string, try int) (time.Duration, bool) {
	tries := p.limits.Retries
	if c.bastion {
		tries *= 2
	}
	if try >= tries || reason != ReasonClosed && (!c.bastion || reason != ReasonRefused) {
		return 0, false
	}
	return jitter(min(200*time.Millisecond<<try, 5*time.Second)), true
}
