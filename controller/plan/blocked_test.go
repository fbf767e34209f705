package plan

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// trouble is one way in which cloud-01 is not fit, and the codes that say so.
type trouble struct {
	name  string
	codes string // of the blocking problems
	warns string // further warnings beside the fixture's own
	make  func(*Input)
}

func facts(f func(*Facts, *InstanceFacts)) func(*Input) {
	return func(in *Input) { change(in, "cloud-01", f) }
}

var troubles = []trouble{
	{"unknown host key", "unreachable", "", facts(func(f *Facts, _ *InstanceFacts) {
		f.Unreachable = "its key is not in /k. Then add it: `ssh-keyscan -p 2222 192.0.2.1 >> /k` and compare"
	})},
	{"unreachable host", "unreachable", "", facts(func(f *Facts, _ *InstanceFacts) {
		*f = Facts{Host: "cloud-01", Unreachable: "dial tcp 192.0.2.1:22: connection refused"}
	})},
	{"no installation", "no_installation", "", facts(func(_ *Facts, s *InstanceFacts) { s.Missing = "version.php is not there" })},
	{"status problem", "status_problem", "", facts(func(_ *Facts, s *InstanceFacts) { s.StatusProblem = "exit 1: An unhandled exception has been thrown" })},
	{"maintenance already on", "maintenance_on", "", facts(func(_ *Facts, s *InstanceFacts) { s.Maintenance = true })},
	{"pending upgrade and leftovers", "leftovers upgrade_pending", "", facts(func(_ *Facts, s *InstanceFacts) {
		s.Code, s.NeedsDBUpgrade = version("29.0.1.1"), true
		s.Leftovers = []string{"/srv/data/main/updater-oc1/.step"}
	})},
	{"database down", "database_unreachable", "", facts(func(_ *Facts, s *InstanceFacts) {
		s.Database.Problem = "SQLSTATE[HY000] [2002] Connection refused"
	})},
	{"config read-only", "config_read_only", "", facts(func(_ *Facts, s *InstanceFacts) { s.Settings.ReadOnlyConfig = true })},
	{"app directory not writable", "dir_not_writable", "", facts(func(_ *Facts, s *InstanceFacts) {
		s.Dirs[1] = Dir{Path: "/var/www/nextcloud/apps", Owner: "root", Group: "root", Mode: "0755", Why: "apps are updated in it"}
	})},
	{"disk full", "disk_full inodes_full", "", facts(func(f *Facts, _ *InstanceFacts) {
		f.Mounts[0].BytesFree, f.Mounts[0].InodesFree = 700<<20, 900
	})},
	{"mirror unreachable from the host", "mirror_unreachable", "", func(in *Input) {
		in.Rollout.Core.Transfer = "fetch"
		change(in, "cloud-01", func(f *Facts, _ *InstanceFacts) {
			f.Downloads = []Reach{{URL: "https://mirror.example/releases", Detail: "curl: (7) Failed to connect to mirror.example port 443", Millis: 5000}}
		})
	}},
	{"mirror that lacks the archive", "mirror_unreachable", "", func(in *Input) {
		in.Rollout.Core.Transfer = "fetch"
		change(in, "cloud-01", func(f *Facts, _ *InstanceFacts) {
			f.Downloads = []Reach{{URL: "https://mirror.example/releases", OK: true, Status: 200, Tool: "curl"},
				{URL: Archives(*in)["cloud-01"][0], Status: 404, Detail: "curl ended with 0, HTTP status 404", Millis: 12, Tool: "curl"}}
		})
	}},
	{"release source unreadable", "release_source", "", func(in *Input) {
		in.ReleasesProblem = "GET https://mirror.example/releases/: 502 Bad Gateway"
	}},
	{"PHP too old", "php_too_old", "php_differs", facts(func(_ *Facts, s *InstanceFacts) { s.PHP.Version, s.PHP.Path = "7.4.33", "/usr/bin/php7.4" })},
	{"PHP too old for the last of three hops", "php_too_old", "", func(in *Input) {
		in.Rollout.Core.To = "31"
		change(in, "cloud-01", func(_ *Facts, s *InstanceFacts) {
			s.PHP.Version, s.PHP.Web, s.Apps[0].MaxNextcloud = "8.0.30", "8.0.30", "31"
		})
	}},
	{"PHP too new", "php_too_new", "", facts(func(_ *Facts, s *InstanceFacts) { s.PHP.Version, s.PHP.Web = "8.4.5", "8.4.5" })},
	{"memory limit far too low", "php_memory", "", facts(func(_ *Facts, s *InstanceFacts) { s.PHP.MemoryLimit = "64M" })},
	{"modules missing", "php_modules", "", facts(func(_ *Facts, s *InstanceFacts) { s.PHP.Modules = s.PHP.Modules[:12] })},
	{"a major skipped by the source", "major_skipped_missing", "", func(in *Input) {
		in.Rollout.Core.To = "31"
		in.Releases = []Release{release("29.0.16"), release("31.0.14")}
	}},
	{"28 to 31 in one go without sources between", "major_skipped_missing", "", func(in *Input) {
		in.Rollout.Core.To = "31"
		in.Releases = []Release{release("31.0.14")}
	}},
	{"downgrade", "downgrade", "", func(in *Input) { in.Rollout.Core.To = "27" }},
	{"app that does not support 29", "app_incompatible", "", facts(func(_ *Facts, s *InstanceFacts) { s.Apps[0].MaxNextcloud, s.Apps[0].Update = "28", "" })},
	{"critical app with a newer release for 28 only", "app_incompatible", "", func(in *Input) {
		in.Rollout.Apps.OnIncompatible, in.Rollout.Apps.Critical = "disable", []string{"calendar"}
		in.Catalogue = map[string][]AppRelease{"calendar": {{Version: "4.7.1", MinNextcloud: "26", MaxNextcloud: "28"}, {Version: "5.0.0-beta", MaxNextcloud: "29"}}}
		change(in, "cloud-01", func(_ *Facts, s *InstanceFacts) { s.Apps[0].MaxNextcloud = "28" })
	}},
	{"lease held", "lease_held", "", facts(func(f *Facts, _ *InstanceFacts) { f.Lease = "rollout autumn of anna@control since 2026-11-22T23:10Z" })},
	{"closed by another rollout", "lease_held maintenance_on", "", facts(func(f *Facts, s *InstanceFacts) {
		f.Lease, s.Maintenance = "anna@control, rollout autumn", true
	})},
	{"occ and apt run", "process_running process_running", "", facts(func(f *Facts, _ *InstanceFacts) {
		f.Processes = []Process{{PID: 99, Kind: "packages", User: "root", Command: "apt-get upgrade"}, {PID: 77, Kind: "occ", User: "www-data", Command: "php occ files:scan --all"}, {PID: 5, Kind: "cron", User: "www-data", Command: "php cron.php"}}
	})},
	{"packages broken and a repository away", "packages_broken packages_problem", "", facts(func(f *Facts, _ *InstanceFacts) {
		p := *f.Packages
		p.Broken, p.Problems = []string{"php8.2-fpm"}, []string{"https://deb.example bookworm InRelease: could not resolve"}
		f.Packages = &p
	})},
	{"packages unknown", "packages_unknown", "", facts(func(f *Facts, _ *InstanceFacts) {
		f.Packages, f.Problems = nil, []string{"packages: driver apt: dpkg-query printed nothing"}
	})},
	{"snapshot without database", "snapshot_hole", "", func(in *Input) {
		c := in.Coverage["cloud-01"]
		var kept []driver.Place
		for _, p := range c.Captured {
			if p.Part != driver.PartDatabase {
				kept = append(kept, p)
			} else {
				c.Missing = append(c.Missing, driver.Hole{Place: p, Reason: "the database is on another machine, db7.example"})
			}
		}
		c.Captured = kept
		in.Coverage["cloud-01"] = c
	}},
	{"no snapshot driver", "coverage_unknown", "", func(in *Input) { delete(in.Coverage, "cloud-01"); in.Fleet.Hosts[0].Snapshot = "" }},
	{"no dump tool", "dump_tool_missing", "", facts(func(f *Facts, _ *InstanceFacts) { f.Tools = map[string]string{"tar": "/bin/tar"} })},
	{"app store unreachable", "app_store_unreachable", "", facts(func(f *Facts, _ *InstanceFacts) {
		f.Downloads = []Reach{{URL: "https://apps.nextcloud.com/api/v1/apps.json", Detail: "could not resolve host", Millis: 20}}
	})},
	{"app store unreachable, apps left alone", "", "app_store_unreachable", func(in *Input) {
		in.Rollout.Apps.Update = "none"
		change(in, "cloud-01", func(f *Facts, _ *InstanceFacts) {
			f.Downloads = []Reach{{URL: "https://apps.nextcloud.com/api/v1/apps.json", Detail: "could not resolve host", Millis: 20}}
		})
	}},
	{"things worth knowing", "", "cluster database_version object_storage php_memory rival_process", facts(func(f *Facts, s *InstanceFacts) {
		s.Settings.Cluster, s.Settings.ObjectStore, s.PHP.MemoryLimit = true, "OC\\Files\\ObjectStore\\S3", "256M"
		s.Database.Version = "10.1.48"
		f.Rivals = append(f.Rivals, Rival{Kind: "process", Name: "watchtower", Line: "/watchtower --interval 300", Active: true})
	})},
	{"a mirror that forbids its listing", "", "survey_incomplete", func(in *Input) {
		in.Rollout.Core.Transfer = "fetch"
		change(in, "cloud-01", func(f *Facts, _ *InstanceFacts) {
			f.Downloads = []Reach{{URL: "https://mirror.example/releases", Status: 403}}
			f.Problems = []string{"host cloud-01: df: /mnt/nfs: Stale file handle"}
		})
	}},
	{"the archive itself is not there", "mirror_unreachable", "", func(in *Input) {
		in.Rollout.Core.Transfer = "fetch"
		change(in, "cloud-01", func(f *Facts, _ *InstanceFacts) {
			f.Downloads = []Reach{{URL: release("29.0.16").URL, Status: 404, Detail: "Not Found", Millis: 30}}
		})
	}},
	{"fetch from a folder", "transfer_impossible", "", func(in *Input) {
		in.Rollout.Core.Transfer, in.Rollout.Core.Source = "fetch", "/srv/releases"
		for i := range in.Releases {
			in.Releases[i].URL = "/srv/releases/" + in.Releases[i].Name
		}
	}},
}

