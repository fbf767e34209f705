package remote

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// serveAgent serves an agent on a socket.
func serveAgent(t testing.TB, a agent.Agent) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(a, c) }() // until the client hangs up
		}
	}()
	return socket
}

// TestAgentWithManyKeys logs in to real hosts, which close a connection after
// 6 refused keys, with the ninth of ten keys.
func TestAgentWithManyKeys(t *testing.T) {
	t.Parallel()
	ring := agent.NewKeyring()
	var ninth ssh.PublicKey
	for i := range 10 {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
			t.Fatal(err)
		}
		if i == 8 {
			if ninth, err = ssh.NewPublicKey(private.Public()); err != nil {
				t.Fatal(err)
			}
		}
	}
	socket := serveAgent(t, ring)
	host := func() *sshd {
		s := startSSHD(t, "LogLevel VERBOSE")
		write(t, filepath.Join(s.dir, "authorized"), string(ssh.MarshalAuthorizedKey(ninth)))
		s.config.Keys, s.config.Agent, s.config.AgentSocket = nil, true, socket
		return s
	}
	p := newTestPool(t)
	first := host()
	expect(t, p.Host(first.config), echo, "hi\n")
	if n := first.count("Too many authentication failures"); n != 1 {
		t.Errorf("the first host refused %d connections for too many keys; the test wants 1", n)
	}
	second := host()
	expect(t, p.Host(second.config), echo, "hi\n")
	if n := second.count("Failed publickey"); n != 0 {
		t.Errorf("the second host was asked about %d wrong keys", n)
	}
	third := host()
	third.config.IdentitiesOnly = true
	third.config.Keys = []string{filepath.Join(third.dir, "ninth.pub")}
	write(t, third.config.Keys[0], string(ssh.MarshalAuthorizedKey(ninth)))
	expect(t, newTestPool(t).Host(third.config), echo, "hi\n")
	if n := third.count("Failed publickey"); n != 0 {
		t.Errorf("the third host was asked about %d keys beside the one that was named", n)
	}
	stranger := third.config
	stranger.Keys = []string{filepath.Join(third.dir, "host_key")}
	stranger.Agent = false
	_, err := newTestPool(t).Host(stranger).Run(testContext(t), echo)
	var refused *AuthError
	if !errors.As(err, &refused) || len(refused.Tried) != 1 {
		t.Errorf("a strange key: %v", err)
	}
}

// securityKey is an agent with one key as FIDO devices have them, in software.
// It signs when it is touched.
type securityKey struct {
	agent.Agent // what is not needed here panics
	public      ssh.PublicKey
	private     ed25519.PrivateKey
	touch       chan error

	mu         sync.Mutex
	now, most  int
	signatures int
}

const keyType = "sk-ssh-ed25519@openssh.com"

func newSecurityKey(t testing.TB) *securityKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	blob := ssh.Marshal(struct {
		Type        string
		Key         []byte
		Application string
	}{keyType, public, "ssh:"})
	key, err := ssh.ParsePublicKey(blob)
	if err != nil {
		t.Fatal(err)
	}
	return &securityKey{public: key, private: private, touch: make(chan error)}
}

func (k *securityKey) List() ([]*agent.Key, error) {
	return []*agent.Key{{Format: keyType, Blob: k.public.Marshal()}}, nil
}

func (k *securityKey) Sign(_ ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	k.mu.Lock()
	k.now++
	k.most = max(k.most, k.now)
	k.mu.Unlock()
	err := <-k.touch
	k.mu.Lock()
	k.now--
	k.signatures++
	k.mu.Unlock()
	if err != nil {
		return nil, err
	}
	app, message := sha256.Sum256([]byte("ssh:")), sha256.Sum256(data)
	flags := []byte{1, 0, 0, 0, 7} // user present, counter
	signed := append(append(app[:], flags...), message[:]...)
	return &ssh.Signature{Format: keyType, Blob: ed25519.Sign(k.private, signed), Rest: flags}, nil
}

