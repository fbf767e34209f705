package screen

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// steadyLimit is how much a Steady keeps while its reader does not read.
const steadyLimit = 1 << 20

// Steady is a writer that neither fails nor makes its caller wait: a terminal
// that is gone, or that somebody stopped with Ctrl-S, must not hold up what is
// written about. What does not fit its buffer is left out, and says so once
// there is room; after the first error everything is dropped.
type Steady struct {
	w    io.Writer
	mu   sync.Mutex
	more *sync.Cond
	buf  []byte
	lost int // lines left out
	dead bool
	end  bool
	gone chan struct{}
}

// NewSteady returns a Steady that writes to w from a goroutine of its own,
// until Close.
func NewSteady(w io.Writer) *Steady {
	s := &Steady{w: w, gone: make(chan struct{})}
	s.more = sync.NewCond(&s.mu)
	go s.pump()
	return s
}

// Unwrap is what it writes to.
func (s *Steady) Unwrap() io.Writer { return s.w }

// Write takes b, always.
func (s *Steady) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead || s.end {
		return len(b), nil
	}
	if s.lost > 0 && len(s.buf) < steadyLimit/2 {
		s.buf = fmt.Appendf(s.buf, "… %d lines were left out: nobody read them in time\n", s.lost)
		s.lost = 0
	}
	if s.lost > 0 || len(s.buf)+len(b) > steadyLimit {
		s.lost++
		return len(b), nil
	}
	s.buf = append(s.buf, b...)
	s.more.Signal()
	return len(b), nil
}

func (s *Steady) pump() {
	defer close(s.gone)
	for {
		s.mu.Lock()
		for len(s.buf) == 0 && !s.end {
			s.more.Wait()
		}
		b := s.buf
		s.buf = nil
		s.mu.Unlock()
		if len(b) == 0 {
			return
		}
		if _, err := s.w.Write(b); err != nil {
			s.mu.Lock()
			s.dead, s.buf = true, nil
			s.mu.Unlock()
			return
		}
	}
}

// Close waits until everything was written, but no longer than limit, and
// takes nothing more.
func (s *Steady) Close(limit time.Duration) {
	s.mu.Lock()
	s.end = true
	s.more.Signal()
	s.mu.Unlock()
	select {
	case <-s.gone:
	case <-time.After(limit):
	}
}
