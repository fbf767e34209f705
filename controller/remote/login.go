package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// maxRounds bounds the connections of one login. A host closes one after
// MaxAuthTries refused keys, 6 by default; the next offers the keys left.
const maxRounds = 4

// askPatience is how long an agent may take until people are told of it.
const askPatience = 500 * time.Millisecond

// login is the way into one host.
type login struct {
	pool    *Pool
	c       *Config
	set     *keySet
	ids     []identity
	through *jump // nil without a bastion
	alone   bool  // it has the pool's touch
}

// errTouchTaken means that a key must be touched while another one waits for
// that: the login is begun again when it is its turn, before it costs the host
// a connection.
var errTouchTaken = errors.New("another login waits for the touch of a key")

// rounds dials and logs in, with as many connections as the host wants for
// the keys that there are.
func (l *login) rounds(ctx context.Context, dial func(context.Context) (net.Conn, error)) (*ssh.Client, error) {
	left := l.ids
	var before []string
	for round := 1; ; round++ {
		tcp, err := dial(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil, &Unreachable{l.c.label(), ReasonCancelled, ctx.Err()}
			}
			return nil, dialError(l.c.label(), err)
		}
		t := &attempt{login: l, before: before}
		client, err := t.handshake(ctx, tcp, left)
		if err == nil {
			return client, nil
		}
		var refused *AuthError
		rest := t.notAsked()
		if !errors.As(err, &refused) || len(rest) == 0 || len(rest) == len(left) || round == maxRounds {
			return nil, err
		}
		left, before = rest, refused.Tried
	}
}

// attempt is one SSH handshake.
type attempt struct {
	login  *login
	before []string // what earlier rounds tried
	offers []*offer
	clock  *time.Timer // ends the handshake; stopped while an agent thinks
	tcp    net.Conn
	ctx    context.Context

	mu      sync.Mutex
	refused error // by the agent
	taken   bool  // by errTouchTaken
}

// handshake establishes SSH within the deadline; closing the connection is
// the only way to interrupt it that works through bastions as well.
func (t *attempt) handshake(ctx context.Context, tcp net.Conn, ids []identity) (*ssh.Client, error) {
	c, check := t.login.c, &hostKeyCheck{ring: &t.login.pool.ring, set: t.login.set, c: t.login.c}
	t.ctx, t.tcp = ctx, tcp
	signers := make([]ssh.Signer, len(ids))
	for i, id := range ids {
		o := &offer{AlgorithmSigner: id.signer, identity: id, attempt: t}
		t.offers = append(t.offers, o)
		signers[i] = o
	}
	config := &ssh.ClientConfig{
		User:              c.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signers...)},
		HostKeyCallback:   check.callback,
		HostKeyAlgorithms: check.set.algorithms(c.keyEndpoint()),
		ClientVersion:     "SSH-2.0-ncfleet",
	}
	var late atomic.Bool
	t.clock = time.AfterFunc(c.handshakeTimeout(), func() { late.Store(true); tcp.Close() })
	stop := context.AfterFunc(ctx, func() { tcp.Close() })
	conn, channels, requests, err := ssh.NewClientConn(tcp, c.keyEndpoint(), config)
	inTime, notStopped := t.clock.Stop(), stop()
	if err == nil && inTime && notStopped {
		t.remember()
		return ssh.NewClient(conn, channels, requests), nil
	}
	tcp.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case check.err != nil:
		return nil, check.err
	case check.fail != nil:
		return nil, check.fail
	case ctx.Err() != nil:
		return nil, &Unreachable{c.label(), ReasonCancelled, ctx.Err()}
	case t.taken:
		return nil, errTouchTaken
	case t.refused != nil:
		return nil, &AuthError{c.label(), c.User, t.tried(), t.refused}
	case late.Load():
		return nil, &Unreachable{c.label(), ReasonStalled, fmt.Errorf("no SSH handshake within %s", c.handshakeTimeout())}
	}
	return nil, t.explain(err)
}

