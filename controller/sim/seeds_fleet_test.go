package sim_test

import (
	"fmt"
	"math/rand"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

var (
	v28 = nextcloud.Version{28, 0, 2, 5}
	v29 = nextcloud.Version{29, 0, 16, 1}
	v30 = nextcloud.Version{30, 0, 17, 2}
)

// stepLimit is the longest that a step may take: a hang must not make a seed
// last for hours.
const stepLimit = 10 * time.Minute

// shape is what a seed drew of its fleet and its rollout.
type shape struct {
	hosts     [][]string // instances of each host
	wave      []int      // of each host
	waves     int
	to        string
	packages  bool
	reboot    bool
	apps      bool
	captured  bool // snapshots hold the system, too
	noURL     bool
	noRivals  bool
	webdav    bool
	reopen    time.Duration // the watchdog's patience
	rollback  bool          // an interrupted hop is taken back, not run again
	bakes     []time.Duration
	approve   []bool
	approvals []int           // people who must approve each wave
	expires   []time.Duration // how long their word counts
	policy    plan.Policy
	hold      time.Duration
	sharedTag bool
}

func drawShape(rnd *rand.Rand) shape {
	s := shape{waves: 1 + rnd.Intn(3), to: []string{"29", "29", "29", "30", ""}[rnd.Intn(5)],
		packages: rnd.Intn(3) == 0, apps: rnd.Intn(3) == 0, captured: rnd.Intn(2) == 0,
		noURL: rnd.Intn(8) == 0, noRivals: rnd.Intn(3) == 0, webdav: rnd.Intn(100) == 0,
		reopen: []time.Duration{0, 30 * time.Second, 3 * time.Minute}[rnd.Intn(3)], rollback: rnd.Intn(3) == 0}
	s.packages = s.packages || s.to == ""
	s.reboot = s.packages && rnd.Intn(2) == 0
	targets, most := 0, 1+min(rnd.Intn(8), rnd.Intn(8))
	for i := 0; targets < most; i++ {
		n := []int{1, 1, 1, 1, 2, 3, 0}[rnd.Intn(7)]
		if n == 0 && !s.packages {
			n = 1
		}
		var names []string
		for k := range n {
			names = append(names, fmt.Sprint("i", k))
		}
		s.hosts = append(s.hosts, names)
		s.wave = append(s.wave, min(i, rnd.Intn(s.waves)))
		targets += max(n, 1)
		if n > 1 && s.packages {
			targets++
		}
	}
	for range s.waves {
		s.bakes = append(s.bakes, []time.Duration{0, 0, time.Minute, 5 * time.Minute}[rnd.Intn(4)])
		s.approve = append(s.approve, rnd.Intn(5) == 0)
	}
	s.drawPolicy(rnd)
	return s
}

func (s *shape) drawPolicy(rnd *rand.Rand) {
	s.policy = plan.Policy{MaxUnavailable: 1 + rnd.Intn(3), FailureBudget: rnd.Intn(3), Ahead: 1 + rnd.Intn(4),
		OnHold: []string{"wait", "rollback"}[rnd.Intn(2)], HoldTimeout: time.Duration(1+rnd.Intn(5)) * time.Minute}
	if rnd.Intn(3) == 0 {
		s.policy.SpreadLabel, s.policy.SpreadMax = "site", 1+rnd.Intn(2)
	}
	if rnd.Intn(5) == 0 { // open at first, then closed for a while, then open again
		to := 1 + rnd.Intn(15)
		s.policy.Window = &plan.Window{From: fmt.Sprintf("00:%02d", to+5+rnd.Intn(20)), To: fmt.Sprintf("00:%02d", to), Zone: "UTC"}
	}
}

// input is what the plan is made from: the inventory of the shape, and the
// facts of the hosts that were made after it.
func (s *shape) input(hosts []*host) plan.Input {
	r := &inventory.Rollout{Name: "spring",
		Core: inventory.Core{To: s.to, Source: "https://mirror.test/releases", Transfer: "push"}, System: inventory.System{Level: "none"},
		Apps: inventory.Apps{Update: "none", OnIncompatible: "block"}, MaxUnavailable: inventory.Amount{Count: 1},
		Spread: &inventory.Spread{Label: "site", Max: 1},
		Gate:   inventory.Gate{WebDAV: "off", SetupChecks: "compare", Log: "fatal", OutsideVerify: "required"}}
	r.ReopenAfter = s.reopen
	if s.rollback {
		r.Core.Interrupted = "rollback"
	}
	if s.packages {
		r.System.Level = "security"
	}
	if s.reboot {
		r.System.Reboot = "if_required"
	}
	if s.apps {
		r.Apps.Update = "all"
	}
	if s.webdav {
		r.Gate.WebDAV = "required"
	}
	for w := range s.waves {
		r.Waves = append(r.Waves, inventory.Wave{Name: fmt.Sprint("w", w), Bake: s.bakes[w], Approve: s.approve[w],
			Approvals: s.approvals[w], ApproveExpires: s.expires[w]})
	}
	in := plan.Input{Fleet: &inventory.Fleet{Digest: "d1ge57"}, Rollout: r, Facts: map[string]plan.Facts{}, Coverage: map[string]driver.Coverage{},
		CompiledPackages: map[string]driver.Commands{}, Scripts: nextcloud.ScriptDigests()}
	for _, v := range []nextcloud.Version{v29, v30} {
		short := fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2])
		in.Releases = append(in.Releases, plan.Release{Version: nextcloud.Version{v[0], v[1], v[2]}, Name: "nextcloud-" + short + ".tar.bz2",
			URL: "https://mirror.test/releases/nextcloud-" + short + ".tar.bz2", SHA512: "5" + short, Size: 4})
	}
	for i, h := range hosts {
		in.Fleet.Hosts = append(in.Fleet.Hosts, s.inventoryHost(i, h))
		r.Hosts = append(r.Hosts, h.name)
		w := &r.Waves[s.wave[i]]
		w.Hosts = append(w.Hosts, h.name)
		in.Facts[h.name] = h.facts()
		in.CompiledPackages[h.name] = driver.Commands{Stage: []driver.Command{{Argv: []string{"apt-get", "--download-only", "install", "openssl=2"}}},
			Apply:  []driver.Command{{Argv: []string{"apt-get", "install", "openssl=2"}}},
			Repair: []driver.Command{{Argv: []string{"dpkg", "--configure", "-a"}}}}
	}
	for name, subject := range plan.Subjects(in.Fleet, r, in.Facts) {
		c := driver.Coverage{Captured: subject.Places, Consistent: true, BytesFree: 40 << 30, BytesNeed: 1 << 30}
		if !s.captured {
			c.Captured = nil
			for _, p := range subject.Places {
				if p.Part == driver.PartSystem || p.Part == driver.PartData {
					c.Missing = append(c.Missing, driver.Hole{Place: p, Reason: "not captured"})
				} else {
					c.Captured = append(c.Captured, p)
				}
			}
		}
		in.Coverage[name] = c
	}
	return in
}

