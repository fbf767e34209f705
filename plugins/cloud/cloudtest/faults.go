package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Target is what the suite of faults needs.
type Target struct {
	// New returns an unconfigured driver. The proxy stands between every one
	// and its provider.
	New     func(t *testing.T) driver.Snapshotter
	Config  driver.Config // poll should be a few milliseconds
	Subject driver.Subject
	Runner  driver.Runner
	Proxy   *Proxy
	// Change alters every disk that a snapshot captures; State describes them.
	Change func(t *testing.T)
	State  func(t *testing.T) string
	// Kept counts what the provider really holds of a key, in whatever state:
	// snapshots, and volumes that a restore replaced or never attached.
	Kept func(t *testing.T, key string) (snapshots, volumes int)
	// Want is how many snapshots one key has.
	Want int
	// Boots counts the machine's boots; a restore without one is none. Nil for
	// a provider that cannot tell.
	Boots func(t *testing.T) int
	// Hide keeps new things out of lists for some reads. Nil skips that fault,
	// with a line that says so.
	Hide func(reads int)
	// Quota makes the next snapshot exceed a limit, and returns how to lift it.
	// Nil skips that test.
	Quota func(t *testing.T) (lift func())
	// Kinds are the faults to inject; nil injects all.
	Kinds []Fault
	// Limit bounds one driver call, so that a driver that hangs is seen; 30 s
	// by default.
	Limit time.Duration
}

// phase is one of a snapshot's calls.
type phase string

var phases = []phase{"create", "verify", "restore", "delete"}

// tries bounds how often a call is repeated while its error is Retryable, as
// the controller does.
const tries = 4

// suite is one run.
type suite struct {
	Target
	n    int // keys used
	turn int // of the faults of calls that look
	rows []row
}

// Run injects each fault at the first and the last call of each route of
// Create, Verify, Restore and Delete, and checks that afterwards there is
// exactly one snapshot of the key, that the restored contents are right, that
// nothing is left behind, and that an error is of the right class. It prints a
// table of what was injected and what happened. See kinds for which faults which
// call gets.
func Run(t *testing.T, c Target) {
	if c.Kinds == nil {
		c.Kinds = Faults()
	}
	if c.Limit == 0 {
		c.Limit = 30 * time.Second
	}
	s := &suite{Target: c}
	routes := map[phase][]point{}
	t.Run("without a fault", func(t *testing.T) {
		for _, p := range phases {
			routes[p] = nil
		}
		s.life(t, "", nil, func(p phase, calls []Call) { routes[p] = points(calls) })
	})
	if t.Failed() {
		return
	}
	for _, p := range phases {
		for _, at := range routes[p] {
			for _, f := range s.kinds(at) {
				t.Run(fmt.Sprintf("%s/%s/%s", p, at.name(), f), func(t *testing.T) { s.inject(t, p, at, f) })
			}
		}
	}
	t.Run("new things are invisible", s.hidden)
	t.Run("refused credentials", s.auth)
	t.Run("rate limit that does not end", s.limited)
	t.Run("quota", s.quota)
	t.Run("machine gone", s.gone)
	s.print(t)
}

// kinds are the faults of one call. The first of the calls that change something
// gets them all; the last of them, and one that only looks, get two in turn, and
// all when the environment says NCFLEET_FAULTS=all.
func (s *suite) kinds(at point) []Fault {
	if at.nth == 0 && !strings.HasPrefix(at.route, "GET ") || os.Getenv("NCFLEET_FAULTS") == "all" || len(s.Kinds) < 3 {
		return s.Kinds
	}
	s.turn += 2
	return []Fault{s.Kinds[s.turn%len(s.Kinds)], s.Kinds[(s.turn+1)%len(s.Kinds)]}
}

// point is a call to spoil: the nth of its route.
type point struct {
	route string
	nth   int // 0 the first, -1 the last
	of    int
}

func (p point) name() string {
	if p.nth == 0 {
		return p.route + " (first)"
	}
	return p.route + " (last)"
}

func points(calls []Call) []point {
	count := map[string]int{}
	var order []string
	for _, c := range calls {
		r := c.Route()
		if count[r] == 0 {
			order = append(order, r)
		}
		count[r]++
	}
	var out []point
	for _, r := range order {
		out = append(out, point{r, 0, count[r]})
		if count[r] > 1 {
			out = append(out, point{r, -1, count[r]})
		}
	}
	return out
}

// decide spoils one call.
func (p point) decide(f Fault) (decide func(int, Call) Fault, hit *bool) {
	seen := 0
	hit = new(bool)
	return func(_ int, c Call) Fault {
		if c.Route() != p.route || *hit {
			return ""
		}
		seen++
		if p.nth == 0 || seen >= p.of {
			*hit = true
			return f
		}
		return ""
	}, hit
}

