package conformance

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Packages is what the suite needs to try a PackageManager.
type Packages struct {
	New    func(t T) driver.PackageManager // unconfigured
	Config driver.Config
	// Request and Results are one host's probes as recorded: the results of
	// the commands that Probes returns for Request, in order.
	Request driver.ProbeRequest
	Results []driver.Result
	// Selection is a plausible choice of at least one update.
	Selection driver.Selection
}

// PackageManager tries every promise of the contract.
func PackageManager(t T, c Packages) {
	p := &packages{c}
	for _, c := range []promise{
		{Promise{"info", fixInfo}, func(t T) { checkInfo(t, c.New(t), driver.KindPackages) }},
		{Promise{"probes", "Probes returns the same read-only commands for the same request; one result is recorded for each."}, p.probes},
		{Promise{"facts are deterministic", "Sort by name, read no clock and no map order; hold removals, and say why a change is held."}, p.facts},
		{Promise{"failed and garbled probes are reported", "Check exit status and shape of every probe; what cannot be read becomes a Problem, never silence."}, p.garbage},
		{Promise{"compile", "Compile names every selected package in stage and apply, and says how to repair."}, p.compile},
		{Promise{"empty selection", "Nothing to do gives no command at all."}, p.compileNothing},
		{Promise{"removals are refused", "Return an error of class permanent for ChangeRemove."}, p.removal},
		{Promise{"held packages stay", "Leave changes with Held set out of every command."}, p.held},
		{Promise{"hostile names", "Accept only what your package manager calls a name; refuse the rest before it reaches a command line."}, p.hostile},
		{Promise{"cancelled calls return", "A pure driver has nothing to wait for: return at once."}, p.cancelled},
		{Promise{"calls at the same time", "Keep nothing of a call in the driver's own fields: many hosts share one process."}, p.atOnce},
	} {
		t.Try(c.Promise, c.try)
	}
}

type packages struct{ Packages }

func (p *packages) open(t T) driver.PackageManager {
	t.Helper()
	d := p.New(t)
	if err := d.Configure(t.Context(), p.Config); err != nil {
		t.Fatalf("Configure: %v", err)
	}
	return d
}

func (p *packages) probes(t T) {
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

func checkCommands(t T, what string, commands []driver.Command) {
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

func (p *packages) facts(t T) {
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
func (p *packages) garbage(t T) {
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

func (p *packages) compile(t T) {
	if len(p.Selection.Changes) == 0 {
		t.Fatalf("the test gives no selection")
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

func (p *packages) compileNothing(t T) {
	got, err := p.open(t).Compile(t.Context(), driver.Selection{LockWait: time.Minute})
	if err != nil || len(got.Stage)+len(got.Apply)+len(got.Repair) > 0 {
		t.Errorf("Compile of an empty selection: %+v, error %v, want nothing", got, err)
	}
}

func (p *packages) removal(t T) {
	s := p.Selection
	s.Changes = append(slices.Clone(s.Changes), driver.PackageChange{Name: "drivertest-gone", From: "1.0", Change: driver.ChangeRemove})
	got, err := p.open(t).Compile(t.Context(), s)
	if driver.ClassOf(err) != driver.Permanent {
		t.Errorf("Compile of a removal: %+v, error %v, want an error of class permanent", got, err)
	}
}

func (p *packages) held(t T) {
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
func (p *packages) hostile(t T) {
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

func (p *packages) cancelled(t T) {
	d := p.open(t)
	returnsSoon(t, "Probes", func(ctx context.Context) error { _, err := d.Probes(ctx, p.Request); return err })
	returnsSoon(t, "Facts", func(ctx context.Context) error { _, err := d.Facts(ctx, p.Request, p.Results); return err })
	returnsSoon(t, "Compile", func(ctx context.Context) error { _, err := d.Compile(ctx, p.Selection); return err })
}

func (p *packages) atOnce(t T) {
	d := p.open(t)
	want, err := d.Facts(t.Context(), p.Request, p.Results)
	if err != nil {
		t.Fatalf("Facts: %v", err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			defer guard(t, "Facts")
			if got, err := d.Facts(t.Context(), p.Request, p.Results); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("Facts beside others: %+v, error %v, alone %+v", got, err, want)
			}
			if _, err := d.Facts(t.Context(), p.Request, nil); driver.ClassOf(err) == driver.Panicked {
				t.Errorf("Facts of nothing panicked: %v", err)
			}
		})
	}
	wg.Wait()
}
