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
func machineScene(t *testing.T) *scene {
	t.Parallel()
	f := realFleet(t)
	s := (&scene{fleet: f, dir: t.TempDir()}).open(play{system: true, seconds: 2, snapshot: "labcloud", more: "  failures { budget = 1 }",
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

// machineState is what a restore of files alone does not bring back.
func (s *scene) machineState() string {
	return s.host.exec("sh", "-c", "dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n'; ls -l --time-style=+ /etc/cron.d; crontab -l -u www-data 2>/dev/null; cat /etc/lab/lab-conf.conf")
}

// TestWholeMachine: packages are updated, the host reboots, the upgrade breaks,
// and the machine is taken back whole: the packages are those of before, which a
// snapshot of files cannot do.
func TestWholeMachine(t *testing.T) {
	s := machineScene(t)
	packages := s.machineState()
	_, plan := s.ncfleet("plan", "fault").ends(2*time.Minute, 2)
	if strings.Contains(plan, "cannot be taken back") || !strings.Contains(plan, "whole machine") {
		t.Errorf("the plan does not count on the whole machine:\n%s", plan)
	}
	a := s.apply()
	s.upgrading()
	during, err := s.host.BootID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.machineState() == packages {
		t.Error("the packages were not updated: their return would prove nothing")
	}
	_, out := a.ends(6*time.Minute, 0)
	s.wholeAgain(out, packages, during)
	s.once()
	s.tell("plan: %s", said(plan, "machine", "snapshot"))
	s.tell("%s", said(out, "hop", "undo-", "rolled back"))
	s.checkLedger()
}

// wholeAgain checks that the whole machine is as it was before the rollout.
func (s *scene) wholeAgain(out, packages, bootBefore string) {
	s.Helper()
	if !strings.Contains(out, "rolled back") {
		s.Errorf("it was not rolled back:\n%s", out)
	}
	s.is("28.0.2")
	if now := s.machineState(); now != packages {
		s.Errorf("packages, cron or files of the system are now\n%s\nwere\n%s", now, packages)
	}
	boot, err := s.host.BootID(s.Context())
	if err != nil || boot == bootBefore {
		s.Errorf("the boot id is %s, was %s: %v", boot, bootBefore, err)
	}
	if e := s.step(s.host, "undo-restore", rollout.EventStepDone); e.Evidence["boot"] != boot {
		s.Errorf("the journal tells of the boot %q, the host's is %s", e.Evidence, boot)
	}
	left := s.host.exec("sh", "-c", "find /var/lib/ncfleet -type f 2>/dev/null; systemctl list-units --all --plain --no-legend 'ncfleet*'; find /etc /srv /run -name '*ncfleet*' 2>/dev/null; true")
	s.tell("of ncfleet on the host: %q", left)
	_, lease := s.ncfleet("lease").ends(time.Minute, 0)
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
