package main

import (
	"strings"
	"testing"
	"time"
)

// TestLinkCutDuringUpgrade: the upgrade goes on without its controller, which
// finds it again.
func TestLinkCutDuringUpgrade(t *testing.T) {
	s := newScene(t, play{})
	a := s.apply()
	s.upgrading()
	if err := s.host.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(lasts(12*time.Second, time.Minute))
	if err := s.host.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, out := a.ends(4*time.Minute, 0)
	s.is("29.0.1")
	s.once()
	s.tell("%s", said(out, "cannot connect", "can be reached again", "hop", "upgraded"))
	s.checkLedger()
}

// TestHostGone: a host that does not come back ends as failed and closed, named
// by apply and by status; once it is back it is taken back on demand.
func TestHostGone(t *testing.T) {
	if !full {
		t.Skip("takes a quarter of an hour, most of it waiting for a host that is gone; set NCFLEET_LAB_FULL=1")
	}
	s := newScene(t, play{core: `    timeout = "40s"`})
	a := s.apply()
	s.upgrading()
	if err := s.host.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, out := a.ends(40*time.Minute, 7)
	if !strings.Contains(out, "CLOSED TO USERS") {
		t.Errorf("it is not named:\n%s", out)
	}
	s.tell("%s", said(out, "cannot connect", "FAILED", "CLOSED", "needs a decision"))
	_, status := s.ncfleet("status").ends(time.Minute, 7)
	s.tell("status: %s", said(status, "CLOSED"))
	if err := s.host.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, out = s.ncfleet("rollback", s.host.Name).ends(5*time.Minute, 0, 4, 5)
	s.tell("%s", said(out, "undo-", "rolled back"))
	s.is("28.0.2")
	s.checkLedger()
}

// TestSSHDRestarted in the middle of the upgrade.
func TestSSHDRestarted(t *testing.T) {
	s := newScene(t, play{})
	a := s.apply()
	s.upgrading()
	s.host.exec("systemctl", "restart", "ssh")
	s.host.exec("sh", "-c", "pkill -f '[s]shd: ops' || true") // sessions too
	_, out := a.ends(3*time.Minute, 0)
	s.is("29.0.1")
	s.once()
	s.tell("%s", said(out, "cannot connect", "again", "hop", "upgraded"))
	s.checkLedger()
}

// TestSlowLink: a bad line makes it slow, not wrong.
func TestSlowLink(t *testing.T) {
	s := newScene(t, play{seconds: 2})
	if err := s.host.Slow(t.Context(), "4mbit", "3%"); err != nil {
		t.Fatal(err)
	}
	_, out := s.apply().ends(8*time.Minute, 0)
	if err := s.host.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.is("29.0.1")
	s.once()
	s.tell("%s", said(out, "cannot connect", "again", "upgraded"))
	s.checkLedger()
}
