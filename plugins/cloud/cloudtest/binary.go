package cloudtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

// Binary builds the driver's program from its folder and returns a func that
// starts it with an empty environment; each process ends with the test that
// started it.
func Binary(t *testing.T, folder string) func(t *testing.T) driver.Snapshotter {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(folder))
	if out, err := exec.Command("go", "build", "-o", path, folder).CombinedOutput(); err != nil {
		t.Fatalf("cannot build the driver: %v\n%s", err, out)
	}
	return func(t *testing.T) driver.Snapshotter {
		t.Helper()
		p, err := rpc.Start(context.Background(), rpc.Options{Name: filepath.Base(folder), Path: path,
			Line: func(line string) { fmt.Fprintln(os.Stderr, line) }})
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
		return p.Snapshotter()
	}
}
