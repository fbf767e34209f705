package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestManualPages writes the pages twice and reads them: each names its flags
// and its exit codes, and the formatter has nothing to complain of.
func TestManualPages(t *testing.T) {
	t.Parallel()
	dir, again := t.TempDir(), t.TempDir()
	for _, d := range []string{dir, again} {
		if code, _, errs := ncfleet(t, "man", d); code != exitOK {
			t.Fatalf("exit %d: %s", code, errs)
		}
	}
	_, lookErr := exec.LookPath("groff")
	if lookErr != nil {
		t.Logf("the pages are not formatted: %v", lookErr)
	}
	plain := func(text []byte) string { return strings.ReplaceAll(string(text), `\-`, "-") }
	for _, c := range described(rootCommand(&app{stdout: os.Stdout, stderr: os.Stderr})) {
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		page, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if same, err := os.ReadFile(filepath.Join(again, name)); err != nil || !bytes.Equal(page, same) {
			t.Errorf("%s is another one the second time: %v", name, err)
		}
		for _, flags := range []*pflag.FlagSet{c.NonInheritedFlags(), c.InheritedFlags()} {
			flags.VisitAll(func(f *pflag.Flag) {
				if !f.Hidden && !strings.Contains(plain(page), "--"+f.Name) {
					t.Errorf("%s does not name --%s", name, f.Name)
				}
			})
		}
		codes := allExits
		if k, ok := contractOf(c); ok {
			codes = k.codes()
		} else if c.HasParent() {
			codes = exits{exitUsage: everyExit[exitUsage]}
		}
		for _, p := range codes.pairs() {
			if want := "\n.TP\n\\fB" + p[0] + "\\fP\n" + roff(p[1]) + "\n"; !bytes.Contains(page, []byte(want)) {
				t.Errorf("%s does not tell exit code %s", name, p[0])
			}
		}
		if lookErr != nil {
			continue
		}
		out, err := exec.Command("groff", "-man", "-Tutf8", "-z", "-ww", "-b", filepath.Join(dir, name)).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("groff on %s: %v\n%s", name, err, out)
		}
	}
}
