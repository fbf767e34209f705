package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs; run the test with -update and read the change\n%s", path, got)
	}
}

func v(s string) nextcloud.Version {
	out, err := nextcloud.ParseVersion(s)
	if err != nil {
		panic(err)
	}
	return out
}

// real is a plan as Compute made it.
func real(t *testing.T) *plan.Plan {
	t.Helper()
	data, err := os.ReadFile("testdata/plan.json")
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

var warned = plan.Problem{Code: "system_not_captured", Summary: "updated packages cannot be taken back",
	Detail: `snapshot driver "archive" does not hold the operating system; after a failure packages are only brought to rest`,
	Remedy: "nothing to do, or use a snapshot driver of the whole machine"}

// fleet is a plan of twelve targets in three waves, with everything in it that
// a plan can hold.
func fleet() *plan.Plan {
	p := &plan.Plan{
		FormatVersion: 1, Rollout: "spring", Made: time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC),
		Policy: plan.Policy{MaxUnavailable: 2, FailureBudget: 1, Ahead: 8, SpreadLabel: "site", SpreadMax: 1,
			Window: &plan.Window{Days: []string{"mon", "tue"}, From: "22:00", To: "04:00", Zone: "Europe/Berlin"},
			OnHold: "wait", HoldTimeout: 30 * time.Minute},
		Waves: []plan.Wave{{Name: "canary", Bake: 30 * time.Minute}, {Name: "half", Bake: time.Hour, Approve: true}, {Name: "rest"}},
		Blocked: []plan.Blocked{
			{Target: "cloud-21", Problems: []plan.Problem{
				{Code: "dir_not_writable", Summary: "/var/www/nextcloud/apps cannot be written by www-data",
					Detail: "/var/www/nextcloud/apps belongs to root:root, mode 0755, and the web user www-data cannot write there: apps are updated in it",
					Remedy: "sudo chown -R www-data:www-data /var/www/nextcloud/apps && sudo chmod -R u+rwX /var/www/nextcloud/apps"},
				{Code: "php_too_old", Summary: "29 needs PHP 8.0–8.3; this host runs 7.4.33", Detail: "the command line's PHP /usr/bin/php7.4 is 7.4.33",
					Remedy: "upgrade PHP first, `system { upgrades = [\"php\"] }`, then plan again"}}},
			{Target: "cloud-22", Problems: []plan.Problem{{Code: "unreachable", Summary: "the host cannot be reached", Detail: "connection refused", Remedy: "try ssh, then plan again"}}},
			{Target: "cloud-23", Problems: []plan.Problem{{Code: "unreachable", Summary: "the host cannot be reached", Detail: "connection refused", Remedy: "try ssh, then plan again"}}},
		},
		Idle: []string{"cloud-30", "cloud-31", "cloud-32", "cloud-40", "db-1"},
	}
	for i := 1; i <= 12; i++ {
		t := plan.Target{Name: fmt.Sprintf("cloud-%02d", i), Host: fmt.Sprintf("cloud-%02d", i), Instance: "main",
			From: v("28.0.2.5"), To: v("29.0.16"), ClosedSeconds: 57, OnlineSeconds: 81,
			Hops:     []plan.Hop{{From: v("28.0.2.5"), To: v("29.0.16")}},
			Warnings: []plan.Problem{warned, {Code: "rival_held", Summary: "held during the rollout: apt-daily-upgrade.timer", Detail: "an active timer"}},
			Apps:     []plan.AppChange{{ID: "calendar", From: "4.6.0", To: "4.7.1", Action: "update"}},
			Expect:   plan.Expect{Packages: map[string]string{"openssl": "3.0.15-1"}},
			Packages: []driver.PackageChange{
				{Name: "openssl", From: "3.0.15-1", To: "3.0.17-1", Change: driver.ChangeUpdate, Security: true},
				{Name: "mariadb-server", From: "10.11.19", To: "11.4.4", Change: driver.ChangeUpgrade, Product: "mariadb", Held: true, Reason: "an upgrade of mariadb, which the rollout does not name"},
			}}
		wave := 2
		switch {
		case i == 1:
			wave = 0
		case i <= 5:
			wave = 1
		case i == 8:
			t.Apps = []plan.AppChange{{ID: "oldapp", From: "1.0.0", Action: "disable", Reason: "its info.xml supports 26–28"}}
			t.ClosedSeconds = 400
			for k := range 7 {
				t.Packages = append(t.Packages, driver.PackageChange{Name: fmt.Sprint("php8.3-part", k), From: "8.2.1", To: "8.3.4", Change: driver.ChangeUpgrade, Product: "php"})
			}
		}
		p.Waves[wave].Targets = append(p.Waves[wave].Targets, t)
	}
	return p
}

