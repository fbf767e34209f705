package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestNewDriver does what a stranger does: a new driver, built as a module of
// its own, keeps every promise.
func TestNewDriver(t *testing.T) {
	t.Parallel()
	if testing.Short() || raceDetector {
		t.Skip("builds two programs and tries all promises on them: half a minute")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not here to build a driver")
	}
	source, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(source, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ kind, trial, text string }{
		{"snapshot", "--config", "driver \"snapshot\" \"acme\" {\n  directory = \"" + t.TempDir() + "\"\n}\n"},
		{"packages", "--probes", ""},
	} {
		t.Run(c.kind, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new")
			code, out, errs := ncfleet(t, "driver", "new", "acme", "--kind", c.kind, "--source", source, "--dir", dir)
			if code != 0 || !strings.Contains(out, "go mod tidy && go build -o ncfleet-driver-acme .") {
				t.Fatalf("exit %d: %s%s", code, out, errs)
			}
			// go mod tidy asks the network; these sums and the module cache do not.
			if err := os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o644); err != nil {
				t.Fatal(err)
			}
			build := exec.Command("go", "build", "-mod=mod", "-o", "ncfleet-driver-acme", ".")
			build.Dir, build.Env = dir, append(os.Environ(), "GOFLAGS=", "GOPROXY=off", "GOWORK=off")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			file := filepath.Join(dir, "probes.json")
			if c.text != "" {
				file = filepath.Join(dir, "here.hcl")
				if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			code, out, errs = ncfleet(t, "driver", "test", filepath.Join(dir, "ncfleet-driver-acme"), c.trial, file)
			if code != 0 || !strings.Contains(out, " 0 broken, 0 not tried") {
				t.Errorf("exit %d: %s%s", code, out, errs)
			}
		})
	}
}

func TestNewDriverRefusals(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for says, args := range map[string][]string{
		"write snapshot or packages": {"acme", "--kind", "cloud"},
		"lower-case letters":         {"../acme"},
		"built into ncfleet":         {"archive"},
		"is not empty":               {"acme", "--dir", full},
		"is not ncfleet's source":    {"acme", "--dir", filepath.Join(full, "y"), "--source", full},
		"takes NAME":                 {},
	} {
		if code, _, errs := ncfleet(t, append([]string{"driver", "new"}, args...)...); code == 0 || !strings.Contains(errs, says) {
			t.Errorf("driver new %q: exit %d, %q, want %q in it", args, code, errs, says)
		}
	}
}