// TestSecurityKey logs in to a real host by a key that must be touched. It is
// touched only once the message asks for that, and for one host after another.
func TestSecurityKey(t *testing.T) {
	t.Parallel()
	key := newSecurityKey(t)
	s := startSSHD(t)
	write(t, filepath.Join(s.dir, "authorized"), string(ssh.MarshalAuthorizedKey(key.public)))
	s.config.Agent, s.config.AgentSocket = true, serveAgent(t, key)
	s.config.Keys, s.config.HandshakeTimeout = nil, 10*time.Second
	p := newTestPool(t)
	asked := make(chan string, 9)
	p.Waiting = func(host, what string) { asked <- host + ": " + what }
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { expect(t, p.Host(s.config), echo, "hi\n") })
	}
	for range 3 {
		if m := <-asked; !strings.Contains(m, "web1 (") || !strings.Contains(m, "touch") || !strings.Contains(m, ssh.FingerprintSHA256(key.public)) {
			t.Errorf("the message is %q", m)
		}
		key.touch <- nil
	}
	wg.Wait()
	if key.most != 1 || key.signatures != 3 {
		t.Errorf("%d touches at once, %d in all; want 1 and 3", key.most, key.signatures)
	}
	go func() { key.touch <- errors.New("the device was not touched") }()
	_, err := p.Host(s.config).Run(testContext(t), echo)
	var refused *AuthError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "was the security key plugged in and touched?") {
		t.Errorf("without a touch: %v", err)
	}
}

// TestSilentAgent gives up an agent that never answers, and the next login
// does not wait behind it.
func TestSilentAgent(t *testing.T) {
	key := newSecurityKey(t)
	s := startSSHD(t)
	write(t, filepath.Join(s.dir, "authorized"), string(ssh.MarshalAuthorizedKey(key.public)))
	s.config.Agent, s.config.AgentSocket, s.config.Keys = true, serveAgent(t, key), nil
	p := NewPool(Limits{Agent: 100 * time.Millisecond})
	t.Cleanup(func() { p.Close() })
	for range 2 {
		if _, err := p.Host(s.config).Run(testContext(t), echo); err == nil || !strings.Contains(err.Error(), "no answer within 100ms") {
			t.Errorf("got %v", err)
		}
	}
	for range 2 {
		key.touch <- errors.New("late")
	}
}

func TestKeyFilesThatTheAgentHas(t *testing.T) {
	s := startServer(t)
	signer, err := readKey(s.config.Keys[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := s.config
	c.Agent, c.AgentSocket, c.IdentitiesOnly = true, serveAgent(t, oneKey{agent.NewKeyring(), signer}), true
	public := string(ssh.MarshalAuthorizedKey(signer.PublicKey()))
	write(t, filepath.Join(dir, "id.pub"), public)
	write(t, filepath.Join(dir, "handle"), "-----BEGIN OPENSSH PRIVATE KEY-----\nnot a key that can be read\n")
	write(t, filepath.Join(dir, "handle.pub"), public)
	for _, name := range []string{"id.pub", "id", "handle"} {
		c.Keys = []string{filepath.Join(dir, name)}
		expect(t, newTestPool(t).Host(c), echo, "hi\n")
	}
	write(t, filepath.Join(dir, "other.pub"), string(ssh.MarshalAuthorizedKey(newKey(t, "").PublicKey())))
	write(t, filepath.Join(dir, "sk.pub"), string(ssh.MarshalAuthorizedKey(newSecurityKey(t).public)))
	for name, want := range map[string]string{"other": "the SSH agent does not have the key", "sk": "is a security key's, and the SSH agent does not have it"} {
		c.Keys = []string{filepath.Join(dir, name)}
		_, err := newTestPool(t).Host(c).Run(testContext(t), echo)
		var file *KeyFileError
		if !errors.As(err, &file) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCertificateOfAnAgentsKey logs in to a real host that trusts a CA alone:
// by a certificate in a file, and by one that the agent holds.
func TestCertificateOfAnAgentsKey(t *testing.T) {
	t.Parallel()
	ca := newKey(t, "")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("ca.pub"), string(ssh.MarshalAuthorizedKey(ca.PublicKey())))
	s := startSSHD(t, "TrustedUserCAKeys "+at("ca.pub"))
	write(t, filepath.Join(s.dir, "authorized"), "")
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	cert := signCert(t, ca, key, ssh.UserCert, s.config.User, time.Now().Add(time.Hour))
	for name, added := range map[string]agent.AddedKey{
		"in a file":    {PrivateKey: private},
		"in the agent": {PrivateKey: private, Certificate: cert},
	} {
		ring := agent.NewKeyring()
		if err := ring.Add(added); err != nil {
			t.Fatal(err)
		}
		c := s.config
		c.Keys, c.Agent, c.AgentSocket = nil, true, serveAgent(t, ring)
		if added.Certificate == nil {
			c.Certificates, c.IdentitiesOnly = []string{at("id-cert.pub")}, true
			write(t, c.Certificates[0], string(ssh.MarshalAuthorizedKey(cert)))
		}
		r, err := newTestPool(t).Host(c).Run(testContext(t), echo)
		if err != nil || string(r.Stdout) != "hi\n" {
			t.Errorf("a certificate %s: %q, %v", name, r.Stdout, err)
		}
	}
}
