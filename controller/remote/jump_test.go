package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// count counts the lines of the daemon's log that hold a text.
func (s *sshd) count(text string) int { return strings.Count(s.said(), text) }

// behind are hosts that are reached through the bastion.
func behind(t testing.TB, bastion Config, n int) []Config {
	t.Helper()
	end := startServer(t)
	out := make([]Config, n)
	for i := range out {
		out[i] = end.config
		out[i].Name = fmt.Sprintf("web%d", i)
		out[i].Jump = []Config{bastion}
		out[i].ConnectTimeout, out[i].HandshakeTimeout = time.Minute, time.Minute // many at once on a busy machine
	}
	return out
}

// TestBastionWithDefaultsTakesAFleet holds more connections through one real
// sshd than its MaxSessions, MaxStartups and handshakes have room for.
func TestBastionWithDefaultsTakesAFleet(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, "LogLevel VERBOSE")
	p := newTestPool(t)
	var wg sync.WaitGroup
	hosts := make([]*Host, 40)
	for i, c := range behind(t, s.config, len(hosts)) {
		hosts[i] = p.Host(c)
		wg.Go(func() { expect(t, hosts[i], echo, "hi\n") })
	}
	wg.Wait()
	for _, h := range hosts {
		if h.conn == nil || !h.conn.alive() {
			t.Errorf("%s is not connected any more", h.Name())
		}
	}
	if n := s.count("Accepted publickey"); n != 1 {
		t.Errorf("%d connections to the bastion, want 1", n)
	}
	s.severConnections(t)
	for _, h := range hosts {
		wg.Go(func() { expect(t, h, echo, "hi\n") })
	}
	wg.Wait()
	if n := s.count("Accepted publickey"); n != 2 {
		t.Errorf("%d connections to the bastion after it broke, want one more", n)
	}
}

func TestFullBastionConnections(t *testing.T) {
	s := startServer(t)
	bastion := s.config
	bastion.Bounds = JumpLimits{Channels: 3, Connections: 2}
	p := newTestPool(t)
	var hosts []*Host
	for _, c := range behind(t, bastion, 7) {
		hosts = append(hosts, p.Host(c))
	}
	for _, h := range hosts[:6] {
		expect(t, h, echo, "hi\n")
	}
	if n := s.dials.Load(); n != 2 {
		t.Errorf("%d connections to the bastion for 6 hosts, 3 on each; want 2", n)
	}
	ctx, stop := context.WithTimeout(testContext(t), 200*time.Millisecond)
	defer stop()
	if _, err := hosts[6].Run(ctx, echo); err == nil || !strings.Contains(err.Error(), "2 connections with 3 hosts on each") {
		t.Errorf("a seventh: %v", err)
	}
	if err := hosts[2].Disconnect(); err != nil {
		t.Fatal(err)
	}
	expect(t, hosts[6], echo, "hi\n")
	if n := s.dials.Load(); n != 2 {
		t.Errorf("%d connections to the bastion in the end", n)
	}
}

