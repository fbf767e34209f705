package remote

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

func TestAuthRefused(t *testing.T) {
	s := startServer(t)
	config := s.config
	config.Keys = []string{filepath.Join(t.TempDir(), "wrong")}
	wrong := newKey(t, config.Keys[0])
	_, err := newTestPool(t).Host(config).Run(testContext(t), echo)
	var e *AuthError
	if !errors.As(err, &e) || len(e.Tried) != 1 || !strings.Contains(err.Error(), ssh.FingerprintSHA256(wrong.PublicKey())) {
		t.Errorf("got %v", err)
	}
	config.Keys = nil
	_, err = newTestPool(t).Host(config).Run(testContext(t), echo)
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "no key") {
		t.Errorf("without keys: %v", err)
	}
}

func TestEncryptedKey(t *testing.T) {
	s := startSSHD(t)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	config := s.config
	config.Keys = []string{filepath.Join(t.TempDir(), "locked")}
	write(t, config.Keys[0], string(pem.EncodeToMemory(block)))
	public, _ := ssh.NewPublicKey(private.Public())
	write(t, filepath.Join(s.dir, "authorized"), string(ssh.MarshalAuthorizedKey(public)))

	_, err = newTestPool(t).Host(config).Run(testContext(t), echo)
	var e *KeyFileError
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "ssh-add") || !strings.Contains(err.Error(), config.Keys[0]) {
		t.Errorf("without a passphrase: %v", err)
	}
	config.Passphrase = func(string) (string, error) { return "wrong", nil }
	if _, err = newTestPool(t).Host(config).Run(testContext(t), echo); !errors.As(err, &e) {
		t.Errorf("wrong passphrase: %v", err)
	}
	config.Passphrase = func(string) (string, error) { return "open sesame", nil }
	expect(t, newTestPool(t).Host(config), echo, "hi\n")
}

func TestAgent(t *testing.T) {
	s := startServer(t)
	ring := agent.NewKeyring()
	signer, err := readKey(s.config.Keys[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conns := make(chan net.Conn, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
			go agent.ServeAgent(oneKey{ring, signer}, c)
		}
	}()
	config := s.config
	config.Keys, config.Agent, config.AgentSocket = nil, true, socket
	p := newTestPool(t)
	expect(t, p.Host(config), echo, "hi\n")
	(<-conns).Close() // a restarted agent
	expect(t, p.Host(config), echo, "hi\n")
	config.AgentSocket = socket + ".none"
	if _, err := p.Host(config).Run(testContext(t), echo); err == nil || !strings.Contains(err.Error(), "ssh-agent") {
		t.Errorf("without an agent: %v", err)
	}
}

// oneKey is an agent that signs by a signer.
type oneKey struct {
	agent.Agent
	signer ssh.Signer
}

func (o oneKey) List() ([]*agent.Key, error) {
	k := o.signer.PublicKey()
	return []*agent.Key{{Format: k.Type(), Blob: k.Marshal()}}, nil
}

func (o oneKey) Sign(_ ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	return o.signer.Sign(rand.Reader, data)
}

func TestUserCertificate(t *testing.T) {
	ca := newKey(t, "")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ca.pub"), string(ssh.MarshalAuthorizedKey(ca.PublicKey())))
	s := startSSHD(t, "TrustedUserCAKeys "+filepath.Join(dir, "ca.pub"))
	config := s.config
	config.Keys = []string{filepath.Join(dir, "id")}
	key := newKey(t, config.Keys[0])
	beside := config.Keys[0] + "-cert.pub"
	good := signCert(t, ca, key.PublicKey(), ssh.UserCert, config.User, time.Now().Add(time.Hour))
	write(t, beside, string(ssh.MarshalAuthorizedKey(good)))
	expect(t, newTestPool(t).Host(config), echo, "hi\n")

	old := signCert(t, ca, key.PublicKey(), ssh.UserCert, config.User, time.Now().Add(-time.Hour))
	write(t, beside, string(ssh.MarshalAuthorizedKey(old)))
	_, err := newTestPool(t).Host(config).Run(testContext(t), echo)
	var e *AuthError
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "EXPIRED") {
		t.Errorf("expired: %v", err)
	}

	stranger := signCert(t, ca, newKey(t, "").PublicKey(), ssh.UserCert, config.User, time.Now().Add(time.Hour))
	config.Certificates = []string{filepath.Join(dir, "stranger-cert.pub")}
	write(t, config.Certificates[0], string(ssh.MarshalAuthorizedKey(stranger)))
	_, err = newTestPool(t).Host(config).Run(testContext(t), echo)
	var file *KeyFileError
	if !errors.As(err, &file) || !strings.Contains(err.Error(), "no configured key") {
		t.Errorf("foreign certificate: %v", err)
	}
}
