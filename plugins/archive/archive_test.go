package archive

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// way is one way from an instance through its snapshot and back.
type way struct {
	name              string
	inside, prepare   bool
	compress          string
	changeAfterwards  bool
	swappedBackByHand bool
}

func TestWayBack(t *testing.T) {
	for _, w := range []way{
		{name: "without prepare"},
		{name: "prepared", prepare: true},
		{name: "prepared and changed", prepare: true, changeAfterwards: true},
		{name: "data inside", inside: true, prepare: true, changeAfterwards: true},
		{name: "gzip", prepare: true, compress: "gzip", changeAfterwards: true},
		{name: "gzip, data inside, unprepared", inside: true, compress: "gzip"},
		{name: "tree is back already", inside: true, prepare: true, swappedBackByHand: true},
	} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			w.thereAndBack(newSite(t, w.inside))
		})
	}
}

func (w way) thereAndBack(s *site) {
	if w.compress != "" {
		s.must(s.a.Configure(s.t.Context(), driver.Config{"compress": w.compress}))
	}
	if w.prepare {
		time.Sleep(2100 * time.Millisecond) // let the tree grow older than the doubt
		s.must(s.a.Prepare(s.t.Context(), s.request("r1/h1"), s.run))
		s.must(s.a.Prepare(s.t.Context(), s.request("r1/h1"), s.run))
	}
	if w.changeAfterwards {
		s.changeOnline()
	}
	before := s.state()
	h := s.create("r1/h1")
	if again := s.create("r1/h1"); string(again.Data) != string(h.Data) {
		s.t.Errorf("a repeated Create answers differently: %s, %s", h.Data, again.Data)
	}
	v := s.verify(h)
	if v.Digest == "" || v.Bytes == 0 || !strings.Contains(string(h.Data), v.Digest) {
		s.t.Errorf("verification %+v", v)
	}
	if !w.swappedBackByHand {
		s.upgrade()
	}
	s.spoilSQL()
	s.restore(h)
	s.restore(h)
	if after := s.state(); after != before {
		s.t.Errorf("the tree differs\n--- before\n%s--- after\n%s", before, after)
	}
	if got := s.sql("SELECT uid FROM oc_users; SELECT count(*) FROM sqlite_master"); got != "before\n1\n" {
		s.t.Errorf("the database has %q", got)
	}
	if b, err := os.ReadFile(filepath.Join(s.data, "photo.jpg")); err != nil || string(b) != "a user's photo" {
		s.t.Errorf("the user's photo: %q, %v", b, err)
	}
	if n := len(s.leftovers()); w.swappedBackByHand && n != 0 || !w.swappedBackByHand && n != 1 {
		s.t.Errorf("beside the tree: %q", s.leftovers())
	}
	s.deleteTwice(h)
}

// deleteTwice deletes a snapshot and looks for what is left of it.
func (s *site) deleteTwice(h driver.Handle) {
	s.t.Helper()
	s.must(s.a.Delete(s.t.Context(), h, s.run))
	s.must(s.a.Delete(s.t.Context(), h, s.run))
	if left := s.leftovers(); len(left) != 0 {
		s.t.Errorf("left after Delete: %q", left)
	}
	if left, _ := os.ReadDir(filepath.Join(s.subject.StateDir, "snapshots")); len(left) != 0 {
		s.t.Errorf("left after Delete: %v", left)
	}
	if _, err := s.a.Verify(s.t.Context(), h, s.run); driver.ClassOf(err) != driver.NotFound {
		s.t.Errorf("Verify of a deleted snapshot: %v", err)
	}
}

// changeOnline does to a prepared tree whatever users and apps may do.
func (s *site) changeOnline() {
	s.t.Helper()
	s.write("apps/files/info.xml", "<INFO/>") // same size
	s.write("apps/odd/new\nline", "longer than before")
	s.write("apps/fresh/x", "new")
	s.must(os.Remove(filepath.Join(s.tree, "apps/odd/a b")))
	s.must(os.Rename(filepath.Join(s.tree, "apps/odd"), filepath.Join(s.tree, "apps/moved")))
	s.must(os.Remove(filepath.Join(s.tree, "apps/link")))
	s.write("apps/link/now-a-directory", "x")
	s.must(os.Chmod(filepath.Join(s.tree, "version.php"), 0o600))
	s.own()
}

