package drivers

import (
	"log/slog"
	"testing"
	"time"
)

func TestAdmit(t *testing.T) {
	now := time.Unix(0, 0)
	s := &sink{now: func() time.Time { return now }, tokens: linesAtOnce, filled: now}
	passed := 0
	for range 3 * linesAtOnce {
		if ok, _ := s.admit(); ok {
			passed++
		}
	}
	if passed != linesAtOnce {
		t.Errorf("%d lines passed at once, want %d", passed, linesAtOnce)
	}
	now = now.Add(time.Second)
	ok, dropped := s.admit()
	if !ok || dropped != 2*linesAtOnce {
		t.Errorf("a second later: admitted %v, %d reported as dropped, want %d", ok, dropped, 2*linesAtOnce)
	}
	passed = 1
	for range 3 * linesAtOnce {
		ok, dropped := s.admit()
		if ok {
			passed++
		}
		if dropped > 0 {
			t.Errorf("reported again within %s", reportEvery)
		}
	}
	if passed != linesPerSecond {
		t.Errorf("%d lines passed in a second, want %d", passed, linesPerSecond)
	}
}

func TestParseLine(t *testing.T) {
	tests := map[string]struct {
		level   slog.Level
		message string
		attrs   string
	}{
		`{"@level":"trace","@message":"hi","@timestamp":"x","@module":"m","b":2,"a":{"c":[1]}}`: {slog.LevelDebug, "hi", `a={"c":[1]} b=2 `},
		`{"time":"x","level":"ERROR","msg":"bad","err":"no \"room\""}`:                          {slog.LevelError, "bad", `err=no "room" `},
		`{"level":"odd","msg":"x"}`: {slog.LevelWarn, "x", ""},
		`{"half":`:                  {slog.LevelInfo, `{"half":`, ""},
		`[WARN] careful`:            {slog.LevelWarn, "[WARN] careful", ""},
		`panic: boom`:               {slog.LevelError, "panic: boom", ""},
		`plain`:                     {slog.LevelInfo, "plain", ""},
	}
	for line, want := range tests {
		level, message, attrs := parseLine(line)
		text := ""
		for _, a := range attrs {
			text += a.Key + "=" + a.Value.String() + " "
		}
		if level != want.level || message != want.message || text != want.attrs {
			t.Errorf("%s: %s %q %q, want %s %q %q", line, level, message, text, want.level, want.message, want.attrs)
		}
	}
}
