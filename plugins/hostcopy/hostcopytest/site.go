// Package hostcopytest is what the tests of the drivers on hostcopy share: an
// instance on this machine, commands that kill the script around them, and small
// disks. It refuses to know any one driver.
package hostcopytest

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

// Local runs commands on this machine. As root the web user is a real one;
// else everything runs as the tester and no user is switched to.
type Local struct {
	Env   []string // added to the environment
	Shell string   // in place of sh
}

// Run runs the command as this user.
func (l Local) Run(ctx context.Context, c driver.Command) (driver.Result, error) {
	if l.Shell != "" && c.Argv[0] == "sh" {
		c.Argv = append([]string{l.Shell}, c.Argv[1:]...)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Env = append(os.Environ(), l.Env...)
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

// Site is an instance on this machine, as an operator would lay it out.
type Site struct {
	T       testing.TB
	Root    string // holds everything
	Tree    string
	Data    string
	Subject driver.Subject
	Runner  Local
	D       driver.Snapshotter
}

// Options say how a site is laid out.
type Options struct {
	Driver driver.Snapshotter
	// Below is where the site goes; "" makes a temporary directory.
	Below      string
	DataInside bool // of the tree
	// Prepare is called before the root is filled.
	Prepare func(root string)
	Places  []driver.Place
}

// NewSite makes a site. It skips the test where the host lacks a tool for it.
func NewSite(t testing.TB, o Options) *Site {
	t.Helper()
	for _, tool := range []string{"tar", "sha256sum", "php"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	if o.Below == "" {
		o.Below = t.TempDir()
	}
	if o.Prepare != nil {
		o.Prepare(o.Below)
	}
	root, err := filepath.EvalSymlinks(o.Below)
	if err != nil {
		t.Fatal(err)
	}
	Open(t, root)
	s := &Site{T: t, Root: root, Tree: filepath.Join(root, "www/nextcloud"), Data: filepath.Join(root, "data"), D: o.Driver}
	if o.DataInside {
		s.Data = filepath.Join(s.Tree, "data")
	}
	s.Subject = driver.Subject{
		Host: "h1", Instance: "cloud", WebUser: webUser(t), PHP: "php",
		StateDir: filepath.Join(root, "state"), DatabaseKind: "sqlite3",
		Places: append([]driver.Place{
			{Part: driver.PartCode, Path: s.Tree},
			{Part: driver.PartConfig, Path: filepath.Join(s.Tree, "config")},
			{Part: driver.PartData, Path: s.Data},
			{Part: driver.PartDatabase},
		}, o.Places...),
	}
	s.Write("version.php", "<?php $OC_Version = [28,0,2,5];")
	s.Write("occ", "#!/usr/bin/env php\n")
	s.Write("apps/files/info.xml", "<info/>")
	s.Write("apps/odd/a b", "space")
	s.Write("apps/odd/new\nline", "newline")
	s.Write("apps/odd/-rf *?[x]\\", "dash")
	s.Write("apps/odd/ trailing ", "blank")
	s.Write("apps/odd/ümlaut", "utf-8")
	s.Must(os.Chmod(filepath.Join(s.Tree, "occ"), 0o755))
	s.Must(os.Symlink("../version.php", filepath.Join(s.Tree, "apps/link")))
	s.Must(os.Symlink("/etc/passwd", filepath.Join(s.Tree, "apps/abs")))
	s.Must(os.Symlink("nowhere\nelse", filepath.Join(s.Tree, "apps/dangling")))
	s.Must(os.Link(filepath.Join(s.Tree, "occ"), filepath.Join(s.Tree, "occ2")))
	s.Must(os.MkdirAll(s.Data, 0o770))
	s.Must(os.WriteFile(filepath.Join(s.Data, "photo.jpg"), []byte("a user's photo"), 0o640))
	s.Config("'dbtype' => 'sqlite3', 'datadirectory' => '" + s.Data + "'")
	s.SQL("CREATE TABLE oc_users (uid TEXT); INSERT INTO oc_users VALUES ('before')")
	s.Own()
	old := time.Now().Add(-time.Hour)
	s.Must(filepath.WalkDir(s.Tree, func(p string, _ os.DirEntry, err error) error {
		if fi, e := os.Lstat(p); e == nil && fi.Mode().IsRegular() {
			return os.Chtimes(p, old, old)
		}
		return err
	}))
	return s
}

// Open makes every directory above a test's files passable for the web user.
func Open(t testing.TB, dir string) {
	t.Helper()
	for d := dir; d != "/" && strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func webUser(t testing.TB) string {
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

// Must ends the test on an error.
func (s *Site) Must(err error) {
	s.T.Helper()
	if err != nil {
		s.T.Fatal(err)
	}
}

// Write writes a file of the tree.
func (s *Site) Write(name, text string) {
	s.T.Helper()
	p := filepath.Join(s.Tree, name)
	s.Must(os.MkdirAll(filepath.Dir(p), 0o755))
	s.Must(os.WriteFile(p, []byte(text), 0o644))
}

// Config writes config.php with these settings.
func (s *Site) Config(settings string) {
	s.T.Helper()
	s.Write("config/config.php", "<?php\n$CONFIG = array ("+settings+", 'maintenance' => true);\n")
	s.Write("config/a.config.php", "<?php\n$CONFIG = array ('loglevel' => 2);\n")
	s.Own()
}

// Own gives everything to the web user.
func (s *Site) Own() {
	s.T.Helper()
	if os.Getuid() != 0 {
		return
	}
	out, err := exec.Command("chown", "-R", "-h", s.Subject.WebUser+":", filepath.Join(s.Root, "www"), s.Data).CombinedOutput()
	if err != nil {
		s.T.Fatalf("chown: %v: %s", err, out)
	}
}

// PHP runs code.
func (s *Site) PHP(code string, args ...string) string {
	s.T.Helper()
	cmd := exec.Command("php", append([]string{"-r", code, "--"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.T.Fatalf("php: %v: %s", err, out)
	}
	return string(out)
}

// DB is the SQLite file.
func (s *Site) DB() string { return filepath.Join(s.Data, "owncloud.db") }

// SQL runs statements, leaving the database in WAL mode as Nextcloud does.
func (s *Site) SQL(statements string) string {
	s.T.Helper()
	return s.PHP(`$d = new PDO("sqlite:".$argv[1]); $d->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
$d->exec("PRAGMA journal_mode=WAL"); foreach (explode(";", $argv[2]) as $q) { if (trim($q) === "") continue;
foreach ($d->query($q) as $row) { echo $row[0], "\n"; } }`, s.DB(), statements)
}

// Request asks for a snapshot of the site.
func (s *Site) Request(key string) driver.SnapshotRequest {
	return driver.SnapshotRequest{Key: key, Subject: s.Subject}
}

// Create takes a snapshot.
func (s *Site) Create(key string) driver.Handle {
	s.T.Helper()
	h, err := s.D.Create(s.T.Context(), s.Request(key), s.Runner)
	s.Must(err)
	return h
}

// Verify demands that the snapshot is good.
func (s *Site) Verify(h driver.Handle) driver.Verification {
	s.T.Helper()
	v, err := s.D.Verify(s.T.Context(), h, s.Runner)
	s.Must(err)
	if !v.Verified {
		s.T.Fatalf("not verified: %s", v.Detail)
	}
	return v
}

// Restore puts the snapshot back.
func (s *Site) Restore(h driver.Handle) {
	s.T.Helper()
	s.Must(s.D.Restore(s.T.Context(), h, s.Subject, s.Runner))
}

// State is everything a restore must bring back, as text.
func (s *Site) State() string {
	s.T.Helper()
	var b strings.Builder
	s.Must(filepath.WalkDir(s.Tree, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := os.Lstat(p)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(s.Tree, p)
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

// Upgrade spoils everything the way a failed upgrade does: a new tree by
// rename, the data directory moved along, a new config, more tables.
func (s *Site) Upgrade() {
	s.T.Helper()
	s.Must(os.Rename(s.Tree, s.Tree+".old"))
	s.Write("version.php", "<?php $OC_Version = [29,0,1,1];")
	s.Write("apps/new/info.xml", "<info/>")
	if strings.HasPrefix(s.Data, s.Tree) {
		s.Must(os.Rename(s.Tree+".old/data", s.Data))
	}
	s.Must(os.RemoveAll(s.Tree + ".old"))
	s.Write("config/CAN_INSTALL", "")
	s.Config("'dbtype' => 'sqlite3', 'datadirectory' => '" + s.Data + "', 'version' => '29.0.1.1'")
	s.Must(os.Remove(filepath.Join(s.Tree, "config/a.config.php")))
	s.Own()
}

// SpoilSQL changes the database as an upgrade does.
func (s *Site) SpoilSQL() {
	s.SQL("CREATE TABLE IF NOT EXISTS oc_more (x TEXT); INSERT INTO oc_more VALUES (1); UPDATE oc_users SET uid='after'")
	s.Own()
}

// Leftovers are the directories beside the tree.
func (s *Site) Leftovers() []string {
	s.T.Helper()
	found, err := filepath.Glob(s.Tree + ".*")
	s.Must(err)
	return found
}

// List lists the site's snapshots.
func (s *Site) List() []driver.Snapshot {
	s.T.Helper()
	all, err := s.D.List(s.T.Context(), s.Subject, s.Runner)
	s.Must(err)
	return all
}

// ChangeOnline does to a prepared tree whatever users and apps may do.
func (s *Site) ChangeOnline() {
	s.T.Helper()
	s.Write("apps/files/info.xml", "<INFO/>") // same size
	s.Write("apps/odd/new\nline", "longer than before")
	s.Write("apps/fresh/x", "new")
	s.Must(os.Remove(filepath.Join(s.Tree, "apps/odd/a b")))
	s.Must(os.Rename(filepath.Join(s.Tree, "apps/odd"), filepath.Join(s.Tree, "apps/moved")))
	s.Must(os.Remove(filepath.Join(s.Tree, "apps/link")))
	s.Write("apps/link/now-a-directory", "x")
	s.Must(os.Chmod(filepath.Join(s.Tree, "version.php"), 0o600))
	s.Own()
}

// Kept is where the driver keeps its snapshots by default.
func (s *Site) Kept() string {
	found, err := filepath.Glob(filepath.Join(s.Subject.StateDir, "*snapshots"))
	if err != nil || len(found) != 1 {
		s.T.Fatalf("directories of snapshots: %q, %v", found, err)
	}
	return found[0]
}

// DeleteTwice deletes a snapshot and looks for what is left of it.
func (s *Site) DeleteTwice(h driver.Handle) {
	s.T.Helper()
	s.Must(s.D.Delete(s.T.Context(), h, s.Runner))
	s.Must(s.D.Delete(s.T.Context(), h, s.Runner))
	if left := s.Leftovers(); len(left) != 0 {
		s.T.Errorf("left after Delete: %q", left)
	}
	if left, _ := os.ReadDir(s.Kept()); len(left) != 0 {
		s.T.Errorf("left after Delete: %v", left)
	}
	if _, err := s.D.Verify(s.T.Context(), h, s.Runner); driver.ClassOf(err) != driver.NotFound {
		s.T.Errorf("Verify of a deleted snapshot: %v", err)
	}
}
