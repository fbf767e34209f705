package digitalocean

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

const (
	dropletID = "4711"
	volumeID  = "506f78a4-e098-11e5-ad9f-000f53306ae1"
)

// scene is a droplet whose volume holds the database and the users' files.
func scene(t *testing.T) (*fake, *cloudtest.Host, driver.Subject, driver.Config) {
	f := newFake(t)
	f.AddMachine(cloudtest.Machine{ID: dropletID, Name: "web-1", Disk: "debian nextcloud", GiB: 80, Addresses: []string{"203.0.113.7", "10.114.0.2"}})
	f.AddVolume(cloudtest.Volume{ID: volumeID, Name: "web-1-data", Contents: "mariadb and files", GiB: 100, Machine: dropletID, Device: "sdb"})
	h := &cloudtest.Host{World: f.World, Machine: dropletID, Points: map[string]string{"sda": "/", "sdb": "/srv"}, Server: "sdb",
		Serial: func(v *cloudtest.Volume) string { return "0DO_Volume_" + v.Name }}
	return f, h, h.Subject("web-1", "droplet_id"), driver.Config{"token": testToken, "endpoint": f.URL, "poll": "2ms", "wait": "20s"}
}

// kept counts what the provider holds of a key.
func (f *fake) kept(key string) (snapshots, volumes int) {
	f.Look(func() {
		for _, s := range f.Snaps {
			for _, mark := range append(slices.Collect(maps.Keys(s.Tags)), s.Name) {
				if t, ok := readMark(mark); ok && t.Key == key {
					snapshots++
				}
			}
		}
		for _, v := range f.Volumes {
			for mark := range v.Tags {
				if t, ok := readMark(mark); ok && t.Key == key && v.Machine == "" {
					volumes++
				}
			}
		}
	})
	return snapshots, volumes
}

func conform(t *testing.T, newDriver func(*testing.T) driver.Snapshotter) {
	f, h, subject, config := scene(t)
	drivertest.Snapshotter(t, drivertest.Snapshots{
		New: newDriver, Config: config, Subject: subject, Runner: h,
		Change: func(*testing.T) { f.Change(dropletID) },
		State:  func(*testing.T) string { return f.State(dropletID) },
		Damage: func(t *testing.T, h driver.Handle) {
			f.Look(func() {
				for id, s := range f.Snaps {
					if t, ok := readMark(s.Name); ok && t.Key == h.Key {
						delete(f.Snaps, id)
					}
				}
			})
		},
	})
	f.Look(func() {
		if len(f.Snaps) != 0 || len(f.Volumes) != 1 {
			t.Errorf("left %d snapshots and %d volumes, want none and the attached one", len(f.Snaps), len(f.Volumes))
		}
	})
}

func TestConformance(t *testing.T) {
	conform(t, func(*testing.T) driver.Snapshotter { return New() })
}

// TestConformanceOfTheBinary runs the suite over the program as users get it.
func TestConformanceOfTheBinary(t *testing.T) {
	conform(t, cloudtest.Binary(t, "../../cmd/ncfleet-driver-digitalocean"))
}

func TestFaults(t *testing.T) {
	f, h, subject, config := scene(t)
	proxy := cloudtest.NewProxy(t, f.URL)
	proxy.Answer = injected
	config["endpoint"] = proxy.URL
	cloudtest.Run(t, cloudtest.Target{
		New:    func(*testing.T) driver.Snapshotter { return New() },
		Config: config, Subject: subject, Runner: h, Proxy: proxy, Want: 2,
		Change: func(*testing.T) { f.Change(dropletID) },
		State:  func(*testing.T) string { return f.State(dropletID) },
		Boots:  func(*testing.T) (n int) { f.Look(func() { n = f.Machines[dropletID].Boots }); return n },
		Kept:   func(_ *testing.T, key string) (int, int) { return f.kept(key) },
		Hide:   f.Hide,
		Quota: func(*testing.T) func() {
			f.Look(func() { f.limit = 1; f.Snaps["1"] = &cloudtest.Snapshot{ID: "1", State: "ready", Of: "2"} })
			return func() { f.Look(func() { f.limit = 0; delete(f.Snaps, "1") }) }
		},
	})
}

// TestMountedByName: a host that mounts a volume by its name would not come up
// with the volume of a restore.
func TestMountedByName(t *testing.T) {
	_, h, subject, config := scene(t)
	d := New()
	if err := d.Configure(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	for source, holes := range map[string]int{"/dev/disk/by-uuid/1": 0, "/dev/disk/by-id/scsi-0DO_Volume_web-1-data": 2} {
		h.More = fmt.Sprintf("name\tscsi-0DO_Volume_web-1-data\tsdb\nsource\t%s\n", source)
		c, err := d.Cover(t.Context(), subject, h)
		if err != nil || len(c.Missing) != holes || holes > 0 && !strings.Contains(c.Missing[0].Reason, "mount it by UUID") {
			t.Errorf("mounted as %s: %+v, %v", source, c, err)
		}
	}
}

func TestAmbiguousName(t *testing.T) {
	f, h, subject, config := scene(t)
	f.AddMachine(cloudtest.Machine{ID: "4712", Name: "web-1", Addresses: []string{"203.0.113.8"}})
	d := New()
	if err := d.Configure(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	subject.Labels = nil
	_, err := d.Cover(t.Context(), subject, h)
	if driver.ClassOf(err) != driver.Permanent || !strings.Contains(err.Error(), "4711, 4712") {
		t.Errorf("got %v", err)
	}
}

// TestForeignSnapshot: one that somebody takes by hand meanwhile is none of
// ours; ours is taken when the droplet is free again.
func TestForeignSnapshot(t *testing.T) {
	f, h, subject, config := scene(t)
	d := New()
	if err := d.Configure(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	f.Look(func() {
		m := f.Machines[dropletID]
		f.busy(m, "snapshot", func() error {
			s, _ := f.NewSnapshot(cloudtest.Snapshot{Name: "by hand", Of: m.ID})
			s.State = "ready"
			return nil
		})
	})
	if _, err := d.Create(t.Context(), driver.SnapshotRequest{Key: "r/one", Subject: subject}, h); err != nil {
		t.Fatal(err)
	}
	if n, _ := f.kept("r/one"); n != 2 || len(f.Snaps) != 3 {
		t.Errorf("%d snapshots of the key, %d in all", n, len(f.Snaps))
	}
}

func TestMarks(t *testing.T) {
	want := cloud.Tags{Key: "r-2026/canary.host/system/größe", Host: "web 1", Machine: "1", Unit: volumeID}
	mark, err := markOf(want)
	if err != nil || !tagName.MatchString(mark) {
		t.Fatalf("%q, %v", mark, err)
	}
	if got, ok := readMark(mark); !ok || got != want {
		t.Errorf("got %+v", got)
	}
	for _, odd := range []string{"", "web", "ncfleet:", "ncfleet:%%", "ncfleet:AAAA"} {
		if got, ok := readMark(odd); ok {
			t.Errorf("%q is read as %+v", odd, got)
		}
	}
	want.Key = strings.Repeat("k", 200)
	if _, err := markOf(want); driver.ClassOf(err) != driver.Permanent {
		t.Errorf("too long a key: %v", err)
	}
}
