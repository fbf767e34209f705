package btrfs

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
	"github.com/ncfleet/ncfleet/plugins/hostcopy/hostcopytest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("4")
	}
	drivertest.Main(m, func() driver.Driver { return New() })
}

func newSite(t testing.TB, dataInside bool) *hostcopytest.Site {
	t.Helper()
	return hostcopytest.NewVolumeSite(t, New(), dataInside)
}

// asSubvolume makes the tree a subvolume of its own.
func asSubvolume(t testing.TB, s *hostcopytest.Site) {
	t.Helper()
	plain := s.Tree + ".plain"
	hostcopytest.Run(t, "mv", s.Tree, plain)
	hostcopytest.Run(t, "btrfs", "subvolume", "create", s.Tree)
	hostcopytest.Run(t, "cp", "-a", plain+"/.", s.Tree)
	hostcopytest.Run(t, "chown", "--reference="+plain, s.Tree)
	hostcopytest.Run(t, "rm", "-rf", plain)
}

func TestWayBack(t *testing.T) {
	for name, inside := range map[string]bool{"data elsewhere": false, "data inside": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newSite(t, inside).WayBack()
		})
	}
}

func TestConformance(t *testing.T) {
	hostcopytest.Conformance(t, New, func(t *testing.T) *hostcopytest.Site { return newSite(t, true) }, func(s *hostcopytest.Site) {
		found, _ := filepath.Glob(filepath.Join(s.Root, ".ncfleet-snapshots", "*damage*"))
		if len(found) != 1 {
			s.T.Fatalf("snapshots: %q", found)
		}
		hostcopytest.Run(s.T, "btrfs", "subvolume", "delete", found[0])
	})
}

// TestWholeSubvolume has the tree as a subvolume of its own: it comes back as one.
func TestWholeSubvolume(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	asSubvolume(t, s)
	before := s.State()
	h := s.Create("r/1")
	s.Verify(h)
	s.Upgrade()
	s.SpoilSQL()
	s.SpoilOther()
	s.Restore(h)
	if after := s.State(); after != before {
		t.Errorf("the tree differs\n--- before\n%s--- after\n%s", before, after)
	}
	if got := strings.TrimSpace(hostcopytest.Run(t, "stat", "-c", "%i", s.Tree)); got != "256" {
		t.Errorf("the tree's inode is %s: not a subvolume", got)
	}
	s.Intact(2) // the snapshot and the tree, which is one too
	// A tree changed in place is put aside as a subvolume.
	s.Write("version.php", "spoiled")
	s.Restore(h)
	if after := s.State(); after != before {
		t.Error("the tree differs after the second restore")
	}
	s.DeleteTwice(h)
	s.Intact(1)
}

// TestFolderRemovedMeanwhile: calls for other instances remove the folder of
// the snapshots while it is empty, and make it again.
func TestFolderRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	real, err := exec.LookPath("btrfs")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := "#!/bin/sh\nfor last; do :; done\ncase \"$1 $2 $3\" in\n'subvolume snapshot -r')\n" +
		"[ -e " + dir + "/once ] || { : >" + dir + "/once; folder=$(dirname \"$last\"); rmdir \"$folder\"; " + real + " \"$@\"; code=$?; mkdir \"$folder\"; exit $code; } ;;\nesac\n" +
		"exec " + real + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "btrfs"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	s.Runner = hostcopytest.Local{Env: []string{"PATH=" + dir + ":" + os.Getenv("PATH")}}
	s.Verify(s.Create("r/1"))
	if _, err := os.Stat(filepath.Join(dir, "once")); err != nil {
		t.Error("the folder was never removed: nothing is proved")
	}
}

