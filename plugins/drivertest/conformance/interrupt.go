package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// recorder notes the command lines that pass through it.
type recorder struct {
	run  driver.Runner
	mu   sync.Mutex
	seen []driver.Command
}

func (r *recorder) Run(ctx context.Context, c driver.Command) (driver.Result, error) {
	r.mu.Lock()
	r.seen = append(r.seen, driver.Command{Argv: slices.Clone(c.Argv), Dir: c.Dir})
	r.mu.Unlock()
	return r.run.Run(ctx, c)
}

// secrets looks through every command line of the whole run.
func (s *snapshots) secrets(t T) {
	s.argv.mu.Lock()
	seen := s.argv.seen
	s.argv.mu.Unlock()
	checkCommands(t, "command", seen)
	var names []string
	for _, a := range s.info.Schema.Attributes {
		if v, ok := s.Config[a.Name].(string); ok && a.Secret && len(v) >= 4 {
			names = append(names, a.Name)
			for _, c := range seen {
				if strings.Contains(strings.Join(c.Argv, "\x00"), v) {
					t.Errorf("the secret %q is in the command line of %q", a.Name, c.Argv[0])
					break
				}
			}
		}
	}
	if len(names) == 0 && len(seen) == 0 {
		t.Skipf("the driver has no secret and runs no command")
	}
}

// moment says when in a call something happens.
type moment struct {
	command int    // before, during or after this command of the Runner, from 1
	when    string // "before", "during" or "after"
	share   float64
}

func (m moment) String() string {
	if m.command == 0 {
		return fmt.Sprintf("after %.0f %% of its usual time", m.share*100)
	}
	return fmt.Sprintf("%s command %d", m.when, m.command)
}

// meddler is a Runner that disturbs one command.
type meddler struct {
	run    driver.Runner
	at     moment
	act    func()
	fails  bool // the disturbed command's outcome is lost
	count  atomic.Int32
	active sync.WaitGroup
}

var errLost = errors.New("cannot reach the host: the connection was lost")

func (m *meddler) Run(ctx context.Context, c driver.Command) (r driver.Result, err error) {
	m.active.Add(1)
	defer m.active.Done()
	if int(m.count.Add(1)) != m.at.command {
		return m.run.Run(ctx, c)
	}
	if m.at.when == "before" {
		m.act()
	}
	if m.at.when == "before" && m.fails {
		return driver.Result{Exit: -1}, errLost
	}
	if m.at.when == "during" {
		defer time.AfterFunc(15*time.Millisecond, m.act).Stop()
	}
	r, err = m.run.Run(ctx, c)
	if m.at.when == "after" {
		m.act()
	}
	if m.fails {
		return driver.Result{Exit: -1}, errLost
	}
	return r, err
}

// settled waits until no command of a given-up call runs any more.
func (m *meddler) settled() {
	done := make(chan struct{})
	go func() { m.active.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(soon):
	}
}

// rehearse makes an undisturbed call and returns the moments at which to
// disturb the next one: around its first, middle and last command, or by time
// when the driver runs none.
func (s *snapshots) rehearse(call func(run driver.Runner), whens ...string) []moment {
	m := &meddler{run: s.Runner}
	begun := time.Now()
	call(m)
	n := int(m.count.Load())
	s.usual = time.Since(begun)
	if n == 0 {
		return []moment{{share: 0.2}, {share: 0.5}, {share: 0.8}}
	}
	points := []int{1, (n + 1) / 2, n}
	var out []moment
	for _, c := range slices.Compact(points) {
		for _, when := range whens {
			out = append(out, moment{command: c, when: when})
		}
	}
	return out
}

// disturb makes one call and disturbs it at the moment.
func (s *snapshots) disturb(t T, at moment, act func(cancel func()), fails bool, call func(ctx context.Context, run driver.Runner) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m := &meddler{run: s.Runner, at: at, fails: fails, act: func() { act(cancel) }}
	if at.command == 0 {
		defer time.AfterFunc(time.Duration(float64(s.usual)*at.share), m.act).Stop()
	}
	done := make(chan error, 1)
	go func() {
		defer close(done)
		defer guard(t, "the disturbed call")
		done <- call(ctx, m)
	}()
	select {
	case err := <-done:
		if driver.ClassOf(err) == driver.Panicked {
			t.Errorf("disturbed %s, the driver panicked: %v", at, err)
		}
	case <-time.After(s.usual + soon):
		t.Errorf("disturbed %s, the call had not returned %s later", at, soon)
		cancel()
	}
	m.settled()
}

