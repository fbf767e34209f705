package openstack

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/snapshots"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/volumeattach"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/pagination"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// The states of a server that matter here; others are on the way or broken.
const (
	active = "ACTIVE"
	off    = "SHUTOFF"
)

// serialLength is how much of a volume's id fits into a virtio disk's serial
// number.
const serialLength = 20

// Check implements cloud.Provider.
func (p *provider) Check(ctx context.Context) error {
	return do(ctx, "list servers", func(ctx context.Context) error {
		return servers.List(p.compute, servers.ListOpts{Limit: 1}).EachPage(ctx, func(context.Context, pagination.Page) (bool, error) { return false, nil })
	})
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`)

// Machine implements cloud.Provider: ref is a server's id or its whole name.
func (p *provider) Machine(ctx context.Context, ref string) (cloud.Machine, error) {
	s, err := p.find(ctx, ref)
	if err != nil {
		return cloud.Machine{}, err
	}
	m := cloud.Machine{ID: s.ID, Name: s.Name, State: s.Status, Addresses: addresses(s)}
	if s.Status == active {
		m.State = cloud.Running
	}
	attached, err := p.attached(ctx, s.ID)
	if err != nil {
		return m, err
	}
	if !bootsFromVolume(s) {
		m.Units = append(m.Units, cloud.Unit{ID: s.ID, Boot: true, Device: "/dev/vda"})
	}
	for i, a := range attached {
		v, err := p.readVolume(ctx, a.VolumeID)
		if err != nil {
			return m, err
		}
		u := cloud.Unit{ID: v.ID, Device: a.Device, Serial: v.ID[:min(serialLength, len(v.ID))], GiB: int64(v.Size), Replaced: true}
		switch {
		case bootsFromVolume(s) && i == 0:
			u.Boot = true
			u.Left = "server " + s.Name + " boots from this volume, and Nova exchanges no boot volume: keep the site on another volume, boot from an image, or use a snapshot driver on the host"
		case v.Multiattach && len(v.Attachments) > 1:
			u.Left = fmt.Sprintf("volume %s is attached to %d servers at once; a restore would pull it from under the others", v.ID, len(v.Attachments))
		}
		m.Units = append(m.Units, u)
	}
	return m, nil
}

// find returns the one server of that id or name.
func (p *provider) find(ctx context.Context, ref string) (servers.Server, error) {
	if uuid.MatchString(ref) {
		return p.server(ctx, ref)
	}
	var all []servers.Server
	err := do(ctx, "find server "+ref, func(ctx context.Context) error {
		pages, err := servers.List(p.compute, servers.ListOpts{Name: "^" + regexp.QuoteMeta(ref) + "$"}).AllPages(ctx)
		if err == nil {
			all, err = servers.ExtractServers(pages)
		}
		return err
	})
	if err != nil {
		return servers.Server{}, err
	}
	all = slices.DeleteFunc(all, func(s servers.Server) bool { return s.Name != ref })
	switch len(all) {
	case 0:
		return servers.Server{}, driver.Errorf(driver.NotFound, "no server of the project is named %q", ref)
	case 1:
		return all[0], nil
	}
	ids := make([]string, len(all))
	for i := range all {
		ids[i] = all[i].ID
	}
	slices.Sort(ids)
	return servers.Server{}, driver.Errorf(driver.Permanent, "%d servers are named %q: %s; name the one that is meant by its id", len(all), ref, strings.Join(ids, ", "))
}

func (p *provider) server(ctx context.Context, id string) (servers.Server, error) {
	var s *servers.Server
	err := do(ctx, "read server "+id, func(ctx context.Context) (err error) {
		s, err = servers.Get(ctx, p.compute, id).Extract()
		return err
	})
	if err != nil {
		return servers.Server{}, err
	}
	return *s, nil
}

// bootsFromVolume is so when no image is left of the server's root disk.
func bootsFromVolume(s servers.Server) bool { return len(s.Image) == 0 }

func addresses(s servers.Server) []string {
	var all []string
	for _, network := range s.Addresses {
		list, _ := network.([]any)
		for _, entry := range list {
			if a, ok := entry.(map[string]any); ok {
				if text, ok := a["addr"].(string); ok {
					all = append(all, text)
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

// attached returns the attachments of a server, sorted by device.
func (p *provider) attached(ctx context.Context, server string) ([]volumeattach.VolumeAttachment, error) {
	var all []volumeattach.VolumeAttachment
	err := do(ctx, "read the volumes of server "+server, func(ctx context.Context) error {
		pages, err := volumeattach.List(p.compute, server).AllPages(ctx)
		if err == nil {
			all, err = volumeattach.ExtractVolumeAttachments(pages)
		}
		return err
	})
	slices.SortFunc(all, func(a, b volumeattach.VolumeAttachment) int { return strings.Compare(a.Device, b.Device) })
	return all, err
}

func (p *provider) readVolume(ctx context.Context, id string) (volumes.Volume, error) {
	var v *volumes.Volume
	err := do(ctx, "read volume "+id, func(ctx context.Context) (err error) {
		v, err = volumes.Get(ctx, p.volume, id).Extract()
		return err
	})
	if err != nil {
		return volumes.Volume{}, err
	}
	return *v, nil
}

func (p *provider) listVolumes(ctx context.Context) ([]volumes.Volume, error) {
	var all []volumes.Volume
	err := do(ctx, "list volumes", func(ctx context.Context) error {
		pages, err := volumes.List(p.volume, volumes.ListOpts{}).AllPages(ctx)
		if err == nil {
			all, err = volumes.ExtractVolumes(pages)
		}
		return err
	})
	return all, err
}

// tagDevice says on a volume's snapshot where the volume was attached.
const tagDevice = "ncfleet-device"

// Begin implements cloud.Provider: an image of the server's own disk, or a
// snapshot of a volume.
func (p *provider) Begin(ctx context.Context, m cloud.Machine, u cloud.Unit, t cloud.Tags) (cloud.Snap, error) {
	made := cloud.Snap{Unit: u.ID, Key: t.Key, Machine: t.Machine, Host: t.Host, State: cloud.Pending, Created: t.Created}
	if u.ID == m.ID {
		return made, do(ctx, "begin an image of server "+m.Name, func(ctx context.Context) (err error) {
			made.ID, err = servers.CreateImage(ctx, p.compute, m.ID, servers.CreateImageOpts{Name: t.Name(), Metadata: t.Map()}).ExtractImageID()
			return err
		})
	}
	metadata := t.Map()
	metadata[tagDevice] = u.Device
	return made, do(ctx, "begin a snapshot of volume "+u.ID, func(ctx context.Context) error {
		s, err := snapshots.Create(ctx, p.volume, snapshots.CreateOpts{VolumeID: u.ID, Force: true, Name: t.Name(),
			Description: "ncfleet: " + t.Host + " before an update", Metadata: metadata}).Extract()
		if err == nil {
			made.ID = s.ID
		}
		return err
	})
}

// Snaps implements cloud.Provider.
func (p *provider) Snaps(ctx context.Context, f cloud.Filter) ([]cloud.Snap, error) {
	all, err := p.images(ctx)
	if err != nil {
		return nil, err
	}
	list, err := p.snapshots(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		n := cloud.Snap{ID: s.ID, State: cloud.Pending, Created: s.CreatedAt, Bytes: int64(s.Size) << 30}
		switch s.Status {
		case "available":
			n.State = cloud.Ready
		case "error", "error_deleting":
			n.State = cloud.Failed
		}
		all = add(all, n, s.Metadata)
	}
	left, err := p.listVolumes(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range left {
		if v.Status == "available" || v.Status == "error" || v.Status == "error_deleting" {
			all = add(all, cloud.Snap{ID: v.ID, State: cloud.Retained, Created: v.CreatedAt, Bytes: int64(v.Size) << 30}, v.Metadata)
		}
	}
	return slices.DeleteFunc(all, func(n cloud.Snap) bool { return !f.Matches(n) }), nil
}

// add appends what bears the core's tags.
func add(all []cloud.Snap, n cloud.Snap, metadata map[string]string) []cloud.Snap {
	t, ok := cloud.ReadTags(metadata)
	if !ok {
		return all
	}
	n.Key, n.Unit, n.Machine, n.Host = t.Key, t.Unit, t.Machine, t.Host
	return append(all, n)
}

func (p *provider) snapshots(ctx context.Context) ([]snapshots.Snapshot, error) {
	var all []snapshots.Snapshot
	err := do(ctx, "list snapshots", func(ctx context.Context) error {
		pages, err := snapshots.ListDetail(p.volume, snapshots.ListOpts{}).AllPages(ctx)
		if err == nil {
			all, err = snapshots.ExtractSnapshots(pages)
		}
		return err
	})
	return all, err
}

// images returns the images that the driver made. Nova passes the properties
// of the image that a server runs on to every later image of it, so one that a
// person makes of a restored server bears the tags too; its name tells it
// apart.
func (p *provider) images(ctx context.Context) ([]cloud.Snap, error) {
	var list []images.Image
	err := do(ctx, "list images", func(ctx context.Context) error {
		pages, err := images.List(p.image, images.ListOpts{Visibility: images.ImageVisibilityPrivate}).AllPages(ctx)
		if err == nil {
			list, err = images.ExtractImages(pages)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var all []cloud.Snap
	for _, i := range list {
		metadata := map[string]string{}
		for k, v := range i.Properties {
			if text, ok := v.(string); ok {
				metadata[k] = text
			}
		}
		if t, ok := cloud.ReadTags(metadata); !ok || t.Name() != i.Name {
			continue
		}
		n := cloud.Snap{ID: i.ID, State: cloud.Pending, Created: i.CreatedAt, Bytes: i.SizeBytes}
		switch i.Status {
		case images.ImageStatusActive:
			n.State = cloud.Ready
		case images.ImageStatusKilled:
			n.State = cloud.Failed
		case images.ImageStatusDeleted, images.ImageStatusPendingDelete:
			continue
		}
		all = add(all, n, metadata)
	}
	return all, nil
}

// Delete implements cloud.Provider.
func (p *provider) Delete(ctx context.Context, n cloud.Snap) error {
	if n.State == cloud.Retained {
		if free, err := p.freeOfSnapshots(ctx, n); err != nil || !free {
			return err
		}
	}
	err := do(ctx, "delete "+n.ID+" of "+n.Unit, func(ctx context.Context) error {
		switch {
		case n.State == cloud.Retained:
			return volumes.Delete(ctx, p.volume, n.ID, volumes.DeleteOpts{}).ExtractErr()
		case n.Unit == n.Machine:
			return images.Delete(ctx, p.image, n.ID).ExtractErr()
		}
		return snapshots.Delete(ctx, p.volume, n.ID).ExtractErr()
	})
	if driver.ClassOf(err) == driver.NotFound {
		return nil
	}
	return err
}

// freeOfSnapshots makes way for the deletion of a volume, as Cinder deletes none
// that has snapshots: those of the same key go first. With one of another key
// the volume changes to that key, and is deleted with it; with one that is a
// person's it loses its tags, and is the person's too.
func (p *provider) freeOfSnapshots(ctx context.Context, n cloud.Snap) (bool, error) {
	list, err := p.snapshots(ctx)
	if err != nil {
		return false, err
	}
	list = slices.DeleteFunc(list, func(s snapshots.Snapshot) bool { return s.VolumeID != n.ID })
	if len(list) == 0 {
		return true, nil
	}
	for _, s := range list {
		if s.Metadata[cloud.TagKey] == n.Key {
			if err := p.Delete(ctx, cloud.Snap{ID: s.ID, Unit: n.ID}); err != nil && driver.ClassOf(err) != driver.Retryable {
				return false, err
			}
			return false, &driver.Error{Class: driver.Retryable, Message: fmt.Sprintf("volume %s waits for the deletion of its snapshot %s", n.ID, s.ID)}
		}
	}
	v, err := p.readVolume(ctx, n.ID)
	if err != nil {
		return false, err
	}
	metadata := withoutOurs(v.Metadata)
	metadata[tagRestored] = "replaced"
	if t, ours := cloud.ReadTags(list[0].Metadata); ours {
		t.Unit = n.ID
		maps.Copy(metadata, t.Map())
	}
	return false, p.describe(ctx, n.ID, metadata)
}

// describe sets the whole metadata of a volume.
func (p *provider) describe(ctx context.Context, volume string, metadata map[string]string) error {
	return do(ctx, "describe volume "+volume, func(ctx context.Context) error {
		_, err := volumes.Update(ctx, p.volume, volume, volumes.UpdateOpts{Metadata: metadata}).Extract()
		return err
	})
}

// serverCall does one action on a server.
func serverCall(ctx context.Context, what string, act func(context.Context) gophercloud.ErrResult) error {
	return do(ctx, what, func(ctx context.Context) error { return act(ctx).ExtractErr() })
}
