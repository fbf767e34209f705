package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

const testPassword = "correct-horse-7"

// account makes a user for the test and returns its name and a function that
// sets its sudo rules.
func account(t *testing.T) (string, func(rules ...string)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make users")
	}
	for _, program := range []string{"useradd", "userdel", "chpasswd", "sudo"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("no " + program + " on this machine")
		}
	}
	name := fmt.Sprintf("nct%d", os.Getpid())
	rules := "/etc/sudoers.d/" + name
	t.Cleanup(func() {
		os.Remove(rules)
		exec.Command("userdel", "-r", name).Run()
	})
	if out, err := exec.Command("useradd", "-m", "-s", "/bin/sh", name).CombinedOutput(); err != nil {
		t.Skipf("cannot make a user: %v, %s", err, out)
	}
	set := exec.Command("chpasswd")
	set.Stdin = strings.NewReader(name + ":" + testPassword + "\n")
	if out, err := set.CombinedOutput(); err != nil {
		t.Skipf("cannot set a password: %v, %s", err, out)
	}
	return name, func(lines ...string) {
		t.Helper()
		text := strings.ReplaceAll(strings.Join(lines, "\n"), "USER", name) + "\n"
		if err := os.WriteFile(rules, []byte(text), 0o440); err != nil {
			t.Fatal(err)
		}
	}
}

func secret(s string) func() (string, error) { return func() (string, error) { return s, nil } }

func TestSudo(t *testing.T) {
	t.Parallel()
	name, allow := account(t)
	s := startSSHD(t)
	leaseTo(t, s.config)
	s.config.User, s.config.Sudo, s.config.SudoPassword = name, SudoAuto, nil
	host := func(password func() (string, error)) *Host {
		c := s.config
		c.SudoPassword = password
		return newTestPool(t).Host(c)
	}
	who := driver.Command{Argv: []string{"sh", "-c", `printf '%s %s %s:' "$(id -un)" "$HOME" "$LC_ALL"; cat`}, User: "root", Stdin: []byte("line one\nline two\n")}
	const want = "root /root C.UTF-8:line one\nline two\n"
	for _, c := range []struct {
		name     string
		rules    []string
		password func() (string, error)
		reason   string
		says     string
	}{
		{"no rule", []string{"# none"}, nil, SudoNotAllowed, "sudo -l -U " + name},
		{"password wanted", []string{"USER ALL=(ALL) ALL"}, nil, SudoNotAllowed, "password"},
		{"no password needed", []string{"USER ALL=(ALL) NOPASSWD: ALL"}, nil, "", ""},
		{"password", []string{"USER ALL=(ALL) ALL"}, secret(testPassword), "", ""},
		{"superfluous password", []string{"USER ALL=(ALL) NOPASSWD: ALL"}, secret(testPassword), "", ""},
		{"wrong password", []string{"USER ALL=(ALL) ALL"}, secret("wrong"), SudoWrongPassword, "1 incorrect password attempt"},
		{"password but no rule", []string{"# none"}, secret(testPassword), SudoNotAllowed, "sudoers"},
		{"terminal wanted", []string{"Defaults:USER requiretty", "USER ALL=(ALL) NOPASSWD: ALL"}, nil, SudoNeedsTTY, "!requiretty"},
		{"terminal and password wanted", []string{"Defaults:USER requiretty", "USER ALL=(ALL) ALL"}, secret(testPassword), SudoNeedsTTY, "!requiretty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			allow(c.rules...)
			r, err := host(c.password).Run(testContext(t), who)
			var e *SudoError
			switch {
			case c.reason == "" && (err != nil || string(r.Stdout) != want):
				t.Errorf("got %q %q, %v", r.Stdout, r.Stderr, err)
			case c.reason == "":
			case !errors.As(err, &e) || e.Reason != c.reason || !strings.Contains(err.Error(), c.says):
				t.Errorf("got %v, want %s with %q", err, c.reason, c.says)
			}
		})
	}
	t.Run("own failure", func(t *testing.T) {
		allow("USER ALL=(ALL) NOPASSWD: ALL")
		r, err := host(nil).Run(testContext(t), driver.Command{Argv: []string{"sh", "-c", "echo no >&2; exit 1"}, User: "root"})
		if err != nil || r.Exit != 1 {
			t.Errorf("got %+v, %v", r, err)
		}
	})
	t.Run("unknown user", func(t *testing.T) {
		_, err := host(nil).Run(testContext(t), driver.Command{Argv: []string{"true"}, User: "nobody-such"})
		var e *SudoError
		if !errors.As(err, &e) || e.Reason != SudoUnknownUser {
			t.Errorf("got %v", err)
		}
	})
	t.Run("secrets", func(t *testing.T) { checkSecrets(t, host(secret(testPassword)), allow) })
	t.Run("detached", func(t *testing.T) { checkDetached(t, s, host(secret(testPassword)), allow) })
	t.Run("missing", func(t *testing.T) { checkMissing(t, s) })
}

