package vsphere

import (
	"context"
	"slices"
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// wholeUnit is the unit that stands for the machine with all its disks.
const wholeUnit = "machine"

// Snaps lists this driver's snapshots.
func (p *provider) Snaps(ctx context.Context, f cloud.Filter) ([]cloud.Snap, error) {
	c, err := p.login.open(ctx)
	if err != nil {
		return nil, err
	}
	var machines []mo.VirtualMachine
	if f.Machine == "" {
		machines, err = everyMachine(ctx, c, vmProperties)
	} else {
		var vm *mo.VirtualMachine
		if vm, err = p.find(ctx, c, f.Machine); err == nil {
			machines = []mo.VirtualMachine{*vm}
		}
	}
	if err != nil {
		return nil, refuse(err, "list the snapshots on %s", p.login.server)
	}
	var found []cloud.Snap
	for i := range machines {
		for _, s := range snapsOf(&machines[i]) {
			if f.Matches(s.Snap) {
				found = append(found, s.Snap)
			}
		}
	}
	return found, nil
}

// snap is a snapshot with what the API calls it.
type snap struct {
	cloud.Snap
	ref types.ManagedObjectReference
}

// snapsOf returns the snapshots in a machine's tree that bear our mark.
func snapsOf(vm *mo.VirtualMachine) (found []snap) {
	if vm.Snapshot == nil || vm.Config == nil {
		return nil
	}
	var walk func(parent *types.ManagedObjectReference, tree []types.VirtualMachineSnapshotTree)
	walk = func(parent *types.ManagedObjectReference, tree []types.VirtualMachineSnapshotTree) {
		for _, t := range tree {
			if tags, ours := readDescription(t.Description); ours {
				s := snap{ref: t.Snapshot, Snap: cloud.Snap{
					ID: t.Snapshot.Value, Unit: wholeUnit, Key: tags.Key, Machine: vm.Config.InstanceUuid, Host: tags.Host,
					State: cloud.Ready, Created: t.CreateTime,
				}}
				if vm.LayoutEx != nil {
					current := vm.Snapshot.CurrentSnapshot != nil && *vm.Snapshot.CurrentSnapshot == t.Snapshot
					s.Bytes = int64(object.SnapshotSize(t.Snapshot, parent, vm.LayoutEx, current))
					if !reachable(vm.LayoutEx, t.Snapshot) {
						s.State = cloud.Pending
					}
				}
				found = append(found, s)
			}
			walk(&t.Snapshot, t.ChildSnapshotList)
		}
	}
	walk(nil, vm.Snapshot.RootSnapshotList)
	return found
}

// reachable reports whether the ESXi host reaches all files of the snapshot.
func reachable(l *types.VirtualMachineFileLayoutEx, ref types.ManagedObjectReference) bool {
	needed := map[int32]bool{}
	for _, s := range l.Snapshot {
		if s.Key != ref {
			continue
		}
		needed[s.DataKey] = true
		for _, d := range s.Disk {
			for _, chain := range d.Chain {
				for _, key := range chain.FileKey {
					needed[key] = true
				}
			}
		}
	}
	for _, f := range l.File {
		if needed[f.Key] && f.Accessible != nil && !*f.Accessible {
			return false
		}
	}
	return true
}

// description carries the tags, one a line after a line for people.
func description(t cloud.Tags) string {
	lines := []string{"Taken by ncfleet before an upgrade; ncfleet deletes it."}
	for name, value := range t.Map() {
		lines = append(lines, name+": "+value)
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n")
}

func readDescription(text string) (cloud.Tags, bool) {
	m := map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			m[name] = value
		}
	}
	return cloud.ReadTags(m)
}

// Begin takes the snapshot and waits for it. A call whose answer was lost may
// have begun one already: it is waited for and returned.
func (p *provider) Begin(ctx context.Context, m cloud.Machine, _ cloud.Unit, t cloud.Tags) (cloud.Snap, error) {
	c, err := p.login.open(ctx)
	if err != nil {
		return cloud.Snap{}, err
	}
	vm, err := p.find(ctx, c, m.ID)
	if err != nil {
		return cloud.Snap{}, err
	}
	if vm, err = p.settled(ctx, c, vm); err != nil {
		return cloud.Snap{}, err
	}
	if s, ok := keyed(vm, t.Key); ok {
		return s.Snap, nil
	}
	quiesce := p.quiesce && toolsRun(vm)
	task, err := object.NewVirtualMachine(c, vm.Self).CreateSnapshot(ctx, t.Name(), description(t), false, quiesce)
	if err == nil {
		err = task.Wait(ctx)
	}
	if err != nil {
		return cloud.Snap{}, refuse(err, "take a snapshot of the virtual machine %s", vm.Name)
	}
	if vm, err = p.find(ctx, c, m.ID); err != nil {
		return cloud.Snap{}, err
	}
	if s, ok := keyed(vm, t.Key); ok {
		return s.Snap, nil
	}
	return cloud.Snap{}, driver.Errorf(driver.Retryable, "the snapshot of the virtual machine %s was taken and is not shown yet", vm.Name)
}

func keyed(vm *mo.VirtualMachine, key string) (snap, bool) {
	for _, s := range snapsOf(vm) {
		if s.Key == key {
			return s, true
		}
	}
	return snap{}, false
}

func toolsRun(vm *mo.VirtualMachine) bool {
	return vm.Guest != nil && vm.Guest.ToolsRunningStatus == string(types.VirtualMachineToolsRunningStatusGuestToolsRunning) &&
		vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn
}

// settled waits until no other task is at work on the machine and reads it again.
func (p *provider) settled(ctx context.Context, c *vim25.Client, vm *mo.VirtualMachine) (*mo.VirtualMachine, error) {
	waited := false
	for _, ref := range vm.RecentTask {
		var t mo.Task
		err := property.DefaultCollector(c).RetrieveOne(ctx, ref, []string{"info"}, &t)
		if missing(err) {
			continue
		}
		if err != nil {
			return nil, refuse(err, "read the tasks of the virtual machine %s", vm.Name)
		}
		if t.Info.State != types.TaskInfoStateRunning && t.Info.State != types.TaskInfoStateQueued {
			continue
		}
		_ = object.NewTask(c, ref).Wait(ctx) // how it ended shows in what is read next
		if ctx.Err() != nil {
			return nil, driver.Errorf(driver.Retryable, "the virtual machine %s is busy: the task %s goes on", vm.Name, t.Info.DescriptionId)
		}
		waited = true
	}
	if !waited {
		return vm, nil
	}
	return p.find(ctx, c, vm.Config.InstanceUuid)
}

// Delete removes one snapshot and none of its children: their disks are merged.
func (p *provider) Delete(ctx context.Context, s cloud.Snap) error {
	c, err := p.login.open(ctx)
	if err != nil {
		return err
	}
	vm, err := p.find(ctx, c, s.Machine)
	if err == nil {
		vm, err = p.settled(ctx, c, vm)
	}
	if driver.ClassOf(err) == driver.NotFound {
		return nil // a snapshot is a part of its machine
	}
	if err != nil {
		return err
	}
	for _, have := range snapsOf(vm) {
		if have.ID != s.ID {
			continue
		}
		if err := remove(ctx, c, have.ref); err != nil {
			return refuse(err, "delete the snapshot %s of the virtual machine %s", s.Key, vm.Name)
		}
	}
	return nil
}
