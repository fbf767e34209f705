package inventory_test

import (
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/inventory"
)

// FuzzLoad feeds mutated inventories. Nothing may panic, every diagnostic must
// have a place, and what loads must keep its promises.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/*.hcl", "testdata/*.hcl.json", "../examples/*.hcl", "../examples/*/*.hcl"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			raw, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(raw), strings.HasSuffix(name, ".json"))
		}
	}
	f.Fuzz(func(t *testing.T, text string, isJSON bool) {
		name := "fuzz.hcl"
		if isJSON {
			name += ".json"
		}
		fleet, diags := loadText(name, text, inventory.Options{Env: env("HOME", "/home/ops")})
		for _, d := range diags {
			if d.File != name || d.Line < 1 || d.Col < 1 || d.Summary == "" {
				t.Errorf("diagnostic without a place: %+v", d)
			}
		}
		if err := diags.Render(&strings.Builder{}, true, 40); err != nil {
			t.Error(err)
		}
		if (fleet == nil) != diags.HasErrors() {
			t.Error("a fleet with errors, or none without")
		}
		if fleet != nil {
			checkFleet(t, fleet)
		}
	})
}

// checkFleet asserts what callers rely on.
func checkFleet(t *testing.T, fleet *inventory.Fleet) {
	t.Helper()
	if !sort.SliceIsSorted(fleet.Hosts, func(i, j int) bool { return fleet.Hosts[i].Name < fleet.Hosts[j].Name }) {
		t.Error("hosts are not sorted")
	}
	for i, h := range fleet.Hosts {
		if h.Name == "" || h.Address == "" || h.StateDir == "" || (i > 0 && h.Name == fleet.Hosts[i-1].Name) {
			t.Errorf("incomplete or double host %+v", h)
		}
		for _, n := range h.Instances {
			if !strings.HasPrefix(n.Path, "/") || !strings.HasPrefix(n.URL, "http") {
				t.Errorf("incomplete instance %+v", n)
			}
		}
	}
	for _, r := range fleet.Rollouts {
		seen := map[string]bool{}
		for _, w := range r.Waves {
			if len(w.Hosts) == 0 {
				t.Errorf("wave %q of rollout %q is empty", w.Name, r.Name)
			}
			for _, h := range w.Hosts {
				if seen[h] {
					t.Errorf("host %q is in two waves", h)
				}
				seen[h] = true
			}
		}
		if len(seen) != len(r.Hosts) || len(r.Hosts) == 0 || !sort.StringsAreSorted(r.Hosts) {
			t.Errorf("rollout %q: %d hosts, %d in waves", r.Name, len(r.Hosts), len(seen))
		}
		if r.System.Timeout <= 0 || r.Core.Timeout <= 0 || r.Gate.Timeout <= 0 || r.MaxUnavailable == (inventory.Amount{}) {
			t.Errorf("rollout %q lacks a default: %+v", r.Name, r)
		}
	}
}
