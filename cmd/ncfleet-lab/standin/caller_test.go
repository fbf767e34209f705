package standin

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestWrongUser proves that exit status 0 proves nothing.
func TestWrongUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can run occ as other users")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skipf("there is no user nobody: %v", err)
	}
	s := installed(t, "28.0.2")
	for dir := s.dir; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
		s.ok(os.Chmod(dir, 0o755))
	}
	for _, command := range []string{"status", "upgrade"} {
		c := s.php("occ", command)
		c.SysProcAttr = &syscall.SysProcAttr{Credential: credential(t, nobody)}
		if a := run(c); a.exit != 0 || !strings.Contains(a.stdout, `Cannot write into "config" directory!`) {
			t.Errorf("occ %s as nobody: %+v", command, a)
		}
	}
	s.ok(exec.Command("chown", "-R", "nobody", s.tree, s.data).Run())
	s.want(1, []string{"Console has to be executed with the user that owns the file config/config.php"}, "status")
}

// TestBounds moves the bound of PHP below what runs here.
func TestBounds(t *testing.T) {
	t.Parallel()
	s := installed(t, "28.0.2")
	file := s.tree + "/lib/versioncheck.php"
	s.ok(os.WriteFile(file, []byte(strings.ReplaceAll(readText(t, file), "80400", "80000")), 0o644))
	s.want(1, []string{"Please update your PHP version."}, "status")
	w := s.serve()
	if text := w.code(500, "GET", "/status.php", ""); !strings.Contains(text, "not compatible with PHP") {
		t.Errorf("status.php says %q", text)
	}
}

func credential(t *testing.T, u *user.User) *syscall.Credential {
	t.Helper()
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