func (s *suite) open(t *testing.T) driver.Snapshotter {
	t.Helper()
	d := s.New(t)
	if err := d.Configure(t.Context(), s.Config); err != nil {
		t.Fatalf("Configure: %v", err)
	}
	return d
}

func (s *suite) key() string {
	s.n++
	return fmt.Sprintf("faults/%03d.host-1", s.n)
}

// life takes, proves, restores and deletes one snapshot, with faults in one of
// the phases; calls hears what each phase asked the provider.
func (s *suite) life(t *testing.T, in phase, decide func(int, Call) Fault, calls func(phase, []Call)) string {
	t.Helper()
	d, key := s.open(t), s.key()
	before := s.State(t)
	var h driver.Handle
	told := ""
	for _, p := range phases {
		s.Proxy.Reset()
		if p == in {
			s.Proxy.Inject(decide)
		}
		boots := 0
		if p == "restore" {
			s.Change(t)
			if s.Boots != nil {
				boots = s.Boots(t)
			}
		}
		said := s.perform(t, &d, p, key, &h)
		if p == in {
			told = said
		}
		if calls != nil {
			calls(p, s.Proxy.Calls())
		}
		s.Proxy.Reset()
		s.check(t, p, key, before, boots)
	}
	return told
}

// perform does one phase, again while it fails as Retryable, and by another
// driver when it was killed.
func (s *suite) perform(t *testing.T, d *driver.Snapshotter, p phase, key string, h *driver.Handle) string {
	t.Helper()
	told := "absorbed"
	for try := 1; ; try++ {
		ctx, stop := context.WithTimeout(t.Context(), s.Limit)
		killed := false
		s.Proxy.onKill(func() { killed = true; stop() })
		err := s.call(ctx, t, *d, p, key, h)
		stop()
		s.Proxy.onKill(nil)
		switch {
		case err == nil:
			return told
		case try == tries, driver.ClassOf(err) != driver.Retryable && !killed:
			t.Fatalf("%s of %s, try %d: class %s: %v", p, key, try, driver.ClassOf(err), err)
		case killed:
			*d = s.open(t)
			told = "done by the next driver"
		default:
			told = fmt.Sprintf("retryable, done at try %d", try+1)
		}
	}
}

func (s *suite) check(t *testing.T, p phase, key, before string, boots int) {
	t.Helper()
	snapshots, volumes := s.Kept(t, key)
	switch p {
	case "create", "verify":
		if snapshots != s.Want || volumes != 0 {
			t.Errorf("after %s: %d snapshots and %d volumes of the key, want %d and none", p, snapshots, volumes, s.Want)
		}
		if got := s.State(t); got != before {
			t.Errorf("%s changed the machine:\n%s\nbefore:\n%s", p, got, before)
		}
	case "restore":
		if snapshots != s.Want {
			t.Errorf("after restore: %d snapshots of the key, want %d", snapshots, s.Want)
		}
		if got := s.State(t); got != before {
			t.Errorf("restore did not bring the machine back:\n%s\nbefore:\n%s", got, before)
		}
		if s.Boots != nil && s.Boots(t) == boots {
			t.Error("restore did not restart the machine")
		}
	case "delete":
		if snapshots != 0 || volumes != 0 {
			t.Errorf("after delete: %d snapshots and %d volumes of the key are left", snapshots, volumes)
		}
		if got := s.State(t); got != before {
			t.Errorf("delete changed the machine:\n%s\nbefore:\n%s", got, before)
		}
	}
}

func (s *suite) inject(t *testing.T, p phase, at point, f Fault) {
	decide, hit := at.decide(f)
	told := s.life(t, p, decide, nil)
	if !*hit {
		told = "not reached: the call was not made this time"
	}
	s.note(row{phase: p, call: at.name(), fault: f, what: told})
}

func (s *suite) hidden(t *testing.T) {
	if s.Hide == nil {
		t.Skip("the target has no way to hide what is new")
	}
	for _, reads := range []int{1, 3, 6} {
		s.Hide(reads)
		told := s.life(t, "create", nil, nil)
		s.Hide(0)
		s.note(row{phase: "create", call: fmt.Sprintf("all, for %d reads", reads), fault: Hidden, what: told})
		// Invisible, and the answer to the call that made it lost.
		s.Hide(reads)
		post := false
		told = s.life(t, "create", func(_ int, c Call) Fault {
			if c.Method == "POST" && !post && reads < 6 {
				post = true
				return Lost
			}
			return ""
		}, nil)
		s.Hide(0)
		s.note(row{phase: "create", call: fmt.Sprintf("all, for %d reads, first POST lost", reads), fault: Hidden, what: told})
	}
}

