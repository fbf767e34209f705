package libvirt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
	n    int64
}

func newAuthority(t *testing.T) *authority {
	a := &authority{}
	var key string
	a.pem, key = a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature})
	block, _ := pem.Decode([]byte(a.pem))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	a.cert = cert
	block, _ = pem.Decode([]byte(key))
	if a.key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a certificate and its key in PEM form; the first signs itself.
func (a *authority) sign(t *testing.T, c *x509.Certificate) (certificate, key string) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.n++
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(a.n), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, own
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &own.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x509.MarshalECPrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: k}))
}

func leaf(name string, use x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{use},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
}

const tlsFolder = "NCFLEET_LIBVIRT_TLS" // tells the inner run of this binary where the certificates are

// TestTLS speaks to the real daemon over TLS. The daemon listens inside its own
// network, so this binary runs itself there.
func TestTLS(t *testing.T) {
	if _, err := exec.LookPath("nsenter"); err != nil {
		t.Skip("no nsenter here: the daemon's own network cannot be entered")
	}
	dir := t.TempDir()
	good, other := newAuthority(t), newAuthority(t)
	files := map[string]string{"ca.pem": good.pem, "other-ca.pem": other.pem}
	files["server.pem"], files["server.key"] = good.sign(t, leaf("kvm1", x509.ExtKeyUsageServerAuth))
	files["client.pem"], files["client.key"] = good.sign(t, leaf("ncfleet", x509.ExtKeyUsageClientAuth))
	files["other.pem"], files["other.key"] = other.sign(t, leaf("ncfleet", x509.ExtKeyUsageClientAuth))
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := func(setting, name string) string { return fmt.Sprintf("%s = %q", setting, filepath.Join(dir, name)) }
	d := newDaemon(t, "listen_tls = 1", file("ca_file", "ca.pem"), file("cert_file", "server.pem"), file("key_file", "server.key"))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nsenter", "-t", fmt.Sprint(d.pid), "-n", self, "-test.run", "^TestInsideTLS$", "-test.v")
	cmd.Env = append(os.Environ(), tlsFolder+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestInsideTLS") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestInsideTLS(t *testing.T) {
	dir := os.Getenv(tlsFolder)
	if dir == "" {
		t.Skip("TestTLS runs this inside the daemon's network")
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, x := range map[string]struct {
		ca, client string
		class      driver.Class
		says       string
	}{
		"good":             {"ca.pem", "client", "", ""},
		"unknown server":   {"other-ca.pem", "client", driver.Permanent, "set tls_ca"},
		"unwelcome client": {"ca.pem", "other", driver.Auth, "does not accept"},
	} {
		p, err := connect(t.Context(), driver.Config{"uris": []string{"test+tls://127.0.0.1/default"},
			"tls_ca": read(x.ca), "tls_certificate": read(x.client + ".pem"), "tls_key": read(x.client + ".key")})
		if err != nil {
			t.Fatal(err)
		}
		err = p.Check(t.Context())
		if driver.ClassOf(err) != x.class || err != nil && !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v; want class %q and %q", name, err, x.class, x.says)
		}
		if err != nil {
			continue
		}
		if m, err := p.Machine(t.Context(), machineName); err != nil || m.Name != machineName {
			t.Errorf("%s: Machine = %+v, %v", name, m, err)
		}
	}
}
