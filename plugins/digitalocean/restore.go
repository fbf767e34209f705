package digitalocean

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/digitalocean/godo"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// restore is one Restore of a droplet.
type restore struct {
	*provider
	cloud.Stages
	id   int
	name string
}

// Restore implements cloud.Provider. The disk comes last, as its restore starts
// the droplet: by then its volumes are in place. A volume that is made bears
// newTag until the droplet may run with it, so that a call that was cut short
// goes on with it, and one that comes later makes another.
func (p *provider) Restore(ctx context.Context, m cloud.Machine, snaps []cloud.Snap, s cloud.Stages) error {
	id, err := strconv.Atoi(m.ID)
	if err != nil {
		return driver.Errorf(driver.Permanent, "%q is no droplet id", m.ID)
	}
	r := &restore{provider: p, Stages: s, id: id, name: m.Name}
	at := slices.IndexFunc(snaps, func(n cloud.Snap) bool { return n.Unit == diskUnit })
	if at < 0 {
		return driver.Errorf(driver.Permanent, "the snapshot holds no disk of droplet %s", m.Name)
	}
	image, err := strconv.Atoi(snaps[at].ID)
	if err != nil {
		return driver.Errorf(driver.Permanent, "%q is no snapshot of a droplet", snaps[at].ID)
	}
	if err := r.stop(ctx); err != nil {
		return err
	}
	for _, n := range snaps {
		if n.Unit == diskUnit {
			continue
		}
		if err := r.swap(ctx, n); err != nil {
			return err
		}
	}
	if err := r.finish(ctx); err != nil {
		return err
	}
	err = r.act(ctx, "restore the disk of droplet "+m.Name, func(ctx context.Context) (*godo.Action, *godo.Response, error) {
		return p.api.DropletActions.Restore(ctx, id, image)
	})
	if err != nil {
		return err
	}
	return r.start(ctx)
}

// free waits for whatever the droplet is busy with.
func (r *restore) free(ctx context.Context) (*godo.Droplet, error) {
	var d *godo.Droplet
	err := r.Wait(ctx, "droplet "+r.name+" to be unlocked", func(ctx context.Context) (bool, error) {
		var err error
		d, err = r.droplet(ctx, r.id)
		return err == nil && !d.Locked, err
	})
	return d, err
}

// stop powers off: what the disk holds is given up anyway.
func (r *restore) stop(ctx context.Context) error {
	d, err := r.free(ctx)
	if err != nil || d.Status == "off" {
		return err
	}
	return r.act(ctx, "power off droplet "+r.name, func(ctx context.Context) (*godo.Action, *godo.Response, error) {
		return r.api.DropletActions.PowerOff(ctx, r.id)
	})
}

func (r *restore) start(ctx context.Context) error {
	d, err := r.free(ctx)
	if err != nil {
		return err
	}
	if d.Status == "off" {
		err := r.act(ctx, "power on droplet "+r.name, func(ctx context.Context) (*godo.Action, *godo.Response, error) {
			return r.api.DropletActions.PowerOn(ctx, r.id)
		})
		if err != nil {
			return err
		}
	}
	return r.Wait(ctx, "droplet "+r.name+" to run", func(ctx context.Context) (bool, error) {
		d, err := r.droplet(ctx, r.id)
		return err == nil && d.Status == "active", err
	})
}

// act starts an action and waits for its end. What was refused is asked for
// again; where the answer was lost, the caller begins anew.
func (r *restore) act(ctx context.Context, what string, begin func(context.Context) (*godo.Action, *godo.Response, error)) error {
	var begun, a *godo.Action
	var lost error
	err := r.Call(ctx, func(ctx context.Context) error {
		err := do(ctx, what, func(ctx context.Context) (err error) {
			begun, _, err = begin(ctx)
			return err
		})
		if cloud.Unsure(err) {
			lost, err = err, nil
		}
		return err
	})
	if err != nil || lost != nil {
		return errors.Join(err, lost)
	}
	if begun == nil {
		return cloud.Refusal(what, 0, 0, errors.New("the answer names no action"))
	}
	err = r.Wait(ctx, "the end of the action to "+what, func(ctx context.Context) (bool, error) {
		err := do(ctx, "look at the action to "+what, func(ctx context.Context) (err error) {
			a, _, err = r.api.Actions.Get(ctx, begun.ID)
			return err
		})
		return err == nil && a.Status != godo.ActionInProgress, err
	})
	if err == nil && a.Status != godo.ActionCompleted {
		err = cloud.Refusal(what, http.StatusConflict, 0, fmt.Errorf("the provider's action %d ended as %q", a.ID, a.Status))
	}
	return err
}

