package executor

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
)

func (s *site) base() []string {
	return []string{"--name", "cloud-07/files", "--path", s.tree, "--data", s.tree + "/data", "--user", user(s.t), "--php", s.php, "--state", s.state}
}

// sh runs a host script in a session of its own and returns its report and
// exit status; shell is "sh" unless told otherwise.
func (s *site) sh(script string, more ...string) (nextcloud.Report, int) {
	s.t.Helper()
	r, code, _ := s.shell("sh", nil, script, more...)
	return r, code
}

func (s *site) shell(shell string, env []string, script string, more ...string) (nextcloud.Report, int, string) {
	s.t.Helper()
	text, err := nextcloud.ScriptText(script)
	if err != nil {
		s.t.Fatal(err)
	}
	argv := append(strings.Fields(shell), "-s", "--")
	argv = append(append(argv, s.base()...), more...)
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir, c.Stdin, c.Env = "/", strings.NewReader(text), append(s.env, env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	_ = c.Run()
	return nextcloud.ParseReport(out.Bytes()), c.ProcessState.ExitCode(), out.String()
}

func (s *site) must(script string, more ...string) nextcloud.Report {
	s.t.Helper()
	r, code, out := s.shell("sh", nil, script, more...)
	if code != 0 {
		s.t.Fatalf("%s: exit %d\n%s", script, code, out)
	}
	return r
}

// archive packs a release and returns its path and SHA-512.
func (s *site) archive(list, from string) (path, sum string) {
	s.t.Helper()
	dir := s.t.TempDir()
	release(s.t, dir+"/nextcloud", list, from)
	write(s.t, dir+"/nextcloud/NEW.md", "new in this release")
	write(s.t, dir+"/nextcloud/config/CAN_INSTALL", "")
	path = filepath.Join(s.state, "releases", "nextcloud-29.0.1.tar.bz2")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-C", dir, "-cjf", path, "nextcloud").CombinedOutput(); err != nil {
		s.t.Skipf("tar or bzip2 is not here: %v %s", err, out)
	}
	out, err := exec.Command("sha512sum", path).Output()
	if err != nil {
		s.t.Skipf("sha512sum is not here: %v", err)
	}
	return path, strings.Fields(string(out))[0]
}

func (s *site) stageArgs(path, sum string) []string {
	return []string{"--archive", path, "--fetch", "", "--sha512", sum, "--staged", s.staged, "--to", "29.0.1", "--apps-from", s.tree}
}

// digest is the content of a folder, names and modes included.
func digest(t *testing.T, dir string, skip ...string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		for _, p := range skip {
			if rel == p || strings.HasPrefix(rel, p+"/") {
				return nil
			}
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		sum := ""
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum = fmt.Sprintf("%x", sha256.Sum256(b))
		}
		lines = append(lines, fmt.Sprintf("%s %s %s", rel, info.Mode(), sum))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

func TestScriptsParseInEveryShell(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"dash -n", "busybox sh -n", "bash --posix -n"} {
		argv := strings.Fields(shell)
		if _, err := exec.LookPath(argv[0]); err != nil {
			continue
		}
		for _, name := range nextcloud.ScriptNames() {
			text, err := nextcloud.ScriptText(name)
			if err != nil {
				t.Fatal(err)
			}
			c := exec.Command(argv[0], argv[1:]...)
			c.Stdin = strings.NewReader(text)
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%s %s: %v %s", shell, name, err, out)
			}
		}
	}
}

func TestScriptCutShortDoesNothing(t *testing.T) {
	t.Parallel()
	text, err := nextcloud.ScriptText("hop.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{text[:len(text)/2], strings.TrimSuffix(text, "main \"$@\" </dev/null\nexit $?\n")} {
		c := exec.Command("sh", "-s", "--", "--name", "x", "--state", "/nonexistent/state")
		c.Stdin = strings.NewReader(part)
		if out, _ := c.Output(); len(out) > 0 {
			t.Errorf("a text cut short printed %q", out)
		}
	}
}

