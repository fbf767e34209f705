package proxmox

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

func (f *fake) host() *cloudtest.Host {
	return &cloudtest.Host{World: f.World, Machine: guestID, Points: map[string]string{"sda": "/"}, Server: "sda"}
}

func (f *fake) conformance(t *testing.T, newOne func(*testing.T) driver.Snapshotter) {
	drivertest.Snapshotter(t, drivertest.Snapshots{
		New: newOne, Config: settings(f.server), Subject: f.host().Subject("nc-1", "proxmox_vmid"), Runner: f.host(),
		Change: func(*testing.T) { f.Change(guestID) },
		State:  func(*testing.T) string { return f.State(guestID) },
		Damage: f.damage,
	})
}

func TestConformance(t *testing.T) {
	for _, kind := range []string{"qemu", "lxc"} {
		t.Run(kind, func(t *testing.T) {
			newFake(t, kind).conformance(t, func(*testing.T) driver.Snapshotter { return New() })
		})
	}
}

// TestConformanceOfTheBinary runs the suite over the program as users get it.
func TestConformanceOfTheBinary(t *testing.T) {
	newFake(t, "qemu").conformance(t, cloudtest.Binary(t, "../../cmd/ncfleet-driver-proxmox"))
}

// front speaks TLS for a proxy.
func front(t *testing.T, p *cloudtest.Proxy) *httptest.Server {
	t.Helper()
	to, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: to.Scheme, Host: to.Host})
	forward.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	s := httptest.NewTLSServer(forward)
	t.Cleanup(s.Close)
	return s
}

func TestFaults(t *testing.T) {
	f := newFake(t, "qemu")
	back := httptest.NewServer(f.server.Config.Handler)
	t.Cleanup(back.Close)
	proxy := cloudtest.NewProxy(t, back.URL)
	proxy.Answer = injected
	cloudtest.Run(t, cloudtest.Target{
		New:    func(*testing.T) driver.Snapshotter { return New() },
		Config: settings(front(t, proxy)), Subject: f.host().Subject("nc-1", "proxmox_vmid"), Runner: f.host(), Proxy: proxy, Want: 1,
		Change: func(*testing.T) { f.Change(guestID) },
		State:  func(*testing.T) string { return f.State(guestID) },
		Boots:  func(*testing.T) (n int) { f.Look(func() { n = f.Machines[guestID].Boots }); return n },
		Kept:   f.kept,
		Quota: func(*testing.T) func() {
			f.Look(func() { f.full = true })
			return func() { f.Look(func() { f.full = false }) }
		},
	})
}

func (f *fake) provider(t *testing.T) *provider {
	t.Helper()
	p, err := connect(t.Context(), settings(f.server))
	if err != nil {
		t.Fatal(err)
	}
	return p.(*provider)
}

func TestMachine(t *testing.T) {
	f := newFake(t, "qemu")
	f.others = []map[string]any{
		{"vmid": 101, "name": "twin", "node": "pve1", "type": "qemu"}, {"vmid": "102", "name": "twin", "node": "pve2", "type": "lxc"},
		{"vmid": 9, "name": "100", "node": "pve2", "type": "qemu"}, {"name": "pve2", "type": "node"}}
	p := f.provider(t)
	for _, ref := range []string{"100", "web-1"} {
		m, err := p.Machine(t.Context(), ref)
		if err != nil || m.ID != "100" || m.Name != "web-1" || m.State != cloud.Running || len(m.Units) != 1 || !m.Units[0].Whole || m.Units[0].GiB != 32 || m.Units[0].Left != "" {
			t.Errorf("Machine(%q) = %+v, %v", ref, m, err)
		}
	}
	if _, err := p.Machine(t.Context(), "twin"); driver.ClassOf(err) != driver.Permanent || !strings.Contains(err.Error(), "101 on pve1, 102 on pve2") {
		t.Errorf("a name that two guests have: %v; want a permanent error with both", err)
	}
	if _, err := p.Machine(t.Context(), "no-such"); driver.ClassOf(err) != driver.NotFound {
		t.Errorf("a name that no guest has: %v; want class not_found", err)
	}
}

func TestHoles(t *testing.T) {
	for name, x := range map[string]struct {
		kind   string
		change func(f *fake)
		want   string
	}{
		"no snapshots": {"qemu", func(f *fake) { f.feature = false; f.config["virtio1"] = "nfs:100/raw.raw,size=1T" }, "scsi0 local-zfs:vm-100-disk-0, virtio1 nfs:100/raw.raw"},
		"bind mount":   {"lxc", func(f *fake) { f.config["mp0"] = "/srv/data,mp=/srv/data"; f.feature = false }, "mount point mp0"},
		"volume":       {"lxc", func(f *fake) { f.config["mp0"] = "local-zfs:subvol-100-disk-1,mp=/srv/data,size=1G" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, x.kind)
			x.change(f)
			m, err := f.provider(t).Machine(t.Context(), guestID)
			if err != nil || (m.Units[0].Left == "") != (x.want == "") || !strings.Contains(m.Units[0].Left, x.want) {
				t.Errorf("%+v, %v; want a reason with %q", m.Units, err, x.want)
			}
			d := New()
			if err := d.Configure(t.Context(), settings(f.server)); err != nil {
				t.Fatal(err)
			}
			c, err := d.Cover(t.Context(), f.host().Subject("nc-1", "proxmox_vmid"), f.host())
			if err != nil || (len(c.Captured) == 0) != (x.want != "") {
				t.Errorf("Cover = %+v, %v", c, err)
			}
		})
	}
}