// interruptions are the promises about what goes wrong in the middle of a call.
func (s *snapshots) interruptions() []promise {
	const fixCreate = "Build beside the final place and finish by one atomic step; let Create clear and redo what it finds half made."
	const fixRestore = "Let every step of Restore find out what is done already, so that a second Restore brings the same state whatever the first one left."
	lost := disturbance{whens: []string{"before", "after"}, fails: true, act: func(func(), driver.Snapshotter, T) {}}
	given := disturbance{whens: []string{"during"}, act: func(cancel func(), _ driver.Snapshotter, _ T) { cancel() }}
	out := []promise{
		{Promise{"host lost in the middle of create", fixCreate}, func(t T) { s.interruptedCreate(t, "lost", lost) }},
		{Promise{"host lost in the middle of restore", fixRestore}, func(t T) { s.interruptedRestore(t, "lost", lost) }},
		{Promise{"cancelled in the middle of create", fixCreate}, func(t T) { s.interruptedCreate(t, "given-up", given) }},
		{Promise{"cancelled in the middle of restore", fixRestore}, func(t T) { s.interruptedRestore(t, "given-up", given) }},
	}
	if s.Kill == nil {
		return out
	}
	killed := disturbance{whens: []string{"before", "during", "after"}, act: func(_ func(), d driver.Snapshotter, t T) { s.Kill(t, d) }}
	return append(out,
		promise{Promise{"killed in the middle of create", fixCreate}, func(t T) { s.interruptedCreate(t, "killed", killed) }},
		promise{Promise{"killed in the middle of restore", fixRestore}, func(t T) { s.interruptedRestore(t, "killed", killed) }},
	)
}

// disturbance is what goes wrong, and when in a command it does.
type disturbance struct {
	whens []string
	fails bool
	act   func(cancel func(), d driver.Snapshotter, t T)
}

func (s *snapshots) interruptedCreate(t T, name string, what disturbance) {
	d, before := s.open(t), s.State(t)
	moments := s.rehearse(func(run driver.Runner) {
		h, err := d.Create(t.Context(), s.request(name+"-rehearsal"), run)
		if err != nil {
			t.Fatalf("Create: %v", err)
		}
		s.drop(t, d, h)
	}, what.whens...)
	for i, at := range moments {
		key, d := fmt.Sprintf("%s-%d", name, i), s.open(t)
		s.disturb(t, at, func(cancel func()) { what.act(cancel, d, t) }, what.fails, func(ctx context.Context, run driver.Runner) error {
			_, err := d.Create(ctx, s.request(key), run)
			return err
		})
		after := s.open(t)
		h, err := after.Create(t.Context(), s.request(key), s.Runner)
		if err != nil {
			t.Errorf("Create was disturbed %s; the next Create of the key failed: %v", at, err)
			continue
		}
		if v, err := after.Verify(t.Context(), h, s.Runner); err != nil || !v.Verified {
			t.Errorf("Create was disturbed %s; the snapshot of the next Create does not verify: %+v, error %v", at, v, err)
		}
		if n := s.listed(t, after, key); n != 1 {
			t.Errorf("Create was disturbed %s; after the next one List shows %d snapshots of the key, want 1", at, n)
		}
		if s.State(t) != before {
			t.Errorf("Create was disturbed %s, and the target changed", at)
		}
		s.drop(t, after, h)
		if n := s.listed(t, after, key); n != 0 {
			t.Errorf("Create was disturbed %s; after Delete List still shows %d snapshots of the key", at, n)
		}
	}
}

func (s *snapshots) interruptedRestore(t T, name string, what disturbance) {
	d, before := s.open(t), s.State(t)
	h := s.create(t, d, name+"-restore")
	moments := s.rehearse(func(run driver.Runner) {
		s.Change(t)
		if err := d.Restore(t.Context(), h, s.Subject, run); err != nil {
			t.Fatalf("Restore: %v", err)
		}
	}, what.whens...)
	for _, at := range moments {
		s.Change(t)
		d := s.open(t)
		s.disturb(t, at, func(cancel func()) { what.act(cancel, d, t) }, what.fails, func(ctx context.Context, run driver.Runner) error {
			return d.Restore(ctx, h, s.Subject, run)
		})
		after := s.open(t)
		if err := after.Restore(t.Context(), h, s.Subject, s.Runner); err != nil {
			t.Fatalf("Restore was disturbed %s; the next one failed: %v", at, err)
		}
		if got := s.State(t); got != before {
			t.Fatalf("Restore was disturbed %s; the next one did not bring the target back\nbefore:\n%s\nafter:\n%s", at, before, got)
		}
		if v, err := after.Verify(t.Context(), h, s.Runner); err != nil || !v.Verified {
			t.Errorf("Restore was disturbed %s; the snapshot does not verify any more: %+v, error %v", at, v, err)
		}
	}
	s.drop(t, d, h)
}