func TestCover(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	c, err := s.a.Cover(t.Context(), s.subject, s.run)
	s.must(err)
	parts := map[driver.Part]bool{}
	for _, p := range c.Captured {
		parts[p.Part] = true
	}
	if !parts[driver.PartCode] || !parts[driver.PartConfig] || !parts[driver.PartDatabase] || len(c.Captured) != 3 {
		t.Errorf("captured %+v", c.Captured)
	}
	if len(c.Missing) != 1 || c.Missing[0].Place.Part != driver.PartData || !strings.HasPrefix(c.Missing[0].Reason, "left alone: ") {
		t.Errorf("missing %+v", c.Missing)
	}
	if c.BytesFree <= 0 || c.BytesNeed <= 0 || !c.Consistent {
		t.Errorf("%+v", c)
	}
	if left, _ := os.ReadDir(s.subject.StateDir); len(left) != 0 {
		t.Errorf("Cover left %v", left)
	}
}

// TestBusybox does without GNU tools: a host that has nothing but busybox.
func TestBusybox(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	s.run = busybox(t)
	// busybox keeps whole seconds and no owner of a link.
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	s.must(filepath.WalkDir(s.tree, func(p string, _ os.DirEntry, err error) error {
		if fi, e := os.Lstat(p); e == nil && fi.Mode().IsRegular() {
			return os.Chtimes(p, old, old)
		}
		return err
	}))
	links := regexp.MustCompile(`(Lrwxrwxrwx) \d+:\d+`)
	before := links.ReplaceAllString(s.state(), "$1")
	c, err := s.a.Cover(t.Context(), s.subject, s.run)
	s.must(err)
	if len(c.Captured) != 3 || c.BytesNeed <= 0 || !strings.Contains(c.Note, "not GNU's") {
		t.Errorf("%+v", c)
	}
	s.must(s.a.Prepare(t.Context(), s.request("r1/h1"), s.run))
	h := s.create("r1/h1")
	s.verify(h)
	s.upgrade()
	s.spoilSQL()
	s.restore(h)
	s.restore(h)
	if after := links.ReplaceAllString(s.state(), "$1"); after != before {
		t.Errorf("the tree differs\n--- before\n%s--- after\n%s", before, after)
	}
	if got := s.sql("SELECT uid FROM oc_users; SELECT count(*) FROM sqlite_master"); got != "before\n1\n" {
		t.Errorf("the database has %q", got)
	}
	if all := s.list(); len(all) != 1 || string(all[0].Handle.Data) != string(h.Data) {
		t.Errorf("listed %+v", all)
	}
	s.must(s.a.Delete(t.Context(), h, s.run))
	if left := s.leftovers(); len(left) != 0 {
		t.Errorf("left after Delete: %q", left)
	}
}

// busybox is a runner whose every tool is busybox's.
func busybox(t *testing.T) local {
	t.Helper()
	box := lookOrSkip(t, "busybox")
	dir := t.TempDir()
	open(t, dir)
	for _, applet := range strings.Fields(output(t, exec.Command(box, "--list"))) {
		if err := os.Symlink(box, filepath.Join(dir, applet)); err != nil {
			t.Fatal(err)
		}
	}
	return local{env: []string{"PATH=" + dir}, shell: filepath.Join(dir, "sh")}
}

