package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// everything is set where the demo, and rollouts that end in each way, are
// played too: a minute of CPU.
var everything = os.Getenv("NCFLEET_TEST_ALL") == "1"

// onlyInEverything are the exit codes that are seen there alone. The documents
// of these commands are looked for there.
var onlyInEverything = map[string][]int{
	"abort":           {},
	"apply":           {exitIncomplete, exitClosed},
	"approve":         {},
	"demo":            {exitOK, exitIncomplete, exitHalted, exitAborted, exitClosed, exitLocked},
	"demo serve":      {exitOK},
	"lease":           {},
	"resume":          {exitIncomplete},
	"rollback":        {exitOK, exitIncomplete, exitHalted, exitAborted, exitClosed, exitLocked},
	"snapshot delete": {exitOK},
	"snapshot verify": {exitOK},
}

// TestEveryExitCode lets every command end with each exit code of its contract
// and print each of its documents, which are checked against their schemas. What
// it has not seen at its end fails it.
func TestEveryExitCode(t *testing.T) {
	t.Parallel()
	skipFleet(t, 2)
	s := &scene{T: t, seen: &seen{exits: map[string]map[int]bool{}, documents: map[string]map[string]bool{}}, dir: t.TempDir()}
	s.writeInventories()
	t.Run("usage", func(t *testing.T) { s.on(t).wrongUsage() })
	t.Run("alone", func(t *testing.T) { s.on(t).withoutHosts() })
	t.Run("inventory", func(t *testing.T) { s.on(t).withTheInventory() })
	t.Run("drivers", func(t *testing.T) { s.on(t).withDrivers() })
	t.Run("demo", func(t *testing.T) {
		s.on(t).demoRefused()
		if everything {
			s.on(t).demos()
		}
	})
	t.Run("fleet", func(t *testing.T) {
		f := startFleet(t, 2, 30*time.Minute)
		(&rollouts{scene: &scene{T: t, seen: s.seen, dir: s.dir, file: f.file}}).play()
	})
	if t.Failed() {
		return // what failed is not seen either
	}
	if !everything {
		t.Logf("not played without NCFLEET_TEST_ALL=1, for they take a minute of CPU: %v", onlyInEverything)
	}
	for _, k := range contracts {
		s.complete(k)
	}
}

// complete fails for what the contract promises and nobody has seen.
func (s *scene) complete(k contract) {
	s.Helper()
	_, later := onlyInEverything[k.command]
	later = later && !everything
	for code, why := range k.codes() {
		if later && slices.Contains(onlyInEverything[k.command], code) {
			continue
		}
		if !s.seen.exits[k.command][code] && !s.excused(k.command, code) {
			s.Errorf("%q was never seen to end with %d (%s): show it in exits_test.go, or take it out of contracts.go", k.command, code, why)
		}
	}
	for form, kinds := range map[string][]string{outputJSON: k.json, outputNDJSON: k.lines()} {
		for _, kind := range kinds {
			if !later && !s.seen.documents[k.command+" "+form][kind] {
				s.Errorf("%q was never seen to print the document %q with --output %s", k.command, kind, form)
			}
		}
	}
}

// excused is what this machine cannot show.
func (s *scene) excused(command string, code int) bool {
	_, err := exec.LookPath("ssh")
	if command == "inventory import ssh-config" && code == exitOK && err != nil {
		s.Logf("not shown: %q ending with 0, it needs the program ssh", command)
		return true
	}
	return false
}

// scene is where command lines are played.
type scene struct {
	*testing.T
	seen *seen
	dir  string
	file string // the inventory
}

func (s *scene) on(t *testing.T) *scene {
	return &scene{T: t, seen: s.seen, dir: s.dir}
}

// with plays with another inventory.
func (s *scene) with(file string) *scene {
	return &scene{T: s.T, seen: s.seen, dir: s.dir, file: filepath.Join(s.dir, file)}
}

// ear hears what a command says, at the moment when it says it: the command
// goes on when hear has returned.
type ear struct {
	mu   sync.Mutex
	text bytes.Buffer
	hear func(text string)
}

