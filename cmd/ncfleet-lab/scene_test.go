package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// full lets faults last as long as they do in life; by default they are short.
var full = os.Getenv("NCFLEET_LAB_FULL") != ""

// lasts is how long a fault lasts: short in every run, long with NCFLEET_LAB_FULL.
func lasts(short, long time.Duration) time.Duration {
	if full {
		return long
	}
	return short
}

// stage lends the hosts of the shared fleet to scenes, one host each.
var stage = struct {
	sync.Mutex
	taken map[string]bool
}{taken: map[string]bool{}}

// scene is one host, made anew, and a rollout over it in which something goes
// wrong, while a client writes to its site every second.
type scene struct {
	*fleet
	host *host
	dir  string   // inventory and journal
	env  []string // more of the programs' environment
	// last is the controller that was started last.
	ledger, last *process
}

// play is what a scene's rollout is.
type play struct {
	db      string // "" is any
	system  bool   // packages and reboot too
	seconds int    // of occ upgrade; 0 is 5
	core    string // further lines of core { }
	more    string // further lines of the rollout
	// snapshot is the driver that takes snapshots; "" is archive.
	snapshot string
	// driver are the lines of its block; "" is those of archive.
	driver string
}

// newScene waits for a host, makes it anew and opens the ledger.
func newScene(t *testing.T, p play) *scene {
	t.Parallel()
	return (&scene{fleet: realFleet(t), dir: t.TempDir()}).open(p)
}

func (s *scene) open(p play) *scene {
	s.Helper()
	s.host = s.borrow(p.db)
	ctx, cancel := context.WithTimeout(s.Context(), 3*time.Minute)
	defer cancel()
	if err := s.host.Reset(ctx); err != nil {
		s.Fatal(err)
	}
	if p.seconds == 0 {
		p.seconds = 5
	}
	if s.releases == "" {
		// What a cut host cannot fetch from the store would be another fault.
		s.occ("app:disable", "notesbin")
		s.occ("config:system:set", "standin_upgrade_seconds", "--type=integer", fmt.Sprintf("--value=%d", p.seconds))
	}
	s.write("fleet.hcl", s.inventory(p))
	s.openLedger()
	return s
}

// borrow takes a host that no other scene has; it is given back with the test.
func (s *scene) borrow(db string) *host {
	for {
		stage.Lock()
		hosts := s.hosts()
		if s.sharedFleet == &shared {
			hosts = hosts[jobHosts:]
		}
		for _, h := range hosts {
			name := s.sharedFleet.dir + "/" + h.Name
			if !stage.taken[name] && (db == "" || h.DB == db) {
				stage.taken[name] = true
				stage.Unlock()
				s.Cleanup(func() {
					stage.Lock()
					defer stage.Unlock()
					delete(stage.taken, name)
				})
				return h
			}
		}
		stage.Unlock()
		select {
		case <-time.After(200 * time.Millisecond):
		case <-s.Context().Done():
			s.Fatal("no host became free")
		}
	}
}

func (s *scene) inventory(p play) string {
	system := ""
	if p.system {
		system = "  system {\n    level  = \"update\"\n    reboot = \"if_required\"\n  }\n"
	}
	snapshot := p.snapshot
	if snapshot == "" {
		snapshot = "archive"
	}
	if p.driver == "" {
		p.driver = "  directory = \"/srv/ncfleet\"\n  keep      = 2"
	}
	return fmt.Sprintf(`ssh {
  user        = "ops"
  keys        = [%q]
  known_hosts = [%q]
}
driver "snapshot" %q {
%s
}
host %q {
  address  = %q
  packages = "apt"
  snapshot = %q
  nextcloud "main" {
    path = "/srv/nextcloud/html"
    url  = %q
  }
}
rollout "fault" {
  hosts = true
%s  core {
    to        = "29"
    source    = "http://10.77.0.1:8080/releases"
    integrity = "warn"
%s
  }
%s
}
`, s.lab.KeyFile(), s.lab.KnownHosts(), snapshot, p.driver, s.host.Name, s.host.Address, snapshot, s.host.URL(), system, p.core, p.more)
}