// TestDriversLeftOpen: a host that names no drivers gets the archive and its
// own package manager, and drivers of unknown version are listed all the same.
func TestDriversLeftOpen(t *testing.T) {
	in := fixture(1)
	in.Fleet.Hosts[0].Snapshot, in.Fleet.Hosts[0].Packages, in.Drivers = "", "", nil
	p := mustPlan(t, in)
	if len(p.Drivers) != 2 || p.Drivers[0] != (DriverUse{Kind: "packages", Name: "apt"}) || p.Drivers[1] != (DriverUse{Kind: "snapshot", Name: "archive"}) {
		t.Errorf("drivers %+v", p.Drivers)
	}
	for _, s := range target(t, p, "cloud-01").Steps {
		if (s.Kind == KindSnapshot && s.Driver != "archive") || (s.Kind == KindPackages && s.Driver != "apt") {
			t.Errorf("%s by driver %q", s.ID, s.Driver)
		}
	}
}

func codes(ps []Problem, but string) string {
	out := ""
	for _, p := range ps {
		if p.Code == but || p.Code == "rival_held" || p.Code == "system_not_captured" {
			continue
		}
		if out != "" {
			out += " "
		}
		out += p.Code
	}
	return out
}

// TestTroubles plans every trouble, checks its codes, and keeps every message
// in full in a golden file.
func TestTroubles(t *testing.T) {
	var all bytes.Buffer
	for _, c := range troubles {
		t.Run(c.name, func(t *testing.T) {
			in := fixture(1)
			c.make(&in)
			p := mustPlan(t, in)
			fmt.Fprintf(&all, "== %s\n", c.name)
			var got, warned string
			for _, b := range p.Blocked {
				got = codes(b.Problems, "")
				writeProblems(&all, b.Problems)
			}
			for _, w := range p.Waves {
				for _, tg := range w.Targets {
					warned = codes(tg.Warnings, "")
					writeProblems(&all, tg.Warnings)
				}
			}
			if got != c.codes {
				t.Errorf("blocked by %q, want %q", got, c.codes)
			}
			if c.codes == "" && warned != c.warns {
				t.Errorf("warned of %q, want %q", warned, c.warns)
			}
			if c.codes != "" && len(p.Waves) != 0 {
				t.Errorf("a wave is planned: %+v", p.Waves)
			}
		})
	}
	golden(t, "troubles.txt", all.Bytes())
}

