package remote

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"golang.org/x/crypto/ssh"
)

// The tests mostly wait for other processes, so more of them than there are
// processors go side by side.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("8")
	}
	os.Exit(m.Run())
}

// sshd is a real SSH daemon on the loopback.
type sshd struct {
	dir    string
	port   int
	pid    int
	said   func() string // its log so far
	config Config
	host   ssh.PublicKey
}

func newKey(t testing.TB, file string) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if file != "" {
		write(t, file, string(pem.EncodeToMemory(block)))
	}
	return signer
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// testToken is what the hosts of most tests are leased under.
const testToken = "r 1 n"

// leaseTo puts a lease under testToken where a host keeps it.
func leaseTo(t testing.TB, c Config) {
	t.Helper()
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(c.StateDir, "lease"), testToken+"\ntest\n1\n")
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// startSSHD starts a daemon for the current user and waits until it listens.
func startSSHD(t testing.TB, extra ...string) *sshd {
	t.Helper()
	dir := t.TempDir()
	// Other users' logins read their keys there.
	os.Chmod(filepath.Dir(dir), 0o755)
	os.Chmod(dir, 0o755)
	newKey(t, filepath.Join(dir, "host_key"))
	login := newKey(t, filepath.Join(dir, "id"))
	write(t, filepath.Join(dir, "authorized"), string(ssh.MarshalAuthorizedKey(login.PublicKey())))
	os.Chmod(filepath.Join(dir, "authorized"), 0o644)
	return startSSHDWith(t, dir, append(extra, "HostKey "+filepath.Join(dir, "host_key"))...)
}

// startSSHDWith starts a daemon with the keys in a folder.
func startSSHDWith(t testing.TB, dir string, extra ...string) *sshd {
	t.Helper()
	const program = "/usr/sbin/sshd"
	if _, err := os.Stat(program); err != nil {
		t.Skip("no sshd on this machine")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		os.MkdirAll("/run/sshd", 0o755) // privilege separation wants it
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	host, err := readKey(at("host_key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	write(t, at("sshd_config"), fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nPidFile none\nAuthorizedKeysFile %s\n"+
		"UsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n%s\n",
		port, at("authorized"), strings.Join(extra, "\n")))
	log, err := os.Create(at("sshd.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	said := func() string {
		text, err := os.ReadFile(log.Name())
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	cmd := exec.Command(program, "-D", "-e", "-f", at("sshd_config"))
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("sshd said:\n%s", said())
		}
	})
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatalf("sshd does not listen: %s", said())
		}
	}
	line := "[127.0.0.1]:" + strconv.Itoa(port) + " " + string(ssh.MarshalAuthorizedKey(host.PublicKey()))
	write(t, at("known_hosts"), line)
	return &sshd{dir: dir, port: port, pid: cmd.Process.Pid, said: said, host: host.PublicKey(), config: Config{
		Name: "web1", Address: "127.0.0.1", Port: port, User: me.Username,
		Keys: []string{at("id")}, KnownHosts: []string{at("known_hosts")},
		Sudo: SudoNone, StateDir: at("state"), KeepaliveInterval: -1,
	}}
}

func newTestPool(t testing.TB) *Pool {
	t.Helper()
	p := NewPool(Limits{})
	t.Cleanup(func() { p.Close() })
	return p
}

func (s *sshd) connect(t testing.TB) *Host {
	t.Helper()
	return newTestPool(t).Host(s.config)
}

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(stop)
	return ctx
}

func mustRun(t testing.TB, h *Host, c driver.Command) driver.Result {
	t.Helper()
	r, err := h.Run(testContext(t), c)
	if err != nil {
		t.Fatalf("run %q: %v", c.Argv, err)
	}
	return r
}

// severConnections kills the daemon's side of every session, as a cut would.
func (s *sshd) severConnections(t testing.TB) {
	t.Helper()
	out, err := exec.Command("sh", "-c", `for p in /proc/[0-9]*; do
		[ -r "$p/net/tcp" ] || continue
		tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep -q '^sshd: .*\(notty\|\[priv\]\)\|^sshd: [a-z_][a-z0-9_-]* *$' && echo "${p#/proc/}"; done; :`).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range strings.Fields(string(out)) {
		pid, _ := strconv.Atoi(field)
		if s.owns(pid) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// owns reports whether the process descends from this daemon.
func (s *sshd) owns(pid int) bool {
	for depth := 0; pid > 1 && depth < 20; depth++ {
		if pid == s.pid {
			return true
		}
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return false
		}
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		pid, _ = strconv.Atoi(fields[1])
	}
	return false
}
