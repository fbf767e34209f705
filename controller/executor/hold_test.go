package executor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
)

// fakeSystemctl keeps each unit's state in files of the folder "units": enabled
// and active are there or not, masked likewise.
const fakeSystemctl = `#!/bin/sh
cd "$UNITDIR" || exit 1
for u; do :; done
is() { if [ -e "$u.$1" ]; then echo "$1"; else echo "$2"; return 3; fi; }
case $1 in
is-active) is active inactive ;;
is-enabled) if [ -e "$u.masked" ]; then echo masked; exit 1; fi; is enabled disabled ;;
enable) : >"$u.enabled" ;;
disable) rm -f "$u.enabled" ;;
start) [ ! -e "$u.masked" ] && : >"$u.active" ;;
stop) rm -f "$u.active" ;;
mask) : >"$u.masked" ;;
unmask) rm -f "$u.masked" ;;
esac
`

type heldSite struct {
	*site
	cron, table string
}

const heldTable = "# m h\n5 4 * * * root apt-get upgrade -y\n1 1 * * * root backup\n"

func newHeldSite(t *testing.T) heldSite {
	s := heldSite{site: newSite(t)}
	root := s.dir + "/root"
	s.cron, s.table = root+"/etc/cron.d/nc-update", root+"/etc/crontab"
	write(t, s.cron, "17 4 * * * root update\n")
	write(t, s.table, heldTable)
	write(t, s.dir+"/bin/systemctl", fakeSystemctl)
	write(t, s.dir+"/units/apt-daily.timer.enabled", "")
	write(t, s.dir+"/units/apt-daily.timer.active", "")
	if err := os.Chmod(s.dir+"/bin/systemctl", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(root+"/run/systemd/system", 0o755); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "PATH="+s.dir+"/bin:"+os.Getenv("PATH"), "UNITDIR="+s.dir+"/units")
	return s
}

// is tells what updates the host at this moment.
func (s heldSite) is() string {
	var out []string
	if exists(s.cron) {
		out = append(out, "cron")
	}
	if text, _ := os.ReadFile(s.table); strings.Contains(string(text), "\n5 4 ") {
		out = append(out, "table")
	}
	for _, w := range []string{"enabled", "active", "masked"} {
		if exists(s.dir + "/units/apt-daily.timer." + w) {
			out = append(out, w)
		}
	}
	return strings.Join(out, " ")
}

func (s heldSite) want(what, want string) {
	s.t.Helper()
	if got := s.is(); got != want {
		s.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func (s heldSite) call(i nextcloud.Invocation) nextcloud.Report {
	s.t.Helper()
	return s.must(i.Script, i.Args...)
}

const heldBefore = "cron table enabled active"

// TestOperatorsHoldOutlivesRollouts: whichever of both begins and ends first,
// everything is held as long as one of them holds it, and comes back as found.
func TestOperatorsHoldOutlivesRollouts(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"operator rollout release unhold", "rollout operator release unhold", "operator rollout unhold release", "rollout operator unhold release"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			s := newHeldSite(t)
			units, crons := []string{"apt-daily.timer"}, []string{"/etc/cron.d/nc-update", "/etc/crontab"}
			for i, step := range strings.Fields(order) {
				for range 2 { // each of them may be repeated
					switch step {
					case "operator":
						s.call(nextcloud.HoldFor(s.state, "ops@desk", "moving house", units, crons))
					case "rollout":
						s.call(nextcloud.Site{Name: "cloud-07/files", StateDir: s.state}.Hold(units, crons))
					case "release":
						s.call(nextcloud.ReleaseFor(s.state, nextcloud.HeldByOperator))
					case "unhold":
						s.call(nextcloud.Site{Name: "cloud-07/files", StateDir: s.state}.Unhold())
					}
				}
				if i < 3 {
					s.want(step, "")
				}
			}
			s.want("after all", heldBefore)
			if text, _ := os.ReadFile(s.table); string(text) != heldTable {
				t.Errorf("the crontab reads %s", text)
			}
		})
	}
}

