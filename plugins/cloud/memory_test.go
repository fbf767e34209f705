package cloud

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// memory is a provider without an API: it acts on a world at once.
type memory struct {
	*cloudtest.World
	fail   map[string][]error // by method, one for each call
	asked  map[string]int
	begins []string // what becomes of snapshots: "", "fail", "vanish", "twice"
}

func newMemory() *memory {
	p := &memory{World: cloudtest.NewWorld(), fail: map[string][]error{}, asked: map[string]int{}}
	p.AddMachine(cloudtest.Machine{ID: "m-1", Name: "web-1", Disk: "system", GiB: 10, Addresses: []string{"192.0.2.1"}})
	p.AddVolume(cloudtest.Volume{ID: "v-1", Contents: "data", Machine: "m-1", Device: "sdb"})
	return p
}

func (p *memory) call(method string) error {
	p.asked[method]++
	if errs := p.fail[method]; len(errs) > 0 {
		p.fail[method] = errs[1:]
		return errs[0]
	}
	return nil
}

func (p *memory) Check(context.Context) error { return p.call("check") }

func (p *memory) Machine(_ context.Context, ref string) (m Machine, err error) {
	err = p.call("machine")
	p.Do(func() {
		for _, o := range p.Machines {
			if o.ID == ref || o.Name == ref {
				m = Machine{ID: o.ID, Name: o.Name, State: o.State, Addresses: o.Addresses,
					Units: []Unit{{ID: "disk", Boot: true, GiB: 10}, {ID: "v-1", Device: "sdb", GiB: 20}}}
			}
		}
	})
	if err == nil && m.ID == "" {
		err = driver.Errorf(driver.NotFound, "no machine %s", ref)
	}
	return m, err
}

func (p *memory) Begin(_ context.Context, m Machine, u Unit, t Tags) (n Snap, err error) {
	err = p.call("begin")
	if driver.ClassOf(err) == driver.Quota {
		return n, err
	}
	fate := ""
	if len(p.begins) > 0 {
		fate, p.begins = p.begins[0], p.begins[1:]
	}
	p.Do(func() {
		contents := p.Machines[m.ID].Disk
		if u.ID != "disk" {
			contents = p.Volumes[u.ID].Contents
		}
		for range map[string]int{"": 1, "fail": 1, "twice": 2}[fate] {
			s, _ := p.NewSnapshot(cloudtest.Snapshot{Of: m.ID, Contents: contents, Tags: t.Map()})
			if fate == "fail" {
				s.State = Failed
			}
		}
	})
	return Snap{State: Pending}, err
}

func (p *memory) Snaps(_ context.Context, _ Filter) (out []Snap, err error) {
	err = p.call("snaps")
	p.Do(func() {
		for _, s := range p.ListSnaps() {
			t, _ := ReadTags(s.Tags)
			out = append(out, Snap{ID: s.ID, Unit: t.Unit, Key: t.Key, Machine: t.Machine, Host: t.Host, State: s.State, Created: s.Created, Bytes: 1})
		}
	})
	return out, err
}

func (p *memory) Delete(_ context.Context, s Snap) error {
	err := p.call("delete")
	p.Do(func() {
		if err == nil {
			delete(p.World.Snaps, s.ID)
		}
	})
	return err
}

func (p *memory) Restore(_ context.Context, m Machine, snaps []Snap, _ Stages) error {
	err := p.call("restore")
	p.Do(func() {
		for _, n := range snaps {
			if n.Unit == "disk" {
				p.Machines[m.ID].Disk = p.World.Snaps[n.ID].Contents
			} else {
				p.Volumes[n.Unit].Contents = p.World.Snaps[n.ID].Contents
			}
		}
	})
	return err
}

