package plan

import (
	"fmt"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

func version(s string) nextcloud.Version {
	v, err := nextcloud.ParseVersion(s)
	if err != nil {
		panic(err)
	}
	return v
}

func release(v string) Release {
	return Release{
		Version: version(v), Name: "nextcloud-" + v + ".tar.bz2",
		URL:    "https://mirror.example/releases/nextcloud-" + v + ".tar.bz2",
		SHA512: fmt.Sprintf("%0128s", v), Size: 140 << 20,
	}
}

// fixture is a sound fleet of n hosts named cloud-01 …, one instance each, of
// which the first is the canary; all go from 28.0.2 to 29.
func fixture(n int) Input {
	f := &inventory.Fleet{Digest: "d1ge57"}
	r := &inventory.Rollout{
		Name:   "spring",
		System: inventory.System{Level: "security"},
		Core:   inventory.Core{To: "29", Source: "https://mirror.example/releases", Transfer: "push"},
		Apps:   inventory.Apps{Update: "all", OnIncompatible: "block"},
		Waves: []inventory.Wave{
			{Name: "canary", Bake: 30 * time.Minute}, {Name: "rest", Approve: true},
		},
		MaxUnavailable: inventory.Amount{Percent: 10, IsPercent: true},
		Failures:       inventory.Amount{Count: 1},
	}
	in := Input{
		Fleet: f, Rollout: r, Facts: map[string]Facts{},
		Releases:         []Release{release("29.0.1"), release("29.0.16"), release("30.0.17"), release("31.0.14")},
		Coverage:         map[string]driver.Coverage{},
		CompiledPackages: map[string]driver.Commands{},
		Drivers: []DriverUse{
			{Kind: "packages", Name: "apt", Version: "1.0.0"}, {Kind: "snapshot", Name: "archive", Version: "1.0.0"},
			{Kind: "snapshot", Name: "unused", Version: "1.0.0"},
		},
		Scripts: map[string]string{"close.sh": "c105e", "hop.sh": "40b"},
	}
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("cloud-%02d", i)
		h := inventory.Host{
			Name: name, Address: fmt.Sprintf("192.0.2.%d", i), Labels: map[string]string{"site": fmt.Sprint("dc", i%2)},
			Packages: "apt", Snapshot: "archive", StateDir: "/var/lib/ncfleet",
			Instances: []inventory.Instance{{Name: "main", Path: "/var/www/nextcloud", URL: "https://" + name + ".example"}},
		}
		f.Hosts = append(f.Hosts, h)
		r.Hosts = append(r.Hosts, name)
		w := &r.Waves[1]
		if i == 1 {
			w = &r.Waves[0]
		}
		w.Hosts = append(w.Hosts, name)
		in.Facts[name] = hostFacts(name, "main")
	}
	cover(&in)
	return in
}

// cover lets the snapshot driver capture everything but users' files and the
// system, and the package driver compile every selection.
func cover(in *Input) {
	for name, s := range Subjects(in.Fleet, in.Rollout, in.Facts) {
		c := driver.Coverage{Consistent: true, BytesFree: 40 << 30, BytesNeed: 600 << 20}
		for _, p := range s.Places {
			switch p.Part {
			case driver.PartData, driver.PartObjects, driver.PartSystem:
				c.Missing = append(c.Missing, driver.Hole{Place: p, Reason: "not captured by an archive"})
			default:
				c.Captured = append(c.Captured, p)
			}
		}
		in.Coverage[name] = c
	}
	for name, f := range in.Facts {
		if f.Packages == nil {
			continue
		}
		if sel := SelectPackages(in.Rollout.System, *f.Packages); len(sel.Changes) > 0 {
			var names []string
			for _, c := range sel.Changes {
				names = append(names, c.Name+"="+c.To)
			}
			in.CompiledPackages[name] = driver.Commands{
				Stage:  []driver.Command{{Argv: append([]string{"apt-get", "--download-only", "install"}, names...)}},
				Apply:  []driver.Command{{Argv: append([]string{"apt-get", "install"}, names...)}},
				Repair: []driver.Command{{Argv: []string{"dpkg", "--configure", "-a"}}},
			}
		}
	}
}