func writeProblems(b *bytes.Buffer, ps []Problem) {
	for _, p := range ps {
		fmt.Fprintf(b, "%s: %s\n  why: %s\n  fix: %s\n", p.Code, p.Summary, p.Detail, p.Remedy)
	}
}

func TestEveryProblemSaysWhatToDo(t *testing.T) {
	for _, c := range troubles {
		in := fixture(1)
		c.make(&in)
		for _, b := range mustPlan(t, in).Blocked {
			for _, p := range b.Problems {
				if p.Code == "" || p.Summary == "" || p.Detail == "" || p.Remedy == "" {
					t.Errorf("%s: not whole: %+v", c.name, p)
				}
			}
		}
	}
}

func TestIdle(t *testing.T) {
	in := fixture(2)
	in.Rollout.System.Level = "none"
	change(&in, "cloud-01", func(_ *Facts, s *InstanceFacts) {
		s.Code, s.Config = version("29.0.16.1"), version("29.0.16.1")
		s.Apps[0].Update = ""
	})
	p := mustPlan(t, in)
	if len(p.Idle) != 1 || p.Idle[0] != "cloud-01" || len(p.Waves) != 1 || p.Waves[0].Name != "rest" {
		t.Fatalf("idle %v, waves %d", p.Idle, len(p.Waves))
	}
}

