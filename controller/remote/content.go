package remote

import (
	"io"
	"sync"
)

// lazyContent is a reader that waits until the host wants the content.
type lazyContent struct {
	open   func() (io.ReadCloser, error)
	wanted chan struct{}
	never  <-chan struct{}
	once   sync.Once

	mu   sync.Mutex
	in   io.ReadCloser
	err  error
	done bool
}

func (l *lazyContent) start() { l.once.Do(func() { close(l.wanted) }) }

func (l *lazyContent) Read(p []byte) (int, error) {
	select {
	case <-l.wanted:
	case <-l.never:
		return 0, io.EOF
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done || l.err != nil {
		return 0, io.EOF
	}
	if l.in == nil {
		if l.in, l.err = l.open(); l.err != nil {
			return 0, io.EOF
		}
	}
	n, err := l.in.Read(p)
	if err != nil && err != io.EOF {
		l.err = err
		err = io.EOF
	}
	return n, err
}

// close returns the error of the content's side, if any.
func (l *lazyContent) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = true
	if l.in != nil {
		l.in.Close()
		l.in = nil
	}
	return l.err
}
