package fleetreport

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

var noon = on("2026-11-26T12:00:00Z")

func version(s string) nextcloud.Version {
	v, err := nextcloud.ParseVersion(s)
	if err != nil {
		panic(err)
	}
	return v
}

// host is a host of the inventory with instances of those names.
func host(name string, instances ...string) *inventory.Host {
	h := &inventory.Host{Name: name}
	for _, i := range instances {
		h.Instances = append(h.Instances, inventory.Instance{Name: i})
	}
	return h
}

// healthy is a host with one instance that is in order.
func healthy(name, release string) plan.Facts {
	return plan.Facts{Host: name, SeenAt: noon.Add(-time.Hour), OS: plan.OS{ID: "debian", Version: "12"},
		Instances: []plan.InstanceFacts{{Name: "main", Code: version(release), Config: version(release), DataDir: "/data",
			PHP:      plan.PHP{Version: "8.2.36", Modules: nextcloud.RequiredModules()},
			Database: plan.Database{Kind: "mysql", Server: "MariaDB", Version: "10.11.6", Bytes: 40 << 20},
			Settings: plan.Settings{AppStoreEnabled: true},
			Apps: []plan.App{
				{ID: "calendar", Version: "4.7.1", Enabled: true, MinNextcloud: "26", MaxNextcloud: "31"},
				{ID: "files", Version: "1.22", Enabled: true, Shipped: true, MaxNextcloud: "29"},
				{ID: "old", Version: "1", MaxNextcloud: "12"}, // not enabled: nobody minds
			}}}}
}

func compute(f plan.Facts, change func(*Input)) ReportDocument {
	in := Input{Hosts: []*inventory.Host{host(f.Host, "main")}, Facts: map[string]plan.Facts{f.Host: f}, Now: noon}
	if change != nil {
		change(&in)
	}
	return Compute(in)
}

func ExampleCompute() {
	d := compute(healthy("cloud-01", "29.0.1"), nil)
	for _, l := range d.Lifetimes {
		fmt.Println(l.Product, l.Cycle, l.State, l.Until)
	}
	fmt.Println(d.Targets[0].Next.State, "for", d.Targets[0].Next.Majors)
	// Output:
	// Nextcloud 29 ended 2025-04-30
	// PHP 8.2 ends_soon 2026-12-31
	// Debian 12 longer 2026-07-11
	// MariaDB 10.11 supported 2028-02-16
	// ready for [30]
}

func TestReady(t *testing.T) {
	cases := map[string]struct {
		release string
		goal    int
		change  func(*plan.InstanceFacts)
		store   map[string][]plan.AppRelease
		state   ReadyState
		says    string // of all obstacles and notes
	}{
		"in order":       {"29.0.1", 0, nil, nil, Ready, ""},
		"newest known":   {"34.0.1", 0, nil, nil, Newest, ""},
		"at the goal":    {"31.0.1", 31, nil, nil, Newest, ""},
		"beyond it":      {"32.0.1", 31, nil, nil, Newest, ""},
		"PHP too old":    {"29.0.1", 0, func(i *plan.InstanceFacts) { i.PHP.Version = "8.0.30" }, nil, Blocked, "php: Nextcloud 30 needs PHP 8.1–8.3; the command line's PHP is 8.0.30"},
		"the web's PHP":  {"29.0.1", 0, func(i *plan.InstanceFacts) { i.PHP.Web = "8.0.30" }, nil, Blocked, "php: Nextcloud 30 needs PHP 8.1–8.3; the web's PHP is 8.0.30"},
		"PHP too new":    {"29.0.1", 0, func(i *plan.InstanceFacts) { i.PHP.Version = "8.4.1" }, nil, Blocked, "php: Nextcloud 29 needs PHP 8.0–8.3; the command line's PHP is 8.4.1"},
		"module missing": {"29.0.1", 0, func(i *plan.InstanceFacts) { i.PHP.Modules = i.PHP.Modules[1:] }, nil, Blocked, "php_modules: PHP lacks the modules ctype"},
		"app on the way": {"29.0.1", 33, nil, nil, Blocked, "app: calendar 4.7.1 supports Nextcloud 26–31"},
		"catalogue has none": {"31.0.1", 0, nil, map[string][]plan.AppRelease{"calendar": {{Version: "4.9", MaxNextcloud: "31"}}}, Blocked,
			"app: calendar 4.7.1 supports Nextcloud 26–31; the catalogue has no release for 32"},
		"catalogue has one": {"31.0.1", 0, nil, map[string][]plan.AppRelease{"calendar": {{Version: "5.0", MinNextcloud: "30", MaxNextcloud: "32"}}}, Ready, ""},
		"store is off": {"31.0.1", 0, func(i *plan.InstanceFacts) { i.Settings.AppStoreEnabled = false },
			map[string][]plan.AppRelease{"calendar": {{Version: "5.0", MinNextcloud: "30", MaxNextcloud: "32"}}}, Blocked, "5.0 would do, but the app store is switched off"},
		"old database": {"29.0.1", 31, func(i *plan.InstanceFacts) { i.Database.Version = "10.5.29" }, nil, Ready, "database: Nextcloud 30 supports MariaDB 10.6 or newer; this instance uses 10.5.29"},
		"closed":       {"29.0.1", 0, func(i *plan.InstanceFacts) { i.Maintenance = true }, nil, Blocked, "state: maintenance mode is on"},
		"half upgraded": {"29.0.1", 0, func(i *plan.InstanceFacts) { i.Config = version("28.0.2") }, nil, Blocked,
			"state: the code is 29.0.1, the database 28.0.2"},
	}
	for name, c := range cases {
		f := healthy("cloud-01", c.release)
		if c.change != nil {
			c.change(&f.Instances[0])
		}
		d := compute(f, func(in *Input) { in.Goal, in.Catalogue = c.goal, c.store })
		n := d.Targets[0].Next
		var texts []string
		for _, o := range append(n.Obstacles, n.Notes...) {
			texts = append(texts, o.Kind+": "+o.Text)
		}
		said := strings.Join(texts, "\n")
		if n.State != c.state || !strings.Contains(said, c.says) || c.says == "" && said != "" || len(texts) > 1 {
			t.Errorf("%s: %s %q, want %s %q", name, n.State, said, c.state, c.says)
		}
		sum := d.Counts.Ready + d.Counts.Blocked + d.Counts.Newest
		if sum != 1 || (d.Counts.Blocked == 1) != (c.state == Blocked) {
			t.Errorf("%s: counts %+v", name, d.Counts)
		}
	}
}

