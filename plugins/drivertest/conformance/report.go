package conformance

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// Verdict is how one promise came out.
type Verdict string

// The verdicts.
const (
	Kept     Verdict = "ok"
	Broken   Verdict = "BROKEN"
	NotTried Verdict = "not tried"
)

// Line is one promise of a Report.
type Line struct {
	Promise string   `json:"promise"`
	Verdict Verdict  `json:"verdict"`
	Found   []string `json:"found,omitempty"` // what was wrong, or why it was not tried
	Fix     string   `json:"fix,omitempty"`   // of a broken promise
	Seconds float64  `json:"seconds"`
}

// Report is a T that writes down what became of each promise. A panic breaks
// the promise that it happened in, and so does the end of its time.
type Report struct {
	Lines []Line

	ctx    context.Context
	limit  time.Duration
	onLine func(Line)
}

// NewReport makes a report. Every promise gets at most limit; onLine, unless
// nil, hears of each when it is done.
func NewReport(ctx context.Context, limit time.Duration, onLine func(Line)) *Report {
	return &Report{ctx: ctx, limit: limit, onLine: onLine}
}

// OK reports whether no promise was broken and at least one was tried.
func (r *Report) OK() bool { return r.Count(Broken) == 0 && r.Count(Kept) > 0 }

// Count counts the promises of one verdict.
func (r *Report) Count(v Verdict) int {
	n := 0
	for _, l := range r.Lines {
		if l.Verdict == v {
			n++
		}
	}
	return n
}

// Try tries one promise.
func (r *Report) Try(p Promise, f func(t T)) {
	ctx, cancel := context.WithCancel(r.ctx)
	t := &trial{Report: r, ctx: ctx, cancel: cancel, done: make(chan struct{})}
	begun := time.Now()
	go t.run(f)
	select {
	case <-t.done:
	case <-time.After(r.limit):
		t.Errorf("it was not done within %s", r.limit)
		cancel()
		select { // what heeds its context ends now; the rest is left behind
		case <-t.done:
		case <-time.After(soon):
		}
	}
	t.cleanUp()
	line := t.line(p)
	line.Seconds = time.Since(begun).Seconds()
	r.Lines = append(r.Lines, line)
	if r.onLine != nil {
		r.onLine(line)
	}
}

// The rest makes Report a T: outside a promise there is nothing to say.

func (r *Report) Helper()                           {}
func (r *Report) Context() context.Context          { return r.ctx }
func (r *Report) Cleanup(func())                    { panic("conformance: Cleanup outside a promise") }
func (r *Report) Logf(format string, args ...any)   {}
func (r *Report) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (r *Report) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (r *Report) Skipf(format string, args ...any)  { panic(fmt.Sprintf(format, args...)) }

// trial is the T of one promise.
type trial struct {
	*Report
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	over     bool
	found    []string
	skipped  string
	cleanups []func()
}

// maxFound bounds what one promise says.
const maxFound = 20

func (t *trial) run(f func(t T)) {
	defer close(t.done)
	defer func() {
		if v := recover(); v != nil {
			t.Errorf("the trial panicked: %v\n%s", v, debug.Stack())
		}
	}()
	f(t)
}

func (t *trial) line(p Promise) Line {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	switch {
	case len(t.found) > 0:
		return Line{Promise: p.Name, Verdict: Broken, Found: t.found, Fix: p.Fix}
	case t.skipped != "":
		return Line{Promise: p.Name, Verdict: NotTried, Found: []string{t.skipped}}
	}
	return Line{Promise: p.Name, Verdict: Kept}
}

func (t *trial) cleanUp() {
	t.cancel()
	t.mu.Lock()
	todo := slices.Clone(t.cleanups)
	t.mu.Unlock()
	for _, f := range slices.Backward(todo) {
		f()
	}
}

func (t *trial) Context() context.Context { return t.ctx }

func (t *trial) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

func (t *trial) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over && len(t.found) < maxFound {
		t.found = append(t.found, fmt.Sprintf(format, args...))
	}
}

func (t *trial) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

func (t *trial) Skipf(format string, args ...any) {
	t.mu.Lock()
	t.skipped = fmt.Sprintf(format, args...)
	t.mu.Unlock()
	runtime.Goexit()
}

func (t *trial) Try(p Promise, f func(t T)) { panic("conformance: a promise within a promise") }
