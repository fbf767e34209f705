package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

// TestScript runs the command lines of testdata/script, each in a folder of
// its own.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("NCFLEET_DRIVER_PATH", filepath.Join(e.WorkDir, "drivers"))
			return os.Mkdir(filepath.Join(e.WorkDir, "drivers"), 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"install-driver": installDriver,
			"key":            newLoginKey,
		},
	})
}

// installDriver copies the test's own program as ncfleet-driver-NAME: by that
// name it serves a driver that does nothing.
func installDriver(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: install-driver NAME")
	}
	self, err := os.Executable()
	ts.Check(err)
	program, err := os.ReadFile(self)
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("NCFLEET_DRIVER_PATH"), "ncfleet-driver-"+args[0]), program, 0o755))
}

// newLoginKey writes an SSH key that no host knows.
func newLoginKey(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: key FILE")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(privateKey()), 0o600))
}

// idleDriver is a snapshot driver that only says who it is.
type idleDriver struct{ driver.Snapshotter }

func (idleDriver) Info(context.Context) (driver.Info, error) {
	return driver.Info{Name: "idle", Version: "1.2.3", Kind: driver.KindSnapshot, Capabilities: []string{driver.CapabilityPrepare}, Schema: driver.Schema{
		Attributes: []driver.Attribute{
			{Name: "folder", Type: "string", Required: true, Help: "Where snapshots lie."},
			{Name: "token", Type: "string", Secret: true, Help: "What opens them."},
			{Name: "mode", Type: "string", Help: "How they lie."},
			{Name: "keep", Type: "number", Help: "How many."},
		}}}, nil
}

func (idleDriver) Configure(context.Context, driver.Config) error { return nil }

// serveIdle is the main function of the driver "idle".
func serveIdle() { rpc.Serve(idleDriver{}) }
