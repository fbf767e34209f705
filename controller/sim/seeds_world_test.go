package sim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"net/http"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/controller"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// epoch is when a bubble's clock begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// longest bounds the virtual time of a seed.
const longest = 48 * time.Hour

// world is one seed: a fleet, its users, its operators, its controllers and
// everything that goes wrong. Its lock guards all of it.
type world struct {
	seed    int64
	shape   shape
	menu    menu
	plan    *plan.Plan
	hosts   []*host
	book    *book // the one that counts
	rival   *book // of a second rollout over the same hosts, nil when there is none
	dav     map[string]doorFiles
	runs    sync.WaitGroup
	others  sync.WaitGroup // controllers beside the one that counts
	over    chan struct{}
	counts  map[string]int
	lines   []string
	loud    bool
	fails   bool   // hosts fail by themselves
	wrong   string // the first rule that was broken
	quit    bool   // the seed ends early
	machine bool   // snapshots are of whole machines
	lied    bool   // a driver said that it had put back what it had not

	mu       sync.Mutex
	writes   int
	acked    map[*instance][]int
	forgiven map[*instance]bool // an operator asked for a rollback that lost writes
	jump     time.Duration      // of the controllers' clock, all told
	events   int
	all      []*incarnation
	made     int
}

// incarnation is one process of the controller.
type incarnation struct {
	w       *world
	n       int
	rollout string
	book    *book
	calls   map[string]int
	cancel  context.CancelFunc
	killAt  int
	points  int
	rounds  int
	// attached is when it took a rollout up, claimed whether it went on from
	// there: by then the hosts know of it.
	attached time.Time
	claimed  bool
	barred   bool            // a host said that it is no longer the lease's
	refused  map[string]bool // and refused a change, by host
	dead     bool
	killed   bool // it did not leave by itself
	stale    bool
	frozen   chan struct{} // closed when the process is continued
	skew     time.Duration
	jumped   time.Duration
}

func newWorld(seed int64, loud bool) (*world, *rand.Rand, error) {
	rnd := rand.New(rand.NewSource(seed))
	w := &world{seed: seed, shape: drawShape(rnd), menu: drawMenu(rnd), over: make(chan struct{}), counts: map[string]int{}, loud: loud, dav: map[string]doorFiles{},
		acked: map[*instance][]int{}, forgiven: map[*instance]bool{}}
	w.shape.drawAsks(seed)
	for i, names := range w.shape.hosts {
		w.hosts = append(w.hosts, newHost(w, fmt.Sprint("h", i), names))
		if w.shape.noRivals {
			w.hosts[i].rivals = "none"
		}
	}
	p, err := w.shape.plan(w.hosts)
	if err != nil {
		return nil, nil, err
	}
	w.plan = p
	w.book = newBook(w, "r")
	return w, rnd, nil
}

