package sim

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/remote"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/archive"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// way is one instance on its way, driven by the real scripts over real SSH.
type way struct {
	*testing.T
	ctx  context.Context
	host *Host
	r    *remote.Host
	site nextcloud.Site
	snap driver.Snapshotter
	from nextcloud.Version
	to   nextcloud.Version
	key  driver.SnapshotRequest
	took driver.Handle
}

func newWay(t *testing.T, faults ...Fault) *way {
	t.Helper()
	f, inv := start(t, Options{Hosts: 1, Faults: map[string][]Fault{HostName(1): faults}, UpgradeSeconds: -1})
	return wayOf(t, f, &inv.Hosts[0])
}

func wayOf(t *testing.T, f *Fleet, h *inventory.Host) *way {
	t.Helper()
	w := &way{T: t, ctx: testContext(t), host: f.Host(h.Name), r: connect(t, h),
		from: nextcloud.Version{28, 0, 2, 5}, to: nextcloud.Version{29, 0, 1}}
	w.site = nextcloud.Site{Name: h.Name, Path: w.host.Tree, DataDir: w.host.Data, WebUser: f.User,
		PHP: filepath.Join(w.host.Dir, "bin", "php"), StateDir: h.StateDir, URL: w.host.URL, Reload: [][]string{h.Instances[0].Reload}}
	w.snap = archive.New()
	if err := w.snap.Configure(w.ctx, driver.Config{}); err != nil {
		t.Fatal(err)
	}
	w.key = driver.SnapshotRequest{Key: "test/" + h.Name, Subject: driver.Subject{
		Host: h.Name, Instance: "main", WebUser: f.User, PHP: w.site.PHP, DatabaseKind: "sqlite3", StateDir: h.StateDir,
		Places: []driver.Place{
			{Part: driver.PartCode, Path: w.host.Tree}, {Part: driver.PartConfig, Path: w.host.Tree + "/config"},
			{Part: driver.PartDatabase, Path: w.host.Data + "/owncloud.db"}, {Part: driver.PartData, Path: w.host.Data},
		}}}
	return w
}

// call runs a host script and returns its exit status and output.
func (w *way) call(i nextcloud.Invocation) (int, string) {
	w.Helper()
	text, err := nextcloud.ScriptText(i.Script)
	if err != nil {
		w.Fatal(err)
	}
	r, err := w.r.Run(w.ctx, driver.Command{Argv: append([]string{"sh", "-s", "--"}, i.Args...), Stdin: []byte(text), User: "root"})
	if err != nil {
		w.Fatalf("%s: %v", i.Script, err)
	}
	return r.Exit, string(r.Stdout) + string(r.Stderr)
}

func (w *way) must(i nextcloud.Invocation) string {
	w.Helper()
	exit, out := w.call(i)
	if exit != 0 {
		w.Fatalf("%s ended with %d:\n%s", i.Script, exit, out)
	}
	return out
}

// stage sends the release and unpacks it.
func (w *way) stage() {
	w.Helper()
	const name = "nextcloud-29.0.1.zip"
	mirror := filepath.Join(filepath.Dir(filepath.Dir(w.host.Dir)), "mirror", name)
	sum, err := os.ReadFile(mirror + ".sha512")
	if err != nil {
		w.Fatal(err)
	}
	to := w.host.State + "/releases/" + name
	err = w.r.Upload(w.ctx, remote.UploadRequest{Path: to, Open: func() (io.ReadCloser, error) { return os.Open(mirror) }})
	if err != nil {
		w.Fatal(err)
	}
	w.must(w.site.Stage(to, "", strings.Fields(string(sum))[0], w.to, w.site.Path))
}

func (w *way) snapshot() {
	w.Helper()
	if err := w.snap.Prepare(w.ctx, w.key, w.r); err != nil {
		w.Fatal(err)
	}
	var err error
	if w.took, err = w.snap.Create(w.ctx, w.key, w.r); err != nil {
		w.Fatal(err)
	}
	if v, err := w.snap.Verify(w.ctx, w.took, w.r); err != nil || !v.Verified {
		w.Fatalf("%+v %v", v, err)
	}
}

