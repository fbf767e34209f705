package rpc

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
)

// Limits of a driver's output.
const (
	maxLine   = 8 << 10 // bytes of one line; the rest of it is cut
	lastLines = 8       // kept to explain a failed start
)

// said gathers what a driver process writes outside the protocol, one writer
// per stream, and passes it on line by line.
type said struct {
	line func(string)

	mu   sync.Mutex
	last []string
}

func (s *said) emit(line string) {
	s.mu.Lock()
	s.last = append(s.last, line)
	s.last = s.last[max(0, len(s.last)-lastLines):]
	s.mu.Unlock()
	if s.line != nil {
		s.line(line)
	}
}

// quote is a clause with the driver's last words, "" when it said nothing.
func (s *said) quote() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	words := strings.TrimSpace(strings.Join(s.last, "\n"))
	if words == "" {
		return ""
	}
	return "; its last words: " + words
}

// stream returns a writer of its own, so that lines of two streams never mix.
func (s *said) stream() *lineWriter { return &lineWriter{emit: s.emit} }

// lineWriter cuts a stream into lines and never holds more than one.
type lineWriter struct {
	emit func(string)

	mu  sync.Mutex
	buf []byte
	cut int // bytes of the line beyond maxLine
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		part := p
		if end >= 0 {
			part = p[:end]
		}
		room := min(len(part), maxLine-len(w.buf))
		w.buf = append(w.buf, part[:room]...)
		w.cut += len(part) - room
		if end < 0 {
			break
		}
		w.flush()
		p = p[end+1:]
	}
	return n, nil
}

func (w *lineWriter) flush() {
	if line := plain(strings.TrimRight(string(w.buf), "\r")); line != "" || w.cut > 0 {
		if w.cut > 0 {
			line += fmt.Sprintf(" … (%d bytes cut)", w.cut)
		}
		w.emit(line)
	}
	w.buf, w.cut = w.buf[:0], 0
}

// end passes on a last line that has no newline.
func (w *lineWriter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
}
