package drivertest

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Packages is what the suite needs to try a PackageManager.
type Packages struct {
	New    func(t *testing.T) driver.PackageManager // unconfigured
	Config driver.Config
	// Request and Results are one host's probes as recorded: the results of
	// the commands that Probes returns for Request, in order.
	Request driver.ProbeRequest
	Results []driver.Result
	// Selection is a plausible choice of at least one update.
	Selection driver.Selection
}

// PackageManager tries every promise of the contract.
func PackageManager(t *testing.T, c Packages) {
	p := &packages{c}
	t.Run("info", func(t *testing.T) { checkInfo(t, c.New(t), driver.KindPackages) })
	t.Run("probes", p.probes)
	t.Run("facts are deterministic", p.facts)
	t.Run("failed and garbled probes are reported", p.garbage)
	t.Run("compile", p.compile)
	t.Run("empty selection", p.compileNothing)
	t.Run("removals are refused", p.removal)
	t.Run("held packages stay", p.held)
	t.Run("hostile names", p.hostile)
	t.Run("cancelled calls return", p.cancelled)
}

type packages struct{ Packages }

func (p *packages) open(t *testing.T) driver.PackageManager {
	t.Helper()
	d := p.New(t)
	if err := d.Configure(t.Context(), p.Config); err != nil {
		t.Fatalf("Configure: %v", err)
	}
	return d
}

func (p *packages) probes(t *testing.T) {
	d := p.open(t)
	for _, r := range []driver.ProbeRequest{p.Request, {}, {Refresh: true}, {Upgrades: []string{"php", "mariadb"}}} {
		first, err := d.Probes(t.Context(), r)
		if err != nil {
			t.Fatalf("Probes(%+v): %v", r, err)
		}
		if len(first) == 0 {
			t.Errorf("Probes(%+v) gives no command", r)
		}
		checkCommands(t, "probe", first)
		again, err := p.open(t).Probes(t.Context(), r)
		if err != nil || !reflect.DeepEqual(first, again) {
			t.Errorf("Probes(%+v) is not deterministic: %v then %v (error %v)", r, first, again, err)
		}
	}
	own, err := d.Probes(t.Context(), p.Request)
	if err != nil || len(own) != len(p.Results) {
		t.Fatalf("the test records %d results for %d probes (error %v)", len(p.Results), len(own), err)
	}
}

func checkCommands(t *testing.T, what string, commands []driver.Command) {
	t.Helper()
	for i, c := range commands {
		if len(c.Argv) == 0 || c.Argv[0] == "" {
			t.Errorf("%s %d has no program", what, i)
		}
		if strings.ContainsRune(strings.Join(c.Argv, ""), 0) {
			t.Errorf("%s %d holds a NUL byte: %q", what, i, c.Argv)
		}
		if c.Dir != "" && !strings.HasPrefix(c.Dir, "/") {
			t.Errorf("%s %d runs in the relative directory %q", what, i, c.Dir)
		}
	}
}

func (p *packages) facts(t *testing.T) {
	first, err := p.open(t).Facts(t.Context(), p.Request, p.Results)
	if err != nil {
		t.Fatalf("Facts of the recorded results: %v", err)
	}
	d := p.open(t)
	for range 5 {
		again, err := d.Facts(t.Context(), p.Request, p.Results)
		if err != nil || !reflect.DeepEqual(first, again) {
			t.Fatalf("Facts is not deterministic:\n%+v\n%+v\n(error %v)", first, again, err)
		}
	}
	sorted := slices.IsSortedFunc(first.Pending, func(a, b driver.PackageChange) int { return strings.Compare(a.Name, b.Name) })
	if !sorted {
		t.Errorf("Facts.Pending is not sorted by name: %+v", first.Pending)
	}
	for _, c := range first.Pending {
		switch c.Change {
		case driver.ChangeUpdate, driver.ChangeUpgrade, driver.ChangeInstall, driver.ChangeRemove:
		default:
			t.Errorf("%s has the unknown change %q", c.Name, c.Change)
		}
		if c.Change == driver.ChangeRemove && !c.Held {
			t.Errorf("the removal of %s is not held", c.Name)
		}
		if c.Held && c.Reason == "" {
			t.Errorf("%s is held without a reason", c.Name)
		}
	}
}

