package conformance_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
	"github.com/ncfleet/ncfleet/plugins/drivertest/conformance"
)

// bent is a driver that passes, but for what a test replaces.
type bent struct {
	*drivertest.FakeSnapshotter
	create  func(b *bent, ctx context.Context, r driver.SnapshotRequest, run driver.Runner) (driver.Handle, error)
	verify  func(b *bent, h driver.Handle) (driver.Verification, error)
	restore func(b *bent, ctx context.Context, h driver.Handle, s driver.Subject, run driver.Runner) error
	cover   func(s driver.Subject) (driver.Coverage, error)
}

func (b *bent) Create(ctx context.Context, r driver.SnapshotRequest, run driver.Runner) (driver.Handle, error) {
	if b.create != nil {
		return b.create(b, ctx, r, run)
	}
	return b.FakeSnapshotter.Create(ctx, r, run)
}

func (b *bent) Verify(ctx context.Context, h driver.Handle, run driver.Runner) (driver.Verification, error) {
	if b.verify != nil {
		return b.verify(b, h)
	}
	return b.FakeSnapshotter.Verify(ctx, h, run)
}

func (b *bent) Restore(ctx context.Context, h driver.Handle, s driver.Subject, run driver.Runner) error {
	if b.restore != nil {
		return b.restore(b, ctx, h, s, run)
	}
	return b.FakeSnapshotter.Restore(ctx, h, s, run)
}

func (b *bent) Cover(ctx context.Context, s driver.Subject, run driver.Runner) (driver.Coverage, error) {
	if b.cover != nil {
		return b.cover(s)
	}
	return b.FakeSnapshotter.Cover(ctx, s, run)
}

func report(t *testing.T, limit time.Duration, bend func(b *bent)) *conformance.Report {
	t.Helper()
	target, store := t.TempDir(), t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(target, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := conformance.NewReport(t.Context(), limit, nil)
	conformance.Snapshotter(r, conformance.Snapshots{
		New: func(conformance.T) driver.Snapshotter {
			b := &bent{FakeSnapshotter: drivertest.NewFakeSnapshotter("")}
			bend(b)
			return b
		},
		Faults:  true,
		Config:  driver.Config{"dir": store, "token": "s3cret-token"},
		Subject: driver.Subject{Host: "h", Places: []driver.Place{{Part: driver.PartCode, Path: target}}},
		Damage: func(t conformance.T, h driver.Handle) {
			if err := os.WriteFile(filepath.Join(store, string(h.Data)), []byte("{}"), 0o600); err != nil {
				t.Fatalf("%v", err)
			}
		},
	})
	return r
}

// TestBrokenDriversAreFound proves that the promises can be broken.
func TestBrokenDriversAreFound(t *testing.T) {
	limit := 20 * time.Second
	tests := map[string]struct {
		bend   func(b *bent)
		broken string // a promise that must be among the broken ones
		says   string
	}{
		"verify says yes to everything": {func(b *bent) {
			b.verify = func(*bent, driver.Handle) (driver.Verification, error) {
				return driver.Verification{Verified: true, Detail: "trust me"}, nil
			}
		}, "damage is seen", "a damaged snapshot verifies"},
		"restore does nothing": {func(b *bent) {
			b.restore = func(*bent, context.Context, driver.Handle, driver.Subject, driver.Runner) error { return nil }
		}, "restore brings everything back", "did not bring the target back"},
		"a handle of its own each time": {func(b *bent) {
			b.create = func(b *bent, ctx context.Context, r driver.SnapshotRequest, run driver.Runner) (driver.Handle, error) {
				h, err := b.FakeSnapshotter.Create(ctx, r, run)
				h.Version = int(time.Now().UnixNano())
				return h, err
			}
		}, "create is idempotent by key", "another handle"},
		"a place is forgotten": {func(b *bent) {
			b.cover = func(driver.Subject) (driver.Coverage, error) { return driver.Coverage{}, nil }
		}, "cover changes nothing", "neither as captured nor as missing"},
		"half a snapshot stays for ever": {func(b *bent) {
			b.create = func(b *bent, ctx context.Context, r driver.SnapshotRequest, run driver.Runner) (driver.Handle, error) {
				if _, err := run.Run(ctx, driver.Command{Argv: []string{"true"}}); err != nil && strings.Contains(r.Key, "lost-0") {
					_ = os.WriteFile(b.Path(r.Key)+".stuck", nil, 0o600)
				}
				if _, err := os.Stat(b.Path(r.Key) + ".stuck"); err == nil {
					return driver.Handle{}, errors.New("a half-made snapshot is in the way")
				}
				return b.FakeSnapshotter.Create(ctx, r, run)
			}
		}, "host lost in the middle of create", "before command 1; the next Create of the key failed"},
		"a secret in a command line": {func(b *bent) {
			b.create = func(b *bent, ctx context.Context, r driver.SnapshotRequest, run driver.Runner) (driver.Handle, error) {
				if _, err := run.Run(ctx, driver.Command{Argv: []string{"echo", "token=s3cret-token"}}); err != nil {
					return driver.Handle{}, driver.Errorf(driver.Retryable, "%v", err)
				}
				return b.FakeSnapshotter.Create(ctx, r, run)
			}
		}, "secrets stay out of command lines", `the secret "token" is in the command line of "echo"`},
		"a panic": {func(b *bent) {
			b.verify = func(*bent, driver.Handle) (driver.Verification, error) { panic("boom") }
		}, "verify", "panicked: boom"},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := report(t, limit, c.bend)
			i := slices.IndexFunc(r.Lines, func(l conformance.Line) bool { return l.Promise == c.broken })
			if i < 0 || r.OK() {
				t.Fatalf("no promise %q, or all kept: %+v", c.broken, r.Lines)
			}
			if l := r.Lines[i]; l.Verdict != conformance.Broken || !strings.Contains(strings.Join(l.Found, "\n"), c.says) || l.Fix == "" {
				t.Errorf("%+v, want it broken and to say %q", l, c.says)
			}
		})
	}
}

func TestHangingDriverIsGivenUp(t *testing.T) {
	r := report(t, time.Second, func(b *bent) {
		b.restore = func(_ *bent, ctx context.Context, _ driver.Handle, _ driver.Subject, _ driver.Runner) error {
			<-ctx.Done()
			return ctx.Err()
		}
	})
	if r.OK() || r.Count(conformance.Broken) == 0 {
		t.Errorf("a Restore that hangs passes: %+v", r.Lines)
	}
}

func TestReportOfAGoodDriver(t *testing.T) {
	r := report(t, time.Minute, func(*bent) {})
	if !r.OK() || r.Count(conformance.Kept) < 15 {
		t.Errorf("%+v", r.Lines)
	}
	if (&conformance.Report{}).OK() {
		t.Error("a report without a promise is good")
	}
}
