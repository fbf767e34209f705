package hostcopytest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

// Run runs a command that must succeed.
func Run(t testing.TB, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", argv, err, out)
	}
	return string(out)
}

// BtrfsDisk mounts a btrfs of its own and returns the mount point.
func BtrfsDisk(t testing.TB, size string) string {
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
	Run(t, "truncate", "-s", size, image)
	Run(t, "mkfs.btrfs", "-q", image)
	Run(t, "mkdir", point)
	if out, err := exec.Command("mount", "-o", "loop", image, point).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a loop btrfs here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", point).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
			_ = exec.Command("umount", "-l", point).Run()
		}
	})
	Open(t, dir)
	return point
}

// NewVolumeSite puts a site on a btrfs of its own, in a subvolume beside another
// application's file.
func NewVolumeSite(t testing.TB, d driver.Snapshotter, dataInside bool) *Site {
	t.Helper()
	s := NewSite(t, Options{Driver: d, Below: filepath.Join(BtrfsDisk(t, "300M"), "srv"), DataInside: dataInside,
		Prepare: func(root string) {
			Run(t, "btrfs", "subvolume", "create", root)
			Run(t, "mkdir", filepath.Join(root, "other"))
		}})
	s.Must(os.WriteFile(s.other(), []byte("another application's"), 0o644))
	return s
}

func (s *Site) other() string { return filepath.Join(s.Root, "other/file") }

// SpoilOther changes the other application's file: no restore may undo that.
func (s *Site) SpoilOther() { s.Must(os.WriteFile(s.other(), []byte("changed later"), 0o644)) }

// Intact looks at the other application's file and counts all the snapshots on
// the file system.
func (s *Site) Intact(snapshots int) {
	s.T.Helper()
	if b, err := os.ReadFile(s.other()); err != nil || string(b) != "changed later" {
		s.T.Errorf("the other application's file: %q, %v", b, err)
	}
	if got := strings.Count(Run(s.T, "btrfs", "subvolume", "list", "-s", s.Root), "\n"); got != snapshots {
		s.T.Errorf("%d snapshots on the file system, want %d", got, snapshots)
	}
}

// WayBack takes a site on a volume through a failed upgrade and back.
func (s *Site) WayBack() {
	s.T.Helper()
	before := s.State()
	h := s.Create("r1/h1")
	if again := s.Create("r1/h1"); string(again.Data) != string(h.Data) {
		s.T.Errorf("a repeated Create answers differently: %s, %s", h.Data, again.Data)
	}
	v := s.Verify(h)
	if v.Digest == "" || v.Bytes == 0 || !strings.Contains(v.Detail, "1 snapshots with the identity") {
		s.T.Errorf("verification %+v", v)
	}
	s.Upgrade()
	s.SpoilSQL()
	s.SpoilOther()
	s.Restore(h)
	s.Restore(h)
	s.Verify(h)
	if after := s.State(); after != before {
		s.T.Errorf("the tree differs\n--- before\n%s--- after\n%s", before, after)
	}
	if got := s.SQL("SELECT uid FROM oc_users; SELECT count(*) FROM sqlite_master"); got != "before\n1\n" {
		s.T.Errorf("the database has %q", got)
	}
	if b, err := os.ReadFile(filepath.Join(s.Data, "photo.jpg")); err != nil || string(b) != "a user's photo" {
		s.T.Errorf("the user's photo: %q, %v", b, err)
	}
	s.Intact(1)
	s.DeleteTwice(h)
	s.Intact(0)
}