func (e *ear) Write(b []byte) (int, error) {
	e.mu.Lock()
	e.text.Write(b)
	e.mu.Unlock()
	if e.hear != nil {
		e.hear(string(b))
	}
	return len(b), nil
}

func (e *ear) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.text.String()
}

// moment is what happens, once, when a command says something.
type moment struct {
	says string
	do   func(c *command)
}

// command is one that runs.
type command struct {
	signals chan os.Signal
	beside  sync.WaitGroup
	end     context.CancelFunc // of one that waits for its end
}

// interrupt sends signals and returns when they were heard.
func (c *command) interrupt(times int) {
	for range times {
		c.signals <- syscall.SIGINT
	}
	for len(c.signals) > 0 {
		time.Sleep(time.Millisecond)
	}
}

// want runs a command line and checks its exit code.
func (s *scene) want(code int, args ...string) string {
	s.Helper()
	return s.until(code, nil, args...)
}

// until is want with what happens meanwhile: one moment after the other.
func (s *scene) until(code int, moments []moment, args ...string) string {
	s.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Minute)
	defer stop()
	c := &command{signals: make(chan os.Signal, 2), end: stop}
	var mu sync.Mutex
	hear := func(text string) {
		mu.Lock()
		if len(moments) == 0 || !strings.Contains(text, moments[0].says) {
			mu.Unlock()
			return
		}
		now := moments[0]
		moments = moments[1:]
		mu.Unlock()
		now.do(c)
	}
	out, errs := &ear{hear: hear}, &ear{hear: hear}
	if s.file != "" {
		args = append([]string{"-i", s.file}, args...)
	}
	got := run(ctx, args, &app{stdin: strings.NewReader(""), stdout: out, stderr: errs, signals: c.signals})
	c.beside.Wait()
	s.note(args, got, code, out.String(), errs.String())
	if len(moments) > 0 {
		s.Errorf("%v never said %q", args, moments[0].says)
	}
	return out.String()
}

func (s *scene) note(args []string, got, want int, out, errs string) {
	s.Helper()
	command, form, kinds := keepsContract(s.T, args, got, out, errs)
	s.seen.run(command, got, form, kinds)
	if got != want {
		s.Errorf("%v: exit %d, want %d\n%s%s", args, got, want, out, errs)
	}
}

// both runs a command line with json and with ndjson.
func (s *scene) both(code int, args ...string) {
	s.Helper()
	for _, form := range []string{outputJSON, outputNDJSON} {
		s.want(code, append(slices.Clone(args), "--output", form)...)
	}
}

// unwritten runs a command line whose output cannot be written.
func (s *scene) unwritten(args ...string) {
	s.Helper()
	code := run(context.Background(), args, &app{stdin: strings.NewReader(""), stdout: full{}, stderr: io.Discard})
	s.note(args, code, exitError, "", "")
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// write puts a file into the scene's folder.
func (s *scene) write(name, text string) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
	return path
}

func (s *scene) writeInventories() {
	s.write("id", privateKey())
	s.write("known_hosts", "")
	away := "ssh {\n  user = \"nobody\"\n  port = 1\n  keys = [\"./id\"]\n  known_hosts = [\"./known_hosts\"]\n}\nhost \"a\" { address = \"127.0.0.1\" }\n"
	packages := "rollout \"packages\" {\n  system { level = \"update\" }\n}\n"
	s.write("away.hcl", away+packages)
	s.write("two.hcl", away+packages+strings.Replace(packages, `"packages"`, `"other"`, 1))
	s.write("bad.hcl", "host \"a\" { adress = \"192.0.2.7\" }\n")
	s.write("unknown-driver.hcl", "host \"a\" {\n  address = \"192.0.2.7\"\n  snapshot = \"nope\"\n}\n"+packages)
	s.write("hosts.ini", "[cloud]\na.example.org ansible_user=ops tuning=on\n")
	s.write("ssh_config", "Host a\n  HostName 192.0.2.7\n")
	s.write("probes.json", recordedProbes(s.T))
}

// wrongUsage calls every command with a flag that it does not have.
func (s *scene) wrongUsage() {
	for _, k := range contracts {
		s.both(exitUsage, append(strings.Fields(k.command), "--no-such-flag")...)
	}
}

