package libvirt

import (
	"context"
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/digitalocean/go-libvirt"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// domain is a virtual machine on its hypervisor.
type domain struct {
	on  *hypervisor
	ref libvirt.Domain
}

func (d domain) id() string {
	u := d.ref.UUID
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// description is what the driver reads of a domain's XML.
type description struct {
	Type string `xml:"type,attr"`
	OS   struct {
		Firmware string `xml:"firmware,attr"`
		Loader   struct {
			Type string `xml:"type,attr"`
		} `xml:"loader"`
		NVRAM struct {
			Format string `xml:"format,attr"`
		} `xml:"nvram"`
	} `xml:"os"`
	Disks       []diskXML  `xml:"devices>disk"`
	HostDevices []struct{} `xml:"devices>hostdev"`
	Filesystems []struct {
		Driver struct {
			Type string `xml:"type,attr"`
		} `xml:"driver"`
	} `xml:"devices>filesystem"`
}

type diskXML struct {
	Type   string `xml:"type,attr"`
	Device string `xml:"device,attr"`
	Driver struct {
		Type string `xml:"type,attr"`
	} `xml:"driver"`
	Source struct {
		File string `xml:"file,attr"`
		Dev  string `xml:"dev,attr"`
		Name string `xml:"name,attr"`
	} `xml:"source"`
	Target struct {
		Dev string `xml:"dev,attr"`
	} `xml:"target"`
	ReadOnly  *struct{} `xml:"readonly"`
	Shareable *struct{} `xml:"shareable"`
	Transient *struct{} `xml:"transient"`
}

// find returns the one domain of that name or UUID on all hypervisors.
func (p *provider) find(ctx context.Context, ref string) (domain, error) {
	var found []domain
	var unreachable error
	for _, h := range p.hypervisors {
		all, err := call(ctx, h, func(c *libvirt.Libvirt) ([]libvirt.Domain, error) {
			all, _, err := c.ConnectListAllDomains(1, 0)
			return all, err
		}, "list the domains of %s", h)
		if err != nil {
			unreachable = err
			continue
		}
		for _, r := range all {
			if d := (domain{h, r}); r.Name == ref || d.id() == strings.ToLower(ref) {
				found = append(found, d)
			}
		}
	}
	switch {
	case len(found) > 1:
		var names []string
		for _, d := range found {
			names = append(names, d.id()+" on "+d.on.String())
		}
		return domain{}, driver.Errorf(driver.Permanent, "%d domains are called %q: write the UUID, or take a hypervisor out of uris: %s", len(found), ref, strings.Join(names, ", "))
	case unreachable != nil:
		// It may be there, too: a domain that moved is defined in two places.
		return domain{}, unreachable
	case len(found) == 0:
		return domain{}, driver.Errorf(driver.NotFound, "there is no domain %q on %s", ref, p.names())
	}
	return found[0], nil
}

// Machine finds a domain by its name or its UUID.
func (p *provider) Machine(ctx context.Context, ref string) (cloud.Machine, error) {
	d, err := p.find(ctx, ref)
	if err != nil {
		return cloud.Machine{}, err
	}
	text, err := call(ctx, d.on, func(c *libvirt.Libvirt) (string, error) { return c.DomainGetXMLDesc(d.ref, 0) }, "read the domain %s", d.ref.Name)
	if err != nil {
		return cloud.Machine{}, err
	}
	var x description
	if err := xml.Unmarshal([]byte(text), &x); err != nil {
		return cloud.Machine{}, driver.Errorf(driver.Permanent, "cannot read the description of the domain %s: %v", d.ref.Name, err)
	}
	persistent, err := call(ctx, d.on, func(c *libvirt.Libvirt) (int32, error) { return c.DomainIsPersistent(d.ref) }, "read the domain %s", d.ref.Name)
	if err != nil {
		return cloud.Machine{}, err
	}
	m := cloud.Machine{ID: d.id(), Name: d.ref.Name, Units: []cloud.Unit{{
		ID: wholeUnit, Whole: true, Boot: true, Left: refusal(x), GiB: d.gib(ctx, x.Disks)}}}
	if persistent == 0 {
		m.Units[0].Left = "the domain is transient: powering it off for a restore would delete it"
	}
	m.State, err = d.state(ctx)
	return m, err
}

// refusal is why libvirt makes no internal snapshot of such a domain, "" when
// it does. It makes one of all writable disks or of none; what is on a read-only
// disk does not change.
func refusal(x description) string {
	switch x.Type {
	case "kvm", "qemu", "test":
	default:
		return "internal snapshots need KVM or QEMU, and this is a domain of " + x.Type
	}
	if (x.OS.Firmware == "efi" || x.OS.Loader.Type == "pflash") && x.OS.NVRAM.Format != "qcow2" {
		return "it boots by UEFI with its variables in a raw file, of which libvirt makes no internal snapshot: keep them in qcow2 (libvirt 10.10 and later)"
	}
	if len(x.HostDevices) > 0 {
		return "a device of the hypervisor is passed through to it, and its state cannot be saved"
	}
	for _, f := range x.Filesystems {
		if f.Driver.Type == "virtiofs" {
			return "it mounts a directory of the hypervisor by virtiofs, and its state cannot be saved"
		}
	}
	for _, d := range x.Disks {
		if d.Device == "cdrom" || d.Device == "floppy" || d.ReadOnly != nil || d.Source == (diskXML{}).Source {
			continue
		}
		name := "its disk " + d.Target.Dev
		switch {
		case d.Driver.Type != "qcow2":
			return name + " is of the format " + orRaw(d.Driver.Type) + ", not qcow2: convert it, or use the storage's own snapshots"
		case d.Type != "file" && d.Type != "block" && d.Type != "volume":
			return name + " is of the kind " + d.Type + ", of which no internal snapshot was proven to work"
		case d.Transient != nil:
			return name + " is transient"
		case d.Shareable != nil:
			return name + " is shared with other domains"
		}
	}
	return ""
}

func orRaw(format string) string {
	if format == "" {
		return "raw"
	}
	return format
}

var states = map[libvirt.DomainState]string{
	libvirt.DomainRunning: cloud.Running, libvirt.DomainBlocked: cloud.Running, libvirt.DomainPaused: "paused", libvirt.DomainShutdown: "shutting down",
	libvirt.DomainShutoff: "shut off", libvirt.DomainCrashed: "crashed", libvirt.DomainPmsuspended: "suspended",
}

func (d domain) state(ctx context.Context) (string, error) {
	n, err := call(ctx, d.on, func(c *libvirt.Libvirt) (int32, error) {
		n, _, err := c.DomainGetState(d.ref, 0)
		return n, err
	}, "read the state of the domain %s", d.ref.Name)
	if err != nil {
		return "", err
	}
	if s, ok := states[libvirt.DomainState(n)]; ok {
		return s, nil
	}
	return fmt.Sprintf("state %d", n), nil
}

// gib adds up the sizes of the disks that a snapshot holds. A hypervisor that
// does not tell them is borne: they are for people.
func (d domain) gib(ctx context.Context, disks []diskXML) int64 {
	var bytes uint64
	for _, disk := range disks {
		if disk.Driver.Type != "qcow2" {
			continue
		}
		size, err := call(ctx, d.on, func(c *libvirt.Libvirt) (uint64, error) {
			_, size, _, err := c.DomainGetBlockInfo(d.ref, disk.Target.Dev, 0)
			return size, err
		}, "read the size of disk %s of the domain %s", disk.Target.Dev, d.ref.Name)
		if err == nil {
			bytes += size
		}
	}
	return int64(bytes >> 30)
}