func (s *suite) auth(t *testing.T) {
	for _, status := range []int{401, 403} {
		s.Proxy.Always("", func(Call) int { return status })
		err := s.New(t).Configure(t.Context(), s.Config)
		s.Proxy.Reset()
		if driver.ClassOf(err) != driver.Auth {
			t.Errorf("Configure with refused credentials (%d): class %s, want auth: %v", status, driver.ClassOf(err), err)
		}
		s.note(row{phase: "configure", call: "all", fault: Fault(fmt.Sprintf("%d before", status)), what: "class " + string(driver.ClassOf(err))})
		d, key := s.open(t), s.key()
		s.Proxy.Always("", func(Call) int { return status })
		_, err = d.Create(t.Context(), driver.SnapshotRequest{Key: key, Subject: s.Subject}, s.Runner)
		calls := len(s.Proxy.Calls())
		s.Proxy.Reset()
		if driver.ClassOf(err) != driver.Auth || calls > 2 {
			t.Errorf("Create with refused credentials (%d): class %s after %d calls, want auth at once: %v", status, driver.ClassOf(err), calls, err)
		}
		s.note(row{phase: "create", call: "all", fault: Fault(fmt.Sprintf("%d before", status)), what: fmt.Sprintf("class %s, %d calls", driver.ClassOf(err), calls)})
	}
}

func (s *suite) limited(t *testing.T) {
	d, key := s.open(t), s.key()
	for _, status := range []int{429, 503} {
		s.Proxy.Always("1", func(c Call) int { return status })
		ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
		_, err := d.Create(ctx, driver.SnapshotRequest{Key: key, Subject: s.Subject}, s.Runner)
		stop()
		calls := len(s.Proxy.Calls())
		s.Proxy.Reset()
		if driver.ClassOf(err) != driver.Retryable {
			t.Errorf("Create while the provider says %d: class %s, want retryable: %v", status, driver.ClassOf(err), err)
		}
		if calls > 8 {
			t.Errorf("%d calls in three seconds although the provider says Retry-After: 1", calls)
		}
		var e *driver.Error
		if !errors.As(err, &e) || e.After != time.Second {
			t.Errorf("Create while the provider says %d: the error does not carry Retry-After: %#v", status, e)
		}
		s.note(row{phase: "create", call: "all, without end", fault: Fault(fmt.Sprintf("%d, Retry-After: 1", status)), what: fmt.Sprintf("class %s, %d calls in 3 s", driver.ClassOf(err), calls)})
	}
	if n, v := s.Kept(t, key); n+v != 0 {
		t.Errorf("%d snapshots and %d volumes were made", n, v)
	}
}

func (s *suite) quota(t *testing.T) {
	if s.Quota == nil {
		t.Skip("the target has no way to exceed a limit")
	}
	d, key := s.open(t), s.key()
	r := driver.SnapshotRequest{Key: key, Subject: s.Subject}
	lift := s.Quota(t)
	s.Proxy.Reset()
	_, err := d.Create(t.Context(), r, s.Runner)
	calls := len(s.Proxy.Calls())
	lift()
	t.Log(err)
	if driver.ClassOf(err) != driver.Quota {
		t.Errorf("Create beyond the provider's limit: class %s, want quota: %v", driver.ClassOf(err), err)
	}
	s.note(row{phase: "create", call: "all", fault: "quota exceeded", what: fmt.Sprintf("class %s, %d calls", driver.ClassOf(err), calls)})
	h, err := d.Create(t.Context(), r, s.Runner)
	if err != nil {
		t.Fatalf("Create once the limit is lifted: %v", err)
	}
	if n, _ := s.Kept(t, key); n != s.Want {
		t.Errorf("%d snapshots of the key, want %d", n, s.Want)
	}
	if err := d.Delete(t.Context(), h, s.Runner); err != nil {
		t.Error(err)
	}
}

// gone asks for a machine that the provider does not know.
func (s *suite) gone(t *testing.T) {
	d := s.open(t)
	subject := s.Subject
	subject.Host, subject.Labels = "no-such-machine-9", nil
	_, err := d.Cover(t.Context(), subject, s.Runner)
	if driver.ClassOf(err) != driver.NotFound || !strings.Contains(fmt.Sprint(err), "no-such-machine-9") {
		t.Errorf("Cover of a machine that is not there: class %s, want not_found with its name: %v", driver.ClassOf(err), err)
	}
	s.note(row{phase: "cover", call: "machine", fault: "404", what: "class " + string(driver.ClassOf(err))})
}
