package vsphere

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// vmProperties are what the driver reads of a virtual machine.
var vmProperties = []string{
	"name", "config.instanceUuid", "config.template", "config.hardware.device", "config.extraConfig",
	"runtime.powerState", "runtime.connectionState",
	"guest.toolsRunningStatus",
	"snapshot", "layoutEx", "recentTask",
}

// Machine finds a virtual machine by its inventory path ("/dc/vm/folder/name"),
// its instance or BIOS UUID, or its name.
func (p *provider) Machine(ctx context.Context, ref string) (cloud.Machine, error) {
	c, err := p.login.open(ctx)
	if err != nil {
		return cloud.Machine{}, err
	}
	vm, err := p.find(ctx, c, ref)
	if err != nil {
		return cloud.Machine{}, err
	}
	return describe(vm)
}

// find returns the one virtual machine that ref names.
func (p *provider) find(ctx context.Context, c *vim25.Client, ref string) (*mo.VirtualMachine, error) {
	refs, err := p.search(ctx, c, ref)
	if err != nil {
		return nil, refuse(err, "look for the virtual machine %q on %s", ref, p.login.server)
	}
	switch len(refs) {
	case 0:
		return nil, driver.Errorf(driver.NotFound, "%s shows no virtual machine %q to the user %s: write its name, inventory path or UUID, and let the user see it", p.login.server, ref, p.login.user.Username())
	case 1:
	default:
		return nil, p.ambiguous(ctx, c, ref, refs)
	}
	var vm mo.VirtualMachine
	if err := property.DefaultCollector(c).RetrieveOne(ctx, refs[0], vmProperties, &vm); err != nil {
		return nil, refuse(err, "read the virtual machine %q", ref)
	}
	if vm.Config == nil {
		return nil, driver.Errorf(driver.Retryable, "the virtual machine %q is %s: its ESXi host does not tell its configuration", ref, vm.Runtime.ConnectionState)
	}
	if vm.Config.Template {
		return nil, driver.Errorf(driver.Permanent, "%q is a template, not a virtual machine", ref)
	}
	return &vm, nil
}

func (p *provider) search(ctx context.Context, c *vim25.Client, ref string) ([]types.ManagedObjectReference, error) {
	switch {
	case strings.HasPrefix(ref, "/"):
		found, err := object.NewSearchIndex(c).FindByInventoryPath(ctx, strings.TrimPrefix(ref, "/"))
		if err != nil || found == nil || found.Reference().Type != "VirtualMachine" {
			return nil, err
		}
		return []types.ManagedObjectReference{found.Reference()}, nil
	case uuid.MatchString(ref):
		for _, instance := range []bool{true, false} {
			found, err := methods.FindAllByUuid(ctx, c, &types.FindAllByUuid{
				This: *c.ServiceContent.SearchIndex, Uuid: ref, VmSearch: true, InstanceUuid: &instance})
			if err != nil || len(found.Returnval) > 0 {
				return returned(found), err
			}
		}
		return nil, nil
	default:
		return byName(ctx, c, ref)
	}
}

func returned(r *types.FindAllByUuidResponse) []types.ManagedObjectReference {
	if r == nil {
		return nil
	}
	return r.Returnval
}

// byName compares every name itself: the API has no search by name that is not
// bound to one folder.
func byName(ctx context.Context, c *vim25.Client, name string) ([]types.ManagedObjectReference, error) {
	all, err := everyMachine(ctx, c, []string{"name"})
	var found []types.ManagedObjectReference
	for _, vm := range all {
		// The server writes %, / and \ of a name as in a URL.
		if plain, err := url.PathUnescape(vm.Name); vm.Name == name || err == nil && plain == name {
			found = append(found, vm.Self)
		}
	}
	return found, err
}

