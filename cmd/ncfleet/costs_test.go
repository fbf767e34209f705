package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/drivers"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// costSources are the drivers to measure: all built-in ones and, with
// NCFLEET_TEST_ALL=1, those with executables of their own.
func costSources(t *testing.T, l *drivers.Launcher) []drivers.Source {
	t.Helper()
	sources, err := builtinSources(l)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("NCFLEET_TEST_ALL") == "" {
		t.Log("without drivers that have executables of their own; NCFLEET_TEST_ALL=1 builds and measures those too")
		return sources
	}
	dirs, err := filepath.Glob("../ncfleet-driver-*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range append(dirs, "../../examples/driver-go") {
		file := filepath.Join(t.TempDir(), "driver")
		if out, err := exec.Command("go", "build", "-o", file, dir).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		src, _, err := l.Identify(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, src)
	}
	return sources
}

// TestDriverCosts prints what a driver process costs.
func TestDriverCosts(t *testing.T) {
	l := drivers.NewLauncher(drivers.Options{})
	t.Logf("%-28s %10s %10s %10s %12s %12s", "driver", "start", "RSS", "PSS", "call median", "call 99 %")
	for _, src := range costSources(t, l) {
		var starts []time.Duration
		var p *drivers.Process
		for range 5 {
			if p != nil {
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			}
			begun := time.Now()
			var err error
			if p, err = l.Launch(t.Context(), src); err != nil {
				t.Fatal(err)
			}
			starts = append(starts, time.Since(begun))
		}
		var d driver.Driver
		var err error
		if src.Kind == driver.KindSnapshot {
			d, err = p.Snapshotter()
		} else {
			d, err = p.PackageManager()
		}
		if err != nil {
			t.Fatal(err)
		}
		var calls []time.Duration
		for range 500 {
			begun := time.Now()
			if i, err := d.Info(t.Context()); err != nil || i.Name != src.Name {
				t.Fatalf("%+v, %v", i, err)
			}
			calls = append(calls, time.Since(begun))
		}
		rss, pss := memory(t, p.PID())
		if rss > 256<<10 {
			t.Errorf("%s takes %d MiB", src, rss>>10)
		}
		slices.Sort(starts)
		slices.Sort(calls)
		t.Logf("%-28s %7d ms %6.1f MiB %6.1f MiB %9d µs %9d µs", string(src.Kind)+" "+src.Name, starts[len(starts)/2].Milliseconds(),
			float64(rss)/1024, float64(pss)/1024, calls[len(calls)/2].Microseconds(), calls[len(calls)*99/100].Microseconds())
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// memory is a process's, in KiB: what it maps, and its share of what several do.
func memory(t *testing.T, pid int) (rss, pss int) {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Skipf("memory can only be read on Linux: %v", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		w := strings.Fields(s.Text())
		if len(w) == 3 && w[0] == "Rss:" {
			rss, _ = strconv.Atoi(w[1]) // 0 fails below
		}
		if len(w) == 3 && w[0] == "Pss:" {
			pss, _ = strconv.Atoi(w[1])
		}
	}
	if rss == 0 || pss == 0 {
		t.Fatalf("%s says %d and %d KiB", f.Name(), rss, pss)
	}
	return rss, pss
}

// nowhere answers every command as a host that has no such program.
type nowhere struct{}

func (nowhere) Run(context.Context, driver.Command) (driver.Result, error) {
	return driver.Result{Exit: 127, Stderr: []byte("not found\n")}, nil
}

// TestTwoHundredHostsStartEachDriverOnce makes the calls of 200 targets at
// once, through the set that a rollout uses, to all built-in drivers.
func TestTwoHundredHostsStartEachDriverOnce(t *testing.T) {
	l := drivers.NewLauncher(drivers.Options{})
	sources, err := builtinSources(l)
	if err != nil {
		t.Fatal(err)
	}
	set, file := drivers.NewSet(l), filepath.Join(t.TempDir(), "starts")
	for _, s := range sources {
		s.Env = map[string]string{"TEST_COUNT_STARTS": file}
		if err := set.Add(s, driver.Config{}); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	var calls int
	for i := range 200 {
		subject := driver.Subject{Host: fmt.Sprintf("cloud-%03d", i), Instance: "main", WebUser: "www-data", PHP: "/usr/bin/php", StateDir: "/nowhere",
			Places: []driver.Place{{Part: driver.PartCode, Path: "/srv/nextcloud"}}}
		for _, s := range sources {
			calls += 3
			wg.Go(func() { callsOfOneTarget(t, set, s, subject) })
		}
	}
	wg.Wait()
	if err := set.Close(); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sources {
		if n := strings.Count(string(text), "started "+s.Name+"\n"); n != 1 {
			t.Errorf("%s was started %d times, want once", s, n)
		}
	}
	t.Logf("200 hosts, %d calls; processes: %s", calls, strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", ", "))
}

func callsOfOneTarget(t *testing.T, set *drivers.Set, s drivers.Source, subject driver.Subject) {
	ctx := t.Context()
	if s.Kind == driver.KindPackages {
		d, err := set.PackageManager(s.Name)
		if err != nil {
			t.Error(err)
			return
		}
		for range 3 {
			if c, err := d.Probes(ctx, driver.ProbeRequest{}); err != nil || len(c) == 0 {
				t.Errorf("%s: %v, %v", s, c, err)
			}
		}
		return
	}
	d, err := set.Snapshotter(s.Name)
	if err != nil {
		t.Error(err)
		return
	}
	// The host can do nothing, and says so; what counts is that the driver answers.
	for range 3 {
		if _, err := d.Cover(ctx, subject, nowhere{}); err != nil && strings.Contains(err.Error(), "its process") {
			t.Errorf("%s: %v", s, err)
		}
	}
}
