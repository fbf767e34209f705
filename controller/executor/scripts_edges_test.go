package executor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTwoHopsBack takes two hops back at once, killed on the way or not.
func TestTwoHopsBack(t *testing.T) {
	t.Parallel()
	for _, perl := range []string{"", "yes"} {
		t.Run("noperl="+perl, func(t *testing.T) {
			t.Parallel()
			total := twoHopsBack(t, perl, never)
			for _, n := range kills(total, 2) {
				twoHopsBack(t, perl, n)
			}
		})
	}
}

func twoHopsBack(t *testing.T, noPerl string, n int) int {
	s := newSite(t)
	s.env = append(s.env, "NCFLEET_NO_PERL="+noPerl)
	s.must("close.sh")
	before := digest(t, s.tree)
	s.twoHops()
	env, called := s.killers(n)
	_, _, out := s.shell("sh", env, "swapback.sh", "--keep", s.kept, "--from", "28.0.2")
	places := called()
	for range 2 {
		s.must("swapback.sh", "--keep", s.kept, "--from", "28.0.2")
	}
	if after := digest(t, s.tree); after != before {
		t.Errorf("killed at %d: not as before:\n%s\nwas\n%s\n%s", n, after, before, out)
	}
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("killed at %d: left lying: %q", n, left)
	}
	s.must("unstage.sh", "--staged", s.staged)
	if left, _ := filepath.Glob(s.tree + ".ncfleet-*"); len(left) > 0 {
		t.Errorf("killed at %d: not removed: %q", n, left)
	}
	return places
}

// TestSwapBackWithoutKept: tidy removed the first kept tree, and was killed
// before it came to the second.
func TestSwapBackWithoutKept(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.must("close.sh")
	s.twoHops()
	_ = os.RemoveAll(s.kept)
	for range 2 {
		r := s.must("swapback.sh", "--keep", s.kept, "--from", "28.0.2")
		if !strings.Contains(strings.Join(r.Notes, ";"), "the snapshot brings it back") || codeVersion(s.tree) != "30.0.4.1" {
			t.Errorf("notes %q, version %s", r.Notes, codeVersion(s.tree))
		}
	}
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("left lying: %q", left)
	}
	if r, code := s.sh("restored.sh", "--from", "28.0.2"); code == 0 || !strings.Contains(strings.Join(r.Errors, ";"), "expected 28.0.2") {
		t.Errorf("exit %d, %q", code, r.Errors)
	}
}

// TestBadTrees: what a rollback put aside goes with it, or with the next
// upgrade, but never while it holds users' files.
func TestBadTrees(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"unstage.sh", "tidy.sh"} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			empty, full := s.tree+".ncfleet-bad-29.0.1.1", s.tree+".ncfleet-bad-x.2"
			write(t, empty+"/version.php", "x")
			write(t, full+"/files/.ocdata", "")
			write(t, full+"/files/bob/files/a.txt", "bob's")
			r := s.must(script)
			if exists(empty) || !exists(full+"/files/bob/files/a.txt") || !strings.Contains(strings.Join(r.Degraded, ";"), full) {
				t.Errorf("empty %v, full %v, degraded %q", exists(empty), exists(full), r.Degraded)
			}
		})
	}
}

func TestHopRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		do         func(s *site)
	}{
		{"a site that is open", "not in maintenance mode", func(s *site) { s.must("open.sh") }},
		{"no staged tree", "no staged tree", func(s *site) { _ = os.RemoveAll(s.staged) }},
		{"an unfinished staged tree", "not a complete staged tree", func(s *site) { _ = os.Remove(s.staged + "/.ncfleet-staged") }},
		{"a linked release folder", "symbolic link", func(s *site) {
			_ = os.Rename(s.tree+"/lib", s.dir+"/lib")
			_ = os.Symlink(s.dir+"/lib", s.tree+"/lib")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			release(t, s.staged, "29,0,1,1", "28.0")
			write(t, s.staged+"/.ncfleet-staged", "x")
			s.must("close.sh")
			tt.do(s)
			r, code := s.sh("hop.sh", "--staged", s.staged, "--keep", s.kept, "--to", "29.0.1")
			if code == 0 || !strings.Contains(strings.Join(r.Errors, ";"), tt.want) || codeVersion(s.tree) != "28.0.2.5" {
				t.Errorf("exit %d, %q, version %s", code, r.Errors, codeVersion(s.tree))
			}
		})
	}
}

func TestUpgradeJudgedByState(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ how, want string }{
		{"fail", "failed (exit 5)"}, {"die", "was killed (exit 137)"}, {"lie", "ended without success"}, {"repair", ""},
	} {
		t.Run(tt.how, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			release(t, s.staged, "29,0,1,1", "28.0")
			write(t, s.staged+"/.ncfleet-staged", "x")
			write(t, filepath.Dir(s.tree)+"/upgrade", tt.how)
			s.must("close.sh")
			r, code := s.sh("hop.sh", "--staged", s.staged, "--keep", s.kept, "--to", "29.0.1")
			if tt.want == "" {
				if code != 0 || len(r.Degraded) != 1 {
					t.Errorf("exit %d, degraded %q, errors %q", code, r.Degraded, r.Errors)
				}
				return
			}
			if code == 0 || !strings.Contains(strings.Join(r.Errors, ";"), tt.want) {
				t.Errorf("exit %d, %q", code, r.Errors)
			}
		})
	}
}

func TestStageRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, list, from, want string
		change                 func(s *site, args []string)
	}{
		{"another checksum", "29,0,1,1", "28.0", "the plan says", func(_ *site, a []string) { a[5] = strings.Repeat("0", 128) }},
		{"another version", "29,0,2,1", "28.0", "holds Nextcloud 29.0.2.1", nil},
		{"a skipped major", "29,0,1,1", "30.0", "cannot be reached from 28.0.2.5", nil},
		{"no archive", "29,0,1,1", "28.0", "not on this host", func(_ *site, a []string) { _ = os.Remove(a[1]) }},
		{"a linked folder", "29,0,1,1", "28.0", "symbolic link", func(s *site, _ []string) {
			_ = os.Rename(s.tree+"/core", s.dir+"/core")
			_ = os.Symlink(s.dir+"/core", s.tree+"/core")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			path, sum := s.archive(tt.list, tt.from)
			args := s.stageArgs(path, sum)
			if tt.change != nil {
				tt.change(s, args)
			}
			r, code := s.sh("stage.sh", args...)
			if code == 0 || !strings.Contains(strings.Join(r.Errors, ";"), tt.want) || exists(s.staged) {
				t.Errorf("exit %d, %q", code, r.Errors)
			}
		})
	}
}

func TestRemoveGuard(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	inside := s.tree + ".ncfleet-old-1"
	write(t, inside+"/data/file", "kept")
	for _, path := range []string{s.tree, s.dir, s.tree + ".ncfleet-old-1/../html", s.tree + "/data", "/", inside + "/data"} {
		if r, code := s.sh("tidy.sh", "--remove", path); code == 0 || !exists(s.tree+"/data") {
			t.Errorf("%s: exit %d, %q", path, code, r.Errors)
		}
	}
	// The data directory may lie in a tree of ours when someone moved it there.
	if _, code := s.sh("tidy.sh", "--data", inside+"/data", "--remove", inside); code == 0 || !exists(inside+"/data/file") {
		t.Error("a tree that holds the data directory was removed")
	}
	link := s.tree + ".ncfleet-old-2"
	if err := os.Symlink(s.tree, link); err != nil {
		t.Fatal(err)
	}
	s.must("tidy.sh", "--remove", link)
	if exists(link) || !exists(s.tree+"/version.php") {
		t.Error("a link was followed")
	}
}

func TestHoldAndCron(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	root := s.dir + "/root"
	rival, table := root+"/etc/cron.d/nc-update", root+"/etc/crontab"
	jobs := root + "/etc/cron.d/nextcloud"
	write(t, rival, "17 4 * * * root update\n")
	write(t, table, "# a comment\n1 1 * * * root php updater.phar\n1 3 * * * root zypper -n patch\n1 4 * * * root dnf5 -y upgrade\n1 5 * * * root transactional-update up\n2 2 * * * root backup\n")
	write(t, jobs, "*/5 * * * * www php -f "+s.tree+"/cron.php\n# x\n")
	before := digest(t, root)
	for i := 0; i < 2; i++ {
		s.must("hold.sh", "--cron", rival, "--cron", table)
	}
	if exists(rival) || !exists(root+"/etc/cron.d/.ncfleet-held-nc-update") {
		t.Error("the cron file was not moved aside")
	}
	if b, _ := os.ReadFile(table); strings.Contains(string(b), "\n1 ") || !strings.Contains(string(b), "\n2 2") {
		t.Errorf("the crontab reads %s", b)
	}
	for i := 0; i < 2; i++ {
		s.must("close.sh")
	}
	if b, _ := os.ReadFile(jobs); !strings.HasPrefix(string(b), "#ncfleet:cloud-07/files# */5") {
		t.Errorf("background jobs are not paused: %s", b)
	}
	for i := 0; i < 2; i++ {
		s.must("open.sh")
		s.must("unhold.sh")
	}
	if after := digest(t, root); after != before {
		t.Errorf("not as before:\n%s\nwas\n%s", after, before)
	}
}

// TestOpenKilled kills close.sh and open.sh: running open.sh again always
// leaves the site open, with the settings it had.
func TestOpenKilled(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"close.sh", "open.sh"} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			for _, n := range kills(openKilled(t, script, never), 3) {
				openKilled(t, script, n)
			}
		})
	}
}

func openKilled(t *testing.T, script string, n int) int {
	s := newSite(t)
	before := readConfig(s.tree + "/config/config.php")
	if script == "open.sh" {
		s.must("close.sh")
	}
	env, called := s.killers(n)
	_, _, _ = s.shell("sh", env, script)
	s.must("open.sh")
	after := readConfig(s.tree + "/config/config.php")
	if after["maintenance"] == "false" {
		delete(after, "maintenance") // unset and false are the same
	}
	if fmt.Sprint(after) != fmt.Sprint(before) || exists(s.tree+"/config/zz-ncfleet.config.php") {
		t.Fatalf("%s killed at %d: %v, was %v", script, n, after, before)
	}
	return called()
}