func TestAppsMayBeDisabled(t *testing.T) {
	in := fixture(1)
	in.Rollout.Apps.OnIncompatible = "disable"
	change(&in, "cloud-01", func(_ *Facts, s *InstanceFacts) { s.Apps[0].MaxNextcloud = "28" })
	tg := target(t, mustPlan(t, in), "cloud-01")
	if len(tg.Apps) != 1 || tg.Apps[0].Action != "disable" || tg.Apps[0].ID != "calendar" {
		t.Fatalf("apps %+v", tg.Apps)
	}
	for _, s := range append(append([]Step(nil), tg.Steps...), tg.Undo...) {
		if s.Kind != KindInspect {
			continue
		}
		forward := s.Undoes == nil
		if contains(s.Gate.Apps, "calendar") == forward || contains(s.Gate.MayBeDisabled, "calendar") != forward {
			t.Errorf("%s: apps %v, may be disabled %v", s.ID, s.Gate.Apps, s.Gate.MayBeDisabled)
		}
	}
}

func TestCatalogueSavesAnApp(t *testing.T) {
	in := fixture(1)
	in.Catalogue = map[string][]AppRelease{"calendar": {
		{Version: "4.7.1", MinNextcloud: "26", MaxNextcloud: "29"}, {Version: "4.7.9", MinNextcloud: "26", MaxNextcloud: "29", MinPHP: "8.3"},
		{Version: "5.0.0", MinNextcloud: "30", MaxNextcloud: "31"}, {Version: "4.8.0", Nightly: true, MaxNextcloud: "29"},
	}}
	change(&in, "cloud-01", func(_ *Facts, s *InstanceFacts) { s.Apps[0].MaxNextcloud = "28" })
	tg := target(t, mustPlan(t, in), "cloud-01")
	if len(tg.Apps) != 1 || tg.Apps[0].Action != "update" || tg.Apps[0].To != "4.7.1" {
		t.Fatalf("apps %+v", tg.Apps)
	}
	in.Rollout.Core.To = "30" // 4.7.1 serves 29, 5.0.0 serves 30
	if got := target(t, mustPlan(t, in), "cloud-01").Apps[0].To; got != "5.0.0" {
		t.Errorf("for 30: %s", got)
	}
}

