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
	"github.com/ncfleet/ncfleet/plugins/hostcopy/hostcopytest"
)

func newSite(t *testing.T, dataInside bool, places ...driver.Place) *hostcopytest.Site {
	t.Helper()
	return hostcopytest.NewSite(t, hostcopytest.Options{Driver: New(), DataInside: dataInside, Places: places})
}

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

func (w way) thereAndBack(s *hostcopytest.Site) {
	if w.compress != "" {
		s.Must(s.D.Configure(s.T.Context(), driver.Config{"compress": w.compress}))
	}
	if w.prepare {
		time.Sleep(2100 * time.Millisecond) // let the tree grow older than the doubt
		s.Must(s.D.Prepare(s.T.Context(), s.Request("r1/h1"), s.Runner))
		s.Must(s.D.Prepare(s.T.Context(), s.Request("r1/h1"), s.Runner))
	}
	if w.changeAfterwards {
		s.ChangeOnline()
	}
	before := s.State()
	h := s.Create("r1/h1")
	if again := s.Create("r1/h1"); string(again.Data) != string(h.Data) {
		s.T.Errorf("a repeated Create answers differently: %s, %s", h.Data, again.Data)
	}
	v := s.Verify(h)
	if v.Digest == "" || v.Bytes == 0 || !strings.Contains(string(h.Data), v.Digest) {
		s.T.Errorf("verification %+v", v)
	}
	if !w.swappedBackByHand {
		s.Upgrade()
	}
	s.SpoilSQL()
	s.Restore(h)
	s.Restore(h)
	if after := s.State(); after != before {
		s.T.Errorf("the tree differs\n--- before\n%s--- after\n%s", before, after)
	}
	if got := s.SQL("SELECT uid FROM oc_users; SELECT count(*) FROM sqlite_master"); got != "before\n1\n" {
		s.T.Errorf("the database has %q", got)
	}
	if b, err := os.ReadFile(filepath.Join(s.Data, "photo.jpg")); err != nil || string(b) != "a user's photo" {
		s.T.Errorf("the user's photo: %q, %v", b, err)
	}
	if n := len(s.Leftovers()); w.swappedBackByHand && n != 0 || !w.swappedBackByHand && n != 1 {
		s.T.Errorf("beside the tree: %q", s.Leftovers())
	}
	s.DeleteTwice(h)
}

func TestCover(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	c, err := s.D.Cover(t.Context(), s.Subject, s.Runner)
	s.Must(err)
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
	if left, _ := os.ReadDir(s.Subject.StateDir); len(left) != 0 {
		t.Errorf("Cover left %v", left)
	}
}

// TestBusybox does without GNU tools: a host that has nothing but busybox.
func TestBusybox(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	s.Runner = busybox(t)
	// busybox keeps whole seconds and no owner of a link.
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	s.Must(filepath.WalkDir(s.Tree, func(p string, _ os.DirEntry, err error) error {
		if fi, e := os.Lstat(p); e == nil && fi.Mode().IsRegular() {
			return os.Chtimes(p, old, old)
		}
		return err
	}))
	links := regexp.MustCompile(`(Lrwxrwxrwx) \d+:\d+`)
	before := links.ReplaceAllString(s.State(), "$1")
	c, err := s.D.Cover(t.Context(), s.Subject, s.Runner)
	s.Must(err)
	if len(c.Captured) != 3 || c.BytesNeed <= 0 || !strings.Contains(c.Note, "not GNU's") {
		t.Errorf("%+v", c)
	}
	s.Must(s.D.Prepare(t.Context(), s.Request("r1/h1"), s.Runner))
	h := s.Create("r1/h1")
	s.Verify(h)
	s.Upgrade()
	s.SpoilSQL()
	s.Restore(h)
	s.Restore(h)
	if after := links.ReplaceAllString(s.State(), "$1"); after != before {
		t.Errorf("the tree differs\n--- before\n%s--- after\n%s", before, after)
	}
	if got := s.SQL("SELECT uid FROM oc_users; SELECT count(*) FROM sqlite_master"); got != "before\n1\n" {
		t.Errorf("the database has %q", got)
	}
	if all := s.List(); len(all) != 1 || string(all[0].Handle.Data) != string(h.Data) {
		t.Errorf("listed %+v", all)
	}
	s.Must(s.D.Delete(t.Context(), h, s.Runner))
	if left := s.Leftovers(); len(left) != 0 {
		t.Errorf("left after Delete: %q", left)
	}
}

