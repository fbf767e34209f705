package hostcopytest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Killer puts commands before the real ones that kill the whole script at the
// nth call of any of them: before its effect when n is even, else after it.
type Killer struct {
	t   testing.TB
	dir string
}

// NewKiller makes the commands; more names them, or gives their paths,
// beside the usual ones.
func NewKiller(t testing.TB, more ...string) *Killer {
	t.Helper()
	k := &Killer{t: t, dir: t.TempDir()}
	Open(t, k.dir)
	for _, name := range append(more, "mv", "rm", "mkdir", "tar", "sync", "ln", "xargs", "chmod", "mariadb") {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		script := fmt.Sprintf(`#!/bin/sh
c=$(cat %[1]s/count); echo $((c + 1)) >%[1]s/count
n=$(cat %[1]s/at)
[ "$c" = "$n" ] && [ $((n %% 2)) = 0 ] && kill -9 0
%[2]s "$@"
e=$?
[ "$c" = "$n" ] && kill -9 0
exit $e
`, k.dir, path)
		if err := os.WriteFile(filepath.Join(k.dir, filepath.Base(name)), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// At makes the killer strike at the nth call and returns a runner.
func (k *Killer) At(n int) Local {
	k.t.Helper()
	for file, value := range map[string]int{"count": 0, "at": n} {
		p := filepath.Join(k.dir, file)
		if err := os.WriteFile(p, []byte(strconv.Itoa(value)), 0o666); err != nil {
			k.t.Fatal(err)
		}
		if err := os.Chmod(p, 0o666); err != nil {
			k.t.Fatal(err)
		}
	}
	return Local{Env: []string{"PATH=" + k.dir + ":" + os.Getenv("PATH")}}
}

// Struck says whether there was an nth call.
func (k *Killer) Struck(n int) bool {
	k.t.Helper()
	b, err := os.ReadFile(filepath.Join(k.dir, "count"))
	if err != nil {
		k.t.Fatal(err)
	}
	c, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		k.t.Fatalf("counter %q", b)
	}
	return c > n
}

// SmallDisk mounts a file system of some kilobytes.
func SmallDisk(t testing.TB, dir string, kilobytes int) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dk,mode=755", kilobytes), "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a tmpfs here: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
}

// All tells whether to take the time for everything.
func All() bool { return os.Getenv("NCFLEET_TEST_ALL") != "" }

// Stride is the distance of the points to kill at. By default they are a
// sample, half of them before and half after a command's effect.
func Stride() int {
	if All() {
		return 1
	}
	return 3
}

// Flip changes one byte in the middle of a file.
func Flip(t testing.TB, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil || len(b) == 0 {
		t.Fatalf("%s: %d bytes, %v", file, len(b), err)
	}
	b[len(b)/2] ^= 0xff
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// LookOrSkip finds the first of these programs, or skips the test.
func LookOrSkip(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	t.Skipf("none of %q is installed", names)
	return ""
}

// Output runs a command that must succeed.
func Output(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}
