package openstack

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/snapshots"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/volumeattach"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Metadata of a volume that a restore made. From the server's start on the
// volume is in use and bears tagRestored alone, so that no later restore takes
// it for a fresh one and no deletion for a leftover.
const (
	tagFrom     = "ncfleet-from"     // the snapshot
	tagReplaces = "ncfleet-replaces" // the volume that was at its device
	tagRestored = "ncfleet-restored" // the snapshot, for people
)

const none = "none"

// restore is one call of Restore.
type restore struct {
	*provider
	stages cloud.Stages
	id     string
	image  string // of the server's own disk, "" if that was not captured
	swaps  []*swap
}

// swap puts a volume made from a snapshot in the place of another.
type swap struct {
	snap   snapshots.Snapshot
	unit   string
	device string
	old    volumes.Volume // zero when nothing is at the device
	oldID  string
	fresh  string
}

// Restore implements cloud.Provider. New volumes are made while the server
// still runs; then it is stopped, rebuilt from its image and given the new
// volumes, and started.
func (p *provider) Restore(ctx context.Context, m cloud.Machine, snaps []cloud.Snap, stages cloud.Stages) error {
	r := &restore{provider: p, stages: stages, id: m.ID}
	if err := r.look(ctx, snaps); err != nil {
		return err
	}
	for _, s := range r.swaps {
		if err := stages.Call(ctx, func(ctx context.Context) error { return r.create(ctx, s) }); err != nil {
			return err
		}
	}
	for _, s := range r.swaps {
		if err := r.created(ctx, s); err != nil {
			return err
		}
	}
	if err := r.stop(ctx); err != nil {
		return err
	}
	for _, s := range r.swaps {
		if err := r.exchange(ctx, s); err != nil {
			return err
		}
	}
	if err := r.rebuild(ctx); err != nil {
		return err
	}
	for _, s := range r.swaps {
		if err := stages.Call(ctx, func(ctx context.Context) error { return r.mark(ctx, s) }); err != nil {
			return err
		}
	}
	return r.start(ctx)
}

// look finds out what each snapshot replaces, and what an earlier call of this
// restore has done.
func (r *restore) look(ctx context.Context, snaps []cloud.Snap) error {
	attached, err := r.attached(ctx, r.id)
	if err != nil {
		return err
	}
	details, err := r.provider.snapshots(ctx)
	if err != nil {
		return err
	}
	all, err := r.listVolumes(ctx)
	if err != nil {
		return err
	}
	for _, n := range snaps {
		if n.Unit == r.id {
			r.image = n.ID
			continue
		}
		i := slices.IndexFunc(details, func(d snapshots.Snapshot) bool { return d.ID == n.ID })
		if i < 0 {
			return driver.Errorf(driver.NotFound, "snapshot %s of volume %s is gone", n.ID, n.Unit)
		}
		s := &swap{snap: details[i], unit: n.Unit, device: details[i].Metadata[tagDevice]}
		if s.device == "" {
			return driver.Errorf(driver.Permanent, "snapshot %s has lost its metadata %s: set it to the device of volume %s on the server (\"/dev/vdb\")", n.ID, tagDevice, n.Unit)
		}
		s.settle(attached, all)
		r.swaps = append(r.swaps, s)
	}
	slices.SortFunc(r.swaps, func(a, b *swap) int { return strings.Compare(a.device, b.device) })
	return nil
}

// settle matches one swap with what there is: a volume that bears tagFrom has
// not been in a server that ran.
func (s *swap) settle(attached []volumeattach.VolumeAttachment, all []volumes.Volume) {
	at := ""
	for _, a := range attached {
		if a.Device == s.device {
			at = a.VolumeID
		}
	}
	for _, v := range all {
		fresh := v.Metadata[tagFrom] == s.snap.ID
		switch {
		case v.ID == at && fresh:
			s.fresh, s.oldID = v.ID, v.Metadata[tagReplaces]
			return
		case v.ID == at:
			s.old, s.oldID = v, v.ID
		}
	}
	for _, v := range all {
		if v.Metadata[tagFrom] == s.snap.ID && len(v.Attachments) == 0 && usable(v) && (at == "" || v.Metadata[tagReplaces] == at) {
			s.fresh, s.oldID = v.ID, v.Metadata[tagReplaces]
			return
		}
	}
}

