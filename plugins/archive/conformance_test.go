package archive

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

// The tests often wait for disks and databases, so more of them than there are
// processors go side by side.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("5")
	}
	drivertest.Main(m, func() driver.Driver { return New() })
}

func TestConformance(t *testing.T) {
	for name, newOne := range map[string]func(*testing.T) driver.Snapshotter{
		"in process": func(*testing.T) driver.Snapshotter { return New() },
		"subprocess": func(t *testing.T) driver.Snapshotter { return drivertest.Subprocess(t, nil).Snapshotter() },
	} {
		t.Run(name, func(t *testing.T) {
			if name == "in process" && !all() {
				t.Skip("the subprocess shows as much; NCFLEET_TEST_ALL=1 runs both")
			}
			t.Parallel()
			s := newSite(t, true)
			drivertest.Snapshotter(t, drivertest.Snapshots{
				New: newOne, Subject: s.subject,
				Change: func(t *testing.T) { s.t = t; s.upgrade(); s.spoilSQL() },
				State: func(t *testing.T) string {
					s.t = t
					return s.state() + s.sql("SELECT uid FROM oc_users; SELECT count(*) FROM sqlite_master")
				},
				Damage: func(t *testing.T, h driver.Handle) {
					name, err := nameOf(h.Key)
					if err != nil {
						t.Fatal(err)
					}
					flip(t, filepath.Join(s.subject.StateDir, "snapshots", name, "tree-0.tar"))
				},
			})
		})
	}
}

// flip changes one byte in the middle of a file.
func flip(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil || len(b) == 0 {
		t.Fatalf("%s: %d bytes, %v", file, len(b), err)
	}
	b[len(b)/2] ^= 0xff
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