// TestRefusals shows what Proxmox VE's words become, told in the body and in
// the status line alone.
func TestRefusals(t *testing.T) {
	for _, phrase := range []bool{false, true} {
		f := newFake(t, "qemu")
		f.phrase = phrase
		p := f.provider(t)
		m, err := p.Machine(t.Context(), guestID)
		if err != nil {
			t.Fatal(err)
		}
		take := func(key string) (cloud.Snap, error) {
			return p.Begin(t.Context(), m, m.Units[0], cloud.Tags{Key: key, Machine: m.ID, Unit: wholeUnit})
		}
		f.Look(func() { f.lock = "backup" })
		_, err = take("r/1")
		if driver.ClassOf(err) != driver.Retryable || !strings.Contains(err.Error(), "VM is locked (backup)") || cloud.Unsure(err) {
			t.Errorf("phrase %v: a locked guest: %v; want class retryable, and sure", phrase, err)
		}
		f.Look(func() { f.lock = ""; f.full = true })
		if _, err = take("r/1"); driver.ClassOf(err) != driver.Quota || !strings.Contains(err.Error(), "out of space") {
			t.Errorf("phrase %v: a full storage: %v; want class quota", phrase, err)
		}
		f.Look(func() { f.full = false; f.feature = false })
		if _, err = take("r/1"); driver.ClassOf(err) != driver.Permanent {
			t.Errorf("phrase %v: a storage without snapshots: %v; want class permanent", phrase, err)
		}
		f.Look(func() { f.feature = true; f.zfs = true })
		first, err := take("r/1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err = take("r/2"); err != nil {
			t.Fatal(err)
		}
		err = p.Restore(t.Context(), m, []cloud.Snap{first}, cloud.Stages{})
		if driver.ClassOf(err) != driver.Permanent || !strings.Contains(err.Error(), "delete the newer ones first") {
			t.Errorf("phrase %v: a rollback past a newer snapshot on ZFS: %v; want a permanent error with the remedy", phrase, err)
		}
		if err := p.Delete(t.Context(), cloud.Snap{ID: "mine", Machine: m.ID, Key: "r/1"}); err != nil || len(f.Snaps) != 2 {
			t.Errorf("phrase %v: Delete of a snapshot that is not ours: %v, left %d; want nothing done", phrase, err, len(f.Snaps))
		}
	}
}

// TestHalfMade: what a task left half-way is no snapshot, and is made anew.
func TestHalfMade(t *testing.T) {
	f := newFake(t, "qemu")
	d := New()
	if err := d.Configure(t.Context(), settings(f.server)); err != nil {
		t.Fatal(err)
	}
	r := driver.SnapshotRequest{Key: "r/half", Subject: f.host().Subject("nc-1", "proxmox_vmid")}
	h, err := d.Create(t.Context(), r, f.host())
	if err != nil {
		t.Fatal(err)
	}
	f.damage(t, h)
	again, err := d.Create(t.Context(), r, f.host())
	if err != nil {
		t.Fatal(err)
	}
	if v, err := d.Verify(t.Context(), again, f.host()); err != nil || !v.Verified {
		t.Errorf("Verify = %+v, %v", v, err)
	}
	if n, _ := f.kept(t, r.Key); n != 1 {
		t.Errorf("%d snapshots of the key, want 1", n)
	}
}

func TestConnect(t *testing.T) {
	f := newFake(t, "qemu")
	fingerprint := fmt.Sprintf("% X", sha256.Sum256(f.server.Certificate().Raw))
	fingerprint = strings.ReplaceAll(fingerprint, " ", ":")
	for name, x := range map[string]struct {
		change func(driver.Config)
		class  driver.Class
		says   string
	}{
		"ca":                {func(driver.Config) {}, "", ""},
		"fingerprint":       {func(c driver.Config) { delete(c, "ca"); c["fingerprint"] = fingerprint }, "", ""},
		"insecure":          {func(c driver.Config) { delete(c, "ca"); c["insecure"] = true }, "", ""},
		"unknown":           {func(c driver.Config) { delete(c, "ca") }, driver.Permanent, "set ca to"},
		"other fingerprint": {func(c driver.Config) { c["fingerprint"] = strings.Repeat("AB:", 31) + "AB" }, driver.Permanent, "somebody replaced it"},
		"no fingerprint":    {func(c driver.Config) { c["fingerprint"] = "AB:CD" }, driver.Permanent, "SHA-256"},
		"no certificate":    {func(c driver.Config) { c["ca"] = "x" }, driver.Permanent, "PEM"},
		"plain HTTP":        {func(c driver.Config) { c["endpoint"] = "http://pve1:8006" }, driver.Permanent, "only https"},
		"no address":        {func(c driver.Config) { c["endpoint"] = "pve1" }, driver.Permanent, "no address"},
		"no token":          {func(c driver.Config) { c["token_id"] = "root@pam" }, driver.Auth, "USER@REALM!TOKEN"},
		"wrong secret":      {func(c driver.Config) { c["token_secret"] = "wrong-1" }, driver.Auth, "invalid token value"},
	} {
		config := settings(f.server)
		x.change(config)
		err := New().Configure(t.Context(), config)
		if driver.ClassOf(err) != x.class || err != nil && !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v; want class %q and %q", name, err, x.class, x.says)
		}
		if err != nil && (strings.Contains(err.Error(), tokenSecret) || strings.Contains(err.Error(), "wrong-1")) {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
}
