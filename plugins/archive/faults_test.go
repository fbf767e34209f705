package archive

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// killer puts commands before the real ones that kill the whole script at the
// nth call of any of them: before its effect when n is even, else after it.
type killer struct {
	t   *testing.T
	dir string
}

func newKiller(t *testing.T) *killer {
	t.Helper()
	k := &killer{t: t, dir: t.TempDir()}
	open(t, k.dir)
	for _, name := range []string{"mv", "rm", "mkdir", "tar", "sync", "ln", "xargs", "chmod", "mariadb"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		script := fmt.Sprintf(`#!/bin/sh
c=$(cat %[1]s/count); echo $((c + 1)) >%[1]s/count
n=$(cat %[1]s/at)
[ "$c" = "$n" ] && [ $((n %% 2)) = 0 ] && kill -9 0
%[2]s "$@"
e=$?
[ "$c" = "$n" ] && kill -9 0
exit $e
`, k.dir, path)
		if err := os.WriteFile(filepath.Join(k.dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// at makes the killer strike at the nth call and returns a runner.
func (k *killer) at(n int) local {
	k.t.Helper()
	for file, value := range map[string]int{"count": 0, "at": n} {
		p := filepath.Join(k.dir, file)
		if err := os.WriteFile(p, []byte(strconv.Itoa(value)), 0o666); err != nil {
			k.t.Fatal(err)
		}
		if err := os.Chmod(p, 0o666); err != nil {
			k.t.Fatal(err)
		}
	}
	return local{env: []string{"PATH=" + k.dir + ":" + os.Getenv("PATH")}}
}

func (k *killer) struck(n int) bool {
	k.t.Helper()
	b, err := os.ReadFile(filepath.Join(k.dir, "count"))
	if err != nil {
		k.t.Fatal(err)
	}
	c, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		k.t.Fatalf("counter %q", b)
	}
	return c > n
}

// all tells whether to take the time for everything.
func all() bool { return os.Getenv("NCFLEET_TEST_ALL") != "" }

// stride is the distance of the points to kill at. By default they are a
// sample, half of them before and half after a command's effect.
func stride() int {
	if all() {
		return 1
	}
	return 3
}

func TestKilledRestore(t *testing.T) {
	t.Parallel()
	s, k := newSite(t, true), newKiller(t)
	s.changeOnline()
	before := s.state()
	h := s.create("r/1")
	n := 0
	for ; n < 200; n += stride() {
		s.upgrade()
		s.spoilSQL()
		err := s.a.Restore(t.Context(), h, s.subject, k.at(n))
		if !k.struck(n) {
			s.must(err)
			break
		}
		if err == nil {
			t.Fatalf("killed at call %d, and no error", n)
		}
		if found, _ := filepath.Glob(s.root + "/www/nextcloud*/data/photo.jpg"); len(found) != 1 {
			t.Fatalf("killed at call %d, the user's photo is at %q", n, found)
		}
		s.restore(h)
		if after := s.state(); after != before {
			t.Fatalf("killed at call %d, the tree differs\n--- before\n%s--- after\n%s", n, before, after)
		}
		if got := s.sql("SELECT uid FROM oc_users; SELECT count(*) FROM sqlite_master"); got != "before\n1\n" {
			t.Fatalf("killed at call %d, the database has %q", n, got)
		}
		bad, _ := filepath.Glob(s.tree + ".ncfleet-*")
		for _, dir := range bad {
			if !strings.Contains(dir, ".ncfleet-bad-") {
				t.Errorf("killed at call %d, left: %s", n, dir)
			}
			s.must(os.RemoveAll(dir))
		}
	}
	if n < 15 {
		t.Errorf("only %d points to kill at", n)
	}
	s.verify(h)
}

func TestKilledCreate(t *testing.T) {
	t.Parallel()
	s, k := newSite(t, false), newKiller(t)
	before := s.state()
	for n := 0; n < 200; n += stride() {
		key := fmt.Sprintf("r/%d", n)
		err := s.a.Prepare(t.Context(), s.request(key), k.at(n))
		if !k.struck(n) {
			s.must(err)
		}
		prepared := !k.struck(n)
		_, err = s.a.Create(t.Context(), s.request(key), k.at(n))
		if !k.struck(n) {
			s.must(err)
			if n < 8 {
				t.Errorf("only %d points to kill at", n)
			}
			break
		}
		if err == nil && prepared {
			t.Fatalf("killed at call %d, and no error", n)
		}
		for _, snap := range s.list() {
			s.verify(snap.Handle) // whatever is listed is whole
		}
		h := s.create(key)
		s.verify(h)
		if left, _ := filepath.Glob(s.subject.StateDir + "/snapshots/*~partial"); len(left) != 0 {
			t.Errorf("killed at call %d, left: %q", n, left)
		}
		s.must(s.a.Delete(t.Context(), h, s.run))
	}
	if after := s.state(); after != before {
		t.Errorf("the tree changed\n%s\n%s", before, after)
	}
}

func (s *site) list() []driver.Snapshot {
	s.t.Helper()
	all, err := s.a.List(s.t.Context(), s.subject, s.run)
	s.must(err)
	return all
}

func TestDamage(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	h := s.create("r/1")
	s.upgrade()
	upgraded := s.state()
	dir := filepath.Join(s.subject.StateDir, "snapshots/r+1")
	files, err := os.ReadDir(dir)
	s.must(err)
	tried := 0
	for _, f := range files {
		name := filepath.Join(dir, f.Name())
		if fi, err := f.Info(); err != nil || fi.Size() == 0 {
			continue
		}
		tried++
		for damage, do := range map[string]func(){
			"flipped":   func() { flip(t, name) },
			"truncated": func() { s.must(os.Truncate(name, 1)) },
			"removed":   func() { s.must(os.Remove(name)) },
		} {
			good, err := os.ReadFile(name)
			s.must(err)
			do()
			v, err := s.a.Verify(t.Context(), h, s.run)
			if err == nil && v.Verified {
				t.Errorf("%s %s: verified", f.Name(), damage)
			}
			if err := s.a.Restore(t.Context(), h, s.subject, s.run); err == nil {
				t.Errorf("%s %s: restored", f.Name(), damage)
			}
			s.must(os.WriteFile(name, good, 0o600))
		}
	}
	if tried < 6 {
		t.Errorf("only %d files were damaged", tried)
	}
	if s.state() != upgraded {
		t.Error("a refused restore changed the tree")
	}
	s.verify(h)
}

// smallDisk mounts a file system of some kilobytes.
func smallDisk(t *testing.T, dir string, kilobytes int) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dk,mode=755", kilobytes), "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a tmpfs here: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	smallDisk(t, s.subject.StateDir, 32)
	before := s.state()
	if err := s.a.Prepare(t.Context(), s.request("r/1"), s.run); driver.ClassOf(err) != driver.Quota {
		t.Errorf("Prepare on a full disk: %v", err)
	}
	if _, err := s.a.Create(t.Context(), s.request("r/1"), s.run); driver.ClassOf(err) != driver.Quota {
		t.Errorf("Create on a full disk: %v", err)
	}
	if all := s.list(); len(all) != 0 {
		t.Errorf("a half-made snapshot is listed: %+v", all)
	}
	c, err := s.a.Cover(t.Context(), s.subject, s.run)
	s.must(err)
	if c.BytesFree >= c.BytesNeed {
		t.Errorf("free %d, needed %d", c.BytesFree, c.BytesNeed)
	}
	output(t, exec.Command("mount", "-o", "remount,size=20m", s.subject.StateDir))
	s.verify(s.create("r/1"))
	if s.state() != before {
		t.Error("the tree changed")
	}
}

func TestDiskFullWhileRestoring(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	www := filepath.Dir(s.tree)
	s.must(os.Rename(www, www+".away"))
	smallDisk(t, www, 400)
	output(t, exec.Command("cp", "-a", www+".away/nextcloud", www))
	s.must(os.RemoveAll(www + ".away"))
	before := s.state()
	h := s.create("r/1")
	s.upgrade()
	upgraded := s.state()
	fill := filepath.Join(www, "fill")
	_ = os.WriteFile(fill, make([]byte, 1<<20), 0o600) // as much as fits
	if err := s.a.Restore(t.Context(), h, s.subject, s.run); driver.ClassOf(err) != driver.Quota {
		t.Errorf("Restore on a full disk: %v", err)
	}
	if s.state() != upgraded {
		t.Error("the refused restore changed the tree")
	}
	s.must(os.Remove(fill))
	s.restore(h)
	if s.state() != before {
		t.Error("the restore after making room differs")
	}
}

func TestUnfitTrees(t *testing.T) {
	hole := func(s *site) string {
		t.Helper()
		c, err := s.a.Cover(t.Context(), s.subject, s.run)
		s.must(err)
		for _, h := range c.Missing {
			if h.Place.Part == driver.PartCode {
				return h.Reason
			}
		}
		return ""
	}
	t.Run("symbolic link", func(t *testing.T) {
		s := newSite(t, false)
		s.must(os.Rename(s.tree, s.tree+"-28"))
		s.must(os.Symlink(s.tree+"-28", s.tree))
		if why := hole(s); !strings.Contains(why, "is a symbolic link to "+s.tree+"-28") {
			t.Errorf("reason %q", why)
		}
		if _, err := s.a.Create(t.Context(), s.request("r/1"), s.run); err == nil || driver.ClassOf(err) != driver.Permanent {
			t.Errorf("Create: %v", err)
		}
	})
	t.Run("mount point inside", func(t *testing.T) {
		s := newSite(t, false)
		smallDisk(t, filepath.Join(s.tree, "themes/a b"), 100)
		if why := hole(s); !strings.Contains(why, "contains the mount point "+s.tree+"/themes/a b") {
			t.Errorf("reason %q", why)
		}
		if _, err := s.a.Create(t.Context(), s.request("r/1"), s.run); err == nil {
			t.Error("Create does not refuse")
		}
	})
	t.Run("not there", func(t *testing.T) {
		s := newSite(t, false)
		s.subject.Places[0].Path += "x"
		if why := hole(s); !strings.Contains(why, "is not a directory on this host") {
			t.Errorf("reason %q", why)
		}
	})
}

func TestUsersFilesAreNeverDeleted(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	h := s.create("r/1")
	s.upgrade()
	s.restore(h)
	// Whatever put it there: a bad tree with users' files stays.
	bad := s.tree + ".ncfleet-bad-r+1"
	s.must(os.MkdirAll(filepath.Join(bad, "data"), 0o755))
	if err := s.a.Delete(t.Context(), h, s.run); err == nil || !strings.Contains(err.Error(), "holds users' files") {
		t.Errorf("Delete: %v", err)
	}
	if err := s.a.Restore(t.Context(), h, s.subject, s.run); err == nil || !strings.Contains(err.Error(), "move the right one") {
		t.Errorf("Restore: %v", err)
	}
	s.must(os.Remove(filepath.Join(bad, "data")))
	s.must(os.Rename(s.data, filepath.Join(s.root, "lost")))
	if err := s.a.Restore(t.Context(), h, s.subject, s.run); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("Restore without the data directory: %v", err)
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	keys := func() string {
		var got []string
		for _, snap := range s.list() {
			got = append(got, snap.Handle.Key)
		}
		return strings.Join(got, " ")
	}
	other := s.request("r0/other")
	other.Subject.Instance = "other"
	ho, err := s.a.Create(t.Context(), other, s.run)
	s.must(err)
	s.verify(ho)
	for i, want := range []string{"r1/h", "r2/h r1/h", "r3/h r2/h", "r4/h r3/h"} {
		s.verify(s.create(fmt.Sprintf("r%d/h", i+1)))
		if got := keys(); got != want {
			t.Errorf("kept %q, want %q", got, want)
		}
	}
	// One that was never verified does not push out the newest verified one.
	s.must(s.a.Configure(t.Context(), driver.Config{"keep": float64(1)}))
	h5, h6 := s.create("r5/h"), s.create("r6/h")
	flip(t, filepath.Join(s.subject.StateDir, "snapshots/r6+h/tree-0.tar"))
	if v, err := s.a.Verify(t.Context(), h6, s.run); err != nil || v.Verified {
		t.Errorf("%+v, %v", v, err)
	}
	if got := keys(); got != "r6/h r5/h r4/h r3/h" {
		t.Errorf("kept %q", got)
	}
	s.verify(h5)
	if got := keys(); got != "r6/h r5/h" {
		t.Errorf("kept %q", got)
	}
	s.verify(ho)
}
