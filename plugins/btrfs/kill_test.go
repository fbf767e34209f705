package btrfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/hostcopy/hostcopytest"
)

func TestKilledRestore(t *testing.T) {
	t.Parallel()
	s, k := newSite(t, true), hostcopytest.NewKiller(t, "btrfs", "cp")
	before := s.State()
	h := s.Create("r/1")
	n := 0
	for ; n < 200; n += hostcopytest.Stride() {
		s.Upgrade()
		s.SpoilSQL()
		err := s.D.Restore(t.Context(), h, s.Subject, k.At(n))
		if !k.Struck(n) {
			s.Must(err)
			break
		}
		if err == nil {
			t.Fatalf("killed at call %d, and no error", n)
		}
		if found, _ := filepath.Glob(s.Root + "/www/nextcloud*/data/photo.jpg"); len(found) != 1 {
			t.Fatalf("killed at call %d, the user's photo is at %q", n, found)
		}
		s.Restore(h)
		if after := s.State(); after != before {
			t.Fatalf("killed at call %d, the tree differs\n--- before\n%s--- after\n%s", n, before, after)
		}
		if got := s.SQL("SELECT uid FROM oc_users; SELECT count(*) FROM sqlite_master"); got != "before\n1\n" {
			t.Fatalf("killed at call %d, the database has %q", n, got)
		}
		bad, _ := filepath.Glob(s.Tree + ".ncfleet-*")
		for _, dir := range bad {
			if !strings.Contains(dir, ".ncfleet-bad-") {
				t.Errorf("killed at call %d, left: %s", n, dir)
			}
			s.Must(os.RemoveAll(dir))
		}
	}
	if n < 15 {
		t.Errorf("only %d points to kill at", n)
	}
	s.Verify(h)
}

// TestKilledCreate kills Create, and Delete, at every step: what is listed is
// whole, a repetition ends well, and no snapshot is ever lost on the disk.
func TestKilledCreate(t *testing.T) {
	t.Parallel()
	s, k := newSite(t, false), hostcopytest.NewKiller(t, "btrfs")
	s.Must(os.WriteFile(filepath.Join(s.Root, "other/file"), []byte("changed later"), 0o644))
	before := s.State()
	n := 0
	for ; n < 200; n += hostcopytest.Stride() {
		key := fmt.Sprintf("r/%d", n)
		_, err := s.D.Create(t.Context(), s.Request(key), k.At(n))
		created := k.Struck(n)
		if !created {
			s.Must(err)
		}
		for _, snap := range s.List() {
			s.Verify(snap.Handle)
		}
		h := s.Create(key)
		s.Verify(h)
		intact(t, s, 1)
		err = s.D.Delete(t.Context(), h, k.At(n))
		if !k.Struck(n) {
			s.Must(err)
		}
		s.Must(s.D.Delete(t.Context(), h, s.Runner))
		intact(t, s, 0)
		if !created && !k.Struck(n) {
			break
		}
	}
	if n < 8 {
		t.Errorf("only %d points to kill at", n)
	}
	if after := s.State(); after != before {
		t.Errorf("the tree changed\n%s\n%s", before, after)
	}
}

// TestGivenUp: what a rollout that was given up left half-made goes with the
// next verified snapshot a day later.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	s, k := newSite(t, false), hostcopytest.NewKiller(t, "btrfs")
	s.Must(os.WriteFile(filepath.Join(s.Root, "other/file"), []byte("changed later"), 0o644))
	partial := filepath.Join(s.Subject.StateDir, "btrfs-snapshots/r+dead~partial")
	for n := 0; ; n += 2 {
		_, err := s.D.Create(t.Context(), s.Request("r/dead"), k.At(n))
		if err == nil || n > 100 {
			t.Fatalf("Create was never killed after its snapshot: %v", err)
		}
		if _, err := os.Stat(filepath.Join(partial, "volumes")); err == nil {
			break
		}
	}
	intact(t, s, 1)
	run(t, "touch", "-d", "2 days ago", partial)
	run(t, "rm", "-rf", partial[:len(partial)-len("~partial")]+"~lock")
	s.Verify(s.Create("r/next"))
	intact(t, s, 1)
}
