package cloud

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Prepare implements driver.Snapshotter: it deletes what rollouts before the
// last ones left of the machine. Providers copy only what changed by themselves,
// so there is nothing else to do ahead. What cannot be deleted is for the log.
func (s *snapshotter) Prepare(ctx context.Context, r driver.SnapshotRequest, _ driver.Runner) error {
	m, err := s.machine(ctx, r.Subject)
	if err != nil {
		return err
	}
	all, err := s.snaps(ctx, Filter{Machine: m.ID})
	if err != nil {
		return err
	}
	for _, n := range outdated(all, rolloutOf(r.Key), s.keep) {
		if err := s.drop(ctx, n); err != nil {
			if ctx.Err() != nil {
				return err
			}
			slog.Warn("cannot delete an old snapshot", "driver", s.Name, "host", r.Subject.Host, "snapshot", n.ID, "key", n.Key, "error", err.Error())
		}
	}
	return nil
}

// rolloutOf is the rollout of a key.
func rolloutOf(key string) string {
	rollout, _, _ := strings.Cut(key, "/")
	return rollout
}

// outdated picks what is of no rollout but the present one and the newest keep
// before it. A rollout counts by its oldest usable snapshot; all is sorted
// oldest first. One without any is too old at once, unless it is still pending.
func outdated(all []Snap, present string, keep int) []Snap {
	var rollouts []string // oldest first
	for _, n := range all {
		if r := rolloutOf(n.Key); r != present && (n.State == Ready || n.State == Pending) && !slices.Contains(rollouts, r) {
			rollouts = append(rollouts, r)
		}
	}
	kept := rollouts[max(0, len(rollouts)-keep):]
	var out []Snap
	for _, n := range all {
		if r := rolloutOf(n.Key); r != present && !slices.Contains(kept, r) {
			out = append(out, n)
		}
	}
	return out
}
