package proxmox

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// wholeUnit is the unit that stands for the guest with all its disks.
const wholeUnit = "machine"

// guest is a virtual machine or a container as the cluster lists it.
type guest struct {
	VMID     number `json:"vmid"`
	Name     string `json:"name"`
	Node     string `json:"node"`
	Type     string `json:"type"` // "qemu" or "lxc"
	Template number `json:"template"`
}

func (g guest) id() string { return strconv.FormatInt(int64(g.VMID), 10) }

func (g guest) String() string { return fmt.Sprintf("guest %d (%s)", g.VMID, g.Name) }

// path is that of a call about the guest.
func (g guest) path(rest string) string {
	return fmt.Sprintf("/nodes/%s/%s/%d%s", url.PathEscape(g.Node), g.Type, g.VMID, rest)
}

func (p *provider) guests(ctx context.Context) (all []guest, err error) {
	err = p.api.get(ctx, "list the guests of the cluster", "/cluster/resources", url.Values{"type": {"vm"}}, &all)
	return slices.DeleteFunc(all, func(g guest) bool { return g.Type != "qemu" && g.Type != "lxc" }), err
}

// find returns the one guest of that number or name.
func (p *provider) find(ctx context.Context, ref string) (guest, error) {
	all, err := p.guests(ctx)
	if err != nil {
		return guest{}, err
	}
	var found []guest
	for _, g := range all {
		if g.id() == ref {
			return g, nil
		}
		if g.Name == ref {
			found = append(found, g)
		}
	}
	switch len(found) {
	case 0:
		return guest{}, driver.Errorf(driver.NotFound, "the token sees no guest %q: write its name or its VMID, and let the token see it", ref)
	case 1:
		return found[0], nil
	}
	var each []string
	for _, g := range found {
		each = append(each, fmt.Sprintf("%d on %s", g.VMID, g.Node))
	}
	return guest{}, driver.Errorf(driver.Permanent, "%d guests are called %q: write the VMID, one of %s", len(found), ref, strings.Join(each, ", "))
}

// Machine finds a guest by its VMID or its name.
func (p *provider) Machine(ctx context.Context, ref string) (cloud.Machine, error) {
	g, err := p.find(ctx, ref)
	if err != nil {
		return cloud.Machine{}, err
	}
	m := cloud.Machine{ID: g.id(), Name: g.Name}
	if m.State, err = p.state(ctx, g); err != nil {
		return m, err
	}
	whole := cloud.Unit{ID: wholeUnit, Whole: true, Boot: true}
	var config map[string]any
	if err := p.api.get(ctx, "read the configuration of "+g.String(), g.path("/config"), nil, &config); err != nil {
		return m, err
	}
	var disks []string
	whole.GiB, disks = volumes(config)
	switch bind := bound(config); {
	case g.Template != 0:
		whole.Left = "it is a template"
	case bind != "":
		whole.Left = fmt.Sprintf("its mount point %s is a directory or a device of the node, and Proxmox VE takes no snapshot of such a container", bind)
	default:
		var f struct {
			Has number `json:"hasFeature"`
		}
		err = p.api.get(ctx, "ask whether "+g.String()+" can have snapshots", g.path("/feature"), url.Values{"feature": {"snapshot"}}, &f)
		if f.Has == 0 {
			whole.Left = "one of its disks (" + strings.Join(disks, ", ") + ") lies on a storage without snapshots, and Proxmox VE takes one of all disks or of none"
		}
	}
	m.Units = []cloud.Unit{whole}
	return m, err
}

// state is cloud.Running or Proxmox VE's own word.
func (p *provider) state(ctx context.Context, g guest) (string, error) {
	var s struct {
		Status string `json:"status"`
		QMP    string `json:"qmpstatus"`
	}
	err := p.api.get(ctx, "read the state of "+g.String(), g.path("/status/current"), nil, &s)
	if s.Status == "running" && s.QMP != "" && s.QMP != "running" {
		return s.QMP, err // "paused", "prelaunch"
	}
	if s.Status == "running" {
		return cloud.Running, err
	}
	return s.Status, err
}

var (
	diskKey = regexp.MustCompile(`^(scsi|virtio|ide|sata|efidisk|tpmstate|rootfs|mp)[0-9]*$`)
	sizeOf  = regexp.MustCompile(`(?:^|,)size=([0-9]+)([KMGT]?)`)
)

// volumes returns the size and the names of the guest's disks, for people.
func volumes(config map[string]any) (gib int64, disks []string) {
	var bytes int64
	for key, v := range config {
		text, ok := v.(string)
		if !ok || !diskKey.MatchString(key) || strings.Contains(text, "media=cdrom") || strings.HasPrefix(text, "none") {
			continue
		}
		volume, _, _ := strings.Cut(text, ",")
		disks = append(disks, key+" "+volume)
		if m := sizeOf.FindStringSubmatch(text); m != nil {
			n, _ := strconv.ParseInt(m[1], 10, 40)
			bytes += n << map[string]int{"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[m[2]]
		}
	}
	slices.Sort(disks)
	return bytes >> 30, disks
}

// bound names a mount point of a container that is no volume of a storage.
func bound(config map[string]any) string {
	var found []string
	for key, v := range config {
		if text, ok := v.(string); ok && strings.HasPrefix(key, "mp") && diskKey.MatchString(key) && strings.HasPrefix(text, "/") {
			found = append(found, key)
		}
	}
	slices.Sort(found)
	return strings.Join(found, ", ")
}
