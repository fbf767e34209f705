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

// disk mounts a btrfs of its own and returns the mount point.
func disk(t testing.TB, size string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("making and mounting a btrfs needs root")
	}
	for _, tool := range []string{"mkfs.btrfs", "btrfs", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	dir := t.TempDir()
	image, point := filepath.Join(dir, "image"), filepath.Join(dir, "disk")
	run(t, "truncate", "-s", size, image)
	run(t, "mkfs.btrfs", "-q", image)
	run(t, "mkdir", point)
	if out, err := exec.Command("mount", "-o", "loop", image, point).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a loop btrfs here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", point).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
			_ = exec.Command("umount", "-l", point).Run()
		}
	})
	for d := dir; strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		run(t, "chmod", "755", d)
	}
	return point
}

func run(t testing.TB, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", argv, err, out)
	}
	return string(out)
}

// newSite puts a site on a btrfs of its own, in a subvolume beside another
// application's files.
func newSite(t testing.TB, dataInside bool) *hostcopytest.Site {
	t.Helper()
	point := disk(t, "300M")
	s := hostcopytest.NewSite(t, hostcopytest.Options{Driver: New(), Below: filepath.Join(point, "srv"), DataInside: dataInside,
		Prepare: func(root string) {
			run(t, "btrfs", "subvolume", "create", root)
			run(t, "mkdir", filepath.Join(root, "other"))
		}})
	s.Must(os.WriteFile(filepath.Join(s.Root, "other/file"), []byte("another application's"), 0o644))
	return s
}

// asSubvolume makes the tree a subvolume of its own.
func asSubvolume(t testing.TB, s *hostcopytest.Site) {
	t.Helper()
	plain := s.Tree + ".plain"
	run(t, "mv", s.Tree, plain)
	run(t, "btrfs", "subvolume", "create", s.Tree)
	run(t, "cp", "-a", plain+"/.", s.Tree)
	run(t, "chown", "--reference="+plain, s.Tree)
	run(t, "rm", "-rf", plain)
}

// intact looks at what no restore may touch, and for snapshots left behind.
func intact(t *testing.T, s *hostcopytest.Site, snapshots int) {
	t.Helper()
	if b, err := os.ReadFile(filepath.Join(s.Root, "other/file")); err != nil || string(b) != "changed later" {
		t.Errorf("the other application's file: %q, %v", b, err)
	}
	if got := strings.Count(run(t, "btrfs", "subvolume", "list", "-s", s.Root), "\n"); got != snapshots {
		t.Errorf("%d snapshots on the file system, want %d", got, snapshots)
	}
}

func TestWayBack(t *testing.T) {
	for name, inside := range map[string]bool{"data elsewhere": false, "data inside": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, inside)
			before := s.State()
			h := s.Create("r1/h1")
			if again := s.Create("r1/h1"); string(again.Data) != string(h.Data) {
				t.Errorf("a repeated Create answers differently: %s, %s", h.Data, again.Data)
			}
			v := s.Verify(h)
			if v.Digest == "" || v.Bytes == 0 || !strings.Contains(v.Detail, "1 snapshots with the identity") {
				t.Errorf("verification %+v", v)
			}
			s.Upgrade()
			s.SpoilSQL()
			s.Must(os.WriteFile(filepath.Join(s.Root, "other/file"), []byte("changed later"), 0o644))
			s.Restore(h)
			s.Restore(h)
			s.Verify(h)
			if after := s.State(); after != before {
				t.Errorf("the tree differs\n--- before\n%s--- after\n%s", before, after)
			}
			if got := s.SQL("SELECT uid FROM oc_users; SELECT count(*) FROM sqlite_master"); got != "before\n1\n" {
				t.Errorf("the database has %q", got)
			}
			if b, err := os.ReadFile(filepath.Join(s.Data, "photo.jpg")); err != nil || string(b) != "a user's photo" {
				t.Errorf("the user's photo: %q, %v", b, err)
			}
			folder, err := os.Stat(filepath.Join(s.Root, ".ncfleet-snapshots"))
			if err != nil || folder.Mode().Perm() != 0o700 {
				t.Errorf("the snapshots' folder: %v, %v", folder, err)
			}
			intact(t, s, 1)
			s.DeleteTwice(h)
			intact(t, s, 0)
		})
	}
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
	s.Must(os.WriteFile(filepath.Join(s.Root, "other/file"), []byte("changed later"), 0o644))
	s.Restore(h)
	if after := s.State(); after != before {
		t.Errorf("the tree differs\n--- before\n%s--- after\n%s", before, after)
	}
	if got := strings.TrimSpace(run(t, "stat", "-c", "%i", s.Tree)); got != "256" {
		t.Errorf("the tree's inode is %s: not a subvolume", got)
	}
	intact(t, s, 2) // the snapshot and the tree, which is one too
	// A tree changed in place is put aside as a subvolume.
	s.Write("version.php", "spoiled")
	s.Restore(h)
	if after := s.State(); after != before {
		t.Error("the tree differs after the second restore")
	}
	s.DeleteTwice(h)
	intact(t, s, 1)
}

func TestUnfit(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, s *hostcopytest.Site)
		why   string
	}{
		"nested subvolume": {func(t *testing.T, s *hostcopytest.Site) {
			run(t, "btrfs", "subvolume", "create", filepath.Join(s.Tree, "themes"))
		}, "contains the subvolume"},
		"data in the subvolume": {func(t *testing.T, s *hostcopytest.Site) {
			asSubvolume(t, s)
		}, "is inside the subvolume"},
		"other file system": {func(t *testing.T, s *hostcopytest.Site) {
			away := filepath.Join(s.Root, "away")
			run(t, "mv", filepath.Dir(s.Tree), away)
			hostcopytest.SmallDisk(t, filepath.Dir(s.Tree), 2000)
			run(t, "cp", "-a", away+"/nextcloud", s.Tree)
		}, "type tmpfs"},
		"bind mount of a directory": {func(t *testing.T, s *hostcopytest.Site) {
			away := filepath.Join(s.Root, "away")
			run(t, "mv", filepath.Dir(s.Tree), away)
			run(t, "mkdir", filepath.Dir(s.Tree))
			run(t, "mount", "--bind", away, filepath.Dir(s.Tree))
			t.Cleanup(func() { run(t, "umount", filepath.Dir(s.Tree)) })
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
	if got := run(t, "btrfs", "subvolume", "list", "-s", s.Root); got != "" {
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
	run(t, "btrfs", "property", "set", "-ts", snap, "ro", "false")
	bad("not read-only")
	hostcopytest.Flip(t, filepath.Join(snap, "www/nextcloud/version.php"))
	run(t, "btrfs", "property", "set", "-ts", snap, "ro", "true")
	bad("is not what was captured")
	run(t, "btrfs", "subvolume", "delete", snap)
	bad("is gone")
	run(t, "btrfs", "subvolume", "snapshot", "-r", s.Root, snap)
	bad("another snapshot")
	if s.State() != upgraded {
		t.Error("a refused restore changed the tree")
	}
	s.DeleteTwice(h)
	if v.Digest == "" {
		t.Error("no digest")
	}
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
					found, _ := filepath.Glob(filepath.Join(s.Root, ".ncfleet-snapshots", "*damage*"))
					if len(found) != 1 {
						t.Fatalf("snapshots: %q", found)
					}
					run(t, "btrfs", "subvolume", "delete", found[0])
				},
			})
		})
	}
}
