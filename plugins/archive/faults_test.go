package archive

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/hostcopy/hostcopytest"
)

func TestKilledRestore(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	s.ChangeOnline()
	s.KilledRestore(hostcopytest.NewKiller(t))
}

func TestKilledCreate(t *testing.T) {
	t.Parallel()
	s, k := newSite(t, false), hostcopytest.NewKiller(t)
	before := s.State()
	for n := 0; n < 200; n += hostcopytest.Stride() {
		key := fmt.Sprintf("r/%d", n)
		err := s.D.Prepare(t.Context(), s.Request(key), k.At(n))
		if !k.Struck(n) {
			s.Must(err)
		}
		prepared := !k.Struck(n)
		_, err = s.D.Create(t.Context(), s.Request(key), k.At(n))
		if !k.Struck(n) {
			s.Must(err)
			if n < 8 {
				t.Errorf("only %d points to kill at", n)
			}
			break
		}
		if err == nil && prepared {
			t.Fatalf("killed at call %d, and no error", n)
		}
		for _, snap := range s.List() {
			s.Verify(snap.Handle) // whatever is listed is whole
		}
		h := s.Create(key)
		s.Verify(h)
		if left, _ := filepath.Glob(s.Subject.StateDir + "/snapshots/*~partial"); len(left) != 0 {
			t.Errorf("killed at call %d, left: %q", n, left)
		}
		s.Must(s.D.Delete(t.Context(), h, s.Runner))
	}
	if after := s.State(); after != before {
		t.Errorf("the tree changed\n%s\n%s", before, after)
	}
}

func TestDamage(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	h := s.Create("r/1")
	s.Upgrade()
	upgraded := s.State()
	dir := filepath.Join(s.Subject.StateDir, "snapshots/r+1")
	files, err := os.ReadDir(dir)
	s.Must(err)
	tried := 0
	for _, f := range files {
		name := filepath.Join(dir, f.Name())
		if fi, err := f.Info(); err != nil || fi.Size() == 0 {
			continue
		}
		tried++
		for damage, do := range map[string]func(){
			"flipped":   func() { hostcopytest.Flip(t, name) },
			"truncated": func() { s.Must(os.Truncate(name, 1)) },
			"removed":   func() { s.Must(os.Remove(name)) },
		} {
			good, err := os.ReadFile(name)
			s.Must(err)
			do()
			v, err := s.D.Verify(t.Context(), h, s.Runner)
			if err == nil && v.Verified {
				t.Errorf("%s %s: verified", f.Name(), damage)
			}
			if err := s.D.Restore(t.Context(), h, s.Subject, s.Runner); err == nil {
				t.Errorf("%s %s: restored", f.Name(), damage)
			}
			s.Must(os.WriteFile(name, good, 0o600))
		}
	}
	if tried < 6 {
		t.Errorf("only %d files were damaged", tried)
	}
	if s.State() != upgraded {
		t.Error("a refused restore changed the tree")
	}
	s.Verify(h)
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	hostcopytest.SmallDisk(t, s.Subject.StateDir, 32)
	before := s.State()
	if err := s.D.Prepare(t.Context(), s.Request("r/1"), s.Runner); driver.ClassOf(err) != driver.Quota {
		t.Errorf("Prepare on a full disk: %v", err)
	}
	if _, err := s.D.Create(t.Context(), s.Request("r/1"), s.Runner); driver.ClassOf(err) != driver.Quota {
		t.Errorf("Create on a full disk: %v", err)
	}
	if all := s.List(); len(all) != 0 {
		t.Errorf("a half-made snapshot is listed: %+v", all)
	}
	c, err := s.D.Cover(t.Context(), s.Subject, s.Runner)
	s.Must(err)
	if c.BytesFree >= c.BytesNeed {
		t.Errorf("free %d, needed %d", c.BytesFree, c.BytesNeed)
	}
	hostcopytest.Output(t, exec.Command("mount", "-o", "remount,size=20m", s.Subject.StateDir))
	s.Verify(s.Create("r/1"))
	if s.State() != before {
		t.Error("the tree changed")
	}
}

func TestDiskFullWhileRestoring(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	www := filepath.Dir(s.Tree)
	s.Must(os.Rename(www, www+".away"))
	hostcopytest.SmallDisk(t, www, 400)
	hostcopytest.Output(t, exec.Command("cp", "-a", www+".away/nextcloud", www))
	s.Must(os.RemoveAll(www + ".away"))
	before := s.State()
	h := s.Create("r/1")
	s.Upgrade()
	upgraded := s.State()
	fill := filepath.Join(www, "fill")
	_ = os.WriteFile(fill, make([]byte, 1<<20), 0o600) // as much as fits
	if err := s.D.Restore(t.Context(), h, s.Subject, s.Runner); driver.ClassOf(err) != driver.Quota {
		t.Errorf("Restore on a full disk: %v", err)
	}
	if s.State() != upgraded {
		t.Error("the refused restore changed the tree")
	}
	s.Must(os.Remove(fill))
	s.Restore(h)
	if s.State() != before {
		t.Error("the restore after making room differs")
	}
}