func usable(v volumes.Volume) bool { return v.Status == "available" || v.Status == "creating" }

// create makes the volume unless it is there.
func (r *restore) create(ctx context.Context, s *swap) error {
	if s.fresh != "" {
		return nil
	}
	all, err := r.listVolumes(ctx)
	if err != nil {
		return err
	}
	replaces := s.oldID
	if replaces == "" {
		replaces = none
	}
	for _, v := range all {
		if v.Metadata[tagFrom] == s.snap.ID && v.Metadata[tagReplaces] == replaces && usable(v) {
			s.fresh = v.ID
			return nil
		}
	}
	metadata := map[string]string{}
	for k, v := range s.old.Metadata {
		if !strings.HasPrefix(k, "ncfleet-") {
			metadata[k] = v
		}
	}
	maps.Copy(metadata, r.tags(s))
	metadata[tagFrom], metadata[tagReplaces] = s.snap.ID, replaces
	return do(ctx, "make a volume of snapshot "+s.snap.ID, func(ctx context.Context) error {
		v, err := volumes.Create(ctx, r.volume, volumes.CreateOpts{SnapshotID: s.snap.ID, Size: max(s.snap.Size, s.old.Size), Name: s.old.Name, Description: s.old.Description,
			VolumeType: s.old.VolumeType, AvailabilityZone: s.old.AvailabilityZone, Metadata: metadata}, nil).Extract()
		if err == nil {
			s.fresh = v.ID
		}
		return err
	})
}

func (r *restore) tags(s *swap) map[string]string {
	t := r.stages.Tags
	t.Unit = s.unit
	return t.Map()
}

func (r *restore) created(ctx context.Context, s *swap) error {
	return r.stages.Wait(ctx, "volume "+s.fresh+" to be made", func(ctx context.Context) (bool, error) {
		v, err := r.readVolume(ctx, s.fresh)
		if err == nil && strings.HasPrefix(v.Status, "error") {
			err = driver.Errorf(driver.Permanent, "volume %s, made of snapshot %s, is in state %s: delete it and try again", v.ID, s.snap.ID, v.Status)
		}
		return v.Status == "available" || v.Status == "in-use", err
	})
}

// reach looks at the server, pushes it when it is at rest in another state, and
// waits until it is at rest in the wanted one.
func (r *restore) reach(ctx context.Context, what, want string, push func(context.Context, servers.Server) error) error {
	return r.stages.Wait(ctx, "server "+r.id+" "+what, func(ctx context.Context) (bool, error) {
		s, err := r.server(ctx, r.id)
		switch {
		case err != nil:
			return false, err
		case s.TaskState != "":
			return false, nil // something is on its way
		case s.Status == "ERROR":
			return false, driver.Errorf(driver.Permanent, "server %s is in state ERROR: %s; see it in the cloud's console", s.Name, s.Fault.Message)
		case s.Status == want:
			return true, nil
		}
		return false, push(ctx, s)
	})
}

func (r *restore) stop(ctx context.Context) error {
	return r.reach(ctx, "to stop", off, func(ctx context.Context, s servers.Server) error {
		if s.Status != active {
			return driver.Errorf(driver.Retryable, "server %s is %s, and is stopped when it is %s", s.Name, s.Status, active)
		}
		return serverCall(ctx, "stop server "+s.Name, func(ctx context.Context) gophercloud.ErrResult { return servers.Stop(ctx, r.compute, r.id).ErrResult })
	})
}

// startTries bounds the starts of a server that stops again by itself.
const startTries = 3

func (r *restore) start(ctx context.Context) error {
	tries := 0
	return r.reach(ctx, "to run", active, func(ctx context.Context, s servers.Server) error {
		if s.Status != off {
			return nil
		}
		if tries++; tries > startTries {
			return driver.Errorf(driver.Permanent, "server %s stops again as soon as it is started: %s", s.Name, s.Fault.Message)
		}
		return serverCall(ctx, "start server "+s.Name, func(ctx context.Context) gophercloud.ErrResult { return servers.Start(ctx, r.compute, r.id).ErrResult })
	})
}

