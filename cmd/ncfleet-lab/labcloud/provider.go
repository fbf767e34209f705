package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/ncfleet/ncfleet/cmd/ncfleet-lab/lab"
	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// wholeUnit is the one unit of a machine: an image holds all of its disks.
const wholeUnit = "disks"

func newDriver() driver.Snapshotter {
	return cloud.New(cloud.Definition{
		Name:    "labcloud",
		Version: "0.1.0",
		Attributes: []driver.Attribute{
			{Name: "directory", Type: "string", Default: lab.DefaultDir, Help: "Folder of the lab."},
		},
		Connect: func(_ context.Context, c driver.Config) (cloud.Provider, error) {
			dir, _ := c["directory"].(string)
			l, err := lab.New(lab.Options{Dir: dir})
			return &provider{l}, err
		},
	})
}

// provider is a lab as a cloud. A machine's id is the name of its host.
type provider struct{ lab *lab.Lab }

// Check implements cloud.Provider.
func (p *provider) Check(context.Context) error {
	if err := lab.Ready(); err != nil {
		return driver.Errorf(driver.Permanent, "%v", err)
	}
	return nil
}

func (p *provider) host(name string) (*lab.Host, error) {
	hosts, err := p.lab.Hosts()
	if err != nil {
		return nil, driver.Errorf(driver.Permanent, "%v", err)
	}
	for _, h := range hosts {
		if h.Name == name {
			return h, nil
		}
	}
	return nil, driver.Errorf(driver.NotFound, "the lab has no host %q", name)
}

// Machine implements cloud.Provider.
func (p *provider) Machine(_ context.Context, ref string) (cloud.Machine, error) {
	h, err := p.host(ref)
	if err != nil {
		return cloud.Machine{}, err
	}
	m := cloud.Machine{ID: h.Name, Name: h.Name, State: "off", Addresses: []string{h.Address},
		Units: []cloud.Unit{{ID: wholeUnit, Whole: true, Boot: true, Mounts: []string{"/", "/srv"}}}}
	if h.Disk == "tmpfs" {
		m.Units[0].Left = "its data disk is in memory"
	}
	on, err := h.Powered()
	if on {
		m.State = cloud.Running
	}
	return m, err
}

// Begin implements cloud.Provider. The image is there when it returns: that
// takes a second or two.
func (p *provider) Begin(ctx context.Context, m cloud.Machine, u cloud.Unit, t cloud.Tags) (cloud.Snap, error) {
	h, err := p.host(m.ID)
	if err != nil {
		return cloud.Snap{}, err
	}
	t.Unit = u.ID
	if err := h.Image(ctx, t.Name(), t.Map()); err != nil && !errors.Is(err, fs.ErrExist) {
		return cloud.Snap{}, driver.Errorf(driver.Retryable, "cannot keep the disks of %s: %v", h.Name, err)
	}
	snaps, err := p.of(ctx, h, cloud.Filter{Key: t.Key})
	if err != nil {
		return cloud.Snap{}, err
	}
	if len(snaps) == 0 {
		return cloud.Snap{}, driver.Errorf(driver.Retryable, "the image %s of %s is gone again", t.Name(), h.Name)
	}
	return snaps[0], nil
}

// Snaps implements cloud.Provider.
func (p *provider) Snaps(ctx context.Context, f cloud.Filter) ([]cloud.Snap, error) {
	hosts, err := p.lab.Hosts()
	if err != nil {
		return nil, driver.Errorf(driver.Permanent, "%v", err)
	}
	var all []cloud.Snap
	for _, h := range hosts {
		snaps, err := p.of(ctx, h, f)
		if err != nil {
			return nil, err
		}
		all = append(all, snaps...)
	}
	return all, nil
}

// of lists the snapshots of one host: those of its images that bear tags.
func (p *provider) of(ctx context.Context, h *lab.Host, f cloud.Filter) ([]cloud.Snap, error) {
	if f.Machine != "" && f.Machine != h.Name {
		return nil, nil
	}
	images, err := h.Images(ctx)
	if err != nil {
		return nil, err
	}
	var out []cloud.Snap
	for _, i := range images {
		t, ours := cloud.ReadTags(i.Labels)
		s := cloud.Snap{ID: i.Name, Unit: t.Unit, Key: t.Key, Machine: h.Name, Host: t.Host, State: cloud.Ready, Created: i.Created, Bytes: i.Bytes}
		if ours && f.Matches(s) {
			out = append(out, s)
		}
	}
	return out, nil
}

// Delete implements cloud.Provider.
func (p *provider) Delete(_ context.Context, s cloud.Snap) error {
	h, err := p.host(s.Machine)
	if err != nil {
		return err
	}
	return h.RemoveImage(s.ID)
}

// Restore implements cloud.Provider. Repeated, it puts the same disks back and
// restarts the machine again.
func (p *provider) Restore(ctx context.Context, m cloud.Machine, snaps []cloud.Snap, _ cloud.Stages) error {
	h, err := p.host(m.ID)
	if err != nil {
		return err
	}
	if len(snaps) != 1 {
		return driver.Errorf(driver.Permanent, "%d snapshots of %s, which has one unit", len(snaps), h.Name)
	}
	err = h.RestoreImage(ctx, snaps[0].ID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return driver.Errorf(driver.NotFound, "%v", err)
	case err != nil:
		return driver.Errorf(driver.Retryable, "%v", fmt.Errorf("cannot restore machine %s: %w", h.Name, err))
	}
	return nil
}
