package vsphere

import (
	"context"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// shutdownLimit is how long a guest may take to shut down before it is
// powered off. Its captured disks are thrown away anyway; the time is for the
// disks that are not.
const shutdownLimit = time.Minute

func remove(ctx context.Context, c *vim25.Client, ref types.ManagedObjectReference) error {
	consolidate := true
	r, err := methods.RemoveSnapshot_Task(ctx, c, &types.RemoveSnapshot_Task{This: ref, RemoveChildren: false, Consolidate: &consolidate})
	if err == nil {
		err = object.NewTask(c, r.Returnval).Wait(ctx)
	}
	if missing(err) {
		return nil
	}
	return err
}

// Restore powers the machine off, reverts it to the snapshot and powers it on.
// Each stage looks first at what is there, so that the whole may be repeated.
func (p *provider) Restore(ctx context.Context, m cloud.Machine, snaps []cloud.Snap, _ cloud.Stages) error {
	c, err := p.login.open(ctx)
	if err != nil {
		return err
	}
	vm, err := p.find(ctx, c, m.ID)
	if err == nil {
		vm, err = p.settled(ctx, c, vm)
	}
	if err != nil {
		return err
	}
	if len(snaps) != 1 {
		return driver.Errorf(driver.Permanent, "the handle names %d snapshots of the virtual machine %s, want 1", len(snaps), vm.Name)
	}
	s, ok := keyed(vm, snaps[0].Key)
	if !ok || s.ID != snaps[0].ID {
		return driver.Errorf(driver.NotFound, "the virtual machine %s has no snapshot %s", vm.Name, snaps[0].Key)
	}
	if err := stop(ctx, c, vm); err != nil {
		return refuse(err, "power off the virtual machine %s", vm.Name)
	}
	suppress := true
	r, err := methods.RevertToSnapshot_Task(ctx, c, &types.RevertToSnapshot_Task{This: s.ref, SuppressPowerOn: &suppress})
	if err == nil {
		err = object.NewTask(c, r.Returnval).Wait(ctx)
	}
	if err != nil {
		return refuse(err, "revert the virtual machine %s to the snapshot %s", vm.Name, s.Key)
	}
	return refuse(start(ctx, c, vm.Self), "power on the virtual machine %s", vm.Name)
}

// stop shuts the guest down, if it can be asked, and powers the machine off.
func stop(ctx context.Context, c *vim25.Client, vm *mo.VirtualMachine) error {
	machine := object.NewVirtualMachine(c, vm.Self)
	if toolsRun(vm) {
		within, cancel := context.WithTimeout(ctx, shutdownLimit)
		defer cancel()
		if err := machine.ShutdownGuest(within); err == nil {
			_ = machine.WaitForPowerState(within, types.VirtualMachinePowerStatePoweredOff)
		}
	}
	now, err := power(ctx, c, vm.Self)
	if err != nil || now == types.VirtualMachinePowerStatePoweredOff {
		return err
	}
	task, err := machine.PowerOff(ctx)
	if err == nil {
		err = task.Wait(ctx)
	}
	if fault.IsAlreadyPoweredOffError(err) {
		return nil
	}
	return err
}

func start(ctx context.Context, c *vim25.Client, ref types.ManagedObjectReference) error {
	now, err := power(ctx, c, ref)
	if err != nil || now == types.VirtualMachinePowerStatePoweredOn {
		return err
	}
	task, err := object.NewVirtualMachine(c, ref).PowerOn(ctx)
	if err == nil {
		err = task.Wait(ctx)
	}
	if err != nil {
		// Somebody else, such as high availability, may have been faster.
		if now, again := power(ctx, c, ref); again == nil && now == types.VirtualMachinePowerStatePoweredOn {
			return nil
		}
	}
	return err
}

func power(ctx context.Context, c *vim25.Client, ref types.ManagedObjectReference) (types.VirtualMachinePowerState, error) {
	var vm mo.VirtualMachine
	err := property.DefaultCollector(c).RetrieveOne(ctx, ref, []string{"runtime.powerState"}, &vm)
	return vm.Runtime.PowerState, err
}
