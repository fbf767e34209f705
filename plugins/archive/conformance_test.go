package archive

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
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
	hostcopytest.Conformance(t, New, func(t *testing.T) *hostcopytest.Site { return newSite(t, true) }, func(s *hostcopytest.Site) {
		found, _ := filepath.Glob(filepath.Join(s.Kept(), "*damage", "tree-0.tar"))
		if len(found) != 1 {
			s.T.Fatalf("archives: %q", found)
		}
		hostcopytest.Flip(s.T, found[0])
	})
}