func TestForwardingForbidden(t *testing.T) {
	t.Parallel()
	for _, option := range []string{"AllowTcpForwarding no", "PermitOpen 192.0.2.1:22", "DisableForwarding yes"} {
		t.Run(option, func(t *testing.T) {
			t.Parallel()
			s := startSSHD(t, option)
			s.config.Name = "gate"
			c := behind(t, s.config, 1)[0]
			_, err := newTestPool(t).Host(c).Run(testContext(t), echo)
			var u *Unreachable
			if !errors.As(err, &u) || u.Reason != ReasonForwarding {
				t.Fatalf("got %v", err)
			}
			for _, want := range []string{"web0 (", "bastion gate (", "to forward to " + c.endpoint(), "AllowTcpForwarding", "PermitOpen", "port-forwarding"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

// TestBastionWithoutFileDescriptors lets a real sshd run out of them.
func TestBastionWithoutFileDescriptors(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("prlimit"); err != nil {
		t.Skip("no prlimit on this machine, which lowers the limit of a process")
	}
	s := startSSHD(t)
	if out, err := exec.Command("prlimit", "--pid", strconv.Itoa(s.pid), "--nofile=40:40").CombinedOutput(); err != nil {
		t.Skipf("the limit cannot be lowered: %v: %s", err, out)
	}
	p := newTestPool(t)
	var wg sync.WaitGroup
	errs := make(chan error, 50)
	for _, c := range behind(t, s.config, cap(errs)) {
		wg.Go(func() {
			_, err := p.Host(c).Run(testContext(t), echo)
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	reached, told := 0, 0
	for err := range errs {
		switch {
		case err == nil:
			reached++
		case strings.Contains(err.Error(), "Too many open files") && strings.Contains(err.Error(), "lower channels in its bastion block (200)"):
			told++
		default:
			t.Error(err)
		}
	}
	if reached == 0 || told == 0 {
		t.Errorf("%d hosts reached, %d refused for want of file descriptors; want some of each", reached, told)
	}
}

func TestBastionIsTriedMoreOften(t *testing.T) {
	s := startServer(t)
	s.closeEarly.Store(5)
	p := newTestPool(t)
	expect(t, p.Host(behind(t, s.config, 1)[0]), echo, "hi\n")
	if n := s.dials.Load(); n != 6 {
		t.Errorf("%d dials of a bastion that closes 5 times", n)
	}
	bastion := Config{bastion: true}
	for _, c := range []struct {
		c      *Config
		reason string
		try    int
		want   bool
	}{
		{&Config{}, ReasonClosed, 2, true}, {&Config{}, ReasonClosed, 3, false}, {&Config{}, ReasonRefused, 0, false},
		{&bastion, ReasonClosed, 5, true}, {&bastion, ReasonRefused, 5, true}, {&bastion, ReasonRefused, 6, false}, {&bastion, ReasonTimeout, 0, false},
	} {
		wait, got := p.again(c.c, c.reason, c.try)
		if got != c.want || wait > 8*time.Second {
			t.Errorf("bastion %t, %s, try %d: %t after %s", c.c.bastion, c.reason, c.try, got, wait)
		}
	}
}

func TestBastionThatBreaksWhileItForwards(t *testing.T) {
	s := startServer(t)
	s.dropForward.Store(3)
	expect(t, newTestPool(t).Host(behind(t, s.config, 1)[0]), echo, "hi\n")
	if n := s.dials.Load(); n != 4 {
		t.Errorf("%d connections to a bastion that broke 3 times, want 4", n)
	}
}

func TestUnreachableBastionIsNamed(t *testing.T) {
	s := startServer(t)
	bastion := s.config
	bastion.Name, bastion.Port = "gate", freePort(t)
	p := NewPool(Limits{Retries: -1})
	t.Cleanup(func() { p.Close() })
	_, err := p.Host(behind(t, bastion, 1)[0]).Run(testContext(t), echo)
	if err == nil || !strings.Contains(err.Error(), "cannot reach host web0 (") || !strings.Contains(err.Error(), "through its bastion: cannot connect to host gate (") {
		t.Errorf("got %v", err)
	}
}

// TestRefusingBastionIsLeftAlone counts the logins that it is asked for.
func TestRefusingBastionIsLeftAlone(t *testing.T) {
	s := startServer(t)
	bastion := s.config
	bastion.User = "stranger"
	bastion.Keys = []string{filepath.Join(t.TempDir(), "id")}
	newKey(t, bastion.Keys[0])
	for rest, want := range map[time.Duration]int32{time.Hour: 1, time.Nanosecond: 3} {
		s.dials.Store(0)
		p := NewPool(Limits{Rest: rest})
		t.Cleanup(func() { p.Close() })
		for _, c := range behind(t, bastion, 3) {
			_, err := p.Host(c).Run(testContext(t), echo)
			var refused *AuthError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), "cannot reach host "+c.Name) {
				t.Errorf("got %v", err)
			}
		}
		if n := s.dials.Load(); n != want {
			t.Errorf("with a rest of %s: %d logins, want %d", rest, n, want)
		}
	}
}

// TestSiteBoundsAttempts lets the hosts of a site stall in their handshakes.
func TestSiteBoundsAttempts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	arrived := make(chan net.Conn, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			arrived <- c
		}
	}()
	s := startServer(t)
	slow := s.config
	slow.Port = l.Addr().(*net.TCPAddr).Port
	slow.Sites = []Site{{"berlin", 2}, {"all", 9}}
	p := NewPool(Limits{Retries: -1})
	t.Cleanup(func() { p.Close() })
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if _, err := p.Host(slow).Run(testContext(t), echo); err == nil {
				t.Error("a host that says nothing answered")
			}
		})
	}
	open := []net.Conn{<-arrived, <-arrived}
	elsewhere := s.config
	elsewhere.Sites = []Site{{"paris", 2}, {"all", 9}}
	expect(t, p.Host(elsewhere), echo, "hi\n")
	if len(arrived) > 0 {
		t.Error("a third host of the site was dialled")
	}
	for len(open) > 0 {
		open[0].Close()
		if open = open[1:]; len(open) < 2 {
			select {
			case c := <-arrived:
				open = append(open, c)
			case <-waited(&wg):
			}
		}
	}
	wg.Wait()
}

func waited(wg *sync.WaitGroup) <-chan struct{} {
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	return done
}
