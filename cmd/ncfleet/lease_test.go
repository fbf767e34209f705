package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// onHosts is all that lies on the hosts: each file with its size, its mode and
// when it was last changed.
func (f *fleet) onHosts() map[string]string {
	f.Helper()
	all := map[string]string{}
	for _, h := range f.Hosts {
		err := filepath.WalkDir(h.Dir, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil {
				all[path] = fmt.Sprint(info.Size(), info.Mode(), info.ModTime().UnixNano())
			}
			return err
		})
		if err != nil {
			f.Fatal(err)
		}
	}
	return all
}

// atRest is onHosts once nothing changes there any more: what a rollout left
// running, such as a watchdog, may outlive its controller by a moment.
func (f *fleet) atRest() map[string]string {
	f.Helper()
	last := f.onHosts()
	for until := time.Now().Add(waitLimit); time.Now().Before(until); {
		time.Sleep(500 * time.Millisecond)
		now := f.onHosts()
		if maps.Equal(last, now) {
			return now
		}
		last = now
	}
	f.Fatal("the hosts do not come to rest")
	return nil
}

// newest is the id and the events of the newest rollout of a state folder.
func (f *fleet) newest(dir string) (string, []rollout.Event) {
	f.Helper()
	j, err := journal.Open(dir)
	if err != nil {
		f.Fatal(err)
	}
	defer j.Close()
	id, err := pick(j, nil)
	if err != nil {
		f.Fatal(err)
	}
	events, err := j.Events(id, 0)
	if err != nil {
		f.Fatal(err)
	}
	return id, events
}

// stop stops a process and waits until it stands still.
func (p *process) stop() {
	p.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		p.Fatal(err)
	}
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		if err != nil {
			p.Skipf("cannot see that a process has stopped: %v", err)
		}
		if rest := string(text[strings.LastIndexByte(string(text), ')')+1:]); strings.HasPrefix(rest, " T ") {
			return
		}
		if time.Now().After(until) {
			p.Fatal("the process does not stop")
		}
	}
}

// TestStaleControllerCannotWrite stops a controller in the middle, carries the
// rollout on elsewhere with a copy of its state, and wakes the first one up.
func TestStaleControllerCannotWrite(t *testing.T) {
	for _, c := range []struct{ name, at string }{
		{"before the change", "canary     cloud-01  close         ok"},
		{"in the change", "canary     cloud-01  snapshot      ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t, 2)
			calls := f.countPHP("cloud-01")
			p := f.start("apply", "--rollout", "monthly", "--yes")
			p.sees(c.at)
			p.stop()
			state, copied := filepath.Join(f.Dir, ".ncfleet"), filepath.Join(f.Dir, "copied")
			if err := os.CopyFS(copied, os.DirFS(state)); err != nil {
				t.Fatal(err)
			}
			f.want(exitLocked, []string{"resume"}, "is held by") // the same journal has its lock
			out := f.want(exitOK, []string{"resume", "--state", copied}, "2 upgraded, 0 rolled back, 0 failed, 0 untouched")
			if !strings.Contains(out, "controller came") {
				t.Errorf("another controller came, and nobody says so:\n%s", out)
			}
			before, upgrades := f.atRest(), calls("upgrade")
			if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			p.ends(exitLocked, "this controller may not change the hosts any more", "another controller has taken over: host cloud-01", "see who has the hosts: ncfleet -i "+f.file+" lease")
			for path, now := range f.onHosts() {
				if before[path] != now {
					t.Errorf("%s was changed: %q, then %q", path, before[path], now)
				}
				delete(before, path)
			}
			for path := range before {
				t.Errorf("%s was removed", path)
			}
			if n := calls("upgrade"); n != upgrades || n != 1 {
				t.Errorf("occ upgrade ran %d times, then %d", upgrades, n)
			}
			_, events := f.newest(state)
			for _, e := range events {
				if e.Kind == rollout.EventStepFail || e.Kind == rollout.EventStepHeld || strings.Contains(e.Step, "undo") {
					t.Errorf("the stale controller journaled %s %s: %s", e.Kind, e.Step, e.Detail)
				}
			}
			f.want(exitOK, []string{"lease"}, "cloud-01 free", "cloud-02 free")
		})
	}
}

