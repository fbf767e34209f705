package survey

import (
	"context"
	"fmt"
	"sync"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/inventory"
)

// DefaultLimit is how many hosts are surveyed at once when nobody says.
const DefaultLimit = 200

// Many surveys hosts side by side, at most limit at once (DefaultLimit when
// not positive) and of a site no more than its own bound, and returns their
// facts in the order of the requests. A request not yet begun when ctx ends
// gives Unreachable facts.
func Many(ctx context.Context, requests []Request, limit int, take func(context.Context, Request) plan.Facts) []plan.Facts {
	if limit <= 0 {
		limit = DefaultLimit
	}
	out := make([]plan.Facts, len(requests))
	q := newQueue(requests)
	var wg sync.WaitGroup
	for range min(limit, len(requests)) {
		wg.Go(func() {
			for i, ok := q.next(); ok; i, ok = q.next() {
				if err := ctx.Err(); err != nil {
					out[i] = plan.Facts{Host: requests[i].Host.Name, Unreachable: fmt.Sprintf("cannot survey: %v", err)}
				} else {
					out[i] = take(ctx, requests[i])
				}
				q.done(i)
			}
		})
	}
	wg.Wait()
	return out
}

// queue hands out the first host whose sites have room, so that a site that is
// full holds up nobody else.
type queue struct {
	requests []Request

	mu      sync.Mutex
	room    *sync.Cond
	waiting []int
	busy    map[string]int // hosts being surveyed, by site
}

func newQueue(requests []Request) *queue {
	q := &queue{requests: requests, busy: map[string]int{}}
	q.room = sync.NewCond(&q.mu)
	for i := range requests {
		q.waiting = append(q.waiting, i)
	}
	return q
}

// next waits for a host that may begin; false when there is none left.
func (q *queue) next() (int, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) > 0 {
		for at, i := range q.waiting {
			if sites := q.requests[i].Host.Sites; q.fits(sites) {
				for _, s := range sites {
					q.busy[s.Group]++
				}
				q.waiting = append(q.waiting[:at], q.waiting[at+1:]...)
				return i, true
			}
		}
		q.room.Wait()
	}
	return 0, false
}

func (q *queue) fits(sites []inventory.Site) bool {
	for _, s := range sites {
		if q.busy[s.Group] >= max(s.Parallel, 1) {
			return false
		}
	}
	return true
}

func (q *queue) done(i int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.requests[i].Host.Sites {
		q.busy[s.Group]--
	}
	q.room.Broadcast()
}
