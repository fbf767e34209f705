package inventory_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/inventory"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestDiagnostics compares what is said about each broken inventory with the
// .diag file beside it.
func TestDiagnostics(t *testing.T) {
	names, err := filepath.Glob("testdata/*.hcl*")
	if err != nil || len(names) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, name := range names {
		if strings.HasPrefix(filepath.Base(name), "twin.") {
			continue
		}
		t.Run(filepath.Base(name), func(t *testing.T) {
			opts := inventory.Options{Env: env("HOME", "/home/ops", "PROBE", "hunter2"), KnownDrivers: builtIn()}
			if strings.HasPrefix(filepath.Base(name), "variables.") {
				opts.Vars = map[string]string{"given": "many", "regon": "x"}
			}
			fleet, diags := inventory.Load([]string{name}, opts)
			if fleet != nil || !diags.HasErrors() {
				t.Fatal("a broken inventory was accepted")
			}
			got := render(t, diags)
			if strings.Contains(got, "hunter2") {
				t.Errorf("a secret is shown:\n%s", got)
			}
			compareGolden(t, strings.TrimSuffix(strings.TrimSuffix(name, ".json"), ".hcl")+goldenSuffix(name), got)
		})
	}
}

func goldenSuffix(name string) string {
	if strings.HasSuffix(name, ".json") {
		return ".json.diag"
	}
	return ".diag"
}

// render shows the diagnostics without this checkout's own path.
func render(t *testing.T, diags inventory.Diagnostics) string {
	t.Helper()
	var b strings.Builder
	if err := diags.Render(&b, false, 0); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(b.String(), here, "/here")
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and look at the change. Got:\n%s", name, got)
	}
}
