package vsphere

import (
	"context"
	"net/url"
	"strings"
	"sync"

	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// login is one session with a vCenter or an ESXi host, begun when it is first
// needed and begun anew when the server has ended it: it does so after half
// an hour without a call.
type login struct {
	server string // as in the inventory, for people
	url    *url.URL
	user   *url.Userinfo

	thumbprint, caFile string
	insecure           bool

	mu      sync.Mutex
	client  *vim25.Client
	session *session.Manager
}

// serverURL accepts "vcenter.example.org", "…:8443" and a whole URL.
func serverURL(server string) (*url.URL, error) {
	u, err := soap.ParseURL(server)
	switch {
	case err != nil || u == nil || u.Host == "":
		return nil, driver.Errorf(driver.Permanent, "server = %q is no address: write the name of a vCenter or ESXi host, such as \"vcenter.example.org\"", server)
	case u.Scheme != "https":
		return nil, driver.Errorf(driver.Permanent, "server = %q: only https is spoken, since the password goes over it", server)
	}
	if strings.Contains(server, "@") {
		return nil, driver.Errorf(driver.Permanent, "server holds a user name or a password: write them as username and password")
	}
	u.User = nil
	return u, nil
}

// open returns a client with a live session.
func (l *login) open(ctx context.Context) (*vim25.Client, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client == nil {
		if err := l.connect(ctx); err != nil {
			return nil, refuse(err, "connect to %s", l.server)
		}
	}
	live, err := l.session.UserSession(ctx)
	if err != nil {
		return nil, refuse(err, "ask %s for the session", l.server)
	}
	if live != nil {
		return l.client, nil
	}
	if err := l.session.Login(ctx, l.user); err != nil {
		return nil, refuse(err, "log in to %s as %s", l.server, l.user.Username())
	}
	return l.client, nil
}

func (l *login) connect(ctx context.Context) error {
	s := soap.NewClient(l.url, l.insecure)
	if l.caFile != "" {
		if err := s.SetRootCAs(l.caFile); err != nil {
			return driver.Errorf(driver.Permanent, "cannot use ca_file = %q: %v", l.caFile, err)
		}
	}
	if l.thumbprint != "" {
		s.SetThumbprint(l.url.Host, l.thumbprint)
	}
	s.Client.Transport = typing{s.DefaultTransport()}
	c, err := vim25.NewClient(ctx, s)
	if err != nil {
		return err
	}
	l.client, l.session = c, session.NewManager(c)
	return nil
}
