package openstack

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

// scene is the first server of a fake, its host and its subject.
type scene struct {
	*fake
	id      string
	host    *cloudtest.Host
	subject driver.Subject
}

func newScene(t testing.TB) scene {
	f := newFake(t)
	id := f.machineNamed("cloud-07").ID
	h := &cloudtest.Host{World: f.World, Machine: id, Points: map[string]string{"sda": "/", "vdb": "/srv"}, Server: "vdb",
		Serial: func(v *cloudtest.Volume) string { return v.ID[:serialLength] }}
	return scene{f, id, h, h.Subject("cloud-07", "cloud_id")}
}

func config(url string) driver.Config {
	return driver.Config{"auth_url": url + "/identity/v3", "application_credential_id": "ac", "application_credential_secret": testSecret, "region": "one", "poll": "2ms", "wait": "1m"}
}

func inProcess(*testing.T) driver.Snapshotter { return New() }

func TestConformance(t *testing.T) {
	for name, newOne := range map[string]func(*testing.T) driver.Snapshotter{
		"in process": inProcess,
		"binary":     cloudtest.Binary(t, "../../cmd/ncfleet-driver-openstack"),
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			other := s.World.State(s.machineNamed("cloud-08").ID)
			drivertest.Snapshotter(t, drivertest.Snapshots{New: newOne, Config: config(s.URL), Subject: s.subject, Runner: s.host,
				Change: func(*testing.T) { s.World.Change(s.id) },
				State:  func(*testing.T) string { return s.World.State(s.id) },
				Damage: func(*testing.T, driver.Handle) {
					s.Look(func() {
						for _, n := range s.Snaps {
							n.State = "failed"
						}
					})
				}})
			if len(s.Snaps) > 0 || len(s.Volumes) != 2 {
				t.Errorf("left behind: %d snapshots and images, %d volumes more than before", len(s.Snaps), len(s.Volumes)-2)
			}
			if got := s.World.State(s.machineNamed("cloud-08").ID); got != other {
				t.Errorf("the other server was touched: %s", got)
			}
		})
	}
}

func all() bool { return os.Getenv("NCFLEET_FAULTS") == "all" }

// verb tells the actions on a server apart, which all go to one path.
func verb(r *http.Request, body string) string {
	var b map[string]any
	if strings.HasSuffix(r.URL.Path, "/action") && json.Unmarshal([]byte(body), &b) == nil {
		for k := range b {
			return " " + k
		}
	}
	return ""
}

func TestFaults(t *testing.T) {
	s := newScene(t)
	proxy := cloudtest.NewProxy(t, s.URL)
	proxy.Action = verb
	s.public = proxy.URL
	kinds := []cloudtest.Fault{cloudtest.TooMany, cloudtest.Lost, cloudtest.Cut, cloudtest.Killed}
	if all() {
		kinds = nil
	}
	cloudtest.Run(t, cloudtest.Target{New: inProcess, Config: config(proxy.URL), Subject: s.subject, Runner: s.host, Proxy: proxy, Kinds: kinds,
		Change: func(*testing.T) { s.World.Change(s.id) },
		State:  func(*testing.T) string { return s.World.State(s.id) },
		Kept:   func(_ *testing.T, key string) (snapshots, volumes int) { return s.kept(key) }, Want: 2,
		Boots: func(*testing.T) (n int) { s.Look(func() { n = s.Machines[s.id].Boots }); return n },
		Hide:  s.World.Hide,
		Quota: func(*testing.T) (lift func()) {
			s.Look(func() { s.limit = 1 })
			return func() { s.Look(func() { s.limit = 0 }) }
		}})
}

