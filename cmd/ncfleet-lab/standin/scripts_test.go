package standin

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"syscall"
	"testing"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
)

// host runs the controller's host scripts over one site.
type host struct {
	*server
	state, releases string
}

func newHost(t *testing.T) *host {
	t.Helper()
	for _, tool := range []string{"unzip", "sha512sum"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not here", tool)
		}
	}
	s := installed(t, "28.0.2")
	s.ok(UnpackApp(s.tree+"/apps", "notesbin", "1.0.0"))
	s.must("app:enable", "notesbin")
	h := &host{server: s.serve(), state: s.dir + "/state", releases: s.dir + "/releases"}
	s.ok(WriteReleases(h.releases))
	s.ok(os.MkdirAll(s.dir+"/root/etc", 0o755))
	return h
}

// script is the command of a host script; env goes on top of the test's own.
func (h *host) script(i nextcloud.Invocation, env ...string) *exec.Cmd {
	h.t.Helper()
	text, err := nextcloud.ScriptText(i.Script)
	h.ok(err)
	c := exec.Command("sh", append([]string{"-s", "--"}, i.Args...)...)
	c.Dir, c.Stdin = "/", strings.NewReader(text)
	c.Env = append(append(os.Environ(), "NCFLEET_SYSROOT="+h.dir+"/root"), env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return c
}

func (h *host) goes(i nextcloud.Invocation) nextcloud.Report {
	h.t.Helper()
	a := run(h.script(i))
	if a.exit != 0 {
		h.t.Fatalf("%s: exit %d\n%s\n%s", i.Script, a.exit, a.stdout, a.stderr)
	}
	return nextcloud.ParseReport([]byte(a.stdout))
}

func (h *host) nextcloud() nextcloud.Site {
	h.t.Helper()
	me, err := user.Current()
	h.ok(err)
	php, err := exec.LookPath("php")
	h.ok(err)
	return nextcloud.Site{Name: "cloud-01/files", Path: h.tree, DataDir: h.data, WebUser: me.Username, PHP: php, StateDir: h.state, URL: h.url}
}

func (h *host) stage(n nextcloud.Site, to string) {
	h.t.Helper()
	v, err := nextcloud.ParseVersion(to)
	h.ok(err)
	archive := h.releases + "/nextcloud-" + to + ".zip"
	sum, _, _ := strings.Cut(readText(h.t, archive+".sha512"), " ")
	h.goes(n.Stage(archive, "", sum, v, h.tree))
}

// TestHostScripts goes the way of a target with the real scripts: close, stage,
// two hops, apps, gate, open, tidy.
func TestHostScripts(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.code(201, "PUT", files+"a.txt", "kept")
	h.set("allow_local_remote_servers", "true", "--type=boolean")
	n := h.nextcloud()
	v29, v30, from := nextcloud.Version{29, 0, 1, 0}, nextcloud.Version{30, 0, 4, 0}, nextcloud.Version{28, 0, 2, 0}
	h.stage(n, "29.0.1")
	r := h.goes(n.Close(0))
	if r.Values["seen"] != "closed" {
		t.Errorf("close.sh saw %q", r.Values["seen"])
	}
	h.code(503, "PUT", files+"b.txt", "refused")
	r = h.goes(n.Hop(v29, n.Kept(from)))
	if r.Values["config-version"] != "29.0.1.1" || r.Values["upgrade"] != "exit 0" {
		t.Errorf("hop.sh reports %v", r.Values)
	}
	h.stage(n, "30.0.4")
	h.goes(n.Hop(v30, n.Kept(nextcloud.Version{29, 0, 1, 0})))
	h.code(503, "PUT", files+"b.txt", "refused")
	h.gate(n)
	r = h.goes(n.Open())
	if r.Values["seen"] != "open" {
		t.Errorf("open.sh saw %q", r.Values["seen"])
	}
	h.upgraded("30.0.4.1")
	h.goes(n.Tidy([]string{n.Kept(from), n.Kept(v29)}))
	if a := h.occ("db:add-missing-indices"); a.stdout != "" {
		t.Errorf("tidy.sh left indices out: %s", a.stdout)
	}
	if got := h.code(200, "GET", files+"a.txt", ""); got != "kept" {
		t.Errorf("a file reads as %q after the upgrade", got)
	}
	h.code(201, "PUT", files+"b.txt", "written again")
	for _, key := range []string{"maintenance", "upgrade.disable-web"} {
		if got := h.config(key); got != "false" && got != "" {
			t.Errorf("%s is %q after opening", key, got)
		}
	}
}

// gate opens the private door, does what an inspection does and closes it.
func (h *host) gate(n nextcloud.Site) {
	h.t.Helper()
	close := n.Close(0).Args
	c := h.script(nextcloud.Gate(close, nextcloud.Door{Port: h.freePort(), Seconds: 120, Checks: true, Probe: "ncfleet-probe-x"}),
		"NCFLEET_DOOR=token", "OC_PASS="+password, "TMPDIR="+h.dir)
	out, err := c.StdoutPipe()
	h.ok(err)
	h.ok(c.Start())
	h.t.Cleanup(func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) })
	var all bytes.Buffer
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fmt.Fprintln(&all, lines.Text())
		if port, ok := strings.CutPrefix(lines.Text(), "ncfleet: port "); ok {
			h.knock("http://127.0.0.1:"+port, "")
		}
		if lines.Text() == "ncfleet: probe ready" {
			h.knock(h.port(all.String()), "ncfleet-probe-x")
		}
	}
	if err := c.Wait(); err != nil {
		h.t.Fatalf("gate.sh: %v\n%s", err, all.String())
	}
	r := nextcloud.ParseReport(all.Bytes())
	list, err := nextcloud.ParseAppList(r.Sections["app-list"].Body)
	if err != nil || list.Enabled["files"] != "2.30.0" {
		h.t.Errorf("the gate's app list: %v, %v", err, list)
	}
	if checks, err := nextcloud.ParseSetupChecks(r.Sections["setupchecks"].Body); err != nil || len(checks) == 0 {
		h.t.Errorf("the gate's setup checks: %v, %v", err, checks)
	}
	if users := h.must("user:list"); strings.Contains(users, "ncfleet-probe") {
		h.t.Errorf("the probe user is still there: %s", users)
	}
}