// TestLeaseIsShownAndBroken takes the host away from a controller that stands
// still, and gives it back to the rollout's next one.
func TestLeaseIsShownAndBroken(t *testing.T) {
	f := newFleet(t, 2)
	f.want(exitOK, []string{"lease"}, "cloud-01 free cloud-02 free")
	f.want(exitUsage, []string{"lease", "cloud-09"}, `the inventory has no host "cloud-09"`)
	f.want(exitUsage, []string{"lease", "--break", "cloud-01"}, "a lease is not broken without a reason")
	f.want(exitUsage, []string{"lease", "--break", "--reason", "x"}, "--break takes one host")
	f.want(exitUsage, []string{"lease", "--reason", "x"}, "it goes with --break HOST")
	f.want(exitError, []string{"lease", "--break", "cloud-01", "--reason", "x"}, "the lease of cloud-01 is free")
	p := f.start("apply", "--rollout", "monthly", "--yes")
	p.sees("canary     cloud-01  close         ok")
	p.stop()
	state := filepath.Join(f.Dir, ".ncfleet")
	id, _ := f.newest(state)
	f.want(exitOK, []string{"lease", "cloud-01"}, "cloud-01 held by "+who()+" rollout "+id+" epoch 1 for ")
	out := f.want(exitOK, []string{"lease", "--output", "ndjson"})
	var view leaseDocument
	if err := json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &view); err != nil || view.Host != "cloud-01" || view.State != "held" || view.Holder != who() || view.Rollout != id || view.Epoch != 1 {
		t.Errorf("%+v, %v", view, err)
	}
	f.want(exitError, []string{"plan", "monthly"}, "ncfleet lease tells whose it is", "ncfleet lease --break cloud-01 --reason WHY")
	f.want(exitError, []string{"lease", "--break", "cloud-01", "--reason", "gone"}, "whose controller runs here at this moment; stop it with: ncfleet -i "+f.file+" pause")
	// Elsewhere nobody knows of the rollout.
	elsewhere := filepath.Join(f.Dir, "elsewhere")
	f.want(exitOK, []string{"lease", "--break", "cloud-01", "--reason", "it's stuck", "--state", elsewhere}, "is broken", "not journaled: no rollout here is under way or had that lease")
	if _, err := os.Stat(elsewhere); err == nil {
		t.Error("a state folder was made for that")
	}
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.ends(exitLocked, "the lease of host cloud-01", "was broken by "+who(), "it's stuck")
	f.want(exitClosed, []string{"status"}, "NONE RUNS")

	// The next controller takes the lease again; it is killed, and its lease
	// broken from here.
	p = f.start("resume")
	p.sees("controller came")
	p.sees("cloud-01  hop")
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.cmd.Wait() // killed
	f.want(exitOK, []string{"lease", "--break", "cloud-01", "--reason", "the laptop was stolen"}, id+": journaled", "resume "+id)
	f.want(exitOK, []string{"log"}, "lease broken cloud-01 by "+who(), "the laptop was stolen; it was that of "+who())
	f.want(exitClosed, []string{"status"}, "lease broken cloud-01 by "+who()+": the laptop was stolen")
	f.want(exitClosed, []string{"status", "--output", "ndjson"}, `"leases_broken":[{"kind":"lease_broken","target":"cloud-01"`)
	f.want(exitOK, []string{"resume"}, "2 upgraded, 0 rolled back, 0 failed, 0 untouched")
	f.want(exitOK, []string{"lease"}, "cloud-01 free cloud-02 free")
	f.onceOnly()
	f.Close()
	f.want(exitError, []string{"lease", "cloud-01", "--output", "ndjson"}, `"state":"unknown","error":"cannot connect to host cloud-01`)
}