func TestUnfit(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, s *hostcopytest.Site)
		why   string
	}{
		"nested subvolume": {func(t *testing.T, s *hostcopytest.Site) {
			hostcopytest.Run(t, "btrfs", "subvolume", "create", filepath.Join(s.Tree, "themes"))
		}, "contains the subvolume"},
		"data in the subvolume": {func(t *testing.T, s *hostcopytest.Site) {
			asSubvolume(t, s)
		}, "is inside the subvolume"},
		"other file system": {func(t *testing.T, s *hostcopytest.Site) {
			away := filepath.Join(s.Root, "away")
			hostcopytest.Run(t, "mv", filepath.Dir(s.Tree), away)
			hostcopytest.SmallDisk(t, filepath.Dir(s.Tree), 2000)
			hostcopytest.Run(t, "cp", "-a", away+"/nextcloud", s.Tree)
		}, "type tmpfs"},
		"bind mount of a directory": {func(t *testing.T, s *hostcopytest.Site) {
			away := filepath.Join(s.Root, "away")
			hostcopytest.Run(t, "mv", filepath.Dir(s.Tree), away)
			hostcopytest.Run(t, "mkdir", filepath.Dir(s.Tree))
			hostcopytest.Run(t, "mount", "--bind", away, filepath.Dir(s.Tree))
			t.Cleanup(func() { hostcopytest.Run(t, "umount", filepath.Dir(s.Tree)) })
		}, "mount the subvolume itself"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, true)
			tc.spoil(t, s)
			c, err := s.D.Cover(t.Context(), s.Subject, s.Runner)
			s.Must(err)
			found := false
			for _, h := range c.Missing {
				found = found || h.Place.Part == driver.PartCode && strings.Contains(h.Reason, tc.why)
			}
			if !found {
				t.Errorf("missing %+v, want …%s…", c.Missing, tc.why)
			}
			if _, err := s.D.Create(t.Context(), s.Request("r/1"), s.Runner); driver.ClassOf(err) != driver.Permanent || err == nil {
				t.Errorf("Create: %v", err)
			}
		})
	}
}

func TestCover(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	s.Subject.Places = append(s.Subject.Places, driver.Place{Part: driver.PartSystem, Path: "/"})
	c, err := s.D.Cover(t.Context(), s.Subject, s.Runner)
	s.Must(err)
	if len(c.Captured) != 3 || len(c.Missing) != 2 || c.BytesFree <= 0 || c.BytesNeed <= 0 || !c.Consistent {
		t.Errorf("%+v", c)
	}
	if got := hostcopytest.Run(t, "btrfs", "subvolume", "list", "-s", s.Root); got != "" {
		t.Errorf("Cover took snapshots: %s", got)
	}
}

func TestDamage(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	h := s.Create("r/1")
	v := s.Verify(h)
	found, err := filepath.Glob(filepath.Join(s.Root, ".ncfleet-snapshots", "r+1.*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("snapshots: %q, %v", found, err)
	}
	snap := found[0]
	if folder, err := os.Stat(filepath.Dir(snap)); err != nil || folder.Mode().Perm() != 0o700 {
		t.Errorf("the snapshots' folder: %v, %v", folder, err)
	}
	s.Upgrade()
	upgraded := s.State()
	bad := func(why string) {
		t.Helper()
		v, err := s.D.Verify(t.Context(), h, s.Runner)
		if err != nil || v.Verified || !strings.Contains(v.Detail, why) {
			t.Errorf("%+v, %v, want …%s…", v, err, why)
		}
		if err := s.D.Restore(t.Context(), h, s.Subject, s.Runner); err == nil {
			t.Errorf("restored although %s", why)
		}
	}
	hostcopytest.Run(t, "btrfs", "property", "set", "-ts", snap, "ro", "false")
	bad("not read-only")
	hostcopytest.Flip(t, filepath.Join(snap, "www/nextcloud/version.php"))
	hostcopytest.Run(t, "btrfs", "property", "set", "-ts", snap, "ro", "true")
	bad("is not what was captured")
	hostcopytest.Run(t, "btrfs", "subvolume", "delete", snap)
	bad("is gone")
	hostcopytest.Run(t, "btrfs", "subvolume", "snapshot", "-r", s.Root, snap)
	bad("another snapshot")
	if s.State() != upgraded {
		t.Error("a refused restore changed the tree")
	}
	s.DeleteTwice(h)
	if folder, err := os.Stat(filepath.Dir(snap)); err == nil {
		t.Errorf("the last snapshot is gone and its folder is there: %v", folder)
	}
	if v.Digest == "" {
		t.Error("no digest")
	}
}
