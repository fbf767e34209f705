package drivertest

import (
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest/conformance"
)

// LocalRunner runs commands on this machine, as this user; Command.User is
// ignored. It is for tests only.
type LocalRunner = conformance.LocalRunner

// tester is a *testing.T as the suite wants it: every promise is a subtest.
type tester struct{ *testing.T }

func (t tester) Try(p conformance.Promise, f func(conformance.T)) {
	t.T.Helper()
	t.T.Run(p.Name, func(sub *testing.T) {
		sub.Cleanup(func() {
			if sub.Failed() {
				sub.Logf("how drivers keep this promise: %s", p.Fix)
			}
		})
		f(tester{sub})
	})
}

func testOf(t conformance.T) *testing.T { return t.(tester).T }

// Snapshots is what the suite needs to try a Snapshotter; see
// [conformance.Snapshots] for each field.
type Snapshots struct {
	New       func(t *testing.T) driver.Snapshotter
	Kill      func(t *testing.T, d driver.Snapshotter)
	Faults    bool
	Config    driver.Config
	Subject   driver.Subject
	Runner    driver.Runner
	Change    func(t *testing.T)
	State     func(t *testing.T) string
	Damage    func(t *testing.T, h driver.Handle)
	KeyPrefix string
}

// Snapshotter tries every promise of the contract. Its subtests use one store
// and run in order.
func Snapshotter(t *testing.T, c Snapshots) {
	t.Helper()
	s := conformance.Snapshots{
		New:    func(t conformance.T) driver.Snapshotter { return c.New(testOf(t)) },
		Faults: c.Faults, Config: c.Config, Subject: c.Subject, Runner: c.Runner, KeyPrefix: c.KeyPrefix,
	}
	if c.Kill != nil {
		s.Kill = func(t conformance.T, d driver.Snapshotter) { c.Kill(testOf(t), d) }
	}
	if c.Change != nil {
		s.Change = func(t conformance.T) { c.Change(testOf(t)) }
	}
	if c.State != nil {
		s.State = func(t conformance.T) string { return c.State(testOf(t)) }
	}
	if c.Damage != nil {
		s.Damage = func(t conformance.T, h driver.Handle) { c.Damage(testOf(t), h) }
	}
	conformance.Snapshotter(tester{t}, s)
}

// Kill is Snapshots.Kill for drivers of Subprocess.
func Kill(t *testing.T, d driver.Snapshotter) {
	t.Helper()
	process, ok := d.(interface{ Kill() })
	if !ok {
		t.Fatalf("cannot kill a %T: it has no process", d)
	}
	process.Kill()
}

// Packages is what the suite needs to try a PackageManager; see
// [conformance.Packages] for each field.
type Packages struct {
	New       func(t *testing.T) driver.PackageManager
	Config    driver.Config
	Request   driver.ProbeRequest
	Results   []driver.Result
	Selection driver.Selection
}

// PackageManager tries every promise of the contract.
func PackageManager(t *testing.T, c Packages) {
	t.Helper()
	conformance.PackageManager(tester{t}, conformance.Packages{
		New:    func(t conformance.T) driver.PackageManager { return c.New(testOf(t)) },
		Config: c.Config, Request: c.Request, Results: c.Results, Selection: c.Selection,
	})
}
