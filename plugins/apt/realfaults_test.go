package apt

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// plainBox has lab-plain 1.0 installed and 2.0 offered.
func plainBox(t *testing.T) *box {
	b := newBox(t)
	b.deb("lab", "lab-plain", "1.0", "", nil)
	b.publish()
	b.apt("update")
	b.apt("install", "lab-plain")
	b.deb("lab", "lab-plain", "2.0", "", nil)
	b.publish()
	return b
}

// TestRealAptVersionVanished: what the plan fixed is installed or nothing is,
// never what the repository has by now.
func TestRealAptVersionVanished(t *testing.T) {
	for name, tc := range map[string]struct {
		gone func(b *box)
		want string
	}{
		"from the index": {func(b *box) {
			b.pool["lab"] = nil
			b.deb("lab", "lab-plain", "3.0", "", nil)
			b.publish()
			b.apt("update")
		}, "E: Version '2.0' for 'lab-plain' was not found"},
		"from the pool": {func(b *box) {
			b.must(os.Remove(filepath.Join(b.dir, "repo/pool/lab/lab-plain_2.0_all.deb")))
		}, "E: Failed to fetch file:" /* then its path and "File not found" */},
	} {
		t.Run(name, func(t *testing.T) {
			b := plainBox(t)
			pm := New()
			f := b.facts(pm, driver.ProbeRequest{Refresh: true})
			cmds, err := pm.Compile(t.Context(), driver.Selection{Changes: f.Pending})
			b.must(err)
			tc.gone(b)
			for what, c := range map[string]driver.Command{"stage": cmds.Stage[0], "apply": cmds.Apply[0]} {
				r := b.run(c)
				if r.Exit == 0 || !strings.Contains(string(r.Stderr), tc.want) || b.version("lab-plain") != "1.0" {
					t.Errorf("%s: exit %d, lab-plain %s\n%s%s", what, r.Exit, b.version("lab-plain"), r.Stdout, r.Stderr)
				}
			}
		})
	}
}

// TestRealAptWaitsForTheLock: it waits as long as it was told and then names
// the holder; a lock that is given back in time is no trouble.
func TestRealAptWaitsForTheLock(t *testing.T) {
	b := plainBox(t)
	pm := New()
	f := b.facts(pm, driver.ProbeRequest{Refresh: true})
	compile := func(wait time.Duration) driver.Commands {
		c, err := pm.Compile(t.Context(), driver.Selection{Changes: f.Pending, LockWait: wait})
		b.must(err)
		return c
	}
	lock, err := os.OpenFile(filepath.Join(b.dir, "var/lib/dpkg/lock-frontend"), os.O_RDWR|os.O_CREATE, 0o640)
	b.must(err)
	b.must(lockFile(lock))
	short := compile(time.Second)
	holder := fmt.Sprintf("held by process %d (", os.Getpid())
	if r := b.run(short.Apply[0]); r.Exit == 0 || !strings.Contains(string(r.Stdout), holder) || !strings.Contains(string(r.Stderr), "E: Unable to acquire") || b.version("lab-plain") != "1.0" {
		t.Errorf("apply: exit %d, lab-plain %s\n%s%s", r.Exit, b.version("lab-plain"), r.Stdout, r.Stderr)
	}
	if r := b.run(short.Repair[0]); r.Exit == 0 || !strings.Contains(string(r.Stdout), "ncfleet: error the package manager is still locked") ||
		!strings.Contains(string(r.Stdout), fmt.Sprintf("pid %d", os.Getpid())) {
		t.Errorf("repair: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	done := make(chan driver.Result)
	long := compile(time.Minute)
	go func() { done <- b.run(long.Apply[0]) }()
	time.Sleep(2 * time.Second) // it waits meanwhile, or has yet to start: both end well
	b.must(lock.Close())
	if r := <-done; r.Exit != 0 || b.version("lab-plain") != "2.0" {
		t.Errorf("after the lock was given back: exit %d, lab-plain %s\n%s%s", r.Exit, b.version("lab-plain"), r.Stdout, r.Stderr)
	}
}

// TestRealAptForeignLock: an apt in a container, which has a lock of the same
// path below another root, does not lock this host.
func TestRealAptForeignLock(t *testing.T) {
	b := plainBox(t)
	other := filepath.Join(t.TempDir(), "var/lib/apt/lists/lock")
	b.must(os.MkdirAll(filepath.Dir(other), 0o755))
	lock, err := os.OpenFile(other, os.O_RDWR|os.O_CREATE, 0o640)
	b.must(err)
	defer lock.Close()
	b.must(lockFile(lock))
	if f := b.facts(New(), driver.ProbeRequest{}); f.Lock != "" {
		t.Errorf("locked by %q", f.Lock)
	}
}

// TestRealAptReleaseIsNotMoved: sources of the next release hold everything,
// also when the rollout names the system.
func TestRealAptReleaseIsNotMoved(t *testing.T) {
	b := plainBox(t)
	b.deb("lab", "base-files", "12.4+deb12u11", "", nil)
	b.publish()
	b.apt("update")
	b.apt("install", "base-files")
	b.deb("lab", "base-files", "13.8+deb13u1", "", nil)
	b.publish()
	pm := New()
	for _, named := range [][]string{nil, {"os"}} {
		f := b.facts(pm, driver.ProbeRequest{Refresh: true, Upgrades: named})
		for _, c := range f.Pending {
			if !c.Held || c.Reason == "" {
				t.Errorf("named %q: not held: %+v", named, c)
			}
		}
		if m := byName(f); len(m) != 2 || m["base-files"].Product != "os" || len(f.ReleaseSteps) < 5 {
			t.Errorf("named %q: %+v", named, f)
		}
		c, err := pm.Compile(t.Context(), driver.Selection{Changes: f.Pending})
		if err != nil || len(c.Apply)+len(c.Stage) != 0 {
			t.Errorf("named %q: compiled %+v, %v", named, c, err)
		}
	}
}

// TestRealAptTellsStaleServices: the last command of an update names what still
// runs old code, by needrestart where it is installed.
func TestRealAptTellsStaleServices(t *testing.T) {
	b := plainBox(t)
	b.must(os.WriteFile(filepath.Join(b.dir, "bin/needrestart"), []byte("#!/bin/sh\necho 'NEEDRESTART-VER: 3.6'\necho 'NEEDRESTART-SVC: nginx.service'\necho 'NEEDRESTART-SVC: ncfleet-r1.service'\n"), 0o755))
	pm := New()
	f := b.facts(pm, driver.ProbeRequest{Refresh: true})
	if len(f.Stale) != 1 || f.Stale[0] != "nginx.service" {
		t.Errorf("stale %q", f.Stale)
	}
	cmds, err := pm.Compile(t.Context(), driver.Selection{Changes: f.Pending})
	b.must(err)
	r := b.run(cmds.Apply[len(cmds.Apply)-1])
	if r.Exit != 0 || !strings.HasPrefix(string(r.Stdout), "ncfleet: degraded still running old code: nginx.service; ") {
		t.Errorf("exit %d: %s%s", r.Exit, r.Stdout, r.Stderr)
	}
}
