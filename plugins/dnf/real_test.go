package dnf

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

// populated is a host with dnf, everything of the first repository installed,
// and the updates published.
func populated(t *testing.T) *boxtest.Box {
	if testing.Short() {
		t.Skip("a minute of work for two cores: not with -short")
	}
	b := boxtest.New(t, "dnf", "dnf", "dnf-plugins-core", "rpm", "createrepo-c")
	template.Fill(b, func() { install(b) }, "srv/repo", "var/lib/rpm", "var/lib/dnf", "etc/dnf", "etc/yum.repos.d", "etc/lab")
	b.Publish()
	return b
}

func install(b *boxtest.Box) {
	b.Populate()
	b.Serve()
	b.Sh(`rm -rf /var/cache/dnf /var/lib/dnf
mkdir -p /etc/dnf/vars /etc/dnf/plugins
printf '[main]\nenabled = false\n' >/etc/dnf/plugins/local.conf
: >/etc/dnf/plugins/versionlock.list
echo 9 >/etc/dnf/vars/releasever
printf '[main]\ngpgcheck=1\ninstallonly_limit=3\nclean_requirements_on_remove=True\nbest=True\nskip_if_unavailable=True\n' >/etc/dnf/dnf.conf
printf '[lab]\nname=Lab\nbaseurl=` + boxtest.URL + `\ngpgcheck=0\nenabled=1\nskip_if_unavailable=1\n' >/etc/yum.repos.d/lab.repo
dnf -q -y install $(cd /srv/repo/v1/noarch && ls | sed 's/-[^-]*-[^-]*$//') 2>&1
dnf -q mark remove lab-plain
dnf -q versionlock add lab-held 2>&1`)
}

// change is a plan's decision on a package, without a survey.
func change(name, to string) driver.PackageChange {
	return driver.PackageChange{Name: name, From: "1.0-1", To: to, Change: driver.ChangeUpdate}
}

// refresh renews the index, as a survey does.
func refresh(b *boxtest.Box) { b.Sh("dnf -q makecache --refresh") }

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

func TestRealDnfUpdates(t *testing.T) {
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
	for name, want := range map[string]driver.PackageChange{
		"lab-plain":      {From: "1.0-1", To: "2.0-1", Change: driver.ChangeUpdate},
		longName:         {From: "1.0-1", To: "2.0-1", Change: driver.ChangeUpdate},
		"lab-sec":        {From: "1.0-1", To: "2.0-1", Change: driver.ChangeUpdate, Security: true},
		"kernel-core":    {From: "1.0-1", To: "2.0-1", Change: driver.ChangeUpdate},
		"lab-held":       {From: "1.0-1", To: "2.0-1", Change: driver.ChangeUpdate, Held: true, Reason: "locked (dnf versionlock)"},
		"lab-kept":       {From: "1.0-1", To: "2.0-1", Change: driver.ChangeUpdate, Held: true, Reason: "kept back: its dependencies cannot be met: nothing provides lab-missing needed by lab-kept-2.0-1.noarch"},
		"lab-dep":        {From: "1.0-1", To: "2.0-1", Change: driver.ChangeUpdate},
		"lab-newdep":     {To: "1.0-1", Change: driver.ChangeInstall, Held: true, Reason: "new, perhaps for the waiting upgrade of mariadb"},
		"lab-new":        {To: "2.0-1", Change: driver.ChangeInstall, Held: true, Reason: "it would replace an installed package, and packages are never removed"},
		"lab-old":        {From: "1.0-1", Change: driver.ChangeRemove, Held: true, Reason: "lab-new would replace it, and packages are never removed"},
		"php":            {From: "8.2.1-1", To: "8.2.2-1", Change: driver.ChangeUpdate, Product: "php", Reason: "8.3.1-1 is an upgrade, done only when the rollout names php"},
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
		"lab-old": "1.0", "lab-new": "", "php": "8.2.2", "mariadb-server": "10.5.1", longName: "2.0", "kernel-core": "1.0 2.0"} {
		if got := version(b, name); got != want {
			t.Errorf("%s is at %q, want %q", name, got, want)
		}
	}
	if got := b.Sh("cat /etc/lab/lab-plain.conf; ls /etc/lab/lab-plain.conf.rpmnew"); got != "setting=mine\n/etc/lab/lab-plain.conf.rpmnew\n" {
		t.Errorf("the configuration file: %q", got)
	}
	if got := b.Sh("dnf -C -q repoquery --installed --qf '%{name} %{reason}' lab-plain lab-newdep lab-sec"); got != "lab-newdep dependency\nlab-plain dependency\nlab-sec user\n" {
		t.Errorf("reasons: %q", got)
	}
	for _, c := range b.Facts(pm, driver.ProbeRequest{}).Pending {
		if !c.Held && c.Name != "php" {
			t.Errorf("still pending: %+v", c)
		}
	}
}

