package archive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

func TestWayBack(t *testing.T) {
	for _, tc := range []struct {
		name              string
		inside, prepare   bool
		compress          string
		changeAfterwards  bool
		swappedBackByHand bool
	}{
		{name: "without prepare"},
		{name: "prepared", prepare: true},
		{name: "prepared and changed", prepare: true, changeAfterwards: true},
		{name: "data inside", inside: true, prepare: true, changeAfterwards: true},
		{name: "gzip", prepare: true, compress: "gzip", changeAfterwards: true},
		{name: "gzip, data inside, unprepared", inside: true, compress: "gzip"},
		{name: "tree is back already", inside: true, prepare: true, swappedBackByHand: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t, tc.inside)
			if tc.compress != "" {
				s.must(s.a.Configure(t.Context(), driver.Config{"compress": tc.compress}))
			}
			if tc.prepare {
				time.Sleep(2100 * time.Millisecond) // let the tree grow older than the doubt
				s.must(s.a.Prepare(t.Context(), s.request("r1/h1"), s.run))
				s.must(s.a.Prepare(t.Context(), s.request("r1/h1"), s.run))
			}
			if tc.changeAfterwards {
				s.changeOnline()
			}
			before := s.state()
			h := s.create("r1/h1")
			if again := s.create("r1/h1"); string(again.Data) != string(h.Data) {
				t.Errorf("a repeated Create answers differently: %s, %s", h.Data, again.Data)
			}
			v := s.verify(h)
			if v.Digest == "" || v.Bytes == 0 || !strings.Contains(string(h.Data), v.Digest) {
				t.Errorf("verification %+v", v)
			}
			if !tc.swappedBackByHand {
				s.upgrade()
			}
			s.spoilSQL()
			s.restore(h)
			s.restore(h)
			if after := s.state(); after != before {
				t.Errorf("the tree differs\n--- before\n%s--- after\n%s", before, after)
			}
			if got := s.sql("SELECT uid FROM oc_users; SELECT count(*) FROM sqlite_master"); got != "before\n1\n" {
				t.Errorf("the database has %q", got)
			}
			if b, err := os.ReadFile(filepath.Join(s.data, "photo.jpg")); err != nil || string(b) != "a user's photo" {
				t.Errorf("the user's photo: %q, %v", b, err)
			}
			if n := len(s.leftovers()); tc.swappedBackByHand && n != 0 || !tc.swappedBackByHand && n != 1 {
				t.Errorf("beside the tree: %q", s.leftovers())
			}
			s.must(s.a.Delete(t.Context(), h, s.run))
			s.must(s.a.Delete(t.Context(), h, s.run))
			if left := s.leftovers(); len(left) != 0 {
				t.Errorf("left after Delete: %q", left)
			}
			if left, _ := os.ReadDir(filepath.Join(s.subject.StateDir, "snapshots")); len(left) != 0 {
				t.Errorf("left after Delete: %v", left)
			}
			if _, err := s.a.Verify(t.Context(), h, s.run); driver.ClassOf(err) != driver.NotFound {
				t.Errorf("Verify of a deleted snapshot: %v", err)
			}
		})
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
