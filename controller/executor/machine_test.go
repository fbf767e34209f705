package executor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// image is a whole machine as a snapshot keeps it.
type image struct {
	b           *bench
	folder      string
	lease, last string
	epoch       int64
	runs        map[string]bool
	boots       int
}

// keep takes an image of the bench's machine: the tree, ncfleet's own folder,
// the lease and the runs.
func (b *bench) keep() *image {
	b.t.Helper()
	i := &image{b: b, folder: b.t.TempDir(), runs: map[string]bool{}}
	copyTree(b.t, b.tree, i.folder+"/tree")
	copyTree(b.t, b.state, i.folder+"/state")
	b.machine.mu.Lock()
	defer b.machine.mu.Unlock()
	i.lease, i.last, i.epoch = b.machine.lease, b.machine.last, b.machine.epoch
	for id := range b.machine.runs {
		i.runs[id] = true
	}
	return i
}

// put puts it back: everything is as it was, and the machine boots.
func (i *image) put() {
	for from, to := range map[string]string{"/tree": i.b.tree, "/state": i.b.state} {
		_ = os.RemoveAll(to)
		copyTree(i.b.t, i.folder+from, to)
	}
	m := i.b.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	i.boots++
	m.boot, m.down = fmt.Sprintf("restored-%d", i.boots), 2
	m.lease, m.last, m.epoch = i.lease, i.last, i.epoch
	for id := range m.runs {
		if !i.runs[id] {
			delete(m.runs, id)
		}
	}
}

// closedMachine is a closed target with an image, and a failed hop after it.
func closedMachine(t *testing.T) (*bench, *image) {
	b := newBench(t)
	b.driver.capabilities = []string{driver.CapabilityMachine}
	b.machine.boot = "first"
	b.want(plan.KindClose, Succeeded, "")
	b.want(plan.KindSnapshot, Succeeded, "")
	b.memory.Handles["files"] = driver.Handle{Driver: "memory", Key: "r1/cloud-07/files"}
	i := b.keep()
	b.driver.restore = i.put
	return b, i
}

// TestRestoreMachine: the snapshot was taken under an earlier controller, whose
// lease comes back with the disk; the undo goes on under this one's.
func TestRestoreMachine(t *testing.T) {
	t.Parallel()
	b, i := closedMachine(t)
	before := digest(t, b.tree)
	i.lease, i.last, i.epoch = "r1 1 earlier", "r1 1 earlier", 1
	b.memory.Epoch = 4
	b.exec.owned = map[string]bool{}
	write(t, filepath.Dir(b.tree)+"/upgrade", "fail")
	b.want(plan.KindHop, Failed, "")
	o := b.want(plan.KindRestore, Succeeded, "")
	if o.Evidence["boot_before"] != "first" || o.Evidence["boot"] != "restored-1" || o.Evidence["restored"] == "" {
		t.Errorf("evidence %v", o.Evidence)
	}
	if rollout, epoch := words(b.machine.lease); rollout != "r1" || epoch != 4 {
		t.Errorf("the lease is %q", b.machine.lease)
	}
	if after := digest(t, b.tree); after != before {
		t.Errorf("not as before:\n%s\nwas\n%s", after, before)
	}
	for _, id := range b.machine.started {
		if strings.HasSuffix(id, "/restore") {
			t.Errorf("the old tree was swapped back by %s, although the machine brings it", id)
		}
	}
	for _, s := range b.target.Undo[2:4] { // inspect, open
		if o := b.exec.Perform(context.Background(), b.plan, b.target, s, b.memory); o.Status != Succeeded {
			t.Errorf("%s: %s: %s\n%s", s.ID, o.Status, o.Detail, o.Output)
		}
	}
	if c := readConfig(b.tree + "/config/config.php"); c["maintenance"] != "false" {
		t.Errorf("opened with %v", c)
	}
}