// busybox is a runner whose every tool is busybox's.
func busybox(t *testing.T) hostcopytest.Local {
	t.Helper()
	box := hostcopytest.LookOrSkip(t, "busybox")
	dir := t.TempDir()
	hostcopytest.Open(t, dir)
	for _, applet := range strings.Fields(hostcopytest.Output(t, exec.Command(box, "--list"))) {
		if err := os.Symlink(box, filepath.Join(dir, applet)); err != nil {
			t.Fatal(err)
		}
	}
	return hostcopytest.Local{Env: []string{"PATH=" + dir}, Shell: filepath.Join(dir, "sh")}
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
	hostcopytest.Open(t, real)
	s := newSite(t, false, driver.Place{Part: driver.PartApps, Path: apps}, driver.Place{Part: driver.PartApps, Path: "/nowhere/apps"})
	s.Subject.Places = append(s.Subject.Places, driver.Place{Part: driver.PartApps, Path: filepath.Join(s.Tree, "apps")})
	s.Must(os.MkdirAll(filepath.Join(apps, "notes"), 0o755))
	s.Must(os.WriteFile(filepath.Join(apps, "notes/x"), []byte("1.0"), 0o644))
	etc := filepath.Join(s.Root, "etc")
	s.Must(os.Rename(filepath.Join(s.Tree, "config"), etc))
	s.Must(os.Symlink(etc, filepath.Join(s.Tree, "config")))
	s.Must(os.Symlink(apps, filepath.Join(s.Tree, "custom_apps")))
	c, err := s.D.Cover(t.Context(), s.Subject, s.Runner)
	s.Must(err)
	if len(c.Captured) != 5 || len(c.Missing) != 2 {
		t.Errorf("captured %+v, missing %+v", c.Captured, c.Missing)
	}
	s.Subject.Places = append(s.Subject.Places[:5], s.Subject.Places[6:]...) // without /nowhere
	before := s.State()
	h := s.Create("r1/h1")
	s.Verify(h)
	s.Must(os.RemoveAll(apps))
	s.Must(os.MkdirAll(filepath.Join(apps, "other"), 0o755))
	s.Must(os.WriteFile(filepath.Join(etc, "config.php"), []byte("<?php broken"), 0o644))
	s.Must(os.WriteFile(filepath.Join(etc, "extra.config.php"), []byte("<?php"), 0o644))
	s.Write("version.php", "spoiled")
	s.Restore(h)
	if s.State() != before {
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
		spoil func(s *hostcopytest.Site)
		part  driver.Part
		why   string
	}{
		"no php":                {func(s *hostcopytest.Site) { s.Subject.PHP = "/usr/bin/php0" }, driver.PartDatabase, "there is no /usr/bin/php0"},
		"no config":             {func(s *hostcopytest.Site) { s.Must(os.Remove(filepath.Join(s.Tree, "config/config.php"))) }, driver.PartConfig, "there is no config.php"},
		"broken config":         {func(s *hostcopytest.Site) { s.Write("config/config.php", "<?php oops(") }, driver.PartDatabase, "cannot read the database settings"},
		"no database file":      {func(s *hostcopytest.Site) { s.Must(os.Remove(s.DB())) }, driver.PartDatabase, "cannot read the database"},
		"another type":          {func(s *hostcopytest.Site) { s.Subject.DatabaseKind = "mysql" }, driver.PartDatabase, "survey the host again"},
		"unsupported":           {func(s *hostcopytest.Site) { s.Config("'dbtype' => 'oci'") }, driver.PartDatabase, "oci are not supported"},
		"odd prefix":            {func(s *hostcopytest.Site) { s.Config(`'dbtype' => 'mysql', 'dbtableprefix' => "x' OR '1"`) }, driver.PartDatabase, "does not allow"},
		"snapshots in the tree": {func(s *hostcopytest.Site) { s.Subject.StateDir = filepath.Join(s.Tree, "themes") }, driver.PartCode, "is inside"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, false)
			tc.spoil(s)
			c, err := s.D.Cover(t.Context(), s.Subject, s.Runner)
			s.Must(err)
			for _, h := range c.Missing {
				if h.Place.Part == tc.part && strings.Contains(h.Reason, tc.why) {
					return
				}
			}
			t.Errorf("missing %+v, want %s: …%s…", c.Missing, tc.part, tc.why)
		})
	}
}