// checkSecrets looks for them in the process list of the host.
func checkSecrets(t *testing.T, h *Host, allow func(...string)) {
	t.Helper()
	allow("USER ALL=(ALL) ALL")
	list := driver.Command{
		Argv: []string{"sh", "-c", `cat >/dev/null; for p in /proc/[0-9]*; do tr '\0' ' ' <"$p/cmdline" 2>/dev/null; echo; done`},
		Env:  map[string]string{"TOKEN": "env-secret-1"}, Stdin: []byte("stdin-secret-2"), User: "root",
	}
	checkNoSecret := func(out []byte) {
		t.Helper()
		if !bytes.Contains(out, []byte("sudo -k -S")) && !bytes.Contains(out, []byte("keeper")) {
			t.Errorf("the list does not show the command: %s", out)
		}
		for _, secret := range []string{testPassword, "env-secret", "stdin-secret"} {
			if bytes.Contains(out, []byte(secret)) {
				t.Errorf("the list shows %s", secret)
			}
		}
	}
	checkNoSecret(mustRun(t, h, list).Stdout)
	ctx := testContext(t)
	if _, err := h.Start(ctx, "list", testToken, list); err != nil {
		t.Fatal(err)
	}
	state, err := h.Wait(ctx, "list", nil)
	if err != nil {
		t.Fatal(err)
	}
	checkNoSecret(state.Stdout)
}

func checkDetached(t *testing.T, s *sshd, h *Host, allow func(...string)) {
	t.Helper()
	allow("USER ALL=(ALL) ALL")
	checkUsers(t, h, s.config.User)
	info, err := os.Stat(filepath.Join(s.config.StateDir, "runs", "as-nobody"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("run folder: %v, %v", info, err)
	}
	r := UploadRequest{Path: filepath.Join(s.dir, "new", "f"), User: "root", Mode: 0o644, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }}
	if err := h.Upload(testContext(t), r); err != nil {
		t.Error(err)
	}
	out, _ := exec.Command("stat", "-c", "%U %a", r.Path, filepath.Dir(r.Path)).Output()
	if string(out) != "root 644\nroot 755\n" {
		t.Errorf("uploaded as %q", out)
	}
}

// checkMissing logs in where the path has no sudo.
func checkMissing(t *testing.T, s *sshd) {
	t.Helper()
	bin := filepath.Join(s.dir, "bin")
	os.Mkdir(bin, 0o755)
	for _, program := range []string{"env", "sh"} {
		path, _ := exec.LookPath(program)
		os.Symlink(path, filepath.Join(bin, program))
	}
	poor := startSSHDWith(t, s.dir, "HostKey "+filepath.Join(s.dir, "host_key"), "SetEnv PATH="+bin)
	c := s.config
	c.Port, c.KnownHosts = poor.port, poor.config.KnownHosts
	_, err := newTestPool(t).Host(c).Run(testContext(t), driver.Command{Argv: []string{"true"}, User: "root"})
	var e *SudoError
	if !errors.As(err, &e) || e.Reason != SudoMissing {
		t.Errorf("got %v", err)
	}
}

