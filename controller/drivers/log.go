package drivers

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of one driver's log. What exceeds them is counted, not kept.
const (
	linesPerSecond = 100
	linesAtOnce    = 500
	reportEvery    = 5 * time.Second
	maxAttributes  = 32
)

// sink turns the lines that a driver writes into log records.
type sink struct {
	log  *slog.Logger
	mask atomic.Pointer[func(string) string]
	now  func() time.Time

	mu       sync.Mutex
	tokens   float64
	filled   time.Time
	dropped  int
	reported time.Time
}

func newSink(log *slog.Logger) *sink {
	return &sink{log: log, now: time.Now, tokens: linesAtOnce, filled: time.Now()}
}

// line takes one line of output, JSON of hclog or slog or plain text.
func (s *sink) line(text string) {
	ok, dropped := s.admit()
	if dropped > 0 {
		s.log.Warn("driver writes too much: log lines dropped", "lines", dropped)
	}
	if !ok {
		return
	}
	level, message, attrs := parseLine(text)
	s.log.LogAttrs(context.Background(), level, s.clean(message), s.cleanAttrs(attrs)...)
}

// admit spends a token. It also hands out the count of dropped lines when it
// is time to report it.
func (s *sink) admit() (ok bool, dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.tokens = min(linesAtOnce, s.tokens+linesPerSecond*now.Sub(s.filled).Seconds())
	s.filled = now
	if s.tokens < 1 {
		s.dropped++
		return false, 0
	}
	s.tokens--
	if s.dropped > 0 && now.Sub(s.reported) >= reportEvery {
		dropped, s.dropped, s.reported = s.dropped, 0, now
	}
	return true, dropped
}

// close reports what is still to report.
func (s *sink) close() {
	s.mu.Lock()
	dropped := s.dropped
	s.dropped = 0
	s.mu.Unlock()
	if dropped > 0 {
		s.log.Warn("driver wrote too much: log lines dropped", "lines", dropped)
	}
}

func (s *sink) clean(text string) string {
	if mask := s.mask.Load(); mask != nil {
		return (*mask)(text)
	}
	return text
}

func (s *sink) cleanAttrs(attrs []slog.Attr) []slog.Attr {
	for i, a := range attrs {
		attrs[i] = slog.String(s.clean(a.Key), s.clean(a.Value.String()))
	}
	return attrs
}

// parseLine reads a record; text that is none becomes the message of one.
func parseLine(text string) (slog.Level, string, []slog.Attr) {
	var fields map[string]any
	if !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &fields) != nil {
		return plainLevel(text), text, nil
	}
	message, level := text, slog.LevelInfo
	var attrs []slog.Attr
	for key, value := range fields {
		switch key {
		case "@message", "msg":
			message = fmt.Sprint(value)
		case "@level", "level":
			level = levelOf(fmt.Sprint(value))
		case "@timestamp", "time", "timestamp":
		case "driver", "kind", "@module": // ours, and go-plugin's own name
		default:
			attrs = append(attrs, slog.String(key, plain(value)))
		}
	}
	sort.Slice(attrs, func(i, j int) bool { return attrs[i].Key < attrs[j].Key })
	return level, message, attrs[:min(len(attrs), maxAttributes)]
}

func plain(value any) string {
	if s, ok := value.(string); ok {
		return s
	}
	b, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(b)
}

// levelOf reads a level of hclog or slog. An unknown word is worth a look, so
// it counts as a warning.
func levelOf(word string) slog.Level {
	switch strings.ToLower(word) {
	case "trace", "debug":
		return slog.LevelDebug
	case "info":
		return slog.LevelInfo
	case "warn", "warning":
		return slog.LevelWarn
	case "error", "fatal":
		return slog.LevelError
	default:
		return slog.LevelWarn
	}
}

func plainLevel(text string) slog.Level {
	switch {
	case strings.HasPrefix(text, "panic: "), strings.HasPrefix(text, "fatal error: "), strings.HasPrefix(text, "[ERR"):
		return slog.LevelError
	case strings.HasPrefix(text, "[WARN"):
		return slog.LevelWarn
	case strings.HasPrefix(text, "[DEBUG]"), strings.HasPrefix(text, "[TRACE]"):
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}
