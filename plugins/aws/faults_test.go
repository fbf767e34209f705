package aws

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

func configured(t *testing.T, f *fakeEC2) driver.Snapshotter {
	t.Helper()
	d := New()
	if err := d.Configure(t.Context(), config(f.URL)); err != nil {
		t.Fatal(err)
	}
	return d
}

// life is a snapshot's way from Create to Delete. Each call goes through
// repeat, which may break it off and call again.
func life(t *testing.T, f *fakeEC2, repeat func(what string, call func(context.Context, driver.Snapshotter) error) error) {
	t.Helper()
	s, before := subject("cloud-07"), f.state(t)
	var h driver.Handle
	for _, c := range []struct {
		what string
		call func(context.Context, driver.Snapshotter) error
	}{
		{"Create", func(ctx context.Context, d driver.Snapshotter) (err error) {
			h, err = d.Create(ctx, driver.SnapshotRequest{Key: "rollout/cloud-07", Subject: s}, host{})
			return err
		}},
		{"change", func(context.Context, driver.Snapshotter) error { f.write(" upgraded"); return nil }},
		{"Verify", func(ctx context.Context, d driver.Snapshotter) error {
			v, err := d.Verify(ctx, h, host{})
			if err == nil && !v.Verified {
				t.Errorf("not verified: %+v", v)
			}
			return err
		}},
		{"Restore", func(ctx context.Context, d driver.Snapshotter) error { return d.Restore(ctx, h, s, host{}) }},
		{"look", func(context.Context, driver.Snapshotter) error {
			if got := f.state(t); got != before {
				t.Errorf("after the restore:\n%s\nbefore:\n%s", got, before)
			}
			return nil
		}},
		{"Delete", func(ctx context.Context, d driver.Snapshotter) error { return d.Delete(ctx, h, host{}) }},
	} {
		if err := repeat(c.what, c.call); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
	}
	if volumes, snapshots := f.left(); len(volumes)+len(snapshots) > 0 {
		t.Errorf("left behind: volumes %v, snapshots %v", volumes, snapshots)
	}
	if got := f.state(t); got != before {
		t.Errorf("after the deletion:\n%s\nbefore:\n%s", got, before)
	}
}

// all reports whether the long form of the tests is wanted.
func all() bool { return os.Getenv("NCFLEET_FAULTS") == "all" }

// kinds are the faults to inject in a run.
func kinds(t *testing.T) []cloudtest.Fault {
	if all() {
		return nil
	}
	t.Log("four kinds of fault; NCFLEET_FAULTS=all injects all")
	return []cloudtest.Fault{cloudtest.TooMany, cloudtest.Lost, cloudtest.Cut, cloudtest.Killed}
}

// form names EC2's calls, which all go to one path.
func form(_ *http.Request, body string) string {
	q, err := url.ParseQuery(body)
	if err != nil {
		return "unreadable"
	}
	if q.Get("DryRun") == "true" {
		return "dry run"
	}
	return q.Get("Action")
}

func TestFaults(t *testing.T) {
	f := newFake(t)
	f.slow, f.late = 1, 1
	proxy := cloudtest.NewProxy(t, f.URL)
	proxy.Action = form
	cloudtest.Run(t, cloudtest.Target{
		New: inProcess, Config: config(proxy.URL), Subject: subject("cloud-07"), Runner: host{}, Proxy: proxy,
		Change: func(*testing.T) { f.write(" upgraded") },
		State:  func(t *testing.T) string { return f.state(t) },
		Kept:   func(_ *testing.T, key string) (snapshots, volumes int) { return f.kept(key) }, Want: 2, Kinds: kinds(t),
		Boots: func(*testing.T) int { return f.counted("StartInstances") },
		Hide:  func(reads int) { f.alone(func() { f.late = reads }) },
		Quota: func(*testing.T) (lift func()) {
			f.alone(func() {
				f.fail = func(action string, _ int) string {
					if action == "CreateSnapshot" {
						return "SnapshotLimitExceeded"
					}
					return ""
				}
			})
			return func() { f.alone(func() { f.fail = nil }) }
		},
	})
}

