package screen

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Steady is a writer that neither fails nor makes its caller wait: a terminal
// that is gone, or that somebody stopped with Ctrl-S, must not hold up what is
// written about. What does not fit its buffer is left out, and says so once
// there is room; after the first error everything is dropped.
type Steady struct {
	w    io.Writer
	keep int // bytes, while its reader does not read
	mu   sync.Mutex
	more *sync.Cond
	buf  []byte
	lost int  // lines left out
	busy bool // bytes are under way
	dead bool
	end  bool
	gone chan struct{}
}

// NewSteady returns a Steady that writes to w from a goroutine of its own,
// until Close. It keeps so many bytes while nobody reads them.
func NewSteady(w io.Writer, keep int) *Steady {
	s := &Steady{w: w, keep: keep, gone: make(chan struct{})}
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
	if s.lost > 0 && len(s.buf) < s.keep/2 {
		s.buf = fmt.Appendf(s.buf, "… %d lines were left out: nobody read them in time\n", s.lost)
		s.lost = 0
	}
	if s.lost > 0 || len(s.buf)+len(b) > s.keep {
		s.lost++
		return len(b), nil
	}
	s.buf = append(s.buf, b...)
	s.more.Signal()
	return len(b), nil
}

// Busy reports whether something still waits to be written: what would only
// replace it need not be.
func (s *Steady) Busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy && !s.dead || len(s.buf) > 0
}

// Gone reports whether what it writes to takes nothing more, ever.
func (s *Steady) Gone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead
}

func (s *Steady) pump() {
	defer close(s.gone)
	for {
		s.mu.Lock()
		for len(s.buf) == 0 && !s.end {
			s.more.Wait()
		}
		b := s.buf
		s.buf, s.busy = nil, true
		s.mu.Unlock()
		if len(b) == 0 {
			return
		}
		_, err := s.w.Write(b)
		s.mu.Lock()
		s.busy, s.dead = false, err != nil
		if s.dead {
			s.buf = nil
		}
		s.mu.Unlock()
		if err != nil {
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
