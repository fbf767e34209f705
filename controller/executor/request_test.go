package executor

import (
	"testing"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// TestSnapshotKeys: the snapshot that a host's target takes of an instance and
// the one that the instance's own target takes later are two: a driver that
// finds the key of an older one gives that back.
func TestSnapshotKeys(t *testing.T) {
	seen := map[string]string{}
	for _, c := range []struct{ target, targets, instance string }{
		{"h1", "", ""}, {"h1", "", "i0"}, {"h1", "", "i1"}, {"h1/i0", "i0", "i0"}, {"h1/i1", "i1", "i1"}, {"h2", "i0", "i0"},
	} {
		w := &work{target: &plan.Target{Name: c.target, Instance: c.targets}, step: plan.Step{Instance: c.instance}, memory: Memory{Rollout: "r1"}}
		key := w.request().Key
		if other, ok := seen[key]; ok {
			t.Errorf("target %s, instance %q: key %s is also that of %s", c.target, c.instance, key, other)
		}
		seen[key] = c.target + " " + c.instance
	}
}
