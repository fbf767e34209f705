package cloudtest

import (
	"context"
	"errors"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// call does one phase once.
func (s *suite) call(ctx context.Context, t *testing.T, d driver.Snapshotter, p phase, key string, h *driver.Handle) error {
	t.Helper()
	switch p {
	case "create":
		got, err := d.Create(ctx, driver.SnapshotRequest{Key: key, Subject: s.Subject}, s.Runner)
		if err == nil {
			*h = got
		}
		return err
	case "verify":
		v, err := d.Verify(ctx, *h, s.Runner)
		if err == nil && !v.Verified {
			return driver.Errorf(driver.Permanent, "it does not verify: %s", v.Detail)
		}
		return err
	case "restore":
		return d.Restore(ctx, *h, s.Subject, s.Runner)
	case "delete":
		return d.Delete(ctx, *h, s.Runner)
	}
	return errors.New("an unknown phase: " + string(p))
}