func (s *shape) inventoryHost(i int, h *host) inventory.Host {
	ih := inventory.Host{Name: h.name, Address: "192.0.2.1", Labels: map[string]string{"site": fmt.Sprint("dc", i%2)},
		Packages: "apt", Snapshot: "fake", StateDir: "/var/lib/ncfleet"}
	for _, n := range h.instances {
		inst := inventory.Instance{Name: n.name, Path: n.path}
		if !s.noURL {
			inst.URL = "https://" + n.name + "." + h.name + ".test"
		}
		ih.Instances = append(ih.Instances, inst)
	}
	return ih
}

// plan makes the plan by the real planner, with this seed's own policy and
// limits put in.
func (s *shape) plan(hosts []*host) (*plan.Plan, error) {
	p, problems := plan.Compute(s.input(hosts))
	if len(problems) > 0 {
		return nil, fmt.Errorf("the fleet cannot be planned: %+v", problems)
	}
	if len(p.Blocked) > 0 || len(p.Waves) == 0 {
		return nil, fmt.Errorf("targets are blocked, none is left: %+v", p.Blocked)
	}
	p.Policy = s.policy
	limit := func(steps []plan.Step) {
		for i := range steps {
			steps[i].Timeout = min(steps[i].Timeout, stepLimit)
		}
	}
	for w := range p.Waves {
		for t := range p.Waves[w].Targets {
			limit(p.Waves[w].Targets[t].Steps)
			limit(p.Waves[w].Targets[t].Undo)
		}
		limit(p.Waves[w].Gate)
	}
	return &p, nil
}

