package digitalocean

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/digitalocean/godo"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// A droplet's snapshot has a name and no tags, a volume and its snapshot have
// tags of at most 255 letters, digits, colons, dashes and underscores. Both hold
// the same mark: who made it, for what.
const (
	markPrefix   = "ncfleet:"
	markLimit    = 255
	newTag       = "ncfleet-new" // on a volume of a restore that has not ended
	actionPrefix = "action "     // a droplet's snapshot has no id until it is done
	volumePrefix = "volume "     // what a restore left behind
)

// markOf writes key, host, machine and unit.
func markOf(t cloud.Tags) (string, error) {
	mark := markPrefix + base64.RawURLEncoding.EncodeToString([]byte(strings.Join([]string{t.Key, t.Host, t.Machine, t.Unit}, "\n")))
	if len(mark) > markLimit {
		return "", driver.Errorf(driver.Permanent, "the key %s and the host %s are too long for a tag at DigitalOcean: shorten the names of rollout or host", t.Key, t.Host)
	}
	return mark, nil
}

// readMark is the reverse of markOf.
func readMark(mark string) (cloud.Tags, bool) {
	code, ok := strings.CutPrefix(mark, markPrefix)
	b, err := base64.RawURLEncoding.DecodeString(code)
	w := strings.Split(string(b), "\n")
	if !ok || err != nil || len(w) != 4 || w[0] == "" {
		return cloud.Tags{}, false
	}
	return cloud.Tags{Key: w[0], Host: w[1], Machine: w[2], Unit: w[3]}, true
}

// unitOf is the unit that a volume is: its own id, or that of the volume in
// whose place a restore put it.
func unitOf(v godo.Volume) string {
	for _, tag := range v.Tags {
		if t, ok := readMark(tag); ok {
			return t.Unit
		}
	}
	return v.ID
}

// Snaps implements cloud.Provider.
func (p *provider) Snaps(ctx context.Context, f cloud.Filter) ([]cloud.Snap, error) {
	var all []godo.Snapshot
	err := p.pages(ctx, "list snapshots", func(ctx context.Context, o *godo.ListOptions) (*godo.Response, error) {
		list, resp, err := p.api.Snapshots.List(ctx, o)
		all = append(all, list...)
		return resp, err
	})
	if err != nil {
		return nil, err
	}
	var out []cloud.Snap
	disk := false
	for _, s := range all {
		for _, mark := range append([]string{s.Name}, s.Tags...) {
			t, ok := readMark(mark)
			if !ok {
				continue
			}
			created, _ := time.Parse(time.RFC3339, s.Created) // an unreadable date sorts first
			n := cloud.Snap{ID: s.ID, Unit: t.Unit, Key: t.Key, Machine: t.Machine, Host: t.Host, State: cloud.Ready, Created: created,
				Bytes: int64(s.SizeGigaBytes * (1 << 30))}
			if f.Matches(n) {
				out = append(out, n)
				disk = disk || n.Unit == diskUnit
			}
			break
		}
	}
	if f.Machine != "" && f.Key != "" && !disk {
		pending, err := p.underWay(ctx, f)
		if err != nil {
			return nil, err
		}
		out = append(out, pending...)
	}
	left, err := p.retained(ctx, f)
	return append(out, left...), err
}

// underWay reports a snapshot that the droplet is busy with. Its name is not
// told until it is done; should it be somebody else's, ours is begun then.
func (p *provider) underWay(ctx context.Context, f cloud.Filter) ([]cloud.Snap, error) {
	id, err := strconv.Atoi(f.Machine)
	if err != nil {
		return nil, nil // no machine of ours has such an id
	}
	var actions []godo.Action
	err = do(ctx, "list the actions of droplet "+f.Machine, func(ctx context.Context) (err error) {
		actions, _, err = p.api.Droplets.Actions(ctx, id, &godo.ListOptions{PerPage: 20}) // newest first
		return err
	})
	if driver.ClassOf(err) == driver.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, a := range actions {
		if a.Type == "snapshot" && a.Status == godo.ActionInProgress {
			n := cloud.Snap{ID: actionPrefix + strconv.Itoa(a.ID), Unit: diskUnit, Key: f.Key, Machine: f.Machine, State: cloud.Pending}
			if a.StartedAt != nil {
				n.Created = a.StartedAt.Time
			}
			return []cloud.Snap{n}, nil
		}
	}
	return nil, nil
}

func (p *provider) volumes(ctx context.Context) ([]godo.Volume, error) {
	var all []godo.Volume
	err := p.pages(ctx, "list volumes", func(ctx context.Context, o *godo.ListOptions) (*godo.Response, error) {
		list, resp, err := p.api.Storage.ListVolumes(ctx, &godo.ListVolumeParams{ListOptions: o})
		all = append(all, list...)
		return resp, err
	})
	return all, err
}

// retained are the volumes that a restore replaced or never attached.
func (p *provider) retained(ctx context.Context, f cloud.Filter) ([]cloud.Snap, error) {
	all, err := p.volumes(ctx)
	if err != nil {
		return nil, err
	}
	var out []cloud.Snap
	for _, v := range all {
		if len(v.DropletIDs) > 0 {
			continue
		}
		for _, mark := range v.Tags {
			t, ok := readMark(mark)
			n := cloud.Snap{ID: volumePrefix + v.ID, Unit: t.Unit, Key: t.Key, Machine: t.Machine, Host: t.Host, State: cloud.Retained,
				Created: v.CreatedAt, Bytes: v.SizeGigaBytes << 30}
			if ok && f.Matches(n) {
				out = append(out, n)
			}
		}
	}
	return out, nil
}

// Delete implements cloud.Provider.
func (p *provider) Delete(ctx context.Context, s cloud.Snap) error {
	if strings.HasPrefix(s.ID, actionPrefix) {
		return driver.Errorf(driver.Retryable, "the droplet's snapshot is still being taken")
	}
	err := do(ctx, "delete "+s.ID, func(ctx context.Context) error {
		if id, ok := strings.CutPrefix(s.ID, volumePrefix); ok {
			_, err := p.api.Storage.DeleteVolume(ctx, id)
			return err
		}
		_, err := p.api.Snapshots.Delete(ctx, s.ID)
		return err
	})
	if err != nil && driver.ClassOf(err) != driver.NotFound {
		return err
	}
	if s.Unit == diskUnit {
		return nil
	}
	return p.dropMark(ctx, s)
}

// dropMark deletes the tag of a volume or its snapshot when nothing bears it any
// more: tags do not go by themselves.
func (p *provider) dropMark(ctx context.Context, s cloud.Snap) error {
	mark, err := markOf(cloud.Tags{Key: s.Key, Host: s.Host, Machine: s.Machine, Unit: s.Unit})
	if err != nil {
		return nil // then it was never made
	}
	var t *godo.Tag
	err = do(ctx, "look at tag "+mark, func(ctx context.Context) (err error) {
		t, _, err = p.api.Tags.Get(ctx, mark)
		return err
	})
	if err == nil && (t.Resources == nil || t.Resources.Count == 0) {
		err = do(ctx, "delete tag "+mark, func(ctx context.Context) error {
			_, err := p.api.Tags.Delete(ctx, mark)
			return err
		})
	}
	if driver.ClassOf(err) == driver.NotFound {
		return nil
	}
	return err
}
