package lvm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
	"github.com/ncfleet/ncfleet/plugins/hostcopy/hostcopytest"
)

func TestMain(m *testing.M) { drivertest.Main(m, func() driver.Driver { return New() }) }

// newSite is a site on a volume of the stand-in for LVM in testdata/bin.
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
			t.Errorf("LVM was never called: %v", err)
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
	bin, err := filepath.Abs("testdata/bin/lvcreate")
	if err != nil {
		t.Fatal(err)
	}
	newSite(t, false).KilledCreate(hostcopytest.NewKiller(t, bin, filepath.Join(filepath.Dir(bin), "lvremove")))
}

func TestConformance(t *testing.T) {
	hostcopytest.Conformance(t, New, func(t *testing.T) *hostcopytest.Site { return newSite(t, true) }, func(s *hostcopytest.Site) {
		found, _ := filepath.Glob(filepath.Join(s.Root, ".lvm/ncfleet-*"))
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
		"another file system": {"FAKE_FSTYPE=btrfs", "of type btrfs"},
		"no logical volume":   {"FAKE_SOURCE=/dev/sda1", "which is no logical volume"},
		"group full":          {"FAKE_FREE=1073741824", "has 1024 MiB free, a snapshot of vg0/srv takes 2048"},
		"pool full":           {"FAKE_POOL=pool0\x00FAKE_PERCENT=91.20", "is 91.20 % full"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, false)
			_, err := s.D.Cover(t.Context(), s.Subject, s.Runner)
			s.Must(err)
			s.Runner.Env = append(s.Runner.Env, strings.Split(tc.env, "\x00")...)
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

// TestSilentGroup: an LVM that does not answer is no snapshot that is gone.
func TestSilentGroup(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	h := s.Create("r/1")
	s.Must(os.WriteFile(broken(s), nil, 0o644))
	if v, err := s.D.Verify(t.Context(), h, s.Runner); err == nil {
		t.Errorf("Verify answers without LVM: %+v", v)
	}
	if err := s.D.Delete(t.Context(), h, s.Runner); err == nil || !strings.Contains(err.Error(), "cannot list the volume group") {
		t.Errorf("Delete: %v", err)
	}
	s.Must(os.Remove(broken(s)))
	s.Must(s.D.Delete(t.Context(), h, s.Runner))
	if left, _ := filepath.Glob(filepath.Join(s.Root, ".lvm/*")); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

func TestThin(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	s.Runner.Env = append(s.Runner.Env, "FAKE_POOL=pool0", "FAKE_OPTIONS=ro,norecovery,nouuid")
	s.WayBack()
}

func TestRanFull(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	h := s.Create("r/1")
	s.Must(os.WriteFile(filepath.Join(filepath.Dir(broken(s)), "full"), nil, 0o644))
	v, err := s.D.Verify(t.Context(), h, s.Runner)
	if err != nil || v.Verified || !strings.Contains(v.Detail, "ran full") {
		t.Errorf("%+v, %v", v, err)
	}
	if err := s.D.Restore(t.Context(), h, s.Subject, s.Runner); err == nil {
		t.Error("a snapshot that ran full is restored")
	}
}

func TestPercent(t *testing.T) {
	for _, percent := range []float64{0, 101, 2.5} {
		if err := New().Configure(t.Context(), driver.Config{"percent": percent}); driver.ClassOf(err) != driver.Permanent {
			t.Errorf("percent = %v: %v, want a refusal", percent, err)
		}
	}
	if err := New().Configure(t.Context(), driver.Config{"percent": float64(5)}); err != nil {
		t.Error(err)
	}
}
