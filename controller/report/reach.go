package report

import (
	"fmt"
	"time"
)

// Reached tells how an attempt to connect to a host ended. While steps run, the
// first failure is written, and that the host is there again; the attempts in
// between are not.
func (g *Progress) Reached(host string, err error, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	since, away := g.away[host]
	switch {
	case err == nil && away:
		delete(g.away, host)
		g.page.item(0, 10, "", g.clock(now), host+" can be reached again, after "+span(now.Sub(since).Round(time.Second)))
	case err != nil && !away && g.works(host):
		g.away[host] = now
		g.page.item(0, 10, yellow, g.clock(now), fmt.Sprintf("%v; it is tried again until the step's time is over, what runs on the host goes on", err))
	}
}

// works reports whether a step of the host runs.
func (g *Progress) works(host string) bool {
	for id := range g.running {
		if g.steps[id].step.Host == host {
			return true
		}
	}
	return false
}
