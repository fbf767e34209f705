package survey

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// shells are the shells that a host may have as sh.
func shells(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{"sh": {"sh"}}
	for name, argv := range map[string][]string{"dash": {"dash"}, "busybox": {"busybox", "sh"}, "bash": {"bash", "--posix"}} {
		if p, err := exec.LookPath(argv[0]); err == nil {
			out[name] = append([]string{p}, argv[1:]...)
		}
	}
	return out
}

// fakeHost is a folder that stands for a host, with a stand-in for PHP.
type fakeHost struct {
	root, tree string
	remote     *shell
	host       inventory.Host
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// standInPHP answers by operation, as PHP on a simulated host does.
const standInPHP = `#!/bin/sh
case "$*" in
  *"ncfleet-facts "*) for last do :; done
    [ -e "$last/hang" ] && exec sleep 300
    [ -e "$last/broken" ] && { echo "PHP Parse error: syntax error in config.php"; exit 255; }
    echo "PHP Warning:  a module is loaded twice"
    echo "{\"ncfleet\":1,\"datadir\":\"$last/data\",\"appsdirs\":\"$last/apps:$last/extra apps\",\"version\":\"28.0.2.5\",\"installed\":true,\"maintenance\":false,\"appspaths\":[{\"path\":\"$last/apps\",\"writable\":false},{\"path\":\"$last/extra apps\",\"writable\":true}],\"settings\":{\"appstore\":true},\"database\":{\"kind\":\"mysql\",\"server\":\"MariaDB\",\"version\":\"10.11.4\",\"bytes\":12},\"php\":{\"version\":\"8.2.7\",\"modules\":[\"zip\",\"ctype\"]},\"apps\":[{\"id\":\"files\",\"version\":\"2.0.0\",\"path\":\"$last/apps/files\",\"min\":\"28\",\"max\":\"28\",\"shipped\":true,\"enabled\":true,\"db\":\"2.0.0\"}],\"problems\":[\"a warning\"]}" ;;
  "occ status --output=json") echo '{"installed":true,"version":"28.0.2.5","maintenance":true,"needsDbUpgrade":false}' ;;
  "occ app:update --showonly --all") echo "files new version available: 2.0.1" ;;
  "occ setupchecks --output=json") printf '%s\n' '{"system":{"C\\D":{"severity":"warning"}}}'; exit 1 ;;
  *) echo "unexpected: $*" >&2; exit 3 ;;
esac
`

func newFakeHost(t *testing.T) *fakeHost {
	t.Helper()
	root := t.TempDir()
	tree := filepath.Join(root, "srv", "next cloud")
	for path, text := range map[string]string{
		"etc/os-release":                             "PRETTY_NAME=\"Rocky Linux 9.4 (Blue Onyx)\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n",
		"proc/sys/kernel/random/boot_id":             "0b5f3a9e-1c1f-4a0e-8f0e-3f2c9d1a7b11\n",
		"proc/uptime":                                "351735.47 2341.10\n",
		"proc/1/cmdline":                             "/sbin/init\x00",
		"proc/1/status":                              "Name:\tinit\nPPid:\t0\nUid:\t0\t0\t0\t0\n",
		"proc/77/cmdline":                            "php\x00-f\x00" + tree + "/cron.php\x00",
		"proc/77/status":                             "Name:\tphp\nPPid:\t1\nUid:\t48\t48\t48\t48\n",
		"proc/78/cmdline":                            "/usr/bin/python3\x00/usr/bin/dnf\x00-y\x00upgrade\x00",
		"proc/78/status":                             "Name:\tdnf\nPPid:\t1\nUid:\t0\t0\t0\t0\n",
		"proc/80/cmdline":                            "vim\x00occ\x00",
		"proc/80/status":                             "Name:\tvim\nPPid:\t1\nUid:\t0\t0\t0\t0\n",
		"proc/90/cmdline":                            "php-fpm: master process (/etc/php-fpm.conf)\x00\x00\x00",
		"proc/90/status":                             "Name:\tphp-fpm\nPPid:\t1\nUid:\t0\t0\t0\t0\n",
		"proc/91/cmdline":                            "php-fpm: pool www\x00",
		"proc/91/status":                             "Name:\tphp-fpm\nPPid:\t90\nUid:\t48\t48\t48\t48\n",
		"etc/passwd":                                 "root:x:0:0:root:/root:/bin/sh\napache:x:48:48:Apache:/usr/share/httpd:/sbin/nologin\n",
		"etc/crontab":                                "SHELL=/bin/sh\n# 1 2 * * * root dnf -y upgrade\n30 3 * * 1 root dnf -y update\n",
		"etc/cron.d/nc":                              "*/5 * * * * apache php -f \"" + tree + "/cron.php\"\n@weekly root /opt/tools/renew.sh --all\n",
		"etc/cron.d/nothing":                         "0 5 * * * root /opt/tools/harmless.sh\n",
		"opt/tools/renew.sh":                         "#!/bin/sh\n# no update here\ncd /\nphp updater/updater.phar --no-interaction\n",
		"opt/tools/harmless.sh":                      "#!/bin/sh\necho hello\n",
		"srv/next cloud/version.php":                 "<?php\n$OC_Version = array(28,0,2,5);\n$OC_Channel = 'stable';\n",
		"srv/next cloud/occ":                         "<?php\n",
		"srv/next cloud/config/config.php":           "<?php\n",
		"srv/next cloud/data/big":                    strings.Repeat("x", 5000),
		"srv/next cloud/lib/a.php":                   strings.Repeat("x", 1000),
		"srv/next cloud/apps/files/appinfo/info.xml": "<info/>",
		"srv/next cloud/extra apps/x/y":              "",
		"state/lease":                                "token-1\nrollout r1 on laptop\n1795000000\n",
	} {
		write(t, filepath.Join(root, path), text, 0o644)
	}
	write(t, filepath.Join(root, "etc/cron.daily/dnf-auto"), "#!/bin/sh\n/usr/bin/dnf -y upgrade-minimal\n", 0o755)
	write(t, filepath.Join(root, "etc/cron.daily/off"), "#!/bin/sh\ndnf -y upgrade\n", 0o644)
	write(t, filepath.Join(root, "bin/php"), standInPHP, 0o755)
	for _, tool := range []string{"dnf", "yum"} {
		write(t, filepath.Join(root, "bin", tool), "#!/bin/sh\n", 0o755)
	}
	return &fakeHost{root: root, tree: tree,
		remote: &shell{env: []string{"NCFLEET_SYSROOT=" + root, "PATH=" + filepath.Join(root, "bin") + ":" + os.Getenv("PATH")}},
		host: inventory.Host{Name: "cloud-07", StateDir: filepath.Join(root, "state"),
			Instances: []inventory.Instance{{Name: "files", Path: tree}}}}
}

func TestFakeHost(t *testing.T) {
	for name, argv := range shells(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			surveyFakeHost(t, newFakeHost(t), argv)
		})
	}
}

