package sim

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// tool runs a stand-in in this process.
func tool(t *testing.T, name string, args ...string) (int, string, string) {
	t.Helper()
	var out, errs bytes.Buffer
	p := &process{host: &hostConf{dir: t.TempDir()}, args: args, stdin: strings.NewReader("stdin"), stdout: &out, stderr: &errs,
		cwd: "/", getenv: func(string) string { return "" }}
	return tools[name](p), out.String(), errs.String()
}

func TestStandInsAgreeWithTheRealOnes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a b")
	if err := os.WriteFile(file, []byte("some text\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{
		{"stat", "-c", "%i %s %d %a %u %g %U %G %Y %f %n", file, dir},
		{"stat", "-c", "%a %s", filepath.Join(dir, "link")},
		{"stat", "-L", "-c", "%a %s", "--", filepath.Join(dir, "link")},
		{"sha256sum", file}, {"sha512sum", file},
	} {
		if c[0] == "stat" && exec.Command("stat", "-c", "%i", "/").Run() != nil {
			t.Log("no GNU stat to compare with")
			continue
		}
		path, err := exec.LookPath(c[0])
		if err != nil {
			t.Logf("no %s to compare with", c[0])
			continue
		}
		want, err := exec.Command(path, c[1:]...).Output()
		if err != nil {
			t.Fatal(err)
		}
		if status, got, _ := tool(t, c[0], c[1:]...); status != 0 || got != string(want) {
			t.Errorf("%q: %d\n%s\nwant\n%s", c, status, got, want)
		}
	}
}

func TestUnzip(t *testing.T) {
	dir := t.TempDir()
	archive := filepath.Join(dir, "a.zip")
	if err := writeArchive(archive, map[string]string{"version.php": "<?php\n", "lib/base.php": "x"}); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := tool(t, "unzip", "-q", archive, "-d", filepath.Join(dir, "to")); status != 0 {
		t.Fatal(errs)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "to/nextcloud/lib/base.php")); err != nil || string(text) != "x" {
		t.Errorf("%q %v", text, err)
	}
	evil := filepath.Join(dir, "evil.zip")
	if err := writeArchive(evil, map[string]string{"../../out": "x"}); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := tool(t, "unzip", "-q", evil, "-d", filepath.Join(dir, "to")); status == 0 {
		t.Error("a name outside the folder was unpacked")
	}
}

func TestWrappersAreShell(t *testing.T) {
	all := wrappers()
	if len(all) < 15 {
		t.Fatalf("only %d stand-ins were found", len(all))
	}
	for name, text := range all {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("/bin/sh", "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", name, out)
		}
	}
}

func TestConfigRoundTrip(t *testing.T) {
	const text = `<?php
// a comment
$CONFIG = array (
  'quote' => 'it\'s a \\ backslash',
  'list' => 
  array (
    0 => 'a',
    1 => 'b',
  ),
  'deep' => 
  array (
    'host' => 'localhost',
    'port' => 6379,
    'ratio' => 1.5,
  ),
  'off' => false,
  'nothing' => NULL,
  'level' => 2,
);
`
	c, err := parseConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := configText(c); got != strings.Replace(text, "// a comment\n", "", 1) {
		t.Errorf("%s", got)
	}
	if got := jsonText(c); got != `{"quote":"it's a \\ backslash","list":["a","b"],"deep":{"host":"localhost","port":6379,"ratio":1.5},"off":false,"nothing":null,"level":2}` {
		t.Errorf("%s", got)
	}
	short, err := parseConfig([]byte("<?php $CONFIG = [\"maintenance\" => true, 'x' => [1, 2,],]; if (PHP_SAPI) { exit; }"))
	if err != nil || !short.truth("maintenance", false) {
		t.Errorf("%v %v", short, err)
	}
	for _, bad := range []string{"", "<?php", "<?php $CONFIG = getenv('X');", "<?php $CONFIG = array('a' => ", "<?php $CONFIG = array('a' => 'b);",
		"<?php $CONFIG = " + strings.Repeat("[", 100)} {
		if _, err := parseConfig([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestFarmAnswersFromMemory(t *testing.T) {
	farm, err := StartFarm(testContext(t), t.TempDir(), 5)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { farm.Close() })
	inv := load(t, farm.Inventory)
	if len(inv.Hosts) != 5 {
		t.Fatalf("%d hosts", len(inv.Hosts))
	}
	for i := range inv.Hosts {
		got := take(t, &inv.Hosts[i])
		if got.Unreachable != "" || got.Instance("main") == nil || got.Instance("main").Code.String() != "28.0.2" {
			t.Errorf("%s: %+v", inv.Hosts[i].Name, got)
		}
	}
	if connections, commands, run := farm.Counts(); connections != 5 || commands != 5 || run != 1 {
		t.Errorf("%d connections, %d commands, %d run", connections, commands, run)
	}
}

// TestDetachedRunEndsWithTheFleet: nothing may outlive a demo.
func TestDetachedRunEndsWithTheFleet(t *testing.T) {
	f, inv := start(t, Options{Hosts: 1})
	r := connect(t, &inv.Hosts[0])
	const token = "test 1 n"
	if _, err := r.Lease(testContext(t), "test", token); err != nil {
		t.Fatal(err)
	}
	s, err := r.Start(testContext(t), "test/long", token, driver.Command{Argv: []string{"sleep", "600"}, User: "root"})
	if err != nil || s.Phase != driver.RunRunning {
		t.Fatalf("%+v %v", s, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	for startOf(s.PID) != "" && ctx.Err() == nil {
		if text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.PID), "stat")); err == nil && strings.Contains(string(text), ") Z ") {
			return // its corpse waits for whoever adopts it
		}
		time.Sleep(20 * time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Errorf("process %d goes on", s.PID)
	}
}
