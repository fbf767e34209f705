// Package hcloud is the snapshot driver "hcloud": it takes images of servers of
// the Hetzner Cloud and rebuilds servers from them.
//
// An image holds the server's own disk alone. The provider has no snapshots of
// attached volumes: places on them are holes, and the plan turns red when an
// upgrade would write there. A server whose rebuild protection is on cannot be
// restored, so it is a hole as a whole.
//
// A restore powers the server off, rebuilds it from the image and powers it on;
// its addresses, networks and volumes stay. The driver refuses to read a token
// from anywhere but its configuration, and to create or delete servers.
package hcloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/hetznercloud/hcloud-go/v2/hcloud"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Name is the driver's name in an inventory.
const Name = "hcloud"

// unitID is the server's own disk; its id does not change by a rebuild.
const unitID = "disk"

// New returns the driver, not yet configured.
func New() driver.Snapshotter {
	return cloud.New(cloud.Definition{
		Name: Name, Version: "1", Label: "hcloud_id",
		Price: "0.0110 EUR", PriceSource: "list price of 2025 without VAT, for the compressed size",
		Attributes: []driver.Attribute{
			{Name: "token", Type: "string", Required: true, Secret: true, Help: "API token of the project, with permission to read and write."},
			{Name: "endpoint", Type: "string", Help: "Another URL than https://api.hetzner.cloud/v1."},
		},
		Connect: connect,
	})
}

func connect(_ context.Context, c driver.Config) (cloud.Provider, error) {
	token, _ := c["token"].(string)
	if token == "" {
		return nil, driver.Errorf(driver.Auth, "attribute %q is missing: write token = secret(\"env:HCLOUD_TOKEN\")", "token")
	}
	options := []hcloud.ClientOption{hcloud.WithToken(token), hcloud.WithApplication("ncfleet", "1"),
		hcloud.WithHTTPClient(cloud.HTTPClient()), hcloud.WithRetryOpts(hcloud.RetryOpts{MaxRetries: 0})}
	if endpoint, _ := c["endpoint"].(string); endpoint != "" {
		options = append(options, hcloud.WithEndpoint(endpoint))
	}
	return &provider{hcloud.NewClient(options...)}, nil
}

type provider struct{ api *hcloud.Client }

// do makes one call. Some of the provider's codes say more than the status.
func do(ctx context.Context, what string, call func(context.Context) error) error {
	err := cloud.Do(ctx, what, call)
	switch {
	case hcloud.IsError(err, hcloud.ErrorCodeResourceLimitExceeded):
		return driver.Errorf(driver.Quota, "cannot %s: %v; raise the project's limit in the console, or delete old snapshots", what, cause(err))
	case hcloud.IsError(err, hcloud.ErrorCodeProtected):
		return driver.Errorf(driver.Permanent, "cannot %s: %v; take the protection away in the console", what, cause(err))
	case hcloud.IsError(err, hcloud.ErrorCodeResourceUnavailable, hcloud.ErrorCodeMaintenance, hcloud.ErrorCodeServerNotStopped) && driver.ClassOf(err) == driver.Permanent:
		return driver.Errorf(driver.Retryable, "cannot %s: %v", what, cause(err))
	}
	return err
}

// cause is the provider's own error.
func cause(err error) error {
	var e hcloud.Error
	if errors.As(err, &e) {
		return e
	}
	return err
}

// Check implements cloud.Provider.
func (p *provider) Check(ctx context.Context) error {
	return do(ctx, "list servers with the token of driver hcloud", func(ctx context.Context) error {
		_, _, err := p.api.Server.List(ctx, hcloud.ServerListOpts{ListOpts: hcloud.ListOpts{PerPage: 1}})
		return err
	})
}

// Machine implements cloud.Provider. Names are unique within a project.
func (p *provider) Machine(ctx context.Context, ref string) (cloud.Machine, error) {
	var s *hcloud.Server
	err := do(ctx, "find server "+ref, func(ctx context.Context) (err error) {
		s, _, err = p.api.Server.Get(ctx, ref)
		return err
	})
	if err != nil {
		return cloud.Machine{}, err
	}
	if s == nil {
		return cloud.Machine{}, driver.Errorf(driver.NotFound, "there is no server %q in the token's project", ref)
	}
	return machine(s), nil
}

