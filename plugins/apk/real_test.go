package apk

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/boxtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// populated is a host with apk, packages of a first version installed and newer
// ones published. The box has no Alpine in it but apk and its database.
func populated(t *testing.T) (*boxtest.Box, *boxtest.APKRepo) {
	b := boxtest.New(t, "apk")
	b.Sh("rm -rf /lib/apk /etc/apk /var/cache/apk /var/cache/ncfleet; mkdir -p /var/cache/apk; apk add --initdb\n" +
		"echo " + boxtest.APKURL("lab") + " >/etc/apk/repositories; echo 3.20.1 >/etc/alpine-release")
	r := b.NewAPKRepo("lab")
	var list []boxtest.APK
	for _, name := range []string{"lab-plain", "lab-pinned", "lab-kept", "lab-dep", "lab-bad", "lab-rival"} {
		list = append(list, boxtest.APK{Name: name, Version: "1.0-r0"})
	}
	list = append(list, boxtest.APK{Name: "php82", Version: "8.2.1-r0"}, boxtest.APK{Name: "mariadb", Version: "10.11.6-r0"}, boxtest.APK{Name: "alpine-base", Version: "3.20.1-r0"})
	r.Add("lab", list...)
	b.Serve()
	b.Sh("apk -q update; apk -q add lab-plain lab-pinned=1.0-r0 lab-kept lab-dep lab-bad lab-rival php82 mariadb alpine-base")
	r.Add("lab", boxtest.APK{Name: "lab-plain", Version: "2.0-r0"}, boxtest.APK{Name: "lab-pinned", Version: "2.0-r0"},
		boxtest.APK{Name: "lab-kept", Version: "2.0-r0", Depends: []string{"lab-missing"}},
		boxtest.APK{Name: "lab-dep", Version: "2.0-r0", Depends: []string{"lab-newdep"}}, boxtest.APK{Name: "lab-newdep", Version: "1.0-r0"},
		boxtest.APK{Name: "php82", Version: "8.2.2-r0"}, boxtest.APK{Name: "mariadb", Version: "11.4.2-r0"}, boxtest.APK{Name: "alpine-base", Version: "3.20.2-r0"})
	return b, r
}

func version(b *boxtest.Box, name string) string {
	r := b.Run(driver.Command{Argv: []string{"cat", "/usr/share/" + name + "/version"}})
	return strings.TrimSpace(string(r.Stdout))
}

