package plan

import (
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// TestSharedMachine: a snapshot of the whole machine is no way back for one of
// several instances.
func TestSharedMachine(t *testing.T) {
	for _, c := range []struct {
		instances int
		machine   bool
		blocked   string
	}{{1, true, ""}, {2, false, ""}, {2, true, "machine_shared"}} {
		in := fixture(1)
		h := &in.Fleet.Hosts[0]
		for i := 1; i < c.instances; i++ {
			h.Instances = append(h.Instances, h.Instances[0])
		}
		in.Drivers[1].Machine = c.machine
		l := &look{in: &in, host: h, ref: TargetRef{Name: "cloud-01/main", Host: "cloud-01", Instance: "main"}}
		l.checkShared()
		got := ""
		for _, p := range l.blocked {
			got += p.Code
		}
		if got != c.blocked {
			t.Errorf("%d instances, whole machine %v: blocked by %q, want %q", c.instances, c.machine, got, c.blocked)
		}
	}
}

// TestWholeMachine: the plan says what a rollback by a driver of whole machines
// does, and asks nothing of a host that is to be replaced: it may be the packages
// that broke it.
func TestWholeMachine(t *testing.T) {
	in := fixture(1)
	in.Drivers[1].Machine = true
	c := in.Coverage["cloud-01"]
	c.Captured = append(c.Captured, driver.Place{Part: driver.PartSystem, Path: "/"})
	c.Note = "machine 42: 1 snapshot of at most 40 GiB; a restore restarts it"
	in.Coverage["cloud-01"] = c
	tg := target(t, mustPlan(t, in), "cloud-01")
	if got, want := kinds(tg.Undo), "undo-lease undo-hold undo-close undo-restore undo-inspect undo-open undo-unstage undo-release undo-unlease"; got != want {
		t.Errorf("undo\n got %s\nwant %s", got, want)
	}
	for _, s := range tg.Undo {
		if s.Kind == KindRestore && s.Title != "put the whole machine back" {
			t.Errorf("its restore is called %q", s.Title)
		}
	}
	said := ""
	for _, w := range tg.Warnings {
		switch w.Code {
		case "snapshot_note":
			said = w.Detail
		case "system_not_captured":
			t.Errorf("it warns: %+v", w)
		}
	}
	if said != c.Note {
		t.Errorf("of the snapshot the plan says %q, the driver %q", said, c.Note)
	}
}
