// Package proxmox is the snapshot driver "proxmox": it captures a virtual
// machine (QEMU) or a container (LXC) of a Proxmox VE cluster with a snapshot
// of Proxmox VE and takes it back by a rollback to that snapshot.
//
// A snapshot is one of Proxmox VE's, of all disks of the guest and without its
// memory. Where the QEMU guest agent is enabled and runs, Proxmox VE has it
// freeze the file systems. The tags stand in the snapshot's description; its
// name, "ncfleet-" and 24 digits of the key's digest, is used once in a guest,
// so that a repeated call makes no second one. Slow operations are tasks of
// Proxmox VE: each is followed to its end, and one that an earlier call began
// is waited for before anything new is begun.
//
// A restore stops the guest, rolls it back and starts it, in high availability
// too. Its configuration becomes that of the snapshot; its addresses stay.
//
// Proxmox VE snapshots all disks of a guest or none. A guest with a disk on a
// storage without snapshots (plain LVM, raw files, iSCSI), or a container with
// a bind mount, is therefore a hole as a whole, and so is a template. Whether a
// disk is left out of backups (backup=0) does not matter to a snapshot.
//
// On ZFS a guest can be rolled back to its newest snapshot alone: a rollback to
// an older one is refused by Proxmox VE until the newer ones are deleted.
//
// The driver refuses: a server whose certificate neither an authority of the
// system, nor ca, nor fingerprint vouches for, unless insecure is set; plain
// HTTP; logins by password (it wants an API token); to choose between guests of
// one name; and to delete a snapshot that does not bear its marks.
//
// # Permissions
//
// The token (and, without privilege separation, its user) needs VM.Audit,
// VM.Snapshot, VM.Snapshot.Rollback and VM.PowerMgmt on /vms or on the guests.
// A guest that it may not see is a guest that is not there.
package proxmox

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net/url"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Name is the driver's name in an inventory.
const Name = "proxmox"

// New returns the driver, not yet configured.
func New() driver.Snapshotter {
	return cloud.New(cloud.Definition{
		Name: Name, Version: "1", Label: "proxmox_vmid",
		Attributes: []driver.Attribute{
			{Name: "endpoint", Type: "string", Required: true, Help: "Address of a node of the cluster, \"https://pve1.example.org:8006\"."},
			{Name: "token_id", Type: "string", Required: true, Help: "Name of the API token, \"ncfleet@pve!fleet\"."},
			{Name: "token_secret", Type: "string", Required: true, Secret: true, Help: "The API token's secret."},
			{Name: "ca", Type: "string", Help: "Certificate of the cluster's authority in PEM form (/etc/pve/pve-root-ca.pem)."},
			{Name: "fingerprint", Type: "string", Help: "SHA-256 fingerprint of the node's certificate, if no known authority signed it."},
			{Name: "insecure", Type: "bool", Default: "false", Help: "Trust any certificate; anybody on the way can then use the token."},
		},
		Connect: connect,
	})
}

// provider implements cloud.Provider.
type provider struct {
	api  *api
	poll time.Duration // between two looks at a task
}

func connect(_ context.Context, c driver.Config) (cloud.Provider, error) {
	text := func(name string) string {
		s, _ := c[name].(string)
		return s
	}
	u, err := url.Parse(text("endpoint"))
	switch {
	case err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "":
		return nil, driver.Errorf(driver.Permanent, "endpoint is no address: write \"https://pve1.example.org:8006\"")
	case u.Scheme != "https":
		return nil, driver.Errorf(driver.Permanent, "endpoint = %q: only https is spoken, since the token goes over it", text("endpoint"))
	}
	if u.Port() == "" {
		u.Host += ":8006"
	}
	user, token, ok := strings.Cut(text("token_id"), "!")
	if !ok || !strings.Contains(user, "@") || token == "" || text("token_secret") == "" {
		return nil, driver.Errorf(driver.Auth, "token_id = %q: write USER@REALM!TOKEN, \"ncfleet@pve!fleet\", and its secret as token_secret", text("token_id"))
	}
	insecure, _ := c["insecure"].(bool)
	t, err := tlsConfig(text("ca"), text("fingerprint"), insecure)
	if err != nil {
		return nil, err
	}
	p := &provider{poll: 2 * time.Second, api: newAPI("https://"+u.Host+"/api2/json", "PVEAPIToken="+text("token_id")+"="+text("token_secret"), t)}
	if d, err := time.ParseDuration(text("poll")); err == nil && d > 0 {
		p.poll = min(d, p.poll)
	}
	return p, nil
}

func tlsConfig(ca, fingerprint string, insecure bool) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure}
	if ca != "" {
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, driver.Errorf(driver.Permanent, "ca holds no certificate in PEM form")
		}
	}
	if fingerprint == "" {
		return t, nil
	}
	want, err := hex.DecodeString(strings.ReplaceAll(fingerprint, ":", ""))
	if err != nil || len(want) != sha256.Size {
		return nil, driver.Errorf(driver.Permanent, "fingerprint = %q is no SHA-256 fingerprint: write 32 bytes in hexadecimal, as the node's certificate page shows them", fingerprint)
	}
	t.InsecureSkipVerify = true // the fingerprint is checked instead
	t.VerifyConnection = func(s tls.ConnectionState) error {
		if got := sha256.Sum256(s.PeerCertificates[0].Raw); got != [sha256.Size]byte(want) {
			return driver.Errorf(driver.Permanent, "the node's certificate has the fingerprint %X, not the one that is set: somebody replaced it; check it and set the new one", got)
		}
		return nil
	}
	return t, nil
}

// Check tries the token.
func (p *provider) Check(ctx context.Context) error {
	return p.api.get(ctx, "read the version of Proxmox VE", "/version", nil, &struct{}{})
}