// TestBrokenOff ends a Restore at its n-th request, as if the driver had been
// killed there, and a new driver repeats it.
func TestBrokenOff(t *testing.T) {
	for n, through := 1, false; !through; n++ {
		s := newScene(t)
		proxy := cloudtest.NewProxy(t, s.URL)
		s.public = proxy.URL
		open := func() driver.Snapshotter {
			d := New()
			if err := d.Configure(t.Context(), config(proxy.URL)); err != nil {
				t.Fatal(err)
			}
			return d
		}
		before := s.World.State(s.id)
		h, err := open().Create(t.Context(), driver.SnapshotRequest{Key: "k", Subject: s.subject}, s.host)
		if err != nil {
			t.Fatal(err)
		}
		s.World.Change(s.id)
		d := open()
		ctx, cancel := context.WithCancel(t.Context())
		proxy.Inject(func(i int, _ cloudtest.Call) cloudtest.Fault {
			if i+1 < n {
				return ""
			}
			cancel()
			return cloudtest.Lost
		})
		err = d.Restore(ctx, h, s.subject, s.host)
		through = err == nil
		cancel()
		proxy.Reset()
		d = open()
		if err := d.Restore(t.Context(), h, s.subject, s.host); err != nil {
			t.Fatalf("the Restore after one broken off at request %d: %v", n, err)
		}
		if got := s.World.State(s.id); got != before {
			t.Fatalf("broken off at request %d and repeated:\n%s\nbefore:\n%s", n, got, before)
		}
		if err := d.Delete(t.Context(), h, s.host); err != nil {
			t.Fatal(err)
		}
		if snapshots, volumes := s.kept("k"); snapshots+volumes > 0 || len(s.Volumes) != 2 {
			t.Errorf("broken off at request %d: %d snapshots, %d volumes of the key, %d volumes in all", n, snapshots, volumes, len(s.Volumes))
		}
		if through {
			t.Logf("a Restore has %d requests; it was broken off at each", n-1)
		}
	}
}

// TestBadDay lets one request in six fail, in every way.
func TestBadDay(t *testing.T) {
	for seed := range uint64(5) {
		s := newScene(t)
		proxy := cloudtest.NewProxy(t, s.URL)
		s.public = proxy.URL
		dice := rand.New(rand.NewPCG(seed, 0))
		d := New()
		if err := d.Configure(t.Context(), config(proxy.URL)); err != nil {
			t.Fatal(err)
		}
		before := s.World.State(s.id)
		proxy.Inject(func(int, cloudtest.Call) cloudtest.Fault {
			if dice.IntN(6) > 0 {
				return ""
			}
			return []cloudtest.Fault{cloudtest.Lost, cloudtest.Broken, cloudtest.Gateway, cloudtest.Down}[dice.IntN(4)]
		})
		h, err := d.Create(t.Context(), driver.SnapshotRequest{Key: "k", Subject: s.subject}, s.host)
		if err != nil {
			t.Fatal(err)
		}
		s.World.Change(s.id)
		if err := d.Restore(t.Context(), h, s.subject, s.host); err != nil {
			t.Fatal(err)
		}
		if got := s.World.State(s.id); got != before {
			t.Errorf("seed %d: after the restore:\n%s\nbefore:\n%s", seed, got, before)
		}
		if err := d.Delete(t.Context(), h, s.host); err != nil {
			t.Fatal(err)
		}
		if snapshots, volumes := s.kept("k"); snapshots+volumes > 0 {
			t.Errorf("seed %d: %d snapshots and %d volumes are left", seed, snapshots, volumes)
		}
	}
}

// TestUnfitMachines shows what is left out while planning.
func TestUnfitMachines(t *testing.T) {
	s := newScene(t)
	s.Look(func() {
		m := s.Machines[s.id]
		s.images[s.id], m.GiB = "", 0
		for _, v := range s.Volumes {
			if v.Machine == s.id {
				v.Device = "/dev/vda"
				m.Attached = map[string]string{v.Device: v.ID}
			}
		}
	})
	s.host.Points, s.host.Server = map[string]string{"vda": "/"}, "vda"
	d := New()
	if err := d.Configure(t.Context(), config(s.URL)); err != nil {
		t.Fatal(err)
	}
	c, err := d.Cover(t.Context(), s.host.Subject("cloud-07", "cloud_id"), s.host)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Captured) > 0 || len(c.Missing) == 0 || !strings.Contains(c.Missing[0].Reason, "Nova exchanges no boot volume") {
		t.Errorf("captured %v, holes %v", c.Captured, c.Missing)
	}
	s.Look(func() { s.machineNamed("cloud-08").Name = "cloud-07" })
	byName := s.subject
	byName.Labels = nil
	if _, err := d.Cover(t.Context(), byName, s.host); driver.ClassOf(err) != driver.Permanent || !strings.Contains(err.Error(), s.id) {
		t.Errorf("two servers of one name: %v", err)
	}
}

