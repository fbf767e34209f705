package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// local runs commands on this machine. As root the web user is a real one;
// else everything runs as the tester and no user is switched to.
type local struct {
	env   []string // added to the environment
	shell string   // in place of sh
}

func (l local) Run(ctx context.Context, c driver.Command) (driver.Result, error) {
	if l.shell != "" && c.Argv[0] == "sh" {
		c.Argv = append([]string{l.shell}, c.Argv[1:]...)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Env = append(os.Environ(), l.env...)
	cmd.Stdin = bytes.NewReader(c.Stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := driver.Result{Stdout: out.Bytes(), Stderr: errs.Bytes()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		r.Exit = exit.ExitCode()
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			r.Exit = 128 + int(ws.Signal())
		}
		err = nil
	}
	return r, err
}

// site is an instance on this machine, as an operator would lay it out.
type site struct {
	t       *testing.T
	root    string // holds everything
	tree    string
	data    string
	subject driver.Subject
	run     local
	a       driver.Snapshotter
}

func newSite(t *testing.T, dataInside bool, places ...driver.Place) *site {
	t.Helper()
	for _, tool := range []string{"tar", "sha256sum", "php"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	open(t, root)
	s := &site{t: t, root: root, tree: filepath.Join(root, "www/nextcloud"), data: filepath.Join(root, "data"), a: New()}
	if dataInside {
		s.data = filepath.Join(s.tree, "data")
	}
	s.subject = driver.Subject{
		Host: "h1", Instance: "cloud", WebUser: webUser(t), PHP: "php",
		StateDir: filepath.Join(root, "state"), DatabaseKind: "sqlite3",
		Places: append([]driver.Place{
			{Part: driver.PartCode, Path: s.tree},
			{Part: driver.PartConfig, Path: filepath.Join(s.tree, "config")},
			{Part: driver.PartData, Path: s.data},
			{Part: driver.PartDatabase},
		}, places...),
	}
	s.write("version.php", "<?php $OC_Version = [28,0,2,5];")
	s.write("occ", "#!/usr/bin/env php\n")
	s.write("apps/files/info.xml", "<info/>")
	s.write("apps/odd/a b", "space")
	s.write("apps/odd/new\nline", "newline")
	s.write("apps/odd/-rf *?[x]\\", "dash")
	s.write("apps/odd/ trailing ", "blank")
	s.write("apps/odd/ümlaut", "utf-8")
	s.must(os.Chmod(filepath.Join(s.tree, "occ"), 0o755))
	s.must(os.Symlink("../version.php", filepath.Join(s.tree, "apps/link")))
	s.must(os.Symlink("/etc/passwd", filepath.Join(s.tree, "apps/abs")))
	s.must(os.Symlink("nowhere\nelse", filepath.Join(s.tree, "apps/dangling")))
	s.must(os.Link(filepath.Join(s.tree, "occ"), filepath.Join(s.tree, "occ2")))
	s.must(os.MkdirAll(s.data, 0o770))
	s.must(os.WriteFile(filepath.Join(s.data, "photo.jpg"), []byte("a user's photo"), 0o640))
	s.config("'dbtype' => 'sqlite3', 'datadirectory' => '" + s.data + "'")
	s.sql("CREATE TABLE oc_users (uid TEXT); INSERT INTO oc_users VALUES ('before')")
	s.own()
	old := time.Now().Add(-time.Hour)
	s.must(filepath.WalkDir(s.tree, func(p string, _ os.DirEntry, err error) error {
		if fi, e := os.Lstat(p); e == nil && fi.Mode().IsRegular() {
			return os.Chtimes(p, old, old)
		}
		return err
	}))
	return s
}

// open makes every directory above a test's files passable for the web user.
func open(t *testing.T, dir string) {
	t.Helper()
	for d := dir; d != "/" && strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func webUser(t *testing.T) string {
	t.Helper()
	name := ""
	if os.Getuid() == 0 {
		name = "www-data"
	} else if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if _, err := user.Lookup(name); err != nil {
		t.Skipf("there is no user %q", name)
	}
	return name
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) write(name, text string) {
	s.t.Helper()
	p := filepath.Join(s.tree, name)
	s.must(os.MkdirAll(filepath.Dir(p), 0o755))
	s.must(os.WriteFile(p, []byte(text), 0o644))
}

func (s *site) config(settings string) {
	s.t.Helper()
	s.write("config/config.php", "<?php\n$CONFIG = array ("+settings+", 'maintenance' => true);\n")
	s.write("config/a.config.php", "<?php\n$CONFIG = array ('loglevel' => 2);\n")
	s.own()
}

func (s *site) own() {
	s.t.Helper()
	if os.Getuid() != 0 {
		return
	}
	out, err := exec.Command("chown", "-R", "-h", s.subject.WebUser+":", filepath.Join(s.root, "www"), s.data).CombinedOutput()
	if err != nil {
		s.t.Fatalf("chown: %v: %s", err, out)
	}
}

func (s *site) php(code string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command("php", append([]string{"-r", code, "--"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("php: %v: %s", err, out)
	}
	return string(out)
}

func (s *site) db() string { return filepath.Join(s.data, "owncloud.db") }

// sql runs statements, leaving the database in WAL mode as Nextcloud does.
func (s *site) sql(statements string) string {
	s.t.Helper()
	return s.php(`$d = new PDO("sqlite:".$argv[1]); $d->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
$d->exec("PRAGMA journal_mode=WAL"); foreach (explode(";", $argv[2]) as $q) { if (trim($q) === "") continue;
foreach ($d->query($q) as $row) { echo $row[0], "\n"; } }`, s.db(), statements)
}

func (s *site) request(key string) driver.SnapshotRequest {
	return driver.SnapshotRequest{Key: key, Subject: s.subject}
}

func (s *site) create(key string) driver.Handle {
	s.t.Helper()
	h, err := s.a.Create(s.t.Context(), s.request(key), s.run)
	s.must(err)
	return h
}

func (s *site) verify(h driver.Handle) driver.Verification {
	s.t.Helper()
	v, err := s.a.Verify(s.t.Context(), h, s.run)
	s.must(err)
	if !v.Verified {
		s.t.Fatalf("not verified: %s", v.Detail)
	}
	return v
}

func (s *site) restore(h driver.Handle) {
	s.t.Helper()
	s.must(s.a.Restore(s.t.Context(), h, s.subject, s.run))
}

// state is everything a restore must bring back, as text.
func (s *site) state() string {
	s.t.Helper()
	var b strings.Builder
	s.must(filepath.WalkDir(s.tree, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := os.Lstat(p)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(s.tree, p)
		st := fi.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%q %v %d:%d", rel, fi.Mode(), st.Uid, st.Gid)
		switch {
		case fi.Mode().IsRegular() && !strings.HasPrefix(rel, "data/"):
			text, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %d %q", fi.ModTime().UnixNano(), text)
		case fi.Mode()&os.ModeSymlink != 0:
			to, _ := os.Readlink(p)
			fmt.Fprintf(&b, " -> %q", to)
		}
		b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

// upgrade spoils everything the way a failed upgrade does: a new tree by
// rename, the data directory moved along, a new config, more tables.
func (s *site) upgrade() {
	s.t.Helper()
	s.must(os.Rename(s.tree, s.tree+".old"))
	s.write("version.php", "<?php $OC_Version = [29,0,1,1];")
	s.write("apps/new/info.xml", "<info/>")
	if strings.HasPrefix(s.data, s.tree) {
		s.must(os.Rename(s.tree+".old/data", s.data))
	}
	s.must(os.RemoveAll(s.tree + ".old"))
	s.write("config/CAN_INSTALL", "")
	s.config("'dbtype' => 'sqlite3', 'datadirectory' => '" + s.data + "', 'version' => '29.0.1.1'")
	s.must(os.Remove(filepath.Join(s.tree, "config/a.config.php")))
	s.own()
}

func (s *site) spoilSQL() {
	s.sql("CREATE TABLE IF NOT EXISTS oc_more (x TEXT); INSERT INTO oc_more VALUES (1); UPDATE oc_users SET uid='after'")
	s.own()
}

// leftovers are the directories beside the tree.
func (s *site) leftovers() []string {
	s.t.Helper()
	found, err := filepath.Glob(s.tree + ".*")
	s.must(err)
	return found
}
