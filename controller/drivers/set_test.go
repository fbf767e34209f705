package drivers_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ncfleet/ncfleet/controller/drivers"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

func newSet(t *testing.T, src drivers.Source, c driver.Config) *drivers.Set {
	t.Helper()
	s := drivers.NewSet(drivers.NewLauncher(drivers.Options{}))
	if err := s.Add(src, c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func snapshotter(t *testing.T, s *drivers.Set) driver.Snapshotter {
	t.Helper()
	d, err := s.Snapshotter("misfit")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOneStartForManyUsers(t *testing.T) {
	starts := filepath.Join(t.TempDir(), "starts")
	set := newSet(t, misfitSource(map[string]string{"COUNT_STARTS": starts}), nil)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			d, err := set.Snapshotter("misfit")
			if err != nil {
				t.Error(err)
				return
			}
			run := &echo{out: []byte(strconv.Itoa(i))}
			if _, err := d.Cover(t.Context(), ask("nothing"), run); err != nil {
				t.Error(err)
			}
		})
	}
	within(t, "200 calls at once", wg.Wait)
	b, err := os.ReadFile(starts)
	if err != nil || strings.Count(string(b), "\n") != 1 {
		t.Errorf("the driver was started as %q, error %v, want one start", b, err)
	}
}

func TestEveryCallReachesItsOwnHost(t *testing.T) {
	set := newSet(t, misfitSource(nil), nil)
	d := snapshotter(t, set)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			run := &echo{out: []byte(fmt.Sprintf("host %d", i))}
			c, err := d.Cover(t.Context(), ask("run"), run)
			if err != nil || !strings.Contains(c.Note, sum(run.out)) {
				t.Errorf("call %d saw %q, error %v", i, c.Note, err)
			}
		})
	}
	within(t, "50 calls at once", wg.Wait)
}

func TestDeadDriverIsStartedAgainAndConfigured(t *testing.T) {
	set := newSet(t, misfitSource(nil), driver.Config{"size": 2.5})
	d := snapshotter(t, set)
	pid := func() int {
		c, err := d.Cover(t.Context(), ask("nothing"), nil)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(c.Note)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first := pid()
	_, err := d.Cover(t.Context(), ask("exit"), nil)
	wantUnknown(t, err)
	if again := pid(); again == first {
		t.Error("a dead process answers")
	}
	if c, err := d.Cover(t.Context(), ask("config"), nil); err != nil || c.Note != "map[size:2.5]" {
		t.Errorf("the second process is configured with %s, error %v", c.Note, err)
	}
}

func TestDriverThatKeepsDyingStaysDown(t *testing.T) {
	starts := filepath.Join(t.TempDir(), "starts")
	set := newSet(t, misfitSource(map[string]string{"COUNT_STARTS": starts}), nil)
	d := snapshotter(t, set)
	var last error
	for range 8 {
		_, last = d.Cover(t.Context(), ask("exit"), nil)
	}
	if driver.ClassOf(last) != driver.Permanent || !strings.Contains(last.Error(), "stays down") {
		t.Errorf("the eighth death: %v", last)
	}
	if b, _ := os.ReadFile(starts); strings.Count(string(b), "\n") != 5 {
		t.Errorf("starts: %q, want 5", b)
	}
}

func TestSetStartsAndClosesAll(t *testing.T) {
	set := newSet(t, misfitSource(nil), nil)
	packages, err := drivers.NewLauncher(drivers.Options{}).Builtin("fakepkg", driver.KindPackages)
	if err != nil {
		t.Fatal(err)
	}
	packages.Env = map[string]string{"PLAY": "packages"}
	if err := set.Add(packages, nil); err != nil {
		t.Fatal(err)
	}
	if err := set.Add(packages, nil); err == nil {
		t.Error("a driver may be added twice")
	}
	if err := set.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pm, err := set.PackageManager("fakepkg")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := pm.Probes(t.Context(), driver.ProbeRequest{}); err != nil || len(c) != 1 || c[0].Argv[0] != "fakepkg" {
		t.Errorf("Probes: %v, error %v", c, err)
	}
	if _, err := set.PackageManager("misfit"); err == nil {
		t.Error("a snapshotter is found as a package manager")
	}
	c, err := snapshotter(t, set).Cover(t.Context(), ask("nothing"), nil)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(c.Note)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	within(t, "Close with a frozen driver", func() {
		if err := set.Close(); err != nil {
			t.Error(err)
		}
	})
	if !gone(pid) {
		t.Error("the driver still runs")
	}
	if _, err := pm.Probes(t.Context(), driver.ProbeRequest{}); driver.ClassOf(err) != driver.Permanent {
		t.Errorf("a call after Close: %v", err)
	}
}

func TestFailedStartIsReportedToAllUsers(t *testing.T) {
	src := misfitSource(nil)
	src.SHA256 = strings.Repeat("00", 32)
	set := newSet(t, src, nil)
	d := snapshotter(t, set)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := d.Cover(t.Context(), ask("nothing"), nil); err == nil {
				t.Error("no error")
			}
		})
	}
	within(t, "the calls", wg.Wait)
	if err := set.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "misfit") {
		t.Errorf("Start: %v", err)
	}
}
