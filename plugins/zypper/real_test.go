package zypper

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/boxtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/rpm"
)

var template boxtest.Template

// populated is a host with zypper, everything of the first repository installed,
// and the updates published.
func populated(t *testing.T) *boxtest.Box {
	if testing.Short() {
		t.Skip("a minute of work for two cores: not with -short")
	}
	b := boxtest.New(t, "zypper", "zypper", "rpm", "createrepo-c", "lsof")
	template.Fill(b, func() { install(b) }, "srv/repo", "var/lib/rpm", "var/lib/zypp", "etc/zypp", "etc/os-release", "etc/lab")
	b.Publish()
	return b
}

func install(b *boxtest.Box) {
	b.Populate()
	b.Serve()
	b.Sh(`rm -rf /var/cache/zypp /var/lib/zypp /etc/os-release
printf 'NAME="openSUSE Leap"\nVERSION="15.6"\nID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="15.6"\n' >/etc/os-release
zypper -n addrepo -G -f ` + boxtest.URL + ` lab
zypper -n install $(cd /srv/repo/v1/noarch && ls | sed 's/-[^-]*-[^-]*$//') 2>&1
zypper -n addlock lab-held`)
}

// change is a plan's decision on a package, without a survey.
func change(name, to string) driver.PackageChange {
	return driver.PackageChange{Name: name, From: "1.0-1", To: to, Change: driver.ChangeUpdate}
}

// refresh renews the index, as a survey does.
func refresh(b *boxtest.Box) { b.Sh("zypper -n refresh") }

func version(b *boxtest.Box, name string) string {
	r := b.Run(driver.Command{Argv: []string{"rpm", "-q", "--qf", "%{VERSION} ", name}})
	if r.Exit != 0 {
		return ""
	}
	return strings.TrimSpace(string(r.Stdout))
}

