package remote

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

var echo = driver.Command{Argv: []string{"echo", "hi"}}

func expect(t *testing.T, h *Host, c driver.Command, want string) {
	t.Helper()
	if r := mustRun(t, h, c); string(r.Stdout) != want || r.Exit != 0 {
		t.Errorf("got %d %q %q, want %q", r.Exit, r.Stdout, r.Stderr, want)
	}
}

func TestRetriesBeforeTheCommandIsSent(t *testing.T) {
	s := startServer(t)
	s.closeEarly.Store(2)
	s.dropOpen.Store(1)
	h := newTestPool(t).Host(s.config)
	expect(t, h, echo, "hi\n")
	if n := s.execs.Load(); n != 1 {
		t.Errorf("the command was sent %d times", n)
	}
	if n := s.dials.Load(); n != 4 {
		t.Errorf("%d dials, want 4", n)
	}
}

func TestDialRetriesAreBounded(t *testing.T) {
	s := startServer(t)
	s.closeEarly.Store(100)
	p := NewPool(Limits{Retries: 1})
	defer p.Close()
	_, err := p.Host(s.config).Run(testContext(t), echo)
	var u *Unreachable
	if !errors.As(err, &u) || u.Reason != ReasonClosed {
		t.Errorf("got %v", err)
	}
	if n := s.dials.Load(); n != 2 {
		t.Errorf("%d dials, want 2", n)
	}
}

func TestSentCommandIsNeverSentAgain(t *testing.T) {
	s := startServer(t)
	s.dropExec.Store(1)
	h := newTestPool(t).Host(s.config)
	_, err := h.Run(testContext(t), driver.Command{Argv: []string{"sleep", "1"}})
	var unknown *OutcomeUnknown
	if !errors.As(err, &unknown) {
		t.Fatalf("got %v, want OutcomeUnknown", err)
	}
	if n := s.execs.Load(); n != 1 {
		t.Errorf("the command was sent %d times", n)
	}
	expect(t, h, echo, "hi\n")
}

func TestStartAfterBrokenConnectionAttaches(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	leaseTo(t, s.config)
	s.dropExec.Store(1)
	h := newTestPool(t).Host(s.config)
	ctx := testContext(t)
	c := driver.Command{Argv: []string{"sh", "-c", "sleep 2; echo done"}}
	var unknown *OutcomeUnknown
	if _, err := h.Start(ctx, "r", testToken, c); err == nil || !errors.As(err, &unknown) {
		t.Fatalf("got %v", err)
	}
	if _, err := h.Start(ctx, "r", testToken, c); err != nil {
		t.Fatal(err)
	}
	s.dropExec.Store(2)
	s.killExec.Store(1)
	state, err := h.Wait(ctx, "r", nil)
	if err != nil || state.Phase != driver.RunExited || string(state.Stdout) != "done\n" {
		t.Errorf("got %+v %q %v", state, state.Stdout, err)
	}
}

func TestRefusedSessionsWait(t *testing.T) {
	s := startServer(t)
	s.maxSessions = 2
	h := newTestPool(t).Host(s.config)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			expect(t, h, driver.Command{Argv: []string{"sh", "-c", fmt.Sprintf("sleep 0.1; echo %d", i)}}, fmt.Sprintf("%d\n", i))
		})
	}
	wg.Wait()
	if n := s.dials.Load(); n != 1 {
		t.Errorf("%d dials, want 1", n)
	}
}

