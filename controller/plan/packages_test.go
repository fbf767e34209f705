package plan

import (
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// withPackages is a plan for one host with these packages.
func withPackages(t *testing.T, system inventory.System, p driver.PackageFacts) Plan {
	t.Helper()
	in := fixture(1)
	in.Rollout.System, in.Rollout.Core, in.Rollout.Apps = system, inventory.Core{}, inventory.Apps{Update: "none"}
	f := in.Facts["cloud-01"]
	f.Packages = &p
	in.Facts["cloud-01"] = f
	in.CompiledPackages["cloud-01"] = driver.Commands{Apply: []driver.Command{{Argv: []string{"true"}}}}
	plan, problems := Compute(in)
	if len(problems) > 0 {
		t.Fatalf("%+v", problems)
	}
	return plan
}

// TestReleaseUpgradeIsRefused: planned, and refused with a person's steps, when
// it is named and when the package sources would do it unasked.
func TestReleaseUpgradeIsRefused(t *testing.T) {
	moved := driver.PackageFacts{ReleaseSteps: []string{"read", "do"}, Pending: []driver.PackageChange{
		{Name: "base-files", From: "12.4", To: "13.8", Change: driver.ChangeUpgrade, Product: "os", Held: true, Reason: "os moves from 12 to 13"},
	}}
	for name, tc := range map[string]struct {
		upgrades []string
		facts    driver.PackageFacts
		want     []string
	}{
		"named":               {[]string{"os"}, driver.PackageFacts{ReleaseSteps: []string{"read", "do"}}, []string{`the rollout names "os"`, `take "os" out`, "(1) read (2) do"}},
		"named, no steps":     {[]string{"os"}, driver.PackageFacts{}, []string{"(1) upgrade the system as its release notes say"}},
		"the sources moved":   {nil, moved, []string{"sources of the host are of the next release (base-files 12.4 → 13.8)", "(1) read (2) do"}},
		"named and they have": {[]string{"php", "os"}, moved, []string{`the rollout names "os" in its upgrades (base-files 12.4 → 13.8)`}},
	} {
		p := withPackages(t, inventory.System{Level: "update", Upgrades: tc.upgrades}, tc.facts)
		if len(p.Blocked) != 1 || p.Blocked[0].Problems[0].Code != "release_upgrade" {
			t.Errorf("%s: blocked %+v", name, p.Blocked)
			continue
		}
		text := p.Blocked[0].Problems[0].Detail + "\n" + p.Blocked[0].Problems[0].Remedy
		for _, w := range tc.want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in %s", name, w, text)
			}
		}
	}
}

// A driver that lets the release move is not followed.
func TestReleaseUpgradeIsNeverSelected(t *testing.T) {
	f := driver.PackageFacts{Pending: []driver.PackageChange{{Name: "base-files", From: "12.4", To: "13.8", Change: driver.ChangeUpgrade, Product: "os"}}}
	s := inventory.System{Level: "update", Upgrades: []string{"os"}}
	if got := SelectPackages(s, f).Changes; len(got) != 0 {
		t.Errorf("selected %+v", got)
	}
}

// TestHeldBackOnIdleTargets: what waits is told where nothing else is done.
func TestHeldBackOnIdleTargets(t *testing.T) {
	p := withPackages(t, inventory.System{Level: "update"}, driver.PackageFacts{Pending: []driver.PackageChange{
		{Name: "mariadb-server", From: "10.11.6", To: "11.4.2", Change: driver.ChangeUpgrade, Product: "mariadb", Held: true, Reason: "mariadb moves"},
	}})
	if len(p.Idle) != 1 || len(p.HeldBack) != 1 || p.HeldBack[0].Target != "cloud-01" || p.HeldBack[0].Packages[0].Reason != "mariadb moves" {
		t.Errorf("idle %q, held back %+v", p.Idle, p.HeldBack)
	}
	data, err := Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Decode(data); err != nil || len(back.HeldBack) != 1 {
		t.Errorf("after its file form: %+v, %v", back.HeldBack, err)
	}
}

// TestStaleServicesAreShown: the target carries them for the report.
func TestStaleServicesAreShown(t *testing.T) {
	p := withPackages(t, inventory.System{Level: "update"}, driver.PackageFacts{Stale: []string{"nginx.service"}, Pending: []driver.PackageChange{
		{Name: "openssl", From: "1", To: "2", Change: driver.ChangeUpdate},
	}})
	if len(p.Waves) == 0 || len(p.Waves[0].Targets) != 1 || strings.Join(p.Waves[0].Targets[0].Stale, " ") != "nginx.service" {
		t.Errorf("%+v, blocked %+v", p.Waves, p.Blocked)
	}
}

func TestPackagesDriver(t *testing.T) {
	for _, tc := range []struct{ named, found, want string }{
		{"", "zypper", "zypper"}, {"apt", "dnf", "apt"}, {"yum", "dnf", "dnf"}, {"yum", "", "dnf"}, {"mine", "apt", "mine"}, {"", "", ""},
	} {
		if got := PackagesDriver(&inventory.Host{Packages: tc.named}, &Facts{PackageManager: tc.found}); got != tc.want {
			t.Errorf("named %q, found %q: %q, want %q", tc.named, tc.found, got, tc.want)
		}
	}
}

// The operator's lock_wait stands in the driver's block: the plan names none.
func TestSelectionLeavesTheLockToTheDriver(t *testing.T) {
	f := driver.PackageFacts{Pending: []driver.PackageChange{{Name: "openssl", From: "1", To: "2", Change: driver.ChangeUpdate}}}
	if s := SelectPackages(inventory.System{Level: "update"}, f); s.LockWait != 0 || len(s.Changes) != 1 {
		t.Errorf("%+v", s)
	}
}

// TestUnreadPackagesAreNotIdle: where the package index could not be read, that
// nothing is seen to wait does not mean that there is nothing to do.
func TestUnreadPackagesAreNotIdle(t *testing.T) {
	for want, facts := range map[string]driver.PackageFacts{
		"the package manager is locked":                   {Lock: "zypper (process 7)"},
		"the package repositories do not answer properly": {Problems: []string{"the package index cannot be renewed"}},
	} {
		p := withPackages(t, inventory.System{Level: "update"}, facts)
		if len(p.Idle) != 0 || len(p.Blocked) != 1 || p.Blocked[0].Problems[0].Summary != want {
			t.Errorf("%s: idle %q, blocked %+v", want, p.Idle, p.Blocked)
		}
	}
	if p := withPackages(t, inventory.System{Level: "none"}, driver.PackageFacts{Lock: "zypper (process 7)"}); len(p.Blocked) != 0 {
		t.Errorf("a rollout that leaves packages alone: %+v", p.Blocked)
	}
}
