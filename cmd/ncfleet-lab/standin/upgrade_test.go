package standin

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
)

// upgraded fails unless the site is of that version and in order.
func (s *site) upgraded(version string) {
	s.t.Helper()
	if st := s.state(); st.Version != version || st.NeedsDBUpgrade || s.config("version") != version {
		s.t.Errorf("state %+v, config.php says %s; want %s", st, s.config("version"), version)
	}
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	s := installed(t, "28.0.2")
	last := "28.0.2.5"
	for _, hop := range []struct{ to, long, text string }{
		{"28.0.5", "28.0.5.1", "Updated <files> to 2.28.1"},
		{"29.0.1", "29.0.1.1", "Updated <files> to 2.29.0"},
		{"30.0.4", "30.0.4.1", "Updated <files> to 2.30.0"},
	} {
		s.swap(hop.to)
		if st := s.state(); !st.NeedsDBUpgrade || st.Version != hop.long || s.config("version") != last {
			t.Errorf("before the upgrade to %s: %+v, config.php says %s", hop.to, st, s.config("version"))
		}
		a := s.want(2, nil, "status", "-e")
		if !strings.Contains(a.stderr, "require upgrade - only a limited number") {
			t.Errorf("stderr before the upgrade: %q", a.stderr)
		}
		s.ok(os.WriteFile(s.tree+"/config/CAN_INSTALL", nil, 0o644))
		a = s.want(0, []string{"Setting log level to debug\nTurned on maintenance mode\nUpdating database schema\nUpdated database\n", hop.text,
			"Update successful\nTurned off maintenance mode\nResetting log level\n"}, "upgrade", "--no-interaction")
		if u := nextcloud.ParseUpgradeOutput([]byte(a.stdout), a.exit); u.Err() != nil || u.Kept || len(u.Updated) == 0 {
			t.Errorf("the upgrade to %s reads as %+v", hop.to, u)
		}
		if _, err := os.Stat(s.tree + "/config/CAN_INSTALL"); err == nil {
			t.Error("CAN_INSTALL is still there")
		}
		if s.config("loglevel") != "2" || !strings.Contains(readText(t, s.tree+"/.htaccess"), "DO NOT CHANGE ANYTHING ABOVE THIS LINE") {
			t.Error("loglevel was not put back, or .htaccess not written")
		}
		s.upgraded(hop.long)
		s.want(0, nil, "status", "-e")
		last = hop.long
	}
	if !strings.Contains(s.must("app:list"), "files_downloadlimit: 2.30.0") {
		t.Error("an app that came with a release is not enabled")
	}
	s.want(0, []string{"Adding additional oc_npushhash_di index"}, "db:add-missing-indices", "--no-interaction")
	if a := s.occ("db:add-missing-indices"); a.stdout != "" || a.exit != 0 {
		t.Errorf("add-missing-indices, the second time: %+v", a)
	}
	if d := s.dump(); !strings.Contains(d, "oc_shares_limits") || !strings.Contains(d, "taskprocessing_tasks") || strings.Contains(d, "collres_accesscache\": {") {
		t.Errorf("the schema is not that of 30:\n%s", d)
	}
}

func TestIllegalHops(t *testing.T) {
	t.Parallel()
	s := installed(t, "28.0.2")
	before := s.dump()
	s.swap("30.0.4")
	if !s.state().NeedsDBUpgrade {
		t.Error("a skipped major must still look like an upgrade")
	}
	s.want(5, []string{"Exception: Updates between multiple major versions and downgrades are unsupported.\nUpdate failed\nMaintenance mode is kept active\n"}, "upgrade")
	if s.config("version") != "28.0.2.5" || s.config("maintenance") != "true" || s.dump() != before {
		t.Error("a refused upgrade changed more than maintenance mode")
	}
	s.swap("28.0.2")
	s.must("maintenance:mode", "--off")
	s.want(0, nil, "status", "-e")
	s.swap("29.0.1")
	s.must("upgrade")
	s.swap("28.0.5")
	for _, command := range []string{"status", "upgrade", "app:list"} {
		s.want(1, []string{"OCP\\HintException: [0]: Downgrading is not supported and is likely to cause unpredictable issues (from 29.0.1.1 to 28.0.5.1)"}, command)
	}
	w := s.serve()
	if text := w.code(500, "GET", "/status.php", ""); text != "" {
		t.Errorf("status.php of code that is too old says %q", text)
	}
	if text := w.code(503, "GET", "/index.php/login", ""); !strings.Contains(text, "Downgrading is not supported") {
		t.Errorf("the login page of code that is too old says %q", text)
	}
}