// everyMachine reads properties of all virtual machines that the user sees.
func everyMachine(ctx context.Context, c *vim25.Client, properties []string) (all []mo.VirtualMachine, err error) {
	v, err := view.NewManager(c).CreateContainerView(ctx, c.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
	if err != nil {
		return nil, err
	}
	defer func() { _ = v.Destroy(context.WithoutCancel(ctx)) }()
	err = v.Retrieve(ctx, []string{"VirtualMachine"}, properties, &all)
	return all, err
}

func (p *provider) ambiguous(ctx context.Context, c *vim25.Client, ref string, refs []types.ManagedObjectReference) error {
	var paths []string
	for _, r := range refs {
		path, err := find.InventoryPath(ctx, c, r)
		if err != nil {
			path = r.Value
		}
		paths = append(paths, path)
	}
	return driver.Errorf(driver.Permanent, "%d virtual machines are called %q: write one of %s", len(refs), ref, strings.Join(paths, ", "))
}

// describe puts a virtual machine into the core's words: one unit for the
// machine with all its disks, and one for each disk that its snapshots leave out.
func describe(vm *mo.VirtualMachine) (cloud.Machine, error) {
	if vm.Config.InstanceUuid == "" {
		return cloud.Machine{}, driver.Errorf(driver.Permanent, "the virtual machine %q has no instance UUID: it cannot be told apart from others", vm.Name)
	}
	m := cloud.Machine{ID: vm.Config.InstanceUuid, Name: vm.Name, State: string(vm.Runtime.PowerState)}
	if vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn {
		m.State = cloud.Running
	}
	devices := object.VirtualDeviceList(vm.Config.Hardware.Device)
	whole := cloud.Unit{ID: wholeUnit, Whole: true, Boot: true, Left: refusal(devices)}
	for _, d := range devices.SelectByType((*types.VirtualDisk)(nil)) {
		disk := d.(*types.VirtualDisk)
		u := cloud.Unit{ID: fmt.Sprintf("disk-%d", disk.Key), Device: label(disk), GiB: disk.CapacityInKB >> 20}
		u.Serial, u.Left = leftOut(disk)
		if u.Left == "" {
			whole.GiB += u.GiB
			continue
		}
		m.Units = append(m.Units, u)
	}
	if len(m.Units) > 0 && whole.Left == "" && !showsSerials(vm) {
		whole.Left = "snapshots leave out " + m.Units[0].Device + ", and the guest cannot tell which of its disks that is: set disk.EnableUUID = TRUE in the configuration of the virtual machine"
	}
	m.Units = append([]cloud.Unit{whole}, m.Units...)
	return m, nil
}

// showsSerials reports whether the guest sees the serial numbers of its disks.
func showsSerials(vm *mo.VirtualMachine) bool {
	for _, o := range vm.Config.ExtraConfig {
		v := o.GetOptionValue()
		if strings.EqualFold(v.Key, "disk.EnableUUID") {
			return strings.EqualFold(fmt.Sprint(v.Value), "TRUE")
		}
	}
	return false
}

func label(d *types.VirtualDisk) string {
	if d.DeviceInfo != nil {
		return d.DeviceInfo.GetDescription().Label
	}
	return ""
}

// refusal is why vSphere refuses every snapshot of a machine with these
// devices, "" when it does not.
func refusal(devices object.VirtualDeviceList) string {
	for _, d := range devices {
		switch d := d.(type) {
		case types.BaseVirtualSCSIController:
			if s := d.GetVirtualSCSIController().SharedBus; s != "" && s != types.VirtualSCSISharingNoSharing {
				return "a SCSI controller shares its bus: vSphere takes no snapshot of such a machine"
			}
		case *types.VirtualDisk:
			if b, ok := d.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok && b.Sharing != "" && b.Sharing != string(types.VirtualDiskSharingSharingNone) {
				return label(d) + " is shared (multi-writer): vSphere takes no snapshot of such a machine"
			}
		case *types.VirtualPCIPassthrough:
			return "a PCI device is passed through: vSphere takes no snapshot of such a machine"
		}
	}
	return ""
}

// leftOut returns the disk's serial number as the guest sees it (where
// disk.EnableUUID is set), and why snapshots leave the disk out.
func leftOut(d *types.VirtualDisk) (serial, why string) {
	var id, mode string
	switch b := d.Backing.(type) {
	case *types.VirtualDiskFlatVer2BackingInfo:
		id, mode = b.Uuid, b.DiskMode
	case *types.VirtualDiskSparseVer2BackingInfo:
		id, mode = b.Uuid, b.DiskMode
	case *types.VirtualDiskSeSparseBackingInfo:
		id, mode = b.Uuid, b.DiskMode
	case *types.VirtualDiskRawDiskMappingVer1BackingInfo:
		id, mode = b.Uuid, b.DiskMode
		if b.CompatibilityMode == string(types.VirtualDiskCompatibilityModePhysicalMode) {
			why = "it is a raw device in physical mode, which snapshots leave out"
		}
	default:
		why = fmt.Sprintf("its kind (%T) is not known to this driver", d.Backing)
	}
	switch types.VirtualDiskMode(mode) {
	case types.VirtualDiskModeIndependent_persistent, types.VirtualDiskModeIndependent_nonpersistent:
		why = "it is in the mode " + mode + ", which snapshots leave out"
	}
	return strings.ToLower(strings.ReplaceAll(id, "-", "")), why
}