// checkUsers runs commands as several users, at once and detached.
func checkUsers(t *testing.T, h *Host, login string) {
	t.Helper()
	ctx := testContext(t)
	for _, c := range []struct{ id, user, want string }{
		{"as-login", "", login}, {"as-root", "root", "root"}, {"as-nobody", "nobody", "nobody"},
	} {
		cmd := driver.Command{Argv: []string{"sh", "-c", `id -un; printf %s "$X"; cat`}, Env: map[string]string{"X": "x\n"}, Stdin: []byte("in"), User: c.user}
		want := c.want + "\nx\nin"
		expect(t, h, cmd, want)
		expect(t, h, driver.Command{Argv: []string{"id", "-un"}, User: c.user}, c.want+"\n")
		if _, err := h.Start(ctx, c.id, testToken, cmd); err != nil {
			t.Fatal(err)
		}
		state, err := h.Wait(ctx, c.id, nil)
		if err != nil || string(state.Stdout) != want || state.Phase != driver.RunExited || state.Exit != 0 {
			t.Errorf("%s: %+v, %q %q, %v", c.id, state, state.Stdout, state.Stderr, err)
		}
	}
}

func TestRootBecomesUsers(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root becomes others")
	}
	s := startSSHD(t)
	leaseTo(t, s.config)
	s.config.Sudo = SudoAuto
	h := s.connect(t)
	checkUsers(t, h, "root")
	var e *NotStarted
	if _, err := h.Run(testContext(t), driver.Command{Argv: []string{"true"}, User: "nobody-such"}); !errors.As(err, &e) {
		t.Errorf("unknown user: %v", err)
	}
	t.Run("without runuser", func(t *testing.T) {
		script := strings.ReplaceAll(becomeScript, "command -v runuser", "false")
		out, err := exec.Command("sh", "-c", compact(script), "sh", "nobody", "printf", "%s|", "a b", "$HOME").Output()
		if err != nil || string(out) != "a b|$HOME|" {
			t.Errorf("got %q, %v", out, err)
		}
	})
	t.Run("upload", func(t *testing.T) {
		dir := filepath.Join(s.dir, "theirs")
		os.Mkdir(dir, 0o777)
		os.Chmod(dir, 0o777)
		r := UploadRequest{Path: filepath.Join(dir, "f"), User: "nobody", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }}
		if err := h.Upload(testContext(t), r); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("stat", "-c", "%U %a", r.Path).Output()
		if err != nil || string(out) != "nobody 600\n" {
			t.Errorf("got %q, %v", out, err)
		}
		r.Path = "/etc/f"
		if err := h.Upload(testContext(t), r); err == nil || !strings.Contains(err.Error(), "as user nobody") {
			t.Errorf("into /etc: %v", err)
		}
	})
	t.Run("abort", func(t *testing.T) {
		ctx := testContext(t)
		// The user switch ends first and leaves its children alone.
		if _, err := h.Start(ctx, "abort", testToken, driver.Command{Argv: []string{"sh", "-c", "trap '' TERM; sleep 61 & echo $!; sleep 62"}, User: "nobody"}); err != nil {
			t.Fatal(err)
		}
		if err := h.Abort(ctx, "abort", testToken); err != nil {
			t.Fatal(err)
		}
		state, err := h.Look(ctx, "abort")
		if err != nil || state.Phase != driver.RunExited || state.Exit == 0 {
			t.Errorf("got %+v, %v", state, err)
		}
		pid := strings.TrimSpace(string(state.Stdout))
		if raw, _ := os.ReadFile("/proc/" + pid + "/cmdline"); pid == "" || strings.HasPrefix(string(raw), "sleep\x0061") {
			t.Errorf("process %s of the run goes on", pid)
		}
	})
}
