package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/controller/rollout"
)

// Limits of delivery.
const (
	tries      = 5
	firstPause = time.Second // doubled after each try
	oneTry     = 20 * time.Second
	queueSize  = 100              // messages of one channel; the next is dropped and told
	lastWords  = 45 * time.Second // what Close waits for all channels
)

// Channel is one way to tell somebody.
type Channel struct {
	Name string // "webhook ops", for messages
	On   []Occasion
	// Send delivers one message once. An error of type Refused is final.
	Send func(ctx context.Context, m Message) error
}

// Refused is an answer that will not change when asked again.
type Refused struct{ Err error }

func (r Refused) Error() string { return r.Err.Error() }

// Unwrap returns the cause.
func (r Refused) Unwrap() error { return r.Err }

// Options of a Notifier.
type Options struct {
	RolloutID string
	Command   string              // how commands to type begin; "" is "ncfleet"
	Passed    []int               // waves that passed before this controller came
	Last      time.Time           // of the last event before it; zero when there is none
	Now       func() time.Time    // nil is time.Now
	Complain  func(string)        // told once per message that was not delivered
	Pause     func(time.Duration) // waits between tries; nil is time.Sleep
}

// Notifier is a sink of the controller's loop. Event and Waiting return at
// once; each channel delivers in a goroutine of its own, in order.
type Notifier struct {
	options Options
	reader  reader
	queues  []queue
	wg      sync.WaitGroup
	ctx     context.Context
	cancel  context.CancelFunc
}

type queue struct {
	Channel
	messages chan Message
}

// New starts a notifier; Close ends it.
func New(channels []Channel, o Options) *Notifier {
	if o.Command == "" {
		o.Command = "ncfleet"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Complain == nil {
		o.Complain = func(string) {}
	}
	n := &Notifier{options: o, reader: reader{id: o.RolloutID, command: o.Command, passed: map[int]bool{}, last: o.Last}}
	for _, w := range o.Passed {
		n.reader.passed[w] = true
	}
	n.ctx, n.cancel = context.WithCancel(context.Background()) // until Close: what ends a rollout must still be told
	for _, c := range channels {
		q := queue{c, make(chan Message, queueSize)}
		n.queues = append(n.queues, q)
		n.wg.Go(func() {
			most := tries
			for m := range q.messages {
				if n.deliver(q, m, most) {
					most = tries
				} else {
					most = 1 // it is down: one try a message until it is back
				}
			}
		})
	}
	return n
}

// Event implements controller.Sink.
func (n *Notifier) Event(e rollout.Event, s *rollout.State) { n.put(n.reader.event(e, s)) }

// Waiting implements controller.Sink.
func (n *Notifier) Waiting(reasons []string, s *rollout.State) {
	n.put(n.reader.waiting(reasons, s, n.options.Now()))
}

func (n *Notifier) put(list []Message) {
	for _, m := range list {
		for _, q := range n.queues {
			if !slices.Contains(q.On, m.Occasion) && (m.also == "" || !slices.Contains(q.On, m.also)) {
				continue
			}
			select {
			case q.messages <- m:
			default:
				n.options.Complain(fmt.Sprintf("%s was not told %q: %d messages wait for it already", q.Name, m.Title, queueSize))
			}
		}
	}
}

// deliver tries a message until it is delivered, refused or given up. It
// reports whether the channel answers.
func (n *Notifier) deliver(q queue, m Message, most int) bool {
	pause := firstPause
	for try := 1; ; try++ {
		ctx, stop := context.WithTimeout(n.ctx, oneTry)
		err := q.Send(ctx, m)
		stop()
		var final Refused
		switch {
		case err == nil:
			return true
		case errors.As(err, &final), try >= most, n.ctx.Err() != nil:
			n.options.Complain(fmt.Sprintf("%s was not told %q: %v", q.Name, m.Title, err))
			return errors.As(err, &final)
		}
		n.sleep(pause)
		pause *= 2
	}
}

func (n *Notifier) sleep(d time.Duration) {
	if n.options.Pause != nil {
		n.options.Pause(d)
		return
	}
	select {
	case <-time.After(d):
	case <-n.ctx.Done():
	}
}

// Close delivers what waits, within a limit, and ends.
func (n *Notifier) Close() {
	for _, q := range n.queues {
		close(q.messages)
	}
	timer := time.AfterFunc(lastWords, n.cancel)
	n.wg.Wait()
	timer.Stop()
	n.cancel()
}