// TestRestoreMachineAgain: a driver that fails once the machine is back already
// is asked again, under the lease, and a restore whose outcome nobody saw is
// done again by a later controller.
func TestRestoreMachineAgain(t *testing.T) {
	t.Parallel()
	b, i := closedMachine(t)
	b.memory.Epoch = 4
	b.exec.owned = map[string]bool{}
	i.lease, i.last, i.epoch = "r1 1 earlier", "r1 1 earlier", 1
	b.driver.fail = []error{driver.Errorf(driver.Retryable, "the answer was lost")}
	b.want(plan.KindRestore, Succeeded, "")
	if i.boots != 2 {
		t.Errorf("restored %d times, want 2", i.boots)
	}
	b.memory.Epoch = 5
	b.exec.nonce, b.exec.owned = "another", map[string]bool{}
	o, found := b.exec.Lookup(context.Background(), b.plan, b.target, b.step(plan.KindRestore), b.memory)
	if !found || o.Status != Succeeded || o.Evidence["boot"] != "restored-3" {
		t.Errorf("found %v, %+v", found, o)
	}
	if _, epoch := words(b.machine.lease); epoch != 5 {
		t.Errorf("the lease is %q", b.machine.lease)
	}
}

// TestRestoreMachineFailure: a failure of the driver is one, even though the
// disk holds an older lease by then.
func TestRestoreMachineFailure(t *testing.T) {
	t.Parallel()
	b, i := closedMachine(t)
	b.memory.Epoch = 4
	b.exec.owned = map[string]bool{}
	i.lease, i.last, i.epoch = "r1 1 earlier", "r1 1 earlier", 1
	b.driver.fail = []error{driver.Errorf(driver.Permanent, "the machine lost its address")}
	b.want(plan.KindRestore, Failed, "lost its address")
	if _, epoch := words(b.machine.lease); epoch != 4 {
		t.Errorf("the lease is %q", b.machine.lease)
	}
}

// TestRestoreMachineOfOthers: another rollout's lease on the restored disk, and
// a later controller, end this one's work.
func TestRestoreMachineOfOthers(t *testing.T) {
	t.Parallel()
	for lease, epoch := range map[string]int64{"r2 1 other": 1, "r1 9 later": 9} {
		b, i := closedMachine(t)
		i.lease, i.last, i.epoch = lease, lease, epoch
		b.want(plan.KindRestore, Fenced, "")
		if b.machine.lease != lease {
			t.Errorf("the lease of %q is %q now", lease, b.machine.lease)
		}
		for _, id := range b.machine.started {
			if strings.Contains(id, "restored") {
				t.Errorf("%s ran without the lease", id)
			}
		}
	}
}

// TestRestoreMachineNeverRestarted: a driver's word is not taken for it.
func TestRestoreMachineNeverRestarted(t *testing.T) {
	t.Parallel()
	b, _ := closedMachine(t)
	b.driver.restore = func() {}
	for i := range b.target.Undo {
		b.target.Undo[i].Timeout = 3 * time.Second
	}
	b.want(plan.KindRestore, Failed, "never restarted")
}

// TestRestoreDeadMachine: a host that does not answer is taken back, which no
// other driver may do.
func TestRestoreDeadMachine(t *testing.T) {
	t.Parallel()
	b, i := closedMachine(t)
	for n := range b.target.Undo {
		b.target.Undo[n].Timeout = 8 * time.Second
	}
	b.exec.owned = map[string]bool{}
	b.machine.down = 1 << 20
	o := b.want(plan.KindRestore, Succeeded, "")
	if i.boots != 1 || o.Evidence["boot_before"] != "unknown" || b.machine.lease == "" {
		t.Errorf("boots %d, evidence %v, lease %q", i.boots, o.Evidence, b.machine.lease)
	}
	c, _ := closedMachine(t)
	c.driver.capabilities, c.exec.owned = nil, map[string]bool{}
	for n := range c.target.Undo {
		c.target.Undo[n].Timeout = time.Second
	}
	c.machine.down = 2
	c.exec.Retryable = nil
	c.want(plan.KindRestore, Failed, "away")
}
