package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/report/screen"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// Options say how text looks. The zero value is 80 columns without colour.
type Options struct {
	Width int
	Color bool
	// Target shows every step of one target instead of the whole plan.
	Target string
	// Verbose shows the start of every step, not of long ones alone.
	Verbose bool
	// Notable leaves out of progress lines the steps that went as planned.
	Notable bool
	// Zone is that of the times in progress lines; nil is UTC.
	Zone *time.Location
	// Command is how commands to type begin; "" is "ncfleet".
	Command string
	// Live is shown of a rollout that has not ended; nil when it is not known.
	Live *Live
	// History are the rollout's events, for an outcome to tell its story.
	History []rollout.Event
}

// command is a command line to type, which is not broken at its spaces: a page
// writes solid as a space.
func (o Options) command(verb string) string {
	c := o.Command
	if c == "" {
		c = "ncfleet"
	}
	return strings.ReplaceAll(c+" "+verb, " ", solid)
}

// solid stands for a space where no line is broken.
const solid = "\x00"

const (
	usualWidth = 80
	leastWidth = 40
)

// page writes lines and keeps the first error.
type page struct {
	w     io.Writer
	width int
	color bool
	err   error
}

func newPage(w io.Writer, o Options) *page {
	p := &page{w: w, width: o.Width, color: o.Color}
	if p.width == 0 {
		p.width = usualWidth
	}
	p.width = max(p.width, leastWidth)
	return p
}

func (p *page) line(format string, a ...any) {
	if p.err == nil {
		text := strings.ReplaceAll(fmt.Sprintf(format, a...), solid, " ")
		_, p.err = fmt.Fprintln(p.w, strings.TrimRight(text, " "))
	}
}

// Styles of text.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (p *page) paint(style, s string) string {
	if !p.color || s == "" || style == "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// item writes a label and a text wrapped beside it, hanging under itself.
// indent is the column of the label, hang that of the text.
func (p *page) item(indent, hang int, style, label, text string) {
	lines := wrap(text, p.width-hang)
	if len(lines) == 0 {
		lines = []string{""}
	}
	pad := hang - indent - cells(label)
	if label != "" {
		pad = max(pad, 1)
	}
	p.line("%s%s%s%s", spaces(indent), p.paint(style, label), spaces(pad), lines[0])
	for _, l := range lines[1:] {
		p.line("%s%s", spaces(hang), l)
	}
}

func spaces(n int) string { return strings.Repeat(" ", max(n, 0)) }

// wrap breaks text at spaces into lines of at most width cells; a longer word
// stays whole. Line breaks of the text stay.
func wrap(text string, width int) []string {
	var out []string
	for _, para := range strings.Split(text, "\n") {
		line := ""
		for _, word := range strings.Fields(para) {
			switch {
			case line == "":
				line = word
			case cells(line)+1+cells(word) <= width:
				line += " " + word
			default:
				out = append(out, line)
				line = word
			}
		}
		if line != "" {
			out = append(out, line)
		}
	}
	return out
}

// Plural is "1 target", "3 targets".
func Plural(n int, noun string) string { return plural(n, noun) }

// Names folds runs of numbered names: "cloud-03 … cloud-11".
func Names(list []string) string { return names(list) }

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// span renders a duration for people: "45 s", "1 min 20 s", "2 h 5 min".
// Fractions of a second are shown below ten seconds only.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 10*time.Second && d%time.Second != 0:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return join2(s/60, "min", s%60, "s")
	case s < 48*3600:
		return join2(s/3600, "h", s%3600/60, "min")
	}
	return join2(s/86400, "d", s%86400/3600, "h")
}

func join2(a int64, unitA string, b int64, unitB string) string {
	if b == 0 {
		return fmt.Sprintf("%d %s", a, unitA)
	}
	return fmt.Sprintf("%d %s %d %s", a, unitA, b, unitB)
}

func secondsSpan(s int) string { return span(time.Duration(s) * time.Second) }

// manyNames is from how many names on they are sorted by number, for longer runs.
const manyNames = 12

// names folds runs of numbered names: "cloud-03 … cloud-11". Three make a run.
func names(list []string) string {
	if len(list) > manyNames {
		list = slices.Clone(list)
		slices.SortStableFunc(list, byNumber)
	}
	var out []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && follows(list[j], list[j+1]) {
			j++
		}
		if j-i >= 2 {
			out = append(out, list[i]+" … "+list[j])
		} else {
			out = append(out, list[i:j+1]...)
		}
		i = j + 1
	}
	return strings.Join(out, ", ")
}

// byNumber orders names by what stands around their last number, then by it.
func byNumber(a, b string) int {
	pa, na, sa := lastNumber(a)
	pb, nb, sb := lastNumber(b)
	if na == "" {
		pa, sa = sa, ""
	}
	if nb == "" {
		pb, sb = sb, ""
	}
	na, nb = strings.TrimLeft(na, "0"), strings.TrimLeft(nb, "0")
	return cmp.Or(strings.Compare(pa, pb), strings.Compare(sa, sb), cmp.Compare(len(na), len(nb)), strings.Compare(na, nb))
}

// follows reports whether b is a with its last number one higher, written with
// the same number of digits or one more.
func follows(a, b string) bool {
	pa, na, sa := lastNumber(a)
	pb, nb, sb := lastNumber(b)
	if na == "" || nb == "" || pa != pb || sa != sb {
		return false
	}
	var x, y int
	if _, err := fmt.Sscanf(na, "%d", &x); err != nil {
		return false
	}
	if _, err := fmt.Sscanf(nb, "%d", &y); err != nil {
		return false
	}
	return y == x+1
}

// lastNumber splits a name around its last run of digits.
func lastNumber(s string) (before, digits, after string) {
	end := len(s)
	for end > 0 && (s[end-1] < '0' || s[end-1] > '9') {
		end--
	}
	start := end
	for start > 0 && s[start-1] >= '0' && s[start-1] <= '9' {
		start--
	}
	return s[:start], s[start:end], s[end:]
}

// cells is how many columns a text takes on a terminal.
func cells(s string) int { return screen.Cells(strings.ReplaceAll(s, solid, " ")) }
