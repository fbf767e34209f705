// Package digitalocean is the snapshot driver "digitalocean": it takes
// snapshots of droplets and of the block storage volumes attached to them.
//
// A restore powers the droplet off, puts a new volume made from its snapshot in
// the place of each captured one, overwrites the droplet's disk with its
// snapshot and starts it; its addresses stay. Replaced volumes are kept until
// the snapshot is deleted. As a volume cannot be renamed, the host must mount it
// by UUID or label; one that is mounted by a name below /dev/disk/by-id is a
// hole.
//
// The driver refuses to read a token from anywhere but its configuration, to
// create or delete droplets, and to delete a volume that is attached.
package digitalocean

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/digitalocean/godo"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Name is the driver's name in an inventory.
const Name = "digitalocean"

// diskUnit is the droplet's own disk.
const diskUnit = "disk"

const perPage = 200

// New returns the driver, not yet configured.
func New() driver.Snapshotter {
	return cloud.New(cloud.Definition{
		Name: Name, Version: "1", Label: "droplet_id",
		Price: "0.06 USD", PriceSource: "list price of 2025, for the compressed size",
		Attributes: []driver.Attribute{
			{Name: "token", Type: "string", Required: true, Secret: true, Help: "Personal access token that may read and write droplets, block storage, snapshots, images, actions and tags."},
			{Name: "endpoint", Type: "string", Help: "Another URL than https://api.digitalocean.com/."},
		},
		Connect: connect,
	})
}

func connect(_ context.Context, c driver.Config) (cloud.Provider, error) {
	token, _ := c["token"].(string)
	if token == "" {
		return nil, driver.Errorf(driver.Auth, "attribute %q is missing: write token = secret(\"env:DIGITALOCEAN_TOKEN\")", "token")
	}
	options := []godo.ClientOpt{godo.SetUserAgent("ncfleet/1"), godo.SetRequestHeaders(map[string]string{"Authorization": "Bearer " + token})}
	if endpoint, _ := c["endpoint"].(string); endpoint != "" {
		options = append(options, godo.SetBaseURL(strings.TrimSuffix(endpoint, "/")+"/"))
	}
	api, err := godo.New(cloud.HTTPClient(), options...)
	if err != nil {
		return nil, driver.Errorf(driver.Permanent, "cannot use the endpoint: %v", err)
	}
	return &provider{api}, nil
}

type provider struct{ api *godo.Client }

// do makes one call. The provider answers 422 for much that other APIs have a
// status for; its words tell.
func do(ctx context.Context, what string, call func(context.Context) error) error {
	err := cloud.Do(ctx, what, call)
	class := driver.ClassOf(err)
	if class != driver.Permanent && class != driver.Auth {
		return err
	}
	words := strings.ToLower(err.Error())
	switch {
	case strings.Contains(words, "limit"), strings.Contains(words, "quota"):
		return driver.Errorf(driver.Quota, "%v; ask the provider for a higher limit, or delete old snapshots and volumes", err)
	case strings.Contains(words, "pending event"), strings.Contains(words, "locked"), strings.Contains(words, "in progress"), strings.Contains(words, "currently"):
		return driver.Errorf(driver.Retryable, "%v", err)
	}
	return err
}

// Check implements cloud.Provider.
func (p *provider) Check(ctx context.Context) error {
	return do(ctx, "list droplets with the token of driver digitalocean", func(ctx context.Context) error {
		_, _, err := p.api.Droplets.List(ctx, &godo.ListOptions{PerPage: 1})
		return err
	})
}

// Machine implements cloud.Provider. Several droplets may have one name.
func (p *provider) Machine(ctx context.Context, ref string) (cloud.Machine, error) {
	if id, err := strconv.Atoi(ref); err == nil {
		d, err := p.droplet(ctx, id)
		if err == nil {
			return p.machine(ctx, d)
		}
		if driver.ClassOf(err) != driver.NotFound {
			return cloud.Machine{}, err
		}
	}
	var found []godo.Droplet
	err := p.pages(ctx, "find droplet "+ref, func(ctx context.Context, o *godo.ListOptions) (*godo.Response, error) {
		list, resp, err := p.api.Droplets.ListByName(ctx, ref, o)
		found = append(found, list...)
		return resp, err
	})
	if err != nil {
		return cloud.Machine{}, err
	}
	var ids []string
	for _, d := range found {
		if d.Name == ref {
			ids = append(ids, strconv.Itoa(d.ID))
		}
	}
	switch len(ids) {
	case 0:
		return cloud.Machine{}, driver.Errorf(driver.NotFound, "there is no droplet %q in the token's team", ref)
	case 1:
		id, _ := strconv.Atoi(ids[0])
		d, err := p.droplet(ctx, id)
		if err != nil {
			return cloud.Machine{}, err
		}
		return p.machine(ctx, d)
	}
	return cloud.Machine{}, driver.Errorf(driver.Permanent, "several droplets are named %q: %s; name one by its id", ref, strings.Join(ids, ", "))
}

