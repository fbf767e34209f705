package drivers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Limits of a Set.
const (
	startsAtOnce  = 8                // processes started side by side by Start
	startsInARow  = 5                // of one driver within startsWindow
	startsWindow  = 10 * time.Minute // a driver that dies more often stays down
	configureTime = 2 * time.Minute  // for Configure, which may ask a provider
)

// Set holds the drivers of one rollout, each as one process however many
// targets use it. A process starts with its first call, or with Start; one
// that died is started again, and configured, by the next call. A call that
// was in flight when it died is not repeated.
type Set struct {
	launcher *Launcher

	mu      sync.Mutex
	entries []*entry // in the order of Add
}

// NewSet makes an empty set.
func NewSet(l *Launcher) *Set { return &Set{launcher: l} }

// Add declares a driver with its checked configuration. It starts nothing.
func (s *Set) Add(src Source, c driver.Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.src.Name == src.Name && e.src.Kind == src.Kind {
			return fmt.Errorf("cannot add %s: it is declared twice", src)
		}
	}
	s.entries = append(s.entries, &entry{launcher: s.launcher, src: src, config: c})
	return nil
}

func (s *Set) find(kind driver.Kind, name string) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.src.Name == name && e.src.Kind == kind {
			return e, nil
		}
	}
	return nil, fmt.Errorf("cannot find driver %q %q: it is not declared; add a block: driver %q %q { … }", kind, name, kind, name)
}

// PackageManager returns the named driver. It may be used from any number of
// goroutines until Close.
func (s *Set) PackageManager(name string) (driver.PackageManager, error) {
	e, err := s.find(driver.KindPackages, name)
	if err != nil {
		return nil, err
	}
	return sharedPackages{shared{e}}, nil
}

// Snapshotter returns the named driver. It may be used from any number of
// goroutines until Close.
func (s *Set) Snapshotter(name string) (driver.Snapshotter, error) {
	e, err := s.find(driver.KindSnapshot, name)
	if err != nil {
		return nil, err
	}
	return sharedSnapshots{shared{e}}, nil
}

// Start starts every declared driver and returns all errors.
func (s *Set) Start(ctx context.Context) error {
	s.mu.Lock()
	entries := append([]*entry(nil), s.entries...)
	s.mu.Unlock()
	slots := make(chan struct{}, startsAtOnce)
	errs := make([]error, len(entries))
	var wg sync.WaitGroup
	for i, e := range entries {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			_, errs[i] = e.live(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close ends all processes side by side and waits for them. No driver starts
// any more. It may be called more than once.
func (s *Set) Close() error {
	s.mu.Lock()
	entries := append([]*entry(nil), s.entries...)
	s.mu.Unlock()
	errs := make([]error, len(entries))
	var wg sync.WaitGroup
	for i, e := range entries {
		wg.Go(func() { errs[i] = e.close() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// entry is one declared driver and its current process.
type entry struct {
	launcher *Launcher
	src      Source
	config   driver.Config

	mu       sync.Mutex
	process  *Process
	starting *startup
	starts   []time.Time
	closed   bool
}

// startup is one start that any number of callers wait for.
type startup struct {
	cancel  context.CancelFunc
	done    chan struct{}
	process *Process
	err     error
}

// live returns the running process and starts one if need be. The start goes
// on when ctx ends: others wait for it too.
func (e *entry) live(ctx context.Context) (*Process, error) {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil, driver.Errorf(driver.Permanent, "cannot call %s: it has been closed", e.src)
	}
	if e.process != nil && e.process.Alive() {
		defer e.mu.Unlock()
		return e.process, nil
	}
	if e.starting == nil {
		if err := e.mayStart(time.Now()); err != nil {
			e.mu.Unlock()
			return nil, err
		}
		startCtx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // bounded by the launcher's limits
		e.starting = &startup{cancel: cancel, done: make(chan struct{})}
		go e.start(startCtx, e.starting, e.process)
	}
	s := e.starting
	e.mu.Unlock()
	select {
	case <-s.done:
		return s.process, s.err
	case <-ctx.Done():
		return nil, fmt.Errorf("cannot wait for the start of %s: %w", e.src, ctx.Err())
	}
}

// mayStart counts the starts and refuses one too many.
func (e *entry) mayStart(now time.Time) error {
	recent := e.starts[:0]
	for _, at := range e.starts {
		if now.Sub(at) < startsWindow {
			recent = append(recent, at)
		}
	}
	e.starts = recent
	if len(recent) >= startsInARow {
		return &driver.Error{
			Class: driver.Permanent, After: startsWindow,
			Message: fmt.Sprintf("cannot call %s: it ended or failed to start %d times within %s and stays down; look at its log lines, then resume the rollout",
				e.src, startsInARow, startsWindow),
		}
	}
	e.starts = append(recent, now)
	return nil
}

func (e *entry) start(ctx context.Context, s *startup, dead *Process) {
	if dead != nil {
		_ = dead.Close() // it has ended; this frees what is left of it
	}
	p, err := e.launcher.Launch(ctx, e.src)
	if err == nil {
		configureCtx, cancel := context.WithTimeout(ctx, configureTime)
		err = p.Configure(configureCtx, e.config)
		cancel()
		if err != nil {
			_ = p.Close()
			p, err = nil, fmt.Errorf("cannot configure %s: %w", e.src, err)
		}
	}
	e.mu.Lock()
	s.process, s.err = p, err
	e.process, e.starting = p, nil
	e.mu.Unlock()
	s.cancel()
	close(s.done)
}

func (e *entry) close() error {
	e.mu.Lock()
	e.closed = true
	starting := e.starting
	e.mu.Unlock()
	if starting != nil {
		starting.cancel()
		<-starting.done
	}
	e.mu.Lock()
	p := e.process
	e.mu.Unlock()
	if p == nil {
		return nil
	}
	return p.Close()
}
