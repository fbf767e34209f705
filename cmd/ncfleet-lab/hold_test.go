package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rivals prints what could update the host by itself.
const rivals = `for u in apt-daily.timer apt-daily-upgrade.timer; do echo "$u $(systemctl is-enabled $u) $(systemctl is-active $u)"; done; ls /etc/cron.d | grep nextcloud-auto-update || true`

// TestOperatorsHold over real systemd and cron: held stays held over a reboot and
// a rollout, release brings all back as found; what is to be absent is gone after
// its rollout and after a reboot, and can be put back.
func TestOperatorsHold(t *testing.T) {
	t.Parallel()
	if os.Getenv("NCFLEET_TEST_ALL") == "" {
		t.Skip("one host, two rollouts and two reboots take minutes; NCFLEET_TEST_ALL=1 plays them")
	}
	s := (&scene{fleet: holds.bring(t), dir: t.TempDir()}).open(play{seconds: 1, system: true})
	look := func() string { return s.host.exec("sh", "-c", rivals) }
	reboot := func() {
		t.Helper()
		if err := s.host.Reboot(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	const held = "apt-daily.timer disabled inactive\napt-daily-upgrade.timer disabled inactive"
	const gone = "apt-daily.timer masked inactive\napt-daily-upgrade.timer masked inactive"
	want := func(when, want string) {
		t.Helper()
		if got := look(); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", when, got, want)
		}
	}
	s.host.exec("systemctl", "enable", "--now", "apt-daily.timer", "apt-daily-upgrade.timer")
	before := look()
	if !strings.Contains(before, "apt-daily.timer enabled active") || !strings.Contains(before, "nextcloud-auto-update") {
		t.Fatalf("the host has no rivals to hold:\n%s", before)
	}
	_, out := s.ncfleet("hold", "--reason", "moving house").ends(3*time.Minute, 0)
	want("held", held)
	reboot()
	want("held, after a reboot", held)
	_, applied := s.apply().ends(5*time.Minute, 0)
	want("held, after a rollout", held)
	_, listed := s.ncfleet("hold", "--list").ends(time.Minute, 0)
	if !strings.Contains(listed, ": moving house") || strings.Contains(applied, "hold") && strings.Contains(applied, "FAILED") {
		t.Errorf("listed:\n%s", listed)
	}
	s.ncfleet("release").ends(3*time.Minute, 0)
	want("released", before)

	path := filepath.Join(s.dir, "fleet.hcl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s.host.exec("sh", "-c", "apt-get update -qq")
	s.verb("offer", s.host.Name)
	s.write("fleet.hcl", strings.Replace(string(text), "  packages = \"apt\"\n", "  packages = \"apt\"\n  auto_update = \"absent\"\n", 1))
	_, applied = s.apply().ends(5*time.Minute, 0)
	if !strings.Contains(applied, "removed for good") {
		t.Errorf("the plan does not say what goes:\n%s", applied)
	}
	want("removed", gone)
	reboot()
	want("removed, after a reboot", gone)
	s.ncfleet("release", "--absent").ends(3*time.Minute, 0)
	want("put back", before)
	s.tell("%s", out)
}
