package inventory

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// Severity says whether a problem keeps the inventory from being used.
type Severity string

// The severities of a diagnostic.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// maxRendered bounds what Render prints; the rest is counted.
const maxRendered = 100

// Diagnostic is one problem in the operator's files: what is wrong, why, where
// and what to write instead.
type Diagnostic struct {
	Severity Severity
	Summary  string
	Detail   string
	File     string // "" and 0 for what lies in no file, such as a --var
	Line     int    // 0 for what concerns the file as a whole
	Col      int

	where    string // `host "cloud-07"`
	snippet  string // the line in question, credentials masked
	from, to int    // byte offsets of the marked part in snippet
	conceal  bool   // the marked part may be a secret's value
}

// String is the diagnostic on one line.
func (d Diagnostic) String() string {
	text := d.Summary
	if d.Detail != "" {
		text += ": " + strings.Join(strings.Fields(d.Detail), " ")
	}
	if d.File == "" {
		return text
	}
	if d.Line == 0 {
		return d.File + ": " + text
	}
	return fmt.Sprintf("%s:%d:%d: %s", d.File, d.Line, d.Col, text)
}

// Diagnostics are all problems found, sorted by file, line and column, each
// said once.
type Diagnostics []Diagnostic

// HasErrors reports whether any of them is an error.
func (ds Diagnostics) HasErrors() bool {
	for _, d := range ds {
		if d.Severity == SeverityError {
			return true
		}
	}
	return false
}

// Err joins the errors among them, or is nil.
func (ds Diagnostics) Err() error {
	var all []error
	for _, d := range ds {
		if d.Severity == SeverityError {
			all = append(all, errors.New(d.String()))
		}
	}
	return errors.Join(all...)
}

