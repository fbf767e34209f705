package remote

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// TestStartOnFullDisk: what opens a site or takes it back is a run too, and it
// must begin on a disk that filled up since the lease was taken.
func TestStartOnFullDisk(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("a disk of its own needs root to be mounted")
	}
	s := startSSHD(t)
	if err := os.MkdirAll(s.config.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", s.config.StateDir).CombinedOutput(); err != nil {
		t.Skipf("no disk can be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", s.config.StateDir).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	h, ctx := s.connect(t), testContext(t)
	if _, err := h.Lease(ctx, "test", testToken); err != nil {
		t.Fatal(err)
	}
	fill := filepath.Join(s.config.StateDir, "fill")
	_ = exec.Command("dd", "if=/dev/zero", "of="+fill, "bs=4096").Run() // until it is full
	if err := os.WriteFile(filepath.Join(s.config.StateDir, "more"), make([]byte, 8192), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	state, err := h.Start(ctx, "r/open", testToken, driver.Command{Argv: []string{"sh", "-c", "echo opened"}})
	if err == nil && state.Phase == driver.RunRunning {
		state, err = h.Wait(ctx, "r/open", nil)
	}
	if err == nil {
		state, err = h.Look(ctx, "r/open")
	}
	if err != nil || state.Phase != driver.RunExited || string(state.Stdout) != "opened\n" {
		t.Fatalf("%+v, %v", state, err)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	if err := h.Release(ctx, testToken); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"reserve", "room"} {
		if _, err := os.Stat(filepath.Join(s.config.StateDir, name)); err == nil {
			t.Errorf("%s was left", name)
		}
	}
}
