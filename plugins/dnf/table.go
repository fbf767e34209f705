package dnf

import (
	"regexp"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/rpm"
)

// table is the list that dnf shows before it asks whether to go on.
type table struct {
	done     bool // dnf came to a result
	changes  []rpm.Package
	kept     []string          // skipped for their dependencies
	removed  map[string]string // installed package → what replaces it, "" if nothing
	replaces map[string]rpm.Package
}

var (
	heading   = regexp.MustCompile(`^([A-Z][a-z]+)(?: [a-z/]+)*:$`)
	replacing = regexp.MustCompile(`^ {2,}replacing\s+(\S+)\.\w+ \S+`)
)

// readTable reads a transaction. Each package is a line that begins with one
// space; a long name is followed by a line of the rest.
func readTable(text string) table {
	t := table{removed: map[string]string{}, replaces: map[string]rpm.Package{}}
	section, row := "", ""
	var last rpm.Package
	flush := func() {
		if row != "" {
			last = t.add(section, strings.Fields(row))
			row = ""
		}
	}
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, "\r ")
		if m := heading.FindStringSubmatch(line); m != nil {
			flush()
			section = m[1]
			continue
		}
		if m := replacing.FindStringSubmatch(line); m != nil {
			flush()
			t.removed[m[1]] = last.Name
			t.replaces[last.Name] = last
			continue
		}
		switch {
		case strings.HasPrefix(line, "  "):
			if row != "" {
				row += line
			}
		case strings.HasPrefix(line, " "):
			flush()
			row = line
		default:
			flush()
			section = ""
			t.done = t.done || line == "Transaction Summary" || line == "Nothing to do."
		}
	}
	flush()
	return t
}

// add takes one row's words: name, architecture, version, repository, size.
func (t *table) add(section string, words []string) rpm.Package {
	if len(words) < 3 {
		return rpm.Package{}
	}
	p := rpm.Package{Name: words[0], Arch: words[1], EVR: strings.TrimPrefix(words[2], "0:")}
	switch section {
	case "Installing", "Upgrading":
		t.changes = append(t.changes, p)
	case "Skipping":
		t.kept = append(t.kept, p.Name)
	case "Removing":
		if _, ok := t.removed[p.Name]; !ok {
			t.removed[p.Name] = ""
		}
	}
	return p
}
