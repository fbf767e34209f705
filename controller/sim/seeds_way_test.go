package sim_test

import (
	"errors"
	"math/rand"
	"time"

	"github.com/ncfleet/ncfleet/controller"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// mostControllers bounds how many controllers a seed starts one after another.
const mostControllers = 24

var errStopped = errors.New("this controller was stopped")

// through lives the seed from the first controller to the last.
func (w *world) through(rnd *rand.Rand) {
	wishes := w.drawWishes(rnd)
	incidents := w.drawIncidents(rnd)
	after := rand.New(rand.NewSource(rnd.Int63()))
	w.runs.Go(func() { w.live(incidents) })
	w.runs.Go(func() { w.wish(wishes) })
	w.runs.Go(w.approvers)
	if w.menu.rival > 0 {
		w.others.Go(func() { w.rivalRollout() })
	}
	if w.menu.second {
		w.runs.Go(func() {
			if w.sleep(2*time.Minute + w.jitter("second")) {
				w.incarnate(w.book, 0, nil)
			}
		})
	}
	s := w.controllers(after)
	w.others.Wait()
	close(w.over)
	w.runs.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if s != nil && w.wrong == "" {
		w.checkAtRest(w.book, s)
	}
	w.summarise(s)
}

// controllers starts one controller after another until the rollout has a
// verdict that nobody asks to change.
func (w *world) controllers(rnd *rand.Rand) *rollout.State {
	for n := 0; n < mostControllers; n++ {
		kill := 0
		if n < len(w.menu.kills) {
			kill = w.menu.kills[n]
		}
		var drain chan struct{}
		if w.menu.drain && n == 0 {
			drain = make(chan struct{})
			w.runs.Go(func() {
				if w.sleep(3*time.Minute + w.jitter("drain")) {
					close(drain)
				}
			})
		}
		incarnate := w.incarnate
		if n == 0 && w.menu.stale > 0 {
			incarnate = w.stopped
		}
		in, verdict, err := incarnate(w.book, kill, drain)
		w.mu.Lock()
		wrong := w.wrong != "" || w.quit
		switch {
		case wrong:
		case errors.Is(err, errStopped):
		case in != nil && len(in.refused) > 0 && !in.killed && !in.stale && !errors.Is(err, controller.ErrFenced):
			w.broken("a fenced-off controller leaves", "it left with %v", err)
		case in != nil && in.barred && errors.Is(err, controller.ErrFenced):
			w.count("left, as its lease was broken")
		case w.menu.gone && in != nil && in.killed:
			w.mu.Unlock()
			w.nobodyComes()
			return nil
		case errors.Is(err, errHeld):
			n-- // by the second controller, which goes on
		case err == nil:
			w.count("verdict " + string(verdict))
			if n > mostControllers-4 || !w.askAfterwards(rnd) {
				w.mu.Unlock()
				return w.replayed(w.book)
			}
		case errors.Is(err, controller.ErrPaused):
			w.count("drained")
			w.book.ask(rollout.Event{Kind: rollout.EventResumed})
		case !errors.Is(err, errDead) && !errors.Is(err, controller.ErrDetached):
			w.broken("the loop goes on", "it left: %v", err)
		}
		w.mu.Unlock()
		if wrong {
			return nil
		}
		w.sleep(time.Duration(rnd.Int63n(int64(40 * time.Second))))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken("the loop ends", "not after %d controllers", mostControllers)
	return nil
}

// stopped starts a controller that is stopped, as by SIGSTOP, after a while. Its
// folder is copied and the rollout goes on from the copy; it returns then. When
// the first one is continued it finds itself passed by.
func (w *world) stopped(b *book, kill int, drain <-chan struct{}) (in *incarnation, verdict rollout.Verdict, err error) {
	ended := make(chan struct{})
	w.others.Go(func() {
		in, verdict, err = w.incarnate(b, kill, drain)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(in.refused) > 0 && !in.killed && !errors.Is(err, controller.ErrFenced) {
			w.broken("a fenced-off controller leaves", "it left with %v", err)
		}
		if in.stale {
			w.count(map[bool]string{true: "stale controller fenced off", false: "stale controller had nothing to change"}[errors.Is(err, controller.ErrFenced)])
		}
		close(ended)
	})
	timer := time.NewTimer(w.menu.stale)
	defer timer.Stop()
	select {
	case <-ended:
		return in, verdict, err
	case <-timer.C:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	first := b.holder
	if first == nil || first.dead {
		return nil, "", errStopped
	}
	first.stale, first.frozen = true, make(chan struct{})
	w.count("controller stopped, another one takes over")
	w.say("%s/%d is stopped; its folder is copied", first.rollout, first.n)
	w.book = b.copied()
	w.others.Go(func() {
		w.sleep(w.menu.back)
		w.mu.Lock()
		defer w.mu.Unlock()
		for n := len(b.events); !w.came(w.book, n); { // else it is the only one there is
			w.mu.Unlock()
			w.sleep(time.Minute)
			w.mu.Lock()
		}
		w.say("%s/%d is continued", first.rollout, first.n)
		first.thaw()
		w.mu.Unlock()
		w.sleep(time.Hour) // it may wait for an operator who does not know it any more
		w.mu.Lock()
		first.die()
	})
	return nil, "", errStopped
}

// came reports whether a controller took the copy up and had time to say so.
func (w *world) came(b *book, since int) bool {
	for _, e := range b.events[min(since, len(b.events)):] {
		if e.Kind != rollout.EventAttached || time.Since(e.At) > time.Minute {
			return true
		}
	}
	return w.wrong != "" || w.quit || b.ledger.ended
}

// replayed is the state by the journal alone, as status shows it.
func (w *world) replayed(b *book) *rollout.State {
	s, err := rollout.New(w.plan, nil)
	for _, e := range b.events {
		if err == nil {
			err = s.Apply(e)
		}
	}
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.broken("replay equals live state", "%v", err)
		return nil
	}
	return s
}

// wish is what an operator will ask for at some time.
type wish struct {
	at   time.Duration
	kind rollout.EventKind
	who  int // indexes the targets
}

// drawWishes draws what operators ask for. Whoever pauses resumes later, and
// every wave gets its approval in the end.
func (w *world) drawWishes(rnd *rand.Rand) []wish {
	var list []wish
	targets := len(w.book.ledger.order)
	for range []int{0, 0, 1, 2, 4}[rnd.Intn(5)] {
		at := seconds(rnd, 1500)
		k := []rollout.EventKind{rollout.EventPaused, rollout.EventPaused, rollout.EventResumed, rollout.EventAborted, rollout.EventApproved, rollout.EventRollback, rollout.EventRollback}[rnd.Intn(7)]
		if k == rollout.EventAborted && rnd.Intn(3) > 0 {
			k = rollout.EventPaused
		}
		list = append(list, wish{at, k, rnd.Intn(targets)})
		if k == rollout.EventPaused {
			list = append(list, wish{at + seconds(rnd, 300), rollout.EventResumed, 0})
		}
	}
	for i := range w.plan.Waves {
		if w.plan.Waves[i].Approve {
			list = append(list, wish{seconds(rnd, 900), rollout.EventApproved, -1 - i})
		}
	}
	// A pause that a later resume crossed must not last for ever.
	list = append(list, wish{1900*time.Second + seconds(rnd, 60), rollout.EventResumed, -1})
	for i := 1; i < len(list); i++ {
		for k := i; k > 0 && list[k].at < list[k-1].at; k-- {
			list[k], list[k-1] = list[k-1], list[k]
		}
	}
	return list
}

// wish lets the operators ask, each thing at its time.
func (w *world) wish(list []wish) {
	begun := time.Now()
	for _, one := range list {
		if !w.sleep(one.at - time.Since(begun)) {
			return
		}
		w.mu.Lock()
		b := w.book
		switch {
		case one.kind == rollout.EventResumed && one.who == -1:
			if b.ledger.paused {
				b.ask(rollout.Event{Kind: rollout.EventResumed})
			}
		case one.who < 0:
			b.ask(rollout.Event{Kind: rollout.EventApproved, Wave: w.plan.Waves[-1-one.who].Name})
		default:
			a := b.ledger.order[one.who]
			for _, o := range b.ledger.order { // whoever waits comes first
				if o.held && one.kind != rollout.EventPaused {
					a = o
				}
			}
			w.askOf(one.kind, a)
		}
		w.mu.Unlock()
	}
}

// askOf leaves the request. Who approves a target that failed has looked: its
// users are in, by hand if need be.
func (w *world) askOf(kind rollout.EventKind, a *account) {
	e := rollout.Event{Kind: kind, Detail: "as you wish"}
	switch kind {
	case rollout.EventApproved, rollout.EventRollback:
		e.Target = a.plan.Name
		if kind == rollout.EventApproved && a.stuck && a.mayBeIn && !a.turned && !w.letIn(a) {
			return
		}
	}
	w.book.ask(e)
}

// decide is an operator whom the gate asks. Not every one answers.
func (w *world) decide(e rollout.Event) {
	a := w.book.ledger.steps[e.Step].of
	kinds := []rollout.EventKind{rollout.EventApproved, rollout.EventRollback, rollout.EventAborted, rollout.EventAborted}
	n := w.hash("decide", e.Step) % 6
	if n >= uint64(len(kinds)) {
		return
	}
	w.runs.Go(func() {
		if w.sleep(20*time.Second + 100*w.jitter("decide", e.Step)) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.askOf(kinds[n], a)
		}
	})
}

// letIn is an operator who opens a target by hand; it does not when the site
// does not work.
func (w *world) letIn(a *account) bool {
	for _, i := range w.host(a.plan.Host).instances {
		if i.name == a.plan.Instance || a.plan.Instance == "" {
			if !i.sound() {
				return false
			}
			i.closed, i.closedBy = false, ""
		}
	}
	w.count("opened by hand")
	return true
}

// askAfterwards lets an operator ask for something when the rollout has ended;
// false when it stays as it is.
func (w *world) askAfterwards(rnd *rand.Rand) bool {
	l := w.book.ledger
	if rnd.Intn(3) == 0 {
		return false
	}
	a := l.order[rnd.Intn(len(l.order))]
	for _, o := range l.order {
		if o.stuck && rnd.Intn(2) == 0 {
			a = o
		}
	}
	switch n := rnd.Intn(6); {
	case n <= 1 && l.halted && !l.aborted:
		w.askOf(rollout.EventResumed, a)
	case n == 2 && !l.aborted:
		w.askOf(rollout.EventAborted, a)
	case n == 3 && a.stuck:
		w.askOf(rollout.EventApproved, a)
	default:
		if !a.stuck && (a.turned || a.next < len(a.plan.Steps)) {
			return false
		}
		w.askOf(rollout.EventRollback, a)
	}
	return true
}

// rivalRollout is a second rollout over the same hosts, with a journal of its
// own. Only the leases keep the two apart.
func (w *world) rivalRollout() {
	if !w.sleep(w.menu.rival) {
		return
	}
	w.mu.Lock()
	w.count("second rollout over the same hosts")
	b := newBook(w, "s")
	w.rival = b
	for i := range w.plan.Waves {
		b.ask(rollout.Event{Kind: rollout.EventApproved, Wave: w.plan.Waves[i].Name})
	}
	w.mu.Unlock()
	w.incarnate(b, 0, nil)
}

func (w *world) summarise(*rollout.State) {
	w.counts["events"] += w.events
	w.counts["writes acknowledged"] += w.writes
	w.counts["targets"] += len(w.book.ledger.order)
	w.counts["controllers"] += w.made
}
