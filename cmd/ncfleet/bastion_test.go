package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ncfleet/ncfleet/controller/sim"
)

// bastion is a real sshd with its defaults on the loopback, whose log is kept.
type bastion struct {
	*testing.T
	block string // of an inventory
	log   string
}

func startBastion(t *testing.T, keyFile string) *bastion {
	t.Helper()
	const program = "/usr/sbin/sshd"
	if _, err := os.Stat(program); err != nil {
		t.Skipf("the bastion is a real sshd: %v", err)
	}
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // privilege separation wants it
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	save := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	login, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	save("host_key", privateKey())
	host, err := os.ReadFile(at("host_key"))
	if err != nil {
		t.Fatal(err)
	}
	public := func(private []byte) string {
		t.Helper()
		s, err := ssh.ParsePrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		return string(ssh.MarshalAuthorizedKey(s.PublicKey()))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	save("authorized", public(login))
	save("known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s", port, public(host)))
	save("sshd_config", fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nStrictModes no\nLogLevel DEBUG\n",
		port, at("host_key"), at("authorized")))
	b := &bastion{T: t, log: at("log")}
	log, err := os.Create(b.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, "-D", "-e", "-f", at("sshd_config"))
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for end := time.Now().Add(time.Minute); b.count("Server listening on") == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("sshd does not listen:\n%s", b.said())
		}
	}
	b.block = fmt.Sprintf("\nbastion \"gate\" {\n  address = \"127.0.0.1\"\n  ssh {\n    port        = %d\n    known_hosts = [%q]\n  }\n}\n", port, at("known_hosts"))
	return b
}

func (b *bastion) said() string {
	b.Helper()
	text, err := os.ReadFile(b.log)
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

func (b *bastion) count(text string) int { return strings.Count(b.said(), text) }

// TestFleetBehindOneBastion surveys and plans a fleet behind one sshd with its
// defaults (MaxStartups 10:30:100, MaxSessions 10), and reads in its log that
// it refused nobody.
func TestFleetBehindOneBastion(t *testing.T) {
	t.Parallel()
	hosts := 60
	switch {
	case testing.Short():
		t.Skip("surveys a simulated fleet through a real sshd: some seconds")
	case raceDetector:
		t.Skip("simulated hosts take minutes under the race detector; what is concurrent here has its tests in controller/remote")
	case os.Getenv("NCFLEET_TEST_ALL") != "":
		hosts = 300
	default:
		t.Log("60 hosts; NCFLEET_TEST_ALL=1 takes 300")
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(stop)
	farm, err := sim.StartFarm(ctx, t.TempDir(), hosts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { farm.Close() })
	dir := filepath.Dir(farm.Inventory)
	b := startBastion(t, filepath.Join(dir, "id_ed25519"))
	text, err := os.ReadFile(farm.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	behind := filepath.Join(dir, "behind.hcl")
	changed := strings.Replace(string(text), "\nssh {\n", "\nssh {\n  jump        = [\"gate\"]\n", 1) + b.block
	if err := os.WriteFile(behind, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	reached := fmt.Sprintf("%d hosts surveyed, 0 unreachable", hosts)
	timed := func(code int, says string, args ...string) time.Duration {
		t.Helper()
		begun := time.Now()
		got, stdout, stderr := ncfleet(t, args...)
		took := time.Since(begun)
		if got != code || !holds(stdout+stderr, says) {
			t.Errorf("%v: exit %d, want %d and %q:\n%.4000s", args, got, code, says, stdout+stderr)
		}
		return took
	}
	timed(exitOK, reached, "-i", farm.Inventory, "survey", "--quiet") // the farm learns its answers
	direct := timed(exitOK, reached, "-i", farm.Inventory, "survey", "--quiet")
	if n := b.count("server_request_direct_tcpip:"); n != 0 {
		t.Fatalf("%d hosts were reached through the bastion before it was asked", n)
	}
	through := timed(exitOK, reached, "-i", behind, "survey", "--quiet")
	forwarded, logins := b.count("server_request_direct_tcpip:"), b.count("Accepted publickey")
	if forwarded != hosts || logins < 1 || logins > 4 {
		t.Errorf("%d of %d hosts were reached through the bastion, by %d connections to it", forwarded, hosts, logins)
	}
	atOnce := timed(exitOK, reached, "-i", behind, "--parallel", "1000", "survey", "--quiet")
	planned := timed(exitChanges, fmt.Sprintf("%d targets", hosts), "-i", behind, "plan", "monthly", "-o", filepath.Join(dir, "plan.json"))
	for _, refusal := range []string{"MaxStartups", "drop connection", "refused", "no more sessions", "Too many", "error:", "fatal:"} {
		if n := b.count(refusal); n > 0 {
			t.Errorf("the bastion's log says %q %d times:\n%.6000s", refusal, n, b.said())
		}
	}
	t.Logf("%d hosts: survey directly %.2f s, through one bastion %.2f s (%.1f times), all at once through it %.2f s, plan through it %.2f s",
		hosts, direct.Seconds(), through.Seconds(), through.Seconds()/direct.Seconds(), atOnce.Seconds(), planned.Seconds())
	t.Logf("the bastion's sshd: %d connections refused or dropped; first survey: %d hosts over %d connection(s) to it; in all %d over %d",
		b.count("drop connection"), forwarded, logins, b.count("server_request_direct_tcpip:"), b.count("Accepted publickey"))
}