// KilledRestore kills Restore at every step: repeated, it brings all back.
func (s *Site) KilledRestore(k *Killer) {
	s.T.Helper()
	before := s.State()
	h := s.Create("r/1")
	n := 0
	for ; n < 200; n += Stride() {
		s.Upgrade()
		s.SpoilSQL()
		err := s.D.Restore(s.T.Context(), h, s.Subject, s.killedBy(k, n))
		if !k.Struck(n) {
			s.Must(err)
			break
		}
		if err == nil {
			s.T.Fatalf("killed at call %d, and no error", n)
		}
		if found, _ := filepath.Glob(s.Root + "/www/nextcloud*/data/photo.jpg"); len(found) != 1 {
			s.T.Fatalf("killed at call %d, the user's photo is at %q", n, found)
		}
		s.Restore(h)
		if after := s.State(); after != before {
			s.T.Fatalf("killed at call %d, the tree differs\n--- before\n%s--- after\n%s", n, before, after)
		}
		if got := s.SQL("SELECT uid FROM oc_users; SELECT count(*) FROM sqlite_master"); got != "before\n1\n" {
			s.T.Fatalf("killed at call %d, the database has %q", n, got)
		}
		bad, _ := filepath.Glob(s.Tree + ".ncfleet-*")
		for _, dir := range bad {
			if !strings.Contains(dir, ".ncfleet-bad-") {
				s.T.Errorf("killed at call %d, left: %s", n, dir)
			}
			s.Must(os.RemoveAll(dir))
		}
	}
	if n < 15 {
		s.T.Errorf("only %d points to kill at", n)
	}
	s.Verify(h)
}

// killedBy is the site's runner with the killer's commands before all others.
func (s *Site) killedBy(k *Killer, n int) Local {
	killing := k.At(n)
	for _, set := range s.Runner.Env {
		if path, ok := strings.CutPrefix(set, "PATH="); ok {
			set = "PATH=" + k.dir + ":" + path
		}
		killing.Env = append(killing.Env, set)
	}
	return killing
}

// KilledCreate kills Create, and Delete, at every step: what is listed is whole,
// a repetition ends well, and no snapshot is ever lost on the disk.
func (s *Site) KilledCreate(k *Killer) {
	s.T.Helper()
	s.SpoilOther()
	before := s.State()
	n := 0
	for ; n < 200; n += Stride() {
		key := fmt.Sprintf("r/%d", n)
		_, err := s.D.Create(s.T.Context(), s.Request(key), s.killedBy(k, n))
		created := k.Struck(n)
		if !created {
			s.Must(err)
		}
		for _, snap := range s.List() {
			s.Verify(snap.Handle)
		}
		h := s.Create(key)
		s.Verify(h)
		s.Intact(1)
		err = s.D.Delete(s.T.Context(), h, s.killedBy(k, n))
		if !k.Struck(n) {
			s.Must(err)
		}
		s.Must(s.D.Delete(s.T.Context(), h, s.Runner))
		s.Intact(0)
		if !created && !k.Struck(n) {
			break
		}
	}
	if n < 8 {
		s.T.Errorf("only %d points to kill at", n)
	}
	if after := s.State(); after != before {
		s.T.Errorf("the tree changed\n%s\n%s", before, after)
	}
}

// Conformance runs the suite of every driver, in process and as a subprocess of
// this test. Damage spoils the only kept snapshot.
func Conformance(t *testing.T, newDriver func() driver.Snapshotter, newSite func(*testing.T) *Site, damage func(s *Site)) {
	for name, newOne := range map[string]func(*testing.T) driver.Snapshotter{
		"in process": func(*testing.T) driver.Snapshotter { return newDriver() },
		"subprocess": func(t *testing.T) driver.Snapshotter { return drivertest.Subprocess(t, nil).Snapshotter() },
	} {
		t.Run(name, func(t *testing.T) {
			if name == "in process" && !All() {
				t.Skip("the subprocess shows as much; NCFLEET_TEST_ALL=1 runs both")
			}
			t.Parallel()
			s := newSite(t)
			drivertest.Snapshotter(t, drivertest.Snapshots{
				New: newOne, Subject: s.Subject, Runner: s.Runner,
				Change: func(t *testing.T) { s.T = t; s.Upgrade(); s.SpoilSQL() },
				State: func(t *testing.T) string {
					s.T = t
					return s.State() + s.SQL("SELECT uid FROM oc_users; SELECT count(*) FROM sqlite_master")
				},
				Damage: func(t *testing.T, _ driver.Handle) { s.T = t; damage(s) },
			})
		})
	}
}
