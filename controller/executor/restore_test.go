package executor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

func TestRestore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(plan.KindClose, Succeeded, "")
	before := digest(t, b.tree)
	b.want(plan.KindRestore, Failed, "no snapshot")
	write(t, filepath.Dir(b.tree)+"/upgrade", "fail")
	b.want(plan.KindHop, Failed, "failed (exit 5)")
	b.memory.Handles["files"] = driver.Handle{Driver: "memory", Key: "r1/cloud-07/files"}
	b.want(plan.KindRestore, Succeeded, "")
	if after := digest(t, b.tree); after != before || fmt.Sprint(b.driver.restored) != "[r1/cloud-07/files]" {
		t.Errorf("restored %q; not as before:\n%s\nwas\n%s", b.driver.restored, after, before)
	}
}

// TestRestoreAfterSuccess takes back a target that was opened and tidied: the
// kept tree is gone, so the driver brings everything, under a running web.
func TestRestoreAfterSuccess(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(plan.KindClose, Succeeded, "")
	b.want(plan.KindSnapshot, Succeeded, "")
	snapshot, before := b.dir+"/snapshot", digest(t, b.tree, "config/config.php", "data/nextcloud.log")
	copyTree(t, b.tree, snapshot)
	for _, k := range []plan.Kind{plan.KindHop, plan.KindInspect, plan.KindOpen, plan.KindTidy} {
		b.want(k, Succeeded, "")
	}
	if exists(b.kept) || codeVersion(b.tree) != "29.0.1.1" {
		t.Fatalf("kept %v, version %s", exists(b.kept), codeVersion(b.tree))
	}
	write(t, b.tree+"/data/alice/files/later.txt", "written after it was opened")
	b.memory.Handles["files"] = driver.Handle{Driver: "memory", Key: "r1/cloud-07/files"}
	b.driver.restore = func() {
		if codeVersion(b.tree) == "28.0.2.5" {
			return
		}
		bad := b.tree + ".ncfleet-bad-r1"
		_ = os.Rename(b.tree, bad)
		copyTree(t, snapshot, b.tree)
		_ = os.RemoveAll(b.tree + "/data")
		_ = os.Rename(bad+"/data", b.tree+"/data")
	}
	undo := b.target.Undo
	for n := range 2 { // the second time as an operator who asks again
		b.memory.Attempt = n
		_ = os.Remove(b.dir + "/reloads")
		for _, s := range undo[:4] {
			if o := b.exec.Perform(context.Background(), b.plan, b.target, s, b.memory); o.Status != Succeeded {
				t.Fatalf("time %d, %s: %s: %s\n%s", n+1, s.ID, o.Status, o.Detail, o.Output)
			}
			if got, _ := os.ReadFile(b.dir + "/reloads"); s.Kind == plan.KindRestore && !strings.HasSuffix(string(got), "28,0,2,5\n") {
				t.Errorf("PHP was last reloaded with %q", got)
			}
		}
		if c := readConfig(b.tree + "/config/config.php"); c["maintenance"] != "false" || c["version"] != `"28.0.2.5"` {
			t.Errorf("time %d: opened with %v", n+1, c)
		}
	}
	if o := b.exec.Perform(context.Background(), b.plan, b.target, undo[4], b.memory); o.Status != Succeeded {
		t.Errorf("unstage: %s", o.Detail)
	}
	if !exists(b.tree + "/data/alice/files/later.txt") {
		t.Error("a user's file is gone")
	}
	_ = os.Remove(b.tree + "/data/alice/files/later.txt")
	_ = os.Remove(b.tree + "/config/zz-ncfleet.config.php")
	want := strings.ReplaceAll(before, lineOf(before, "config/zz-ncfleet.config.php"), "")
	if after := digest(t, b.tree, "config/config.php", "data/nextcloud.log"); after != want {
		t.Errorf("not as before:\n%s\nwas\n%s", after, want)
	}
	if left, _ := filepath.Glob(b.tree + ".ncfleet-*"); len(left) > 0 {
		t.Errorf("left lying: %q", left)
	}
}

// TestRestoreMustReload: old code in the cache of a web that opens again would
// meet the restored database.
func TestRestoreMustReload(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(plan.KindClose, Succeeded, "")
	b.memory.Handles["files"] = driver.Handle{Driver: "memory", Key: "r1/cloud-07/files"}
	b.driver.restore = func() { _ = os.Remove(b.tree + "/version.php") }
	b.want(plan.KindRestore, Failed, "expected 28.0.2")
	b.driver.restore = func() { write(t, b.tree+"/version.php", versionPHP("28,0,2,5", "27.1")) }
	args := b.target.Undo[1].Args
	for i := range args[1:] {
		if args[i] == "--reload" {
			args[i+1] = "false"
		}
	}
	b.memory.Attempt = 1
	b.want(plan.KindRestore, Failed, "cannot reload PHP")
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// lineOf is the line of a digest about a path, with its line break.
func lineOf(digest, path string) string {
	for _, l := range strings.SplitAfter(digest, "\n") {
		if strings.HasPrefix(l, path+" ") {
			return l
		}
	}
	return ""
}
