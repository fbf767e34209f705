package conformance

import (
	"context"
	"errors"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

func (s *snapshots) badHandles(t T) {
	d, before := s.open(t), s.State(t)
	good := s.create(t, d, "bad")
	defer s.drop(t, d, good)
	foreign, cut, odd := good, good, good
	foreign.Driver = good.Driver + "-of-somebody-else"
	cut.Data = good.Data[:len(good.Data)/2]
	odd.Data = []byte("\x00\xff{]../../../../etc/passwd\n")
	for name, h := range map[string]driver.Handle{"of another driver": foreign, "cut short": cut, "garbage": odd, "zero": {}} {
		v, err := d.Verify(t.Context(), h, s.Runner)
		if driver.ClassOf(err) == driver.Panicked {
			t.Errorf("Verify of a handle %s panicked: %v", name, err)
		}
		if err == nil && v.Verified {
			t.Errorf("Verify accepts a handle %s", name)
		}
		if err := d.Restore(t.Context(), h, s.Subject, s.Runner); err == nil || driver.ClassOf(err) == driver.Panicked {
			t.Errorf("Restore of a handle %s: error %v, want a refusal", name, err)
		}
		if err := d.Delete(t.Context(), h, s.Runner); driver.ClassOf(err) == driver.Panicked {
			t.Errorf("Delete of a handle %s panicked: %v", name, err)
		}
	}
	if s.State(t) != before {
		t.Errorf("the target changed")
	}
}

func (s *snapshots) cancelled(t T) {
	d, before := s.open(t), s.State(t)
	h := s.create(t, d, "cancel-kept")
	r := s.request("cancel")
	returnsSoon(t, "Cover", func(ctx context.Context) error { _, err := d.Cover(ctx, s.Subject, s.Runner); return err })
	returnsSoon(t, "Prepare", func(ctx context.Context) error { return d.Prepare(ctx, r, s.Runner) })
	returnsSoon(t, "Create", func(ctx context.Context) error { _, err := d.Create(ctx, r, s.Runner); return err })
	returnsSoon(t, "Verify", func(ctx context.Context) error { _, err := d.Verify(ctx, h, s.Runner); return err })
	returnsSoon(t, "List", func(ctx context.Context) error { _, err := d.List(ctx, s.Subject, s.Runner); return err })
	returnsSoon(t, "Restore", func(ctx context.Context) error { return d.Restore(ctx, h, s.Subject, s.Runner) })
	if err := d.Restore(t.Context(), h, s.Subject, s.Runner); err != nil {
		t.Fatalf("Restore after a cancelled one: %v", err)
	}
	if s.State(t) != before {
		t.Errorf("a cancelled Restore and a whole one do not bring the target back")
	}
	again := s.create(t, d, "cancel")
	if v, err := d.Verify(t.Context(), again, s.Runner); err != nil || !v.Verified {
		t.Errorf("the snapshot of a cancelled and repeated Create: %+v, error %v", v, err)
	}
	s.drop(t, d, again)
	s.drop(t, d, h)
}

type brokenRunner struct{}

func (brokenRunner) Run(context.Context, driver.Command) (driver.Result, error) {
	return driver.Result{Exit: -1}, errors.New("cannot reach the host: connection refused")
}

func (s *snapshots) failingRunner(t T) {
	d := s.open(t)
	_, err := d.Create(t.Context(), s.request("broken"), brokenRunner{})
	if driver.ClassOf(err) == driver.Panicked {
		t.Errorf("Create with a failing runner panicked: %v", err)
	}
	h := s.create(t, d, "broken")
	if v, err := d.Verify(t.Context(), h, s.Runner); err != nil || !v.Verified {
		t.Errorf("the snapshot of a failed and repeated Create: %+v, error %v", v, err)
	}
	if v, err := d.Verify(t.Context(), h, brokenRunner{}); err == nil && !v.Verified && v.Detail == "" {
		t.Errorf("Verify with a failing runner neither fails nor says why")
	}
	s.drop(t, d, h)
}
