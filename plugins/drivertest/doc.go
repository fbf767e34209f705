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
// The suite asks for promises of the contract only; it refuses to know how a
// driver keeps them.
package drivertest

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

// soon is what "returns soon" means for a cancelled call: generous, for a
// busy machine.
const soon = 30 * time.Second

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

func checkInfo(t *testing.T, d driver.Driver, kind driver.Kind) driver.Info {
	t.Helper()
	i, err := d.Info(t.Context())
	if err != nil {
		t.Fatalf("Info of an unconfigured driver: %v", err)
	}
	again, err := d.Info(t.Context())
	if err != nil || !reflect.DeepEqual(i, again) {
		t.Errorf("Info is not stable: %+v then %+v (error %v)", i, again, err)
	}
	if i.Kind != kind {
		t.Errorf("Info.Kind is %q, want %q", i.Kind, kind)
	}
	if i.Name == "" || i.Version == "" {
		t.Errorf("Info lacks a name or a version: %+v", i)
	}
	seen := map[string]bool{}
	for _, a := range i.Schema.Attributes {
		if a.Name == "" || seen[a.Name] {
			t.Errorf("Schema: attribute name %q is empty or repeated", a.Name)
		}
		seen[a.Name] = true
		switch a.Type {
		case "string", "number", "bool", "duration", "list(string)":
		default:
			t.Errorf("Schema: attribute %q has the unknown type %q", a.Name, a.Type)
		}
		if a.Help == "" {
			t.Errorf("Schema: attribute %q has no help", a.Name)
		}
		if a.Required && a.Default != "" {
			t.Errorf("Schema: attribute %q is required and has a default", a.Name)
		}
	}
	return i
}

// returnsSoon runs call and fails the test when it outlasts its cancelled
// context.
func returnsSoon(t *testing.T, name string, call func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = call(ctx)
	}()
	select {
	case <-done:
	case <-time.After(soon):
		t.Fatalf("%s with a cancelled context did not return within %s", name, soon)
	}
}
