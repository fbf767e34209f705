// Package boxtest makes hosts of their own below a directory, for the tests
// that run real package tools. A box is this machine's file system under an
// overlay in mount, process and network namespaces of its own: whatever a tool changes
// is in memory and gone with the test. A tool that the machine lacks is taken
// out of its Debian packages and lies in the box alone.
//
// It is for tests only and refuses to run where it would not be isolated: it
// skips the test, and says why, without root, Linux namespaces or the tools.
package boxtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Box is one host.
type Box struct {
	t    *testing.T
	pid  string // of the first process in it, seen from outside
	root string
}

const (
	commandTimeout  = 3 * time.Minute
	downloadTimeout = 3 * time.Minute
)

// setUp mounts the box and stays until it is killed.
const setUp = `set -e
box=$1 layer=$2
ip link set lo up
mount -t tmpfs tmpfs "$box"
mkdir "$box/root" "$box/upper" "$box/work"
if [ -n "$layer" ]; then cp -a "$layer/." "$box/upper/"; fi
mount -t overlay overlay -o "lowerdir=/,upperdir=$box/upper,workdir=$box/work" "$box/root"
mount -t proc proc "$box/root/proc"
mount --rbind /dev "$box/root/dev"
mount -t tmpfs tmpfs "$box/root/run"
mount -t tmpfs tmpfs "$box/root/tmp"
rm -rf "$box/root/var/lib/rpm" "$box/root/root/.rpmdb" "$box/root/etc/yum.repos.d" "$box/root/etc/zypp/repos.d"
mkdir -p "$box/root/etc/rpm" "$box/root/etc/yum.repos.d" "$box/root/etc/zypp/repos.d" "$box/root/srv/repo"
echo '%_dbpath /var/lib/rpm' >"$box/root/etc/rpm/macros"
echo ready
while :; do sleep 1; done # as the first process it must reap the orphans
`

// New makes a box in which tool runs; debs are the Debian packages that have it.
func New(t *testing.T, tool string, debs ...string) *Box {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a host of its own below a directory needs root")
	}
	for _, name := range []string{"unshare", "nsenter", "mount", "ip"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	b := &Box{t: t}
	layer := layerOf(t, tool, debs)
	dir := t.TempDir()
	cmd := exec.Command("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--propagation", "private", "sh", "-c", setUp, "box", dir, layer)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Skipf("no namespace of its own: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Skipf("no overlay in a namespace of its own: %s", strings.TrimSpace(errs.String()))
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
	if err != nil || len(strings.Fields(string(children))) != 1 {
		t.Skipf("the box's first process cannot be found: %q, %v", children, err)
	}
	b.pid, b.root = strings.Fields(string(children))[0], filepath.Join(dir, "root")
	b.bring(tool)
	b.Need(tool)
	return b
}

// bring puts a tool into the box that is on the test's own PATH only.
func (b *Box) bring(tool string) {
	b.t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		return
	}
	if r := b.Run(driver.Command{Argv: []string{"sh", "-c", "command -v " + tool}}); r.Exit == 0 {
		return
	}
	data, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Put("/usr/local/bin/"+tool, data)
	b.Sh("chmod 755 /usr/local/bin/" + tool)
}

// Need skips the test unless the box has the programs.
func (b *Box) Need(programs ...string) {
	b.t.Helper()
	for _, name := range programs {
		if r := b.Run(driver.Command{Argv: []string{"sh", "-c", "command -v " + name}}); r.Exit != 0 {
			b.t.Skipf("%s is not installed", name)
		}
	}
}

// Put writes a file in the box.
func (b *Box) Put(name string, data []byte) {
	b.t.Helper()
	r := b.Run(driver.Command{Argv: []string{"sh", "-ec", `mkdir -p "$(dirname "$1")"; cat >"$1"`, "sh", name}, Stdin: data})
	if r.Exit != 0 {
		b.t.Fatalf("cannot write %s into the box: %s", name, r.Stderr)
	}
}

// Serve answers for /srv/repo at http://127.0.0.1:8080 in the box.
func (b *Box) Serve() {
	b.t.Helper()
	b.Need("python3", "curl")
	if r := b.Run(driver.Command{Argv: []string{"curl", "-sf", "-o", "/dev/null", "http://127.0.0.1:8080/"}}); r.Exit == 0 {
		return
	}
	b.Sh("cd /srv/repo && setsid python3 -m http.server --bind 127.0.0.1 8080 >/dev/null 2>&1 &")
	b.Sh("n=0; until curl -sf -o /dev/null http://127.0.0.1:8080/; do sleep 0.1; n=$((n+1)); [ $n -lt 300 ]; done")
}

// Template keeps what one box was prepared with for the next ones. Tests that
// share one do not run side by side.
type Template struct{ archive []byte }

