package survey

import "testing"

// TestKnownRivals: units of every family that change packages by themselves.
func TestKnownRivals(t *testing.T) {
	for id, want := range map[string]bool{
		"apt-daily-upgrade.timer": true, "unattended-upgrades.service": true,
		"dnf-automatic.timer": true, "dnf-automatic-install.timer": true, "dnf5-automatic.timer": true, "dnf-makecache.timer": true, "yum-cron.service": true,
		"os-update.timer": true, "transactional-update.timer": true,
		"packagekit-background.timer": true, "nextcloud-update.timer": true,
		"logrotate.timer": false, "btrfs-scrub.timer": false, "cron.service": false,
	} {
		if got := knownRival(id, true, false); got != want {
			t.Errorf("%s: %v, want %v", id, got, want)
		}
	}
}
