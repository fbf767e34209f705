package btrfs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/hostcopy/hostcopytest"
)

func TestKilledRestore(t *testing.T) {
	t.Parallel()
	newSite(t, true).KilledRestore(hostcopytest.NewKiller(t, "btrfs", "cp"))
}

func TestKilledCreate(t *testing.T) {
	t.Parallel()
	newSite(t, false).KilledCreate(hostcopytest.NewKiller(t, "btrfs"))
}

// TestGivenUp: what a rollout that was given up left half-made goes with the
// next verified snapshot a day later.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	s, k := newSite(t, false), hostcopytest.NewKiller(t, "btrfs")
	s.SpoilOther()
	partial := filepath.Join(s.Subject.StateDir, "btrfs-snapshots/r+dead~partial")
	for n := 0; ; n += 2 {
		_, err := s.D.Create(t.Context(), s.Request("r/dead"), k.At(n))
		if err == nil || n > 100 {
			t.Fatalf("Create was never killed after its snapshot: %v", err)
		}
		if _, err := os.Stat(filepath.Join(partial, "volumes")); err == nil {
			break
		}
	}
	s.Intact(1)
	hostcopytest.Run(t, "touch", "-d", "2 days ago", partial)
	hostcopytest.Run(t, "rm", "-rf", partial[:len(partial)-len("~partial")]+"~lock")
	s.Verify(s.Create("r/next"))
	s.Intact(1)
}
