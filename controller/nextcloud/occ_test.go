package nextcloud

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "occ", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOccRunsAsWebUserInRoot(t *testing.T) {
	c := Occ{PHP: "/usr/bin/php8.2", Root: "/srv/nc", User: "www-data"}.Status()
	want := []string{"/usr/bin/php8.2", "occ", "status", "--output=json"}
	if !reflect.DeepEqual(c.Argv, want) || c.User != "www-data" || c.Dir != "/srv/nc" || c.Timeout <= 0 {
		t.Errorf("got %+v", c)
	}
	if got := (Occ{}).Maintenance(false).Argv; !reflect.DeepEqual(got, []string{"php", "occ", "maintenance:mode", "--off"}) {
		t.Errorf("got %q", got)
	}
}

func TestParseStatus(t *testing.T) {
	for name, c := range map[string]struct {
		in      string
		want    Status
		problem string
	}{
		"recorded": {in: string(fixture(t, "status-28.json")),
			want: Status{Installed: true, Version: Version{28, 0, 2, 5}, ProductName: "Nextcloud"}},
		"complaints around it": {in: "PHP Warning:  Module already loaded in Unknown on line 0\n" +
			`{"installed":true,"version":"34.0.1.2","maintenance":true,"needsDbUpgrade":true}` + "\nbye\n",
			want: Status{Installed: true, Version: Version{34, 0, 1, 2}, Maintenance: true, NeedsDBUpgrade: true}},
		"wrong user, exit 0": {in: "Cannot write into \"config\" directory!\nThis can usually be fixed\n",
			problem: `Cannot write into`},
		"database down": {in: "An unhandled exception has been thrown:\nDoctrine\\DBAL\\Exception: Failed to connect\n",
			problem: "An unhandled exception"},
		"empty":          {in: "", problem: "no JSON object"},
		"another object": {in: `{"error":"x"}`, problem: `no key "installed"`},
		"bad version":    {in: `{"installed":true,"version":"abc"}`, problem: `"abc"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseStatus([]byte(c.in))
			if c.problem != "" {
				if err == nil || !strings.Contains(err.Error(), c.problem) {
					t.Fatalf("error %v, want %q in it", err, c.problem)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestParseAppList(t *testing.T) {
	got, err := ParseAppList(fixture(t, "app-list-28.json"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Enabled["files"] != "2.0.0" || got.Enabled["dav"] != "1.29.1" || len(got.Enabled) < 40 {
		t.Errorf("enabled: %v", got.Enabled)
	}
	if got.Disabled["user_ldap"] != "1.19.0" {
		t.Errorf("disabled: %v", got.Disabled)
	}
	got, err = ParseAppList([]byte(`{"enabled":[],"disabled":{"old":"1.0.0 (installed 0.9.0)","never":[]}}`))
	if err != nil || len(got.Enabled) != 0 || got.Disabled["old"] != "1.0.0" {
		t.Errorf("got %+v, %v", got, err)
	}
	if v, ok := got.Disabled["never"]; !ok || v != "" {
		t.Errorf("an app without a version: %q, %v", v, ok)
	}
	for _, bad := range []string{"", "no such command", `{"a":1}`, `{"enabled":3}`} {
		if _, err := ParseAppList([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestParseSetupChecks(t *testing.T) {
	got, err := ParseSetupChecks(fixture(t, "setupchecks-28.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) < 30 || got[`OCA\DAV\SetupChecks\NeedsSystemAddressBookSync`] != "success" ||
		got[`OCA\Settings\SetupChecks\FileLocking`] != "info" {
		t.Errorf("got %v", got)
	}
	got, err = ParseSetupChecks([]byte(`{"dav":[],"x":{"C":{"severity":"error"}}}`))
	if err != nil || !reflect.DeepEqual(got, map[string]string{"C": "error"}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := ParseSetupChecks([]byte("There are no commands defined")); err == nil {
		t.Error("a complaint was accepted")
	}
}

func TestParseAppUpdates(t *testing.T) {
	got := ParseAppUpdates([]byte("calendar new version available: 5.0.1\nAll apps are up-to-date or no updates could be found\nx updated\n"))
	if !reflect.DeepEqual(got, map[string]string{"calendar": "5.0.1"}) {
		t.Errorf("got %v", got)
	}
}

func TestParseUpgradeOutput(t *testing.T) {
	u := ParseUpgradeOutput(fixture(t, "upgrade-29.txt"), 0)
	if err := u.Err(); err != nil || !u.Success || !u.Kept || len(u.RepairErrors) != 0 {
		t.Errorf("recorded: %v, %+v", err, u)
	}
	if u.Updated["files"] != "2.1.0" || len(u.Updated) < 30 {
		t.Errorf("updated: %v", u.Updated)
	}
	for name, c := range map[string]struct {
		out     string
		exit    int
		problem string
		check   func(Upgrade) bool
	}{
		"disabled app comes from the store": {
			out:   "Disabled incompatible app: old\nUpdate app old from App Store\nUpdate successful\nTurned off maintenance mode\n",
			check: func(u Upgrade) bool { return len(u.Disabled) == 1 && u.Store[0] == "old" && !u.Kept }},
		"repair error is no failure": {
			out:   "2026-11-23T12:00:00+00:00 Repair error: step broke\nRepair warning: hm\n2026-11-23T12:00:00+00:00 Update successful\n",
			check: func(u Upgrade) bool { return u.RepairErrors[0] == "step broke" && len(u.RepairWarnings) == 1 }},
		"already latest": {out: "Nextcloud is already latest version\n", check: func(u Upgrade) bool { return u.Latest }},
		"exit 0 proves nothing": {out: "Cannot write into \"config\" directory!\n",
			problem: `without its success line: Cannot write into "config" directory!`},
		"skipped major": {exit: 5, problem: "occ upgrade failed: Exception: Updates between multiple major",
			out: "Exception: Updates between multiple major versions and downgrades are unsupported.\nUpdate failed\nMaintenance mode is kept active\n"},
		"downgrade": {exit: 1, problem: "crashed: OCP\\HintException: [0]: Downgrading",
			out: "OCP\\HintException: [0]: Downgrading is not supported\n"},
		"killed":               {exit: 137, out: "Updating <dav> ...\n", problem: "ended early (killed): it gave no reason"},
		"nobody saw the end":   {exit: -1, problem: "ended early (unknown)"},
		"maintenance, no work": {exit: 2, out: "Nextcloud is in maintenance mode, …\n", problem: "maintenance mode is on"},
	} {
		t.Run(name, func(t *testing.T) {
			u := ParseUpgradeOutput([]byte(c.out), c.exit)
			err := u.Err()
			if c.problem == "" && (err != nil || !c.check(u)) {
				t.Errorf("got %v, %+v", err, u)
			}
			if c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
				t.Errorf("error %v, want %q in it", err, c.problem)
			}
		})
	}
}

func TestParseVersionPHP(t *testing.T) {
	for file, want := range map[string]VersionPHP{
		"version-28.php.txt": {Version: Version{28, 0, 2, 5}, Text: "28.0.2", Channel: "stable",
			UpgradableFrom: []string{"27.0", "27.1", "28.0"}},
		"version-29.php.txt": {Version: Version{29, 0, 1, 1}, Text: "29.0.1", Channel: "stable",
			UpgradableFrom: []string{"28.0", "29.0"}},
	} {
		got, err := ParseVersionPHP(fixture(t, file))
		got.Build = ""
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", file, got, err)
		}
	}
	got, err := ParseVersionPHP([]byte("<?php $OC_VersionString='32.0.1 RC2';\n$OC_Version=[32, 0, 1, 2];$OC_VersionCanBeUpgradedFrom=['nextcloud'=>['31.0'=>true,'32.0'=>true,'30.0'=>false]];"))
	if err != nil || got.Version != (Version{32, 0, 1, 2}) || got.Text != "32.0.1 RC2" ||
		!reflect.DeepEqual(got.UpgradableFrom, []string{"31.0", "32.0"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "<?php", "$OC_Version = 28;", "$OC_Version = array(1);", "$OC_Version = array(a,b,c);", "$OC_Version == [1,2,3"} {
		if v, err := ParseVersionPHP([]byte(bad)); err == nil {
			t.Errorf("%q was accepted as %v", bad, v)
		}
	}
}

func TestParseVersionCheckPHP(t *testing.T) {
	src := "if (PHP_VERSION_ID < 80000) {\n exit(1);\n}\nif (PHP_VERSION_ID >= 80400) { echo PHP_VERSION; }\n"
	if got, err := ParseVersionCheckPHP([]byte(src)); err != nil || got != (PHPBounds{"8.0", "8.4"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := ParseVersionCheckPHP([]byte("PHP_VERSION_ID<80205")); err != nil || got != (PHPBounds{Min: "8.2.5"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ParseVersionCheckPHP([]byte("<?php echo PHP_VERSION;")); err == nil {
		t.Error("a file without bounds was accepted")
	}
}

func TestParseInfoXML(t *testing.T) {
	got, err := ParseInfoXML([]byte(`<?xml version="1.0" encoding="UTF-8"?><info xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
	<id>calendar</id><name>Calendar</name><name lang="de">Kalender</name><version> 4.6.5 </version>
	<dependencies><php min-version="8.0" max-version="8.3"/><nextcloud min-version="26" max-version="28"/></dependencies></info>`))
	want := AppInfo{ID: "calendar", Name: "Calendar", Version: "4.6.5", MinNextcloud: "26", MaxNextcloud: "28", MinPHP: "8.0", MaxPHP: "8.3"}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "<info></info>", "<html/>", "<info><id>x"} {
		if _, err := ParseInfoXML([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzParsers(f *testing.F) {
	for _, n := range []string{"status-28.json", "app-list-28.json", "version-28.php.txt", "upgrade-29.txt"} {
		f.Add(fixture(f, n))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ParseStatus(b)
		_, _ = ParseAppList(b)
		_, _ = ParseSetupChecks(b)
		_, _ = ParseVersionCheckPHP(b)
		_, _ = ParseInfoXML(b)
		if ParseUpgradeOutput(b, 5).Err() == nil {
			t.Error("exit status 5 was taken for success")
		}
		if v, err := ParseVersionPHP(b); err == nil && v.Version.Major() < 0 {
			t.Errorf("version %v", v.Version)
		}
	})
}

func TestParseMissingIndices(t *testing.T) {
	said := "Adding additional fs_parent index to the oc_filecache table, this can take some time...\noc_filecache table updated successfully.\n" +
		"Adding additional new_one index to the oc_x table, this can take some time...\nRemoving old_one index from the oc_x table\nCREATE INDEX fs_parent ON oc_filecache (parent)\n"
	if got := ParseMissingIndices([]byte(said)); len(got) != 2 || got[0] != "fs_parent of oc_filecache" || got[1] != "new_one of oc_x" {
		t.Errorf("%q", got)
	}
	if got := ParseMissingIndices([]byte("Done.\n")); got != nil {
		t.Errorf("%q", got)
	}
}