func TestNamedUpgradeOfPHP(t *testing.T) {
	in := fixture(1)
	in.Rollout.Core.To, in.Rollout.System.Upgrades = "30", []string{"php"}
	change(&in, "cloud-01", func(f *Facts, s *InstanceFacts) {
		s.PHP.Version, s.PHP.Web, s.Apps[0].MaxNextcloud = "8.0.30", "8.0.30", "30"
		p := *f.Packages
		p.Pending = append(append([]driver.PackageChange(nil), p.Pending...),
			driver.PackageChange{Name: "php-fpm", From: "2:8.0+1", To: "2:8.2.7+93", Change: driver.ChangeUpgrade, Product: "php"})
		f.Packages = &p
	})
	cover(&in)
	tg := target(t, mustPlan(t, in), "cloud-01")
	if tg.Expect.Packages["php-fpm"] != "2:8.0+1" || len(tg.Hops) != 2 {
		t.Fatalf("expect %+v, hops %d", tg.Expect.Packages, len(tg.Hops))
	}
}

func TestRolloutProblems(t *testing.T) {
	in := fixture(2)
	in.Rollout.Core.To = "latest"
	in.Rollout.Waves = append(in.Rollout.Waves, inventory.Wave{Name: "third", Hosts: []string{"cloud-01", "cloud-99"}})
	p, problems := Compute(in)
	if got := codes(problems, ""); got != "bad_goal host_twice unknown_host" || len(p.Waves) != 0 {
		t.Fatalf("problems %q, plan %+v", got, p)
	}
}

func TestHostBlockedBlocksItsInstances(t *testing.T) {
	in := fixture(1)
	several(&in, "cloud-01", "a", "b")
	change(&in, "cloud-01", func(f *Facts, _ *InstanceFacts) {
		p := *f.Packages
		p.Broken = []string{"libc6"}
		f.Packages = &p
	})
	p := mustPlan(t, in)
	if len(p.Blocked) != 3 || len(p.Waves) != 0 || p.Blocked[1].Problems[0].Code != "host_blocked" {
		t.Fatalf("blocked %+v", p.Blocked)
	}
}

func TestAllTroublesAreToldAtOnce(t *testing.T) {
	in := fixture(1)
	in.Rollout.Core.To, in.Rollout.Core.Transfer = "30", "fetch"
	change(&in, "cloud-01", func(f *Facts, s *InstanceFacts) {
		s.PHP.Version, s.PHP.Web, s.PHP.MemoryLimit = "8.0.30", "8.0.30", "64M"
		s.Dirs[0].Writable, s.Settings.ReadOnlyConfig = false, true
		f.Mounts[0].BytesFree, f.Lease = 1<<20, "somebody"
		f.Downloads[0], f.Tools = Reach{URL: "https://mirror.example/releases", Detail: "refused"}, map[string]string{}
	})
	want := "app_incompatible config_read_only dir_not_writable disk_full dump_tool_missing lease_held mirror_unreachable php_memory php_too_old"
	if got := codes(mustPlan(t, in).Blocked[0].Problems, ""); got != want {
		t.Errorf("told %q\nwant %q", got, want)
	}
}
