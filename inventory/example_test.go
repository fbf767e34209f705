package inventory_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/inventory"
)

func builtIn() map[string][]string {
	return map[string][]string{"packages": {"apt"}, "snapshot": {"archive"}}
}

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func load(t *testing.T, path string) *inventory.Fleet {
	t.Helper()
	fleet, diags := inventory.Load([]string{path}, inventory.Options{Env: env("HOME", "/home/ops"), KnownDrivers: builtIn()})
	if len(diags) > 0 {
		var b strings.Builder
		if err := diags.Render(&b, false, 100); err != nil {
			t.Fatal(err)
		}
		t.Fatalf("%s has diagnostics:\n%s", path, b.String())
	}
	return fleet
}

func ExampleLoad() {
	fleet, diags := inventory.Load([]string{"../examples/small.hcl"}, inventory.Options{
		Env:          func(string) (string, bool) { return "/home/ops", true },
		KnownDrivers: map[string][]string{"snapshot": {"archive"}},
	})
	if diags.HasErrors() {
		if err := diags.Render(os.Stderr, true, 100); err != nil {
			panic(err)
		}
		return
	}
	for _, h := range fleet.Hosts {
		fmt.Println(h.Name, h.Address, h.SSH.User, h.Instances[0].URL)
	}
	for _, w := range fleet.Rollout("monthly").Waves {
		fmt.Println(w.Name, w.Hosts)
	}
	// Output:
	// cloud 192.0.2.7 ops https://cloud.example.org
	// all [cloud]
}

func TestExamplesLoad(t *testing.T) {
	tests := []struct {
		path             string
		hosts, instances int
		waves            map[string]string // by rollout, "name:hosts …"
	}{
		{"../examples/small.hcl", 1, 1, map[string]string{"monthly": "all:1"}},
		{"../examples/team.hcl", 12, 12, map[string]string{"spring": "canary:1 few:2 everybody:8", "databases": "all:1"}},
		{"../examples/hoster", 300, 300, map[string]string{
			"nc29":   "early:3 one-percent:3 standard:264 enterprise:30",
			"os-fra": "first:2 all:98",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			fleet := load(t, tt.path)
			instances := 0
			for _, h := range fleet.Hosts {
				instances += len(h.Instances)
			}
			if len(fleet.Hosts) != tt.hosts || instances != tt.instances {
				t.Errorf("got %d hosts with %d instances, want %d with %d", len(fleet.Hosts), instances, tt.hosts, tt.instances)
			}
			if len(fleet.Rollouts) != len(tt.waves) {
				t.Errorf("got %d rollouts, want %d", len(fleet.Rollouts), len(tt.waves))
			}
			for _, r := range fleet.Rollouts {
				if got := describeWaves(r); got != tt.waves[r.Name] {
					t.Errorf("rollout %q: got waves %q, want %q", r.Name, got, tt.waves[r.Name])
				}
			}
		})
	}
}