// swap puts a volume made from the snapshot in the place of the one that is
// attached as that unit.
func (r *restore) swap(ctx context.Context, n cloud.Snap) error {
	tags := r.Tags
	tags.Unit = n.Unit
	mark, err := markOf(tags)
	if err != nil {
		return err
	}
	fresh, err := r.fresh(ctx, n, mark)
	if err != nil {
		return err
	}
	d, err := r.droplet(ctx, r.id)
	if err != nil {
		return err
	}
	for _, id := range d.VolumeIDs {
		v, err := r.volume(ctx, id)
		if err != nil {
			return err
		}
		if id == fresh.ID || unitOf(*v) != n.Unit {
			continue
		}
		if err := r.setApart(ctx, v, mark); err != nil {
			return err
		}
	}
	if slices.Contains(d.VolumeIDs, fresh.ID) {
		return nil
	}
	return r.act(ctx, "attach volume "+fresh.ID+" to droplet "+r.name, func(ctx context.Context) (*godo.Action, *godo.Response, error) {
		return r.api.StorageActions.Attach(ctx, fresh.ID, r.id)
	})
}

// setApart marks the replaced volume, so that it is found again, and detaches
// it.
func (r *restore) setApart(ctx context.Context, v *godo.Volume, mark string) error {
	if !slices.Contains(v.Tags, mark) {
		err := do(ctx, "make the tag "+mark, func(ctx context.Context) error {
			_, _, err := r.api.Tags.Create(ctx, &godo.TagCreateRequest{Name: mark})
			return err
		})
		if err != nil && driver.ClassOf(err) != driver.Permanent { // it may be there
			return err
		}
		err = do(ctx, "tag volume "+v.ID, func(ctx context.Context) error {
			_, err := r.api.Tags.TagResources(ctx, mark, &godo.TagResourcesRequest{Resources: []godo.Resource{{ID: v.ID, Type: godo.VolumeResourceType}}})
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := r.used(ctx, v); err != nil {
		return err
	}
	return r.act(ctx, "detach volume "+v.ID, func(ctx context.Context) (*godo.Action, *godo.Response, error) {
		return r.api.StorageActions.DetachByDropletID(ctx, v.ID, r.id)
	})
}

// fresh returns the volume of this restore, made if there is none yet. Its name
// is the same at every try, so that no lost answer makes a second one.
func (r *restore) fresh(ctx context.Context, n cloud.Snap, mark string) (*godo.Volume, error) {
	all, err := r.volumes(ctx)
	if err != nil {
		return nil, err
	}
	prefix := "ncfleet-" + cloud.Digest(n.Key) + "-" + cloud.Digest(n.Unit)[:8] + "-"
	used := 0
	for _, v := range all {
		if slices.Contains(v.Tags, mark) && slices.Contains(v.Tags, newTag) {
			return &v, nil
		}
		if number, err := strconv.Atoi(strings.TrimPrefix(v.Name, prefix)); err == nil && strings.HasPrefix(v.Name, prefix) {
			used = max(used, number)
		}
	}
	d, err := r.droplet(ctx, r.id)
	if err != nil {
		return nil, err
	}
	region := ""
	if d.Region != nil {
		region = d.Region.Slug
	}
	size := int64(0)
	for _, id := range d.VolumeIDs {
		if v, err := r.volume(ctx, id); err == nil && unitOf(*v) == n.Unit {
			size = v.SizeGigaBytes
		}
	}
	var made *godo.Volume
	err = do(ctx, "make a volume from snapshot "+n.ID, func(ctx context.Context) (err error) {
		made, _, err = r.api.Storage.CreateVolume(ctx, &godo.VolumeCreateRequest{Region: region, Name: prefix + strconv.Itoa(used+1),
			Description: "made by ncfleet from snapshot " + n.ID, SizeGigaBytes: size, SnapshotID: n.ID, Tags: []string{mark, newTag}})
		return err
	})
	if err == nil && made == nil {
		err = cloud.Refusal("make a volume", 0, 0, errors.New("the answer names no volume"))
	}
	return made, err
}

// finish takes newTag away from what is attached: it will be written to.
func (r *restore) finish(ctx context.Context) error {
	d, err := r.droplet(ctx, r.id)
	if err != nil {
		return err
	}
	for _, id := range d.VolumeIDs {
		v, err := r.volume(ctx, id)
		if err != nil {
			return err
		}
		if err := r.used(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

// used takes newTag away from a volume.
func (r *restore) used(ctx context.Context, v *godo.Volume) error {
	if !slices.Contains(v.Tags, newTag) {
		return nil
	}
	return do(ctx, "take the tag "+newTag+" from volume "+v.ID, func(ctx context.Context) error {
		_, err := r.api.Tags.UntagResources(ctx, newTag, &godo.UntagResourcesRequest{Resources: []godo.Resource{{ID: v.ID, Type: godo.VolumeResourceType}}})
		return err
	})
}
