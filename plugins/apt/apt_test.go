package apt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
	"github.com/ncfleet/ncfleet/plugins/stale"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) {
	drivertest.Main(m, func() driver.Driver { return New() })
}

// recorded reads the outputs of one host's probes. The exit status is 0 but in
// a host whose simulations failed.
func recorded(t testing.TB, name string) []driver.Result {
	t.Helper()
	var out []driver.Result
	for i, probe := range []string{"upgrade", "dist-upgrade", "status", "holds", "audit", "host", "stale"} {
		text, err := os.ReadFile(filepath.Join("testdata", name, fmt.Sprintf("%d-%s.txt", i+1, probe)))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, driver.Result{Stdout: text})
	}
	if name == "broken" {
		for i := range 2 {
			out[i].Exit = 100
			out[i].Stderr = []byte("E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. \n")
		}
	}
	return out
}

func TestFactsGolden(t *testing.T) {
	for _, tc := range []struct {
		host     string
		upgrades []string
	}{
		{"lab", nil}, {"debian12", nil}, {"release", nil}, {"release", []string{"os"}}, {"ubuntu", nil}, {"broken", nil},
	} {
		name := strings.Join(append([]string{"facts"}, tc.upgrades...), "-") + ".json"
		t.Run(tc.host+"/"+name, func(t *testing.T) {
			f, err := New().Facts(t.Context(), driver.ProbeRequest{Upgrades: tc.upgrades}, recorded(t, tc.host))
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(f, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", tc.host, name), append(got, '\n'))
		})
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs (write it with -update)\ngot:\n%s", file, got)
	}
}

func TestCompileGolden(t *testing.T) {
	f, err := New().Facts(t.Context(), driver.ProbeRequest{}, recorded(t, "ubuntu"))
	if err != nil {
		t.Fatal(err)
	}
	for _, conffiles := range []string{"old", "new"} {
		pm := New()
		if err := pm.Configure(t.Context(), driver.Config{"conffiles": conffiles, "lock_wait": "90s"}); err != nil {
			t.Fatal(err)
		}
		c, err := pm.Compile(t.Context(), driver.Selection{Changes: f.Pending})
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.MarshalIndent(c, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		for name, script := range map[string]string{"repair.sh": repairScript, "stale.sh": string(stale.List.After().Stdin)} {
			got = bytes.ReplaceAll(got, []byte(base64.StdEncoding.EncodeToString([]byte(script))), []byte("<"+name+">"))
		}
		golden(t, filepath.Join("testdata", "compile-"+conffiles+".json"), append(got, '\n'))
	}
}

func TestConformance(t *testing.T) {
	c := drivertest.Packages{
		Results: recorded(t, "lab"),
		Selection: driver.Selection{Changes: []driver.PackageChange{
			{Name: "libssl3", From: "3.0.1-1", To: "3.0.2-1", Change: driver.ChangeUpdate},
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

func TestLockHolder(t *testing.T) {
	for text, want := range map[string]string{
		"E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 207 (apt-get)\n":               "apt-get (process 207)",
		"Waiting for cache lock: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 9 (dpkg)": "dpkg (process 9)",
		"dpkg: error: dpkg frontend lock was locked by another process with pid 207":                             "process 207",
		"all is well": "",
	} {
		if got := lockHolder(text); got != want {
			t.Errorf("lockHolder(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestRefreshProblems(t *testing.T) {
	req := driver.ProbeRequest{Refresh: true}
	results := append([]driver.Result{{Exit: 100, Stderr: []byte("E: Failed to fetch http://deb/dists/x  Could not resolve 'deb'\nE: Some index files failed to download.\n")}}, recorded(t, "lab")...)
	f, err := New().Facts(t.Context(), req, results)
	if err != nil || len(f.Problems) != 2 || !strings.Contains(strings.Join(f.Problems, " "), "Could not resolve") {
		t.Errorf("problems %q, error %v", f.Problems, err)
	}
}

func TestSplit(t *testing.T) {
	var words []string
	for i := range 6000 {
		words = append(words, fmt.Sprintf("package-with-a-name-%04d=1.0-1", i))
	}
	runs := split(words, maxWords)
	if len(runs) != 2 {
		t.Errorf("%d runs, want 2", len(runs))
	}
	var all []string
	for _, run := range runs {
		if n := len(strings.Join(run, " ")); n > maxWords {
			t.Errorf("a run of %d bytes", n)
		}
		all = append(all, run...)
	}
	if !slices.Equal(all, words) {
		t.Error("words got lost")
	}
	if got := split([]string{"a-long-word"}, 3); len(got) != 1 {
		t.Errorf("a word longer than the bound: %q", got)
	}
}

func TestCeilSeconds(t *testing.T) {
	for d, want := range map[time.Duration]int64{0: 0, 1: 1, time.Second: 1, time.Second + 1: 2, 5 * time.Minute: 300} {
		if got := ceilSeconds(d); got != want {
			t.Errorf("ceilSeconds(%s) = %d, want %d", d, got, want)
		}
	}
}

func TestConfigureRefuses(t *testing.T) {
	for _, c := range []driver.Config{{"conffiles": "ask"}, {"lock_wait": "soon"}, {"lock_wait": "-1s"}, {"products": []string{"gitlab"}}, {"restart_services": "ask"}} {
		if err := New().Configure(t.Context(), c); driver.ClassOf(err) != driver.Permanent {
			t.Errorf("Configure(%v): %v, want a refusal", c, err)
		}
	}
}

func FuzzFacts(f *testing.F) {
	for _, host := range []string{"release", "broken"} {
		r := recorded(f, host)
		f.Add(r[0].Stdout, r[1].Stdout, r[2].Stdout, r[5].Stdout)
	}
	f.Fuzz(func(t *testing.T, upgrade, full, status, host []byte) {
		results := []driver.Result{{Stdout: upgrade}, {Stdout: full}, {Stdout: status}, {}, {}, {Stdout: host}, {}}
		facts, err := New().Facts(t.Context(), driver.ProbeRequest{}, results)
		if err != nil {
			return
		}
		for i, c := range facts.Pending {
			if c.Held != (c.Reason != "") && c.Change != driver.ChangeUpgrade {
				t.Errorf("held %v with the reason %q: %+v", c.Held, c.Reason, c)
			}
			if i > 0 && facts.Pending[i-1].Name >= c.Name {
				t.Errorf("not sorted: %q before %q", facts.Pending[i-1].Name, c.Name)
			}
			if (c.Change == driver.ChangeUpgrade || c.Change == driver.ChangeRemove) && !c.Held {
				t.Errorf("%+v is not held", c)
			}
		}
		// What was read may be odd; what is compiled is clean or refused.
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