func machine(s *hcloud.Server) cloud.Machine {
	m := cloud.Machine{ID: id(s.ID), Name: s.Name, State: string(s.Status)}
	for _, ip := range []fmt.Stringer{s.PublicNet.IPv4.IP, s.PublicNet.IPv6.IP} {
		if a := ip.String(); a != "<nil>" {
			m.Addresses = append(m.Addresses, a)
		}
	}
	for _, n := range s.PrivateNet {
		m.Addresses = append(m.Addresses, n.IP.String())
	}
	boot := cloud.Unit{ID: unitID, Boot: true, GiB: int64(s.PrimaryDiskSize)}
	if s.Protection.Rebuild {
		boot.Left = "the server's rebuild protection is on, so that no snapshot could be put back: take it away in the console"
	}
	m.Units = append(m.Units, boot)
	for _, v := range s.Volumes {
		m.Units = append(m.Units, cloud.Unit{ID: "volume " + id(v.ID), Serial: "HC_Volume_" + id(v.ID),
			Left: "the Hetzner Cloud has no snapshots of attached volumes; use another snapshot driver, or move this to the server's own disk"})
	}
	return m
}

func id(n int64) string { return strconv.FormatInt(n, 10) }

// Begin implements cloud.Provider.
func (p *provider) Begin(ctx context.Context, m cloud.Machine, u cloud.Unit, t cloud.Tags) (cloud.Snap, error) {
	n, err := strconv.ParseInt(m.ID, 10, 64)
	if err != nil || u.ID != unitID {
		return cloud.Snap{}, driver.Errorf(driver.Permanent, "there is no image of %s of server %q", u.ID, m.ID)
	}
	var r hcloud.ServerCreateImageResult
	err = do(ctx, "take an image of server "+m.Name, func(ctx context.Context) (err error) {
		r, _, err = p.api.Server.CreateImage(ctx, &hcloud.Server{ID: n}, &hcloud.ServerCreateImageOpts{
			Type: hcloud.ImageTypeSnapshot, Description: hcloud.Ptr("ncfleet " + t.Key + " of " + t.Host), Labels: labels(t)})
		return err
	})
	if err != nil {
		return cloud.Snap{}, err
	}
	if r.Image == nil {
		return cloud.Snap{}, cloud.Refusal("take an image of server "+m.Name, 0, 0, errors.New("the answer names no image"))
	}
	return snap(r.Image), nil
}

