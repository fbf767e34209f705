package executor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// reruns lets the bench's hop be run again.
func (b *bench) reruns(n int) {
	for i := range b.target.Steps {
		if b.target.Steps[i].Kind == plan.KindHop {
			b.target.Steps[i].Reruns = n
		}
	}
}

// hops are the runs of the hop that were started.
func (b *bench) hops() string {
	var out []string
	for _, id := range b.machine.started {
		if _, rest, ok := strings.Cut(id, "/hop"); ok {
			out = append(out, "hop"+rest)
		}
	}
	return strings.Join(out, " ")
}

// TestHopInterrupted: what an interrupted hop left behind decides, with the
// policy, what becomes of it.
func TestHopInterrupted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, upgrade string
		reruns        int
		prepare       func(b *bench)
		status        Status
		detail, found string
		hops          string
	}{
		{"killed, run again", "die", 2, nil, Succeeded, "was killed", "safe to run again", "hop hop~2"},
		{"killed, policy rollback", "die", 0, nil, Failed, "it is: safe to run again", "safe to run again", "hop"},
		{"failed by itself", "fail", 2, nil, Failed, "failed (exit 5)", "", "hop"},
		{"somebody opened it", "die-open", 2, nil, Failed, "somebody else changed or opened", "changed by someone else", "hop"},
		{"the database was away", "die", 2, func(b *bench) { write(b.t, filepath.Dir(b.tree)+"/database", "[2002] Connection refused") }, Succeeded, "was killed", "safe to run again", "hop hop~2"},
		{"its end was lost", "ok", 2, func(b *bench) { b.machine.lose["r1/canary/cloud-07/hop"] = true }, Succeeded, "the host rebooted", "finished", "hop hop~2"},
		{"lost, policy rollback, but finished", "ok", 0, func(b *bench) { b.machine.lose["r1/canary/cloud-07/hop"] = true }, Succeeded, "the host rebooted", "finished", "hop hop~2"},
		{"lost again and again", "ok", 2, func(b *bench) {
			for n := 1; n <= hopTries; n++ {
				b.machine.lose[attempt("r1/canary/cloud-07/hop", n)] = true
			}
		}, Lost, "the host rebooted", "", "hop hop~2 hop~3 hop~4 hop~5 hop~6"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.reruns(tt.reruns)
			b.want(plan.KindClose, Succeeded, "")
			write(t, filepath.Dir(b.tree)+"/upgrade", tt.upgrade)
			if tt.prepare != nil {
				tt.prepare(b)
			}
			o := b.want(plan.KindHop, tt.status, tt.detail)
			if b.hops() != tt.hops {
				t.Errorf("runs %q, want %q", b.hops(), tt.hops)
			}
			if text := o.Evidence["interrupted"] + o.Detail; !strings.Contains(text, tt.found) {
				t.Errorf("%q does not say %q", text, tt.found)
			}
			if foreign := o.Evidence[rollout.EvidenceForeign] != ""; foreign != (tt.upgrade == "die-open") {
				t.Errorf("evidence %v", o.Evidence)
			}
			if tt.status == Succeeded && codeVersion(b.tree) != "29.0.1.1" {
				t.Errorf("the code is %s", codeVersion(b.tree))
			}
		})
	}
}

// TestHopAgainAfterController: the runs of an earlier controller are attached
// to, each under its own name, and none is started twice.
func TestHopAgainAfterController(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.reruns(1)
	b.want(plan.KindClose, Succeeded, "")
	write(t, filepath.Dir(b.tree)+"/upgrade", "die")
	b.want(plan.KindHop, Succeeded, "")
	o, found := b.exec.Lookup(t.Context(), b.plan, b.target, b.step(plan.KindHop), b.memory)
	if !found || o.Status != Succeeded || b.hops() != "hop hop~2" {
		t.Errorf("found %v, %s: %s, runs %s", found, o.Status, o.Detail, b.hops())
	}
}

// watch runs a few lines with the functions of close.sh.
func (s *site) watch(lines string) string {
	s.t.Helper()
	text, err := nextcloud.ScriptText("close.sh")
	if err != nil {
		s.t.Fatal(err)
	}
	head, _, ok := strings.Cut(text, "\nmain \"$@\"")
	if !ok {
		s.t.Fatal("close.sh does not end by calling main")
	}
	out, code := s.run("sh", nil, head+"\nparse \"$@\"\n"+lines+"\n")
	if code != 0 {
		s.t.Fatalf("%s: exit %d\n%s", lines, code, out)
	}
	return out
}

func handleOf(instance string) driver.Handle {
	return driver.Handle{Driver: "memory", Key: "r1/cloud-07/" + instance}
}

const siteDir = "/sites/cloud-07+files/"

