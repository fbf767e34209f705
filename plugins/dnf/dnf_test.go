package dnf

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/boxtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
	"github.com/ncfleet/ncfleet/plugins/rpm"
)

func TestMain(m *testing.M) {
	drivertest.Main(m, func() driver.Driver { return New() })
}

// probes are named as their recorded outputs.
var probes = boxtest.Recording{"installed", "newer", "upgrade", "upgrade-obsoleting", "security", "locks", "check", "reboot", "host", "stale"}

func TestFactsGolden(t *testing.T) {
	for _, tc := range []struct {
		host, file string
		upgrades   []string
	}{
		{"lab", "facts.json", nil}, {"lab", "facts-php.json", []string{"php"}}, {"lab", "facts-os.json", []string{"os"}}, {"interrupted", "facts.json", nil},
	} {
		f, err := New().Facts(t.Context(), driver.ProbeRequest{Upgrades: tc.upgrades}, probes.Read(t, tc.host))
		if err != nil {
			t.Fatal(err)
		}
		boxtest.Golden(t, filepath.Join("testdata", tc.host, tc.file), f)
	}
}

func TestCompileGolden(t *testing.T) {
	f, err := New().Facts(t.Context(), driver.ProbeRequest{Upgrades: []string{"mariadb", "php"}}, probes.Read(t, "lab"))
	if err != nil {
		t.Fatal(err)
	}
	pm := New()
	if err := pm.Configure(t.Context(), driver.Config{"lock_wait": "90s", "restart_services": "restart"}); err != nil {
		t.Fatal(err)
	}
	c, err := pm.Compile(t.Context(), driver.Selection{Changes: f.Pending})
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]driver.Command{c.Stage, c.Apply, c.Repair} {
		for i := range list {
			list[i].Stdin = nil // the scripts are files of their own
		}
	}
	boxtest.Golden(t, filepath.Join("testdata", "compile.json"), c)
}

func TestConformance(t *testing.T) {
	c := drivertest.Packages{
		Results: probes.Read(t, "lab"),
		Selection: driver.Selection{Changes: []driver.PackageChange{
			{Name: "openssl-libs", From: "1:3.0.7-27.el9", To: "1:3.0.7-28.el9_4", Change: driver.ChangeUpdate},
			{Name: "glibc:i686", From: "2.34-83.el9", To: "2.34-100.el9", Change: driver.ChangeUpdate},
		}},
	}
	for name, open := range map[string]func(*testing.T) driver.PackageManager{
		"in process": func(*testing.T) driver.PackageManager { return New() },
		"subprocess": func(t *testing.T) driver.PackageManager { return drivertest.Subprocess(t, nil).PackageManager() },
	} {
		c.New = open
		t.Run(name, func(t *testing.T) { drivertest.PackageManager(t, c) })
	}
}