// exchange takes the old volume off the stopped server and attaches the new one
// at the same device.
func (r *restore) exchange(ctx context.Context, s *swap) error {
	return r.stages.Wait(ctx, "volume "+s.fresh+" to be attached to server "+r.id, func(ctx context.Context) (bool, error) {
		attached, err := r.attached(ctx, r.id)
		if err != nil {
			return false, err
		}
		for _, a := range attached {
			switch {
			case a.VolumeID == s.fresh:
				v, err := r.readVolume(ctx, s.fresh)
				return v.Status == "in-use", err
			case a.Device == s.device:
				v, err := r.readVolume(ctx, a.VolumeID)
				if err != nil || v.Status == "detaching" {
					return false, err
				}
				s.oldID = a.VolumeID
				err = do(ctx, "detach volume "+a.VolumeID, func(ctx context.Context) error {
					return volumeattach.Delete(ctx, r.compute, r.id, a.VolumeID).ExtractErr()
				})
				if driver.ClassOf(err) == driver.NotFound { // it came off since the look
					err = nil
				}
				return false, err
			}
		}
		return false, r.attach(ctx, s)
	})
}

// attach hands the core's tags to the old volume, now that it is free, and
// attaches the new one. The server is down: only failures that pass may hold up
// its way back.
func (r *restore) attach(ctx context.Context, s *swap) error {
	if s.oldID != "" && s.oldID != none {
		old, err := r.readVolume(ctx, s.oldID)
		if err == nil {
			metadata := withoutOurs(old.Metadata)
			maps.Copy(metadata, r.tags(s))
			err = r.describe(ctx, s.oldID, metadata)
		}
		if driver.ClassOf(err) == driver.Retryable {
			return err
		}
	}
	return do(ctx, "attach volume "+s.fresh, func(ctx context.Context) error {
		_, err := volumeattach.Create(ctx, r.compute, r.id, volumeattach.CreateOpts{VolumeID: s.fresh, Device: s.device}).Extract()
		return err
	})
}

// mark takes the tags off a volume that is about to be used.
func (r *restore) mark(ctx context.Context, s *swap) error {
	v, err := r.readVolume(ctx, s.fresh)
	if err != nil {
		return err
	}
	metadata := withoutOurs(v.Metadata)
	metadata[tagRestored] = s.snap.ID
	return r.describe(ctx, s.fresh, metadata)
}

func withoutOurs(metadata map[string]string) map[string]string {
	rest := map[string]string{}
	for k, v := range metadata {
		if !strings.HasPrefix(k, "ncfleet-") {
			rest[k] = v
		}
	}
	return rest
}

// rebuild gives the stopped server its own disk back. Nova cannot tell for
// which restore a server was rebuilt, so each call rebuilds once; doing it
// again brings the same contents.
func (r *restore) rebuild(ctx context.Context) error {
	if r.image == "" {
		return nil
	}
	asked := false
	return r.stages.Wait(ctx, "server "+r.id+" to be rebuilt", func(ctx context.Context) (bool, error) {
		s, err := r.server(ctx, r.id)
		switch {
		case err != nil:
			return false, err
		case s.Status == "ERROR":
			return false, driver.Errorf(driver.Permanent, "server %s is in state ERROR after its rebuild from image %s: %s", s.Name, r.image, s.Fault.Message)
		case s.TaskState != "" || s.Status == "REBUILD":
			return false, nil
		case asked && fmt.Sprint(s.Image["id"]) == r.image:
			return s.Status == off, nil
		}
		err = do(ctx, "rebuild server "+s.Name, func(ctx context.Context) error {
			_, err := servers.Rebuild(ctx, r.compute, r.id, servers.RebuildOpts{ImageRef: r.image}).Extract()
			return err
		})
		asked = asked || err == nil
		return false, err
	})
}