func TestRealDnfUpgradeByName(t *testing.T) {
	b := populated(t)
	pm := New()
	f := b.Facts(pm, driver.ProbeRequest{Refresh: true, Upgrades: []string{"php", "mariadb"}})
	m := boxtest.ByName(f)
	if m["php"].Held || m["php"].To != "8.3.1-1" || m["php"].Change != driver.ChangeUpgrade || m["mariadb-server"].Held || m["lab-newdep"].Held {
		t.Fatalf("%+v", f.Pending)
	}
	if r := b.All(compiled(t, pm, m["php"], m["lab-dep"], m["lab-newdep"]).Apply); r.Exit != 0 {
		t.Fatalf("apply: %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	if version(b, "php") != "8.3.1" || version(b, "mariadb-server") != "10.5.1" || version(b, "lab-newdep") != "1.0" {
		t.Errorf("php %q, mariadb %q, lab-newdep %q", version(b, "php"), version(b, "mariadb-server"), version(b, "lab-newdep"))
	}
	if got := b.Sh("dnf -C -q repoquery --installed --qf '%{name} %{reason}' lab-newdep"); got != "lab-newdep dependency\n" {
		t.Errorf("reason: %q", got)
	}
}

// TestRealDnfScriptlets: dnf ends with status 0 when %post fails.
func TestRealDnfScriptlets(t *testing.T) {
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

// TestRealDnfUnplanned: the repository moved on between plan and apply.
func TestRealDnfUnplanned(t *testing.T) {
	b := populated(t)
	pm := New()
	b.Add(boxtest.RPM{Name: "lab-plain", Version: "2.1", Head: "Requires: mariadb-server >= 10.11"}, boxtest.RPM{Name: "lab-sec", Version: "2.1", Head: "Obsoletes: lab-old"})
	refresh(b)
	for name, tc := range map[string]struct {
		change driver.PackageChange
		want   string
	}{
		"another update":  {change("lab-plain", "2.1-1"), "install mariadb-server-10.11.2-1.noarch"},
		"a removal":       {change("lab-sec", "2.1-1"), "lab-old"},
		"no such version": {change("lab-plain", "7.0-1"), "nothing was changed"},
	} {
		cmds := compiled(t, pm, tc.change)
		for what, commands := range map[string][]driver.Command{"stage": cmds.Stage, "apply": cmds.Apply} {
			r := b.All(commands)
			if r.Exit == 0 || !strings.Contains(string(r.Stdout), tc.want) || !strings.Contains(string(r.Stdout), "ncfleet: error ") {
				t.Errorf("%s, %s: exit %d\n%s%s", name, what, r.Exit, r.Stdout, r.Stderr)
			}
		}
	}
	if version(b, "lab-plain") != "1.0" || version(b, "mariadb-server") != "10.5.1" || version(b, "lab-old") != "1.0" || version(b, "lab-sec") != "1.0" {
		t.Error("something was changed")
	}
	// The planned version is there still, though a newer one is.
	if r := b.All(compiled(t, pm, change("lab-plain", "2.0-1")).Apply); r.Exit != 0 || version(b, "lab-plain") != "2.0" {
		t.Errorf("the planned version: exit %d, at %q\n%s%s", r.Exit, version(b, "lab-plain"), r.Stdout, r.Stderr)
	}
}

// TestRealDnfInterrupted kills dnf inside a scriptlet: two versions stay.
func TestRealDnfInterrupted(t *testing.T) {
	b := populated(t)
	b.Add(boxtest.RPM{Name: "lab-slow", Version: "2.0", Post: "if [ ! -e /srv/go-on ]; then touch /srv/waits; sleep 60; fi"})
	pm := New()
	refresh(b)
	cmds := compiled(t, pm, change("lab-slow", "2.0-1"))
	b.Sh("setsid dnf -q -y install lab-slow-2.0-1 >/dev/null 2>&1 & dnf=$!\nn=0; until [ -e /srv/waits ]; do sleep 0.2; n=$((n+1)); [ $n -lt 300 ]; done; kill -9 $dnf; touch /srv/go-on")
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

func TestRealDnfUnreachableRepository(t *testing.T) {
	b := populated(t)
	b.Sh("rm " + boxtest.Path)
	f := b.Facts(New(), driver.ProbeRequest{Refresh: true})
	if len(f.Problems) == 0 || !strings.Contains(strings.Join(f.Problems, "\n"), "cannot be renewed (dnf makecache): Failed to download metadata for repo 'lab'") {
		t.Errorf("problems %q", f.Problems)
	}
}

func TestRealDnfLock(t *testing.T) {
	b := populated(t)
	pm := New()
	refresh(b)
	// dnf's lock is a file with the process's number; that process only sleeps.
	b.Sh("setsid sleep 300 >/dev/null 2>&1 & echo $! >/var/lib/dnf/rpmdb_lock.pid")
	if h := rpm.ReadHost(b.Run(driver.Command{Argv: []string{"sh", "-s"}, Stdin: []byte(rpm.HostScript)})); !strings.HasPrefix(h.Lock, "sleep (process ") {
		t.Errorf("lock holder %q", h.Lock)
	}
	r := b.All(compiled(t, pm, change("lab-plain", "2.0-1")).Apply)
	if r.Exit != 68 || !strings.Contains(string(r.Stdout), "still locked after 5 seconds: ") || version(b, "lab-plain") != "1.0" {
		t.Errorf("locked: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	b.Sh("(sleep 3; kill -9 $(cat /var/lib/dnf/rpmdb_lock.pid)) >/dev/null 2>&1 &")
	if r := b.All(compiled(t, pm, change("lab-plain", "2.0-1")).Apply); r.Exit != 0 || version(b, "lab-plain") != "2.0" {
		t.Errorf("after the wait: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	// rpm's own lock makes dnf fail at once; the script asks again.
	b.Need("python3")
	b.Sh(`setsid python3 -c 'import fcntl,time; f=open("/var/lib/rpm/.rpm.lock","w"); fcntl.lockf(f,fcntl.LOCK_EX); open("/srv/held","w"); time.sleep(8)' >/dev/null 2>&1 &
n=0; until [ -e /srv/held ]; do sleep 0.1; n=$((n+1)); [ $n -lt 300 ]; done`)
	if h := rpm.ReadHost(b.Run(driver.Command{Argv: []string{"sh", "-s"}, Stdin: []byte(rpm.HostScript)})); !strings.HasPrefix(h.Lock, "python3 (process ") {
		t.Errorf("lock holder %q", h.Lock)
	}
	c, err := pm.Compile(t.Context(), driver.Selection{Changes: []driver.PackageChange{change("lab-sec", "2.0-1")}, LockWait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if r := b.All(c.Apply); r.Exit != 0 || version(b, "lab-sec") != "2.0" {
		t.Errorf("after the wait for rpm: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
}
