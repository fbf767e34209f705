package report

import (
	"strings"

	"github.com/ncfleet/ncfleet/controller/report/screen"
)

// piece is a part of a line of the live view, in one style.
type piece struct{ style, text string }

// line is one line of the live view.
type line []piece

// say is a line in one style.
func say(style, text string) line { return line{{style, text}} }

// render makes the line text of at most width cells. Without colour it holds
// no control characters, whatever its pieces hold.
func (l line) render(width int, color bool) string {
	var b strings.Builder
	room := width
	for i, p := range l {
		text := shown(p.text)
		more := i < len(l)-1
		if cells(text) > room {
			text, more = screen.Cut(text, room), false
		}
		room -= cells(text)
		if !more {
			text = strings.TrimRight(text, " ")
		}
		if color && p.style != "" && text != "" {
			text = "\x1b[" + p.style + "m" + text + "\x1b[0m"
		}
		b.WriteString(text)
		if !more && room <= 0 {
			break
		}
	}
	if !color {
		return strings.TrimRight(b.String(), " ")
	}
	return b.String()
}

// shown is a text without what a terminal would obey; spaces that align stay.
func shown(s string) string {
	words := strings.Split(s, " ")
	for i, w := range words {
		words[i] = screen.Clean(w)
	}
	return strings.Join(words, " ")
}

// flow writes parts one after another, as many on a line as fit.
func flow(parts []piece, width int) []line {
	const between = " · "
	var out []line
	room := 0
	for _, p := range parts {
		n := cells(shown(p.text))
		if len(out) == 0 || n+cells(between) > room {
			out, room = append(out, line{p}), width-n
			continue
		}
		last := len(out) - 1
		out[last] = append(out[last], piece{dim, between}, p)
		room -= n + cells(between)
	}
	return out
}

// hang writes a text beside a lead, wrapped under itself, in at most n lines.
func hang(indent int, lead piece, text string, width, n int) []line {
	at := indent + cells(lead.text)
	lines := wrap(shown(text), max(width-at, 10))
	var out []line
	for i, l := range lines {
		if i == n-1 && len(lines) > n {
			l = screen.Cut(l+" "+lines[i+1], max(width-at, 10))
		}
		first := line{{"", spaces(at)}}
		if i == 0 {
			first = line{{"", spaces(indent)}, lead}
		}
		if out = append(out, append(first, piece{"", l})); len(out) == n {
			break
		}
	}
	return out
}

// block is a part of the live view that can be shown shorter.
type block struct {
	lines []line
	// fold shows it in at most n lines; nil cuts it off after n.
	fold func(n int) []line
}

func (b *block) shrink(n int) {
	switch {
	case len(b.lines) <= n:
	case b.fold != nil && n > 0:
		b.lines = b.fold(n)
	default:
		b.lines = b.lines[:max(n, 0)]
	}
}

// give says how far a block is shortened, when there is no room, before the
// next one is.
type give struct{ block, to int }

// fit shortens blocks in the order of the gives until all have room in height
// lines. The soft gives also make room for an empty line between two blocks;
// where the others are needed, there is none.
func fit(blocks []block, soft, hard []give, height int) []line {
	total, parts := func() int {
		n := 0
		for i := range blocks {
			n += len(blocks[i].lines)
		}
		return n
	}, -1
	for i := range blocks {
		if len(blocks[i].lines) > 0 {
			parts++
		}
	}
	shorten := func(order []give, room int) {
		for _, g := range order {
			if over := total() - room; over > 0 {
				b := &blocks[g.block]
				b.shrink(max(len(b.lines)-over, g.to))
			}
		}
	}
	shorten(soft, height-max(parts, 0))
	shorten(hard, height)
	room := height - total()
	var out []line
	for _, b := range blocks {
		if len(b.lines) == 0 {
			continue
		}
		if room > 0 && len(out) > 0 {
			out, room = append(out, line{}), room-1
		}
		out = append(out, b.lines...)
	}
	return out[:min(len(out), max(height, 0))]
}