// TestForeignImage shows that an image which a person makes of a restored
// server, and which bears the tags by inheritance, is never taken for one of
// the driver's.
func TestForeignImage(t *testing.T) {
	s := newScene(t)
	d := New()
	if err := d.Configure(t.Context(), config(s.URL)); err != nil {
		t.Fatal(err)
	}
	h, err := d.Create(t.Context(), driver.SnapshotRequest{Key: "k", Subject: s.subject}, s.host)
	if err != nil {
		t.Fatal(err)
	}
	s.Look(func() {
		for _, n := range s.Snaps {
			if n.Of == s.id {
				copied := *n
				copied.ID, copied.Name = s.newID(), "before the holidays"
				s.Snaps[copied.ID] = &copied
				return
			}
		}
	})
	if err := d.Delete(t.Context(), h, s.host); err != nil {
		t.Fatal(err)
	}
	if len(s.Snaps) != 1 {
		t.Errorf("%d images are left, want the person's own", len(s.Snaps))
	}
}

// TestCredentials shows that they come from the block, whole or not at all.
func TestCredentials(t *testing.T) {
	s := newScene(t)
	t.Setenv("OS_APPLICATION_CREDENTIAL_SECRET", testSecret)
	for name, change := range map[string]func(driver.Config){
		"none":  func(c driver.Config) { delete(c, "application_credential_id") },
		"half":  func(c driver.Config) { delete(c, "application_credential_secret") },
		"wrong": func(c driver.Config) { c["application_credential_secret"] = "another" },
	} {
		c := config(s.URL)
		change(c)
		if err := New().Configure(t.Context(), c); driver.ClassOf(err) != driver.Auth {
			t.Errorf("credentials %s: class %s, error %v", name, driver.ClassOf(err), err)
		}
	}
}

// TestVolumeWithSnapshots shows the fate of a replaced volume, which Cinder does
// not delete while it has snapshots: it goes with the last key of ours, and
// stays for good with a snapshot that a person made.
func TestVolumeWithSnapshots(t *testing.T) {
	s := newScene(t)
	d := New()
	if err := d.Configure(t.Context(), config(s.URL)); err != nil {
		t.Fatal(err)
	}
	first := s.Machines[s.id].Attached["/dev/vdb"]
	handles := map[string]driver.Handle{}
	for _, key := range []string{"one/h", "two/h"} {
		h, err := d.Create(t.Context(), driver.SnapshotRequest{Key: key, Subject: s.subject}, s.host)
		if err != nil {
			t.Fatal(err)
		}
		handles[key] = h
	}
	remove := func(key string) {
		t.Helper()
		if err := d.Delete(t.Context(), handles[key], s.host); err != nil {
			t.Fatal(err)
		}
		if snapshots, volumes := s.kept(key); snapshots+volumes > 0 {
			t.Errorf("%s: %d snapshots and %d volumes are left", key, snapshots, volumes)
		}
	}
	if err := d.Restore(t.Context(), handles["two/h"], s.subject, s.host); err != nil {
		t.Fatal(err)
	}
	s.Look(func() { s.Snaps["mine"] = &cloudtest.Snapshot{ID: "mine", Of: first, State: "ready"} })
	remove("two/h")
	if _, volumes := s.kept("one/h"); volumes != 1 {
		t.Errorf("the replaced volume does not go with the key of its other snapshot: %d volumes", volumes)
	}
	remove("one/h")
	if s.Volumes[first] == nil || s.Snaps["mine"] == nil {
		t.Error("a person's snapshot, or the volume that it is of, was deleted")
	}
}
