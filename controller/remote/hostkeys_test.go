package remote

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

func TestKnownHosts(t *testing.T) {
	s := startSSHD(t)
	endpoint := s.config.endpoint()
	key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.host)))
	other := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(newKey(t, "").PublicKey())))
	plain := xknownhosts.Normalize(endpoint)
	for _, c := range []struct {
		name, text, kind string
		says             []string
	}{
		{"plain", plain + " " + key, "", nil},
		{"hashed", xknownhosts.HashHostname(plain) + " " + key, "", nil},
		{"wildcard", "127.0.0.* " + key, "", nil},
		{"one of two", plain + " " + other + "\n" + plain + " " + key, "", nil},
		{"unknown", "example.com " + key, KeyUnknown, []string{ssh.FingerprintSHA256(s.host), "ssh-keyscan -p " + fmt.Sprint(s.port) + " 127.0.0.1 >> "}},
		{"changed", "# comment\n" + plain + " " + other, KeyChanged, []string{"HOST KEY CHANGED", ssh.FingerprintSHA256(s.host), "known:2"}},
		{"hashed changed", xknownhosts.HashHostname(plain) + " " + other, KeyChanged, []string{"known:1"}},
		{"revoked", plain + " " + key + "\n@revoked * " + key, KeyRevoked, []string{"REVOKED", "known:2"}},
		{"other key type changed", plain + " ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=", KeyChanged, []string{"ecdsa-sha2-nistp256"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "known")
			write(t, file, c.text+"\n")
			config := s.config
			config.KnownHosts = []string{file}
			_, err := newTestPool(t).Host(config).Run(testContext(t), echo)
			var e *HostKeyError
			if c.kind == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, &e) || e.Kind != c.kind {
				t.Fatalf("got %v, want %s", err, c.kind)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is missing in: %v", part, err)
				}
			}
		})
	}
}

func TestKnownHostsFileProblems(t *testing.T) {
	s := startServer(t)
	for _, c := range []struct{ name, file, text, want string }{
		{"missing", "none", "", fmt.Sprintf("`ssh-keyscan -p %d 127.0.0.1 >> /", s.config.Port)},
		{"broken", "broken", "host ssh-ed25519 ???\n", "broken:1"},
	} {
		config := s.config
		config.KnownHosts = []string{filepath.Join(t.TempDir(), c.file)}
		if c.text != "" {
			write(t, config.KnownHosts[0], c.text)
		}
		_, err := newTestPool(t).Host(config).Run(testContext(t), echo)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestAcceptNew(t *testing.T) {
	s := startServer(t)
	config := s.config
	config.HostKeys = HostKeysAcceptNew
	config.KnownHosts = []string{filepath.Join(t.TempDir(), "known")}
	p := newTestPool(t)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { expect(t, p.Host(config), echo, "hi\n") })
	}
	wg.Wait()
	raw, err := os.ReadFile(config.KnownHosts[0])
	if err != nil || strings.Count(string(raw), "\n") != 1 {
		t.Fatalf("recorded %q, %v", raw, err)
	}
	// Once recorded it is as strict as ever.
	config.HostKeys = HostKeysStrict
	expect(t, newTestPool(t).Host(config), echo, "hi\n")
	config.HostKeys = HostKeysAcceptNew
	write(t, config.KnownHosts[0], knownhosts.Line([]string{config.endpoint()}, newKey(t, "").PublicKey())+"\n")
	_, err = newTestPool(t).Host(config).Run(testContext(t), echo)
	var e *HostKeyError
	if !errors.As(err, &e) || e.Kind != KeyChanged {
		t.Errorf("a changed key under accept-new: %v", err)
	}
}

// signCert returns the certificate of key signed by ca.
func signCert(t *testing.T, ca ssh.Signer, key ssh.PublicKey, kind uint32, principal string, until time.Time) *ssh.Certificate {
	t.Helper()
	cert := &ssh.Certificate{
		Key: key, CertType: kind, KeyId: "test", ValidPrincipals: []string{principal},
		ValidAfter: uint64(time.Now().Add(-2 * time.Hour).Unix()), ValidBefore: uint64(until.Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-port-forwarding": ""}},
	}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestHostCertificate(t *testing.T) {
	ca := newKey(t, "")
	dir := t.TempDir()
	certFile := filepath.Join(dir, "host-cert.pub")
	write(t, certFile, "") // sshd warns until it is there
	s := startSSHD(t)
	cert := signCert(t, ca, s.host, ssh.HostCert, "127.0.0.1", time.Now().Add(time.Hour))
	write(t, certFile, string(ssh.MarshalAuthorizedKey(cert)))
	second := startSSHDWith(t, s.dir, "HostKey "+filepath.Join(s.dir, "host_key"), "HostCertificate "+certFile)
	config := second.config
	authority := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(ca.PublicKey())))
	config.KnownHosts = []string{filepath.Join(dir, "known")}
	write(t, config.KnownHosts[0], "@cert-authority * "+authority+"\n")
	expect(t, newTestPool(t).Host(config), echo, "hi\n")

	write(t, config.KnownHosts[0], "@cert-authority * "+authority+"\n@revoked * "+strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.host)))+"\n")
	_, err := newTestPool(t).Host(config).Run(testContext(t), echo)
	var e *HostKeyError
	if !errors.As(err, &e) || e.Kind != KeyRevoked {
		t.Errorf("revoked: got %v", err)
	}
}
