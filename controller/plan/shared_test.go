package plan

import "testing"

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