func compiled(t *testing.T, pm driver.PackageManager, changes ...driver.PackageChange) driver.Commands {
	t.Helper()
	c, err := pm.Compile(t.Context(), driver.Selection{Changes: changes, LockWait: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const longName = "lab-package-with-a-name-longer-than-a-column-of-the-table-is-wide"

func TestRealZypperUpdates(t *testing.T) {
	b := populated(t)
	pm := New()
	results := b.Probe(pm, driver.ProbeRequest{Refresh: true})
	probes.Save(t, "lab", results[1:])
	f, err := pm.Facts(t.Context(), driver.ProbeRequest{Refresh: true}, results)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Problems) != 0 || len(f.Broken) != 0 || f.Lock != "" || f.RebootRequired {
		t.Errorf("problems %q, broken %q, lock %q, reboot %v", f.Problems, f.Broken, f.Lock, f.RebootRequired)
	}
	m := boxtest.ByName(f)
	replaces := "new, perhaps in place of lab-old; packages are never removed"
	for name, want := range map[string]driver.PackageChange{
		"lab-plain":      {From: "1.0-1", To: "2.0-1", Change: driver.ChangeUpdate},
		longName:         {From: "1.0-1", To: "2.0-1", Change: driver.ChangeUpdate},
		"lab-sec":        {From: "1.0-1", To: "2.0-1", Change: driver.ChangeUpdate, Security: true},
		"lab-held":       {From: "1.0-1", To: "2.0-1", Change: driver.ChangeUpdate, Held: true, Reason: "locked (zypper addlock)"},
		"lab-kept":       {From: "1.0-1", To: "2.0-1", Change: driver.ChangeUpdate, Held: true, Reason: "kept back: zypper does not choose it, for its dependencies, its vendor or its repository's priority"},
		"lab-dep":        {From: "1.0-1", To: "2.0-1", Change: driver.ChangeUpdate},
		"lab-newdep":     {To: "1.0-1", Change: driver.ChangeInstall, Held: true, Reason: replaces},
		"lab-new":        {To: "2.0-1", Change: driver.ChangeInstall, Held: true, Reason: replaces},
		"lab-old":        {From: "1.0-1", Change: driver.ChangeRemove, Held: true, Reason: "packages are never removed"},
		"php":            {From: "8.2.1-1", To: "8.3.1-1", Change: driver.ChangeUpgrade, Product: "php", Held: true, Reason: "php moves from 8.2 to 8.3: an upgrade, done only when the rollout names php"},
		"mariadb-server": {From: "10.5.1-1", To: "10.11.2-1", Change: driver.ChangeUpgrade, Product: "mariadb", Held: true, Reason: "mariadb moves from 10.5 to 10.11: an upgrade, done only when the rollout names mariadb"},
	} {
		want.Name = name
		if m[name] != want {
			t.Errorf("%s\n got %+v\nwant %+v", name, m[name], want)
		}
	}
	b.Sh("echo setting=mine >/etc/lab/lab-plain.conf")
	var chosen []driver.PackageChange
	for _, c := range f.Pending {
		if !c.Held {
			chosen = append(chosen, c)
		}
	}
	cmds := compiled(t, pm, chosen...)
	if r := b.All(cmds.Stage); r.Exit != 0 || version(b, "lab-plain") != "1.0" {
		t.Fatalf("stage: %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	b.Sh("rm -rf /srv/repo/v2/noarch") // what is staged needs no repository
	for range 2 {
		if r := b.All(cmds.Apply); r.Exit != 0 {
			t.Fatalf("apply: %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
		}
	}
	for name, want := range map[string]string{"lab-plain": "2.0", "lab-sec": "2.0", "lab-held": "1.0", "lab-kept": "1.0", "lab-dep": "2.0", "lab-newdep": "1.0",
		"lab-old": "1.0", "lab-new": "", "php": "8.2.1", "mariadb-server": "10.5.1", longName: "2.0"} {
		if got := version(b, name); got != want {
			t.Errorf("%s is at %q, want %q", name, got, want)
		}
	}
	if got := b.Sh("cat /etc/lab/lab-plain.conf; ls /etc/lab/lab-plain.conf.rpmnew"); got != "setting=mine\n/etc/lab/lab-plain.conf.rpmnew\n" {
		t.Errorf("the configuration file: %q", got)
	}
	for _, c := range b.Facts(pm, driver.ProbeRequest{}).Pending {
		if !c.Held {
			t.Errorf("still pending: %+v", c)
		}
	}
}

func TestRealZypperUpgradeByName(t *testing.T) {
	b := populated(t)
	pm := New()
	m := boxtest.ByName(b.Facts(pm, driver.ProbeRequest{Refresh: true, Upgrades: []string{"php"}}))
	if m["php"].Held || m["php"].To != "8.3.1-1" || !m["mariadb-server"].Held {
		t.Fatalf("%+v", m)
	}
	if r := b.All(compiled(t, pm, m["php"]).Apply); r.Exit != 0 {
		t.Fatalf("apply: %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	if version(b, "php") != "8.3.1" || version(b, "mariadb-server") != "10.5.1" {
		t.Errorf("php %q, mariadb %q", version(b, "php"), version(b, "mariadb-server"))
	}
}

func TestRealZypperScriptlets(t *testing.T) {
	b := populated(t)
	b.Add(boxtest.RPM{Name: "lab-bad", Version: "2.0", Post: "echo post fails on purpose >&2\nexit 1"}, boxtest.RPM{Name: "lab-badpre", Version: "2.0", Pre: "exit 1"})
	pm := New()
	refresh(b)
	r := b.All(compiled(t, pm, change("lab-bad", "2.0-1")).Apply)
	if r.Exit != 66 || !strings.Contains(string(r.Stdout), "ncfleet: error scriptlets failed in: lab-bad") {
		t.Errorf("a failed %%post: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	r = b.All(compiled(t, pm, change("lab-badpre", "2.0-1")).Apply)
	if r.Exit == 0 || version(b, "lab-badpre") != "1.0" || !strings.Contains(string(r.Stdout), "lab-badpre") {
		t.Errorf("a failed %%pre: exit %d, at %q\n%s%s", r.Exit, version(b, "lab-badpre"), r.Stdout, r.Stderr)
	}
}

// TestRealZypperUnplanned: the repository moved on between plan and apply.
func TestRealZypperUnplanned(t *testing.T) {
	b := populated(t)
	pm := New()
	b.Add(boxtest.RPM{Name: "lab-plain", Version: "2.1", Head: "Requires: mariadb-server >= 10.11"}, boxtest.RPM{Name: "lab-sec", Version: "2.1", Head: "Obsoletes: lab-old"})
	refresh(b)
	for name, tc := range map[string]struct {
		change driver.PackageChange
		want   string
	}{
		"another update":  {change("lab-plain", "2.1-1"), "upgrade mariadb-server-10.11.2-1.noarch"},
		"a removal":       {change("lab-sec", "2.1-1"), "remove lab-old"},
		"no such version": {change("lab-plain", "7.0-1"), "nothing was changed"},
		"a lock":          {change("lab-held", "2.0-1"), "nothing was changed"},
	} {
		cmds := compiled(t, pm, tc.change)
		for what, commands := range map[string][]driver.Command{"stage": cmds.Stage, "apply": cmds.Apply} {
			r := b.All(commands)
			if r.Exit == 0 || !strings.Contains(string(r.Stdout), tc.want) || !strings.Contains(string(r.Stdout), "ncfleet: error ") {
				t.Errorf("%s, %s: exit %d\n%s%s", name, what, r.Exit, r.Stdout, r.Stderr)
			}
		}
	}
	if version(b, "lab-plain") != "1.0" || version(b, "mariadb-server") != "10.5.1" || version(b, "lab-old") != "1.0" || version(b, "lab-held") != "1.0" {
		t.Error("something was changed")
	}
	// The planned version is there still, though a newer one is.
	if r := b.All(compiled(t, pm, change("lab-plain", "2.0-1")).Apply); r.Exit != 0 || version(b, "lab-plain") != "2.0" {
		t.Errorf("the planned version: exit %d, at %q\n%s%s", r.Exit, version(b, "lab-plain"), r.Stdout, r.Stderr)
	}
}

// TestRealZypperInterrupted kills zypper and rpm inside a scriptlet.
func TestRealZypperInterrupted(t *testing.T) {
	b := populated(t)
	b.Add(boxtest.RPM{Name: "lab-slow", Version: "2.0", Post: "if [ ! -e /srv/go-on ]; then touch /srv/waits; sleep 60; fi"})
	pm := New()
	refresh(b)
	cmds := compiled(t, pm, change("lab-slow", "2.0-1"))
	b.Sh("setsid zypper -n install lab-slow=2.0-1 >/dev/null 2>&1 & zypper=$!\nn=0; until [ -e /srv/waits ]; do sleep 0.2; n=$((n+1)); [ $n -lt 300 ]; done\nkill -9 $(pgrep -x rpm) $zypper; touch /srv/go-on")
	results := b.Probe(pm, driver.ProbeRequest{})
	probes.Save(t, "interrupted", results)
	f, err := pm.Facts(t.Context(), driver.ProbeRequest{}, results)
	if err != nil || !slices.Equal(f.Broken, []string{"lab-slow"}) || len(f.Problems) != 1 || !strings.Contains(f.Problems[0], "interrupted") {
		t.Errorf("broken %q, problems %q, error %v", f.Broken, f.Problems, err)
	}
	if r := b.All(cmds.Repair); r.Exit != 0 || version(b, "lab-slow") != "2.0" {
		t.Errorf("repair: exit %d, at %q\n%s%s", r.Exit, version(b, "lab-slow"), r.Stdout, r.Stderr)
	}
	if f := b.Facts(pm, driver.ProbeRequest{}); len(f.Broken) != 0 || len(f.Problems) != 0 {
		t.Errorf("after the repair: broken %q, problems %q", f.Broken, f.Problems)
	}
	if r := b.All(append(cmds.Repair, cmds.Apply...)); r.Exit != 0 {
		t.Errorf("again: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
}

func TestRealZypperUnreachableRepository(t *testing.T) {
	b := populated(t)
	b.Sh("rm " + boxtest.Path)
	f := b.Facts(New(), driver.ProbeRequest{Refresh: true})
	if len(f.Problems) == 0 || !strings.Contains(strings.Join(f.Problems, "\n"), "cannot be renewed (zypper refresh): ") || !strings.Contains(strings.Join(f.Problems, "\n"), "lab") {
		t.Errorf("problems %q", f.Problems)
	}
}

func TestRealZypperLock(t *testing.T) {
	b := populated(t)
	pm := New()
	refresh(b)
	// zypper's lock is a file with the process's number; that process only sleeps.
	b.Sh("setsid sleep 300 >/dev/null 2>&1 & echo $! >/run/zypp.pid")
	r := b.All(compiled(t, pm, change("lab-plain", "2.0-1")).Apply)
	if r.Exit != 68 || !strings.Contains(string(r.Stdout), "still locked after 5 seconds: ") || !strings.Contains(string(r.Stdout), "(sleep)") || version(b, "lab-plain") != "1.0" {
		t.Errorf("locked: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	if h := rpm.ReadHost(b.Run(driver.Command{Argv: []string{"sh", "-s"}, Stdin: []byte(rpm.HostScript)})); !strings.HasPrefix(h.Lock, "sleep (process ") {
		t.Errorf("lock holder %q", h.Lock)
	}
	b.Sh("(sleep 2; kill -9 $(cat /run/zypp.pid)) >/dev/null 2>&1 &")
	if r := b.All(compiled(t, pm, change("lab-plain", "2.0-1")).Apply); r.Exit != 0 || version(b, "lab-plain") != "2.0" {
		t.Errorf("after the wait: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
}