func (h *host) port(report string) string {
	_, rest, _ := strings.Cut(report, "ncfleet: port ")
	port, _, _ := strings.Cut(rest, "\n")
	return "http://127.0.0.1:" + port
}

// knock looks at the site behind the door; with a probe user it writes, reads,
// deletes and then closes the door.
func (h *host) knock(url, probe string) {
	h.t.Helper()
	door := &server{h.site, url}
	token := []string{"X-NCFleet-Door", "token"}
	if probe == "" {
		door.code(403, "GET", "/status.php", "")
		if c := nextcloud.CheckStatus(nextcloud.Version{30, 0, 4, 1}, 200, []byte(door.code(200, "GET", "/status.php", "", token...))); c.Result != nextcloud.Pass {
			h.t.Errorf("status behind the door: %+v", c)
		}
		page := door.code(200, "GET", "/index.php/login", "", token...)
		for _, a := range nextcloud.LoginAssets([]byte(page), "", 10) {
			door.code(200, "GET", a, "", token...)
		}
		return
	}
	path := "/remote.php/dav/files/" + probe + "/ncfleet-1"
	content := strings.Repeat("0123456789abcdef", 1<<16)
	for _, step := range []struct {
		method, path, body string
		want               int
	}{
		{"MKCOL", path, "", 201}, {"PUT", path + "/probe.txt", content, 201}, {"GET", path + "/probe.txt", "", 200}, {"DELETE", path, "", 204},
	} {
		req, err := http.NewRequest(step.method, url+step.path, strings.NewReader(step.body))
		h.ok(err)
		req.Header.Set("X-NCFleet-Door", "token")
		req.SetBasicAuth(probe, password)
		resp, err := http.DefaultClient.Do(req)
		h.ok(err)
		resp.Body.Close()
		if resp.StatusCode != step.want {
			h.t.Errorf("%s behind the door: HTTP %d, want %d", step.method, resp.StatusCode, step.want)
		}
	}
	door.code(200, "GET", "/.ncfleet/stop", "", token...)
}

// TestSwapBack takes a failed hop back: the old tree with its config.php over
// the old database is the site as it was.
func TestSwapBack(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	n := h.nextcloud()
	to, from := nextcloud.Version{29, 0, 1, 0}, nextcloud.Version{28, 0, 2, 0}
	h.set("standin_fail_app", "text")
	h.stage(n, "29.0.1")
	h.goes(n.Close(0))
	saved, before := readText(t, h.data+"/owncloud.db"), h.dump()
	a := run(h.script(n.Hop(to, n.Kept(from))))
	if a.exit == 0 || !strings.Contains(a.stdout, "Database error when running migration") {
		t.Errorf("a hop with an app that fails: %+v", a)
	}
	h.ok(os.WriteFile(h.data+"/owncloud.db", []byte(saved), 0o644))
	h.goes(n.SwapBack(n.Kept(from), from))
	h.goes(n.Open())
	h.upgraded("28.0.2.5")
	if h.dump() != before {
		t.Error("the database is not as before")
	}
	h.code(201, "PUT", files+"a.txt", "open again")
}
