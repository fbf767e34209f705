package importer

import (
	"net"
	"strconv"
	"strings"
)

// ini reads Ansible's INI form.
func (t *tree) ini(file, text string) {
	section, kind := "ungrouped", "hosts"
	for i, line := range strings.Split(text, "\n") {
		at := Place{file, i + 1}
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' && strings.Contains(line, "]") && !strings.Contains(line[:strings.IndexByte(line, ']')], " ") && header(line):
			section, kind = cutHeader(line)
			t.group(section, at)
			if kind != "hosts" && kind != "vars" && kind != "children" {
				t.inv.note(at, "the section %s is not understood", line)
			}
		case kind == "vars":
			t.iniVariable(section, line, at)
		case kind == "children":
			name := strings.Fields(line)[0]
			t.group(section, at).addChild(name)
			t.group(name, at)
		case kind == "hosts":
			t.iniHost(section, line, at)
		default:
			t.inv.note(at, "it stands in a section that is not understood")
		}
	}
}

// header tells a section from a host pattern that begins with a range.
func header(line string) bool {
	rest := strings.TrimSpace(line[strings.IndexByte(line, ']')+1:])
	return rest == "" || rest[0] == '#' || rest[0] == ';'
}

func cutHeader(line string) (name, kind string) {
	name = strings.TrimSpace(line[1:strings.IndexByte(line, ']')])
	if n, k, ok := strings.Cut(name, ":"); ok {
		return n, k
	}
	return name, "hosts"
}

func (t *tree) iniVariable(section, line string, at Place) {
	key, val, ok := strings.Cut(line, "=")
	if !ok {
		t.inv.note(at, "%q is no variable", line)
		return
	}
	t.group(section, at).own[strings.TrimSpace(key)] = value{literal(strings.TrimSpace(val)), at}
}

// literal takes the quotes off a Python string.
func literal(text string) string {
	if n := len(text); n >= 2 && (text[0] == '"' || text[0] == '\'') && text[n-1] == text[0] {
		return text[1 : n-1]
	}
	return text
}

func (t *tree) iniHost(section, line string, at Place) {
	fields, err := words(line, true)
	if err != nil || len(fields) == 0 {
		t.inv.note(at, "the line is not understood: %v", err)
		return
	}
	pattern, port := fields[0], ""
	if h, p, err := net.SplitHostPort(pattern); err == nil && (net.ParseIP(h) != nil || !strings.Contains(pattern, "]")) {
		pattern, port = h, p
	} else if i := strings.LastIndexByte(pattern, ':'); i > strings.LastIndexByte(pattern, ']') && strings.Count(pattern[strings.LastIndexByte(pattern, ']')+1:], ":") == 1 {
		pattern, port = pattern[:i], pattern[i+1:]
	}
	names, err := hostsOf(pattern)
	if net.ParseIP(strings.Trim(pattern, "[]")) != nil {
		names, err = []string{strings.Trim(pattern, "[]")}, nil
	}
	if err != nil {
		t.inv.note(at, "%v", err)
		return
	}
	for _, name := range names {
		h := t.host(name, at)
		t.group(section, at).addHost(name)
		if _, err := strconv.Atoi(port); err == nil {
			h.own["ansible_port"] = value{port, at}
		}
		for _, f := range fields[1:] {
			key, val, ok := strings.Cut(f, "=")
			if !ok {
				t.once(at, "%q is no variable", f)
				continue
			}
			h.own[key] = value{literal(val), at}
		}
	}
}
