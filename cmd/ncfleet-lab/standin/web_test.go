package standin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
)

func TestPages(t *testing.T) {
	t.Parallel()
	s := installed(t, "28.0.2")
	w := s.serve()
	w.code(302, "GET", "/", "")
	page := w.code(200, "GET", "/index.php/login", "")
	if c := nextcloud.CheckLogin(200, []byte(page)); c.Result != nextcloud.Pass {
		t.Errorf("login page: %+v", c)
	}
	assets := nextcloud.LoginAssets([]byte(page), "", 10)
	if len(assets) != 2 {
		t.Errorf("assets of the login page: %q", assets)
	}
	for _, a := range assets {
		if w.code(200, "GET", a, "") == "" {
			t.Errorf("%s is empty", a)
		}
	}
	w.code(404, "GET", "/index.php/nothing", "")
	if text := w.code(400, "GET", "/index.php/login", "", "Host", "evil.example.org"); !strings.Contains(text, "Access through untrusted domain") {
		t.Errorf("an untrusted domain sees %q", text)
	}
	if text := w.code(200, "GET", "/ocs/v2.php/cloud/capabilities?format=json", ""); !strings.Contains(text, `"string":"28.0.2"`) {
		t.Errorf("capabilities: %s", text)
	}
	if text := w.code(200, "GET", "/ocs/v2.php/cloud/user?format=json", ""); !strings.Contains(text, `"id":"admin"`) {
		t.Errorf("user: %s", text)
	}
	s.must("maintenance:mode", "--on")
	if text := w.code(200, "GET", "/status.php", ""); !strings.Contains(text, `"maintenance":true`) {
		t.Errorf("status.php in maintenance mode: %s", text)
	}
	if text := w.code(503, "PROPFIND", files, ""); !strings.Contains(text, "ServerMaintenanceMode") {
		t.Errorf("WebDAV in maintenance mode: %s", text)
	}
	code, _, header := w.ask("GET", "/index.php/login", "")
	if code != 503 || header.Get("X-Nextcloud-Maintenance-Mode") != "1" || header.Get("Retry-After") != "120" {
		t.Errorf("login page in maintenance mode: HTTP %d, %v", code, header)
	}
	w.code(503, "GET", "/ocs/v2.php/cloud/user", "")
}

func TestWebDAV(t *testing.T) {
	t.Parallel()
	s := installed(t, "28.0.2")
	w := s.serve()
	w.code(201, "PUT", files+"a.txt", "one")
	w.code(204, "PUT", files+"a.txt", "two")
	if got := w.code(200, "GET", files+"a.txt", ""); got != "two" {
		t.Errorf("read %q", got)
	}
	if got := readText(t, s.data+"/admin/files/a.txt"); got != "two" {
		t.Errorf("on disk: %q", got)
	}
	w.code(201, "MKCOL", files+"d%20%C3%BC", "")
	w.code(405, "MKCOL", files+"d%20%C3%BC", "")
	w.code(409, "PUT", files+"no/a.txt", "x")
	w.code(201, "MOVE", files+"a.txt", "", "Destination", w.url+files+"d%20%C3%BC/b%25_.txt")
	w.code(404, "GET", files+"a.txt", "")
	if list := w.code(207, "PROPFIND", files+"d%20%C3%BC", "", "Depth", "1"); !strings.Contains(list, files+"d%20%C3%BC/b%25_.txt</d:href>") || !strings.Contains(list, "<d:getcontentlength>3<") {
		t.Errorf("listed: %s", list)
	}
	if list := w.code(207, "PROPFIND", files, "", "Depth", "0"); strings.Contains(list, "d%20") {
		t.Errorf("depth 0 lists children: %s", list)
	}
	w.code(404, "GET", files+"../../owncloud.db", "")
	w.code(404, "GET", files+"%2e%2e/%2e%2e/owncloud.db", "")
	w.code(404, "GET", "/remote.php/dav/files/bob/a.txt", "")
	w.code(204, "DELETE", files+"d%20%C3%BC", "")
	w.code(404, "PROPFIND", files+"d%20%C3%BC/b%25_.txt", "")
	if left, _ := filepath.Glob(s.data + "/admin/files/*"); len(left) != 0 {
		t.Errorf("left on disk: %q", left)
	}
	req, err := http.NewRequest("GET", w.url+files, nil)
	s.ok(err)
	req.SetBasicAuth("admin", "wrong")
	resp, err := http.DefaultClient.Do(req)
	s.ok(err)
	resp.Body.Close()
	if resp.StatusCode != 401 {
		t.Errorf("a wrong password: HTTP %d", resp.StatusCode)
	}
}

