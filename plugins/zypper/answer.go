package zypper

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/rpm"
)

// answer is what zypper's XML says.
type answer struct {
	done     bool // the stream came to its end
	summary  bool // a resolution is in it
	updates  []rpm.Package
	changes  map[string][]rpm.Package // packages by what would happen: "to-upgrade"
	locks    []string                 // names, with wildcards
	errors   []string
	problems []string // of the resolver
}

// read takes the elements it knows, wherever they stand.
func read(out []byte) answer {
	a := answer{changes: map[string][]rpm.Package{}}
	if start := bytes.Index(out, []byte("<?xml")); start >= 0 {
		out = out[start:]
	}
	d := xml.NewDecoder(bytes.NewReader(out))
	var path []string
	kind, text := "", ""
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) || err != nil {
			return a
		}
		switch e := token.(type) {
		case xml.StartElement:
			path, text = append(path, e.Name.Local), ""
			kind = a.start(e, kind)
		case xml.CharData:
			text += string(e)
		case xml.EndElement:
			a.end(path, kind, strings.TrimSpace(text))
			if strings.HasPrefix(e.Name.Local, "to-") || e.Name.Local == "message" {
				kind = ""
			}
			text = ""
			path = path[:max(len(path)-1, 0)]
		}
	}
}

// start reads an element's attributes and returns what the next ones are part of.
func (a *answer) start(e xml.StartElement, kind string) string {
	at := map[string]string{}
	for _, attr := range e.Attr {
		at[attr.Name.Local] = attr.Value
	}
	p := rpm.Package{Name: at["name"], EVR: strings.TrimPrefix(at["edition"], "0:"), Arch: at["arch"]}
	switch name := e.Name.Local; {
	case name == "install-summary":
		a.summary = true
	case strings.HasPrefix(name, "to-"):
		return name
	case name == "message":
		return "message " + at["type"]
	case name == "update" && at["kind"] == "package":
		a.updates = append(a.updates, p)
	case name == "solvable" && at["type"] == "package" && kind != "":
		a.changes[kind] = append(a.changes[kind], p)
	}
	return kind
}

// end reads an element's text.
func (a *answer) end(path []string, kind, text string) {
	parent := ""
	if len(path) > 1 {
		parent = path[len(path)-2]
	}
	switch name := path[len(path)-1]; {
	case name == "stream" && len(path) == 1:
		a.done = true
	case name == "message" && kind == "message error" && text != "":
		a.errors = append(a.errors, rpm.FirstLine([]byte(text), ""))
	case name == "name" && parent == "lock" && text != "":
		a.locks = append(a.locks, text)
	case name == "description" && parent == "prompt":
		for _, line := range strings.Split(text, "\n") {
			if problem, ok := strings.CutPrefix(strings.TrimSpace(line), "Problem: "); ok {
				a.problems = append(a.problems, problem)
			}
		}
	}
}
