package sim

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/remote"
	"github.com/ncfleet/ncfleet/controller/survey"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/apt"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(stop)
	return ctx
}

func start(t *testing.T, o Options) (*Fleet, *inventory.Fleet) {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	f, err := Start(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	file := filepath.Join(f.Dir, "fleet.hcl")
	if err := f.WriteInventory(file); err != nil {
		t.Fatal(err)
	}
	return f, load(t, file)
}

func load(t *testing.T, file string) *inventory.Fleet {
	t.Helper()
	inv, diags := inventory.Load([]string{file}, inventory.Options{KnownDrivers: map[string][]string{"packages": {"apt"}, "snapshot": {"archive"}}})
	for _, d := range diags {
		t.Error(d)
	}
	if t.Failed() {
		t.FailNow()
	}
	return inv
}

// connect reaches a host as the controller does.
func connect(t *testing.T, h *inventory.Host) *remote.Host {
	t.Helper()
	pool := remote.NewPool(remote.Limits{})
	t.Cleanup(func() { pool.Close() })
	return pool.Host(remote.Config{
		Name: h.Name, Address: h.Address, Port: h.SSH.Port, User: h.SSH.User, Keys: h.SSH.Keys,
		KnownHosts: h.SSH.KnownHosts, HostKeys: h.SSH.HostKeys, Sudo: h.SSH.Sudo, StateDir: h.StateDir,
	})
}

func TestSurvey(t *testing.T) {
	_, inv := start(t, Options{Hosts: 1})
	h := &inv.Hosts[0]
	r := connect(t, h)
	pm := apt.New()
	if err := pm.Configure(testContext(t), driver.Config{}); err != nil {
		t.Fatal(err)
	}
	facts := survey.Take(testContext(t), survey.Request{
		Host: *h, Remote: r, Packages: pm, Probe: driver.ProbeRequest{Refresh: true}, SetupChecks: true, AppStore: true, Now: time.Now,
	})
	if facts.Unreachable != "" || len(facts.Problems) > 0 {
		t.Fatalf("unreachable %q, problems %q", facts.Unreachable, facts.Problems)
	}
	in := facts.Instance("main")
	if in == nil || in.Code.Long() != "28.0.2.5" || in.NeedsDBUpgrade || in.Maintenance || in.StatusProblem != "" {
		t.Fatalf("%+v", in)
	}
	if got := strings.Join(facts.Packages.Broken, " "); got != "" || len(facts.Packages.Pending) == 0 {
		t.Errorf("packages %+v", facts.Packages)
	}
}
