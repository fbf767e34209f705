package executor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestHeldFileChanged: what a package did to a held cron file is not undone,
// and nothing of ours stays where cron reads.
func TestHeldFileChanged(t *testing.T) {
	t.Parallel()
	const old = "17 4 * * * root update\n"
	for _, tt := range []struct {
		name    string
		owned   string // answers of dpkg-query, one per call
		between func(t *testing.T, s *site, path string)
		live    string
		aside   string
		note    string
	}{
		{"as it was", "", func(*testing.T, *site, string) {}, old, "", ""},
		{"written again, the same", "", func(t *testing.T, _ *site, p string) { write(t, p, old) }, old, "", ""},
		{"written again, another", "", func(t *testing.T, _ *site, p string) { write(t, p, "new\n") }, "new\n", old, "stays as it is now"},
		{"written again, then held again", "", func(t *testing.T, s *site, p string) {
			write(t, p, "new\n")
			s.must("hold.sh", "--cron", p)
			if exists(p) {
				t.Error("the new one is not held")
			}
		}, "new\n", old, ""},
		{"its package is gone", "yes no", func(*testing.T, *site, string) {}, "", old, "belongs to no package any more"},
		{"its package is still there", "yes yes", func(*testing.T, *site, string) {}, old, "", ""},
		{"removed while held", "", func(_ *testing.T, _ *site, p string) {
			_ = os.Remove(filepath.Dir(p) + "/.ncfleet-held-" + filepath.Base(p))
		}, "", "", "is gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			path := s.dir + "/root/etc/cron.d/nc-update"
			write(t, path, old)
			write(t, s.dir+"/bin/dpkg-query", "#!/bin/sh\nread -r a b <"+s.dir+"/owned\necho $b >"+s.dir+"/owned\n[ \"$2\" = /etc/cron.d/nc-update ] && [ \"$a\" = yes ]\n")
			_ = os.Chmod(s.dir+"/bin/dpkg-query", 0o755)
			write(t, s.dir+"/owned", tt.owned+"\n")
			s.env = append(s.env, "PATH="+s.dir+"/bin:"+os.Getenv("PATH"))
			r := s.must("hold.sh", "--cron", path)
			if exists(path) {
				t.Error("it is not held")
			}
			tt.between(t, s, path)
			u := s.must("unhold.sh")
			s.must("unhold.sh")
			live, _ := os.ReadFile(path)
			aside, _ := os.ReadFile(s.state + "/aside/etc+cron.d+nc-update")
			notes := strings.Join(append(r.Notes, u.Notes...), ";")
			if string(live) != tt.live || !strings.Contains(notes, tt.note) || tt.note == "" && notes != "" {
				t.Errorf("live %q, notes %q", live, notes)
			}
			if string(aside) != tt.aside {
				t.Errorf("aside %q", aside)
			}
			if left, _ := filepath.Glob(filepath.Dir(path) + "/.ncfleet*"); len(left) > 0 {
				t.Errorf("left lying: %q", left)
			}
			if left, _ := filepath.Glob(s.state + "/aside/*"); (len(left) == 1) != (tt.aside != "") {
				t.Errorf("aside: %q", left)
			}
		})
	}
}

// TestOldRunsAreForgotten: tidy removes run folders of rollouts that are long
// over, and nothing that someone may still need.
func TestOldRunsAreForgotten(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	sleeper := exec.Command("sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() }()
	now := time.Now()
	folder := func(path string, days int, files map[string]string) {
		for name, text := range files {
			write(t, s.state+"/"+path+"/"+name, text)
		}
		at := now.Add(-time.Duration(days) * 24 * time.Hour)
		if err := os.Chtimes(s.state+"/"+path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	live := strconv.Itoa(sleeper.Process.Pid) + " 1\n"
	write(t, s.state+"/lease", "now 3 B\nme\n1\n")
	folder("runs/over:a", 40, map[string]string{"token": "over\n", "rc": "0\n"})
	folder("runs/over:b", 40, map[string]string{"token": "over\n", "rc.is.1": ""})
	folder("runs/over:lost", 40, map[string]string{"token": "over\n", "pid": "999999999 1\n"})
	folder("runs/over:never", 40, map[string]string{"token": "over\n"})
	folder("runs/over:lives", 40, map[string]string{"token": "over\n", "pid": live})
	folder("runs/over:child", 40, map[string]string{"token": "over\n", "pid": "999999999 1\n", "child": live})
	folder("runs/now:a", 40, map[string]string{"token": "now 1 A\n", "rc": "0\n"})
	folder("runs/long:a", 40, map[string]string{"token": "long 1 A\n", "rc": "0\n"})
	folder("runs/long:b", 2, map[string]string{"token": "long 7 C\n", "rc": "0\n"})
	folder("runs/young:a", 20, map[string]string{"token": "young\n", "rc": "0\n"})
	folder("sites/gone", 40, map[string]string{"log": "0 0 x\n"})
	folder("sites/closed", 40, map[string]string{"before": "maintenance unset\n"})
	folder("sites/needs", 40, map[string]string{"archive-29": "/x\n"})
	folder("sites/young", 20, map[string]string{"log": "0 0 x\n"})
	folder("held/nothing", 40, map[string]string{"units": "", "crons": ""})
	folder("held/cron", 40, map[string]string{"units": "", "crons": "file /etc/cron.d/x\n"})
	for range 2 {
		s.must("tidy.sh")
	}
	var left []string
	for _, dir := range []string{"runs", "sites", "held"} {
		found, _ := filepath.Glob(s.state + "/" + dir + "/*")
		for _, f := range found {
			left = append(left, strings.TrimPrefix(f, s.state+"/"))
		}
	}
	want := "runs/long:a runs/long:b runs/now:a runs/over:child runs/over:lives runs/young:a sites/closed sites/cloud-07+files sites/needs sites/young held/cron"
	if got := strings.Join(left, " "); got != want {
		t.Errorf("left %s\nwant %s", got, want)
	}
}
