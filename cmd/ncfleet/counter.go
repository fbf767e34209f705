package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/controller/report/screen"
)

// counterAfter is how long work takes before it is counted on a terminal, and
// counterEvery how often the count is written then.
const (
	counterAfter = time.Second
	counterEvery = 200 * time.Millisecond
)

// counter shows on a terminal how many hosts have answered, in one line that is
// gone at the end. Elsewhere it shows nothing.
type counter struct {
	f     *os.File
	mu    sync.Mutex
	what  string
	open  map[string]bool
	all   int
	begun time.Time
	last  time.Time
}

// count counts hosts on standard error, when that is a terminal.
func (a *app) count(what string, hosts []string) *counter {
	c := &counter{f: liveOn(a.stderr), what: what, open: map[string]bool{}, all: len(hosts), begun: now()}
	for _, h := range hosts {
		c.open[h] = true
	}
	return c
}

// done tells that a host has answered, or cannot.
func (c *counter) done(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, host)
	at := now()
	if c.f == nil || at.Sub(c.begun) < counterAfter || at.Sub(c.last) < counterEvery {
		return
	}
	width, _ := paintable(c.f)
	if width == 0 {
		return
	}
	c.last = at
	text := fmt.Sprintf("%s %d of %d hosts", c.what, c.all-len(c.open), c.all)
	for h := range c.open {
		if text += ", waiting for " + screen.Clean(h); len(c.open) > 1 {
			text += fmt.Sprintf(" and %d more", len(c.open)-1)
		}
		break
	}
	fmt.Fprintf(c.f, "\r\x1b[2K%s", screen.Cut(text, width-1))
}

// end takes the line away.
func (c *counter) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.f != nil && !c.last.IsZero() {
		fmt.Fprint(c.f, "\r\x1b[2K")
	}
}