func TestSilentServer(t *testing.T) {
	s := startServer(t)
	s.silent.Store(true)
	c := s.config
	c.HandshakeTimeout = 300 * time.Millisecond
	_, err := newTestPool(t).Host(c).Run(testContext(t), echo)
	var u *Unreachable
	if !errors.As(err, &u) || u.Reason != ReasonStalled {
		t.Errorf("got %v", err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer stop()
	_, err = newTestPool(t).Host(s.config).Run(ctx, echo)
	if !errors.As(err, &u) || u.Reason != ReasonCancelled || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestKeepaliveEndsSilentConnection(t *testing.T) {
	s := startServer(t)
	c := s.config
	c.KeepaliveInterval = 50 * time.Millisecond
	h := newTestPool(t).Host(c)
	expect(t, h, echo, "hi\n")
	s.deafRequest.Store(true)
	_, err := h.Run(testContext(t), driver.Command{Argv: []string{"sleep", "20"}})
	var unknown *OutcomeUnknown
	if !errors.As(err, &unknown) || !errors.Is(err, errSilent) {
		t.Errorf("got %v", err)
	}
	s.deafRequest.Store(false)
	expect(t, h, echo, "hi\n")
}

func TestRefusedCommandDidNotStart(t *testing.T) {
	s := startServer(t)
	s.refuseExec.Store(true)
	_, err := newTestPool(t).Host(s.config).Run(testContext(t), echo)
	var e *NotStarted
	if !errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
}

func TestOutputLimit(t *testing.T) {
	s := startServer(t)
	leaseTo(t, s.config)
	p := NewPool(Limits{Output: 10})
	defer p.Close()
	h := p.Host(s.config)
	r, err := h.Run(testContext(t), driver.Command{Argv: []string{"printf", "0123456789abc"}})
	var cut *OutputTruncated
	if !errors.As(err, &cut) || string(r.Stdout) != "0123456789" || r.Exit != 0 {
		t.Errorf("got %q, %v", r.Stdout, err)
	}
	expect(t, h, driver.Command{Argv: []string{"printf", "0123456789"}}, "0123456789")
	ctx := testContext(t)
	if _, err := h.Start(ctx, "r", testToken, driver.Command{Argv: []string{"printf", "0123456789abc"}}); err != nil {
		t.Fatal(err)
	}
	state, err := h.Wait(ctx, "r", nil)
	if err != nil || string(state.Stdout) != "0123456789" || state.Detail == "" {
		t.Errorf("got %+v, %q, %v", state, state.Stdout, err)
	}
}

func TestDisconnectAndClose(t *testing.T) {
	s := startServer(t)
	p := NewPool(Limits{})
	h := p.Host(s.config)
	expect(t, h, echo, "hi\n")
	if err := h.Disconnect(); err != nil {
		t.Error(err)
	}
	expect(t, h, echo, "hi\n")
	if n := s.dials.Load(); n != 2 {
		t.Errorf("%d dials, want 2", n)
	}
	p.Close()
	_, err := h.Run(testContext(t), echo)
	var u *Unreachable
	if !errors.As(err, &u) || u.Reason != ReasonClosedPool {
		t.Errorf("got %v", err)
	}
}

func TestConcurrentUsersShareOneConnection(t *testing.T) {
	s := startServer(t)
	h := newTestPool(t).Host(s.config)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { expect(t, h, echo, "hi\n") })
	}
	wg.Wait()
	if n := s.dials.Load(); n != 1 {
		t.Errorf("%d dials, want 1", n)
	}
}

func TestJumpHosts(t *testing.T) {
	outer, inner, end := startServer(t), startServer(t), startServer(t)
	p := newTestPool(t)
	c := end.config
	c.Jump = []Config{outer.config, inner.config}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { expect(t, p.Host(c), echo, "hi\n") })
	}
	wg.Wait()
	if o, i, e := outer.dials.Load(), inner.dials.Load(), end.dials.Load(); o != 1 || i != 1 || e != 4 {
		t.Errorf("dials: %d outer, %d inner, %d end; want 1, 1, 4", o, i, e)
	}
	c.Port = freePort(t)
	_, err := p.Host(c).Run(testContext(t), echo)
	var u *Unreachable
	if !errors.As(err, &u) || u.Reason != ReasonRefused {
		t.Errorf("got %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	s := startServer(t)
	for _, c := range []struct {
		address, reason string
		port            int
	}{
		{"127.0.0.1", ReasonRefused, freePort(t)},
		{"no-such-host.invalid", ReasonName, 22},
	} {
		config := s.config
		config.Address, config.Port = c.address, c.port
		_, err := newTestPool(t).Host(config).Run(testContext(t), echo)
		var u *Unreachable
		if !errors.As(err, &u) || u.Reason != c.reason {
			t.Errorf("%s: got %v, want %s", c.address, err, c.reason)
		}
	}
}

func TestIdleHostsAreSmall(t *testing.T) {
	const n, limit = 10000, 2048
	p := newTestPool(t)
	s := startServer(t)
	hosts := make([]*Host, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range hosts {
		hosts[i] = p.Host(s.config)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := int64(after.HeapAlloc-before.HeapAlloc) / n; per > limit {
		t.Errorf("%d bytes per host, want at most %d", per, limit)
	}
	runtime.KeepAlive(hosts)
}