// TestHoldings: who holds what, since when and why, is told by the host.
func TestHoldings(t *testing.T) {
	t.Parallel()
	s := newHeldSite(t)
	s.call(nextcloud.HoldFor(s.state, "ops@desk", "it's 100% \"quiet\" now", []string{"apt-daily.timer"}, []string{"/etc/cron.d/nc-update"}))
	s.call(nextcloud.Site{Name: "cloud-07/files", StateDir: s.state}.Hold(nil, []string{"/etc/crontab"}))
	text, err := nextcloud.ScriptText("holds.sh")
	if err != nil {
		t.Fatal(err)
	}
	out, code := s.bare(text, s.state)
	got := nextcloud.ParseHoldings(out)
	if code != 0 || len(got) != 2 {
		t.Fatalf("exit %d: %+v\n%s", code, got, out)
	}
	o, r := got[0], got[1]
	if o.Name != nextcloud.HeldByOperator || o.Who != "ops@desk" || o.Why != "it's 100% \"quiet\" now" || o.SinceUnix == 0 ||
		len(o.What) != 2 || o.What[0] != "apt-daily.timer" || !strings.HasSuffix(o.What[1], "/etc/cron.d/nc-update") {
		t.Errorf("the operator's: %+v", o)
	}
	if r.Name != "cloud-07+files" || r.Who != "" || len(r.What) != 1 {
		t.Errorf("the rollout's: %+v", r)
	}
	s.call(nextcloud.ReleaseFor(s.state, nextcloud.HeldByOperator))
	if out, _ := s.bare(text, s.state); strings.Contains(out, "operator") {
		t.Errorf("still told: %s", out)
	}
}

// TestRemovedForGood: what a rollout removes stays away after its release, is
// kept, and can be put back as it was found.
func TestRemovedForGood(t *testing.T) {
	t.Parallel()
	s := newHeldSite(t)
	units, crons := []string{"apt-daily.timer"}, []string{"/etc/cron.d/nc-update", "/etc/crontab"}
	site := nextcloud.Site{Name: "cloud-07/files", StateDir: s.state}
	s.call(site.Hold(units, crons))
	s.call(nextcloud.Remove(s.state, units, crons))
	s.call(nextcloud.Remove(s.state, units, crons))
	s.call(site.Unhold())
	s.want("removed", "masked")
	if left, _ := filepath.Glob(filepath.Dir(s.cron) + "/.ncfleet*"); len(left) > 0 {
		t.Errorf("left where cron reads: %q", left)
	}
	kept, err := os.ReadFile(s.state + "/aside/absent+etc+cron.d+nc-update")
	if err != nil || string(kept) != "17 4 * * * root update\n" {
		t.Errorf("kept: %q, %v", kept, err)
	}
	s.call(site.Hold(units, crons)) // the next rollout changes nothing of it
	s.call(site.Unhold())
	s.want("after the next rollout", "masked")
	s.call(nextcloud.ReleaseFor(s.state, nextcloud.HeldAsAbsent))
	s.want("put back", heldBefore)
	if text, _ := os.ReadFile(s.table); string(text) != heldTable {
		t.Errorf("the crontab reads %s", text)
	}
}

// TestPinnedApps: with pins an app goes to a pinned version or stays as it is.
func TestPinnedApps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		pins    []string
		updated string
		note    string
	}{
		{"free", nil, "calendar mail notes", ""},
		{"one of them moved on", []string{"calendar=4.7.1", "mail=3.5", "mail=3.6", "notes=4.9.4"}, "calendar mail", "app notes stays as it is: the store offers 4.10.0, which is not pinned"},
		{"nothing is pinned", []string{}, "", "app calendar stays as it is"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			write(t, filepath.Dir(s.tree)+"/store", "calendar 4.7.1\nmail 3.6\nnotes 4.10.0\n")
			i := nextcloud.Site{}.Apps(5, tt.pins)
			r := s.must(i.Script, i.Args[len(nextcloud.Base(i.Args)):]...)
			var updated []string
			for _, id := range []string{"calendar", "mail", "notes"} {
				if text, _ := os.ReadFile(filepath.Dir(s.tree) + "/store"); !strings.Contains(string(text), id) {
					updated = append(updated, id)
				}
			}
			if got := strings.Join(updated, " "); got != tt.updated {
				t.Errorf("updated %q, want %q", got, tt.updated)
			}
			if notes := strings.Join(r.Notes, "; "); !strings.Contains(notes, tt.note) || tt.note == "" && notes != "" {
				t.Errorf("notes: %s", notes)
			}
		})
	}
}