func TestUpgradeKeepsMaintenance(t *testing.T) {
	t.Parallel()
	s := installed(t, "28.0.2")
	s.must("maintenance:mode", "--on")
	s.swap("29.0.1")
	a := s.want(0, []string{"Update successful\nMaintenance mode is kept active\n"}, "upgrade")
	if strings.Contains(a.stdout, "Turned on maintenance mode") {
		t.Error("maintenance mode was turned on twice")
	}
	s.want(0, []string{"disabled"}, "maintenance:mode", "--off")
	s.upgraded("29.0.1.1")
}

// TestKilled kills occ upgrade after ten of its lines, in the middle of what
// follows, and runs it again.
func TestKilled(t *testing.T) {
	t.Parallel()
	base := installed(t, "28.0.2")
	base.swap("29.0.1")
	base.set("standin_upgrade_seconds", "0.3")
	clean := base.copied(t)
	lines := strings.Count(clean.must("upgrade"), "\n")
	want := clean.dump()
	for i := range 10 {
		n := 1 + i*(lines-6)/9
		t.Run(fmt.Sprintf("line-%d", n), func(t *testing.T) {
			s := base.copied(t)
			a, came := s.upgradeUntil(n, func(c *exec.Cmd) {
				time.Sleep(time.Duration(9-i) * time.Millisecond) // anywhere will do
				_ = c.Process.Kill()
			})
			if !came {
				t.Fatalf("line %d did not come:\n%s", n, a.stdout)
			}
			s.afterKill(a)
			if a := s.occ("upgrade"); a.exit != 0 && a.exit != 2 {
				t.Fatalf("the second run: %+v", a)
			}
			if kept := strings.Contains(a.stdout, "Turned on") && !strings.Contains(a.stdout, "Update successful"); kept && !s.state().Maintenance {
				t.Error("the second run ended maintenance mode by itself")
			}
			s.must("maintenance:mode", "--off")
			s.upgraded("29.0.1.1")
			if got := s.dump(); got != want {
				t.Errorf("the database differs from an undisturbed run's:\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// afterKill checks what a killed upgrade leaves.
func (s *site) afterKill(a answer) {
	s.t.Helper()
	done := strings.Contains(a.stdout, "Update successful")
	if a.exit != 137 && !done {
		s.t.Errorf("exit %d, want 137", a.exit)
	}
	text := readText(s.t, s.tree+"/config/config.php")
	committed := strings.Contains(text, "'version' => '29.0.1.1'")
	if st := s.state(); st.NeedsDBUpgrade == committed {
		s.t.Errorf("state %+v although config.php says\n%s", st, text)
	}
	if strings.Contains(a.stdout, "Turned on maintenance mode") && !done && !strings.Contains(text, "'maintenance' => true") {
		s.t.Errorf("maintenance mode was lost:\n%s", text)
	}
	if strings.Contains(a.stdout, "Updating database schema") && !done && !strings.Contains(text, "'loglevel' => 0") {
		s.t.Errorf("loglevel is not that of an upgrade under way:\n%s", text)
	}
	if !strings.Contains(a.stdout, "code integrity check") && committed {
		s.t.Errorf("the version was written before the end:\n%s", a.stdout)
	}
}

// TestTwoUpgrades starts a second upgrade while the first is under way: there
// is no lock, and one of them must fail.
func TestTwoUpgrades(t *testing.T) {
	t.Parallel()
	base := installed(t, "28.0.2")
	base.swap("29.0.1")
	base.set("standin_upgrade_seconds", "0")
	clean := base.copied(t)
	clean.must("upgrade")
	for seconds := 4; ; seconds *= 3 {
		s := base.copied(t)
		s.set("standin_upgrade_seconds", fmt.Sprint(seconds))
		var second answer
		first, _ := s.upgradeUntil(3, func(*exec.Cmd) { second = s.occ("upgrade") })
		if !strings.Contains(second.stdout, "Updating database schema") && seconds < 100 {
			continue // it came too late on this machine
		}
		if min(first.exit, second.exit) != 0 || max(first.exit, second.exit) != 5 || !strings.Contains(first.stdout+second.stdout, "Update failed") {
			t.Fatalf("exit %d and %d, want 0 and 5\n%s\n%s", first.exit, second.exit, first.stdout, second.stdout)
		}
		if a := s.occ("upgrade"); a.exit != 0 && a.exit != 2 {
			t.Fatalf("once more: %+v", a)
		}
		s.must("maintenance:mode", "--off")
		s.upgraded("29.0.1.1")
		if s.dump() != clean.dump() {
			t.Error("the database differs from an undisturbed run's")
		}
		return
	}
}

func TestAppFails(t *testing.T) {
	t.Parallel()
	s := installed(t, "28.0.2")
	s.set("standin_fail_app", "text")
	s.swap("29.0.1")
	s.want(5, []string{"Exception: Database error when running migration 2028001Date20240101000000 for app text\nAn exception occurred", "Update failed\nMaintenance mode is kept active"}, "upgrade")
	if s.config("version") != "28.0.2.5" || s.config("loglevel") != "2" {
		t.Error("a failed upgrade wrote the version, or left loglevel")
	}
	if !strings.Contains(readText(t, s.data+"/nextcloud.log"), `"level":3`) {
		t.Error("nextcloud.log does not tell")
	}
	s.must("app:disable", "text")
	s.want(0, []string{"Update successful\nMaintenance mode is kept active"}, "upgrade")
	s.must("maintenance:mode", "--off")
	s.upgraded("29.0.1.1")
}

func TestIncompatibleApp(t *testing.T) {
	t.Parallel()
	s := installed(t, "28.0.2")
	s.ok(UnpackApp(s.tree+"/apps", "notesbin", "1.0.0"))
	s.ok(UnpackApp(s.tree+"/apps", "legacyclock", "1.0.0"))
	s.must("app:enable", "notesbin")
	if list := s.must("app:list", "--output=json", "--shipped=false"); list != `{"enabled":{"notesbin":"1.0.0"},"disabled":{"legacyclock":"1.0.0"}}`+"\n" {
		t.Errorf("app:list says %s", list)
	}
	s.swap("29.0.1")
	s.want(0, []string{"Disabled incompatible app: notesbin\n"}, "upgrade")
	s.want(1, []string{`App "notesbin" cannot be installed because it is not compatible with this version of the server.`}, "app:enable", "notesbin")
	if !strings.Contains(s.dump(), "oc_notesbin") {
		t.Error("the data of a disabled app is gone")
	}
	// Files of a shipped app that belong to another release.
	s.ok(os.WriteFile(s.tree+"/apps/text/appinfo/info.xml", []byte(app{"text", "2.30.0", "30", "30"}.files()["appinfo/info.xml"]), 0o644))
	s.want(5, []string{`The files of the app "text" were not correctly replaced before running the update`}, "upgrade")
}

// TestOfflineAppUpdate replaces an app's folder: the whole site waits.
func TestOfflineAppUpdate(t *testing.T) {
	t.Parallel()
	s := installed(t, "28.0.2")
	s.ok(UnpackApp(s.tree+"/apps", "notesbin", "1.0.0"))
	s.must("app:enable", "notesbin")
	s.ok(UnpackApp(s.tree+"/apps", "notesbin", "1.1.0"))
	if !s.state().NeedsDBUpgrade {
		t.Error("a newer app does not ask for an upgrade")
	}
	s.want(0, []string{"Updated <notesbin> to 1.1.0", "Update successful"}, "upgrade")
	if !strings.Contains(s.dump(), "deleted_at") {
		t.Error("the app's migration did not run")
	}
}

// full puts config and data on a small disk of its own mount namespace, leaves
// 16 KiB of it and upgrades, then makes room and upgrades again.
const full = `set -e
mount -t tmpfs -o size=4m standin "$1"
cp -a "$2/config" "$3" "$1/"
mount --bind "$1/config" "$2/config"
mount --bind "$1/data" "$3"
cd "$2"
cat /dev/zero >"$1/fill" 2>/dev/null || true
truncate -s "-$4" "$1/fill"
set +e
php occ upgrade; echo "first $?"
grep -c "'loglevel' => 0" config/config.php
rm "$1/fill"
php occ upgrade; echo "second $?"
php occ status --output=json
`

func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := installed(t, "28.0.2")
	s.ok(os.Mkdir(s.dir+"/small", 0o755))
	if out, err := exec.Command("unshare", "-m", "mount", "-t", "tmpfs", "standin", s.dir+"/small").CombinedOutput(); err != nil {
		t.Skipf("nothing can be mounted here: %s", out)
	}
	s.swap("29.0.1")
	for room, texts := range map[string][]string{
		"4096":  {"does not have enough space for writing the config file", "first 1\n0\n"},
		"20480": {"SQLSTATE[HY000]: General error: 13 database or disk is full", "Update failed", "first "},
	} {
		a := run(exec.Command("unshare", "-m", "--propagation", "private", "sh", "-c", full, "sh", s.dir+"/small", s.tree, s.data, room))
		for _, text := range append(texts, "Update successful", "second 0", `"needsDbUpgrade":false`) {
			if !strings.Contains(a.stdout, text) {
				t.Errorf("with %s bytes left: no %q in:\n%s%s", room, text, a.stdout, a.stderr)
			}
		}
		if strings.Contains(a.stdout, "first 0") {
			t.Errorf("with %s bytes left the upgrade was good", room)
		}
	}
}