// TestWatchdog: a closed and unchanged site is let in when nobody is heard, and
// from then on no change begins and nothing is put back.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	cron := b.dir + "/root/etc/cron.d/nextcloud"
	line := "*/5 * * * * www-data php -f " + b.tree + "/cron.php\n"
	write(t, cron, line)
	b.want(plan.KindClose, Succeeded, "")
	if text, _ := os.ReadFile(cron); string(text) == line {
		t.Fatal("cron is not paused")
	}
	out := b.watch("echo me >\"$SITE/watchdog\"; WATCHDOG=1; watchdog me")
	if !strings.Contains(out, "mark opened") || exists(b.tree+"/config/zz-ncfleet.config.php") || readConfig(b.tree + "/config/config.php")["maintenance"] != "false" {
		t.Fatalf("it is not open: %s", out)
	}
	if text, _ := os.ReadFile(cron); string(text) != line {
		t.Errorf("cron is %q", text)
	}
	if exists(b.state + siteDir + "lock") {
		t.Error("the lock was left")
	}
	b.want(plan.KindClose, Failed, "opened to its users at 2") // attached to by a controller that came late
	b.want(plan.KindSnapshot, Failed, "opened to its users at 2")
	b.want(plan.KindHop, Failed, "by the watchdog")
	if codeVersion(b.tree) != "28.0.2.5" {
		t.Error("it was changed")
	}
	b.memory.Handles["files"] = handleOf("files")
	b.want(plan.KindRestore, Succeeded, "nothing to put back")
	if len(b.driver.restored) > 0 {
		t.Errorf("restored %q", b.driver.restored)
	}
	b.memory.Attempt = 1
	b.want(plan.KindClose, Succeeded, "") // another rollout begins anew
	b.want(plan.KindSnapshot, Succeeded, "")
	b.want(plan.KindHop, Succeeded, "")
}

// TestWatchdogKeepsOff: not once a change began, not while a controller is
// heard, not when another close has a watchdog of its own.
func TestWatchdogKeepsOff(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string]string{
		"a change began":           "echo me >\"$SITE/watchdog\"; : >\"$SITE/changing\"; WATCHDOG=1; watchdog me",
		"another watchdog":         "echo other >\"$SITE/watchdog\"; WATCHDOG=1; watchdog me",
		"the controller came back": "echo 1 >\"$STATE/heard\"; (let_in_alone 2)",
		"a change won the race":    ": >\"$SITE/changing\"; (let_in_alone \"$(heard)\")",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.must("close.sh")
			out := s.watch(lines)
			if !exists(s.tree+"/config/zz-ncfleet.config.php") || exists(s.state+siteDir+"reopened") || exists(s.state+siteDir+"lock") {
				t.Errorf("it was opened: %s", out)
			}
		})
	}
}

// TestWatchdogOfARun: close starts it, and it outlives the run.
func TestWatchdogOfARun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if r := s.must("close.sh", "--watchdog", "1"); r.Values["watchdog"] != "1" {
		t.Fatalf("%+v", r)
	}
	s.eventually("the site is open", func() bool {
		return exists(s.state+siteDir+"reopened") && !exists(s.tree+"/config/zz-ncfleet.config.php")
	})
	if _, code := s.sh("hop.sh", "--staged", s.staged, "--keep", s.kept, "--to", "29.0.1"); code == 0 {
		t.Error("a change began on a site that was let in")
	}
}

// TestWatchdogOfAKilledClose: a close that was killed when users were out
// already has a watchdog, too.
func TestWatchdogOfAKilledClose(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	kill := nextcloud.QuoteArgv([]string{"sh", "-c", `[ -e "$0" ] || { : >"$0"; read -r pid boot <"$1"; kill -9 "$pid"; }`, s.dir + "/killed", s.state + siteDir + "lock/owner"})
	if _, code := s.sh("close.sh", "--watchdog", "1", "--reload", kill); code == 0 || !exists(s.dir+"/killed") {
		t.Fatalf("it was not killed: exit %d", code)
	}
	s.eventually("the site is open", func() bool {
		return exists(s.state+siteDir+"reopened") && !exists(s.tree+"/config/zz-ncfleet.config.php")
	})
}

// TestRestoreNotOverUsers: what somebody opened by hand is not put back.
func TestRestoreNotOverUsers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(plan.KindClose, Succeeded, "")
	write(t, filepath.Dir(b.tree)+"/upgrade", "fail")
	b.want(plan.KindHop, Failed, "failed (exit 5)")
	_ = os.Remove(b.tree + "/config/zz-ncfleet.config.php")
	b.memory.Handles["files"] = handleOf("files")
	b.want(plan.KindRestore, Failed, "what they wrote since then would be lost")
	if len(b.driver.restored) > 0 {
		t.Errorf("restored %q", b.driver.restored)
	}
	// A restore that was cut short may have taken our file away.
	write(t, b.tree+"/config/zz-ncfleet.config.php", "<?php")
	b.driver.restore = func() { _ = os.Remove(b.tree + "/config/zz-ncfleet.config.php") }
	b.want(plan.KindRestore, Succeeded, "")
	b.want(plan.KindRestore, Succeeded, "")
	if got := fmt.Sprint(len(b.driver.restored)); got != "2" {
		t.Errorf("restored %s times", got)
	}
}
