// Package drivers finds, verifies, launches and supervises driver processes.
//
// A [Launcher] starts one process for a [Source]: with an environment of its
// own, a checksum checked right before, a log that a flood cannot hurt, and a
// watchdog that puts a frozen process down. A [Set] shares one process per
// driver among all targets and starts a dead one again, within limits. A
// [Lock] remembers which executables the operator accepted.
//
// The package refuses to run an executable that nobody accepted, to hand a
// driver any of the controller's environment, and to repeat a call whose
// outcome is unknown: that is the caller's decision.
package drivers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

// Source is an executable that serves one driver.
type Source struct {
	Name    string
	Kind    driver.Kind
	Path    string // absolute
	Args    []string
	SHA256  string // the checksum in hex that the file must have
	Env     map[string]string
	Builtin bool // this very program; pinned to itself, never in the lock file
}

// String names the source in messages.
func (s Source) String() string { return fmt.Sprintf("driver %q %q", s.Kind, s.Name) }

// where is the executable for people.
func (s Source) where() string {
	if s.Builtin {
		return "this program"
	}
	return s.Path
}

// Options of a Launcher. The zero value is useful.
type Options struct {
	Log          *slog.Logger  // nil discards the drivers' logs
	StartTimeout time.Duration // of one start; default 60 s, at least 30 s
	PingEvery    time.Duration // default 10 s
	PingDeadline time.Duration // default 10 s; a driver silent for longer is killed
}

// Launcher starts driver processes.
type Launcher struct {
	options Options
	self    func() (string, error)
}

// NewLauncher makes a Launcher.
func NewLauncher(o Options) *Launcher {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.StartTimeout <= 0 {
		o.StartTimeout = time.Minute
	}
	o.StartTimeout = max(o.StartTimeout, rpc.MinStartTimeout)
	if o.PingEvery <= 0 {
		o.PingEvery = 10 * time.Second
	}
	if o.PingDeadline <= 0 {
		o.PingDeadline = 10 * time.Second
	}
	return &Launcher{options: o, self: sync.OnceValues(func() (string, error) {
		path, err := selfPath()
		if err != nil {
			return "", err
		}
		return FileSHA256(path)
	})}
}

// selfPath is the running program: on Linux the very file it was started
// from, even when an upgrade of ncfleet has put another in its place since.
func selfPath() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}

// Builtin is the source of a driver built into this program, which serves it
// when started with args. It is pinned to this program's own checksum.
func (l *Launcher) Builtin(name string, kind driver.Kind, args ...string) (Source, error) {
	path, err := selfPath()
	if err != nil {
		return Source{}, fmt.Errorf("cannot find this program: %w", err)
	}
	sum, err := l.self()
	if err != nil {
		return Source{}, fmt.Errorf("cannot read this program: %w", err)
	}
	return Source{Name: name, Kind: kind, Path: path, Args: args, SHA256: sum, Builtin: true}, nil
}

// FileSHA256 is the checksum of a file in hex.
func FileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Process is one running driver.
type Process struct {
	Source Source
	Info   driver.Info

	process *rpc.Process
	log     *sink
	closing chan struct{}
	once    sync.Once
	watched sync.WaitGroup
}

// Launch starts the source, shakes hands and checks that it is the driver it
// should be. ctx bounds the start only. The process must be closed.
func (l *Launcher) Launch(ctx context.Context, src Source) (*Process, error) {
	if src.SHA256 == "" {
		return nil, fmt.Errorf("cannot start %s: no checksum of %s has been accepted; %s", src, src.where(), remedy)
	}
	out := newSink(l.options.Log.With("driver", src.Name, "kind", string(src.Kind)))
	process, err := rpc.Start(ctx, rpc.Options{
		Name: src.Name, Path: src.Path, Args: src.Args, SHA256: src.SHA256, Env: src.Env,
		Timeout: l.options.StartTimeout, Line: out.line,
	})
	if err != nil {
		out.close()
		return nil, err
	}
	p := &Process{Source: src, process: process, log: out, closing: make(chan struct{})}
	ctx, cancel := context.WithTimeout(ctx, l.options.StartTimeout)
	defer cancel()
	if err := p.greet(ctx); err != nil {
		_ = p.Close()
		return nil, err
	}
	p.watched.Go(func() { p.watch(l.options) })
	return p, nil
}