func compiled(t *testing.T, pm driver.PackageManager, changes ...driver.PackageChange) driver.Commands {
	t.Helper()
	c, err := pm.Compile(t.Context(), driver.Selection{Changes: changes, LockWait: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRealApkUpdates(t *testing.T) {
	b, _ := populated(t)
	pm := New()
	world := b.Sh("cat /etc/apk/world")
	results := b.Probe(pm, driver.ProbeRequest{Refresh: true})
	probes.Save(t, "lab", results[1:])
	f, err := pm.Facts(t.Context(), driver.ProbeRequest{Refresh: true}, results)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Problems) != 0 || len(f.Broken) != 0 || f.Lock != "" || f.RebootRequired || len(f.ReleaseSteps) != 0 {
		t.Errorf("problems %q, broken %q, lock %q, reboot %v, release %q", f.Problems, f.Broken, f.Lock, f.RebootRequired, f.ReleaseSteps)
	}
	m := boxtest.ByName(f)
	for name, want := range map[string]driver.PackageChange{
		"lab-plain":   {From: "1.0-r0", To: "2.0-r0", Change: driver.ChangeUpdate},
		"lab-pinned":  {From: "1.0-r0", To: "2.0-r0", Change: driver.ChangeUpdate, Held: true, Reason: "pinned in /etc/apk/world: lab-pinned=1.0-r0"},
		"lab-kept":    {From: "1.0-r0", To: "2.0-r0", Change: driver.ChangeUpdate, Held: true, Reason: "kept back: its dependencies cannot be met: lab-missing (no such package)"},
		"lab-dep":     {From: "1.0-r0", To: "2.0-r0", Change: driver.ChangeUpdate},
		"lab-newdep":  {To: "1.0-r0", Change: driver.ChangeInstall, Held: true, Reason: "new, perhaps for the waiting upgrade of mariadb"},
		"php82":       {From: "8.2.1-r0", To: "8.2.2-r0", Change: driver.ChangeUpdate, Product: "php"},
		"mariadb":     {From: "10.11.6-r0", To: "11.4.2-r0", Change: driver.ChangeUpgrade, Product: "mariadb", Held: true, Reason: "mariadb moves from 10.11 to 11.4: an upgrade, done only when the rollout names mariadb"},
		"alpine-base": {From: "3.20.1-r0", To: "3.20.2-r0", Change: driver.ChangeUpdate, Product: "os"},
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
	if r := b.All(cmds.Stage); r.Exit != 0 || version(b, "lab-plain") != "1.0-r0" {
		t.Fatalf("stage: %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	b.Sh("rm -rf /srv/repo/lab") // what is staged needs no repository
	for range 2 {
		if r := b.All(cmds.Apply); r.Exit != 0 {
			t.Fatalf("apply: %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
		}
	}
	for name, want := range map[string]string{"lab-plain": "2.0-r0", "lab-pinned": "1.0-r0", "lab-kept": "1.0-r0", "lab-dep": "2.0-r0", "lab-newdep": "1.0-r0",
		"php82": "8.2.2-r0", "mariadb": "10.11.6-r0", "alpine-base": "3.20.2-r0"} {
		if got := version(b, name); got != want {
			t.Errorf("%s is at %q, want %q", name, got, want)
		}
	}
	if got := b.Sh("cat /etc/lab/lab-plain.conf; ls /etc/lab/lab-plain.conf.apk-new"); got != "setting=mine\n/etc/lab/lab-plain.conf.apk-new\n" {
		t.Errorf("the configuration file: %q", got)
	}
	if got := b.Sh("cat /etc/apk/world"); got != world {
		t.Errorf("the world file was changed:\n%s", got)
	}
	for _, c := range b.Facts(pm, driver.ProbeRequest{}).Pending {
		if !c.Held {
			t.Errorf("still pending: %+v", c)
		}
	}
}

func TestRealApkUpgradeByName(t *testing.T) {
	b, _ := populated(t)
	pm := New()
	m := boxtest.ByName(b.Facts(pm, driver.ProbeRequest{Refresh: true, Upgrades: []string{"mariadb"}}))
	if m["mariadb"].Held || m["lab-newdep"].Held {
		t.Fatalf("%+v", m)
	}
	if r := b.All(compiled(t, pm, m["mariadb"], m["lab-dep"], m["lab-newdep"]).Apply); r.Exit != 0 {
		t.Fatalf("apply: %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	if version(b, "mariadb") != "11.4.2-r0" || version(b, "lab-newdep") != "1.0-r0" || version(b, "php82") != "8.2.1-r0" {
		t.Errorf("mariadb %q, lab-newdep %q, php %q", version(b, "mariadb"), version(b, "lab-newdep"), version(b, "php82"))
	}
}

// TestRealApkUnplanned: the repository moved on between plan and apply.
func TestRealApkUnplanned(t *testing.T) {
	b, r := populated(t)
	pm := New()
	m := boxtest.ByName(b.Facts(pm, driver.ProbeRequest{Refresh: true}))
	r.Add("lab", boxtest.APK{Name: "lab-plain", Version: "2.1-r0", Depends: []string{"mariadb>11"}}, boxtest.APK{Name: "lab-dep", Version: "2.1-r0", Depends: []string{"!lab-rival"}})
	b.Facts(pm, driver.ProbeRequest{Refresh: true})
	other, conflict, old, pinned := m["lab-plain"], m["lab-dep"], m["lab-plain"], m["lab-pinned"]
	other.To, conflict.To, pinned.Held = "2.1-r0", "2.1-r0", false
	for name, tc := range map[string]struct {
		change driver.PackageChange
		want   string
	}{
		"another update":         {other, "do Upgrading mariadb 11.4.2-r0"},
		"a conflict":             {conflict, "nothing was changed"},
		"not the newest version": {old, "not bring lab-plain=2.0-r0"},
		"a pin":                  {pinned, "not bring lab-pinned=2.0-r0"},
	} {
		cmds := compiled(t, pm, tc.change)
		for what, commands := range map[string][]driver.Command{"stage": cmds.Stage, "apply": cmds.Apply} {
			r := b.All(commands)
			if r.Exit == 0 || !strings.Contains(string(r.Stdout), tc.want) || !strings.Contains(string(r.Stdout), "ncfleet: error ") {
				t.Errorf("%s, %s: exit %d\n%s%s", name, what, r.Exit, r.Stdout, r.Stderr)
			}
		}
	}
	if version(b, "lab-plain") != "1.0-r0" || version(b, "mariadb") != "10.11.6-r0" || version(b, "lab-dep") != "1.0-r0" || version(b, "lab-pinned") != "1.0-r0" || version(b, "lab-rival") != "1.0-r0" {
		t.Error("something was changed")
	}
}

func TestRealApkScriptFailsAndIsRepaired(t *testing.T) {
	b, r := populated(t)
	r.Add("lab", boxtest.APK{Name: "lab-bad", Version: "2.0-r0", Post: "test -e /srv/allow"})
	pm := New()
	cmds := compiled(t, pm, boxtest.ByName(b.Facts(pm, driver.ProbeRequest{Refresh: true}))["lab-bad"])
	res := b.All(cmds.Apply)
	if res.Exit == 0 || !strings.Contains(string(res.Stdout), "ncfleet: error lab-bad-2.0-r0.post-upgrade: script exited with error 1") {
		t.Errorf("a failed script: exit %d\n%s%s", res.Exit, res.Stdout, res.Stderr)
	}
	results := b.Probe(pm, driver.ProbeRequest{})
	probes.Save(t, "broken", results)
	f, err := pm.Facts(t.Context(), driver.ProbeRequest{}, results)
	if err != nil || !slices.Equal(f.Broken, []string{"lab-bad"}) {
		t.Errorf("broken %q, error %v", f.Broken, err)
	}
	if res := b.All(cmds.Repair); res.Exit == 0 {
		t.Errorf("the repair of what still fails: exit 0\n%s", res.Stdout)
	}
	b.Sh("touch /srv/allow")
	if res := b.All(cmds.Repair); res.Exit != 0 {
		t.Errorf("repair: exit %d\n%s%s", res.Exit, res.Stdout, res.Stderr)
	}
	if f := b.Facts(pm, driver.ProbeRequest{}); len(f.Broken) != 0 || version(b, "lab-bad") != "2.0-r0" {
		t.Errorf("after the repair: broken %q", f.Broken)
	}
	if res := b.All(cmds.Repair); res.Exit != 0 {
		t.Errorf("the repair of nothing: exit %d\n%s%s", res.Exit, res.Stdout, res.Stderr)
	}
}

func TestRealApkUnreachableRepository(t *testing.T) {
	b, _ := populated(t)
	pm := New()
	if f := b.Facts(pm, driver.ProbeRequest{Refresh: true}); len(f.Problems) != 0 {
		t.Fatalf("problems %q", f.Problems)
	}
	b.Sh("mv /srv/repo/lab /srv/repo/gone")
	f := b.Facts(pm, driver.ProbeRequest{Refresh: true})
	if len(f.Problems) == 0 || !strings.Contains(f.Problems[0], "the package index cannot be renewed (apk update): ") || !strings.Contains(f.Problems[0], boxtest.APKURL("lab")) {
		t.Errorf("problems %q", f.Problems)
	}
	b.Sh("rm -rf /var/cache/ncfleet")
	b.Sh("mv /srv/repo/gone /srv/repo/lab; apk -q --force-refresh update; mv /srv/repo/lab /srv/repo/gone")
	if f := b.Facts(pm, driver.ProbeRequest{}); len(f.Problems) != 0 || len(f.Pending) == 0 {
		t.Errorf("with the host's own index: problems %q, %d pending", f.Problems, len(f.Pending))
	}
	b.Sh("rm -rf /var/cache/apk/*")
	if f := b.Facts(pm, driver.ProbeRequest{}); len(f.Problems) == 0 {
		t.Error("a host without an index looks like one with nothing to do")
	}
}

func TestRealApkLock(t *testing.T) {
	b, _ := populated(t)
	b.Need("python3")
	pm := New()
	m := boxtest.ByName(b.Facts(pm, driver.ProbeRequest{Refresh: true}))
	hold := `setsid python3 -c 'import fcntl,time; f=open("/lib/apk/db/lock","w"); fcntl.flock(f,fcntl.LOCK_EX); open("/srv/held","w"); time.sleep(%d)' >/dev/null 2>&1 & echo $! >/srv/pid
n=0; until [ -e /srv/held ]; do sleep 0.1; n=$((n+1)); [ $n -lt 300 ]; done`
	b.Sh(fmt.Sprintf(hold, 300))
	r := b.All(compiled(t, pm, m["lab-plain"]).Apply)
	if r.Exit != 68 || !strings.Contains(string(r.Stdout), "still locked after 3 seconds") || version(b, "lab-plain") != "1.0-r0" {
		t.Errorf("locked: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	f := b.Facts(pm, driver.ProbeRequest{})
	if !strings.HasPrefix(f.Lock, "python3") {
		t.Errorf("lock holder %q", f.Lock)
	}
	b.Sh("kill -9 $(cat /srv/pid); rm /srv/held")
	b.Sh(fmt.Sprintf(hold, 1))
	if r := b.All(compiled(t, pm, m["lab-plain"]).Apply); r.Exit != 0 || version(b, "lab-plain") != "2.0-r0" {
		t.Errorf("after the wait: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
}

// TestRealApkRelease: the repositories are of the next release.
func TestRealApkRelease(t *testing.T) {
	b, r := populated(t)
	r.Add("lab", boxtest.APK{Name: "alpine-base", Version: "3.21.0-r0"})
	f := b.Facts(New(), driver.ProbeRequest{Refresh: true})
	for _, c := range f.Pending {
		if !c.Held {
			t.Errorf("not held: %+v", c)
		}
	}
	if len(f.ReleaseSteps) == 0 || !strings.Contains(f.ReleaseSteps[0], "3.20.1") {
		t.Errorf("steps %q", f.ReleaseSteps)
	}
}