// Fill prepares the box, or gives it the paths that an earlier one had then.
func (t *Template) Fill(b *Box, prepare func(), paths ...string) {
	b.t.Helper()
	if t.archive == nil {
		prepare()
		r := b.Run(driver.Command{Argv: []string{"sh", "-c", "cd / && tar -cf - " + strings.Join(paths, " ")}})
		if r.Exit != 0 {
			b.t.Fatalf("cannot keep the box: %s", r.Stderr)
		}
		t.archive = r.Stdout
		return
	}
	b.Sh("cd / && rm -rf " + strings.Join(paths, " "))
	if r := b.Run(driver.Command{Argv: []string{"tar", "-C", "/", "-xf", "-"}, Stdin: t.archive}); r.Exit != 0 {
		b.t.Fatalf("cannot fill the box: %s", r.Stderr)
	}
}

// layerOf finds or makes the folder with a tool that the machine lacks; "" when
// it is installed. Its Debian packages are unpacked once, into the user's cache
// folder; a tool that is in no Debian package may be put there by hand.
func layerOf(t *testing.T, tool string, debs []string) string {
	t.Helper()
	if _, err := exec.LookPath(tool); err == nil {
		return ""
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("%s is not installed, and there is no cache folder to put it: %v", tool, err)
	}
	dir := filepath.Join(cache, "ncfleet-test", tool)
	if _, err := os.Stat(filepath.Join(dir, "layer")); err == nil {
		return filepath.Join(dir, "layer")
	}
	if len(debs) == 0 {
		t.Skipf("%s is not installed, nor in a folder %s/layer", tool, dir)
	}
	for _, name := range []string{"apt-get", "dpkg"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("neither %s nor %s is installed", tool, name)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), downloadTimeout)
	defer cancel()
	archives := filepath.Join(dir, "archives")
	if err := os.MkdirAll(filepath.Join(archives, "partial"), 0o755); err != nil {
		t.Skipf("%s is not installed: %v", tool, err)
	}
	args := append([]string{"install", "-y", "-q", "--download-only", "--no-install-recommends", "-o", "Debug::NoLocking=1", "-o", "Dir::Cache::archives=" + archives + "/"}, debs...)
	if text, err := exec.CommandContext(ctx, "apt-get", args...).CombinedOutput(); err != nil {
		t.Skipf("%s is not installed and its packages cannot be downloaded: %v: %s", tool, err, text)
	}
	files, _ := filepath.Glob(filepath.Join(archives, "*.deb"))
	unpacked, err := os.MkdirTemp(dir, "unpacking-")
	if err != nil {
		t.Skipf("%s is not installed: %v", tool, err)
	}
	for _, file := range files {
		if text, err := exec.CommandContext(ctx, "dpkg", "-x", file, unpacked).CombinedOutput(); err != nil {
			t.Skipf("%s is not installed, and %s cannot be unpacked: %v: %s", tool, file, err, text)
		}
	}
	// Another test may have been first; either layer is whole.
	if err := os.Rename(unpacked, filepath.Join(dir, "layer")); err != nil {
		_ = os.RemoveAll(unpacked)
	}
	_ = os.Chmod(filepath.Join(dir, "layer"), 0o755)
	return filepath.Join(dir, "layer")
}

// Run runs a command in the box, as a controller would.
func (b *Box) Run(c driver.Command) driver.Result {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), commandTimeout)
	defer cancel()
	argv := []string{"-t", b.pid, "-m", "-p", "-n", "chroot", b.root, "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
	for name, value := range c.Env {
		argv = append(argv, name+"="+value)
	}
	cmd := exec.CommandContext(ctx, "nsenter", append(argv, c.Argv...)...)
	cmd.Stdin = bytes.NewReader(c.Stdin)
	cmd.WaitDelay = time.Second // what stays behind in the box is killed with it
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		b.t.Fatal(err)
	}
	return driver.Result{Exit: cmd.ProcessState.ExitCode(), Stdout: out.Bytes(), Stderr: errs.Bytes()}
}

// Sh runs a script that must succeed and returns its output.
func (b *Box) Sh(script string) string {
	b.t.Helper()
	r := b.Run(driver.Command{Argv: []string{"sh", "-e"}, Stdin: []byte(script), Env: map[string]string{"LC_ALL": "C"}})
	if r.Exit != 0 {
		b.t.Fatalf("exit %d of the script\n%s\n%s%s", r.Exit, script, r.Stdout, r.Stderr)
	}
	return string(r.Stdout)
}

// All runs commands one after another until one fails.
func (b *Box) All(commands []driver.Command) driver.Result {
	b.t.Helper()
	var r driver.Result
	for _, c := range commands {
		if r = b.Run(c); r.Exit != 0 {
			return r
		}
	}
	return r
}

// Probe runs a driver's probes.
func (b *Box) Probe(pm driver.PackageManager, req driver.ProbeRequest) []driver.Result {
	b.t.Helper()
	probes, err := pm.Probes(b.t.Context(), req)
	if err != nil {
		b.t.Fatal(err)
	}
	var results []driver.Result
	for _, c := range probes {
		results = append(results, b.Run(c))
	}
	return results
}

// Facts runs a driver's probes and reads them.
func (b *Box) Facts(pm driver.PackageManager, req driver.ProbeRequest) driver.PackageFacts {
	b.t.Helper()
	f, err := pm.Facts(b.t.Context(), req, b.Probe(pm, req))
	if err != nil {
		b.t.Fatal(err)
	}
	return f
}