// greet learns who the driver is and hands a snapshot driver its Runner.
func (p *Process) greet(ctx context.Context) (err error) {
	if p.Info, err = p.process.Driver().Info(ctx); err != nil {
		return fmt.Errorf("cannot ask %s for its name: %w", p.Source, err)
	}
	if p.Info.Name != p.Source.Name || p.Info.Kind != p.Source.Kind {
		return fmt.Errorf("cannot use %s: %s says it is driver %q %q; name that one in the inventory or install the right file",
			p.Source, p.Source.where(), p.Info.Kind, p.Info.Name)
	}
	switch p.Info.Kind {
	case driver.KindPackages:
		return nil
	case driver.KindSnapshot:
		return p.process.Bind(ctx)
	default:
		return fmt.Errorf("cannot use %s: its kind is none of %q and %q", p.Source, driver.KindPackages, driver.KindSnapshot)
	}
}

// watch kills a driver that gives no sign of life in time: a frozen process
// would otherwise hold every call for as long as the call's own limit.
func (p *Process) watch(o Options) {
	tick := time.NewTicker(o.PingEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.closing:
			return
		case <-p.process.Done():
			p.log.log.Warn("driver ended", "exit", p.process.Exit())
			return
		case <-tick.C:
			ctx, cancel := context.WithTimeout(context.Background(), o.PingDeadline) // the process's own, no caller's
			stop := p.stopOnClose(cancel)
			err := p.process.Ping(ctx)
			stop()
			if err != nil && !p.isClosing() {
				p.log.log.Error("driver gives no sign of life and is killed", "deadline", o.PingDeadline, "error", err)
				p.process.Kill()
			}
		}
	}
}

// stopOnClose cancels a ping when the process is being closed, so that Close
// need not wait for it. The function returned frees the goroutine.
func (p *Process) stopOnClose(cancel context.CancelFunc) (stop func()) {
	over := make(chan struct{})
	go func() {
		defer cancel()
		select {
		case <-p.closing:
		case <-over:
		}
	}()
	return func() { close(over) }
}

func (p *Process) isClosing() bool {
	select {
	case <-p.closing:
		return true
	default:
		return false
	}
}

// Configure sends the configuration, which must have passed CheckConfig. The
// values of secret attributes are kept out of the driver's log and errors.
func (p *Process) Configure(ctx context.Context, c driver.Config) error {
	var pairs []string
	for _, a := range p.Info.Schema.Attributes {
		if v, ok := c[a.Name].(string); ok && a.Secret && len(v) >= minMasked {
			pairs = append(pairs, v, "***")
		}
	}
	if len(pairs) > 0 {
		mask := strings.NewReplacer(pairs...).Replace
		p.log.mask.Store(&mask)
		p.process.Mask(mask)
	}
	return p.process.Driver().Configure(ctx, c)
}

// minMasked is the least length of a secret that is masked: replacing shorter
// ones would garble every text and hide nothing.
const minMasked = 4

// PackageManager returns the driver as a package manager.
func (p *Process) PackageManager() (driver.PackageManager, error) {
	if p.Info.Kind != driver.KindPackages {
		return nil, fmt.Errorf("cannot use %s as a package manager: it is of kind %q", p.Source, p.Info.Kind)
	}
	return p.process.PackageManager(), nil
}

// Snapshotter returns the driver as a snapshotter.
func (p *Process) Snapshotter() (driver.Snapshotter, error) {
	if p.Info.Kind != driver.KindSnapshot {
		return nil, fmt.Errorf("cannot use %s for snapshots: it is of kind %q", p.Source, p.Info.Kind)
	}
	return p.process.Snapshotter(), nil
}

// PID is the process's number.
func (p *Process) PID() int { return p.process.PID() }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.process.Done() }

// Alive reports whether the process runs and is not being closed.
func (p *Process) Alive() bool { return p.process.Exit() == "" && !p.isClosing() }

// Kill ends the process at once. Calls in flight fail as retryable with an
// unknown outcome.
func (p *Process) Kill() { p.process.Kill() }

// Close ends the process within seconds, frozen or not. Calls in flight fail
// as retryable with an unknown outcome.
func (p *Process) Close() error {
	p.once.Do(func() { close(p.closing) })
	err := p.process.Close()
	p.watched.Wait()
	p.log.close()
	return err
}