// TestBadDay lets one call in six fail, in every way.
func TestBadDay(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.slow, f.late = 2, 2
			dice := rand.New(rand.NewPCG(seed, 0))
			f.fail = func(string, int) string {
				if dice.IntN(6) > 0 {
					return ""
				}
				return []string{"lost", "500", "503"}[dice.IntN(3)]
			}
			d := configured(t, f)
			life(t, f, func(_ string, call func(context.Context, driver.Snapshotter) error) error {
				return call(t.Context(), d)
			})
		})
	}
}

// TestBrokenOff ends each call at its n-th API call, as if the driver had been
// killed there, and a new driver repeats the call. NCFLEET_FAULTS=all takes
// every n, else it is every third.
func TestBrokenOff(t *testing.T) {
	for _, broken := range []string{"Create", "Restore", "Delete"} {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			step := 3
			if all() {
				step = 1
			}
			for n := 1; ; n += step {
				through := false
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					f := newFake(t)
					f.slow, f.late = 1, 1
					life(t, f, func(what string, call func(context.Context, driver.Snapshotter) error) error {
						d := configured(t, f)
						if what != broken {
							return call(t.Context(), d)
						}
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						left := n
						f.mu.Lock()
						f.fail = func(string, int) string {
							if left--; left > 0 {
								return ""
							}
							cancel()
							return "lost"
						}
						f.mu.Unlock()
						err := call(ctx, d)
						f.alone(func() { f.fail, through = nil, left > 0 })
						if err == nil && !through {
							t.Errorf("%s was broken off and says nothing", what)
						}
						return call(t.Context(), configured(t, f))
					})
				})
				if through || t.Failed() {
					t.Logf("%s was broken off at every %d. of at most %d API calls", broken, step, n-1)
					return
				}
			}
		})
	}
}

// TestClasses shows what the operator gets for each kind of refusal.
func TestClasses(t *testing.T) {
	for _, c := range []struct {
		action, code string
		class        driver.Class
		say          string
	}{
		{"CreateSnapshot", "SnapshotLimitExceeded", driver.Quota, "Service Quotas"},
		{"CreateVolume", "VolumeLimitExceeded", driver.Quota, "Service Quotas"},
		{"CreateSnapshot", "UnauthorizedOperation", driver.Auth, "allow ec2:CreateSnapshot"},
		{"DescribeInstances", "ExpiredToken", driver.Auth, "session_token"},
		{"DescribeSnapshots", "AuthFailure", driver.Auth, "access_key_id"},
		{"StopInstances", "OperationNotPermitted", driver.Permanent, "stop protection"},
		{"StartInstances", "InsufficientInstanceCapacity", driver.Retryable, "InsufficientInstanceCapacity"},
		{"CreateVolume", "InvalidParameterValue", driver.Permanent, "snap-"},
	} {
		t.Run(c.code, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			d := configured(t, f)
			f.mu.Lock()
			f.fail = func(a string, _ int) string {
				if a == c.action {
					return c.code
				}
				return ""
			}
			f.mu.Unlock()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // what passes is waited for
			defer cancel()
			s := subject("cloud-07")
			h, err := d.Create(ctx, driver.SnapshotRequest{Key: "k", Subject: s}, host{})
			if err == nil {
				err = d.Restore(ctx, h, s, host{})
			}
			if driver.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.say) {
				t.Errorf("class %s, error %v; want %s and the words %q", driver.ClassOf(err), err, c.class, c.say)
			}
			if strings.Contains(fmt.Sprint(err), "Encoded") || strings.Contains(fmt.Sprint(err), "s3cret") {
				t.Errorf("the error says too much: %v", err)
			}
		})
	}
}

// TestMissingPermissions shows that all of them are found before anything is
// touched.
func TestMissingPermissions(t *testing.T) {
	f := newFake(t)
	f.deny["StartInstances"], f.deny["AttachVolume"] = true, true
	_, err := configured(t, f).Cover(t.Context(), subject("cloud-07"), host{})
	if driver.ClassOf(err) != driver.Auth || !strings.Contains(err.Error(), "ec2:StartInstances, ec2:AttachVolume") {
		t.Errorf("Cover: %v", err)
	}
	bad := config(f.URL)
	bad["access_key_id"] = "AKIAOTHER"
	if err := New().Configure(t.Context(), bad); driver.ClassOf(err) != driver.Auth {
		t.Errorf("Configure with a wrong key: %v", err)
	}
}

