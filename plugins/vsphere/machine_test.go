package vsphere

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

func (c *center) provider(t *testing.T, change ...func(driver.Config)) *provider {
	t.Helper()
	config := c.config()
	for _, f := range change {
		f(config)
	}
	p, err := connect(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return p.(*provider)
}

// disk returns the machine's first disk; call it under the machine's lock.
func firstDisk(vm *simulator.VirtualMachine) *types.VirtualDisk {
	return object.VirtualDeviceList(vm.Config.Hardware.Device).SelectByType((*types.VirtualDisk)(nil))[0].(*types.VirtualDisk)
}

func TestMachine(t *testing.T) {
	c := newCenter(t)
	p := c.provider(t)
	vm := c.vm(machineName)
	want := vm.Config.InstanceUuid
	for _, ref := range []string{machineName, "/DC0/vm/" + machineName, want, vm.Config.Uuid} {
		m, err := p.Machine(t.Context(), ref)
		if err != nil {
			t.Errorf("Machine(%q): %v", ref, err)
			continue
		}
		if m.ID != want || m.Name != machineName || m.State != cloud.Running || len(m.Units) != 1 || !m.Units[0].Whole || m.Units[0].Left != "" {
			t.Errorf("Machine(%q) = %+v", ref, m)
		}
	}
	for _, ref := range []string{"no-such", "/DC0/vm/no-such", "/DC0/vm", "00000000-0000-0000-0000-000000000000", "DC0_H0*"} {
		if m, err := p.Machine(t.Context(), ref); driver.ClassOf(err) != driver.NotFound {
			t.Errorf("Machine(%q) = %+v, %v; want class not_found", ref, m, err)
		}
	}
	other := c.vm("DC0_H0_VM1")
	c.context.WithLock(other, func() { other.Name = machineName })
	_, err := p.Machine(t.Context(), machineName)
	if driver.ClassOf(err) != driver.Permanent || !strings.Contains(fmt.Sprint(err), "/DC0/vm/") || strings.Count(fmt.Sprint(err), "/DC0/") != 2 {
		t.Errorf("a name that two machines have: %v; want a permanent error with both paths", err)
	}
}

// TestHoles puts the machine's disk into every shape that snapshots leave out.
func TestHoles(t *testing.T) {
	flat := func(vm *simulator.VirtualMachine) *types.VirtualDiskFlatVer2BackingInfo {
		return firstDisk(vm).Backing.(*types.VirtualDiskFlatVer2BackingInfo)
	}
	serials := func(vm *simulator.VirtualMachine) {
		vm.Config.ExtraConfig = append(vm.Config.ExtraConfig, &types.OptionValue{Key: "disk.EnableUUID", Value: "TRUE"})
	}
	for name, x := range map[string]struct {
		change      func(vm *simulator.VirtualMachine)
		whole, disk string // what the units' reasons say; "" for captured, or no such unit
	}{
		"plain": {func(*simulator.VirtualMachine) {}, "", ""},
		"independent, seen": {func(vm *simulator.VirtualMachine) {
			serials(vm)
			flat(vm).DiskMode = string(types.VirtualDiskModeIndependent_persistent)
		}, "", "independent_persistent"},
		"independent, not told apart": {func(vm *simulator.VirtualMachine) {
			flat(vm).DiskMode = string(types.VirtualDiskModeIndependent_nonpersistent)
		}, "disk.EnableUUID", "independent_nonpersistent"},
		"raw device": {func(vm *simulator.VirtualMachine) {
			serials(vm)
			firstDisk(vm).Backing = &types.VirtualDiskRawDiskMappingVer1BackingInfo{CompatibilityMode: "physicalMode", Uuid: "6000C29A-B"}
		}, "", "physical mode"},
		"raw device, virtual": {func(vm *simulator.VirtualMachine) {
			firstDisk(vm).Backing = &types.VirtualDiskRawDiskMappingVer1BackingInfo{CompatibilityMode: "virtualMode"}
		}, "", ""},
		"unknown": {func(vm *simulator.VirtualMachine) {
			serials(vm)
			firstDisk(vm).Backing = &types.VirtualDiskFlatVer1BackingInfo{}
		}, "", "not known"},
		"multi-writer": {func(vm *simulator.VirtualMachine) { flat(vm).Sharing = "sharingMultiWriter" }, "multi-writer", ""},
		"passthrough": {func(vm *simulator.VirtualMachine) {
			vm.Config.Hardware.Device = append(vm.Config.Hardware.Device, &types.VirtualPCIPassthrough{})
		}, "passed through", ""},
		"shared bus": {func(vm *simulator.VirtualMachine) {
			vm.Config.Hardware.Device = append(vm.Config.Hardware.Device, &types.ParaVirtualSCSIController{
				VirtualSCSIController: types.VirtualSCSIController{SharedBus: types.VirtualSCSISharingPhysicalSharing}})
		}, "shares its bus", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCenter(t)
			vm := c.vm(machineName)
			c.context.WithLock(vm, func() { x.change(vm) })
			m, err := c.provider(t).Machine(t.Context(), machineName)
			if err != nil {
				t.Fatal(err)
			}
			says := func(got, want string) bool { return (got == "") == (want == "") && strings.Contains(got, want) }
			if !m.Units[0].Whole || !says(m.Units[0].Left, x.whole) {
				t.Errorf("the machine: %+v, want a reason with %q", m.Units[0], x.whole)
			}
			if (len(m.Units) == 2) != (x.disk != "") {
				t.Fatalf("units %+v, want a disk that is left out: %v", m.Units, x.disk != "")
			}
			if x.disk != "" && (m.Units[1].Whole || !says(m.Units[1].Left, x.disk)) {
				t.Errorf("the disk: %+v, want a reason with %q", m.Units[1], x.disk)
			}
		})
	}
}

// TestCoverOfAHole shows the hole in the plan's words.
func TestCoverOfAHole(t *testing.T) {
	c := newCenter(t)
	vm := c.vm(machineName)
	c.context.WithLock(vm, func() {
		firstDisk(vm).Backing.(*types.VirtualDiskFlatVer2BackingInfo).DiskMode = string(types.VirtualDiskModeIndependent_persistent)
	})
	d := New()
	if err := d.Configure(t.Context(), c.config()); err != nil {
		t.Fatal(err)
	}
	got, err := d.Cover(t.Context(), c.subject(), c.host)
	if err != nil || len(got.Captured) != 0 || len(got.Missing) != len(c.subject().Places) || !strings.Contains(got.Missing[0].Reason, "disk.EnableUUID") {
		t.Errorf("Cover = %+v, %v; want every place missing, with the reason", got, err)
	}
	if _, err := d.Create(t.Context(), driver.SnapshotRequest{Key: "r/t", Subject: c.subject()}, c.host); driver.ClassOf(err) != driver.Permanent {
		t.Errorf("Create of a machine that vSphere leaves out: %v, want a permanent refusal", err)
	}
}
