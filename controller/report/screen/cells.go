// Package screen knows how wide text is on a terminal, paints lines over a
// whole terminal again and again, and writes without ever making its caller
// wait.
//
// It knows nothing of rollouts, reads no key and changes no setting of the
// terminal that it does not put back: what it paints is given as lines, which
// it neither breaks nor chooses.
package screen

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// Cells is how many columns of a terminal a text takes, which must hold no
// control characters: see [Clean].
func Cells(s string) int { return uniseg.StringWidth(s) }

// Clean takes out of a text what a terminal would obey or hide instead of
// showing it: control characters, marks that turn the direction of text, and
// bytes that are no UTF-8. Runs of white space become one space.
func Clean(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= 0x7f || c == ' ' && i+1 < len(s) && s[i+1] == ' ' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	space := false
	for _, r := range s {
		switch {
		case r == ' ' || unicode.IsSpace(r):
			space = true
			continue
		case r == '\u200d': // joins the parts of one picture
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			r = '�'
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space = false
		b.WriteRune(r)
	}
	return b.String()
}

// Cut shortens a text to at most n cells; where something is left out, it ends
// with "…".
func Cut(s string, n int) string {
	if n <= 0 {
		return ""
	}
	if Cells(s) <= n {
		return s
	}
	head, _ := take(s, n-1)
	return head + "…"
}

// Column makes a text exactly n cells wide: it is padded with spaces, or cut in
// the middle, because names differ at both ends.
func Column(s string, n int) string {
	w := Cells(s)
	if w > n && n > 1 {
		head, rest := take(s, (n-1)/2)
		for Cells(rest) > n-1-Cells(head) {
			_, rest, _, _ = uniseg.FirstGraphemeClusterInString(rest, -1)
		}
		s = head + "…" + rest
		w = Cells(s)
	}
	if w > n {
		s = Cut(s, n)
		w = Cells(s)
	}
	return s + strings.Repeat(" ", max(n-w, 0))
}

// take splits off as many characters as fit into n cells.
func take(s string, n int) (head, rest string) {
	rest = s
	state, used := -1, 0
	for rest != "" {
		c, after, width, next := uniseg.FirstGraphemeClusterInString(rest, state)
		if used+width > n {
			break
		}
		head, rest, state, used = head+c, after, next, used+width
	}
	return head, rest
}
