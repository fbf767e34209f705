package standin

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	mirror "github.com/ncfleet/ncfleet/controller/release"
)

// TestReleases reads the mirror with the controller's own eyes.
func TestReleases(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := WriteReleases(dir); err != nil {
		t.Fatal(err)
	}
	source := &mirror.Source{Location: dir, Cache: t.TempDir(), Integrity: "warn"}
	list, err := source.List(context.Background(), func(nextcloud.Version) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(Versions()) {
		t.Fatalf("%d releases listed, want %v", len(list), Versions())
	}
	for i, r := range list {
		if r.Version.String() != Versions()[i] || r.Size > 1<<20 {
			t.Errorf("release %d is %s of %d bytes, want %s below 1 MiB", i, r.Version, r.Size, Versions()[i])
		}
		rep, err := mirror.Inspect(context.Background(), filepath.Join(dir, r.Name))
		if err != nil || !rep.Version.SameRelease(r.Version) || rep.Clean() {
			t.Errorf("%s: %v, %+v; want a report of faults, for nobody signed it", r.Name, err, rep)
		}
	}
	var apps []struct{ ID string }
	text, err := os.ReadFile(filepath.Join(dir, "store", "apps.json"))
	if err == nil {
		err = json.Unmarshal(text, &apps)
	}
	if err != nil || len(apps) != 2 {
		t.Errorf("apps.json: %v, %+v", err, apps)
	}
	again := t.TempDir()
	if err := WriteReleases(again); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{list[0].Name, "store/notesbin-1.1.0.tar.gz"} {
		a, _ := os.ReadFile(filepath.Join(dir, name))
		b, _ := os.ReadFile(filepath.Join(again, name))
		if len(a) == 0 || !bytes.Equal(a, b) {
			t.Errorf("%s written twice is not equal", name)
		}
	}
}

func TestUnknownNames(t *testing.T) {
	t.Parallel()
	if err := Unpack(t.TempDir(), "27.0.0"); err == nil || !strings.Contains(err.Error(), "28.0.2") {
		t.Errorf("unpack of a release that is not there: %v", err)
	}
	if err := UnpackApp(t.TempDir(), "notesbin", "9.0.0"); err == nil {
		t.Error("an app that is not there was unpacked")
	}
}

func TestVersionFiles(t *testing.T) {
	t.Parallel()
	for _, r := range releases {
		files, err := r.files()
		if err != nil {
			t.Fatal(err)
		}
		v, err := nextcloud.ParseVersionPHP([]byte(files["version.php"]))
		if err != nil || v.Version.Long() != r.version || !slices.Equal(v.UpgradableFrom, r.from) {
			t.Errorf("version.php of %s reads as %+v, %v", r.version, v, err)
		}
		b, err := nextcloud.ParseVersionCheckPHP([]byte(files["lib/versioncheck.php"]))
		if err != nil || b.Below != "8.4" || !strings.HasPrefix(b.Min, "8.") {
			t.Errorf("versioncheck.php of %s reads as %+v, %v", r.version, b, err)
		}
		if info, err := nextcloud.ParseInfoXML([]byte(files["apps/files/appinfo/info.xml"])); err != nil || info.MaxNextcloud != r.major() {
			t.Errorf("info.xml of files reads as %+v, %v", info, err)
		}
	}
}

func TestInstall(t *testing.T) {
	t.Parallel()
	s := unpacked(t, "28.0.2")
	a := s.want(0, []string{"installed: false"}, "status")
	if !strings.Contains(a.stderr, "Nextcloud is not installed") {
		t.Errorf("stderr of an empty tree: %q", a.stderr)
	}
	s.want(1, nil, "app:list")
	s.want(1, []string{"Admin password not provided"}, "maintenance:install", "--data-dir", s.data)
	s.want(0, []string{"Nextcloud was successfully installed"}, "maintenance:install", "--admin-user", "admin", "--admin-pass", password, "--data-dir", s.data)
	if _, err := os.Stat(s.tree + "/config/CAN_INSTALL"); err == nil {
		t.Error("CAN_INSTALL is still there")
	}
	st, err := nextcloud.ParseStatus([]byte(s.must("status", "--output=json")))
	if err != nil || !st.Installed || st.Version.Long() != "28.0.2.5" || st.Maintenance || st.NeedsDBUpgrade {
		t.Errorf("status %+v, %v", st, err)
	}
	list, err := nextcloud.ParseAppList([]byte(s.must("app:list", "--output=json")))
	if err != nil || list.Enabled["files"] != "2.28.0" || list.Disabled["user_ldap"] == "" {
		t.Errorf("apps %+v, %v", list, err)
	}
	if text, err := os.ReadFile(s.tree + "/config/config.php"); err != nil || !strings.HasPrefix(string(text), "<?php\n$CONFIG = array (\n  '") {
		t.Errorf("config.php: %.60q, %v", text, err)
	}
	s.want(1, []string{`"maintenance:install" is not defined`}, "maintenance:install")
	s.want(1, []string{`no commands defined in the "foo" namespace`}, "foo:bar")
	s.want(0, nil, "integrity:check-core")
	s.ok(os.WriteFile(s.tree+"/lib/log.php", []byte("<?php // changed\n"+strings.TrimPrefix(readText(t, s.tree+"/lib/log.php"), "<?php\n")), 0o644))
	s.want(1, []string{`"INVALID_HASH":{"lib\/log.php"`}, "integrity:check-core", "--output=json")
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCommands(t *testing.T) {
	t.Parallel()
	s := installed(t, "28.0.2")
	s.want(0, []string{"Maintenance mode is currently disabled"}, "maintenance:mode")
	s.want(0, []string{"Maintenance mode enabled"}, "maintenance:mode", "--on")
	s.want(0, []string{"already enabled"}, "maintenance:mode", "--on")
	a := s.want(1, nil, "status", "-e")
	if a.stdout != "" || !strings.Contains(a.stderr, "no apps are loaded") {
		t.Errorf("status -e in maintenance mode: stdout %q, stderr %q", a.stdout, a.stderr)
	}
	s.want(1, []string{`no commands defined in the "files" namespace`}, "files:scan", "--all")
	s.want(2, []string{"Nextcloud is in maintenance mode"}, "upgrade")
	s.want(0, []string{"Maintenance mode disabled"}, "maintenance:mode", "--off")
	s.want(0, []string{"already disabled"}, "maintenance:mode", "--off")
	s.want(0, nil, "status", "-e")
	s.want(0, []string{"already latest version"}, "upgrade")
	s.want(0, []string{"+---"}, "files:scan", "--all")
	checks, err := nextcloud.ParseSetupChecks([]byte(s.want(1, nil, "setupchecks", "--output=json").stdout))
	if err != nil || len(checks) == 0 {
		t.Errorf("setup checks %v, %v", checks, err)
	}
	s.want(1, nil, "config:system:get", "nothing")
	s.want(0, []string{"example.org"}, "config:system:set", "trusted_domains", "1", "--value=example.org")
	s.want(0, []string{"localhost\nexample.org"}, "config:system:get", "trusted_domains")
	s.want(0, []string{`"dbtype":"sqlite3"`, `"secret":"***REMOVED`}, "config:list", "system", "--output=json")
	s.want(0, nil, "config:app:set", "core", "x", "--value=y")
	s.want(0, []string{"y\n"}, "config:app:get", "core", "x")
	s.want(2, []string{"can't be disabled"}, "app:disable", "files")
	s.want(0, []string{"text 2.28.0 disabled"}, "app:disable", "text")
	s.want(0, []string{"text 2.28.0 enabled"}, "app:enable", "text")
	s.want(1, []string{"Could not download"}, "app:enable", "nowhere")
	s.want(0, []string{"/apps/files"}, "app:getpath", "files")
	add := s.php("occ", "user:add", "--password-from-env", "--display-name=ncfleet", "--", "bob")
	add.Env = append(os.Environ(), "OC_PASS=Secret-123")
	if a := run(add); a.exit != 0 || !strings.Contains(a.stdout, "created successfully") {
		t.Errorf("user:add: %+v", a)
	}
	s.want(1, []string{"already exists"}, "user:add", "--password-from-env", "bob")
	s.want(0, []string{"bob: ncfleet"}, "user:list")
	s.want(0, []string{"was deleted"}, "user:delete", "bob")
	s.want(1, []string{"does not exist"}, "user:delete", "bob")
	s.set("config_is_read_only", "true", "--type=boolean")
	s.want(1, []string{"Config is set to be read-only"}, "maintenance:mode", "--on")
	s.want(1, []string{"Config is set to be read-only"}, "upgrade")
}
