package main

import (
	"strings"
	"testing"
	"time"
)

// TestRebootDuringUpgrade: what it left is safe to run again, and by policy is
// run again or taken back.
func TestRebootDuringUpgrade(t *testing.T) {
	t.Parallel()
	for policy, version := range map[string]string{"rerun": "29.0.1", "rollback": "28.0.2"} {
		t.Run(policy, func(t *testing.T) {
			s := newScene(t, play{seconds: 8, core: "    interrupted = \"" + policy + "\"", more: "  failures { budget = 1 }"})
			a := s.apply()
			s.upgrading()
			before, err := s.host.BootID(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.host.Reboot(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			if after, err := s.host.BootID(t.Context()); err != nil || after == before {
				t.Errorf("the boot id is %s, was %s: %v", after, before, err)
			}
			_, out := a.ends(5*time.Minute, 0)
			if !strings.Contains(out, "safe to run again") && !strings.Contains(out, "code new and database old") {
				t.Errorf("it does not say what it found:\n%s", out)
			}
			s.is(version)
			s.tell("%s", said(out, "hop", "rebooted", "safe to run", "database old", "undo-restore", "upgraded", "rolled back"))
			s.checkLedger()
		})
	}
}

// TestRebootDuringPackages: dpkg is cut off in the middle of a package; it is
// brought to rest, and the site works as before.
func TestRebootDuringPackages(t *testing.T) {
	s := newScene(t, play{system: true, more: "  failures { budget = 1 }"})
	s.host.exec("sh", "-c", "echo 20 >/etc/lab/slow-seconds")
	a := s.apply()
	s.reach("packages")
	s.wait(time.Minute, "the slow package", func() bool {
		_, err := s.host.Output(t.Context(), "pgrep", "-f", "lab-slow.postinst")
		return err == nil
	})
	if err := s.host.Reboot(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	_, out := a.ends(6*time.Minute, 0)
	s.is("28.0.2")
	if got := s.host.exec("sh", "-c", "dpkg --audit; dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | grep -v '^[ih]i ' || true"); got != "" {
		t.Errorf("dpkg is not at rest:\n%s", got)
	}
	s.once()
	s.tell("%s", said(out, "packages", "undo-repair", "rebooted", "rolled back"))
	s.checkLedger()
}

// TestDatabaseStopped during the upgrade: it is waited for, then the upgrade is
// run again.
func TestDatabaseStopped(t *testing.T) {
	t.Parallel()
	for db, unit := range map[string]string{"mariadb": "mariadb", "postgres": "postgresql"} {
		t.Run(db, func(t *testing.T) {
			s := newScene(t, play{db: db, seconds: 8})
			a := s.apply()
			s.upgrading()
			s.host.exec("systemctl", "kill", "--signal=KILL", unit+"*")
			s.host.exec("sh", "-c", "systemctl stop '"+unit+"*'")
			time.Sleep(lasts(12*time.Second, time.Minute))
			s.host.exec("sh", "-c", "systemctl reset-failed; systemctl start "+unit)
			_, out := a.ends(5*time.Minute, 0)
			s.is("29.0.1")
			s.once()
			s.tell("%s", said(out, "hop", "interrupted", "upgraded"))
			s.checkLedger()
		})
	}
}

// TestLockedPackages: another process holds dpkg's lock for a while.
func TestLockedPackages(t *testing.T) {
	s := newScene(t, play{system: true})
	a := s.apply()
	s.reach("close")
	if err := s.host.LockPackages(t.Context(), int(lasts(20*time.Second, 90*time.Second)/time.Second)); err != nil {
		t.Fatal(err)
	}
	_, out := a.ends(6*time.Minute, 0)
	s.is("29.0.1")
	s.once()
	s.tell("%s", said(out, "packages", "upgraded"))
	s.checkLedger()
}

// TestBrokenPackage: a package whose installation fails takes its target back.
func TestBrokenPackage(t *testing.T) {
	s := newScene(t, play{system: true, more: "  failures { budget = 1 }"})
	s.verb("offer", s.host.Name, "--broken")
	_, out := s.apply().ends(5*time.Minute, 0)
	s.is("28.0.2")
	if !strings.Contains(out, "lab-bad") {
		t.Errorf("the package is not named:\n%s", out)
	}
	s.once()
	s.tell("%s", said(out, "packages", "lab-bad", "undo-repair", "rolled back"))
	s.checkLedger()
}
