package zypper

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/boxtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

func TestMain(m *testing.M) {
	drivertest.Main(m, func() driver.Driver { return New() })
}

// probes are named as their recorded outputs.
var probes = boxtest.Recording{"installed", "newer", "update", "security", "locks", "verify", "reboot", "host", "stale"}

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
	if err := pm.Configure(t.Context(), driver.Config{"lock_wait": "90s", "restart_services": "restart", "agree_licenses": true}); err != nil {
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

func TestRead(t *testing.T) {
	a := read([]byte(`Warning: something before it
<?xml version='1.0'?>
<stream>
<message type="error">System management is locked by the application with pid 91 (packagekitd).
Close this application before trying again.</message>
<prompt id="1"><description>Problem: nothing provides lab-missing needed by lab-kept-2.0-1.noarch
 Solution 1: do not install it
</description></prompt>
<install-summary download-size="1">
<to-upgrade><solvable type="package" name="php8" edition="8.2.20-1" arch="x86_64"><description>x</description></solvable>
<solvable type="patch" name="SUSE-1" edition="1" arch="noarch"/></to-upgrade>
<to-remove><solvable type="package" name="old" edition="0:1-1" arch="noarch"/></to-remove>
</install-summary>
<locks size="1"><lock number="1"><name>php*</name><type>package</type></lock></locks>
</stream>`))
	if !a.done || !a.summary || !slices.Equal(a.locks, []string{"php*"}) || len(a.changes["to-upgrade"]) != 1 || a.changes["to-remove"][0].EVR != "1-1" ||
		!slices.Equal(a.problems, []string{"nothing provides lab-missing needed by lab-kept-2.0-1.noarch"}) ||
		!slices.Equal(a.errors, []string{"System management is locked by the application with pid 91 (packagekitd)."}) {
		t.Errorf("%+v", a)
	}
	if a := read([]byte("<?xml version='1.0'?>\n<stream>\n<update-list><update kind=\"package\" name=\"x\" edition=\"1-1\"/>")); a.done || len(a.updates) != 1 {
		t.Errorf("cut short: %+v", a)
	}
}

func TestLockedFacts(t *testing.T) {
	results := probes.Read(t, "lab")
	results[1] = driver.Result{Exit: 7, Stdout: []byte("<?xml version='1.0'?>\n<stream>\n<message type=\"error\">System management is locked by the application with pid 91 (packagekitd).\nClose this application before trying again.</message>\n</stream>\n")}
	f, err := New().Facts(t.Context(), driver.ProbeRequest{}, results)
	if err != nil || f.Lock != "packagekitd (process 91)" || len(f.Problems) != 1 || !strings.Contains(f.Problems[0], "zypper list-updates") {
		t.Errorf("lock %q, problems %q, error %v", f.Lock, f.Problems, err)
	}
}

// TestSilentProbes: what zypper says nothing about is a problem, not an empty list.
func TestSilentProbes(t *testing.T) {
	for i, name := range probes {
		if name == "reboot" || name == "stale" {
			continue // an old zypper does not know the command; the stale probe speaks for itself
		}
		for _, r := range []driver.Result{{Exit: 1}, {Exit: 0}, {Exit: 0, Stdout: probes.Read(t, "lab")[i].Stdout[:20]}} {
			results := probes.Read(t, "lab")
			results[i] = r
			f, err := New().Facts(t.Context(), driver.ProbeRequest{}, results)
			if err == nil && len(f.Problems) == 0 && name != "installed" {
				t.Errorf("%s with exit %d goes unnoticed", name, r.Exit)
			}
		}
	}
}

func TestRefreshProblems(t *testing.T) {
	refresh := driver.Result{Exit: 4, Stdout: []byte("Problem retrieving files from 'lab'.\nDownload (curl) error for 'http://127.0.0.1/x': Connection refused\n\nSkipping repository 'lab' because of the above error.\n")}
	f, err := New().Facts(t.Context(), driver.ProbeRequest{Refresh: true}, append([]driver.Result{refresh}, probes.Read(t, "lab")...))
	want := "the package index cannot be renewed (zypper refresh): Problem retrieving files from 'lab'. Download (curl) error for 'http://127.0.0.1/x': Connection refused"
	if err != nil || !slices.Equal(f.Problems, []string{want}) {
		t.Errorf("problems %q, error %v", f.Problems, err)
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
	f.Add(r[0].Stdout, r[1].Stdout, r[2].Stdout, r[4].Stdout, r[5].Stdout)
	f.Fuzz(func(t *testing.T, installed, newer, update, locks, verify []byte) {
		results := []driver.Result{{Stdout: installed}, {Stdout: newer}, {Stdout: update}, r[3], {Stdout: locks}, {Stdout: verify}, {}, r[7], {}}
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