// TestUnfitMachines shows what is refused or left out while planning.
func TestUnfitMachines(t *testing.T) {
	public := "<networkInterfaceSet><item><association><publicIp>203.0.113.9</publicIp><ipOwnerId>%s</ipOwnerId></association></item></networkInterfaceSet>"
	for name, c := range map[string]struct {
		change func(f *fakeEC2, i *fakeInstance)
		refuse string // in the error of Cover
		hole   string // in the reason of each hole
		config func(driver.Config)
	}{
		"fit":                 {change: func(*fakeEC2, *fakeInstance) {}},
		"elastic address":     {change: func(_ *fakeEC2, i *fakeInstance) { i.extra = fmt.Sprintf(public, "123456789012") }},
		"address lost":        {change: func(_ *fakeEC2, i *fakeInstance) { i.extra = fmt.Sprintf(public, "amazon") }, hole: "associate an Elastic IP"},
		"address may be lost": {change: func(_ *fakeEC2, i *fakeInstance) { i.extra = fmt.Sprintf(public, "amazon") }, config: func(c driver.Config) { c["allow_address_change"] = true }},
		"auto scaling":        {change: func(_ *fakeEC2, i *fakeInstance) { i.tags["aws:autoscaling:groupName"] = "web" }, refuse: "Auto Scaling group web"},
		"spot":                {change: func(_ *fakeEC2, i *fakeInstance) { i.extra = "<instanceLifecycle>spot</instanceLifecycle>" }, refuse: "spot instance"},
		"multi-attach":        {change: func(f *fakeEC2, i *fakeInstance) { f.volume(i.at["/dev/sdf"]).also = "i-other" }, hole: "Multi-Attach"},
		"two of one name":     {change: func(f *fakeEC2, _ *fakeInstance) { f.instances[1].tags["Name"] = "cloud-07" }, refuse: "i-00000000000000000, i-00000000000000001"},
		"none":                {change: func(_ *fakeEC2, i *fakeInstance) { i.tags["Name"] = "cloud-*" }, refuse: `no machine "cloud-07"`},
	} {
		t.Run(name, func(t *testing.T) {
			f, conf := newFake(t), driver.Config{}
			c.change(f, f.instances[0])
			conf = config(f.URL)
			if c.config != nil {
				c.config(conf)
			}
			d := New()
			if err := d.Configure(t.Context(), conf); err != nil {
				t.Fatal(err)
			}
			got, err := d.Cover(t.Context(), subject("cloud-07"), host{})
			if c.refuse != "" {
				if err == nil || !strings.Contains(err.Error(), c.refuse) {
					t.Errorf("Cover: %v, want the words %q", err, c.refuse)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if (c.hole == "") != (len(got.Missing) == 0) || slices.ContainsFunc(got.Missing, func(h driver.Hole) bool { return !strings.Contains(h.Reason, c.hole) }) {
				t.Errorf("holes %+v, want the words %q", got.Missing, c.hole)
			}
		})
	}
}

// TestHandAttached shows that a volume which a person put back after a restore
// is replaced by a new one, and not by one that has been in use.
func TestHandAttached(t *testing.T) {
	f := newFake(t)
	d, s := configured(t, f), subject("cloud-07")
	old := f.instances[0].at["/dev/sdf"]
	h, err := d.Create(t.Context(), driver.SnapshotRequest{Key: "k", Subject: s}, host{})
	if err != nil {
		t.Fatal(err)
	}
	before := f.state(t)
	if err := d.Restore(t.Context(), h, s, host{}); err != nil {
		t.Fatal(err)
	}
	f.write(" after the first restore")
	f.mu.Lock()
	i := f.instances[0]
	used := f.volume(i.at["/dev/sdf"])
	used.state, used.instance, used.attachment = "available", "", ""
	v := f.volume(old)
	v.state, v.instance, v.device, v.attachment = "in-use", i.id, "/dev/sdf", "attached"
	i.at["/dev/sdf"] = old
	f.mu.Unlock()
	if err := d.Restore(t.Context(), h, s, host{}); err != nil {
		t.Fatal(err)
	}
	if got := f.state(t); got != before {
		t.Errorf("after the second restore:\n%s\nbefore:\n%s", got, before)
	}
	// What was in use after a restore is a person's to delete.
	if err := d.Delete(t.Context(), h, host{}); err != nil {
		t.Fatal(err)
	}
	if volumes, _ := f.left(); !slices.Equal(volumes, []string{used.id}) {
		t.Errorf("left behind: %v, want %s alone", volumes, used.id)
	}
}