// garbage demands that a host whose probes failed never looks like a host
// with nothing to do.
func (p *packages) garbage(t *testing.T) {
	d := p.open(t)
	all := func(r driver.Result) []driver.Result {
		out := make([]driver.Result, len(p.Results))
		for i := range out {
			out[i] = r
		}
		return out
	}
	loud := map[string][]driver.Result{
		"no results at all":        nil,
		"a missing result":         p.Results[:len(p.Results)-1],
		"every probe not found":    all(driver.Result{Exit: 127, Stderr: []byte("sh: not found\n")}),
		"every probe killed":       all(driver.Result{Exit: 137}),
		"every outcome unknown":    all(driver.Result{Exit: -1}),
		"binary noise, status 0":   all(driver.Result{Stdout: noise()}),
		"a login banner, status 0": all(driver.Result{Stdout: []byte("This account is currently not available.\n")}),
	}
	for name, results := range loud {
		f, err := d.Facts(t.Context(), p.Request, results)
		if driver.ClassOf(err) == driver.Panicked {
			t.Errorf("%s: Facts panicked: %v", name, err)
		}
		if err == nil && len(f.Problems) == 0 {
			t.Errorf("%s: Facts reports neither an error nor a problem: %+v", name, f)
		}
	}
	for i, r := range p.Results { // cut anywhere, it must only not panic
		for cut := 0; cut < len(r.Stdout); cut += 1 + len(r.Stdout)/16 {
			results := slices.Clone(p.Results)
			results[i].Stdout = r.Stdout[:cut]
			if _, err := d.Facts(t.Context(), p.Request, results); driver.ClassOf(err) == driver.Panicked {
				t.Errorf("result %d cut at %d: Facts panicked: %v", i, cut, err)
			}
		}
	}
}

func noise() []byte {
	line := []byte{0xff, 0xfe, 0, 1, 2, '\t', ':', ' ', '-', '>', '(', ')', '[', ']', '=', 0xc3, 0x28, '\n'}
	return bytes.Repeat(line, 50)
}

func (p *packages) compile(t *testing.T) {
	if len(p.Selection.Changes) == 0 {
		t.Fatal("the test gives no selection")
	}
	first, err := p.open(t).Compile(t.Context(), p.Selection)
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	again, err := p.open(t).Compile(t.Context(), p.Selection)
	if err != nil || !reflect.DeepEqual(first, again) {
		t.Errorf("Compile is not deterministic: %+v then %+v (error %v)", first, again, err)
	}
	if len(first.Stage) == 0 || len(first.Apply) == 0 || len(first.Repair) == 0 {
		t.Errorf("Compile lacks a stage, apply or repair command: %+v", first)
	}
	checkCommands(t, "stage", first.Stage)
	checkCommands(t, "apply", first.Apply)
	checkCommands(t, "repair", first.Repair)
	for _, c := range p.Selection.Changes {
		if !mentions(first.Apply, c.Name) {
			t.Errorf("no apply command names %s: %v", c.Name, first.Apply)
		}
	}
}

// mentions looks for a package name in command lines and their input.
func mentions(commands []driver.Command, name string) bool {
	for _, c := range commands {
		for _, a := range c.Argv {
			if strings.Contains(a, name) {
				return true
			}
		}
		if bytes.Contains(c.Stdin, []byte(name)) {
			return true
		}
	}
	return false
}

func (p *packages) compileNothing(t *testing.T) {
	got, err := p.open(t).Compile(t.Context(), driver.Selection{LockWait: time.Minute})
	if err != nil || len(got.Stage)+len(got.Apply)+len(got.Repair) > 0 {
		t.Errorf("Compile of an empty selection: %+v, error %v, want nothing", got, err)
	}
}

func (p *packages) removal(t *testing.T) {
	s := p.Selection
	s.Changes = append(slices.Clone(s.Changes), driver.PackageChange{Name: "drivertest-gone", From: "1.0", Change: driver.ChangeRemove})
	got, err := p.open(t).Compile(t.Context(), s)
	if driver.ClassOf(err) != driver.Permanent {
		t.Errorf("Compile of a removal: %+v, error %v, want an error of class permanent", got, err)
	}
}

func (p *packages) held(t *testing.T) {
	s := p.Selection
	s.Changes = append(slices.Clone(s.Changes), driver.PackageChange{
		Name: "drivertest-held", From: "1.0", To: "1.1", Change: driver.ChangeUpdate, Held: true, Reason: "a test",
	})
	got, err := p.open(t).Compile(t.Context(), s)
	if err == nil && (mentions(got.Apply, "drivertest-held") || mentions(got.Stage, "drivertest-held")) {
		t.Errorf("Compile changes a held package: %v", got.Apply)
	}
}

// hostile wants odd names refused or passed on as plain operands: never as an
// option and never in the words of a shell.
func (p *packages) hostile(t *testing.T) {
	d := p.open(t)
	for _, name := range []string{"-oDPkg::Pre-Invoke::=touch", "--config=/tmp/x", "a b", "$(touch x)", "a;touch x", "a\ntouch x", ""} {
		s := driver.Selection{Changes: []driver.PackageChange{{Name: name, From: "1", To: "2", Change: driver.ChangeUpdate}}}
		got, err := d.Compile(t.Context(), s)
		if driver.ClassOf(err) == driver.Panicked {
			t.Errorf("Compile of the name %q panicked: %v", name, err)
		}
		if err == nil {
			t.Errorf("Compile accepts the package name %q: %v", name, got.Apply)
		}
	}
}

func (p *packages) cancelled(t *testing.T) {
	d := p.open(t)
	returnsSoon(t, "Probes", func(ctx context.Context) error { _, err := d.Probes(ctx, p.Request); return err })
	returnsSoon(t, "Facts", func(ctx context.Context) error { _, err := d.Facts(ctx, p.Request, p.Results); return err })
	returnsSoon(t, "Compile", func(ctx context.Context) error { _, err := d.Compile(ctx, p.Selection); return err })
}
