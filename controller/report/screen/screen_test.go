package screen

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func ExampleColumn() {
	for _, name := range []string{"cloud-07", "a-long-name-of-a-host", "大きなクラウド"} {
		fmt.Printf("[%s]\n", Column(name, 12))
	}
	// Output:
	// [cloud-07    ]
	// [a-lon…a-host]
	// [大き…ラウド ]
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "two  spaces\tand a tab\n": "two spaces and a tab", "\x1b[31mred\x07": "�[31mred�",
		"rtl\u202eedoc": "rtl�edoc", "bad\xffbyte": "bad�byte", "é 大 👩‍👩‍👧": "é 大 👩‍👩‍👧", "\u009b31m": "�31m",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestCutAndColumnKeepTheWidth: whatever the text, the width is what was asked.
func TestCutAndColumnKeepTheWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Clean(rapid.String().Draw(t, "text"))
		n := rapid.IntRange(0, 40).Draw(t, "cells")
		if got := Cut(s, n); Cells(got) > n || !utf8.ValidString(got) || n > 0 && Cells(s) <= n && got != s {
			t.Fatalf("Cut(%q, %d) = %q, %d cells", s, n, got, Cells(got))
		}
		if got := Column(s, n); Cells(got) != n {
			t.Fatalf("Column(%q, %d) = %q, %d cells", s, n, got, Cells(got))
		}
	})
}

func TestPainterWritesWhatChanged(t *testing.T) {
	var b bytes.Buffer
	w := NewSteady(&b, 1<<20)
	defer w.Close(time.Minute)
	p := NewPainter(w)
	written := func() string {
		for until := time.Now().Add(time.Minute); w.Busy() && time.Now().Before(until); {
			time.Sleep(time.Millisecond)
		}
		defer b.Reset()
		return b.String()
	}
	paint := func(anew bool, lines ...string) string {
		p.Paint(lines, 20, 4, anew)
		return written()
	}
	if got := paint(false, "one", "two"); got != enter+"\x1b[1;1H\x1b[2Kone\x1b[2;1H\x1b[2Ktwo\x1b[3;1H\x1b[2K\x1b[4;1H\x1b[2K" {
		t.Errorf("at first %q", got)
	}
	if got := paint(false, "one", "deux"); got != "\x1b[2;1H\x1b[2Kdeux" {
		t.Errorf("a changed line %q", got)
	}
	if got := paint(false, "one"); got != "\x1b[2;1H\x1b[2K" {
		t.Errorf("a line less %q", got)
	}
	if got := paint(true, "one"); strings.Count(got, "\x1b[2K") != 4 {
		t.Errorf("anew %q", got)
	}
	p.Leave()
	p.Leave()
	if got := written(); got != leave {
		t.Errorf("leaving twice %q", got)
	}
	if got := paint(false, "one"); !strings.HasPrefix(got, enter) {
		t.Errorf("after leaving %q", got)
	}
}

const steadyLimit = 1 << 20

// stuck is a writer that takes nothing before it is let go.
type stuck struct {
	bytes.Buffer
	let chan struct{}
	err error
}

func (s *stuck) Write(b []byte) (int, error) {
	<-s.let
	if s.err != nil {
		return 0, s.err
	}
	return s.Buffer.Write(b)
}

func TestSteadyNeverWaits(t *testing.T) {
	w := &stuck{let: make(chan struct{})}
	s := NewSteady(w, steadyLimit)
	line := strings.Repeat("x", 1023) + "\n"
	for range 3 * steadyLimit / len(line) {
		if n, err := s.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	s.Close(time.Millisecond) // it is stuck, and this returns all the same
	close(w.let)
	<-s.gone
	if n := strings.Count(w.String(), line); n < steadyLimit/len(line)-1 || n > 2*steadyLimit/len(line)+1 {
		t.Errorf("%d lines came through", n)
	}
}

func TestSteadySaysWhatItLeftOut(t *testing.T) {
	w := &stuck{let: make(chan struct{})}
	s := NewSteady(w, steadyLimit)
	big := strings.Repeat("x", steadyLimit-1) + "\n"
	for range 4 { // the first may be under way already
		s.Write([]byte(big))
	}
	close(w.let)
	for until := time.Now().Add(time.Minute); s.Busy() && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	s.Write([]byte("after\n"))
	s.Close(time.Minute)
	if !strings.Contains(w.String(), " lines were left out: nobody read them in time\nafter\n") {
		t.Errorf("the end is %q", w.String()[max(w.Len()-200, 0):])
	}
}

func TestSteadyOutlivesItsReader(t *testing.T) {
	w := &stuck{let: make(chan struct{}), err: errors.New("input/output error")}
	close(w.let)
	s := NewSteady(w, steadyLimit)
	for range 100 {
		if n, err := s.Write([]byte("line\n")); n != 5 || err != nil {
			t.Fatal(n, err)
		}
	}
	s.Close(time.Minute)
	if w.Len() != 0 || !s.Gone() || s.Busy() {
		t.Errorf("%d bytes written, gone %v, busy %v", w.Len(), s.Gone(), s.Busy())
	}
}