func (s *scene) write(name, text string) {
	s.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

// occ runs an occ command on the host.
func (s *scene) occ(args ...string) string {
	s.Helper()
	return s.host.exec(append([]string{"runuser", "-u", "www-data", "--", "php", "/srv/nextcloud/html/occ"}, args...)...)
}

// process is a program of this machine inside the lab's network.
type process struct {
	s    *scene
	cmd  *exec.Cmd
	out  lockedBuffer
	done chan struct{}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start starts a program; it is ended with the test.
func (s *scene) start(argv ...string) *process {
	s.Helper()
	cmd, err := s.lab.Command(context.WithoutCancel(s.Context()), argv...)
	if err != nil {
		s.Fatal(err)
	}
	p := &process{s: s, cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	cmd.Env = append(os.Environ(), s.env...)
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	go func() { _ = cmd.Wait(); close(p.done) }()
	s.Cleanup(func() { _ = cmd.Process.Kill(); <-p.done })
	return p
}

// ncfleet starts ncfleet on the scene's inventory and journal.
func (s *scene) ncfleet(args ...string) *process {
	s.last = s.start(append([]string{s.sharedFleet.ncfleet, "-i", filepath.Join(s.dir, "fleet.hcl")}, args...)...)
	return s.last
}

// apply starts the scene's rollout.
func (s *scene) apply() *process { return s.ncfleet("apply", "--rollout", "fault", "--yes") }

// ends waits for a program and fails unless it ends with one of the codes.
func (p *process) ends(limit time.Duration, codes ...int) (code int, out string) {
	p.s.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.s.Fatalf("%s still runs after %s:\n%s", strings.Join(p.cmd.Args, " "), limit, p.out.String())
	}
	code, out = p.cmd.ProcessState.ExitCode(), p.out.String()
	for _, c := range codes {
		if c == code {
			return code, out
		}
	}
	p.s.Fatalf("exit %d, want %v:\n%s", code, codes, out)
	return code, out
}

// kill ends a program as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.done
}

// events reads the scene's journal; nil while there is none.
func (s *scene) events() []rollout.Event {
	j, err := journal.Open(filepath.Join(s.dir, ".ncfleet"))
	if err != nil {
		return nil
	}
	defer j.Close()
	list, err := j.List()
	if err != nil || len(list) == 0 {
		return nil
	}
	events, err := j.Events(list[0].ID, 0)
	if err != nil {
		return nil
	}
	return events
}

// kindOf is the kind in a step's id: "all/lab-01/undo-open" is undo-open.
func kindOf(step string) string {
	kind := step[strings.LastIndexByte(step, '/')+1:]
	if i := strings.LastIndexByte(kind, '-'); i > 0 && strings.Trim(kind[i+1:], "0123456789") == "" {
		kind = kind[:i]
	}
	return kind
}

// reach waits until a step of that kind has begun.
func (s *scene) reach(kind string) {
	s.Helper()
	s.reachWithin(4*time.Minute, kind)
}

func (s *scene) reachWithin(limit time.Duration, kind string) {
	s.Helper()
	s.wait(limit, "the step "+kind, func() bool {
		select {
		case <-s.last.done:
			s.Fatalf("the step %s did not come, the controller ended:\n%s", kind, s.last.out.String())
		default:
		}
		for _, e := range s.events() {
			if e.Kind == rollout.EventStepBegun && kindOf(e.Step) == kind {
				return true
			}
		}
		return false
	})
}

// wait waits until a condition holds.
func (s *scene) wait(limit time.Duration, what string, holds func() bool) {
	s.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(30 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("%s did not come within %s", what, limit)
		}
	}
}

// upgrading waits until occ upgrade changes the database.
func (s *scene) upgrading() {
	s.Helper()
	s.reach("hop")
	s.wait(time.Minute, "occ upgrade", func() bool {
		_, err := s.host.Output(s.Context(), "pgrep", "-f", "occ upgrade --no-interaction")
		return err == nil
	})
	time.Sleep(1500 * time.Millisecond) // well into its migrations
}

// is fails unless the site has the version, and is open and in order.
func (s *scene) is(version string) {
	s.Helper()
	site, err := s.host.Site(s.Context())
	if err != nil || site.Version != version || site.Maintenance || site.NeedsUpdate {
		s.Fatalf("%s is %+v, want %s, open: %v", s.host.Name, site, version, err)
	}
	if got := s.occ("status", "--output=json"); !strings.Contains(got, `"needsDbUpgrade":false`) {
		s.Errorf("occ status says %s", got)
	}
	if left := s.host.exec("sh", "-c", "ls -d /srv/nextcloud/html.ncfleet-* /srv/nextcloud/html/config/zz-ncfleet* 2>/dev/null; ls /etc/cron.d/.ncfleet-held-* 2>/dev/null; cat /var/lib/ncfleet/lease 2>/dev/null; true"); left != "" {
		s.Errorf("left on the host:\n%s", left)
	}
}

// once fails when a step's effect happened twice: each step of the journal was
// started once, and occ upgrade ran to its end once.
func (s *scene) once() {
	s.Helper()
	count := map[string]int{}
	for _, e := range s.events() {
		switch e.Kind {
		case rollout.EventStepBegun:
			count[e.Step]++
		case rollout.EventStepNever:
			count[e.Step]-- // the host knew nothing of it
		}
	}
	for step, n := range count {
		if n != 1 {
			s.Errorf("%s was started %d times", step, n)
		}
	}
	if len(count) == 0 {
		s.Error("the journal is empty")
	}
}

// tell prints a line of the scene's story.
func (s *scene) tell(format string, a ...any) {
	fmt.Printf("lab: %s on %s (%s): %s\n", s.Name(), s.host.Name, s.host.DB, fmt.Sprintf(format, a...))
}

// said are the lines of a program's output that hold one of the words.
func said(out string, words ...string) string {
	var lines []string
	for line := range strings.Lines(out) {
		for _, w := range words {
			if strings.Contains(line, w) {
				lines = append(lines, strings.TrimSpace(line))
				break
			}
		}
	}
	return strings.Join(lines, "\n        ")
}