// facts are what a survey of the host would find.
func (h *host) facts() plan.Facts {
	f := plan.Facts{Host: h.name, SeenAt: epoch, OS: plan.OS{ID: "debian", Version: "12", Name: "Debian 12"}, BootID: h.bootID(), PackageManager: "apt",
		Packages: &driver.PackageFacts{}, Mounts: []plan.Mount{
			{Path: "/", BytesFree: 40 << 30, BytesTotal: 80 << 30, InodesFree: 5e6}, {Path: "/srv/data", BytesFree: 9 << 40, BytesTotal: 10 << 40, InodesFree: -1}},
		Downloads: []plan.Reach{{URL: "https://mirror.test/releases", OK: true, Status: 200}, {URL: "https://apps.nextcloud.com/api/v1/apps.json", OK: true, Status: 200}},
		Tools:     map[string]string{"tar": "/usr/bin/tar", "bzip2": "/usr/bin/bzip2", "mariadb-dump": "/usr/bin/mariadb-dump"}, Lease: h.lease.holder}
	if h.openssl != "2" {
		f.Packages.Pending = []driver.PackageChange{{Name: "openssl", From: h.openssl, To: "2", Change: driver.ChangeUpdate, Security: true}}
	}
	if h.rivals != "none" {
		f.Rivals = []plan.Rival{{Kind: "timer", Name: "apt-daily-upgrade.timer", Active: h.rivals == "active"}}
	}
	for _, i := range h.instances {
		f.Instances = append(f.Instances, i.facts())
	}
	return f
}

var modules = append([]string{"Core", "intl"}, nextcloud.RequiredModules()...)

func (i *instance) facts() plan.InstanceFacts {
	return plan.InstanceFacts{Name: i.name, Path: i.path, Code: i.code, Config: i.config, Installed: true, Maintenance: i.closed, NeedsDBUpgrade: i.code != i.config,
		WebUser: "www-data", WebGroup: "www-data", DataDir: "/srv/data/" + i.name,
		Database:  plan.Database{Kind: "mysql", Server: "MariaDB", Version: "10.11.19", Host: "127.0.0.1", Name: "nc_" + i.name, Bytes: 300 << 20},
		AppsPaths: []plan.AppsPath{{Path: i.path + "/apps", Writable: true, Inside: true}},
		Settings:  plan.Settings{AppStoreEnabled: true, TrustedDomains: []string{i.name + ".test"}},
		PHP: plan.PHP{Path: "/usr/bin/php8.2", Version: "8.2.36", Modules: modules, MemoryLimit: "512M",
			Reload: [][]string{{"systemctl", "reload", "php8.2-fpm"}}, Web: "8.2.36"},
		Apps: []plan.App{{ID: "calendar", Version: i.app, Enabled: !i.appLost, Path: i.path + "/apps/calendar", MinNextcloud: "26", MaxNextcloud: "31", Update: "2.0.0"},
			{ID: "dav", Version: "1.29.0", Enabled: true, Shipped: true, Path: i.path + "/apps/dav", MinNextcloud: "28", MaxNextcloud: "28"}},
		TreeBytes: 489 << 20, TreeFiles: 24000, SetupChecks: map[string]string{"PhpModules": "success"}}
}