func (p *provider) droplet(ctx context.Context, id int) (*godo.Droplet, error) {
	var d *godo.Droplet
	err := do(ctx, fmt.Sprintf("look at droplet %d", id), func(ctx context.Context) (err error) {
		d, _, err = p.api.Droplets.Get(ctx, id)
		return err
	})
	return d, err
}

func (p *provider) volume(ctx context.Context, id string) (*godo.Volume, error) {
	var v *godo.Volume
	err := do(ctx, "look at volume "+id, func(ctx context.Context) (err error) {
		v, _, err = p.api.Storage.GetVolume(ctx, id)
		return err
	})
	return v, err
}

func (p *provider) machine(ctx context.Context, d *godo.Droplet) (cloud.Machine, error) {
	m := cloud.Machine{ID: strconv.Itoa(d.ID), Name: d.Name, State: d.Status}
	if d.Status == "active" {
		m.State = cloud.Running
	}
	if d.Networks != nil {
		for _, n := range d.Networks.V4 {
			m.Addresses = append(m.Addresses, n.IPAddress)
		}
		for _, n := range d.Networks.V6 {
			m.Addresses = append(m.Addresses, n.IPAddress)
		}
	}
	m.Units = append(m.Units, cloud.Unit{ID: diskUnit, Boot: true, GiB: int64(d.Disk)})
	for _, id := range d.VolumeIDs {
		v, err := p.volume(ctx, id)
		if err != nil {
			return m, err
		}
		m.Units = append(m.Units, cloud.Unit{ID: unitOf(*v), Serial: "DO_Volume_" + v.Name, GiB: v.SizeGigaBytes, Replaced: true})
	}
	return m, nil
}

// pages reads all pages of a list; a page that fails fails the list.
func (p *provider) pages(ctx context.Context, what string, list func(context.Context, *godo.ListOptions) (*godo.Response, error)) error {
	for page := 1; ; page++ {
		last := true
		err := do(ctx, what, func(ctx context.Context) error {
			resp, err := list(ctx, &godo.ListOptions{Page: page, PerPage: perPage})
			if err == nil && resp.Links != nil {
				last = resp.Links.IsLastPage()
			}
			return err
		})
		if err != nil || last {
			return err
		}
	}
}

// Begin implements cloud.Provider.
func (p *provider) Begin(ctx context.Context, m cloud.Machine, u cloud.Unit, t cloud.Tags) (cloud.Snap, error) {
	mark, err := markOf(t)
	if err != nil {
		return cloud.Snap{}, err
	}
	n := cloud.Snap{Unit: u.ID, Key: t.Key, Machine: t.Machine, Host: t.Host, State: cloud.Pending, Created: t.Created}
	if u.ID == diskUnit {
		id, err := strconv.Atoi(m.ID)
		if err != nil {
			return n, driver.Errorf(driver.Permanent, "%q is no droplet id", m.ID)
		}
		return n, do(ctx, "take a snapshot of droplet "+m.Name, func(ctx context.Context) error {
			a, _, err := p.api.DropletActions.Snapshot(ctx, id, mark)
			if err == nil {
				n.ID = actionPrefix + strconv.Itoa(a.ID)
			}
			return err
		})
	}
	id, err := p.attached(ctx, m, u.ID)
	if err != nil {
		return n, err
	}
	return n, do(ctx, "take a snapshot of volume "+id, func(ctx context.Context) error {
		s, _, err := p.api.Storage.CreateSnapshot(ctx, &godo.SnapshotCreateRequest{VolumeID: id, Name: t.Name(), Tags: []string{mark}})
		if err == nil {
			n.ID = s.ID
		}
		return err
	})
}

// attached is the id of the volume that is the unit now.
func (p *provider) attached(ctx context.Context, m cloud.Machine, unit string) (string, error) {
	number, err := strconv.Atoi(m.ID)
	if err != nil {
		return "", driver.Errorf(driver.Permanent, "%q is no droplet id", m.ID)
	}
	d, err := p.droplet(ctx, number)
	if err != nil {
		return "", err
	}
	for _, id := range d.VolumeIDs {
		v, err := p.volume(ctx, id)
		if err != nil {
			return "", err
		}
		if unitOf(*v) == unit {
			return id, nil
		}
	}
	return "", driver.Errorf(driver.NotFound, "no volume %s is attached to droplet %s", unit, m.Name)
}
