package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentConn is the one connection to an agent; the client on it is safe for
// concurrent use.
type agentConn struct {
	conn   net.Conn
	client agent.ExtendedAgent
}

func agentSocket(socket string) string {
	if socket == "" {
		return os.Getenv("SSH_AUTH_SOCK")
	}
	return socket
}

// fromAgent lists the agent's keys.
func (k *keychain) fromAgent(ctx context.Context, socket string) ([]identity, error) {
	if socket = agentSocket(socket); socket == "" {
		return nil, errors.New("cannot use the SSH agent: SSH_AUTH_SOCK is not set; start one with `eval $(ssh-agent)` and ssh-add, or set keys")
	}
	// A restarted agent breaks the first attempt only.
	for attempt := 0; ; attempt++ {
		a, err := k.agent(socket)
		if err != nil {
			return nil, fmt.Errorf("cannot use the SSH agent: %w; start one with `eval $(ssh-agent)` and ssh-add, or set keys", err)
		}
		signers, err := k.list(ctx, a)
		if err != nil {
			k.dropAgent(socket, a)
			if attempt == 0 && ctx.Err() == nil {
				continue
			}
			return nil, fmt.Errorf("cannot list the keys of the SSH agent at %s: %w", socket, err)
		}
		ids := make([]identity, 0, len(signers))
		for _, s := range signers {
			if a, ok := s.(ssh.AlgorithmSigner); ok {
				key := s.PublicKey()
				ids = append(ids, identity{signer: a, what: "agent key " + describeKey(key), agent: true, touch: isTouchKey(key)})
			}
		}
		return ids, nil
	}
}

// list bounds the wait for an agent, which answers nobody while a security key
// waits for its touch.
func (k *keychain) list(ctx context.Context, a *agentConn) ([]ssh.Signer, error) {
	type answer struct {
		signers []ssh.Signer
		err     error
	}
	got := make(chan answer, 1)
	go func() {
		s, err := a.client.Signers()
		got <- answer{s, err}
	}()
	end := time.NewTimer(2 * k.patience)
	defer end.Stop()
	select {
	case l := <-got:
		return l.signers, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-end.C:
		return nil, fmt.Errorf("no answer within %s", 2*k.patience)
	}
}

func (k *keychain) agent(socket string) (*agentConn, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a := k.agents[socket]; a != nil {
		return a, nil
	}
	conn, err := net.DialTimeout("unix", socket, 5*time.Second)
	if err != nil {
		return nil, err
	}
	if k.agents == nil {
		k.agents = map[string]*agentConn{}
	}
	a := &agentConn{conn, agent.NewClient(conn)}
	k.agents[socket] = a
	return a, nil
}

func (k *keychain) dropAgent(socket string, a *agentConn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.agents[socket] == a {
		delete(k.agents, socket)
	}
	a.conn.Close()
}

// hangUp ends the connection to the agent of a host, and with it what an
// unanswered request keeps waiting.
func (k *keychain) hangUp(c *Config) {
	socket := agentSocket(c.AgentSocket)
	k.mu.Lock()
	a := k.agents[socket]
	k.mu.Unlock()
	if a != nil {
		k.dropAgent(socket, a)
	}
}

func (k *keychain) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range k.agents {
		a.conn.Close()
	}
	k.agents = nil
}