func (w *world) host(name string) *host {
	for _, h := range w.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

// ledgerOf is the ledger that counts for a rollout.
func (w *world) ledgerOf(id string) *ledger {
	for _, b := range w.everyBook() {
		if b.rollout == id {
			return b.ledger
		}
	}
	return nil
}

func (w *world) count(what string) { w.counts[what]++ }

// everyBook is called with the world locked.
func (w *world) everyBook() []*book {
	if w.rival == nil {
		return []*book{w.book}
	}
	return []*book{w.book, w.rival}
}

func (w *world) mostEvents() int { return 400 + 200*len(w.book.ledger.steps) }

func (w *world) say(format string, a ...any) {
	if w.loud {
		w.lines = append(w.lines, fmt.Sprintf("%13s  ", time.Since(epoch).Round(time.Millisecond))+fmt.Sprintf(format, a...))
	}
}

// broken notes the first rule that was broken; the seed ends with it.
func (w *world) broken(rule, format string, a ...any) {
	if w.wrong != "" || w.quit {
		return
	}
	w.wrong = rule + ": " + fmt.Sprintf(format, a...)
	w.say("BROKEN %s", w.wrong)
	w.dieAll()
}

func (w *world) dieAll() {
	for _, in := range w.all {
		in.die()
	}
}

// point is a place where the controller may be killed; it says whether it was.
func (in *incarnation) point(where string) bool {
	in.points++
	if in.points == in.killAt {
		in.w.count("controller killed")
		in.w.say("%s/%d is killed at %s", in.rollout, in.n, where)
		in.die()
	}
	return in.dead
}

func (in *incarnation) die() {
	in.dead = true
	in.thaw()
	in.cancel()
}

// now is the clock of the controller's machine.
func (in *incarnation) now() time.Time {
	in.w.mu.Lock()
	defer in.w.mu.Unlock()
	return time.Now().Add(in.skew)
}

// thaw lets a stopped process go on.
func (in *incarnation) thaw() {
	if in.frozen != nil {
		close(in.frozen)
		in.frozen = nil
	}
}

func httpClient(in *incarnation) *http.Client { return &http.Client{Transport: outside{in}} }

// incarnate starts a controller on a book and runs it to its end.
func (w *world) incarnate(b *book, killAt int, drain <-chan struct{}) (*incarnation, rollout.Verdict, error) {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	w.mu.Lock()
	if b.holder != nil {
		w.count("refused by the journal's lock")
		w.mu.Unlock()
		return nil, "", errHeld
	}
	w.made++
	in := &incarnation{w: w, refused: map[string]bool{}, n: w.made, rollout: b.rollout, book: b, calls: map[string]int{}, cancel: cancel, killAt: killAt, jumped: w.jump}
	b.holder, w.all = in, append(w.all, in)
	if w.wrong != "" || w.quit {
		in.die()
	}
	w.mu.Unlock()
	c, err := controller.New(controller.Config{ID: b.rollout, Plan: w.plan, Digest: fmt.Sprint("seed ", w.seed), Journal: pages{in}, Performer: in.performer(), Sink: in, Who: fmt.Sprint("ops@c", in.n),
		Now: in.now, RequestEvery: 5 * time.Second})
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.broken("a plan is taken", "%v", err)
		return in, "", err
	}
	verdict, err := c.Run(ctx, drain)
	w.mu.Lock()
	defer w.mu.Unlock()
	b.holder, in.killed = nil, in.dead
	w.say("%s/%d leaves: %q %v", in.rollout, in.n, verdict, err)
	if errors.Is(err, context.DeadlineExceeded) {
		w.broken("the loop ends", "it does not within %s", longest)
	}
	if !in.dead {
		in.die()
	}
	w.checkReplay(b, c.State())
	return in, verdict, err
}

// Event and Waiting make an incarnation a sink.
func (in *incarnation) Event(e rollout.Event, s *rollout.State) {
	if e.Seq != s.Seq {
		in.w.mu.Lock()
		defer in.w.mu.Unlock()
		in.w.broken("replay equals live state", "event %d is told at state %d", e.Seq, s.Seq)
	}
}

// Waiting counts how often the loop goes round for nothing.
func (in *incarnation) Waiting([]string, *rollout.State) {
	if in.rounds++; in.rounds == 60_000 {
		in.w.mu.Lock()
		defer in.w.mu.Unlock()
		in.w.broken("the loop ends", "it goes round for nothing")
	}
}

// checkReplay folds the journal anew and compares: what lived must be what is
// read back.
func (w *world) checkReplay(b *book, live *rollout.State) {
	again, err := rollout.New(w.plan, nil)
	if err != nil || live.Seq > int64(len(b.events)) {
		w.broken("replay equals live state", "the journal ends at %d, the state is at %d: %v", len(b.events), live.Seq, err)
		return
	}
	for _, e := range b.events[:live.Seq] {
		if err := again.Apply(e); err != nil {
			w.broken("replay equals live state", "%v", err)
			return
		}
	}
	if a, b := dump(live), dump(again); a != b {
		w.broken("replay equals live state", "live %s\nreplayed %s", a, b)
	}
}

func dump(s *rollout.State) string {
	c := *s
	c.Plan, c.Zones = nil, nil
	b, err := json.Marshal(&c)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
