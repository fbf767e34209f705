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
	"time"

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
	out, code := s.run(shell, env, text, more...)
	return nextcloud.ParseReport([]byte(out)), code, out
}

// run gives a text to a shell, with the site's arguments.
func (s *site) run(shell string, env []string, text string, more ...string) (string, int) {
	argv := append(strings.Fields(shell), "-s", "--")
	argv = append(append(argv, s.base()...), more...)
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir, c.Stdin, c.Env = "/", strings.NewReader(text), append(s.env, env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	_ = c.Run()
	return out.String(), c.ProcessState.ExitCode()
}

// bare gives a text to sh with these arguments alone.
func (s *site) bare(text string, args ...string) (string, int) {
	c := exec.Command("sh", append([]string{"-s", "--"}, args...)...)
	c.Dir, c.Stdin, c.Env = "/", strings.NewReader(text), s.env
	out, _ := c.CombinedOutput() // the exit status is returned
	return string(out), c.ProcessState.ExitCode()
}

// eventually waits for something that must come, half a minute at most.
func (s *site) eventually(what string, came func() bool) {
	s.t.Helper()
	for range 300 {
		if came() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Fatalf("%s: it did not come", what)
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
