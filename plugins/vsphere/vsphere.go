// Package vsphere is the snapshot driver "vsphere": it captures a virtual
// machine of a vCenter or of a single ESXi host with a snapshot of vSphere and
// takes it back by reverting to that snapshot.
//
// A snapshot is one of vSphere's, of the whole machine and without its memory.
// Where VMware Tools run in the guest, vSphere has them flush and freeze its
// file systems (attribute quiesce). The marks of the driver stand in the
// snapshot's description. Several snapshots of one machine form a chain;
// deleting one merges its disks into its children and never deletes those.
//
// A restore shuts the guest down (it has a minute, then it is powered off),
// reverts the machine without powering it on, and powers it on. The machine
// keeps its identity, its network cards and its addresses. Its virtual
// hardware is that of the snapshot.
//
// Holes: disks in an independent mode and raw devices in physical mode, which
// vSphere leaves out; and the machine as a whole where vSphere refuses any
// snapshot, as with a shared SCSI bus, a multi-writer disk or a PCI device that
// is passed through. Disks that the guest mounts over the network itself are
// holes by the shared part, plugins/cloud. For a machine with such a hole, set
// disk.EnableUUID = TRUE in its configuration: without it the guest cannot tell
// which of its disks is which, and no place can be matched.
//
// The driver refuses: to trust a certificate that no authority of the system,
// of ca_file or the thumbprint vouches for, unless insecure is set; to send a
// password over plain HTTP; to choose between machines of one name; to delete
// a snapshot that does not bear its marks.
//
// # Privileges
//
// The user needs, on the virtual machines (the parent folder, propagated):
// System.Read and System.View, VirtualMachine.State.CreateSnapshot,
// .RemoveSnapshot, .RevertToSnapshot, VirtualMachine.Interact.PowerOn and
// .PowerOff. A free ESXi licence does not allow any of them by the API.
//
// # What is not done
//
// Snapshots of vSphere are no backups: they live on the machine's own
// datastore, grow with every write and slow the machine down; keep them for
// days, not months. Encrypted machines, vVols and machines in a fault tolerance
// pair were not tried. Logins through an identity provider (SAML, tokens) are
// not offered: use a local or directory account.
package vsphere

import (
	"context"
	"net/url"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Name is the driver's name in an inventory.
const Name = "vsphere"

// New returns the driver, not yet configured.
func New() driver.Snapshotter {
	return cloud.New(cloud.Definition{
		Name: Name, Version: "1", Label: "vsphere_vm",
		Attributes: []driver.Attribute{
			{Name: "server", Type: "string", Required: true, Help: "Name of the vCenter or ESXi host, \"vcenter.example.org\"."},
			{Name: "username", Type: "string", Required: true, Help: "User with the privileges that the driver's documentation names."},
			{Name: "password", Type: "string", Required: true, Secret: true, Help: "The user's password."},
			{Name: "thumbprint", Type: "string", Help: "SHA-256 or SHA-1 fingerprint of the server's certificate, if no known authority signed it."},
			{Name: "ca_file", Type: "string", Help: "File with the certificates of the authorities to trust, on the controller."},
			{Name: "insecure", Type: "bool", Default: "false", Help: "Trust any certificate; anybody on the way can then read the password."},
			{Name: "quiesce", Type: "bool", Default: "true", Help: "Have VMware Tools flush and freeze the guest's file systems where they run."},
		},
		Connect: connect,
	})
}

// provider implements cloud.Provider.
type provider struct {
	login   login
	quiesce bool
}

func connect(_ context.Context, c driver.Config) (cloud.Provider, error) {
	text := func(name string) string {
		s, _ := c[name].(string)
		return s
	}
	u, err := serverURL(text("server"))
	if err != nil {
		return nil, err
	}
	if text("username") == "" || text("password") == "" {
		return nil, driver.Errorf(driver.Auth, "username and password must not be empty")
	}
	insecure, _ := c["insecure"].(bool)
	quiesce, set := c["quiesce"].(bool)
	return &provider{quiesce: quiesce || !set, login: login{
		server: u.Host, url: u, user: url.UserPassword(text("username"), text("password")),
		thumbprint: text("thumbprint"), caFile: text("ca_file"), insecure: insecure,
	}}, nil
}

// Check logs in.
func (p *provider) Check(ctx context.Context) error {
	_, err := p.login.open(ctx)
	return err
}
