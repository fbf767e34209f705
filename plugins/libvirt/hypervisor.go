package libvirt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

const (
	defaultSocket = "/var/run/libvirt/libvirt-sock"
	tlsPort       = "16514"
	dialLimit     = 20 * time.Second
)

// hypervisor is one libvirt daemon and the one connection to it, which is made
// when it is first needed and made anew after it broke.
type hypervisor struct {
	uri *url.URL
	tls *tls.Config // for qemu+tls

	mu     sync.Mutex
	client *libvirt.Libvirt
	conn   net.Conn
}

// newHypervisor checks a URI.
func newHypervisor(text string, t *tls.Config) (*hypervisor, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Path == "" {
		return nil, driver.Errorf(driver.Permanent, "uris: %q is no libvirt URI: write \"qemu:///system\" or \"qemu+tls://host.example.org/system\"", text)
	}
	if u.User != nil {
		return nil, driver.Errorf(driver.Permanent, "uris: the URI for %s holds a user name; this driver logs in by its certificate", u.Host)
	}
	h := &hypervisor{uri: u, tls: t}
	switch h.transport() {
	case "unix":
		for name := range u.Query() {
			if name != "socket" {
				return nil, driver.Errorf(driver.Permanent, "uris: %q: the parameter %s is not known here", text, name)
			}
		}
	case "tls":
		if t == nil {
			return nil, driver.Errorf(driver.Permanent, "uris: %q needs tls_ca, tls_certificate and tls_key", text)
		}
		if len(u.Query()) > 0 {
			return nil, driver.Errorf(driver.Permanent, "uris: %q: no parameters are known here; certificates are set by tls_ca, tls_certificate and tls_key", text)
		}
	default:
		return nil, driver.Errorf(driver.Permanent, "uris: %q: the transport %s is not offered; use a local socket (qemu:///system) or TLS (qemu+tls://HOST/system)", text, h.transport())
	}
	return h, nil
}

// transport is what libvirt itself reads from a URI.
func (h *hypervisor) transport() string {
	if _, t, ok := strings.Cut(h.uri.Scheme, "+"); ok {
		return t
	}
	if h.uri.Host != "" {
		return "tls"
	}
	return "unix"
}

// String is the hypervisor's name for people.
func (h *hypervisor) String() string { return h.uri.Scheme + "://" + h.uri.Host + h.uri.Path }

func (h *hypervisor) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	if h.transport() == "unix" {
		path := h.uri.Query().Get("socket")
		if path == "" {
			path = defaultSocket
		}
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	port := h.uri.Port()
	if port == "" {
		port = tlsPort
	}
	config := h.tls.Clone()
	config.ServerName = h.uri.Hostname()
	c, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", net.JoinHostPort(h.uri.Hostname(), port))
	if err != nil {
		return nil, err
	}
	return c, welcome(ctx, c)
}

// welcome reads the one byte by which libvirt accepts the client's certificate.
func welcome(ctx context.Context, c net.Conn) error {
	if end, ok := ctx.Deadline(); ok {
		_ = c.SetReadDeadline(end)
	}
	answer := make([]byte, 1)
	if _, err := c.Read(answer); err != nil || answer[0] != 1 {
		_ = c.Close()
		return driver.Errorf(driver.Auth, "the libvirt daemon does not accept the client's certificate: see its log and its tls_allowed_dn_list")
	}
	return c.SetReadDeadline(time.Time{})
}

// tlsConfig is nil when none of the three is set.
func tlsConfig(ca, certificate, key string) (*tls.Config, error) {
	if ca == "" && certificate == "" && key == "" {
		return nil, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ca)) {
		return nil, driver.Errorf(driver.Permanent, "tls_ca holds no certificate in PEM form")
	}
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		return nil, driver.Errorf(driver.Auth, "tls_certificate and tls_key are no pair in PEM form")
	}
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// open returns the live connection.
func (h *hypervisor) open(ctx context.Context) (*libvirt.Libvirt, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.client != nil && h.client.IsConnected() {
		return h.client, nil
	}
	conn, err := h.dial(ctx)
	if err != nil {
		return nil, err
	}
	client := libvirt.NewWithDialer(dialers.NewAlreadyConnected(conn))
	scheme, _, _ := strings.Cut(h.uri.Scheme, "+")
	done := make(chan error, 1)
	go func() { done <- client.ConnectToURI(libvirt.ConnectURI(scheme + "://" + h.uri.Path)) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	h.client, h.conn = client, conn
	return client, nil
}

// drop closes the connection c belongs to; whatever waits on it fails.
func (h *hypervisor) drop(c *libvirt.Libvirt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.client == c {
		_ = h.conn.Close()
		h.client, h.conn = nil, nil
	}
}

// call runs one call of the library, which knows no ctx: its end closes the
// connection. The daemon may go on with what it was asked to do. format and a
// say what for.
func call[T any](ctx context.Context, h *hypervisor, f func(*libvirt.Libvirt) (T, error), format string, a ...any) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	c, err := h.open(ctx)
	if err != nil {
		return none, refuse(err, "connect to %s", h)
	}
	done := make(chan answer, 1)
	go func() {
		v, err := f(c)
		done <- answer{v, err}
	}()
	select {
	case r := <-done:
		if broken(r.err) {
			h.drop(c)
		}
		return r.value, refuse(r.err, format, a...)
	case <-ctx.Done():
		h.drop(c)
		return none, refuse(ctx.Err(), format, a...)
	}
}

// do is call for what returns nothing.
func do(ctx context.Context, h *hypervisor, f func(*libvirt.Libvirt) error, format string, a ...any) error {
	_, err := call(ctx, h, func(c *libvirt.Libvirt) (struct{}, error) { return struct{}{}, f(c) }, format, a...)
	return err
}
