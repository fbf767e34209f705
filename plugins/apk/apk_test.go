package apk

import (
	"path/filepath"
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
var probes = boxtest.Recording{"installed", "world", "newer", "simulation", "check", "host", "stale"}

func TestFactsGolden(t *testing.T) {
	for _, tc := range []struct {
		host, file string
		upgrades   []string
	}{
		{"lab", "facts.json", nil}, {"lab", "facts-mariadb.json", []string{"mariadb"}}, {"lab", "facts-os.json", []string{"os"}}, {"broken", "facts.json", nil},
	} {
		f, err := New().Facts(t.Context(), driver.ProbeRequest{Upgrades: tc.upgrades}, probes.Read(t, tc.host))
		if err != nil {
			t.Fatal(err)
		}
		boxtest.Golden(t, filepath.Join("testdata", tc.host, tc.file), f)
	}
}

func TestCompileGolden(t *testing.T) {
	f, err := New().Facts(t.Context(), driver.ProbeRequest{Upgrades: []string{"mariadb"}}, probes.Read(t, "lab"))
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
			{Name: "libssl3", From: "3.3.1-r0", To: "3.3.2-r1", Change: driver.ChangeUpdate},
			{Name: "gtk+3.0", From: "3.24.41-r0", To: "3.24.42_p1-r0", Change: driver.ChangeUpdate},
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

func TestReadInstalled(t *testing.T) {
	got := readInstalled("WARNING: something\nphp82-pecl-redis-6.0.2-r0\ngtk+3.0-3.24.41-r0\n.build-deps-20240101.120000\nlibc-utils-0.7.2-r5\nca-certificates-20240226-r0\n")
	for name, want := range map[string]string{"php82-pecl-redis": "6.0.2-r0", "gtk+3.0": "3.24.41-r0", "libc-utils": "0.7.2-r5", "ca-certificates": "20240226-r0"} {
		if got[name] != want {
			t.Errorf("%s is at %q, want %q", name, got[name], want)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d packages: %q", len(got), got)
	}
}

func TestKernel(t *testing.T) {
	installed := map[string]string{"linux-lts": "6.6.41-r0", "linux-virt": "6.6.30-r0"}
	for release, want := range map[string]bool{"6.6.31-0-lts": true, "6.6.41-0-lts": false, "6.6.30-0-virt": false, "6.1.0-18-amd64": false, "x": false} {
		var f driver.PackageFacts
		readHost(&f, "kernel "+release+"\nrelease 3.20.2\nend\n", installed)
		if f.RebootRequired != want {
			t.Errorf("kernel %s: reboot %v, want %v", release, f.RebootRequired, want)
		}
	}
}

// TestPurge: what an upgrade would remove is shown and never done.
func TestPurge(t *testing.T) {
	results := probes.Read(t, "lab")
	results[3].Stdout = []byte("(1/3) Purging libold (1.0-r0)\n(2/3) Downgrading lab-dep (1.0-r0 -> 0.9-r0)\n(3/3) Upgrading lab-plain (1.0-r0 -> 2.0-r0)\nOK: 8 MiB in 9 packages\n")
	f, err := New().Facts(t.Context(), driver.ProbeRequest{}, results)
	if err != nil {
		t.Fatal(err)
	}
	m := boxtest.ByName(f)
	if c := m["libold"]; c.Change != driver.ChangeRemove || !c.Held || c.From != "1.0-r0" {
		t.Errorf("%+v", c)
	}
	if c := m["lab-dep"]; !c.Held || c.Reason != "it would be a downgrade" {
		t.Errorf("%+v", c)
	}
	if c := m["lab-plain"]; c.Held {
		t.Errorf("%+v", c)
	}
}

// TestSilentProbes: what apk says nothing about is a problem, not an empty list.
func TestSilentProbes(t *testing.T) {
	for i, name := range probes {
		if name == "stale" {
			continue // it speaks for itself
		}
		for _, r := range []driver.Result{{Exit: 1}, {Exit: 99, Stdout: []byte("ERROR: Unable to lock database: Interrupted system call\n")}} {
			results := probes.Read(t, "lab")
			results[i] = r
			f, err := New().Facts(t.Context(), driver.ProbeRequest{}, results)
			if err == nil && len(f.Problems) == 0 {
				t.Errorf("%s with exit %d goes unnoticed", name, r.Exit)
			}
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
	f.Add(r[0].Stdout, r[1].Stdout, r[2].Stdout, r[3].Stdout, r[4].Stdout)
	f.Fuzz(func(t *testing.T, installed, world, newer, simulation, check []byte) {
		results := []driver.Result{{Stdout: installed}, {Stdout: world}, {Stdout: newer}, {Stdout: simulation}, {Stdout: check}, r[5], {}}
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