// TestHeldByIsRanked looks at who is held back by which app, and by it alone.
func TestHeldByIsRanked(t *testing.T) {
	in := Input{Facts: map[string]plan.Facts{}, Now: noon, Goal: 30}
	for i, apps := range [][]string{{"mail", "deck"}, {"mail"}, {"deck", "mail"}, {}} {
		name := fmt.Sprintf("cloud-%02d", i+1)
		f := healthy(name, "29.0.1")
		for _, id := range apps {
			f.Instances[0].Apps = append(f.Instances[0].Apps, plan.App{ID: id, Version: "1", Enabled: true, MaxNextcloud: "29"})
		}
		in.Facts[name] = f
		in.Hosts = append(in.Hosts, host(name, "main"))
	}
	want := []HeldBy{
		{App: "mail", Major: 30, Alone: []string{"cloud-02"}, Targets: []string{"cloud-01", "cloud-02", "cloud-03"}},
		{App: "deck", Major: 30, Alone: []string{}, Targets: []string{"cloud-01", "cloud-03"}},
	}
	if got := Compute(in).HeldBy; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if a, b := Compute(in), Compute(in); !reflect.DeepEqual(a, b) {
		t.Error("the same input gave two documents")
	}
}

// TestNothingIsDropped: hosts that did not answer, were not asked, or have
// nothing readable stand in the document.
func TestNothingIsDropped(t *testing.T) {
	missing := healthy("lost", "29.0.1")
	missing.Instances[0].Missing = "/var/www/nextcloud does not exist"
	several := healthy("several", "29.0.1")
	several.Instances = append(several.Instances, plan.InstanceFacts{Name: "blank"})
	in := Input{Now: noon, Problems: []string{"a rollout cannot be read"},
		Hosts: []*inventory.Host{host("gone", "main"), host("unasked", "main"), host("lost", "main"), host("plain"), host("several", "main", "other", "blank")},
		Facts: map[string]plan.Facts{"gone": {Host: "gone", Unreachable: "no route to host"}, "lost": missing, "several": several,
			"plain": {Host: "plain", SeenAt: noon, OS: plan.OS{ID: "ubuntu", Version: "24.04"}, Problems: []string{"ps is missing"}}}}
	d := Compute(in)
	var got []string
	for _, t := range d.Targets {
		got = append(got, fmt.Sprintf("%s %s %s", t.Name, t.State, t.Why))
	}
	want := []string{"gone unreachable no route to host", "unasked unreachable it was not surveyed", "lost missing /var/www/nextcloud does not exist",
		"plain host ", "several/main open ", "several/other missing the survey did not look at it", "several/blank missing its version.php could not be read"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("targets %q\nwant %q", got, want)
	}
	if c := d.Counts; c.Hosts != 5 || c.Unreachable != 2 || c.Instances != 6 || c.Seen != 1 || len(d.Unreachable) != 2 {
		t.Errorf("counts %+v, unreachable %+v", c, d.Unreachable)
	}
	if want := []string{"a rollout cannot be read", "plain: ps is missing"}; !reflect.DeepEqual(d.Problems, want) {
		t.Errorf("problems %q, want %q", d.Problems, want)
	}
}

