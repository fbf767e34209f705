package stale

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// box is a made-up /proc below a folder, and a folder of tools before PATH.
type box struct {
	t         *testing.T
	root, bin string
}

func newBox(t *testing.T) *box {
	b := &box{t: t, root: t.TempDir(), bin: t.TempDir()}
	b.process("1", "0::/init.scope", "/usr/lib/systemd/systemd", "")
	return b
}

func (b *box) put(path, text string) {
	b.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) process(pid, cgroup, exe, maps string) {
	b.t.Helper()
	dir := filepath.Join(b.root, "proc", pid)
	b.put(filepath.Join(dir, "maps"), "55e0 r-xp 00000000 fe:01 1 /usr/bin/x\n"+maps)
	b.put(filepath.Join(dir, "cgroup"), cgroup+"\n")
	for name, to := range map[string]string{"exe": exe, "root": "/"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			b.t.Fatal(err)
		}
	}
}

// inContainer gives a process another root.
func (b *box) inContainer(pid string) {
	link := filepath.Join(b.root, "proc", pid, "root")
	if err := errors.Join(os.Remove(link), os.Symlink(b.bin, link)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) run(c driver.Command) driver.Result {
	b.t.Helper()
	return run1(b.t, c, "NCFLEET_SYSROOT="+b.root, "PATH="+b.bin+":"+os.Getenv("PATH"))
}

func run1(t *testing.T, c driver.Command, env ...string) driver.Result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.Argv[0], c.Argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = bytes.NewReader(c.Stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return driver.Result{Exit: cmd.ProcessState.ExitCode(), Stdout: out.Bytes(), Stderr: errs.Bytes()}
}

const gone = "7f01 r-xp 00000000 fe:01 2 /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)\n"

func populated(t *testing.T) *box {
	b := newBox(t)
	b.process("20", "0::/system.slice/nginx.service", "/usr/sbin/nginx", gone)
	b.process("21", "0::/system.slice/nginx.service", "/usr/sbin/nginx", gone)
	b.process("30", "0::/system.slice/mariadb.service", "/usr/sbin/mariadbd", gone)
	b.process("31", "0::/system.slice/dbus.service", "/usr/bin/dbus-daemon", gone)
	b.process("32", "9:pids:/x\n1:name=systemd:/system.slice/system-postgresql.slice/postgresql@15-main.service", "/usr/lib/postgresql/15/bin/postgres", gone)
	b.process("33", "0::/openrc.php-fpm82/worker", "/usr/sbin/php-fpm82", gone)
	b.process("34", "0::/user.slice/user-0.slice/session-1.scope", "/usr/bin/bash", gone)
	b.process("35", "0::/", "/usr/bin/tool (deleted)", gone)
	b.process("36", "0::/system.slice/containerd.service/kubepods/x", "/usr/bin/shim", gone)
	b.process("37", "0::/init.scope", "/usr/lib/systemd/systemd", gone)
	b.process("38", "0::/system.slice/auditd.service", "/usr/sbin/auditd", gone)
	b.process("39", "0::/system.slice/gone.service", "/usr/sbin/gone", gone)
	// Not stale: deleted data, deleted files of the program's own making, a
	// container, the controller's run, and a service with everything in place.
	b.process("40", "0::/system.slice/a.service", "/usr/bin/a", "7f01 r--p 00000000 fe:01 2 /usr/share/x (deleted)\n7f02 rw-s 0 00:01 3 /dev/zero (deleted)\n7f03 r-xp 0 00:01 3 /memfd:jit (deleted)\n")
	b.process("41", "0::/system.slice/docker-1.scope", "/usr/sbin/nginx", gone)
	b.inContainer("41")
	b.process("42", "0::/system.slice/ncfleet-r-1.scope", "/bin/sh", gone)
	b.process("43", "0::/system.slice/cron.service", "/usr/sbin/cron", "")
	b.put(filepath.Join(b.root, "run/systemd/system/.keep"), "")
	return b
}

// systemctl is a stand-in that restarts with a shell line; auditd is as on
// Enterprise Linux, and one unit is gone.
func systemctl(restart string) string {
	return "#!/bin/sh\ncase $1 in restart) " + restart + " ;; show) case $* in *auditd.service) echo RefuseManualStop=yes ;; *gone.service) echo LoadState=not-found ;; esac ;; esac\n"
}

func owner(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("id", "-un").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestProbe(t *testing.T) {
	names, problem := Read(populated(t).run(Probe()))
	want := "/usr/bin/tool auditd.service containerd.service dbus.service gone.service mariadb.service nginx.service php-fpm82 postgresql@15-main.service session of " + owner(t) + " systemd-manager"
	if got := strings.Join(names, " "); got != want || problem != "" {
		t.Errorf("got  %s\nwant %s\nproblem %q", got, want, problem)
	}
}

func TestReadIncomplete(t *testing.T) {
	names, problem := Read(driver.Result{Exit: 1, Stdout: []byte("stale nginx.service\n"), Stderr: []byte("sh: killed\n")})
	if len(names) != 1 || problem != "services that run old code are unknown: sh: killed" {
		t.Errorf("%q, %q", names, problem)
	}
	if _, problem := Read(driver.Result{}); !strings.Contains(problem, "gave no answer") {
		t.Errorf("problem %q", problem)
	}
}

func TestListed(t *testing.T) {
	b := populated(t)
	b.put(filepath.Join(b.bin, "systemctl"), "#!/bin/sh\necho called >"+b.root+"/called\n")
	r := b.run(List.After())
	if out := string(r.Stdout); r.Exit != 0 || !strings.HasPrefix(out, "ncfleet: degraded still running old code: ") || !strings.Contains(out, "nginx.service") {
		t.Errorf("exit %d: %s%s", r.Exit, r.Stdout, r.Stderr)
	}
	if _, err := os.Stat(filepath.Join(b.root, "called")); err == nil {
		t.Error("the policy list called systemctl")
	}
	if r := newBox(t).run(List.After()); string(r.Stdout) != "ncfleet: note no service runs old code\n" {
		t.Errorf("nothing stale: %s", r.Stdout)
	}
}

func TestRestarted(t *testing.T) {
	b := populated(t)
	b.put(filepath.Join(b.bin, "systemctl"), systemctl("echo \"$2\" >>"+b.root+"/called"))
	r := b.run(Restart.After())
	called, err := os.ReadFile(filepath.Join(b.root, "called"))
	if want := "mariadb.service\npostgresql@15-main.service\nnginx.service\nphp-fpm82\n"; err != nil || string(called) != want {
		t.Errorf("restarted %q, want %q (%v)", called, want, err)
	}
	out := string(r.Stdout)
	for _, want := range []string{
		"ncfleet: note restarted, since they ran old code: mariadb.service, postgresql@15-main.service, nginx.service, php-fpm82\n",
		"dbus.service (the running system hangs on it)", "containerd.service (containers or guests hang on it)",
		"/usr/bin/tool (it belongs to no service)", "systemd-manager (the running system hangs on it)",
		"auditd.service (systemd lets nobody restart it by hand)", "gone.service (systemd has no such unit any more)", "session of " + owner(t) + " (it is a login of a person)",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if r.Exit != 0 {
		t.Errorf("exit %d: %s", r.Exit, r.Stderr)
	}
}

func TestRestartFails(t *testing.T) {
	b := populated(t)
	b.put(filepath.Join(b.bin, "systemctl"), systemctl("test \"$2\" != mariadb.service"))
	r := b.run(Restart.After())
	if out := string(r.Stdout); r.Exit != 1 || !strings.Contains(out, "ncfleet: error services that did not restart after the update: mariadb.service;") || !strings.Contains(out, "old code: postgresql@15-main.service, nginx") {
		t.Errorf("exit %d: %s%s", r.Exit, out, r.Stderr)
	}
}

// An sshd whose configuration has an error would not come back.
func TestRestartSparesBrokenSSHD(t *testing.T) {
	for test, want := range map[string]string{"exit 0": "old code: ssh.service\n", "exit 1": "ssh.service (its configuration has an error: sshd -t names it)"} {
		b := newBox(t)
		b.process("20", "0::/system.slice/ssh.service", "/usr/sbin/sshd", gone)
		b.put(filepath.Join(b.root, "run/systemd/system/.keep"), "")
		b.put(filepath.Join(b.bin, "sshd"), "#!/bin/sh\n"+test+"\n")
		b.put(filepath.Join(b.bin, "systemctl"), systemctl("exit 0"))
		if r := b.run(Restart.After()); r.Exit != 0 || !strings.Contains(string(r.Stdout), want) {
			t.Errorf("sshd -t: %s: exit %d, %s", test, r.Exit, r.Stdout)
		}
	}
}

// TestNeedrestart reads what needrestart 3.6 said on a Debian 12 whose libc and
// libssl had been replaced; it is asked to list, never to restart.
func TestNeedrestart(t *testing.T) {
	b := newBox(t)
	recorded, err := filepath.Abs("testdata/needrestart.txt")
	if err != nil {
		t.Fatal(err)
	}
	b.put(filepath.Join(b.bin, "needrestart"), "#!/bin/sh\necho \"$*\" >"+b.root+"/asked\nexec cat "+recorded+"\n")
	names, problem := Read(run1(t, Probe(), "PATH="+b.bin+":"+os.Getenv("PATH")))
	want := "cron.service dbus.service mariadb.service nginx.service php8.2-fpm.service ssh.service systemd-journald.service systemd-logind.service systemd-manager"
	if got := strings.Join(names, " "); got != want || problem != "" {
		t.Errorf("got  %s\nwant %s\nproblem %q", got, want, problem)
	}
	if asked, err := os.ReadFile(filepath.Join(b.root, "asked")); err != nil || string(asked) != "-b -l -r l\n" {
		t.Errorf("needrestart was called with %q (%v)", asked, err)
	}
}

// TestRealProcess lets the kernel say that a running program's file is gone.
func TestRealProcess(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a folder over /opt in a namespace needs root")
	}
	if err := exec.Command("unshare", "-m", "true").Run(); err != nil {
		t.Skipf("unshare -m does not work here: %v", err)
	}
	if _, err := exec.LookPath("needrestart"); err == nil {
		t.Skip("needrestart is installed and would answer instead")
	}
	c := Probe()
	c.Argv = []string{"unshare", "-m", "sh", "-c", `mount -t tmpfs none /opt && cp "$(command -v sleep)" /opt/sleep || exit 77
/opt/sleep 60 </dev/null >/dev/null 2>&1 & pid=$!
until readlink /proc/$pid/exe | grep -q /opt/sleep; do :; done
sh -c "$0" sh probe | sed "s/^/before /"
rm /opt/sleep; sh -c "$0" sh probe; kill $pid`, string(c.Stdin)}
	c.Stdin = nil
	r := run1(t, c)
	if r.Exit == 77 {
		t.Skipf("a tmpfs cannot be mounted here: %s", r.Stderr)
	}
	names, problem := Read(r)
	if problem != "" || !strings.Contains(strings.Join(names, "\n")+"\n", "/opt/sleep\n") && !strings.Contains(string(r.Stdout), ".service") {
		t.Errorf("found %q (%s)\n%s%s", names, problem, r.Stdout, r.Stderr)
	}
	if strings.Contains(string(r.Stdout), "before stale /opt/sleep") {
		t.Errorf("stale before its file was gone:\n%s", r.Stdout)
	}
}

func TestFromConfig(t *testing.T) {
	for v, want := range map[string]Policy{"": List, "list": List, "restart": Restart} {
		if p, err := FromConfig(driver.Config{AttributeName: v}); err != nil || p != want {
			t.Errorf("%q: %q, %v", v, p, err)
		}
	}
	if p, err := FromConfig(driver.Config{}); err != nil || p != List {
		t.Errorf("unset: %q, %v", p, err)
	}
	if _, err := FromConfig(driver.Config{AttributeName: "ask"}); driver.ClassOf(err) != driver.Permanent {
		t.Errorf("ask: %v", err)
	}
}
