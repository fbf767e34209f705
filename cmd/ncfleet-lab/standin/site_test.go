package standin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const password = "Abc-1234567"

// site is one installed stand-in in a folder of the test's.
type site struct {
	t               *testing.T
	dir, tree, data string
}

// needPHP skips where PHP or what the stand-in needs of it is missing.
func needPHP(t *testing.T, modules ...string) {
	t.Helper()
	out, err := exec.Command("php", "-m").Output()
	if err != nil {
		t.Skipf("php is not here: %v", err)
	}
	have := "\n" + string(out)
	for _, m := range append([]string{"pdo_sqlite", "SimpleXML", "posix", "Phar", "zlib"}, modules...) {
		if !strings.Contains(have, "\n"+m+"\n") {
			t.Skipf("this php has no module %s", m)
		}
	}
}

// unpacked is a tree that is not installed yet.
func unpacked(t *testing.T, version string) *site {
	t.Helper()
	needPHP(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: dir, tree: dir + "/html", data: dir + "/data"}
	s.ok(Unpack(s.tree, version))
	return s
}

// installed is a site on the database that the options name, SQLite by default.
func installed(t *testing.T, version string, options ...string) *site {
	t.Helper()
	s := unpacked(t, version)
	s.must(append([]string{"maintenance:install", "--admin-user=admin", "--admin-pass=" + password, "--data-dir", s.data}, options...)...)
	s.set("standin_upgrade_seconds", "0")
	s.set("appstoreenabled", "false", "--type=boolean")
	return s
}

func (s *site) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// answer is what a command said and how it ended.
type answer struct {
	stdout, stderr string
	exit           int
}

func (s *site) php(args ...string) *exec.Cmd {
	c := exec.Command("php", args...)
	c.Dir = s.tree
	return c
}

func run(c *exec.Cmd) answer {
	var out, err bytes.Buffer
	c.Stdout, c.Stderr = &out, &err
	_ = c.Run()
	return answer{out.String(), err.String(), status(c)}
}

// status is the exit status as a shell has it.
func status(c *exec.Cmd) int {
	if w, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return c.ProcessState.ExitCode()
}

func (s *site) occ(args ...string) answer {
	s.t.Helper()
	return run(s.php(append([]string{"occ"}, args...)...))
}

func (s *site) must(args ...string) string {
	s.t.Helper()
	a := s.occ(args...)
	if a.exit != 0 {
		s.t.Fatalf("occ %s: exit %d\n%s%s", args[0], a.exit, a.stdout, a.stderr)
	}
	return a.stdout
}

func (s *site) set(key, value string, more ...string) {
	s.t.Helper()
	s.must(append([]string{"config:system:set", key, "--value=" + value}, more...)...)
}

// want runs occ and compares the exit status; each text must be in stdout.
func (s *site) want(exit int, texts []string, args ...string) answer {
	s.t.Helper()
	a := s.occ(args...)
	if a.exit != exit {
		s.t.Errorf("occ %q: exit %d, want %d\n%s%s", args, a.exit, exit, a.stdout, a.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(a.stdout, text) {
			s.t.Errorf("occ %q does not say %q on stdout:\n%s", args, text, a.stdout)
		}
	}
	return a
}

// state is what occ status says.
type state struct {
	Version        string `json:"version"`
	Maintenance    bool   `json:"maintenance"`
	NeedsDBUpgrade bool   `json:"needsDbUpgrade"`
}

func (s *site) state() state {
	s.t.Helper()
	var st state
	s.ok(json.Unmarshal([]byte(s.must("status", "--output=json")), &st))
	return st
}

func (s *site) config(key string) string {
	return strings.TrimSpace(s.occ("config:system:get", key).stdout)
}

// swap puts the tree of another release in place, with config and store apps.
func (s *site) swap(version string) {
	s.t.Helper()
	old := s.tree + ".old-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	s.ok(os.Rename(s.tree, old))
	s.ok(Unpack(s.tree, version))
	s.ok(os.Remove(s.tree + "/config/CAN_INSTALL"))
	for _, name := range []string{"config/config.php", "apps/notesbin", "apps/legacyclock"} {
		if _, err := os.Stat(old + "/" + name); err == nil {
			s.ok(exec.Command("cp", "-a", old+"/"+name, s.tree+"/"+name).Run())
		}
	}
}

// copied is a second site with the same content; its database must be SQLite.
func (s *site) copied(t *testing.T) *site {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := &site{t: t, dir: dir, tree: dir + "/html", data: dir + "/data"}
	c.ok(exec.Command("cp", "-a", s.tree, c.tree).Run())
	c.ok(exec.Command("cp", "-a", s.data, c.data).Run())
	text, err := os.ReadFile(c.tree + "/config/config.php")
	c.ok(err)
	c.ok(os.WriteFile(c.tree+"/config/config.php", []byte(strings.ReplaceAll(string(text), s.data, c.data)), 0o640))
	return c
}

func (s *site) dump() string {
	s.t.Helper()
	a := run(s.php(filepath.Join(sources(s.t), "testdata", "dump.php"), s.tree))
	if a.exit != 0 {
		s.t.Fatalf("cannot dump the database: %s%s", a.stdout, a.stderr)
	}
	return a.stdout
}

func sources(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// server is php -S over a site's tree.
type server struct {
	*site
	url string
}

// serve starts the site's web; options are of php. It ends with the test.
func (s *site) serve(options ...string) *server {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.ok(err)
	address := l.Addr().String()
	l.Close()
	c := s.php(append(options, "-S", address, "-t", s.tree)...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	said, err := c.StderrPipe()
	s.ok(err)
	s.ok(c.Start())
	s.t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
	})
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "started") {
			go func() { _, _ = io.Copy(io.Discard, said) }()
			return &server{s, "http://" + address}
		}
	}
	s.t.Fatalf("php -S %s did not start", address)
	return nil
}

// ask sends one request; dav is a path below the user's files.
func (s *server) ask(method, path, body string, headers ...string) (int, string, http.Header) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	s.ok(err)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	req.SetBasicAuth("admin", password)
	client := &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	s.ok(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	s.ok(err)
	return resp.StatusCode, string(text), resp.Header
}

const files = "/remote.php/dav/files/admin/"

func (s *server) code(want int, method, path, body string, headers ...string) string {
	s.t.Helper()
	code, text, _ := s.ask(method, path, body, headers...)
	if code != want {
		s.t.Errorf("%s %s: HTTP %d, want %d: %s", method, path, code, want, text)
	}
	return text
}

// upgradeUntil starts occ upgrade and calls reached after its n-th line. It
// returns the answer and whether that line came.
func (s *site) upgradeUntil(n int, reached func(*exec.Cmd)) (answer, bool) {
	s.t.Helper()
	c := s.php("occ", "upgrade")
	out, err := c.StdoutPipe()
	s.ok(err)
	s.ok(c.Start())
	var all strings.Builder
	lines, came := bufio.NewScanner(out), false
	for i := 1; lines.Scan(); i++ {
		fmt.Fprintln(&all, lines.Text())
		if i == n {
			came = true
			reached(c)
		}
	}
	var exit *exec.ExitError
	if err := c.Wait(); err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return answer{all.String(), "", status(c)}, came
}