func TestUnfitTrees(t *testing.T) {
	hole := func(s *hostcopytest.Site) string {
		t.Helper()
		c, err := s.D.Cover(t.Context(), s.Subject, s.Runner)
		s.Must(err)
		for _, h := range c.Missing {
			if h.Place.Part == driver.PartCode {
				return h.Reason
			}
		}
		return ""
	}
	t.Run("symbolic link", func(t *testing.T) {
		s := newSite(t, false)
		s.Must(os.Rename(s.Tree, s.Tree+"-28"))
		s.Must(os.Symlink(s.Tree+"-28", s.Tree))
		if why := hole(s); !strings.Contains(why, "is a symbolic link to "+s.Tree+"-28") {
			t.Errorf("reason %q", why)
		}
		if _, err := s.D.Create(t.Context(), s.Request("r/1"), s.Runner); err == nil || driver.ClassOf(err) != driver.Permanent {
			t.Errorf("Create: %v", err)
		}
	})
	t.Run("mount point inside", func(t *testing.T) {
		s := newSite(t, false)
		hostcopytest.SmallDisk(t, filepath.Join(s.Tree, "themes/a b"), 100)
		if why := hole(s); !strings.Contains(why, "contains the mount point "+s.Tree+"/themes/a b") {
			t.Errorf("reason %q", why)
		}
		if _, err := s.D.Create(t.Context(), s.Request("r/1"), s.Runner); err == nil {
			t.Error("Create does not refuse")
		}
	})
	t.Run("not there", func(t *testing.T) {
		s := newSite(t, false)
		s.Subject.Places[0].Path += "x"
		if why := hole(s); !strings.Contains(why, "is not a directory on this host") {
			t.Errorf("reason %q", why)
		}
	})
}

func TestUsersFilesAreNeverDeleted(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	h := s.Create("r/1")
	s.Upgrade()
	s.Restore(h)
	// Whatever put it there: a bad tree with users' files stays.
	bad := s.Tree + ".ncfleet-bad-r+1"
	s.Must(os.MkdirAll(filepath.Join(bad, "data"), 0o755))
	if err := s.D.Delete(t.Context(), h, s.Runner); err == nil || !strings.Contains(err.Error(), "holds users' files") {
		t.Errorf("Delete: %v", err)
	}
	if err := s.D.Restore(t.Context(), h, s.Subject, s.Runner); err == nil || !strings.Contains(err.Error(), "move the right one") {
		t.Errorf("Restore: %v", err)
	}
	s.Must(os.Remove(filepath.Join(bad, "data")))
	s.Must(os.Rename(s.Data, filepath.Join(s.Root, "lost")))
	if err := s.D.Restore(t.Context(), h, s.Subject, s.Runner); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("Restore without the data directory: %v", err)
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	keys := func() string {
		var got []string
		for _, snap := range s.List() {
			got = append(got, snap.Handle.Key)
		}
		return strings.Join(got, " ")
	}
	other := s.Request("r0/other")
	other.Subject.Instance = "other"
	ho, err := s.D.Create(t.Context(), other, s.Runner)
	s.Must(err)
	s.Verify(ho)
	for i, want := range []string{"r1/h", "r2/h r1/h", "r3/h r2/h", "r4/h r3/h"} {
		s.Verify(s.Create(fmt.Sprintf("r%d/h", i+1)))
		if got := keys(); got != want {
			t.Errorf("kept %q, want %q", got, want)
		}
	}
	// One that was never verified does not push out the newest verified one.
	s.Must(s.D.Configure(t.Context(), driver.Config{"keep": float64(1)}))
	h5, h6 := s.Create("r5/h"), s.Create("r6/h")
	hostcopytest.Flip(t, filepath.Join(s.Subject.StateDir, "snapshots/r6+h/tree-0.tar"))
	if v, err := s.D.Verify(t.Context(), h6, s.Runner); err != nil || v.Verified {
		t.Errorf("%+v, %v", v, err)
	}
	if got := keys(); got != "r6/h r5/h r4/h r3/h" {
		t.Errorf("kept %q", got)
	}
	s.Verify(h5)
	if got := keys(); got != "r6/h r5/h" {
		t.Errorf("kept %q", got)
	}
	s.Verify(ho)
}