// Snaps implements cloud.Provider.
func (p *provider) Snaps(ctx context.Context, f cloud.Filter) ([]cloud.Snap, error) {
	var images []*hcloud.Image
	err := do(ctx, "list images", func(ctx context.Context) (err error) {
		images, err = p.api.Image.AllWithOpts(ctx, hcloud.ImageListOpts{Type: []hcloud.ImageType{hcloud.ImageTypeSnapshot},
			ListOpts: hcloud.ListOpts{PerPage: 50, LabelSelector: selector(f)}})
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []cloud.Snap
	for _, i := range images {
		if n := snap(i); n.Key != "" {
			out = append(out, n)
		}
	}
	return out, nil
}

func snap(i *hcloud.Image) cloud.Snap {
	t := readLabels(i.Labels)
	n := cloud.Snap{ID: id(i.ID), Key: t.Key, Machine: t.Machine, Host: t.Host, Unit: unitID, Created: i.Created,
		Bytes: int64(float64(i.ImageSize) * (1 << 30))}
	switch i.Status {
	case hcloud.ImageStatusAvailable:
		n.State = cloud.Ready
	case hcloud.ImageStatusCreating:
		n.State = cloud.Pending
	default:
		n.State = cloud.Failed
	}
	return n
}

// Delete implements cloud.Provider.
func (p *provider) Delete(ctx context.Context, s cloud.Snap) error {
	n, err := strconv.ParseInt(s.ID, 10, 64)
	if err != nil {
		return driver.Errorf(driver.Permanent, "%q is no image", s.ID)
	}
	err = do(ctx, "delete image "+s.ID, func(ctx context.Context) error {
		_, err := p.api.Image.Delete(ctx, &hcloud.Image{ID: n})
		return err
	})
	if driver.ClassOf(err) == driver.NotFound {
		return nil
	}
	return err
}

// Restore implements cloud.Provider. A rebuild may be done twice: its effect is
// the same.
func (p *provider) Restore(ctx context.Context, m cloud.Machine, snaps []cloud.Snap, s cloud.Stages) error {
	at := slices.IndexFunc(snaps, func(n cloud.Snap) bool { return n.Unit == unitID })
	if at < 0 {
		return driver.Errorf(driver.Permanent, "the snapshot holds no disk of server %s", m.Name)
	}
	image, err := strconv.ParseInt(snaps[at].ID, 10, 64)
	if err != nil {
		return driver.Errorf(driver.Permanent, "%q is no image", snaps[at].ID)
	}
	server, err := p.unlocked(ctx, m, s)
	if err != nil {
		return err
	}
	if server.Status != hcloud.ServerStatusOff {
		if err := p.act(ctx, s, "power off", server, p.api.Server.Poweroff); err != nil {
			return err
		}
	}
	rebuild := func(ctx context.Context, server *hcloud.Server) (*hcloud.Action, *hcloud.Response, error) {
		r, resp, err := p.api.Server.RebuildWithResult(ctx, server, hcloud.ServerRebuildOpts{Image: &hcloud.Image{ID: image}})
		return r.Action, resp, err
	}
	if err := p.act(ctx, s, "rebuild", server, rebuild); err != nil {
		return err
	}
	// A rebuild starts the server by itself; should it not, it is started here.
	server, err = p.unlocked(ctx, m, s)
	if err != nil {
		return err
	}
	if server.Status == hcloud.ServerStatusOff {
		if err := p.act(ctx, s, "power on", server, p.api.Server.Poweron); err != nil {
			return err
		}
	}
	return s.Wait(ctx, "server "+m.Name+" to run", func(ctx context.Context) (bool, error) {
		server, err := p.server(ctx, m)
		return err == nil && server.Status == hcloud.ServerStatusRunning, err
	})
}

func (p *provider) server(ctx context.Context, m cloud.Machine) (*hcloud.Server, error) {
	n, err := strconv.ParseInt(m.ID, 10, 64)
	if err != nil {
		return nil, driver.Errorf(driver.Permanent, "%q is no server id", m.ID)
	}
	var s *hcloud.Server
	err = do(ctx, "look at server "+m.Name, func(ctx context.Context) (err error) {
		s, _, err = p.api.Server.GetByID(ctx, n)
		return err
	})
	if err == nil && s == nil {
		err = driver.Errorf(driver.NotFound, "server %s (%s) is gone", m.Name, m.ID)
	}
	return s, err
}

// unlocked waits for what an earlier call began, and returns the server.
func (p *provider) unlocked(ctx context.Context, m cloud.Machine, s cloud.Stages) (*hcloud.Server, error) {
	var server *hcloud.Server
	err := s.Wait(ctx, "server "+m.Name+" to be unlocked", func(ctx context.Context) (bool, error) {
		var err error
		server, err = p.server(ctx, m)
		return err == nil && !server.Locked, err
	})
	return server, err
}

// act starts an action of a server and waits for its end.
func (p *provider) act(ctx context.Context, s cloud.Stages, verb string, server *hcloud.Server,
	start func(context.Context, *hcloud.Server) (*hcloud.Action, *hcloud.Response, error)) error {
	var begun, a *hcloud.Action
	what := verb + " server " + server.Name
	err := do(ctx, what, func(ctx context.Context) (err error) {
		begun, _, err = start(ctx, server)
		return err
	})
	if err != nil {
		return err
	}
	if begun == nil {
		return cloud.Refusal(what, 0, 0, errors.New("the answer names no action"))
	}
	err = s.Wait(ctx, "the end of the action to "+what, func(ctx context.Context) (bool, error) {
		err := do(ctx, "look at the action to "+what, func(ctx context.Context) (err error) {
			a, _, err = p.api.Action.GetByID(ctx, begun.ID)
			return err
		})
		return err == nil && (a == nil || a.Status != hcloud.ActionStatusRunning), err
	})
	switch {
	case err != nil:
		return err
	case a == nil:
		return driver.Errorf(driver.Retryable, "the action to %s is gone", what)
	case a.Status != hcloud.ActionStatusSuccess:
		return cloud.Refusal(what, http.StatusConflict, 0, fmt.Errorf("the provider's action %d failed: %s (%s)", a.ID, a.ErrorMessage, a.ErrorCode))
	}
	return nil
}