func TestReadTable(t *testing.T) {
	got := readTable(`Last metadata expiration check: 0:00:01 ago on Thu Nov 26 01:24:19 2026.
Dependencies resolved.
================================================================================
 Package                 Architecture    Version             Repository    Size
================================================================================
Installing:
 kernel-core             x86_64          5.14.0-503.el9      baseos        18 M
 php-common              x86_64          8.2.25-1.el9        appstream      1 k
     replacing  php-json.x86_64 8.1.3-1.el9
Upgrading:
 a-package-with-a-very-long-name-that-does-not-fit
                         noarch          1:2.0-1             lab          6.3 k
 short                   noarch          2.0-1               lab            0  
Installing dependencies:
 newdep                  noarch          1.0-1               lab          6.3 k
Removing:
 kernel-core             x86_64          5.14.0-70.el9       @baseos       70 M
Skipping packages with broken dependencies:
 lab-kept                noarch          2.0-1               lab          6.3 k

Transaction Summary
================================================================================
Install  3 Packages
`)
	want := table{done: true, kept: []string{"lab-kept"}, removed: map[string]string{"php-json": "php-common", "kernel-core": ""},
		changes: []rpm.Package{{Name: "kernel-core", EVR: "5.14.0-503.el9", Arch: "x86_64"}, {Name: "php-common", EVR: "8.2.25-1.el9", Arch: "x86_64"},
			{Name: "a-package-with-a-very-long-name-that-does-not-fit", EVR: "1:2.0-1", Arch: "noarch"}, {Name: "short", EVR: "2.0-1", Arch: "noarch"}, {Name: "newdep", EVR: "1.0-1", Arch: "noarch"}},
		replaces: map[string]rpm.Package{"php-common": {Name: "php-common", EVR: "8.2.25-1.el9", Arch: "x86_64"}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestReadLocks(t *testing.T) {
	got := readLocks("Last metadata expiration check: 0:00:01 ago.\nbash-0:5.1.8-9.el9.*\n!php-8.2.1-1.*\nphp-common-0:8.2.1-1.el9.x86_64\nno lock\n")
	if want := []string{"bash", "php", "php-common"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLockHolder(t *testing.T) {
	for text, want := range map[string]string{
		"RPMDB already locked by 179\n  The application with PID 179 is: dnf-automatic\n    Memory : 1.5 M RSS\n": "dnf-automatic (process 179)",
		"metadata already locked by 12\nUnable to find information about the locking process (PID 12)\n":          "process 12",
		"Waiting for process with pid 89 to finish.\n":                                                            "process 89",
		"all is well": "",
	} {
		if got := lockHolder(driver.Result{Stdout: []byte(text)}); got != want {
			t.Errorf("lockHolder(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestSilentProbes: what dnf says nothing about is a problem, not an empty list.
func TestSilentProbes(t *testing.T) {
	for i, name := range probes {
		if name == "locks" || name == "reboot" || name == "stale" {
			continue // a plugin may be missing; the stale probe speaks for itself
		}
		results := probes.Read(t, "lab")
		results[i] = driver.Result{Exit: 1, Stderr: []byte("Error: Cache-only enabled but no cache for 'lab'\n")}
		f, err := New().Facts(t.Context(), driver.ProbeRequest{}, results)
		if err == nil && len(f.Problems) == 0 {
			t.Errorf("a failed %s goes unnoticed", name)
		}
	}
}

func TestConfigureRefuses(t *testing.T) {
	for _, c := range []driver.Config{{"restart_services": "ask"}, {"lock_wait": "soon"}, {"lock_wait": "-1s"}, {"products": []string{"x"}}} {
		if err := New().Configure(t.Context(), c); driver.ClassOf(err) != driver.Permanent {
			t.Errorf("Configure(%v): %v, want a refusal", c, err)
		}
	}
}

func FuzzFacts(f *testing.F) {
	r := probes.Read(f, "lab")
	f.Add(r[0].Stdout, r[1].Stdout, r[2].Stdout, r[3].Stdout, r[6].Stdout)
	f.Fuzz(func(t *testing.T, installed, newer, upgrade, obsoleting, check []byte) {
		results := []driver.Result{{Stdout: installed}, {Stdout: newer}, {Stdout: upgrade}, {Stdout: obsoleting}, {}, {}, {Stdout: check}, {}, r[8], {}}
		facts, err := New().Facts(t.Context(), driver.ProbeRequest{}, results)
		if err != nil {
			return
		}
		for i, c := range facts.Pending {
			if c.Held && c.Reason == "" {
				t.Errorf("held without a reason: %+v", c)
			}
			if i > 0 && facts.Pending[i-1].Name >= c.Name {
				t.Errorf("not sorted: %q before %q", facts.Pending[i-1].Name, c.Name)
			}
			if (c.Change == driver.ChangeUpgrade || c.Change == driver.ChangeRemove) && !c.Held {
				t.Errorf("%+v is not held", c)
			}
		}
		cmds, err := New().Compile(t.Context(), driver.Selection{Changes: facts.Pending})
		if err != nil {
			return
		}
		for _, c := range cmds.Apply {
			for _, word := range c.Argv {
				if strings.ContainsAny(word, "\x00\n\r \t") {
					t.Errorf("the word %q in %q", word, c.Argv)
				}
			}
		}
	})
}