// withoutHosts are the commands that reach no host, and those that fail before.
func (s *scene) withoutHosts() {
	away, bad := s.with("away.hcl"), s.with("bad.hcl")
	away.both(exitOK, "validate")
	bad.both(exitError, "validate")
	for _, form := range []string{outputJSON, outputNDJSON} {
		s.both(exitOK, "version")
		s.unwritten("version", "--output", form)
		s.both(exitOK, "schema")
		s.unwritten("schema", "--output", form)
	}
	for _, d := range documents {
		s.both(exitOK, "schema", d.name)
	}
	s.both(exitUsage, "schema", "nope")
	for _, shell := range []string{"bash", "fish", "powershell", "zsh"} {
		s.want(exitOK, "completion", shell)
		s.unwritten("completion", shell)
	}
	s.both(exitOK, "man", filepath.Join(s.dir, "man"))
	s.both(exitError, "man", filepath.Join(s.dir, "id", "man"))
	s.both(exitOK, "inventory", "import", "ansible", filepath.Join(s.dir, "hosts.ini"))
	s.both(exitError, "inventory", "import", "ansible", filepath.Join(s.dir, "gone.ini"))
	if _, err := exec.LookPath("ssh"); err == nil {
		s.both(exitOK, "inventory", "import", "ssh-config", filepath.Join(s.dir, "ssh_config"))
	}
	s.both(exitError, "inventory", "import", "ssh-config", filepath.Join(s.dir, "gone"))
	for _, verb := range []string{"status", "watch", "log", "pin update", "pause", "resume", "abort", "rollback a", "approve a"} {
		away.both(exitError, strings.Fields(verb)...) // there is no journal
	}
	for _, verb := range []string{"survey", "lease", "report", "hold", "release", "snapshot list", "plan packages", "doctor packages", "apply --rollout packages --yes"} {
		away.both(exitError, strings.Fields(verb)...) // there is no host
	}
	s.with("two.hcl").both(exitUsage, "plan")
	away.both(exitError, "snapshot", "verify", "a", "nope")
	away.both(exitError, "snapshot", "delete", "a", "nope")
	away.both(exitOK, "metrics")
	away.both(exitError, "metrics", "--textfile", filepath.Join(s.dir, "id", "metrics.prom"))
	away.both(exitOK, "pin", "list")
	away.both(exitError, "pin", "list", "nope")
	away.both(exitError, "pin", "clear", "nope")
	s.messages()
}

func (s *scene) messages() {
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer hook.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	for url, code := range map[string]int{hook.URL: exitOK, gone.URL: exitError} {
		s.write("notify.hcl", fmt.Sprintf("host \"a\" { address = \"192.0.2.7\" }\nnotify \"webhook\" \"ops\" { url = %q }\n", url))
		s.with("notify.hcl").both(code, "notify")
	}
}

func (s *scene) withDrivers() {
	away, unknown := s.with("away.hcl"), s.with("unknown-driver.hcl")
	for _, verb := range []string{"list", "lock", "verify"} {
		away.both(exitOK, "driver", verb)
		unknown.both(exitError, "driver", verb)
	}
	for _, form := range []string{outputJSON, outputNDJSON} {
		dir := filepath.Join(s.dir, "new-"+form)
		s.want(exitOK, "driver", "new", "acme", "--dir", dir, "--output", form)
		s.want(exitError, "driver", "new", "acme", "--dir", dir, "--output", form)
	}
	for name, code := range map[string]int{"probes.json": exitOK, "gone.json": exitError} {
		s.both(code, "driver", "test", "apk", "--probes", filepath.Join(s.dir, name))
	}
}

// recordedProbes is a file for driver test with what a host answered to the
// probes of the driver apk.
func recordedProbes(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("../../plugins/apk/testdata/lab/0*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded probes: %v", err)
	}
	var rec recorded
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		_, out, _ := strings.Cut(string(text), "\n")
		out, _, _ = strings.Cut(out, "--- stderr\n")
		rec.Results = append(rec.Results, recordedResult{Stdout: out})
	}
	text, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
