package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/rollout"
)

// machineScene is a scene whose snapshots are of the whole machine, by a driver
// that is built, put on the driver path and accepted as any third party's is.
// Its upgrade breaks after packages and a reboot.
func machineScene(t *testing.T, core string) *scene {
	t.Parallel()
	f := realFleet(t)
	s := (&scene{fleet: f, dir: t.TempDir()}).open(play{system: true, seconds: 2, snapshot: "labcloud", core: core, more: "  failures { budget = 1 }",
		driver: fmt.Sprintf("  directory = %q\n  poll      = \"200ms\"", f.dir)})
	path := filepath.Join(s.dir, "drivers")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(path, "ncfleet-driver-labcloud"),
		"github.com/ncfleet/ncfleet/cmd/ncfleet-lab/labcloud").CombinedOutput()
	if err != nil {
		t.Fatalf("cannot build the driver: %v\n%s", err, out)
	}
	s.env = []string{"NCFLEET_DRIVER_PATH=" + path}
	s.ncfleet("driver", "lock").ends(time.Minute, 0)
	s.occ("config:system:set", "standin_fail_app", "--value=text")
	return s
}

// describeMachine prints packages, rival updaters and an operator's file: most of
// it is what a snapshot of trees and database does not bring back.
const describeMachine = `dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n'
ls -l --time-style=+ /etc/cron.d
crontab -l -u www-data 2>/dev/null
systemctl is-enabled apt-daily.timer apt-daily-upgrade.timer
systemctl is-active apt-daily.timer apt-daily-upgrade.timer
cat /etc/lab/lab-conf.conf`

// leftovers prints what of ncfleet runs on the host, or lies outside its folder.
const leftovers = `pgrep -a -f '/var/lib/[n]cfleet'
systemctl list-units --all --plain --no-legend 'ncfleet*'
find /srv/ncfleet -mindepth 1
find /etc /run /tmp /srv/nextcloud -name '*ncfleet*' 2>/dev/null
true`

func (s *scene) machineState() string { return s.host.exec("sh", "-c", describeMachine+"; true") }

// TestWholeMachine: packages are updated, the host reboots, the upgrade breaks,
// and the machine is taken back whole: the packages are those of before, which a
// snapshot of files cannot do.
func TestWholeMachine(t *testing.T) {
	s := machineScene(t, "")
	packages := s.machineState()
	_, plan := s.ncfleet("plan", "fault").ends(2*time.Minute, 2)
	if strings.Contains(plan, "cannot be taken back") || !strings.Contains(plan, "takes the whole machine") {
		t.Errorf("the plan does not count on the whole machine:\n%s", plan)
	}
	_, out := s.apply().ends(6*time.Minute, 0)
	s.wholeAgain(out, packages)
	s.once()
	key := s.step(s.host, "undo-restore", rollout.EventStepDone).Evidence["restored"]
	s.ncfleet("snapshot", "verify", s.host.Name, key).ends(time.Minute, 0)
	s.ncfleet("snapshot", "delete", s.host.Name, key).ends(time.Minute, 0)
	if images, err := s.host.Images(t.Context()); err != nil || len(images) > 0 {
		t.Errorf("after the snapshot was deleted there is %+v: %v", images, err)
	}
	s.tell("plan: %s", said(plan, "machine", "snapshot"))
	s.tell("%s", said(out, "hop", "undo-", "rolled back"))
	s.checkLedger()
}

// wholeAgain checks that the whole machine is as it was before the rollout, that
// had updated its packages and rebooted it.
func (s *scene) wholeAgain(out, packages string) {
	s.Helper()
	if e := s.step(s.host, "packages", rollout.EventStepDone); !strings.Contains(e.Evidence["packages"], "as planned") {
		s.Errorf("the packages were not updated, their return proves nothing: %v", e.Evidence)
	}
	rebooted := s.step(s.host, "reboot", rollout.EventStepDone).Evidence["boot"]
	if !strings.Contains(out, "rolled back") {
		s.Errorf("it was not rolled back:\n%s", out)
	}
	s.is("28.0.2")
	if now := s.machineState(); now != packages {
		s.Errorf("packages, cron or files of the system are now\n%s\nwere\n%s", now, packages)
	}
	boot, err := s.host.BootID(s.Context())
	if err != nil || rebooted == "" || boot == rebooted {
		s.Errorf("the boot id is %s, was %q: %v", boot, rebooted, err)
	}
	if e := s.step(s.host, "undo-restore", rollout.EventStepDone); e.Evidence["boot"] != boot {
		s.Errorf("the journal tells of the boot %q, the host's is %s", e.Evidence, boot)
	}
	// Its own folder with runs, fences and the site's log stays, as after any rollout.
	if left := s.host.exec("sh", "-c", leftovers); left != "" {
		s.Errorf("left on the host:\n%s", left)
	}
	_, lease := s.ncfleet("lease").ends(time.Minute, 0)
	if !strings.Contains(lease, "free") {
		s.Errorf("the lease: %s", lease)
	}
	_, list := s.ncfleet("snapshot", "list").ends(time.Minute, 0)
	if !strings.Contains(list, "labcloud") {
		s.Errorf("snapshot list does not show it:\n%s", list)
	}
	s.tell("lease: %s; snapshots: %s", strings.TrimSpace(lease), strings.TrimSpace(list))
	images, err := s.host.Images(s.Context())
	if err != nil || len(images) != 1 {
		s.Errorf("there are %d images: %v", len(images), err)
	}
}

// TestWholeMachineControllerKilled: the controller that took the snapshot is
// killed, and so is the next one, as soon as it has asked for the machine, or
// while the machine is away; resume finishes it.
func TestWholeMachineControllerKilled(t *testing.T) {
	t.Parallel()
	moments := map[string]bool{"while the machine is away": true}
	if full {
		moments["at once"] = false
	}
	for name, away := range moments {
		t.Run(name, func(t *testing.T) {
			s := machineScene(t, "")
			before := s.machineState()
			a := s.apply()
			// The disks of the snapshot hold the lease of a controller that is gone.
			s.reach("packages")
			a.kill()
			a = s.ncfleet("resume")
			s.reach("undo-restore")
			if away {
				s.wait(time.Minute, "the machine's end", func() bool {
					on, err := s.host.Powered()
					return err == nil && !on
				})
			}
			a.kill()
			inFlight := s.inFlight("undo-restore")
			_, out := s.ncfleet("resume").ends(6*time.Minute, 0)
			s.wholeAgain(out, before)
			s.once()
			s.tell("undo-restore in flight at the kill: %v, then %s; %s", inFlight, s.outcomes("undo-restore"), said(out, "undo-", "rolled back"))
			s.checkLedger()
		})
	}
}

// TestWholeMachineHangs: the host hangs during the upgrade and answers nothing
// any more. A driver of whole machines takes even that back.
func TestWholeMachineHangs(t *testing.T) {
	if !full {
		t.Skip("takes five minutes, most of it waiting for a host that hangs; set NCFLEET_LAB_FULL=1")
	}
	s := machineScene(t, `    timeout = "20s"`)
	before := s.machineState()
	s.occ("config:system:set", "standin_upgrade_seconds", "--type=integer", "--value=600")
	a := s.apply()
	s.upgrading()
	if err := s.host.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, out := a.ends(25*time.Minute, 0)
	s.wholeAgain(out, before)
	s.once()
	s.tell("%s", said(out, "hop", "cannot connect", "undo-", "rolled back"))
	s.checkLedger()
}