// TestFakeHostBusybox: every tool is busybox's own.
func TestFakeHostBusybox(t *testing.T) {
	if _, err := exec.LookPath("busybox"); err != nil {
		t.Skip("no busybox")
	}
	t.Parallel()
	h, dir := newFakeHost(t), t.TempDir()
	if out, err := exec.Command("busybox", "--install", "-s", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	h.remote.env[1] = "PATH=" + filepath.Join(h.root, "bin") + ":" + dir + ":" + os.Getenv("PATH")
	surveyFakeHost(t, h, []string{filepath.Join(dir, "sh")})
}

// TestFakeHostOtherStat: stat knows no -c, as on some systems.
func TestFakeHostOtherStat(t *testing.T) {
	t.Parallel()
	h := newFakeHost(t)
	write(t, h.root+"/bin/stat", "#!/bin/sh\necho 'stat: illegal option -- c' >&2\nexit 1\n", 0o755)
	surveyFakeHost(t, h, []string{"sh"})
}

func surveyFakeHost(t *testing.T, h *fakeHost, argv []string) {
	t.Helper()
	h.remote.argv = argv
	h.host.Instances = append(h.host.Instances, inventory.Instance{Name: "gone", Path: h.root + "/srv/gone"})
	f := Take(context.Background(), Request{Host: h.host, Remote: h.remote, Now: noon, SetupChecks: true, AppStore: true,
		Paths: []string{h.root + "/not/yet/there"}})
	if f.Unreachable != "" {
		t.Fatal(f.Unreachable)
	}
	checkHost(t, h, f)
	checkInstance(t, h, f)
	if t.Failed() {
		t.Log(show(t, f))
	}
}

func checkHost(t *testing.T, h *fakeHost, f plan.Facts) {
	t.Helper()
	if f.OS.ID != "rocky" || f.OS.Version != "9.4" || f.OS.Name != "Rocky Linux 9.4 (Blue Onyx)" || f.OS.Arch == "" {
		t.Errorf("OS %+v", f.OS)
	}
	if f.BootID != "0b5f3a9e-1c1f-4a0e-8f0e-3f2c9d1a7b11" || f.UptimeSeconds != 351735 || f.Systemd {
		t.Errorf("boot id %q, up %d s, systemd %v", f.BootID, f.UptimeSeconds, f.Systemd)
	}
	if f.PackageManager != "dnf" || f.Tools["dnf"] != h.root+"/bin/dnf" {
		t.Errorf("package manager %q of %v", f.PackageManager, f.Tools)
	}
	if f.Lease != "rollout r1 on laptop" {
		t.Errorf("lease %q", f.Lease)
	}
	if m := f.Mount(h.tree); m == nil || m.BytesTotal <= 0 || m.FSType == "" && h.root == "" {
		t.Errorf("no mount for the tree in %+v", f.Mounts)
	}
	var kinds []string
	for _, p := range f.Processes {
		kinds = append(kinds, fmt.Sprintf("%d %s %s", p.PID, p.Kind, p.User))
	}
	if got := strings.Join(kinds, ", "); got != "77 cron apache, 78 packages root" {
		t.Errorf("processes: %s", got)
	}
	var rivals []string
	for _, r := range f.Rivals {
		rivals = append(rivals, r.Kind+" "+r.Where+": "+r.Line)
	}
	want := []string{
		"cron /etc/cron.d/nc: @weekly root /opt/tools/renew.sh --all",
		"cron /etc/cron.daily/dnf-auto: /usr/bin/dnf -y upgrade-minimal",
		"cron /etc/crontab: 30 3 * * 1 root dnf -y update",
	}
	if strings.Join(rivals, "\n") != strings.Join(want, "\n") {
		t.Errorf("rivals:\n%s\nwant:\n%s", strings.Join(rivals, "\n"), strings.Join(want, "\n"))
	}
}

func checkInstance(t *testing.T, h *fakeHost, f plan.Facts) {
	t.Helper()
	in := f.Instance("files")
	if in == nil || in.Missing != "" {
		t.Fatalf("instance %+v", in)
	}
	if in.Code.Long() != "28.0.2.5" || in.Config.Long() != "28.0.2.5" || !in.Installed || !in.Maintenance || in.Channel != "stable" {
		t.Errorf("code %s, config %s, maintenance %v, channel %q", in.Code.Long(), in.Config.Long(), in.Maintenance, in.Channel)
	}
	if in.StatusProblem != "" || in.Database.Server != "MariaDB" || in.PHP.Version != "8.2.7" || in.PHP.Path != h.root+"/bin/php" {
		t.Errorf("status %q, database %+v, PHP %+v", in.StatusProblem, in.Database, in.PHP)
	}
	if len(in.Apps) != 1 || in.Apps[0].Update != "2.0.1" || in.SetupChecks[`C\D`] != "warning" {
		t.Errorf("apps %+v, checks %v", in.Apps, in.SetupChecks)
	}
	// Code only: version.php, occ, config.php, lib/a.php, info.xml, x/y; not the data.
	if in.TreeFiles != 6 || in.TreeBytes < 1000 || in.TreeBytes > 2000 {
		t.Errorf("tree: %d files, %d bytes", in.TreeFiles, in.TreeBytes)
	}
	if len(in.Crontab) != 1 || in.Crontab[0].Where != "/etc/cron.d/nc" {
		t.Errorf("crontab %+v", in.Crontab)
	}
	dirs := map[string]plan.Dir{}
	for _, d := range in.Dirs {
		dirs[d.Path] = d
	}
	for _, p := range []string{h.tree, h.tree + "/config", h.tree + "/config/config.php", h.tree + "/apps", h.tree + "/extra apps", h.tree + "/data", filepath.Dir(h.tree)} {
		if d := dirs[p]; !d.Writable || d.Owner == "" || len(d.Mode) != 4 || d.Why == "" {
			t.Errorf("directory %s: %+v", p, d)
		}
	}
	if gone := f.Instance("gone"); gone.Missing != h.root+"/srv/gone does not exist" {
		t.Errorf("missing instance: %+v", gone)
	}
	if len(f.Problems) != 1 || f.Problems[0] != "instance files: a warning" {
		t.Errorf("problems %q", f.Problems)
	}
}

func TestBrokenPHPIsAProblemNotAFailure(t *testing.T) {
	t.Parallel()
	h := newFakeHost(t)
	write(t, h.tree+"/broken", "", 0o644)
	f := Take(context.Background(), Request{Host: h.host, Remote: h.remote, Now: noon})
	in := f.Instance("files")
	if f.Unreachable != "" || in.Code.Zero() || !in.Config.Zero() {
		t.Fatalf("%q, %+v", f.Unreachable, in)
	}
	if got := strings.Join(f.Problems, "\n"); !strings.Contains(got, "could not read its configuration (exit status 255): PHP Parse error") {
		t.Errorf("problems: %s", got)
	}
}

func TestHangingPHPCostsItsInstanceOnly(t *testing.T) {
	t.Parallel()
	h := newFakeHost(t)
	h.remote.edit = func(script string) string {
		rest, ok := strings.CutPrefix(script, "FACTS_LIMIT=25\n")
		if !ok {
			t.Error("the script does not begin with its limit")
		}
		return "FACTS_LIMIT=2\n" + rest
	}
	write(t, h.tree+"/hang", "", 0o644)
	f := Take(context.Background(), Request{Host: h.host, Remote: h.remote, Now: noon})
	if f.Unreachable != "" || f.BootID == "" || len(f.Rivals) != 3 || f.Instance("files").Code.Zero() {
		t.Fatalf("%s", show(t, f))
	}
	if got := strings.Join(f.Problems, "\n"); !strings.Contains(got, "no answer within 25 s; is the database or a file system hanging?") {
		t.Errorf("problems: %s", got)
	}
}

// TestNotWritable needs two users and so root.
func TestNotWritable(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not root: cannot give files to another user")
	}
	h := newFakeHost(t)
	for p := h.root; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("chown", "-R", "nobody", h.tree).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	odd := h.tree + "/extra apps/new\nline"
	if err := os.Mkdir(odd, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{h.tree + "/apps", h.tree + "/apps/files", h.tree + "/config/config.php"} {
		if err := os.Lchown(p, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(h.tree+"/config/config.php", 0o644); err != nil {
		t.Fatal(err)
	}
	h.host.Instances[0].WebUser = "nobody"
	h.host.Instances[0].PHP = h.root + "/bin/php"
	h.remote.env[0] = "NCFLEET_SYSROOT=" // users are changed on real hosts only
	f := Take(context.Background(), Request{Host: h.host, Remote: h.remote, Now: noon})
	in := f.Instance("files")
	got := map[string]string{}
	for _, d := range in.Dirs {
		got[strings.TrimPrefix(d.Path, h.tree)] = fmt.Sprint(d.Owner, " ", d.Mode, " ", d.Writable)
	}
	for path, want := range map[string]string{
		"":                      "nobody 0755 true",
		"/apps":                 "root 0755 false",
		"/config":               "nobody 0755 true",
		"/config/config.php":    "root 0644 false",
		"/extra apps":           "nobody 0755 true",
		"/extra apps/new\nline": "  false",
	} {
		if got[path] != want {
			t.Errorf("%q: %q, want %q", path, got[path], want)
		}
	}
	if _, ok := got["/apps/files"]; ok {
		t.Error("an entry below a closed app directory is repeated")
	}
	if in.WebUser != "nobody" || t.Failed() {
		t.Log(show(t, f))
	}
}

func TestDownloads(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/gone":
			w.WriteHeader(404)
		case r.URL.Path == "/nohead" && r.Method == "HEAD":
			w.WriteHeader(405)
		}
	}))
	defer srv.Close()
	h := newFakeHost(t)
	h.host.Instances = nil
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl")
	}
	f := Take(context.Background(), Request{Host: h.host, Remote: h.remote, Now: noon,
		Downloads: []string{"/srv/mirror", srv.URL + "/ok", "file:///srv/mirror", srv.URL + "/gone", "http://127.0.0.1:1/", srv.URL + "/nohead"}})
	var got []string
	for _, d := range f.Downloads {
		got = append(got, fmt.Sprint(strings.TrimPrefix(d.URL, srv.URL), " ", d.OK, " ", d.Status, " ", d.Detail != ""))
	}
	want := "/ok true 200 false, /gone false 404 true, http://127.0.0.1:1/ false 0 true, /nohead true 200 false"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %s\nwant %s", strings.Join(got, ", "), want)
	}
}