func (w *way) restore() {
	w.Helper()
	w.must(w.site.SwapBack(w.site.Kept(w.from), w.from))
	if err := w.snap.Restore(w.ctx, w.took, w.key.Subject, w.r); err != nil {
		w.Fatal(err)
	}
}

// get asks the site from outside.
func (w *way) get(path string) (int, string) {
	w.Helper()
	r, err := http.Get(w.host.URL + path)
	if err != nil {
		w.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		w.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func (w *way) see(path string, status int, text string) {
	w.Helper()
	if got, body := w.get(path); got != status || !strings.Contains(body, text) {
		w.Errorf("%s answers %d %.300q, want %d with %q", path, got, body, status, text)
	}
}

func TestUpgradeGoesThrough(t *testing.T) {
	w := newWay(t)
	w.see("/status.php", 200, `"version":"28.0.2.5"`)
	w.must(w.site.Hold([]string{"apt-daily.timer"}, []string{"/etc/cron.d/update-nextcloud"}))
	if _, err := os.Stat(filepath.Join(w.host.Dir, "root/etc/cron.d/update-nextcloud")); err == nil {
		t.Error("the rival's cron file is not held")
	}
	w.stage()
	w.see("/index.php/login", 200, "body-login")
	if out := w.must(w.site.Close(0)); !strings.Contains(out, "ncfleet: seen closed") {
		t.Errorf("not seen closed: %s", out)
	}
	w.see("/index.php/login", 503, "Maintenance")
	w.see("/status.php", 200, `"maintenance":true`)
	w.snapshot()
	if out := w.must(w.site.Hop(w.to, w.site.Kept(w.from))); !strings.Contains(out, "Update successful") {
		t.Errorf("no success: %s", out)
	}
	if out := w.must(w.site.Apps(3, nil)); !strings.Contains(out, "app-updated calendar") {
		t.Errorf("no app update: %s", out)
	}
	w.see("/index.php/login", 503, "Maintenance")
	if out := w.must(w.site.Open()); !strings.Contains(out, "ncfleet: seen open") {
		t.Errorf("not seen open: %s", out)
	}
	w.see("/status.php", 200, `"maintenance":false,"needsDbUpgrade":false`)
	w.see("/status.php", 200, `"version":"29.0.1.1"`)
	if out := w.must(w.site.Tidy([]string{w.site.Kept(w.from)})); !strings.Contains(out, "oc_npushhash_di") {
		t.Errorf("no index added: %s", out)
	}
	w.must(w.site.Unhold())
	if _, err := os.Stat(filepath.Join(w.host.Dir, "root/etc/cron.d/update-nextcloud")); err != nil {
		t.Error(err)
	}
	left, _ := filepath.Glob(w.host.Tree + ".*")
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBrokenUpgradeIsTakenBack(t *testing.T) {
	for _, c := range []struct {
		fault Fault
		says  string
	}{
		{UpgradeFails, "failed (exit 5)"},
		{UpgradeKilled, "was killed (exit 137)"},
	} {
		t.Run(string(c.fault), func(t *testing.T) {
			w := newWay(t, c.fault)
			w.stage()
			w.must(w.site.Close(0))
			w.snapshot()
			before, err := os.ReadFile(w.host.Data + "/owncloud.db")
			if err != nil {
				t.Fatal(err)
			}
			exit, out := w.call(w.site.Hop(w.to, w.site.Kept(w.from)))
			if exit == 0 || !strings.Contains(out, c.says) {
				t.Fatalf("hop ended with %d: %s", exit, out)
			}
			if spoilt, err := os.ReadFile(w.host.Data + "/owncloud.db"); err != nil || string(spoilt) == string(before) {
				t.Errorf("the broken upgrade left the database as it was (%v)", err)
			}
			w.restore()
			w.must(w.site.Open())
			if after, err := os.ReadFile(w.host.Data + "/owncloud.db"); err != nil || string(after) != string(before) {
				t.Errorf("the database is not as before (%v)", err)
			}
			w.see("/status.php", 200, `"version":"28.0.2.5"`)
			w.see("/index.php/login", 200, "body-login")
			w.must(w.site.Unstage([]nextcloud.Version{w.to}))
		})
	}
}