// TestWay goes close, stage, hop, open, tidy, each twice.
func TestWay(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"sh", "busybox sh"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(strings.Fields(shell)[0]); err != nil {
				t.Skip(shell + " is not here")
			}
			s := newSite(t)
			path, sum := s.archive("29,0,1,1", "28.0")
			data := digest(t, s.tree+"/data", "nextcloud.log")
			twice := func(script string, more ...string) {
				t.Helper()
				for i := 0; i < 2; i++ {
					if _, code, out := s.shell(shell, nil, script, more...); code != 0 {
						t.Fatalf("%s, time %d: exit %d\n%s", script, i+1, code, out)
					}
				}
			}
			twice("stage.sh", s.stageArgs(path, sum)...)
			if exists(s.staged+"/config/CAN_INSTALL") || !exists(s.staged+"/apps/mine/appinfo/info.xml") || !exists(s.staged+"/themes/own/x.css") {
				t.Error("the staged tree is not as it should be")
			}
			if info, _ := os.Stat(s.staged); info.Mode().Perm() != 0o700 {
				t.Errorf("a web server may read the staged tree: %v", info.Mode())
			}
			twice("close.sh")
			if c := readConfig(s.tree + "/config/config.php"); c["maintenance"] != "true" || c["upgrade.disable-web"] != "true" {
				t.Errorf("closed with %v", c)
			}
			write(t, s.tree+"/apps/mine/appinfo/info.xml", "<info>mine, updated after stage</info>")
			twice("hop.sh", "--staged", s.staged, "--keep", s.kept, "--to", "29.0.1")
			s.checkUpgraded(data)
			twice("open.sh")
			want := map[string]string{"version": `"29.0.1.1"`, "installed": "true", "loglevel": "2", "maintenance": "false"}
			if c := readConfig(s.tree + "/config/config.php"); fmt.Sprint(c) != fmt.Sprint(want) || exists(s.tree+"/config/zz-ncfleet.config.php") {
				t.Errorf("opened with %v", c)
			}
			twice("tidy.sh", "--remove", s.kept)
			if exists(s.kept) || exists(path) || exists(s.staged) {
				t.Error("something was left lying")
			}
		})
	}
}

func (s *site) checkUpgraded(data string) {
	s.t.Helper()
	if v := codeVersion(s.tree); v != "29.0.1.1" {
		s.t.Errorf("the live tree is of version %s", v)
	}
	if v := codeVersion(s.kept); v != "28.0.2.5" {
		s.t.Errorf("the kept tree is of version %s", v)
	}
	for path, want := range map[string]string{
		"/apps/mine/appinfo/info.xml": "<info>mine, updated after stage</info>", "/themes/own/x.css": "own", "/-dash": "dash",
		"/.well-known/üm läut": "odd", "/custom_apps/other/appinfo/info.xml": "<info>other</info>", "/NEW.md": "new in this release",
		"/config/own.config.php": "<?php // own",
	} {
		if b, err := os.ReadFile(s.tree + path); err != nil || string(b) != want {
			s.t.Errorf("%s: %q, %v; want %q", path, b, err, want)
		}
	}
	if exists(s.tree+"/ocm-provider") || !exists(s.kept+"/ocm-provider") {
		s.t.Error("what the release dropped was not moved to the kept tree")
	}
	if got := digest(s.t, s.tree+"/data", "nextcloud.log"); got != data {
		s.t.Errorf("the data directory changed:\n%s\nwas\n%s", got, data)
	}
}