// TestRolledBack puts an older database under newer files: they are on disk
// and nobody sees them until they are scanned.
func TestRolledBack(t *testing.T) {
	t.Parallel()
	s := installed(t, "28.0.2")
	w := s.serve()
	w.code(201, "PUT", files+"old.txt", "old")
	saved := readText(t, s.data+"/owncloud.db")
	w.code(201, "PUT", files+"new.txt", "new")
	s.ok(os.WriteFile(s.data+"/owncloud.db", []byte(saved), 0o644))
	w.code(404, "GET", files+"new.txt", "")
	if list := w.code(207, "PROPFIND", files, ""); strings.Contains(list, "new.txt") || !strings.Contains(list, "old.txt") {
		t.Errorf("listed: %s", list)
	}
	if readText(t, s.data+"/admin/files/new.txt") != "new" {
		t.Error("the newer file is not on disk")
	}
	s.must("files:scan", "--all")
	if got := w.code(200, "GET", files+"new.txt", ""); got != "new" {
		t.Errorf("read %q after a scan", got)
	}
}

// pending makes a site with a newer app, so that its code is newer than its
// database without other files at the same paths.
func pending(t *testing.T, version string) *site {
	t.Helper()
	s := installed(t, version)
	s.ok(UnpackApp(s.tree+"/apps", "notesbin", "1.0.0"))
	s.must("app:enable", "notesbin")
	s.ok(UnpackApp(s.tree+"/apps", "notesbin", "1.1.0"))
	return s
}

func TestNeedsUpgradeOverHTTP(t *testing.T) {
	t.Parallel()
	s := pending(t, "28.0.2")
	w := s.serve()
	if text := w.code(200, "GET", "/status.php", ""); !strings.Contains(text, `"needsDbUpgrade":true`) {
		t.Errorf("status.php: %s", text)
	}
	if text := w.code(200, "GET", "/index.php/login", ""); !strings.Contains(text, "Start update") {
		t.Errorf("login page: %s", text)
	}
	if s.occ("config:system:get", "theme").exit != 0 {
		t.Error("the updater's page did not write config.php")
	}
	w.code(503, "PROPFIND", files, "")
	w.code(503, "GET", "/ocs/v2.php/cloud/user", "")
	s.set("upgrade.disable-web", "true", "--type=boolean")
	w.code(503, "GET", "/index.php/login", "")
	if a := run(s.php("cron.php")); a.exit != 0 || a.stdout+a.stderr != "" || s.occ("config:app:get", "core", "lastcron").exit != 1 {
		t.Errorf("cron.php before an upgrade: %+v", a)
	}
}

// cached is the web of a site whose PHP answers from opcache for a minute. The
// protection of fresh files must be over for config.php.
func (s *site) cached() *server {
	s.t.Helper()
	old := time.Now().Add(-time.Minute)
	s.ok(os.Chtimes(s.tree+"/config/config.php", old, old))
	return s.serve("-d", "opcache.enable=1", "-d", "opcache.enable_cli=1", "-d", "opcache.revalidate_freq=60", "-d", "opcache.file_update_protection=2")
}

// TestMaintenanceIsSeenLate is the first trap of opcache: 28 lets users write
// after maintenance mode was switched on, 29 does not.
func TestMaintenanceIsSeenLate(t *testing.T) {
	t.Parallel()
	needPHP(t, "Zend OPcache")
	for version, late := range map[string]bool{"28.0.2": true, "29.0.1": false} {
		s := installed(t, version)
		w := s.cached()
		w.code(201, "PUT", files+"before.txt", "x")
		s.must("maintenance:mode", "--on")
		want := map[bool]int{true: 201, false: 503}[late]
		w.code(want, "PUT", files+"after.txt", "x")
		// A file that is new is not in opcache, whatever the release.
		s.ok(os.WriteFile(s.tree+"/config/zz.config.php", []byte("<?php $CONFIG = array('maintenance' => true);"), 0o644))
		w.code(503, "PUT", files+"later.txt", "x")
		s.ok(os.Remove(s.tree + "/config/zz.config.php"))
	}
}

// TestTwoWriters is the second one: the page of the web updater writes the copy
// of config.php that its worker has, and maintenance mode is gone.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	needPHP(t, "Zend OPcache")
	for _, disabled := range []bool{false, true} {
		s := pending(t, "28.0.2")
		if disabled {
			s.set("upgrade.disable-web", "true", "--type=boolean")
		}
		w := s.cached()
		w.code(200, "GET", "/status.php", "")
		s.must("maintenance:mode", "--on")
		w.code(map[bool]int{false: 200, true: 503}[disabled], "GET", "/index.php/login", "")
		if kept := s.config("maintenance") == "true"; kept != disabled {
			t.Errorf("upgrade.disable-web %v: maintenance mode kept %v:\n%s", disabled, kept, readText(t, s.tree+"/config/config.php"))
		}
	}
}

