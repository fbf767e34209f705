package libvirt

import (
	"context"
	"encoding/xml"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

func (d *daemon) conformance(t *testing.T, newOne func(*testing.T) driver.Snapshotter) {
	drivertest.Snapshotter(t, drivertest.Snapshots{
		New: newOne, Config: d.config(), Subject: d.subject(), Runner: d.host, Change: d.change, State: d.state,
		Damage: func(t *testing.T, h driver.Handle) { // somebody deletes it by hand
			refs, _, err := d.own.DomainListAllSnapshots(d.domain, 1, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range refs {
				if err := d.own.DomainSnapshotDelete(r, libvirt.DomainSnapshotDeleteFlags(0)); err != nil {
					t.Fatal(err)
				}
			}
		},
	})
}

func TestConformance(t *testing.T) {
	newDaemon(t).conformance(t, func(*testing.T) driver.Snapshotter { return New() })
}

// TestConformanceOfTheBinary runs the suite over the program as users get it.
func TestConformanceOfTheBinary(t *testing.T) {
	newDaemon(t).conformance(t, cloudtest.Binary(t, "../../cmd/ncfleet-driver-libvirt"))
}

func (d *daemon) provider(t *testing.T, uris ...string) *provider {
	t.Helper()
	if len(uris) == 0 {
		uris = []string{d.uri()}
	}
	p, err := connect(t.Context(), driver.Config{"uris": uris})
	if err != nil {
		t.Fatal(err)
	}
	return p.(*provider)
}

func TestMachine(t *testing.T) {
	d := newDaemon(t)
	p := d.provider(t)
	id := domain{ref: d.domain}.id()
	for _, ref := range []string{machineName, id, strings.ToUpper(id)} {
		m, err := p.Machine(t.Context(), ref)
		if err != nil || m.ID != id || m.Name != machineName || m.State != cloud.Running || len(m.Units) != 1 || !m.Units[0].Whole || m.Units[0].Left != "" {
			t.Errorf("Machine(%q) = %+v, %v", ref, m, err)
		}
	}
	if _, err := p.Machine(t.Context(), "no-such"); driver.ClassOf(err) != driver.NotFound {
		t.Errorf("a name that no domain has: %v; want class not_found", err)
	}
	if _, err := d.provider(t, d.uri(), d.uri()).Machine(t.Context(), machineName); driver.ClassOf(err) != driver.Permanent || strings.Count(err.Error(), id) != 2 {
		t.Errorf("a domain on two hypervisors: %v; want a permanent error that names both", err)
	}
	gone := "test+unix:///default?socket=/no/such/socket"
	if _, err := d.provider(t, d.uri(), gone).Machine(t.Context(), machineName); driver.ClassOf(err) != driver.Retryable {
		t.Errorf("with a hypervisor out of reach: %v; want class retryable, as the domain may be there, too", err)
	}
	_, err := d.own.DomainCreateXML("<domain type='test'><name>passing</name><memory>1024</memory><os><type>hvm</type></os></domain>", 0)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := p.Machine(t.Context(), "passing"); err != nil || !strings.Contains(m.Units[0].Left, "transient") {
		t.Errorf("a transient domain: %+v, %v; want a hole", m, err)
	}
}

func TestForeignSnapshots(t *testing.T) {
	d := newDaemon(t)
	p := d.provider(t)
	id := domain{ref: d.domain}.id()
	if _, err := d.own.DomainSnapshotCreateXML(d.domain, "<domainsnapshot><name>mine</name><description>ncfleet is not mine</description></domainsnapshot>", 0); err != nil {
		t.Fatal(err)
	}
	if found, err := p.Snaps(t.Context(), cloud.Filter{}); err != nil || len(found) != 0 {
		t.Errorf("Snaps = %+v, %v; want none", found, err)
	}
	m := cloud.Machine{ID: id}
	first, err := p.Begin(t.Context(), m, cloud.Unit{}, cloud.Tags{Key: "r/1", Host: "nc-1"})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := p.Begin(t.Context(), m, cloud.Unit{}, cloud.Tags{Key: "r/1", Host: "nc-1"}); err != nil || again != first {
		t.Errorf("Begin of a key that has a snapshot: %+v, %v; want %+v", again, err, first)
	}
	if err := p.Delete(t.Context(), cloud.Snap{ID: "mine", Machine: id, Key: "r/1"}); err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if names, err := d.own.DomainSnapshotListNames(d.domain, 10, 0); err != nil || len(names) != 1 || names[0] != "mine" {
		t.Errorf("left are %q, %v; want the one taken by hand", names, err)
	}
	err = p.Restore(t.Context(), m, []cloud.Snap{first}, cloud.Stages{})
	if driver.ClassOf(err) != driver.NotFound {
		t.Errorf("Restore of a deleted snapshot: %v; want class not_found", err)
	}
}

// TestHoles reads descriptions of domains as libvirt writes them.
func TestHoles(t *testing.T) {
	const qcow2 = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a.qcow2'/><target dev='vda'/></disk>`
	for name, x := range map[string]struct{ kind, os, devices, want string }{
		"plain":          {"kvm", "", qcow2, ""},
		"raw file":       {"kvm", "", qcow2 + `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/b.img'/><target dev='vdb'/></disk>`, "disk vdb is of the format raw"},
		"raw volume":     {"kvm", "", `<disk type='block'><source dev='/dev/vg/web'/><target dev='vda'/></disk>`, "disk vda is of the format raw"},
		"ceph":           {"kvm", "", `<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='pool/web'/><target dev='vda'/></disk>`, "format raw"},
		"iscsi":          {"kvm", "", `<disk type='network' device='disk'><driver name='qemu' type='qcow2'/><source protocol='iscsi' name='iqn/1'/><target dev='vda'/></disk>`, "of the kind network"},
		"read-only disk": {"kvm", "", qcow2 + `<disk type='file' device='disk'><driver type='raw'/><source file='/c.img'/><target dev='vdc'/><readonly/></disk>`, ""},
		"cdrom":          {"kvm", "", qcow2 + `<disk type='file' device='cdrom'><driver type='raw'/><source file='/x.iso'/><target dev='sda'/><readonly/></disk>`, ""},
		"empty drive":    {"kvm", "", qcow2 + `<disk type='file' device='disk'><target dev='sdb'/></disk>`, ""},
		"shared disk":    {"kvm", "", `<disk type='file'><driver type='qcow2'/><source file='/s'/><target dev='vda'/><shareable/></disk>`, "shared"},
		"transient disk": {"kvm", "", `<disk type='file'><driver type='qcow2'/><source file='/s'/><target dev='vda'/><transient/></disk>`, "transient"},
		"UEFI":           {"kvm", `<loader readonly='yes' type='pflash'>/OVMF.fd</loader><nvram>/web_VARS.fd</nvram>`, qcow2, "UEFI"},
		"UEFI, chosen":   {"kvm", `<boot dev='hd'/>`, qcow2, ""},
		"UEFI in qcow2":  {"kvm", `<loader type='pflash' format='qcow2'>/OVMF.qcow2</loader><nvram format='qcow2'>/web_VARS.qcow2</nvram>`, qcow2, ""},
		"passthrough":    {"kvm", "", qcow2 + `<hostdev mode='subsystem' type='pci'/>`, "passed through"},
		"virtiofs":       {"kvm", "", qcow2 + `<filesystem type='mount'><driver type='virtiofs'/></filesystem>`, "virtiofs"},
		"9p":             {"kvm", "", qcow2 + `<filesystem type='mount'><driver type='path'/></filesystem>`, ""},
		"other kind":     {"lxc", "", qcow2, "KVM or QEMU"},
	} {
		var d description
		text := fmt.Sprintf("<domain type='%s'><os><type>hvm</type>%s</os><devices>%s</devices></domain>", x.kind, x.os, x.devices)
		if err := xml.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		if got := refusal(d); (got == "") != (x.want == "") || !strings.Contains(got, x.want) {
			t.Errorf("%s: %q, want %q", name, got, x.want)
		}
	}
}

func TestURIs(t *testing.T) {
	for uri, says := range map[string]string{
		"qemu:///system":                            "",
		"qemu+unix:///system?socket=/x":             "",
		"qemu:///system?mode=direct":                "mode",
		"qemu+tls://kvm1.example.org/system":        "tls_ca",
		"qemu://kvm1.example.org/system":            "tls_ca",
		"qemu+ssh://kvm1.example.org/system":        "ssh is not offered",
		"qemu+tcp://kvm1.example.org/system":        "tcp is not offered",
		"qemu+tls://root:pw-1@kvm1.example.org/sys": "user name",
		"kvm1": "no libvirt URI",
		"":     "no libvirt URI",
	} {
		_, err := connect(t.Context(), driver.Config{"uris": []string{uri}})
		if (err == nil) != (says == "") || err != nil && (driver.ClassOf(err) != driver.Permanent || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "pw-1")) {
			t.Errorf("%q: %v; want a permanent error with %q", uri, err, says)
		}
	}
	if _, err := connect(t.Context(), driver.Config{}); driver.ClassOf(err) != driver.Permanent {
		t.Errorf("no uris: %v; want a refusal", err)
	}
	_, err := connect(t.Context(), driver.Config{"uris": []string{"qemu:///system"}, "tls_ca": "x"})
	if driver.ClassOf(err) != driver.Permanent {
		t.Errorf("rubbish for a certificate: %v; want a refusal", err)
	}
}

// TestSilentDaemon: a daemon that accepts and says nothing holds no call longer
// than its ctx.
func TestSilentDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p, err := connect(t.Context(), driver.Config{"uris": []string{"test+unix:///default?socket=" + path}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.Check(ctx) }()
	select {
	case err := <-done:
		if driver.ClassOf(err) != driver.Retryable {
			t.Errorf("Check: %v; want class retryable", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Check outlasts its ctx")
	}
}