// killers puts commands into PATH that kill the whole session when the n-th of
// them is called; called says how many were.
func (s *site) killers(n int) (env []string, called func() int) {
	s.t.Helper()
	dir := s.t.TempDir()
	for _, name := range []string{"mv", "cp", "rm", "chmod", "perl", "tee", "sync", "rmdir", "cat"} {
		real, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		write(s.t, dir+"/"+name, fmt.Sprintf("#!/bin/sh\nread -r n <%[1]s/count || n=0\nn=$((n + 1))\necho $n >%[1]s/count\nif [ $n = %[2]d ]; then kill -9 0; fi\nexec %[3]s \"$@\"\n", dir, n, real))
		if err := os.Chmod(dir+"/"+name, 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	write(s.t, dir+"/count", "0\n")
	return []string{"PATH=" + dir + ":" + os.Getenv("PATH")}, func() int {
		b, _ := os.ReadFile(dir + "/count")
		n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
		return n
	}
}

// never is a place to kill at that no script has.
const never = 1 << 30

// kills are the places to kill at out of that many: some, spread evenly with
// the first and the last, or each with NCFLEET_TEST_KILLS=all.
func kills(total, some int) []int {
	if raced || testing.Short() {
		some = (some + 1) / 2
	}
	if os.Getenv("NCFLEET_TEST_KILLS") == "all" || total <= some {
		some = total
	}
	var out []int
	for i := range some {
		out = append(out, 1+i*(total-1)/max(some-1, 1))
	}
	return out
}

func TestKills(t *testing.T) {
	t.Setenv("NCFLEET_TEST_KILLS", "")
	if got := fmt.Sprint(kills(40, 1), kills(3, 8), kills(0, 8)); got != "[1] [1 2 3] []" {
		t.Errorf("kills at %s", got)
	}
	if got := kills(41, 9); got[0] != 1 || got[len(got)-1] != 41 {
		t.Errorf("kills at %v", got)
	}
	t.Setenv("NCFLEET_TEST_KILLS", "all")
	if got := kills(40, 5); len(got) != 40 || got[39] != 40 {
		t.Errorf("kills at %v", got)
	}
}

// TestHopKilled kills hop.sh before commands that change something, then
// either runs it again or takes it back.
func TestHopKilled(t *testing.T) {
	t.Parallel()
	for _, perl := range []string{"", "yes"} {
		for _, then := range []string{"hop", "back"} {
			t.Run(fmt.Sprintf("noperl=%s/%s", perl, then), func(t *testing.T) {
				t.Parallel()
				total := hopKilled(t, never, perl, then)
				for _, n := range kills(total, 3) {
					hopKilled(t, n, perl, then)
				}
			})
		}
	}
}

// hopKilled returns how many places the hop has, or came to.
func hopKilled(t *testing.T, n int, noPerl, then string) int {
	s := newSite(t)
	s.env = append(s.env, "NCFLEET_NO_PERL="+noPerl)
	release(t, s.staged, "29,0,1,1", "28.0")
	write(t, s.staged+"/NEW.md", "new in this release")
	write(t, s.staged+"/.ncfleet-staged", "x")
	s.must("close.sh")
	write(t, s.tree+"/apps/mine/appinfo/info.xml", "<info>mine, updated after stage</info>")
	data, before := digest(t, s.tree+"/data", "nextcloud.log"), digest(t, s.tree)
	env, called := s.killers(n)
	_, _, out := s.shell("sh", env, "hop.sh", "--staged", s.staged, "--keep", s.kept, "--to", "29.0.1")
	if then == "hop" {
		s.must("hop.sh", "--staged", s.staged, "--keep", s.kept, "--to", "29.0.1")
		s.checkUpgraded(data)
	} else {
		envBack, _ := s.killers(n%17 + 1)
		_, _, _ = s.shell("sh", envBack, "swapback.sh", "--keep", s.kept, "--from", "28.0.2")
		s.must("swapback.sh", "--keep", s.kept, "--from", "28.0.2")
		s.must("swapback.sh", "--keep", s.kept, "--from", "28.0.2")
		if after := digest(t, s.tree); after != before {
			t.Errorf("killed at %d: not as before:\n%s\nwas\n%s\n%s", n, after, before, out)
		}
		s.must("unstage.sh", "--staged", s.staged)
		if left, _ := filepath.Glob(s.tree + ".ncfleet-*"); len(left) > 0 {
			t.Errorf("killed at %d: left lying: %q", n, left)
		}
	}
	if t.Failed() {
		t.Fatalf("killed at %d; the killed run said:\n%s", n, out)
	}
	return called()
}

// twoHops upgrades in two hops; the second replaces a name of the site's own
// that the first one's release did not have.
func (s *site) twoHops() {
	s.t.Helper()
	for _, h := range []struct{ list, to, keep string }{{"29,0,1,1", "29.0.1", "28.0.2"}, {"30,0,4,1", "30.0.4", "29.0.1"}} {
		staged := s.tree + ".ncfleet-new-" + h.to
		release(s.t, staged, h.list, "28.0")
		write(s.t, staged+"/NEW-"+h.to, "new")
		if h.to == "30.0.4" {
			write(s.t, staged+"/-dash", "of the release")
		}
		write(s.t, staged+"/.ncfleet-staged", "x")
		s.must("hop.sh", "--staged", staged, "--keep", s.tree+".ncfleet-old-"+h.keep, "--to", h.to)
	}
}

// leftovers are the names that a survey takes for an interrupted upgrade.
func (s *site) leftovers() []string {
	old, _ := filepath.Glob(s.tree + ".ncfleet-old-*")
	more, _ := filepath.Glob(s.tree + ".ncfleet-new-*")
	return append(old, more...)
}

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
	write(t, table, "# a comment\n1 1 * * * root php updater.phar\n2 2 * * * root backup\n")
	write(t, jobs, "*/5 * * * * www php -f "+s.tree+"/cron.php\n# x\n")
	before := digest(t, root)
	for i := 0; i < 2; i++ {
		s.must("hold.sh", "--cron", rival, "--cron", table)
	}
	if exists(rival) || !exists(root+"/etc/cron.d/.ncfleet-held-nc-update") {
		t.Error("the cron file was not moved aside")
	}
	if b, _ := os.ReadFile(table); strings.Contains(string(b), "\n1 1") || !strings.Contains(string(b), "\n2 2") {
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
