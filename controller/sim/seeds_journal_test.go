package sim_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// book is what lies on a controller's disk: the events and the requests. One
// controller at a time holds its lock.
type book struct {
	w        *world
	rollout  string
	holder   *incarnation
	events   []rollout.Event
	by       []int // the controller that wrote each event
	requests []journal.Request
	answers  map[int64]string
	ledger   *ledger
}

func newBook(w *world, id string) *book {
	return &book{w: w, rollout: id, answers: map[int64]string{}, ledger: newLedger(w, id)}
}

// copied is the same folder on another machine.
func (b *book) copied() *book {
	c := newBook(b.w, b.rollout)
	c.ledger.quiet = true
	for i, e := range b.events {
		c.events, c.by = append(c.events, e), append(c.by, b.by[i])
		c.ledger.see(e, b.by[i])
	}
	c.ledger.quiet = false
	for i, a := range b.ledger.order {
		c.ledger.order[i].flightAt = a.flightAt
	}
	c.requests = slices.Clone(b.requests)
	for id, a := range b.answers {
		c.answers[id] = a
	}
	return c
}

func (b *book) ask(e rollout.Event) { b.askAs("anna@desk", e) }

func (b *book) askAs(who string, e rollout.Event) {
	e.Who, e.At = who, time.Now()
	b.requests = append(b.requests, journal.Request{ID: int64(len(b.requests) + 1), Event: e})
	b.w.count("asked: " + string(e.Kind))
	b.w.say("%s asks: %s %s%s", who, e.Kind, e.Target, e.Wave)
}

// pages is the journal as one controller has it open.
type pages struct{ in *incarnation }

// Append takes the time that a disk takes. The controller may be killed before
// the event is durable, or after.
func (p pages) Append(_ string, e rollout.Event) (rollout.Event, error) {
	in, b := p.in, p.in.book
	time.Sleep(time.Millisecond + in.w.jitter("append", b.rollout, fmt.Sprint(e.Seq, in.n))/4)
	in.lockAwake()
	defer in.w.mu.Unlock()
	if in.dead || in.point("append") {
		return e, errDead
	}
	if e.Seq != int64(len(b.events)+1) {
		return e, fmt.Errorf("cannot append event %d: the journal's last is %d", e.Seq, len(b.events))
	}
	e.At = e.At.UTC().Round(0)
	b.events, b.by = append(b.events, e), append(b.by, in.n)
	in.checkAppend(e)
	in.claimed = in.claimed || !in.attached.IsZero()
	if e.Kind == rollout.EventAttached {
		in.attached = time.Now()
	}
	in.w.say("%s/%d %3d %s %s%s%s %s", b.rollout, in.n, e.Seq, e.Kind, e.Step, e.Target, e.Wave, e.Detail)
	b.ledger.see(e, in.n)
	if e.Kind == rollout.EventApproved && e.Target != "" {
		in.w.pardon(b.ledger.targets[e.Target])
	}
	if e.Kind == rollout.EventStepHeld && b == in.w.book {
		in.w.decide(e)
	}
	if in.w.events++; in.w.events > in.w.mostEvents() {
		in.w.broken("the loop ends", "more than %d events", in.w.mostEvents())
	}
	if in.point("append done") {
		return e, errDead
	}
	return e, nil
}

func (p pages) Events(_ string, after int64) ([]rollout.Event, error) {
	p.in.lockAwake()
	defer p.in.w.mu.Unlock()
	return slices.Clone(p.in.book.events[after:]), nil
}

func (p pages) Requests(string) ([]journal.Request, error) {
	p.in.lockAwake()
	defer p.in.w.mu.Unlock()
	if p.in.dead {
		return nil, errDead
	}
	p.in.skew += p.in.w.jump - p.in.jumped // a clock jumps between two decisions
	p.in.jumped = p.in.w.jump
	var open []journal.Request
	for _, r := range p.in.book.requests {
		if _, taken := p.in.book.answers[r.ID]; !taken {
			open = append(open, r)
		}
	}
	return open, nil
}

func (p pages) Take(id int64, refusal string) error {
	p.in.lockAwake()
	defer p.in.w.mu.Unlock()
	if p.in.dead || p.in.point("take") {
		return errDead
	}
	p.in.book.answers[id] = refusal
	if refusal != "" {
		p.in.w.count("request refused")
		p.in.w.say("refused: %s", refusal)
	}
	return nil
}
