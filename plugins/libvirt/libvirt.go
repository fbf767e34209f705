// Package libvirt is the snapshot driver "libvirt": it captures a KVM or QEMU
// domain with an internal snapshot of libvirt and takes it back by reverting to
// that snapshot.
//
// An internal snapshot lies inside the qcow2 files of the domain's disks.
// libvirt makes one of all writable disks together or of none, so that a domain
// with a raw disk (a file, a logical volume, a Ceph image), with a shared disk,
// with UEFI variables in a raw file, with a device passed through or with
// virtiofs is a hole as a whole, with the reason. External snapshots (a chain of overlay files) are not used: libvirt before
// 9.9 cannot revert to them.
//
// A snapshot of a running domain also saves its memory, which stops the domain
// for as long as writing its memory to the disk takes. The memory is not used:
// a restore powers the domain off, reverts it, throws the memory away and boots
// the domain from its disks, so that its clock is right. The shared part,
// plugins/cloud, flushes the guest's file systems just before.
//
// While a domain has snapshots, libvirt neither undefines nor migrates it. A
// cluster manager that starts domains by itself must leave this one alone
// during a restore.
//
// The driver talks to the daemon's local socket ("qemu:///system", or
// "qemu:///system?socket=/path") or to it over TLS with certificates on both
// sides ("qemu+tls://host.example.org/system"). Several hypervisors may be
// named; a domain is found on whichever has it. It refuses SSH and plain TCP,
// logins by SASL or polkit, a server whose certificate tls_ca does not vouch
// for, transient domains, and deleting a snapshot that does not bear its marks.
//
// # Rights
//
// On the local socket: membership of the group that may use it (libvirt, or
// root). With the polkit access driver: domain.read, .write, .start, .stop and
// .snapshot.
package libvirt

import (
	"context"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Name is the driver's name in an inventory.
const Name = "libvirt"

// New returns the driver, not yet configured.
func New() driver.Snapshotter {
	return cloud.New(cloud.Definition{
		Name: Name, Version: "1", Label: "libvirt_domain",
		Attributes: []driver.Attribute{
			{Name: "uris", Type: "list(string)", Required: true, Help: "The hypervisors: \"qemu:///system\" or \"qemu+tls://host.example.org/system\"."},
			{Name: "tls_ca", Type: "string", Help: "Certificate of the authority that signed the hypervisors' certificates, in PEM form."},
			{Name: "tls_certificate", Type: "string", Help: "The client's certificate, in PEM form."},
			{Name: "tls_key", Type: "string", Secret: true, Help: "The client's private key, in PEM form."},
		},
		Connect: connect,
	})
}

// provider implements cloud.Provider.
type provider struct {
	hypervisors []*hypervisor
}

func connect(_ context.Context, c driver.Config) (cloud.Provider, error) {
	text := func(name string) string {
		s, _ := c[name].(string)
		return s
	}
	t, err := tlsConfig(text("tls_ca"), text("tls_certificate"), text("tls_key"))
	if err != nil {
		return nil, err
	}
	uris, _ := c["uris"].([]string)
	if len(uris) == 0 {
		return nil, driver.Errorf(driver.Permanent, "uris names no hypervisor: write \"qemu:///system\" or \"qemu+tls://host.example.org/system\"")
	}
	p := &provider{}
	for _, uri := range uris {
		h, err := newHypervisor(uri, t)
		if err != nil {
			return nil, err
		}
		p.hypervisors = append(p.hypervisors, h)
	}
	return p, nil
}

// Check connects to every hypervisor.
func (p *provider) Check(ctx context.Context) error {
	for _, h := range p.hypervisors {
		if _, err := h.open(ctx); err != nil {
			return refuse(err, "connect to %s", h)
		}
	}
	return nil
}

func (p *provider) names() string {
	names := make([]string, len(p.hypervisors))
	for i, h := range p.hypervisors {
		names[i] = h.String()
	}
	return strings.Join(names, ", ")
}
