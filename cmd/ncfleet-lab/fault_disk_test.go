package main

import (
	"strings"
	"testing"
	"time"
)

// fill leaves nothing on the host's data disk.
func (s *scene) fill() {
	s.Helper()
	if left, err := s.host.Fill(s.Context(), "0"); err != nil || left > 0 {
		s.Fatalf("%d bytes are left: %v", left, err)
	}
}

// TestDiskFullWhileStaging: users notice nothing.
func TestDiskFullWhileStaging(t *testing.T) {
	s := newScene(t, play{more: "  failures { budget = 1 }"})
	a := s.apply()
	s.reach("lease")
	s.fill()
	_, out := a.ends(3*time.Minute, 0, 4)
	if !strings.Contains(out, "room") && !strings.Contains(out, "No space left") && !strings.Contains(out, "disk full") {
		t.Errorf("it does not say why:\n%s", out)
	}
	if err := s.host.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.is("28.0.2")
	s.tell("%s", said(out, "stage", "room", "space", "untouched"))
	s.checkLedger()
}

// TestDiskFullWhileSnapshotting: no snapshot, no change; users are let in
// although nothing can be written.
func TestDiskFullWhileSnapshotting(t *testing.T) {
	s := newScene(t, play{more: "  failures { budget = 1 }"})
	a := s.apply()
	s.reach("close")
	s.wait(time.Minute, "the closed site", func() bool {
		_, err := s.host.Output(t.Context(), "test", "-f", "/srv/nextcloud/html/config/zz-ncfleet.config.php")
		return err == nil
	})
	s.fill()
	_, out := a.ends(4*time.Minute, 0, 4)
	site, err := s.host.Site(t.Context())
	if err != nil || site.Maintenance {
		t.Errorf("with a full disk the site is %+v: %v", site, err)
	}
	if err := s.host.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.is("28.0.2")
	s.once()
	s.tell("%s", said(out, "snapshot", "space", "undo-open", "rolled back", "untouched"))
	s.checkLedger()
}

// TestDiskFullDuringUpgrade: it is taken back, at once or, where that needs
// room, once there is some; until then it is named.
func TestDiskFullDuringUpgrade(t *testing.T) {
	s := newScene(t, play{db: "sqlite", seconds: 8, more: "  failures { budget = 1 }"})
	a := s.apply()
	s.upgrading()
	s.fill()
	code, out := a.ends(6*time.Minute, 0, 7)
	s.tell("exit %d: %s", code, said(out, "hop", "full", "space", "undo-", "rolled back", "CLOSED"))
	if code == 7 {
		if !strings.Contains(out, "CLOSED TO USERS") {
			t.Errorf("it is not named:\n%s", out)
		}
		s.ncfleet("status").ends(time.Minute, 7)
	}
	if err := s.host.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code == 7 {
		_, out := s.ncfleet("rollback", s.host.Name).ends(4*time.Minute, 0, 4, 5)
		s.tell("after the disk was freed: %s", said(out, "undo-", "rolled back"))
	}
	s.is("28.0.2")
	s.checkLedger()
}
