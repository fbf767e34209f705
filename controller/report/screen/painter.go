package screen

import (
	"fmt"
	"strings"
)

// Painter shows lines on a whole terminal, over what it showed before. It uses
// the terminal's alternate screen, so that leaving brings back what stood
// there. One goroutine uses it at a time.
type Painter struct {
	w      *Steady
	shown  []string
	width  int
	height int
	on     bool
}

// What a terminal is told. The alternate screen keeps the other one as it is;
// without automatic margins a character that is wider than it says cannot push
// the lines below it down.
const (
	enter = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
	leave = "\x1b[?7h\x1b[?25h\x1b[0m\x1b[?1049l"
)

// NewPainter returns a painter that has not painted yet.
func NewPainter(w *Steady) *Painter { return &Painter{w: w} }

// Paint shows lines on a terminal of that size; only lines that changed are
// written, or with anew all of them. It expects no line wider than the
// terminal and no more lines than it has.
func (p *Painter) Paint(lines []string, width, height int, anew bool) {
	var b strings.Builder
	if !p.on {
		b.WriteString(enter)
		p.on, anew = true, true
	}
	if width != p.width || height != p.height || anew {
		p.width, p.height, p.shown = width, height, nil
	}
	for i := range height {
		line := ""
		if i < len(lines) {
			line = lines[i]
		}
		if i < len(p.shown) && p.shown[i] == line {
			continue
		}
		fmt.Fprintf(&b, "\x1b[%d;1H\x1b[2K%s", i+1, line)
	}
	p.shown = append(make([]string, 0, height), lines...)
	for len(p.shown) < height {
		p.shown = append(p.shown, "")
	}
	p.write(b.String())
}

// Leave gives the terminal back as it was. It may be called at any time, and
// again.
func (p *Painter) Leave() {
	if p.on {
		p.on, p.shown = false, nil
		p.write(leave)
	}
}

// write hands text to the terminal, whole or not at all.
func (p *Painter) write(text string) {
	if text != "" {
		_, _ = p.w.Write([]byte(text)) // a Steady never fails
	}
}
