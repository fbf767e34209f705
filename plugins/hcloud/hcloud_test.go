package hcloud

import (
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

const serverID = "4711"

// scene is a server whose own disk holds the instance.
func scene(t *testing.T) (*fake, *cloudtest.Host, driver.Subject, driver.Config) {
	f := newFake(t)
	f.AddMachine(cloudtest.Machine{ID: serverID, Name: "web-1", Disk: "debian nextcloud mariadb", GiB: 40, Addresses: []string{"203.0.113.7"}})
	h := &cloudtest.Host{World: f.World, Machine: serverID, Points: map[string]string{"sda": "/"}, Server: "sda"}
	return f, h, h.Subject("web-1", "hcloud_id"), driver.Config{"token": testToken, "endpoint": f.URL, "poll": "2ms", "wait": "20s"}
}

func (f *fake) damage(t *testing.T, h driver.Handle) {
	f.Look(func() {
		for _, s := range f.Snaps {
			if readLabels(s.Tags).Key == h.Key {
				s.State = "failed"
			}
		}
	})
}

func TestConformance(t *testing.T) {
	f, h, subject, config := scene(t)
	drivertest.Snapshotter(t, drivertest.Snapshots{
		New:    func(*testing.T) driver.Snapshotter { return New() },
		Config: config, Subject: subject, Runner: h,
		Change: func(*testing.T) { f.Change(serverID) },
		State:  func(*testing.T) string { return f.State(serverID) },
		Damage: f.damage,
	})
}

// TestConformanceOfTheBinary runs the suite over the program as users get it.
func TestConformanceOfTheBinary(t *testing.T) {
	f, h, subject, config := scene(t)
	drivertest.Snapshotter(t, drivertest.Snapshots{
		New:    cloudtest.Binary(t, "../../cmd/ncfleet-driver-hcloud"),
		Config: config, Subject: subject, Runner: h,
		Change: func(*testing.T) { f.Change(serverID) },
		State:  func(*testing.T) string { return f.State(serverID) },
		Damage: f.damage,
	})
}

func TestFaults(t *testing.T) {
	f, h, subject, config := scene(t)
	proxy := cloudtest.NewProxy(t, f.URL)
	proxy.Answer = injected
	config["endpoint"] = proxy.URL
	cloudtest.Run(t, cloudtest.Target{
		New:    func(*testing.T) driver.Snapshotter { return New() },
		Config: config, Subject: subject, Runner: h, Proxy: proxy, Want: 1,
		Change: func(*testing.T) { f.Change(serverID) },
		State:  func(*testing.T) string { return f.State(serverID) },
		Boots:  func(*testing.T) (n int) { f.Look(func() { n = f.Machines[serverID].Boots }); return n },
		Kept: func(_ *testing.T, key string) (n, volumes int) {
			f.Look(func() {
				for _, s := range f.Snaps {
					if readLabels(s.Tags).Key == key {
						n++
					}
				}
			})
			return n, 0
		},
		Hide: f.Hide,
		Quota: func(*testing.T) func() {
			f.Look(func() { f.limit = 1; f.Snaps["1"] = &cloudtest.Snapshot{ID: "1", State: "ready", Of: "2"} })
			return func() { f.Look(func() { f.limit = 0; delete(f.Snaps, "1") }) }
		},
	})
}

// TestVolumesAreHoles: what lies on an attached volume is named, with the reason.
func TestVolumesAreHoles(t *testing.T) {
	f, h, _, config := scene(t)
	f.AddVolume(cloudtest.Volume{ID: "99", Contents: "users' files", Machine: serverID, Device: "sdb"})
	h.Points["sdb"], h.Server = "/srv", "sdb"
	h.Serial = func(v *cloudtest.Volume) string { return "0HC_Volume_" + v.ID }
	d := New()
	if err := d.Configure(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	c, err := d.Cover(t.Context(), h.Subject("web-1", "hcloud_id"), h)
	if err != nil {
		t.Fatal(err)
	}
	missing := map[driver.Part]string{}
	for _, hole := range c.Missing {
		missing[hole.Place.Part] = hole.Reason
	}
	for _, p := range []driver.Part{driver.PartData, driver.PartDatabase} {
		if !strings.Contains(missing[p], "no snapshots of attached volumes") {
			t.Errorf("%s is %q, want a hole: %+v", p, missing[p], c)
		}
	}
	if len(c.Missing) != 2 || len(c.Captured) != 3 || !strings.Contains(c.Note, "0.0110 EUR") {
		t.Errorf("coverage is %+v", c)
	}
	f.protected = true
	c, err = d.Cover(t.Context(), h.Subject("web-1", "hcloud_id"), h)
	if err != nil || len(c.Captured) != 0 || !strings.Contains(c.Missing[0].Reason, "rebuild protection") {
		t.Errorf("of a protected server: %+v, %v", c, err)
	}
}

func TestOrphans(t *testing.T) {
	f, h, subject, config := scene(t)
	d := New()
	if err := d.Configure(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	handle, err := d.Create(t.Context(), driver.SnapshotRequest{Key: "r/one", Subject: subject}, h)
	if err != nil {
		t.Fatal(err)
	}
	// The server is replaced: another id under the same name.
	f.Look(func() {
		m := f.Machines[serverID]
		delete(f.Machines, serverID)
		m.ID = "4712"
		f.Machines["4712"] = m
	})
	subject.Labels = nil
	all, err := d.List(t.Context(), subject, h)
	if err != nil || len(all) != 1 || !all[0].Orphan || all[0].Handle.Key != handle.Key {
		t.Fatalf("got %+v, %v", all, err)
	}
	if err := d.Restore(t.Context(), handle, subject, h); driver.ClassOf(err) != driver.Permanent || !strings.Contains(err.Error(), "4712") {
		t.Errorf("restored onto another machine: %v", err)
	}
	if err := d.Delete(t.Context(), all[0].Handle, h); err != nil {
		t.Fatal(err)
	}
	if len(f.Snaps) != 0 {
		t.Errorf("left %v", f.Snaps)
	}
}

func TestLabels(t *testing.T) {
	for _, tags := range []cloud.Tags{
		{Key: "r-2026/canary.host", Host: "web-1", Machine: "1", Unit: unitID},
		{Key: strings.Repeat("long/", 60), Host: "-odd host.", Instance: "größe", Machine: "9", Unit: unitID},
	} {
		tags.Created = time.Unix(1_780_000_000, 0)
		l := labels(tags)
		for name, v := range l {
			if v != "" && !plainValue.MatchString(v) || len(name) > 63 {
				t.Errorf("label %q = %q", name, v)
			}
		}
		if got := readLabels(l); got != tags {
			t.Errorf("got %+v, want %+v", got, tags)
		}
		l[digestLabel] = "other"
		if got := readLabels(l); got.Key != "" {
			t.Errorf("changed labels are read as %+v", got)
		}
	}
	if got := readLabels(map[string]string{"team": "web"}); got.Key != "" {
		t.Errorf("foreign labels are read as %+v", got)
	}
}
