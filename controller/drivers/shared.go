package drivers

import (
	"context"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// shared is a driver of a Set: every call goes to the process of the moment.
type shared struct{ e *entry }

// Info returns what the driver said when it was launched.
func (s shared) Info(ctx context.Context) (driver.Info, error) {
	p, err := s.e.live(ctx)
	if err != nil {
		return driver.Info{}, err
	}
	return p.Info, nil
}

// Configure is refused: the Set configures its drivers.
func (s shared) Configure(context.Context, driver.Config) error {
	return driver.Errorf(driver.Permanent, "cannot configure %s: its set has configured it", s.e.src)
}

type sharedPackages struct{ shared }

func (s sharedPackages) live(ctx context.Context) (driver.PackageManager, error) {
	p, err := s.e.live(ctx)
	if err != nil {
		return nil, err
	}
	return p.PackageManager()
}

func (s sharedPackages) Probes(ctx context.Context, r driver.ProbeRequest) ([]driver.Command, error) {
	d, err := s.live(ctx)
	if err != nil {
		return nil, err
	}
	return d.Probes(ctx, r)
}

func (s sharedPackages) Facts(ctx context.Context, r driver.ProbeRequest, results []driver.Result) (driver.PackageFacts, error) {
	d, err := s.live(ctx)
	if err != nil {
		return driver.PackageFacts{}, err
	}
	return d.Facts(ctx, r, results)
}

func (s sharedPackages) Compile(ctx context.Context, sel driver.Selection) (driver.Commands, error) {
	d, err := s.live(ctx)
	if err != nil {
		return driver.Commands{}, err
	}
	return d.Compile(ctx, sel)
}

type sharedSnapshots struct{ shared }

func (s sharedSnapshots) live(ctx context.Context) (driver.Snapshotter, error) {
	p, err := s.e.live(ctx)
	if err != nil {
		return nil, err
	}
	return p.Snapshotter()
}

func (s sharedSnapshots) Cover(ctx context.Context, sub driver.Subject, run driver.Runner) (driver.Coverage, error) {
	d, err := s.live(ctx)
	if err != nil {
		return driver.Coverage{}, err
	}
	return d.Cover(ctx, sub, run)
}

func (s sharedSnapshots) Prepare(ctx context.Context, r driver.SnapshotRequest, run driver.Runner) error {
	d, err := s.live(ctx)
	if err != nil {
		return err
	}
	return d.Prepare(ctx, r, run)
}

func (s sharedSnapshots) Create(ctx context.Context, r driver.SnapshotRequest, run driver.Runner) (driver.Handle, error) {
	d, err := s.live(ctx)
	if err != nil {
		return driver.Handle{}, err
	}
	h, err := d.Create(ctx, r, run)
	if err == nil && h.Driver != s.e.src.Name {
		return driver.Handle{}, driver.Errorf(driver.Permanent, "%s: Create answered with a handle of driver %q; this is a bug of the driver", s.e.src, h.Driver)
	}
	return h, err
}

func (s sharedSnapshots) Verify(ctx context.Context, h driver.Handle, run driver.Runner) (driver.Verification, error) {
	d, err := s.live(ctx)
	if err != nil {
		return driver.Verification{}, err
	}
	return d.Verify(ctx, h, run)
}

func (s sharedSnapshots) Restore(ctx context.Context, h driver.Handle, sub driver.Subject, run driver.Runner) error {
	d, err := s.live(ctx)
	if err != nil {
		return err
	}
	return d.Restore(ctx, h, sub, run)
}

func (s sharedSnapshots) Delete(ctx context.Context, h driver.Handle, run driver.Runner) error {
	d, err := s.live(ctx)
	if err != nil {
		return err
	}
	return d.Delete(ctx, h, run)
}

func (s sharedSnapshots) List(ctx context.Context, sub driver.Subject, run driver.Runner) ([]driver.Snapshot, error) {
	d, err := s.live(ctx)
	if err != nil {
		return nil, err
	}
	return d.List(ctx, sub, run)
}
