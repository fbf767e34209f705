package remote

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// keychain holds opened private keys, each file once per pool, and the
// connections to agents.
type keychain struct {
	mu     sync.Mutex
	files  map[string]*keyFile
	agents map[string]*agentConn
}

type keyFile struct {
	once   sync.Once
	signer ssh.Signer
	err    error
}

// identity is one key to log in with.
type identity struct {
	signer ssh.Signer
	what   string // for messages
}

// identities lists what to offer: certificates, key files, then the agent,
// because a host counts refused keys (MaxAuthTries).
func (k *keychain) identities(c *Config) ([]identity, error) {
	var plain, certified []identity
	for _, file := range c.Keys {
		signer, err := k.open(file, c.Passphrase)
		if err != nil {
			return nil, err
		}
		plain = append(plain, identity{signer, "key " + file + " (" + describeKey(signer.PublicKey()) + ")"})
	}
	if c.Agent {
		listed, err := k.fromAgent(c.AgentSocket)
		if err != nil {
			return nil, err
		}
		plain = append(plain, listed...)
	}
	for _, file := range c.Certificates {
		id, err := certify(file, plain)
		if err != nil {
			return nil, err
		}
		certified = append(certified, id)
	}
	for _, file := range c.Keys {
		beside := file + "-cert.pub"
		if _, err := os.Stat(beside); err != nil {
			continue
		}
		id, err := certify(beside, plain)
		if err != nil {
			return nil, err
		}
		certified = append(certified, id)
	}
	return append(certified, plain...), nil
}

func (k *keychain) open(file string, passphrase func(string) (string, error)) (ssh.Signer, error) {
	k.mu.Lock()
	if k.files == nil {
		k.files = map[string]*keyFile{}
	}
	f := k.files[file]
	if f == nil {
		f = &keyFile{}
		k.files[file] = f
	}
	k.mu.Unlock()
	f.once.Do(func() { f.signer, f.err = readKey(file, passphrase) })
	return f.signer, f.err
}

func readKey(file string, passphrase func(string) (string, error)) (ssh.Signer, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, &KeyFileError{file, "it cannot be read", err}
	}
	signer, err := ssh.ParsePrivateKey(raw)
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		if err != nil {
			return nil, &KeyFileError{file, "it is not a private key", err}
		}
		return signer, nil
	}
	if passphrase == nil {
		return nil, &KeyFileError{file, "it is encrypted: give its passphrase, or add it to the SSH agent (ssh-add) and use that", nil}
	}
	phrase, err := passphrase(file)
	if err != nil {
		return nil, &KeyFileError{file, "there is no passphrase", err}
	}
	signer, err = ssh.ParsePrivateKeyWithPassphrase(raw, []byte(phrase))
	if err != nil {
		return nil, &KeyFileError{file, "the passphrase does not open it", err}
	}
	return signer, nil
}

// certify joins the certificate in file with the key it belongs to.
func certify(file string, keys []identity) (identity, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return identity{}, &KeyFileError{file, "it cannot be read", err}
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(raw)
	if err != nil {
		return identity{}, &KeyFileError{file, "it is not an OpenSSH certificate", err}
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok || cert.CertType != ssh.UserCert {
		return identity{}, &KeyFileError{file, "it is not an OpenSSH user certificate", nil}
	}
	what := "certificate " + file
	if cert.ValidBefore < uint64(time.Now().Unix()) {
		what += fmt.Sprintf(" (EXPIRED at %s)", time.Unix(int64(cert.ValidBefore), 0).UTC().Format(time.RFC3339))
	}
	for _, id := range keys {
		if !bytes.Equal(id.signer.PublicKey().Marshal(), cert.Key.Marshal()) {
			continue
		}
		signer, err := ssh.NewCertSigner(cert, id.signer)
		if err != nil {
			return identity{}, &KeyFileError{file, "it does not fit its key", err}
		}
		return identity{signer, what}, nil
	}
	return identity{}, &KeyFileError{file, "no configured key belongs to it", nil}
}

// agentConn is the one connection to an agent; the client on it is safe for
// concurrent use.
type agentConn struct {
	conn   net.Conn
	client agent.ExtendedAgent
}

func (k *keychain) fromAgent(socket string) ([]identity, error) {
	if socket == "" {
		socket = os.Getenv("SSH_AUTH_SOCK")
	}
	if socket == "" {
		return nil, errors.New("cannot use the SSH agent: SSH_AUTH_SOCK is not set; start one with `eval $(ssh-agent)` and ssh-add, or set keys")
	}
	// A restarted agent breaks the first attempt only.
	for attempt := 0; ; attempt++ {
		a, err := k.agent(socket)
		if err != nil {
			return nil, fmt.Errorf("cannot use the SSH agent: %w; start one with `eval $(ssh-agent)` and ssh-add, or set keys", err)
		}
		signers, err := a.client.Signers()
		if err != nil {
			k.dropAgent(socket, a)
			if attempt == 0 {
				continue
			}
			return nil, fmt.Errorf("cannot list the keys of the SSH agent at %s: %w", socket, err)
		}
		ids := make([]identity, 0, len(signers))
		for _, s := range signers {
			ids = append(ids, identity{s, "agent key " + describeKey(s.PublicKey())})
		}
		return ids, nil
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

func (k *keychain) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range k.agents {
		a.conn.Close()
	}
	k.agents = nil
}
