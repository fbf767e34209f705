// Package drivertest is the conformance suite that every driver must pass, in
// process and as a subprocess, and a pair of fake drivers for the tests of
// others. A driver's own test reads
//
//	func TestMain(m *testing.M) {
//		drivertest.Main(m, func() driver.Driver { return archive.New() })
//	}
//
//	func TestConformance(t *testing.T) {
//		c := drivertest.Snapshots{Subject: …, Runner: drivertest.LocalRunner{}, …}
//		c.New = func(*testing.T) driver.Snapshotter { return archive.New() }
//		t.Run("in process", func(t *testing.T) { drivertest.Snapshotter(t, c) })
//		c.New = func(t *testing.T) driver.Snapshotter { return drivertest.Subprocess(t, nil).Snapshotter() }
//		t.Run("subprocess", func(t *testing.T) { drivertest.Snapshotter(t, c) })
//	}
//
// With Faults set the suite also loses the host and gives calls up in the
// middle; with Kill set it ends the driver's process there:
//
//	c.Kill = drivertest.Kill
//
// The promises themselves are in package conformance, which knows no testing;
// this package only makes a subtest of each.
package drivertest

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

// Main is a test binary's TestMain when the binary also is the driver under
// test: started by Subprocess it serves, else it runs the tests.
func Main(m *testing.M, d func() driver.Driver) {
	if rpc.Started() {
		rpc.Serve(d())
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Subprocess starts this very test binary as a driver, with env as its whole
// environment, and closes it when the test ends. Its log goes to standard error.
// The binary's TestMain must call Main.
func Subprocess(t testing.TB, env map[string]string) *rpc.Process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := rpc.Start(context.Background(), rpc.Options{
		Name: "subprocess", Path: self, Env: env,
		Line: func(line string) { fmt.Fprintln(os.Stderr, line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := p.Bind(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}