func (t *attempt) explain(err error) error {
	c := t.login.c
	var algorithms *ssh.AlgorithmNegotiationError
	switch {
	case errors.As(err, &algorithms):
		return &Unreachable{c.label(), ReasonAlgorithms, err}
	case strings.Contains(err.Error(), "unable to authenticate"), strings.Contains(err.Error(), "Too many authentication failures"):
		return &AuthError{c.label(), c.User, t.tried(), err}
	case broken(err):
		return &Unreachable{c.label(), ReasonClosed, err}
	default:
		return &Unreachable{c.label(), ReasonUnspecified, err}
	}
}

// tried names the keys that the host was asked about.
func (t *attempt) tried() []string {
	out := append([]string(nil), t.before...)
	for _, o := range t.offers {
		if o.asked.Load() {
			out = append(out, o.what)
		}
	}
	return out
}

// notAsked are the keys that the host heard nothing of.
func (t *attempt) notAsked() []identity {
	var out []identity
	for _, o := range t.offers {
		if !o.asked.Load() {
			out = append(out, o.identity)
		}
	}
	return out
}

// remember notes the key that the host took: other hosts are likely to.
func (t *attempt) remember() {
	for _, o := range t.offers {
		if o.signed.Load() {
			t.login.pool.chain.praise(o.signer)
		}
	}
}

// offer is a key on its way to one host.
type offer struct {
	ssh.AlgorithmSigner
	identity
	attempt *attempt
	asked   atomic.Bool
	signed  atomic.Bool
}

// PublicKey is asked for just before the key is offered.
func (o *offer) PublicKey() ssh.PublicKey {
	o.asked.Store(true)
	return o.AlgorithmSigner.PublicKey()
}

// Sign signs for a key that the host takes.
func (o *offer) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return o.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm signs for a key that the host takes. An agent gets time of
// its own for it: somebody may have to touch a security key.
func (o *offer) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	if !o.agent {
		s, err := o.AlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
		o.signed.Store(err == nil)
		return s, err
	}
	t := o.attempt
	l := t.login
	if o.touch && !l.alone {
		if !l.pool.touch.TryAcquire(1) {
			t.mu.Lock()
			t.taken = true
			t.mu.Unlock()
			return nil, errTouchTaken
		}
		defer l.pool.touch.Release(1)
	}
	if !t.clock.Stop() {
		return nil, errors.New("the handshake is over")
	}
	s, err := o.wait(func() (*ssh.Signature, error) { return o.AlgorithmSigner.SignWithAlgorithm(rand, data, algorithm) })
	if err != nil {
		err = fmt.Errorf("the SSH agent did not sign with %s: %w%s", o.what, err, o.remedy())
		t.mu.Lock()
		t.refused = err
		t.mu.Unlock()
		return nil, err
	}
	o.signed.Store(true)
	t.clock.Reset(l.c.handshakeTimeout())
	return s, nil
}

func (o *offer) remedy() string {
	if o.touch {
		return "; was the security key plugged in and touched?"
	}
	return "; was its use confirmed, if it was added with ssh-add -c?"
}

// wait waits for the agent within its limit, and tells people when that takes
// longer than a machine needs.
func (o *offer) wait(sign func() (*ssh.Signature, error)) (*ssh.Signature, error) {
	type answer struct {
		s   *ssh.Signature
		err error
	}
	got := make(chan answer, 1)
	go func() {
		s, err := sign()
		got <- answer{s, err}
	}()
	l := o.attempt.login
	quiet, end := time.NewTimer(askPatience), time.NewTimer(l.pool.limits.Agent)
	defer quiet.Stop()
	defer end.Stop()
	for {
		select {
		case a := <-got:
			return a.s, a.err
		case <-quiet.C:
			if tell := l.pool.Waiting; tell != nil {
				tell(l.c.label(), o.plea())
			}
		case <-o.attempt.ctx.Done():
			l.pool.chain.hangUp(l.c)
			return nil, o.attempt.ctx.Err()
		case <-end.C:
			l.pool.chain.hangUp(l.c)
			return nil, fmt.Errorf("no answer within %s", l.pool.limits.Agent)
		}
	}
}

func (o *offer) plea() string {
	if o.touch {
		return "waiting for a touch of the security key: " + o.what
	}
	return "waiting for the SSH agent to sign, confirm it there if it asks: " + o.what
}
