package zfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
	"github.com/ncfleet/ncfleet/plugins/hostcopy/hostcopytest"
)

func TestMain(m *testing.M) { drivertest.Main(m, func() driver.Driver { return New() }) }

// newSite is a site on a dataset of the stand-in for zfs in testdata/bin.
func newSite(t testing.TB, dataInside bool) *hostcopytest.Site {
	t.Helper()
	hostcopytest.LookOrSkip(t, "findmnt")
	s := hostcopytest.NewVolumeSite(t, New(), dataInside)
	bin, err := filepath.Abs("testdata/bin")
	s.Must(err)
	state := t.TempDir()
	s.Runner.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "FAKE_ROOT=" + s.Root, "FAKE_STATE=" + state}
	t.Cleanup(func() {
		if b, err := os.ReadFile(filepath.Join(state, "unexpected")); err == nil {
			t.Errorf("%s", b)
		}
		if b, err := os.ReadFile(filepath.Join(state, "calls")); err != nil || len(b) == 0 {
			t.Errorf("zfs was never called: %v", err)
		}
	})
	return s
}

func broken(s *hostcopytest.Site) string {
	return filepath.Join(strings.TrimPrefix(s.Runner.Env[2], "FAKE_STATE="), "broken")
}

func TestWayBack(t *testing.T) {
	for name, inside := range map[string]bool{"data elsewhere": false, "data inside": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newSite(t, inside).WayBack()
		})
	}
}

func TestKilledRestore(t *testing.T) {
	t.Parallel()
	newSite(t, true).KilledRestore(hostcopytest.NewKiller(t, "cp"))
}

func TestKilledCreate(t *testing.T) {
	t.Parallel()
	bin, err := filepath.Abs("testdata/bin/zfs")
	if err != nil {
		t.Fatal(err)
	}
	newSite(t, false).KilledCreate(hostcopytest.NewKiller(t, bin))
}

func TestConformance(t *testing.T) {
	hostcopytest.Conformance(t, New, func(t *testing.T) *hostcopytest.Site { return newSite(t, true) }, func(s *hostcopytest.Site) {
		found, _ := filepath.Glob(filepath.Join(s.Root, ".zfs/snapshot/ncfleet-*"))
		if len(found) != 1 {
			s.T.Fatalf("snapshots: %q", found)
		}
		hostcopytest.Run(s.T, "btrfs", "subvolume", "delete", found[0])
	})
}

func TestUnfit(t *testing.T) {
	for name, tc := range map[string]struct {
		env, why string
	}{
		"no zfs":                    {"PATH=/usr/bin:/bin", "is missing on this host"},
		"bind mount of a directory": {"FAKE_FSROOT=/x", "only a directory of the dataset"},
		"another file system":       {"FAKE_ROOT=/nowhere", "use the snapshot driver archive"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath("zfs"); err == nil && name == "no zfs" {
				t.Skip("this machine has a real zfs")
			}
			s := newSite(t, false)
			_, err := s.D.Cover(t.Context(), s.Subject, s.Runner)
			s.Must(err)
			s.Runner.Env = append(s.Runner.Env, tc.env)
			c, err := s.D.Cover(t.Context(), s.Subject, s.Runner)
			s.Must(err)
			for _, h := range c.Missing {
				if h.Place.Part == driver.PartCode && strings.Contains(h.Reason, tc.why) {
					return
				}
			}
			t.Errorf("missing %+v, want …%s…", c.Missing, tc.why)
		})
	}
}

// TestSilentPool: a zfs that does not answer is no snapshot that is gone.
func TestSilentPool(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	h := s.Create("r/1")
	s.Must(os.WriteFile(broken(s), nil, 0o644))
	if v, err := s.D.Verify(t.Context(), h, s.Runner); err == nil {
		t.Errorf("Verify answers without zfs: %+v", v)
	}
	if err := s.D.Delete(t.Context(), h, s.Runner); err == nil || !strings.Contains(err.Error(), "cannot list the snapshots") {
		t.Errorf("Delete: %v", err)
	}
	s.Must(os.Remove(broken(s)))
	s.Must(s.D.Delete(t.Context(), h, s.Runner))
	if left, _ := filepath.Glob(filepath.Join(s.Root, ".zfs/snapshot/*")); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}
