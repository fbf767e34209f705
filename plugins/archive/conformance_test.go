package archive

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
	"github.com/ncfleet/ncfleet/plugins/hostcopy"
	"github.com/ncfleet/ncfleet/plugins/hostcopy/hostcopytest"
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
			if name == "in process" && !hostcopytest.All() {
				t.Skip("the subprocess shows as much; NCFLEET_TEST_ALL=1 runs both")
			}
			t.Parallel()
			s := newSite(t, true)
			drivertest.Snapshotter(t, drivertest.Snapshots{
				New: newOne, Subject: s.Subject,
				Change: func(t *testing.T) { s.T = t; s.Upgrade(); s.SpoilSQL() },
				State: func(t *testing.T) string {
					s.T = t
					return s.State() + s.SQL("SELECT uid FROM oc_users; SELECT count(*) FROM sqlite_master")
				},
				Damage: func(t *testing.T, h driver.Handle) {
					name, err := hostcopy.NameOf(h.Key)
					if err != nil {
						t.Fatal(err)
					}
					hostcopytest.Flip(t, filepath.Join(s.Subject.StateDir, "snapshots", name, "tree-0.tar"))
				},
			})
		})
	}
}