func TestCron(t *testing.T) {
	t.Parallel()
	s := installed(t, "28.0.2")
	s.set("standin_cron_seconds", "0")
	s.must("maintenance:mode", "--on")
	if a := run(s.php("-f", s.tree+"/cron.php")); a.exit != 0 || s.occ("config:app:get", "core", "lastcron").exit == 0 {
		t.Errorf("cron.php in maintenance mode: %+v", a)
	}
	s.must("maintenance:mode", "--off")
	if a := run(s.php("-f", s.tree+"/cron.php")); a.exit != 0 || s.occ("config:app:get", "core", "lastcron").exit != 0 {
		t.Errorf("cron.php: %+v", a)
	}
}

// store serves the folder of the app store and counts what is asked for.
func (s *site) store() *atomic.Int32 {
	s.t.Helper()
	dir := s.t.TempDir()
	s.ok(WriteReleases(dir))
	var n atomic.Int32
	files := http.FileServer(http.Dir(dir + "/store"))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		files.ServeHTTP(w, r)
	}))
	s.t.Cleanup(srv.Close)
	s.set("appstoreenabled", "true", "--type=boolean")
	s.set("appstoreurl", srv.URL)
	return &n
}

func TestStore(t *testing.T) {
	t.Parallel()
	s := installed(t, "28.0.2")
	s.ok(UnpackApp(s.tree+"/apps", "notesbin", "1.0.0"))
	s.ok(UnpackApp(s.tree+"/apps", "legacyclock", "1.0.0"))
	s.must("app:enable", "notesbin", "legacyclock")
	asked := s.store()
	if a := s.want(0, nil, "app:update", "--showonly", "--all"); a.stdout != "" || asked.Load() != 0 {
		t.Errorf("a store on a loopback address was asked: %q", a.stdout)
	}
	s.set("allow_local_remote_servers", "true", "--type=boolean")
	s.ok(os.RemoveAll(filepath.Join(s.data, "appdata_"+s.config("instanceid"))))
	s.want(0, []string{"notesbin new version available: 1.1.0\n"}, "app:update", "--showonly", "--all")
	before := s.copied(t)
	s.want(0, []string{"notesbin new version available: 1.1.0\nnotesbin updated\n"}, "app:update", "--all")
	if a := s.want(0, nil, "app:update", "--showonly", "--all"); a.stdout != "" {
		t.Errorf("still to update: %q", a.stdout)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("the store was asked %d times, want once for the list and once for the app", n)
	}
	s.want(1, []string{"nowhere not installed"}, "app:update", "nowhere")
	// In an upgrade the store brings back what was disabled, where it can.
	before.swap("29.0.1")
	before.want(0, []string{"Disabled incompatible app: legacyclock", "Disabled incompatible app: notesbin", "Update app notesbin from App Store", "Update successful"}, "upgrade")
	var list struct{ Enabled, Disabled map[string]string }
	s.ok(json.Unmarshal([]byte(before.must("app:list", "--output=json", "--shipped=false")), &list))
	if list.Enabled["notesbin"] != "1.1.0" || list.Disabled["legacyclock"] == "" {
		t.Errorf("apps after the upgrade: %+v", list)
	}
	before.want(0, []string{"All apps are up-to-date or no updates could be found"}, "app:update", "--showonly", "--all")
}

// TestStoreAfterKill kills the upgrade after an app was disabled: the second
// run still brings it back.
func TestStoreAfterKill(t *testing.T) {
	t.Parallel()
	s := installed(t, "28.0.2")
	s.ok(UnpackApp(s.tree+"/apps", "notesbin", "1.0.0"))
	s.must("app:enable", "notesbin")
	s.store()
	s.set("allow_local_remote_servers", "true", "--type=boolean")
	s.set("standin_upgrade_seconds", "2")
	s.swap("29.0.1")
	a, came := s.upgradeUntil(6, func(c *exec.Cmd) { _ = c.Process.Kill() })
	if !came || !strings.Contains(a.stdout, "Disabled incompatible app") || a.exit != 137 {
		t.Fatalf("killed run: %+v", a)
	}
	a = s.want(0, []string{"Update successful"}, "upgrade")
	if strings.Contains(a.stdout, "Disabled incompatible app") {
		t.Error("the second run names the app again")
	}
	s.must("maintenance:mode", "--off")
	if list := s.must("app:list", "--shipped=false"); !strings.Contains(list, "Enabled:\n  - notesbin: 1.1.0") {
		t.Errorf("apps: %s", list)
	}
	if strings.Contains(s.dump(), "standin_disabled") {
		t.Error("the list of disabled apps was left behind")
	}
}
