package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/ncfleet/ncfleet/controller/executor"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/release"
	"github.com/ncfleet/ncfleet/controller/remote"
	"github.com/ncfleet/ncfleet/controller/survey"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// performer wires an executor to the world for one rollout.
func (w *world) performer(id string) (*executor.Executor, error) {
	return executor.New(executor.Deps{
		Hosts:     hosts{w},
		Snapshots: snapshots{w},
		Releases:  &releases{source: w.source},
		Surveyor:  surveyor{w},
		Leases:    leases{w},
		Secrets:   func(ref string) (string, error) { return secret(inventory.Secret(ref)) },
		Retryable: retryable,
		Fenced:    lost,
		Held:      held,
		Holder:    who(),
	}), nil
}

// hosts gives the executor its hosts over SSH.
type hosts struct{ w *world }

func (h hosts) Host(name string) (executor.Remote, error) {
	conn, _, err := h.w.host(name)
	if err != nil {
		return nil, err
	}
	return sshHost{conn}, nil
}

// sshHost is a connection with the upload in basic types.
type sshHost struct{ *remote.Host }

func (h sshHost) Put(ctx context.Context, token, path, owner string, mode uint32, size int64, sha256 string, open func() (io.ReadCloser, error)) error {
	return h.Upload(ctx, remote.UploadRequest{Token: token, Path: path, User: owner, Mode: mode, Size: size, SHA256: sha256, Open: open})
}

// snapshots gives the executor the pinned snapshot drivers.
type snapshots struct{ w *world }

func (s snapshots) Snapshotter(_ context.Context, name string) (driver.Snapshotter, error) {
	return s.w.set.Snapshotter(name)
}

// releases fetches each archive once, however many targets want it.
type releases struct {
	source *release.Source
	mu     sync.Mutex
	once   map[string]*fetched
}

type fetched struct {
	sync.Mutex
	cached *release.Cached
}

func (r *releases) Open(ctx context.Context, rel plan.Release) (path, sha256 string, size int64, open func() (io.ReadCloser, error), err error) {
	c, err := r.ensure(ctx, rel)
	if err != nil {
		return "", "", 0, nil, err
	}
	return c.Path, c.SHA256, c.Size, func() (io.ReadCloser, error) { return os.Open(c.Path) }, nil
}

func (r *releases) ensure(ctx context.Context, rel plan.Release) (*release.Cached, error) {
	if r.source == nil {
		return nil, fmt.Errorf("cannot open %s: the rollout has no release source", rel.Name)
	}
	r.mu.Lock()
	if r.once == nil {
		r.once = map[string]*fetched{}
	}
	f := r.once[rel.SHA512]
	if f == nil {
		f = &fetched{}
		r.once[rel.SHA512] = f
	}
	r.mu.Unlock()
	f.Lock()
	defer f.Unlock()
	if f.cached == nil {
		c, err := r.source.Ensure(ctx, rel)
		if err != nil {
			return nil, err
		}
		f.cached = &c
	}
	return f.cached, nil
}

// surveyor looks at one host again, for the recheck before its target begins.
type surveyor struct{ w *world }

func (s surveyor) Take(ctx context.Context, host string) plan.Facts {
	return s.take(ctx, host, func(*survey.Request) {})
}

// TakePackages asks for nothing but the packages.
func (s surveyor) TakePackages(ctx context.Context, host string) plan.Facts {
	return s.take(ctx, host, func(r *survey.Request) {
		r.Host.Instances, r.Downloads, r.SetupChecks, r.AppStore = nil, nil, false, false
	})
}

func (s surveyor) take(ctx context.Context, host string, narrow func(*survey.Request)) plan.Facts {
	h := s.w.fleet.Host(host)
	if h == nil {
		return plan.Facts{Host: host, Unreachable: "the inventory has no host of that name"}
	}
	r, err := s.w.request(h, false)
	if err != nil {
		return plan.Facts{Host: host, Unreachable: err.Error()}
	}
	narrow(&r)
	ctx, cancel := context.WithTimeout(ctx, surveyLimit)
	defer cancel()
	return survey.Take(ctx, r)
}

// leases takes and gives back the one lease of each host.
type leases struct{ w *world }

func (l leases) Lease(ctx context.Context, host, holder, token string) error {
	conn, _, err := l.w.host(host)
	if err != nil {
		return err
	}
	_, err = conn.Lease(ctx, holder, token)
	return err
}

func (l leases) Unlease(ctx context.Context, host, token string) error {
	conn, _, err := l.w.host(host)
	if err != nil {
		return err
	}
	if err := conn.Release(ctx, token); err != nil {
		return err
	}
	_ = conn.Disconnect() // the target is done; a connection costs memory and is dialled again when needed
	return nil
}

// lost reports whether a host said that this controller has lost its lease.
func lost(err error) bool {
	var e *remote.LeaseLost
	return errors.As(err, &e)
}

// held reports whether a host said that another rollout has its lease.
func held(err error) bool {
	var e *remote.LeaseHeld
	return errors.As(err, &e)
}

// retryable reports whether a start may be repeated later: the host's network
// failed, not its keys, its host key or its sudo.
func retryable(err error) bool {
	var unknown *remote.OutcomeUnknown
	if errors.As(err, &unknown) {
		return true // starting a detached run once more attaches to it
	}
	var away *remote.Unreachable
	if !errors.As(err, &away) {
		return false
	}
	switch away.Reason {
	case remote.ReasonRefused, remote.ReasonTimeout, remote.ReasonNoRoute, remote.ReasonClosed,
		remote.ReasonStalled, remote.ReasonBroken, remote.ReasonNoSession:
		return true
	}
	return false
}