// probing is a package driver whose probes try the script's quoting.
type probing struct{ got []driver.Result }

func (p *probing) Probes(context.Context, driver.ProbeRequest) ([]driver.Command, error) {
	return []driver.Command{
		{Argv: []string{"printf", `%s|`, `it's "$HOME"`, "a\nb", ""}},
		{Argv: []string{"sh", "-c", "cat; echo $SECRET >&2; pwd; exit 7"}, Stdin: []byte("in 'put'\n"),
			Env: map[string]string{"SECRET": "s$x'y", "bad name": "no"}, Dir: "/usr"},
		{Argv: []string{"sleep", "60"}, Timeout: 1e9},
		{Argv: []string{"no-such-program"}},
	}, nil
}

func (p *probing) Facts(_ context.Context, _ driver.ProbeRequest, r []driver.Result) (driver.PackageFacts, error) {
	p.got = r
	return driver.PackageFacts{RebootRequired: true}, nil
}

func TestProbes(t *testing.T) {
	for name, argv := range shells(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFakeHost(t)
			h.remote.argv = argv
			p := &probing{}
			f := Take(context.Background(), Request{Host: inventory.Host{Name: "x", StateDir: h.root + "/state"}, Remote: h.remote, Now: noon, Packages: p})
			if f.Packages == nil || !f.Packages.RebootRequired || len(p.got) != 4 {
				t.Fatalf("packages %+v, results %+v, %q", f.Packages, p.got, f.Unreachable)
			}
			if got := string(p.got[0].Stdout); got != "it's \"$HOME\"|a\nb||" {
				t.Errorf("quoting: %q", got)
			}
			if r := p.got[1]; string(r.Stdout) != "in 'put'\n/usr\n" || string(r.Stderr) != "s$x'y\n" || r.Exit != 7 {
				t.Errorf("input and environment: %q %q %d", r.Stdout, r.Stderr, r.Exit)
			}
			if r := p.got[2]; r.Exit == 0 {
				t.Errorf("a probe over its time ended with %d", r.Exit)
			}
			if r := p.got[3]; r.Exit != 127 {
				t.Errorf("a program that is not there: %d", r.Exit)
			}
		})
	}
}
