package plan

import (
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

func percent(p float64) inventory.Amount { return inventory.Amount{Percent: p, IsPercent: true} }
func plain(n int) inventory.Amount       { return inventory.Amount{Count: n} }

func TestAmounts(t *testing.T) {
	for _, c := range []struct {
		amount              inventory.Amount
		targets             int
		unavailable, budget int
	}{
		{plain(0), 12, 1, 0}, {plain(3), 12, 3, 3}, {plain(30), 12, 12, 12},
		{percent(0), 12, 1, 0}, {percent(1), 3, 1, 0}, {percent(10), 12, 1, 1}, {percent(25), 12, 3, 3},
		{percent(29), 100, 29, 29}, {percent(99.9), 10, 9, 9}, {percent(100), 12, 12, 12}, {percent(10), 0, 1, 0},
		{percent(33.4), 3, 1, 1},
	} {
		if got := maxUnavailable(c.amount, c.targets); got != c.unavailable {
			t.Errorf("max unavailable of %+v in %d: %d, want %d", c.amount, c.targets, got, c.unavailable)
		}
		if got := failureBudget(c.amount, c.targets); got != c.budget {
			t.Errorf("failure budget of %+v in %d: %d, want %d", c.amount, c.targets, got, c.budget)
		}
	}
	if aheadOf(1) != 8 || aheadOf(20) != 20 {
		t.Error("ahead is neither 8 nor what may be unavailable")
	}
}

func TestSelectPackages(t *testing.T) {
	pending := []driver.PackageChange{
		{Name: "zlib", Change: driver.ChangeUpdate},
		{Name: "openssl", Change: driver.ChangeUpdate, Security: true},
		{Name: "kernel-6.2", Change: driver.ChangeInstall, Security: true},
		{Name: "libnew", Change: driver.ChangeInstall},
		{Name: "php8.3", Change: driver.ChangeUpgrade, Product: "php", Security: true},
		{Name: "mariadb", Change: driver.ChangeUpgrade, Product: "mariadb"},
		{Name: "old", Change: driver.ChangeRemove},
		{Name: "pinned", Change: driver.ChangeUpdate, Security: true, Held: true, Reason: "apt-mark hold"},
		{Name: "odd", Change: "sideways"},
	}
	for _, c := range []struct {
		system inventory.System
		want   string
	}{
		{inventory.System{}, ""},
		{inventory.System{Level: "none"}, ""},
		{inventory.System{Level: "security"}, "kernel-6.2 openssl"},
		{inventory.System{Level: "update"}, "kernel-6.2 libnew openssl zlib"},
		{inventory.System{Level: "update", Upgrades: []string{"php"}}, "kernel-6.2 libnew openssl php8.3 zlib"},
		{inventory.System{Level: "security", Upgrades: []string{"mariadb"}}, "kernel-6.2 mariadb openssl"},
		{inventory.System{Level: "everything"}, ""},
	} {
		var names []string
		for _, p := range SelectPackages(c.system, driver.PackageFacts{Pending: pending}).Changes {
			names = append(names, p.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%+v selects %q, want %q", c.system, got, c.want)
		}
	}
	for _, p := range pendingPackages(inventory.System{Level: "security"}, driver.PackageFacts{Pending: pending}) {
		if p.Held == (p.Reason == "") {
			t.Errorf("%s: held %v, reason %q", p.Name, p.Held, p.Reason)
		}
	}
}

func TestPHPAfter(t *testing.T) {
	for to, want := range map[string]string{"2:8.2.7+93": "8.2.7", "8.3.1-1~deb12u1": "8.3.1", "8.2": "8.2", "": "8.0.30", "sid": "8.0.30"} {
		sel := driver.Selection{Changes: []driver.PackageChange{{Name: "php", Product: "php", Change: driver.ChangeUpgrade, To: to}}}
		if got := phpAfter("8.0.30", sel); got != want {
			t.Errorf("to %q: %q, want %q", to, got, want)
		}
	}
}

func TestMegabytes(t *testing.T) {
	for s, want := range map[string]int64{"512M": 512, "1G": 1024, "134217728": 128, "-1": 1 << 40, "65536K": 64} {
		if got, ok := megabytes(s); !ok || got != want {
			t.Errorf("%q: %d %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "much", "M"} {
		if _, ok := megabytes(s); ok {
			t.Errorf("%q was read", s)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 30: "5.0 GiB", 3 << 50: "3.0 PiB"} {
		if got := Size(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func TestDiff(t *testing.T) {
	in := fixture(1)
	tg := target(t, mustPlan(t, in), "cloud-01")
	if d := Diff(*tg, in.Facts["cloud-01"]); len(d) != 0 {
		t.Fatalf("unchanged facts differ: %+v", d)
	}
	for _, c := range []struct {
		name, what, planned, found string
		f                          func(*Facts, *InstanceFacts)
	}{
		{"another version", "version of cloud-01", "28.0.2.5", "28.0.3.1", func(_ *Facts, s *InstanceFacts) { s.Code = version("28.0.3.1") }},
		{"database ahead", "database's version of cloud-01", "28.0.2.5", "28.0.3.1", func(_ *Facts, s *InstanceFacts) { s.Config = version("28.0.3.1") }},
		{"another PHP", "PHP of cloud-01", "8.2", "8.3", func(_ *Facts, s *InstanceFacts) { s.PHP.Version = "8.3.1" }},
		{"another database", "database of cloud-01", "MariaDB 10.11", "MariaDB 11.4", func(_ *Facts, s *InstanceFacts) { s.Database.Version = "11.4.2" }},
		{"app updated", "app calendar of cloud-01", "4.6.0", "4.7.1", func(_ *Facts, s *InstanceFacts) {
			s.Apps = []App{{ID: "calendar", Version: "4.7.1", Enabled: true}, s.Apps[1]}
		}},
		{"app disabled", "app calendar of cloud-01", "enabled, 4.6.0", "not enabled", func(_ *Facts, s *InstanceFacts) { s.Apps = s.Apps[1:] }},
		{"app enabled", "app mail of cloud-01", "not enabled", "enabled, 3.5.0", func(_ *Facts, s *InstanceFacts) {
			s.Apps = append([]App(nil), s.Apps...)
			s.Apps[2].Enabled = true
		}},
		{"maintenance on", "maintenance mode of cloud-01", "false", "true", func(_ *Facts, s *InstanceFacts) { s.Maintenance = true }},
		{"upgrade pending", "pending upgrade of cloud-01", "false", "true", func(_ *Facts, s *InstanceFacts) { s.NeedsDBUpgrade = true }},
		{"package newer", "package openssl", "3.0.15-1 → 3.0.17-1", "3.0.15-1 → 3.0.18-1", pending(1, func(c *driver.PackageChange) { c.To = "3.0.18-1" })},
		{"package changed by hand", "package openssl", "3.0.15-1 → 3.0.17-1", "3.0.16-1 → 3.0.17-1", pending(1, func(c *driver.PackageChange) { c.From = "3.0.16-1" })},
		{"package gone", "package openssl", "3.0.15-1 → 3.0.17-1", "no longer pending", pending(1, func(c *driver.PackageChange) { c.Name = "other" })},
		{"packages unread", "packages of cloud-01", "readable", "not readable", func(f *Facts, _ *InstanceFacts) { f.Packages = nil }},
		{"no room", "free room on /", "", "1.0 GiB", func(f *Facts, _ *InstanceFacts) { f.Mounts[0].BytesFree = 1 << 30 }},
		{"no mount", "mount /", "mounted", "not mounted", func(f *Facts, _ *InstanceFacts) { f.Mounts = nil }},
		{"leased", "lease of cloud-01", "free", "held by x", func(f *Facts, _ *InstanceFacts) { f.Lease = "x" }},
		{"occ runs", "running processes on cloud-01", "none that would disturb", "pid 7 of www-data: php occ", func(f *Facts, _ *InstanceFacts) {
			f.Processes = []Process{{PID: 7, Kind: "occ", User: "www-data", Command: "php occ"}, {Kind: "cron"}}
		}},
		{"new rival", "rival updater on cloud-01", "not there", "unattended.service", func(f *Facts, _ *InstanceFacts) {
			f.Rivals = []Rival{{Kind: "service", Name: "unattended.service", Active: true}}
		}},
		{"gone", "installation of cloud-01", "as surveyed", "moved", func(_ *Facts, s *InstanceFacts) { s.Missing = "moved" }},
		{"unreachable", "host cloud-01", "reachable", "timeout", func(f *Facts, _ *InstanceFacts) { f.Unreachable = "timeout" }},
		{"leftovers", "leftovers of cloud-01", "none", "/x/.step", func(_ *Facts, s *InstanceFacts) { s.Leftovers = []string{"/x/.step"} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := fixture(1)
			change(&in, "cloud-01", c.f)
			d := Diff(*tg, in.Facts["cloud-01"])
			if len(d) != 1 || d[0].What != c.what || c.planned != "" && d[0].Planned != c.planned || d[0].Found != c.found {
				t.Fatalf("got %+v", d)
			}
		})
	}
}

func pending(i int, f func(*driver.PackageChange)) func(*Facts, *InstanceFacts) {
	return func(facts *Facts, _ *InstanceFacts) {
		p := *facts.Packages
		p.Pending = append([]driver.PackageChange(nil), p.Pending...)
		f(&p.Pending[i-1])
		facts.Packages = &p
	}
}

func TestDiffForgives(t *testing.T) {
	in := fixture(1)
	tg := target(t, mustPlan(t, in), "cloud-01")
	change(&in, "cloud-01", func(f *Facts, s *InstanceFacts) {
		f.BootID, f.UptimeSeconds = "another", 12
		s.PHP.Version, s.Database.Version = "8.2.99", "10.11.99"
		f.Rivals = nil
	})
	if d := Diff(*tg, in.Facts["cloud-01"]); len(d) != 0 {
		t.Fatalf("harmless changes refused: %+v", d)
	}
}

func TestDiffOfAHostTarget(t *testing.T) {
	in := fixture(1)
	several(&in, "cloud-01", "a", "b")
	tg := target(t, mustPlan(t, in), "cloud-01")
	if d := Diff(*tg, in.Facts["cloud-01"]); len(d) != 0 {
		t.Fatalf("unchanged facts differ: %+v", d)
	}
	change(&in, "cloud-01", func(_ *Facts, s *InstanceFacts) { s.Maintenance = true })
	if d := Diff(*tg, in.Facts["cloud-01"]); len(d) != 1 || d[0].What != "maintenance mode of a" {
		t.Fatalf("got %+v", d)
	}
}