func text(t *testing.T, p *plan.Plan, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Text(&b, p, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTextOfAPlan(t *testing.T) {
	golden(t, "fleet.txt", text(t, fleet(), Options{}))
	golden(t, "fleet-120.txt", text(t, fleet(), Options{Width: 120}))
	golden(t, "fleet-color.txt", text(t, fleet(), Options{Color: true}))
	golden(t, "two.txt", text(t, real(t), Options{}))
	golden(t, "detail.txt", text(t, real(t), Options{Target: "cloud-01"}))
	golden(t, "blocked.txt", text(t, fleet(), Options{Target: "cloud-21"}))
	golden(t, "nothing.txt", text(t, &plan.Plan{Rollout: "spring", Idle: []string{"a"}}, Options{}))
}

func TestLinesStayWithinTheWidth(t *testing.T) {
	for _, width := range []int{60, 80, 120} {
		for _, l := range strings.Split(string(text(t, fleet(), Options{Width: width})), "\n") {
			if n := utf8.RuneCountInString(l); n > width && !strings.Contains(l, "sudo ") {
				t.Errorf("width %d: %d columns: %s", width, n, l)
			}
		}
	}
}

func TestSameTargetsAreFolded(t *testing.T) {
	out := string(text(t, fleet(), Options{}))
	for _, want := range []string{"cloud-02 … cloud-05 (4 targets)", "cloud-06, cloud-07, cloud-09 … cloud-12 (6 targets)", "cloud-22, cloud-23 (2 targets)"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// tenants is a plan of 200 targets in three waves, no two of them the same, with
// 30 more that are blocked.
func tenants() *plan.Plan {
	p := fleet()
	like := p.Waves[0].Targets[0]
	p.Blocked = nil
	for i := range p.Waves {
		p.Waves[i].Targets = nil
	}
	for i := range 200 {
		t := like
		t.Name = fmt.Sprintf("tenant-%03d", i+1)
		t.Host = t.Name
		t.ClosedSeconds, t.OnlineSeconds = 40+i*37%300, 60+i*13%90
		if i%3 == 0 {
			t.From = v("28.0.6.1")
			t.Hops = []plan.Hop{{From: t.From, To: v("29.0.16")}}
		}
		t.Apps = nil
		for k := range i % 7 {
			t.Apps = append(t.Apps, plan.AppChange{ID: fmt.Sprintf("app%d", (i+k)%11), From: "1.0.0", To: "1.1.0", Action: "update"})
		}
		if i%61 == 5 {
			t.Apps = append(t.Apps, plan.AppChange{ID: "oldapp", From: "1.0.0", Action: "disable", Reason: "its info.xml supports 26–28"})
		}
		wave := min(i, 1) + min(i/20, 1)
		p.Waves[wave].Targets = append(p.Waves[wave].Targets, t)
	}
	for i := range 30 {
		dir := fmt.Sprintf("/srv/tenant-%03d/nextcloud/apps", 201+i)
		p.Blocked = append(p.Blocked, plan.Blocked{Target: fmt.Sprintf("tenant-%03d", 201+i), Problems: []plan.Problem{{Code: "dir_not_writable",
			Summary: dir + " cannot be written by www-data", Detail: dir + " belongs to root:root, mode 0755", Remedy: "sudo chown -R www-data:www-data " + dir}}})
	}
	return p
}

// TestAPlanOfManyFolds: 200 different targets are a plan that one can read.
func TestAPlanOfManyFolds(t *testing.T) {
	out := text(t, tenants(), Options{})
	golden(t, "tenants.txt", out)
	if n := bytes.Count(out, []byte("\n")); n > 100 {
		t.Errorf("%d lines", n)
	}
	if n := strings.Count(string(out), "oldapp 1.0.0 will be DISABLED"); n != 2 {
		t.Errorf("the app that is lost is named %d times", n)
	}
}

func TestUnknownTargetIsNamedWithThoseThatExist(t *testing.T) {
	err := Text(&bytes.Buffer{}, fleet(), Options{Target: "cloud-99"})
	if err == nil || !strings.Contains(err.Error(), "cloud-01 … cloud-12") {
		t.Fatalf("error %v", err)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	p := real(t)
	for i := range p.Waves[0].Targets[0].Steps {
		s := &p.Waves[0].Targets[0].Steps[i]
		if s.Kind == plan.KindPackages {
			s.Commands[0].Env = map[string]string{"TOKEN": "s3cret", "A": "s3cret"}
			s.Commands[0].Stdin = []byte("s3cret")
		}
	}
	out := string(text(t, p, Options{Target: "cloud-01", Width: 200}))
	var b bytes.Buffer
	if err := Encode(&b, PlanJSON(p, nil), " "); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "s3cret") || strings.Contains(b.String(), "s3cret") || !strings.Contains(out, "A=… TOKEN=… apt-get") {
		t.Errorf("secret or no mark of it in\n%s", out)
	}
}

func TestJSONOfAPlan(t *testing.T) {
	var b bytes.Buffer
	if err := Encode(&b, PlanJSON(real(t), nil), " "); err != nil {
		t.Fatal(err)
	}
	golden(t, "two.json", b.Bytes())
	b.Reset()
	if err := Encode(&b, PlanJSON(fleet(), nil), " "); err != nil {
		t.Fatal(err)
	}
	var got struct {
		FormatVersion int `json:"format_version"`
		Changes       bool
		Targets       struct{ Planned, Blocked, Idle int }
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.FormatVersion != 1 || !got.Changes || got.Targets.Planned != 12 || got.Targets.Blocked != 3 || got.Targets.Idle != 5 {
		t.Errorf("got %+v", got)
	}
}

func TestProblems(t *testing.T) {
	var b bytes.Buffer
	list := []plan.Problem{{Code: "bad_goal", Summary: "the goal of the rollout cannot be read", Detail: `cannot read version "latest"`, Remedy: `write core { to = "29" }`}}
	if err := Problems(&b, list, Options{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "problems.txt", b.Bytes())
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", -time.Second: "0 s", 1500 * time.Millisecond: "1.5 s", 59 * time.Second: "59 s", 60 * time.Second: "1 min",
		80 * time.Second: "1 min 20 s", 2*time.Hour + 5*time.Minute + 3*time.Second: "2 h 5 min", 50 * time.Hour: "2 d 2 h", 12500 * time.Millisecond: "13 s",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a", "a"}, {"c1 c2", "c1, c2"}, {"c1 c2 c3", "c1 … c3"}, {"c8 c9 c10 x", "c8 … c10, x"},
		{"c-01/files c-02/files c-03/files", "c-01/files … c-03/files"}, {"c1 c3 c5", "c1, c3, c5"}, {"c1 d2 e3", "c1, d2, e3"},
		{"a1b a2c a3d", "a1b, a2c, a3d"},
		{"c-1 c-10 c-11 c-12 c-13 c-14 c-2 c-3 c-4 c-5 c-6 c-7 c-8 c-9 db", "c-1 … c-14, db"},
	} {
		if got := names(strings.Fields(c.in)); got != c.want {
			t.Errorf("%s: %s, want %s", c.in, got, c.want)
		}
	}
}

func TestShare(t *testing.T) {
	for _, c := range [][3]int{{10, 3, 4}, {9, 3, 3}, {0, 3, 0}, {5, 0, 5}} {
		if got := share(c[0], c[1]); got != c[2] {
			t.Errorf("%d by %d: %d", c[0], c[1], got)
		}
	}
}
