package remote

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

func needSSH(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("no OpenSSH client on this machine")
	}
}

// knownAs is the line that known_hosts has for a server, under another name.
func knownAs(t *testing.T, s *server, name string) string {
	t.Helper()
	text, err := os.ReadFile(s.config.KnownHosts[0])
	if err != nil {
		t.Fatal(err)
	}
	address, key, _ := strings.Cut(string(text), " ")
	return orElse(name, address) + " " + key
}

// TestHostsOfAnSSHConfig reaches a host that only the ssh_config describes,
// over two bastions, and asks about each once.
func TestHostsOfAnSSHConfig(t *testing.T) {
	needSSH(t)
	outer, inner, end := startServer(t), startServer(t), startServer(t)
	dir := t.TempDir()
	asked := filepath.Join(dir, "asked")
	known := knownAs(t, outer, "") + knownAs(t, inner, "") + knownAs(t, end, "the-web-host")
	write(t, filepath.Join(dir, "known"), known)
	if err := os.Rename(end.config.Keys[0], filepath.Join(dir, "key of web1 sim")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "ssh_config")
	write(t, file, fmt.Sprintf(`
Match exec "echo %%n >>%[1]s/asked"
  UserKnownHostsFile %[1]s/known
Host web*
  HostName 127.0.0.1
  Port %[2]d
  User sim
  IdentityFile "%[1]s/key of %%n %%r"
  HostKeyAlias the-web-host
  ProxyJump inner
Host inner
  HostName 127.0.0.1
  Port %[3]d
  User sim
  IdentityFile %[4]s
  ProxyJump sim@outer:%[5]d
Host outer
  HostName 127.0.0.1
  IdentityFile %[6]s
`, dir, end.config.Port, inner.config.Port, inner.config.Keys[0], outer.config.Port, outer.config.Keys[0]))
	p := newTestPool(t)
	c := Config{Name: "cloud", Address: "web1", SSHConfig: file, Sudo: SudoNone, StateDir: filepath.Join(dir, "state"), KeepaliveInterval: -1}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { expect(t, p.Host(c), echo, "hi\n") })
	}
	wg.Wait()
	if o, i, e := outer.dials.Load(), inner.dials.Load(), end.dials.Load(); o != 1 || i != 1 || e != 3 {
		t.Errorf("dials: %d outer, %d inner, %d end; want 1, 1, 3", o, i, e)
	}
	text, err := os.ReadFile(asked)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(string(text)); !reflect.DeepEqual(got, []string{"web1", "inner", "outer"}) {
		t.Errorf("ssh was asked about %q", got)
	}
	c.Jump = []Config{} // the inventory says: directly
	c.User, c.Sudo = "sim", ""
	h := p.Host(c)
	expect(t, h, echo, "hi\n")
	if o := outer.dials.Load(); o != 1 {
		t.Errorf("%d dials of the bastion by a host that has none", o)
	}
	c.KnownHosts = end.config.KnownHosts // by its address
	_, err = newTestPool(t).Host(c).Run(testContext(t), echo)
	if err == nil || !strings.Contains(err.Error(), "under the name the-web-host") {
		t.Errorf("a host that is known by another name: %v", err)
	}
	if h.Name() != fmt.Sprintf("cloud (127.0.0.1:%d)", end.config.Port) {
		t.Errorf("the host is called %s", h.Name())
	}
}

// TestWhatTheInventorySaysGoesFirst completes configurations without using them.
func TestWhatTheInventorySaysGoesFirst(t *testing.T) {
	needSSH(t)
	t.Setenv("SSH_AUTH_SOCK", "/run/agent")
	dir := t.TempDir()
	for _, name := range []string{"id", "id-cert.pub", "mine", "known"} {
		write(t, filepath.Join(dir, name), "x")
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	file := at("ssh_config")
	write(t, file, fmt.Sprintf(`
Match user deploy
  IdentityAgent none
Host *
  HostName %%h.example.org
  User ops
  Port 2222
  IdentityFile %[1]s/id
  IdentityFile %[1]s/not-there
  CertificateFile %[1]s/id-cert.pub
  IdentitiesOnly yes
  UserKnownHostsFile %[1]s/not-there %[1]s/known
  GlobalKnownHostsFile none
  StrictHostKeyChecking accept-new
  ConnectTimeout 7
`, dir))
	p := newTestPool(t)
	got, err := p.complete(testContext(t), Config{Address: "web1", SSHConfig: file})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Address: "web1.example.org", User: "ops", Port: 2222, Keys: []string{at("id")}, Certificates: []string{at("id-cert.pub")},
		IdentitiesOnly: true, Agent: true, KnownHosts: []string{at("known")}, HostKeys: HostKeysAcceptNew, Jump: []Config{}, ConnectTimeout: 7e9, optionalKeys: true,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("all by ssh_config:\ngot  %+v\nwant %+v", got, want)
	}
	own := Config{Address: "web1", SSHConfig: file, User: "deploy", Port: 22, Keys: []string{at("mine")}, KnownHosts: []string{"other"},
		HostKeys: HostKeysStrict, ConnectTimeout: 9e9, Jump: []Config{{Address: "gate", SSHConfig: file}}}
	if got, err = p.complete(testContext(t), own); err != nil {
		t.Fatal(err)
	}
	gate := want
	gate.Address = "gate.example.org"
	want = Config{Address: "web1.example.org", User: "deploy", Port: 22, Keys: []string{at("mine")}, Certificates: []string{at("id-cert.pub")},
		IdentitiesOnly: true, KnownHosts: []string{"other"}, HostKeys: HostKeysStrict, ConnectTimeout: 9e9, Jump: []Config{gate}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("with the inventory's own:\ngot  %+v\nwant %+v", got, want)
	}
	if own.Jump[0].Address != "gate" {
		t.Error("the caller's bastion was changed")
	}
}

func TestSSHConfigThatIsNotTakenOver(t *testing.T) {
	needSSH(t)
	file := filepath.Join(t.TempDir(), "ssh_config")
	write(t, file, `
Host command
  ProxyCommand nc %h %p
Host bound
  BindAddress 192.0.2.1
Host keys
  KnownHostsCommand /bin/true
Host loop
  ProxyJump loop2
Host loop2
  ProxyJump loop
Host token
  IdentityFile ~/.ssh/%C
`)
	p := newTestPool(t)
	for host, want := range map[string]string{
		"command":       "ProxyCommand nc %h %p, which is not taken over: write it as ProxyJump",
		"bound":         "BindAddress 192.0.2.1",
		"keys":          "KnownHostsCommand /bin/true",
		"loop":          "over more than 8 bastions",
		"token":         "the token %C",
		"-oProxy=x":     "that is not a host's name",
		"x;touch /tmp/": "that is not a host's name",
	} {
		c := Config{Name: "cloud", Address: host, SSHConfig: file}
		_, err := p.Host(c).Run(testContext(t), driver.Command{Argv: []string{"true"}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "cannot connect to host cloud (") {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, way := range [][]Config{{}, {{Address: "192.0.2.1"}}} {
		if _, err := p.complete(testContext(t), Config{Address: "command", SSHConfig: file, Jump: way}); err != nil {
			t.Errorf("the inventory's own way counts, not the ProxyCommand: %v", err)
		}
	}
}
