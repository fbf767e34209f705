package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/ncfleet/ncfleet/controller"
	"github.com/ncfleet/ncfleet/controller/executor"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/controller/report/screen"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// Limits of output that nobody takes. What a person sees may be cut short; a
// program gets all of it. By the time that the end is waited for, the journal is
// closed.
const (
	shownKept    = 1 << 20 // bytes, on a terminal
	readKept     = 1 << 28 // bytes, in a pipe or file
	shownWaitEnd = time.Minute
	readWaitEnd  = 24 * time.Hour
)

// The smallest terminal that a live view is shown on.
const (
	leastColumns = 40
	leastRows    = 8
)

// fileOf is the file that a writer writes to, nil when it is none.
func fileOf(w io.Writer) *os.File {
	if s, ok := w.(*screen.Steady); ok {
		w = s.Unwrap()
	}
	f, _ := w.(*os.File)
	return f
}

// outlive makes a rollout independent of who reads its output, until the
// function that it returns is called: a terminal that is closed (SIGHUP), a pipe
// whose reader is gone (SIGPIPE) or that takes nothing neither end it nor hold
// it up.
func (a *app) outlive() (end func()) {
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	out, errs := a.stdout, a.stderr
	if _, ok := out.(*screen.Steady); ok {
		return func() {}
	}
	a.stdout, a.stderr = steady(out), steady(errs)
	return func() {
		flush(a.stdout)
		flush(a.stderr)
		a.stdout, a.stderr = out, errs
	}
}

// steady is w as outlive makes it.
func steady(w io.Writer) *screen.Steady {
	if s, ok := w.(*screen.Steady); ok {
		return s
	}
	if isTerminal(w) {
		return screen.NewSteady(w, shownKept)
	}
	return screen.NewSteady(w, readKept)
}

// flush ends what steady began.
func flush(w io.Writer) {
	if isTerminal(w) {
		steady(w).Close(shownWaitEnd)
		return
	}
	steady(w).Close(readWaitEnd)
}

func isTerminal(w io.Writer) bool {
	f := fileOf(w)
	return f != nil && term.IsTerminal(int(f.Fd()))
}

// liveOn is the terminal behind w when a live view can be shown on it, nil when
// lines must do: no terminal, a dumb or tiny one, a build server's, or one that
// another program has.
func liveOn(w io.Writer) *os.File {
	f := fileOf(w)
	if f == nil || os.Getenv("TERM") == "" || os.Getenv("TERM") == "dumb" || os.Getenv("CI") != "" || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	if width, height := paintable(f); width < leastColumns || height < leastRows {
		return nil
	}
	return f
}

// paintable is the size of a terminal, zero while it is not for this process to
// write on: it is gone, or the shell has put the process into the background.
func paintable(f *os.File) (width, height int) {
	fd := int(f.Fd())
	if front, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil && front != unix.Getpgrp() {
		return 0, 0
	}
	width, height, err := term.GetSize(fd)
	if err != nil {
		return 0, 0
	}
	return width, height
}

// course shows how a rollout goes: as a live view on a terminal, in lines
// elsewhere.
type course struct {
	view  *report.View
	lines *report.Progress
	end   func()

	mu    sync.Mutex
	begun []string
}

// course of a rollout of which events happened before.
func (a *app) course(id string, p *plan.Plan, events []rollout.Event) (*course, error) {
	w := a.talk()
	look := a.look(w)
	c := &course{end: func() {}}
	f := liveOn(w)
	if f == nil {
		c.lines = report.NewProgress(w, p, look)
		c.end = signOfLife(c.lines)
		return c, nil
	}
	zones, err := loadZones(p.Policy.ZoneNames())
	if err != nil {
		return nil, err
	}
	s, err := rollout.New(p, zones)
	if err != nil {
		return nil, err
	}
	t := report.Terminal{W: steady(w), Size: func() (int, int) { return paintable(f) }, Now: now}
	if c.view, err = report.NewView(id, s, events, t, look); err != nil {
		return nil, err
	}
	stop := terminalSignals(c.view)
	c.end = func() { stop(); c.view.Close() }
	c.view.Start()
	return c, nil
}

// Event and Waiting make a course a sink of the controller's loop.
func (c *course) Event(e rollout.Event, s *rollout.State) {
	c.mu.Lock()
	c.begun = report.Begun(s)
	c.mu.Unlock()
	if c.view != nil {
		c.view.Event(e, s)
		return
	}
	c.lines.Event(e, s)
}

func (c *course) Waiting(reasons []string, s *rollout.State) {
	if c.view == nil {
		c.lines.Waiting(reasons, s)
	}
}

// reached passes on how an attempt to connect ended.
func (c *course) reached(host string, err error) {
	if c.view != nil {
		c.view.Reached(host, err, now())
		return
	}
	c.lines.Reached(host, err, now())
}

// finishing says what is waited for after an interrupt.
func (c *course) finishing() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	what := "nothing was begun"
	if len(c.begun) > 0 {
		what = "finishing " + report.Plural(len(c.begun), "target") + ": " + report.Names(c.begun)
	}
	return "interrupted; " + what + "; nothing new starts. Interrupt once more to leave at once: hosts finish their running step by themselves."
}

// terminalSignals lets a view follow what happens to its terminal: its size,
// being put aside (Ctrl-Z) and taken up again, and being killed with a trace
// (Ctrl-\), which must be readable.
func terminalSignals(v *report.View) (stop func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGQUIT)
	over := make(chan struct{})
	go func() {
		for {
			select {
			case <-over:
				return
			case s := <-signals:
				switch s {
				case syscall.SIGTSTP:
					v.Suspend()
					_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) // cannot fail
					v.Resized()
				case syscall.SIGQUIT:
					v.Close()
					signal.Reset(syscall.SIGQUIT)
					_ = syscall.Kill(os.Getpid(), syscall.SIGQUIT) // cannot fail
				default:
					v.Resized()
				}
			}
		}
	}()
	return func() { signal.Stop(signals); close(over) }
}

// guarded is a performer whose panic is told on a terminal that was given back.
type guarded struct {
	controller.Performer
	giveBack func()
}

func (g guarded) Perform(ctx context.Context, p *plan.Plan, t *plan.Target, s plan.Step, m executor.Memory) executor.Outcome {
	done := false
	defer func() { g.unless(done) }()
	o := g.Performer.Perform(ctx, p, t, s, m)
	done = true
	return o
}

func (g guarded) Lookup(ctx context.Context, p *plan.Plan, t *plan.Target, s plan.Step, m executor.Memory) (executor.Outcome, bool) {
	done := false
	defer func() { g.unless(done) }()
	o, found := g.Performer.Lookup(ctx, p, t, s, m)
	done = true
	return o, found
}

func (g guarded) unless(done bool) {
	if !done {
		g.giveBack()
	}
}