func TestHostileTexts(t *testing.T) {
	f := healthy("cloud-01", "29.0.1")
	f.Instances[0].Apps[0].ID = "cal\x1b[2J\u202eendar"
	f.Instances[0].Apps[0].MaxNextcloud = "29"
	d := compute(f, nil)
	if got := d.HeldBy[0].App; got != "cal?[2J?endar" {
		t.Errorf("an app is named %q", got)
	}
}

// rolled is a rollout of one instance from 28.0.2 to 29.0.1, with its steps
// ten seconds apart; verdicts other than upgraded end it at the hop.
func rolled(t *testing.T, id, name string, begin time.Time, target plan.Target, failed bool) Past {
	t.Helper()
	target.Name, target.Host, target.Instance = name, name, "main"
	for _, k := range []plan.Kind{plan.KindClose, plan.KindSnapshot, plan.KindHop, plan.KindOpen} {
		phase := plan.PhaseClosed
		if k == plan.KindOpen {
			phase = plan.PhaseAfter
		}
		target.Steps = append(target.Steps, plan.Step{ID: "all/" + name + "/" + string(k), Kind: k, Phase: phase, Target: name, Host: name, Instance: "main", Changes: k == plan.KindHop})
	}
	target.Undo = []plan.Step{{ID: "all/" + name + "/undo-open", Kind: plan.KindOpen, Phase: plan.PhaseAfter, Target: name, Host: name, Instance: "main", Undoes: []string{target.Steps[0].ID}}}
	p := &plan.Plan{FormatVersion: 1, Rollout: "monthly", Policy: plan.Policy{MaxUnavailable: 1, Ahead: 1}, Waves: []plan.Wave{{Name: "all", Targets: []plan.Target{target}}}}
	s, err := rollout.New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	past := Past{ID: id, State: s}
	at := begin
	record := func(e rollout.Event) {
		e.At, e.Seq = at, int64(len(past.Events)+1)
		if err := s.Apply(e); err != nil {
			t.Fatal(err)
		}
		past.Events = append(past.Events, e)
	}
	run := func(step plan.Step, end rollout.EventKind) {
		record(rollout.Event{Kind: rollout.EventStepBegun, Step: step.ID})
		at = at.Add(10 * time.Second)
		e := rollout.Event{Kind: end, Step: step.ID}
		if step.Kind == plan.KindSnapshot {
			e.Handle = &driver.Handle{Driver: "archive", Key: id + "/" + name, Data: []byte("x")}
		}
		record(e)
	}
	record(rollout.Event{Kind: rollout.EventStarted, Digest: "d"})
	for _, step := range target.Steps {
		if failed && step.Kind == plan.KindHop {
			run(step, rollout.EventStepFail)
			run(target.Undo[0], rollout.EventStepDone)
			return past
		}
		run(step, rollout.EventStepDone)
	}
	return past
}

func TestHistory(t *testing.T) {
	expect := plan.Expect{Code: version("28.0.2"), DataDir: "/data", PHP: "8.2.36", Database: "MariaDB 10.11.6",
		Apps: map[string]string{"calendar": "4.6.0", "files": "1.20", "gone": "1.0", "dropped": "2.0"}}
	hop := plan.Target{From: version("28.0.2"), To: version("29.0.1"), Hops: []plan.Hop{{From: version("28.0.2"), To: version("29.0.1")}}, Expect: expect,
		Apps: []plan.AppChange{{ID: "calendar", From: "4.6.0", To: "4.7.1", Action: "update"}, {ID: "dropped", Action: "disable"}}}
	good := rolled(t, "r1", "cloud-01", noon.Add(-48*time.Hour), hop, false)
	bad := rolled(t, "r2", "cloud-01", noon.Add(-2*time.Hour), hop, true)
	f := healthy("cloud-01", "29.0.1")
	d := compute(f, func(in *Input) { in.Past = []Past{bad, good} })
	got := d.Targets[0]
	if s := got.Snapshot; s == nil || s.Rollout != "r2" || s.Key != "r2/cloud-01" || s.AgeSeconds != 2*3600-20 {
		t.Errorf("the newest proven snapshot is %+v: a rollout that was taken back proved one too", s)
	}
	if e := got.Closed; e == nil || *e != (Expected{Source: FromHistory, MedianSeconds: 40, MaxSeconds: 40, Samples: 1}) {
		t.Errorf("expected closed time %+v: only times that ended in an upgrade count", e)
	}
	want := &Drift{Rollout: "r1", Since: noon.Add(-48*time.Hour + 40*time.Second), Changes: []Change{{"app gone", "1.0", "not enabled"}}}
	if !reflect.DeepEqual(got.Drift, want) {
		t.Errorf("drift %+v, want %+v", got.Drift, want)
	}
	if len(d.Rollouts) != 2 || d.Rollouts[0].RolledBack != 1 || d.Rollouts[1].Upgraded != 1 || d.Rollouts[1].MedianSeconds != 40 {
		t.Errorf("rollouts %+v", d.Rollouts)
	}
	none := compute(f, nil).Targets[0]
	if none.Drift != nil || none.Snapshot != nil || none.Closed == nil || none.Closed.Source != FromEstimate || none.Closed.MedianSeconds <= 0 {
		t.Errorf("without a past: %+v", none)
	}
}