func hostFacts(host string, instances ...string) Facts {
	f := Facts{
		Host: host, SeenAt: time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC),
		OS:     OS{ID: "debian", Version: "12", Name: "Debian GNU/Linux 12 (bookworm)", Kernel: "6.1.0", Arch: "x86_64"},
		BootID: "boot-" + host, PackageManager: "apt",
		Packages: &driver.PackageFacts{Pending: []driver.PackageChange{
			{Name: "openssl", From: "3.0.15-1", To: "3.0.17-1", Change: driver.ChangeUpdate, Security: true},
			{Name: "libssl3", From: "3.0.15-1", To: "3.0.17-1", Change: driver.ChangeUpdate, Security: true},
			{Name: "mariadb-server", From: "10.11.19", To: "11.4.4", Change: driver.ChangeUpgrade, Product: "mariadb"},
			{Name: "tzdata", From: "2025a", To: "2025b", Change: driver.ChangeUpdate},
		}},
		Mounts: []Mount{
			{Path: "/", Device: "/dev/vda1", FSType: "ext4", BytesFree: 40 << 30, BytesTotal: 80 << 30, InodesFree: 5_000_000},
			{Path: "/srv/data", Device: "/dev/vdb", FSType: "xfs", BytesFree: 900 << 30, BytesTotal: 2 << 40, InodesFree: -1},
		},
		Rivals: []Rival{
			{Kind: "timer", Name: "apt-daily-upgrade.timer", Active: true},
			{Kind: "cron", Name: "nextcloud-update", Where: "/etc/cron.d/nextcloud-update", Line: "0 4 * * 0 root /usr/local/bin/nextcloud-update", Active: true},
			{Kind: "timer", Name: "snapd.refresh.timer"},
		},
		Downloads: []Reach{
			{URL: "https://mirror.example/releases", OK: true, Status: 200},
			{URL: "https://apps.nextcloud.com/api/v1/apps.json", OK: true, Status: 200},
		},
		Tools: map[string]string{"tar": "/usr/bin/tar", "bzip2": "/usr/bin/bzip2", "mariadb-dump": "/usr/bin/mariadb-dump"},
	}
	for _, i := range instances {
		f.Instances = append(f.Instances, instanceFacts(i))
	}
	return f
}

func instanceFacts(name string) InstanceFacts {
	path := "/var/www/nextcloud"
	if name != "main" {
		path = "/var/www/" + name
	}
	modules := append([]string{"Core", "intl"}, nextcloud.RequiredModules()...)
	return InstanceFacts{
		Name: name, Path: path, Code: version("28.0.2.5"), Config: version("28.0.2.5"), Installed: true,
		WebUser: "www-data", WebGroup: "www-data", DataDir: "/srv/data/" + name,
		Database:  Database{Kind: "mysql", Server: "MariaDB", Version: "10.11.19", Host: "127.0.0.1", Name: "nc_" + name, Bytes: 300 << 20},
		AppsPaths: []AppsPath{{Path: path + "/apps", Writable: true, Inside: true}},
		Settings:  Settings{AppStoreEnabled: true, TrustedDomains: []string{name + ".example"}},
		PHP:       PHP{Path: "/usr/bin/php8.2", Version: "8.2.36", Modules: modules, MemoryLimit: "512M", Reload: [][]string{{"systemctl", "reload", "php8.2-fpm"}}, Web: "8.2.36"},
		Apps: []App{
			{ID: "calendar", Version: "4.6.0", Enabled: true, Path: path + "/apps/calendar", MinNextcloud: "26", MaxNextcloud: "29", Update: "4.7.1"},
			{ID: "dav", Version: "1.29.0", Enabled: true, Shipped: true, Path: path + "/apps/dav", MinNextcloud: "28", MaxNextcloud: "28"},
			{ID: "mail", Version: "3.5.0", Path: path + "/apps/mail", MinNextcloud: "27", MaxNextcloud: "28"},
		},
		Dirs: []Dir{
			{Path: path + "/config", Owner: "www-data", Group: "www-data", Mode: "0750", Writable: true, Why: "config.php"},
			{Path: path + "/apps", Owner: "www-data", Group: "www-data", Mode: "0755", Writable: true, Why: "apps are updated in it"},
		},
		TreeBytes: 489 << 20, TreeFiles: 24000,
		SetupChecks: map[string]string{"OCA\\Settings\\SetupChecks\\PhpModules": "success"},
	}
}

// change edits the facts of one host's first instance.
func change(in *Input, host string, f func(*Facts, *InstanceFacts)) {
	facts := in.Facts[host]
	var seen *InstanceFacts
	if len(facts.Instances) > 0 {
		facts.Instances = append([]InstanceFacts(nil), facts.Instances...)
		seen = &facts.Instances[0]
	}
	f(&facts, seen)
	in.Facts[host] = facts
}

// several makes the host carry the named instances, none included.
func several(in *Input, host string, names ...string) {
	h := in.Fleet.Host(host)
	h.Instances = nil
	for _, n := range names {
		h.Instances = append(h.Instances, inventory.Instance{Name: n, Path: "/var/www/" + n, URL: "https://" + n + "." + host + ".example"})
	}
	in.Facts[host] = hostFacts(host, names...)
	cover(in)
}