// Render writes the diagnostics for people: summary, place, the line with the
// part in question marked, and the detail wrapped at width (0 = not wrapped).
// At most 100 are written; a last line counts the rest. Values that look like
// credentials are masked in the quoted lines.
func (ds Diagnostics) Render(w io.Writer, color bool, width int) error {
	var b strings.Builder
	for i, d := range ds {
		if i == maxRendered {
			fmt.Fprintf(&b, "… and %d more.\n", len(ds)-i)
			break
		}
		d.render(&b, color, width)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (d Diagnostic) render(b *strings.Builder, color bool, width int) {
	title, mark, on, off := "Error", "\x1b[31m", "\x1b[1m", "\x1b[0m"
	if d.Severity == SeverityWarning {
		title, mark = "Warning", "\x1b[33m"
	}
	if !color {
		mark, on, off = "", "", ""
	}
	fmt.Fprintf(b, "%s%s:%s %s%s%s\n", mark, title, off, on, d.Summary, off)
	if d.File != "" {
		fmt.Fprintf(b, "  on %s", d.File)
		if d.Line > 0 {
			fmt.Fprintf(b, " line %d", d.Line)
		}
		if d.where != "" {
			fmt.Fprintf(b, ", in %s", d.where)
		}
		b.WriteString(":\n")
	}
	if d.snippet != "" {
		gutter := fmt.Sprintf("%5d: ", d.Line)
		b.WriteString(gutter + d.snippet + "\n")
		pad := strings.Map(func(r rune) rune {
			if r == '\t' {
				return r
			}
			return ' '
		}, d.snippet[:d.from])
		carets := max(1, utf8.RuneCountInString(d.snippet[d.from:d.to]))
		b.WriteString(strings.Repeat(" ", len(gutter)) + pad + mark + strings.Repeat("^", carets) + off + "\n")
	}
	if d.Detail != "" {
		b.WriteString(wrap(d.Detail, width) + "\n")
	}
	b.WriteString("\n")
}

// wrap breaks text at spaces so that no line is longer than width, where words allow.
func wrap(text string, width int) string {
	if width <= 0 {
		return text
	}
	var lines []string
	for _, paragraph := range strings.Split(text, "\n") {
		line, length := "", 0
		for _, word := range strings.Fields(paragraph) {
			n := utf8.RuneCountInString(word)
			switch {
			case line == "":
				line, length = word, n
			case length+1+n > width:
				lines = append(lines, line)
				line, length = word, n
			default:
				line, length = line+" "+word, length+1+n
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// collector gathers diagnostics, each (summary, range) once.
type collector struct {
	list  []Diagnostic
	spans []hcl.Range
	seen  map[diagKey]bool
}

type diagKey struct {
	summary string
	rng     hcl.Range
}

func (c *collector) add(severity Severity, rng hcl.Range, where, summary, detail string) {
	key := diagKey{summary, rng}
	if c.seen[key] {
		return
	}
	if c.seen == nil {
		c.seen = map[diagKey]bool{}
	}
	c.seen[key] = true
	d := Diagnostic{Severity: severity, Summary: summary, Detail: detail, where: where}
	if rng.Filename != "" {
		d.File = rng.Filename
		if rng.Start.Line > 0 { // else it is about the file as a whole
			d.Line, d.Col = rng.Start.Line, max(1, rng.Start.Column)
		}
	}
	c.list = append(c.list, d)
	c.spans = append(c.spans, rng)
}

// concealLast keeps the newest diagnostic from quoting what it marks.
func (c *collector) concealLast() { c.list[len(c.list)-1].conceal = true }

// finish quotes the lines and sorts.
func (c *collector) finish(sources []*source) Diagnostics {
	bytesOf := map[string][]byte{}
	for _, s := range sources {
		bytesOf[s.name] = s.bytes
	}
	for i := range c.list {
		if src, ok := bytesOf[c.spans[i].Filename]; ok {
			c.list[i].quote(src, c.spans[i])
		}
	}
	sort.SliceStable(c.list, func(i, j int) bool {
		a, b := c.list[i], c.list[j]
		if a.File != b.File {
			return a.File < b.File
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		if a.Col != b.Col {
			return a.Col < b.Col
		}
		return a.Summary < b.Summary
	})
	return c.list
}

// maxSnippet is the longest line that is quoted whole.
const maxSnippet = 400

// quote copies the first line of rng out of src.
func (d *Diagnostic) quote(src []byte, rng hcl.Range) {
	at := rng.Start.Byte
	if at < 0 || at > len(src) {
		return
	}
	begin := strings.LastIndexByte(string(src[max(0, at-maxSnippet):at]), '\n') + 1 + max(0, at-maxSnippet)
	end := at
	for end < len(src) && src[end] != '\n' && end-begin < maxSnippet {
		end++
	}
	line := strings.ToValidUTF8(string(maskCredentials(src[begin:end])), "?")
	line = strings.TrimSuffix(line, "\r")
	if strings.TrimSpace(line) == "" {
		return
	}
	d.from = min(at-begin, len(line))
	d.to = min(max(d.from, rng.End.Byte-begin), len(line))
	if d.conceal {
		line = line[:d.from] + strings.Repeat("*", d.to-d.from) + line[d.to:]
	}
	d.snippet = line
}

var (
	credentialLiteral = regexp.MustCompile(`(?i)[\w-]*(?:pass|pasw|secret|token|credential|api_?key|private)[\w-]*"?\s*[=:]\s*"((?:[^"\\]|\\.)*)`)
	urlPassword       = regexp.MustCompile(`://[^/@\s":]*:([^@/\s"]*)@`)
	secretArgument    = regexp.MustCompile(`secret\(\s*\\?"((?:[^"\\]|\\.)*)`)
)

// maskCredentials returns a copy of the line in which literals given to
// attributes that sound like credentials are stars of the same length, so that
// an error about such a line does not print what stands there.
func maskCredentials(line []byte) []byte {
	out := append([]byte(nil), line...)
	for _, m := range credentialLiteral.FindAllSubmatchIndex(line, -1) {
		star(out[m[2]:m[3]])
	}
	for _, m := range urlPassword.FindAllSubmatchIndex(line, -1) {
		star(out[m[2]:m[3]])
	}
	for _, m := range secretArgument.FindAllSubmatchIndex(line, -1) {
		ref := string(line[m[2]:m[3]])
		if !strings.HasPrefix(ref, "env:") && !strings.HasPrefix(ref, "file:") {
			star(out[m[2]:m[3]])
		}
	}
	return out
}

func star(b []byte) {
	for i := range b {
		b[i] = '*'
	}
}