func TestDrift(t *testing.T) {
	plain := plan.Target{From: version("29.0.1"), Expect: plan.Expect{Code: version("29.0.1"), DataDir: "/data", PHP: "8.2.36", Database: "MariaDB 10.11.6",
		Apps: map[string]string{"calendar": "4.7.1", "files": "1.22"}}}
	packages := plain
	packages.Expect.PackagesTo = map[string]string{"php8.2-cli": "8.2.36-1", "curl": "8.1"}
	cases := map[string]struct {
		target plan.Target
		change func(*plan.Facts)
		want   []Change
	}{
		"nothing":  {plain, func(*plan.Facts) {}, nil},
		"release":  {plain, func(f *plan.Facts) { f.Instances[0].Code = version("29.0.3") }, []Change{{"Nextcloud", "29.0.1", "29.0.3"}}},
		"PHP":      {plain, func(f *plan.Facts) { f.Instances[0].PHP.Version = "8.3.1" }, []Change{{"PHP", "8.2.36", "8.3.1"}}},
		"database": {plain, func(f *plan.Facts) { f.Instances[0].Database.Version = "11.4.1" }, []Change{{"database", "MariaDB 10.11.6", "MariaDB 11.4.1"}}},
		"data":     {plain, func(f *plan.Facts) { f.Instances[0].DataDir = "/mnt" }, []Change{{"data directory", "/data", "/mnt"}}},
		"app":      {plain, func(f *plan.Facts) { f.Instances[0].Apps[0].Version = "4.8" }, []Change{{"app calendar", "4.7.1", "4.8"}}},
		"app off":  {plain, func(f *plan.Facts) { f.Instances[0].Apps[0].Enabled = false }, []Change{{"app calendar", "4.7.1", "not enabled"}}},
		"app on":   {plain, func(f *plan.Facts) { f.Instances[0].Apps[2].Enabled = true }, []Change{{"app old", "not enabled", "1"}}},
		// The rollout itself moved PHP's packages.
		"planned PHP": {packages, func(f *plan.Facts) { f.Instances[0].PHP.Version = "8.2.40" }, nil},
		"package": {packages, func(f *plan.Facts) {
			f.Packages = &driver.PackageFacts{Pending: []driver.PackageChange{{Name: "curl", From: "8.0", To: "8.2"}, {Name: "php8.2-cli", From: "8.2.36-1", To: "8.2.37-1"}}}
		}, []Change{{"package curl", "8.1", "8.0"}}},
	}
	for name, c := range cases {
		f := healthy("cloud-01", "29.0.1")
		c.change(&f)
		past := rolled(t, "r1", "cloud-01", noon.Add(-time.Hour), c.target, false)
		d := compute(f, func(in *Input) { in.Past = []Past{past} })
		got := d.Targets[0].Drift
		if got == nil || len(got.Changes)+len(c.want) > 0 && !reflect.DeepEqual(got.Changes, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if (d.Counts.Drifted == 1) != (len(c.want) > 0) {
			t.Errorf("%s: %d counted", name, d.Counts.Drifted)
		}
	}
}

func TestMiddle(t *testing.T) {
	for _, c := range []struct {
		list         []float64
		median, most float64
	}{{nil, 0, 0}, {[]float64{3}, 3, 3}, {[]float64{9, 1}, 5, 9}, {[]float64{9, 1, 2}, 2, 9}, {[]float64{4, 1, 3, 2}, 2.5, 4}} {
		if median, most := middle(c.list); median != c.median || most != c.most {
			t.Errorf("%v: %v, %v; want %v, %v", c.list, median, most, c.median, c.most)
		}
	}
}
