package boxtest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

var (
	update = flag.Bool("update", false, "write the golden files")
	record = flag.Bool("record", false, "write the outputs of the real tool to testdata")
)

// Recording is what the probes of a driver print on hosts of testdata, one file
// testdata/HOST/NN-PROBE.txt each: "exit N", standard output, the line
// "--- stderr", standard error.
type Recording []string // the probes' names, in order

func (p Recording) file(host string, i int) string {
	return filepath.Join("testdata", host, fmt.Sprintf("%02d-%s.txt", i+1, p[i]))
}

// Read returns the results as they were recorded.
func (p Recording) Read(t testing.TB, host string) []driver.Result {
	t.Helper()
	var out []driver.Result
	for i := range p {
		text, err := os.ReadFile(p.file(host, i))
		if err != nil {
			t.Fatal(err)
		}
		head, rest, _ := bytes.Cut(text, []byte("\n"))
		var r driver.Result
		if _, err := fmt.Sscanf(string(head), "exit %d", &r.Exit); err != nil {
			t.Fatalf("%s: %v", p.file(host, i), err)
		}
		r.Stdout, r.Stderr, _ = bytes.Cut(rest, []byte("--- stderr\n"))
		out = append(out, r)
	}
	return out
}

// Save writes the results down, where the tests were run with -record.
func (p Recording) Save(t testing.TB, host string, results []driver.Result) {
	t.Helper()
	if !*record {
		return
	}
	for i, r := range results {
		text := fmt.Sprintf("exit %d\n%s--- stderr\n%s", r.Exit, r.Stdout, r.Stderr)
		if err := os.WriteFile(p.file(host, i), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Golden compares a value with its JSON in a file, which -update writes.
func Golden(t testing.TB, file string, value any) {
	t.Helper()
	got, err := json.MarshalIndent(value, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
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

// ByName are the pending changes by the names of their packages.
func ByName(f driver.PackageFacts) map[string]driver.PackageChange {
	m := map[string]driver.PackageChange{}
	for _, c := range f.Pending {
		m[c.Name] = c
	}
	return m
}