// configured is a driver over the provider, and a host on its machine.
func (p *memory) configured(t *testing.T, more driver.Config) (driver.Snapshotter, *cloudtest.Host, driver.SnapshotRequest) {
	t.Helper()
	d := New(Definition{Name: "memory", Version: "1", Price: "0.05 USD", PriceSource: "a guess", Connect: func(context.Context, driver.Config) (Provider, error) { return p, nil }})
	c := driver.Config{"poll": "1ms", "wait": "10s"}
	for k, v := range more {
		c[k] = v
	}
	if err := d.Configure(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	h := &cloudtest.Host{World: p.World, Machine: "m-1", Points: map[string]string{"sda": "/", "sdb": "/srv"}, Server: "sdb"}
	return d, h, driver.SnapshotRequest{Key: "r1/web-1", Subject: h.Subject("web-1", "cloud_id")}
}

func TestFateOfSnapshots(t *testing.T) {
	lost := Refusal("begin", 0, 0, fmt.Errorf("EOF"))
	for name, c := range map[string]struct {
		begins []string
		errs   []error
		class  driver.Class
		left   int
	}{
		"all well":                        {nil, nil, "", 2},
		"two made by one call":            {[]string{"twice", "twice"}, nil, "", 2},
		"failed once":                     {[]string{"fail"}, nil, "", 2},
		"failing for ever":                {[]string{"fail", "fail", "fail", "fail", "fail", "fail", "fail", "fail"}, nil, driver.Permanent, -1},
		"accepted and never seen":         {[]string{"vanish"}, nil, "", 2},
		"answer lost":                     {nil, []error{lost, lost}, "", 2},
		"answer lost, nothing made":       {[]string{"vanish"}, []error{lost}, "", 2},
		"refused for a moment":            {[]string{"vanish"}, []error{Refusal("begin", 429, 0, fmt.Errorf("slow down"))}, "", 2},
		"over the limit":                  {nil, []error{driver.Errorf(driver.Quota, "no more")}, driver.Quota, 0},
		"limit met by the second of both": {nil, []error{nil, driver.Errorf(driver.Quota, "no more")}, driver.Quota, 1},
	} {
		p := newMemory()
		p.begins, p.fail["begin"] = c.begins, c.errs
		d, h, r := p.configured(t, nil)
		handle, err := d.Create(t.Context(), r, h)
		if driver.ClassOf(err) != c.class {
			t.Errorf("%s: %v", name, err)
		}
		if c.left >= 0 && len(p.World.Snaps) != c.left {
			t.Errorf("%s: %d snapshots, want %d", name, len(p.World.Snaps), c.left)
		}
		if err != nil {
			continue
		}
		if v, err := d.Verify(t.Context(), handle, h); err != nil || !v.Verified || v.Bytes != 2 {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

// TestRetention: what earlier rollouts left goes, the newest excepted, and
// nothing of the present one.
func TestRetention(t *testing.T) {
	p := newMemory()
	d, h, r := p.configured(t, nil)
	for _, key := range []string{"r1/web-1", "r2/web-1", "r3/web-1", "r3/web-1/system/a", "r4/web-1", "r4/web-1/system/a"} {
		r.Key = key
		if _, err := d.Create(t.Context(), r, h); err != nil {
			t.Fatal(err)
		}
	}
	r.Key = "r4/web-1/system/b"
	p.fail["delete"] = []error{driver.Errorf(driver.Permanent, "it is protected")}
	if err := d.Prepare(t.Context(), r, h); err != nil {
		t.Fatal(err)
	}
	count := func() string {
		keys := map[string]int{}
		for _, s := range p.World.Snaps {
			keys[s.Tags[TagKey]]++
		}
		return fmt.Sprint(keys)
	}
	if got, want := count(), "map[r1/web-1:1 r3/web-1:2 r3/web-1/system/a:2 r4/web-1:2 r4/web-1/system/a:2]"; got != want {
		t.Errorf("left %s, want %s", got, want)
	}
	all, err := d.List(t.Context(), r.Subject, h)
	if err != nil || len(all) != 5 || all[0].Handle.Key != "r4/web-1/system/a" || all[4].Orphan {
		t.Errorf("listed %+v, %v", all, err)
	}
	for _, keep := range []any{0.0, 1.5, -1.0} {
		if err := New(Definition{Name: "memory"}).Configure(t.Context(), driver.Config{"keep": keep}); err == nil {
			t.Errorf("keep = %v is accepted", keep)
		}
	}
}

// TestRestoreDemands: the machine runs, at its address, and is the subject's.
func TestRestoreDemands(t *testing.T) {
	p := newMemory()
	d, h, r := p.configured(t, nil)
	handle, err := d.Create(t.Context(), r, h)
	if err != nil {
		t.Fatal(err)
	}
	p.Change("m-1")
	p.fail["restore"] = []error{Refusal("restore", 0, 0, fmt.Errorf("EOF")), Refusal("restore", 503, 0, fmt.Errorf("away"))}
	if err := d.Restore(t.Context(), handle, r.Subject, h); err != nil || !strings.Contains(p.State("m-1"), `"system"`) {
		t.Errorf("%v\n%s", err, p.State("m-1"))
	}
	p.World.Machines["m-1"].State = "stopped"
	p.fail["restore"] = nil
	short, _, _ := p.configured(t, driver.Config{"wait": "50ms"})
	if err := short.Restore(t.Context(), handle, r.Subject, h); driver.ClassOf(err) != driver.Retryable || !strings.Contains(err.Error(), "to run after 50ms") {
		t.Errorf("a machine that does not start: %v", err)
	}
	other := r.Subject
	other.Labels = map[string]string{"cloud_id": "m-2"}
	p.AddMachine(cloudtest.Machine{ID: "m-2", Name: "other"})
	before := p.asked["restore"]
	if err := d.Restore(t.Context(), handle, other, h); driver.ClassOf(err) != driver.Permanent || p.asked["restore"] != before {
		t.Errorf("another machine: %v", err)
	}
}

// TestLostAddress: a machine that comes back elsewhere is no restored one.
func TestLostAddress(t *testing.T) {
	p := newMemory()
	d, h, r := p.configured(t, nil)
	handle, err := d.Create(t.Context(), r, h)
	if err != nil {
		t.Fatal(err)
	}
	moved := &moves{memory: p}
	d = New(Definition{Name: "memory", Version: "1", Connect: func(context.Context, driver.Config) (Provider, error) { return moved, nil }})
	if err := d.Configure(t.Context(), driver.Config{"poll": "1ms"}); err != nil {
		t.Fatal(err)
	}
	if err := d.Restore(t.Context(), handle, r.Subject, h); driver.ClassOf(err) != driver.Permanent || !strings.Contains(err.Error(), "lost its address 192.0.2.1") {
		t.Errorf("got %v", err)
	}
}

type moves struct{ *memory }

func (p *moves) Restore(context.Context, Machine, []Snap, Stages) error {
	p.Do(func() { p.World.Machines["m-1"].Addresses = []string{"192.0.2.99"} })
	return nil
}

func TestCoverNote(t *testing.T) {
	p := newMemory()
	d, h, r := p.configured(t, nil)
	c, err := d.Cover(t.Context(), r.Subject, h)
	if err != nil || len(c.Missing) > 0 || c.BytesNeed != 30<<30 ||
		c.Note != "machine web-1 (m-1): 2 snapshots (disk, v-1) of at most 30 GiB, kept at about 0.05 USD a GiB and month (an estimate: a guess; set price in the driver's block); a restore takes the whole machine back and restarts it" {
		t.Errorf("got %+v, %v", c, err)
	}
	volumes := p.World.Machines["m-1"].Attached
	p.Do(func() { p.World.Machines["m-1"].Attached = nil })
	if c, err := d.Cover(t.Context(), r.Subject, h); err != nil || !strings.HasPrefix(c.Note, "machine web-1 (m-1): 1 snapshot (disk) of at most 10 GiB, ") {
		t.Errorf("of one disk: %+v, %v", c, err)
	}
	p.Do(func() { p.World.Machines["m-1"].Attached = volumes })
	// A target without packages does not ask for the system, and is told of it.
	r.Subject.Places = r.Subject.Places[:2]
	c, err = d.Cover(t.Context(), r.Subject, h)
	if err != nil || len(c.Captured) != 3 || c.Captured[2].Part != driver.PartSystem {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestClasses(t *testing.T) {
	for status, class := range map[int]driver.Class{0: driver.Retryable, 400: driver.Permanent, 401: driver.Auth, 403: driver.Auth, 402: driver.Quota,
		404: driver.NotFound, 409: driver.Retryable, 413: driver.Quota, 422: driver.Permanent, 423: driver.Retryable, 429: driver.Retryable, 500: driver.Retryable, 504: driver.Retryable} {
		err := Refusal("ask", status, time.Second, fmt.Errorf("no"))
		if driver.ClassOf(err) != class || Unsure(err) != (status == 0 || status >= 500) {
			t.Errorf("%d: class %s, unsure %v", status, driver.ClassOf(err), Unsure(err))
		}
	}
	now := time.Unix(1_780_000_000, 0)
	for header, want := range map[[2]string]time.Duration{
		{"Retry-After", "7"}: 7 * time.Second, {"Retry-After", "0"}: 0, {"Retry-After", "soon"}: 0, {"Retry-After", "-3"}: 0,
		{"Retry-After", now.Add(90 * time.Second).UTC().Format(http.TimeFormat)}: 90 * time.Second,
		{"RateLimit-Reset", "1780000030"}:                                        30 * time.Second, {"RateLimit-Reset", "5"}: 0,
	} {
		h := http.Header{}
		h.Set(header[0], header[1])
		if got := RetryAfter(h, now); got != want {
			t.Errorf("%v: %s, want %s", header, got, want)
		}
	}
	p := pace{poll: time.Second}
	far := driver.Errorf(driver.Retryable, "later")
	far.After = 24 * time.Hour
	if got := p.pause(far, time.Second); got != time.Minute {
		t.Errorf("an absurd Retry-After makes a pause of %s", got)
	}
}