// TestAppsAndConfigElsewhere has an app directory and the config outside the
// tree, both behind symbolic links in it.
func TestAppsAndConfigElsewhere(t *testing.T) {
	t.Parallel()
	apps := filepath.Join(t.TempDir(), "custom apps")
	real, err := filepath.EvalSymlinks(filepath.Dir(apps))
	if err != nil {
		t.Fatal(err)
	}
	apps = filepath.Join(real, "custom apps")
	open(t, real)
	s := newSite(t, false, driver.Place{Part: driver.PartApps, Path: apps}, driver.Place{Part: driver.PartApps, Path: "/nowhere/apps"})
	s.subject.Places = append(s.subject.Places, driver.Place{Part: driver.PartApps, Path: filepath.Join(s.tree, "apps")})
	s.must(os.MkdirAll(filepath.Join(apps, "notes"), 0o755))
	s.must(os.WriteFile(filepath.Join(apps, "notes/x"), []byte("1.0"), 0o644))
	etc := filepath.Join(s.root, "etc")
	s.must(os.Rename(filepath.Join(s.tree, "config"), etc))
	s.must(os.Symlink(etc, filepath.Join(s.tree, "config")))
	s.must(os.Symlink(apps, filepath.Join(s.tree, "custom_apps")))
	c, err := s.a.Cover(t.Context(), s.subject, s.run)
	s.must(err)
	if len(c.Captured) != 5 || len(c.Missing) != 2 {
		t.Errorf("captured %+v, missing %+v", c.Captured, c.Missing)
	}
	s.subject.Places = append(s.subject.Places[:5], s.subject.Places[6:]...) // without /nowhere
	before := s.state()
	h := s.create("r1/h1")
	s.verify(h)
	s.must(os.RemoveAll(apps))
	s.must(os.MkdirAll(filepath.Join(apps, "other"), 0o755))
	s.must(os.WriteFile(filepath.Join(etc, "config.php"), []byte("<?php broken"), 0o644))
	s.must(os.WriteFile(filepath.Join(etc, "extra.config.php"), []byte("<?php"), 0o644))
	s.write("version.php", "spoiled")
	s.restore(h)
	if s.state() != before {
		t.Error("the tree differs")
	}
	if b, err := os.ReadFile(filepath.Join(apps, "notes/x")); err != nil || string(b) != "1.0" {
		t.Errorf("the app: %q, %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(etc, "config.php")); err != nil || !strings.Contains(string(b), "dbtype") {
		t.Errorf("the config: %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(etc, "extra.config.php")); err == nil {
		t.Error("a config file that came later is still there")
	}
}

func TestCoverNamesWhatIsMissing(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(s *site)
		part  driver.Part
		why   string
	}{
		"no php":                {func(s *site) { s.subject.PHP = "/usr/bin/php0" }, driver.PartDatabase, "there is no /usr/bin/php0"},
		"no config":             {func(s *site) { s.must(os.Remove(filepath.Join(s.tree, "config/config.php"))) }, driver.PartConfig, "there is no config.php"},
		"broken config":         {func(s *site) { s.write("config/config.php", "<?php oops(") }, driver.PartDatabase, "cannot read the database settings"},
		"no database file":      {func(s *site) { s.must(os.Remove(s.db())) }, driver.PartDatabase, "cannot read the database"},
		"another type":          {func(s *site) { s.subject.DatabaseKind = "mysql" }, driver.PartDatabase, "survey the host again"},
		"unsupported":           {func(s *site) { s.config("'dbtype' => 'oci'") }, driver.PartDatabase, "oci are not supported"},
		"odd prefix":            {func(s *site) { s.config(`'dbtype' => 'mysql', 'dbtableprefix' => "x' OR '1"`) }, driver.PartDatabase, "does not allow"},
		"snapshots in the tree": {func(s *site) { s.subject.StateDir = filepath.Join(s.tree, "themes") }, driver.PartCode, "is inside"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, false)
			tc.spoil(s)
			c, err := s.a.Cover(t.Context(), s.subject, s.run)
			s.must(err)
			for _, h := range c.Missing {
				if h.Place.Part == tc.part && strings.Contains(h.Reason, tc.why) {
					return
				}
			}
			t.Errorf("missing %+v, want %s: …%s…", c.Missing, tc.part, tc.why)
		})
	}
}

func TestNames(t *testing.T) {
	for key, want := range map[string]string{"r1/h1": "r1+h1", "a": "a", "2026-11/a.b_c/d": "2026-11+a.b_c+d"} {
		if got, err := nameOf(key); err != nil || got != want {
			t.Errorf("nameOf(%q) = %q, %v, want %q", key, got, err, want)
		}
	}
	for _, key := range []string{"", ".", "../x", "-rf", "a b", "a+b", "a~b", "a\nb", "$(x)"} {
		if got, err := nameOf(key); err == nil {
			t.Errorf("nameOf(%q) = %q, want a refusal", key, got)
		}
	}
	long, err := nameOf(strings.Repeat("x/", 200))
	other, err2 := nameOf(strings.Repeat("x/", 201))
	if err != nil || err2 != nil || len(long) > maxName || long == other {
		t.Errorf("long keys: %q, %q, %v, %v", long, other, err, err2)
	}
}

func TestConfigureRefuses(t *testing.T) {
	for _, c := range []driver.Config{{"directory": "relative"}, {"directory": "/a/../b"}, {"directory": "/"}, {"keep": 0.0}, {"keep": 1.5}, {"compress": "lzma"}} {
		if err := New().Configure(t.Context(), c); driver.ClassOf(err) != driver.Permanent {
			t.Errorf("Configure(%v): %v, want a refusal", c, err)
		}
	}
}

func TestOddPlacesAreRefused(t *testing.T) {
	for _, path := range []string{"relative", "/a/../b", "/", "/a\nb", ""} {
		s := driver.Subject{Host: "h", StateDir: "/var/lib/x", Places: []driver.Place{{Part: driver.PartCode, Path: path}}}
		if _, err := New().Cover(t.Context(), s, nil); driver.ClassOf(err) != driver.Permanent {
			t.Errorf("Cover of %q: %v, want a refusal", path, err)
		}
	}
}
