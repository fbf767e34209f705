package cloud

import (
	"fmt"
	"slices"
	"strings"
)

// Text carries the tags in a description, for providers that have nothing
// else: a line for people, then one tag a line.
func (t Tags) Text() string {
	lines := []string{"Taken by ncfleet before an upgrade; ncfleet deletes it."}
	for name, value := range t.Map() {
		lines = append(lines, name+": "+value)
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n")
}

// ReadText is the reverse of Text; ok is false when there is no key.
func ReadText(text string) (t Tags, ok bool) {
	m := map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			m[name] = value
		}
	}
	return ReadTags(m)
}

// counted is a number of things, for people.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
