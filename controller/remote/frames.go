package remote

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// frames reads the answer of a script about runs: lines of "key value", and
// frames "o N" and "e N" each followed by N bytes of output. Bytes of a frame
// count as soon as they arrive, so that a broken connection loses none.
type frames struct {
	out func(stream byte, p []byte)

	mu      sync.Mutex
	stopped bool // nobody reads any more
	line    []byte
	stream  byte
	left    int
	lines   []string
	bad     error
}

var errIncomplete = errors.New("the host's answer is incomplete")

const longestLine = 16 << 10

func (f *frames) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(p)
	for len(p) > 0 && f.bad == nil && !f.stopped {
		if f.left > 0 {
			take := min(f.left, len(p))
			f.out(f.stream, p[:take])
			p, f.left = p[take:], f.left-take
			continue
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			f.line = append(f.line, p...)
			if len(f.line) > longestLine {
				f.bad = errors.New("the answer of the host makes no sense: too long a line")
			}
			break
		}
		f.take(string(append(f.line, p[:i]...)))
		f.line, p = f.line[:0], p[i+1:]
	}
	return n, nil
}

func (f *frames) take(line string) {
	if len(line) > 2 && line[1] == ' ' && (line[0] == 'o' || line[0] == 'e') {
		n, err := strconv.Atoi(line[2:])
		if err != nil || n < 0 {
			f.bad = fmt.Errorf("the answer of the host makes no sense: %q", line)
			return
		}
		f.stream, f.left = line[0], n
		return
	}
	if len(f.lines) < 100 {
		f.lines = append(f.lines, line)
	}
}

// stop ends the delivery of output.
func (f *frames) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
}

// state is what the lines said. Without the final "end" it is worth nothing.
func (f *frames) state(id string) (driver.RunState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := driver.RunState{ID: id}
	if f.bad != nil {
		return s, f.bad
	}
	if len(f.lines) == 0 || f.lines[len(f.lines)-1] != "end" {
		return s, errIncomplete
	}
	if err := refusal(f.lines); err != nil {
		return s, err
	}
	for _, line := range f.lines[:len(f.lines)-1] {
		key, value, _ := strings.Cut(line, " ")
		var err error
		switch key {
		case "fail":
			return s, errors.New(value)
		case "phase":
			s.Phase = driver.RunPhase(value)
		case "exit":
			s.Exit, err = strconv.Atoi(value)
		case "detail":
			s.Detail = value
		case "pid":
			s.PID, err = strconv.Atoi(value)
		case "boot":
			s.BootID = value
		case "started":
			s.Started, err = strconv.ParseInt(value, 10, 64)
		case "ended":
			s.Ended, err = strconv.ParseInt(value, 10, 64)
		case "attached":
			s.Attached = true
		default:
			err = errors.New("unknown key")
		}
		if err != nil {
			return s, fmt.Errorf("the host's answer makes no sense: %q: %w", line, err)
		}
	}
	switch s.Phase {
	case driver.RunNever, driver.RunRunning, driver.RunExited, driver.RunLost:
		return s, nil
	default:
		return s, fmt.Errorf("the host's answer makes no sense: phase %q", s.Phase)
	}
}
