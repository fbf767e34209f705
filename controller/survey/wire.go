package survey

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// output is what one part of the script left.
type output struct {
	out, err []byte
	rc       string // exit status, "late", or "" when there is none
}

func (o output) exit() int {
	n, err := strconv.Atoi(o.rc)
	if err != nil {
		return -1
	}
	return n
}

// sections takes the script's output apart. The slices point into b.
func sections(b []byte) (map[string]output, error) {
	i := bytes.Index(b, []byte("ncfleet-survey "))
	if i < 0 || (i > 0 && b[i-1] != '\n') {
		return nil, errors.New("the survey's script did not run on the host")
	}
	head, body, ok := bytes.Cut(b[i:], []byte("\n\n"))
	if !ok {
		return nil, errors.New("the survey's answer breaks off")
	}
	lines := strings.Split(string(head), "\n")
	if lines[0] != "ncfleet-survey 1" {
		return nil, fmt.Errorf("the survey's answer is of another form: %q", lines[0])
	}
	parts := map[string]output{}
	for _, l := range lines[1:] {
		count, name, ok := strings.Cut(strings.TrimLeft(l, " "), " ")
		n, err := strconv.Atoi(count)
		if !ok || err != nil || n < 0 {
			return nil, fmt.Errorf("the survey's answer has a bad line %q", l)
		}
		if name == "total" {
			continue
		}
		if n > len(body) {
			return nil, fmt.Errorf("the survey's answer breaks off in %s", name)
		}
		data := body[:n:n]
		body = body[n:]
		part, kind, _ := strings.Cut(name, ".")
		o := parts[part]
		switch kind {
		case "out":
			o.out = data
		case "err":
			o.err = data
		case "rc":
			o.rc = string(bytes.TrimSpace(data))
		default:
			return nil, fmt.Errorf("the survey's answer has an unknown output %q", name)
		}
		parts[part] = o
	}
	if len(body) > 0 {
		return nil, fmt.Errorf("the survey's answer is %d bytes longer than it says", len(body))
	}
	return parts, nil
}

// Parse reads the output of the survey's script for a host. It is a pure
// function. What the package driver makes of its probes is not in it.
func Parse(host inventory.Host, out []byte) (plan.Facts, error) {
	f, _, err := parse(host, out)
	return f, err
}

func parse(host inventory.Host, out []byte) (plan.Facts, []driver.Result, error) {
	parts, err := sections(out)
	if err != nil {
		return plan.Facts{}, nil, err
	}
	r := &reader{parts: parts, host: host}
	r.facts.Host = host.Name
	r.system()
	r.processes()
	r.unitStates()
	r.fpmConfs()
	r.mounts()
	r.instances()
	r.updaters()
	r.reach()
	r.complaints()
	return r.facts, r.probes(), nil
}

// reader collects facts from the parts.
type reader struct {
	parts   map[string]output
	host    inventory.Host
	facts   plan.Facts
	sysroot string
	web     web
	users   map[string]string // uid → name
}

func (r *reader) problem(format string, a ...any) {
	r.facts.Problems = append(r.facts.Problems, fmt.Sprintf(format, a...))
}

// complaints turns what the parts said on standard error, and what never
// finished, into problems.
func (r *reader) complaints() {
	fixed := []struct{ part, what string }{
		{"host", "system"}, {"ps", "running processes"}, {"df", "free space"},
		{"cron", "cron files"}, {"units", "systemd units"}, {"probes", "package probes"},
	}
	for _, p := range fixed {
		r.complain(p.part, p.what)
	}
	for i, in := range r.host.Instances {
		n := strconv.Itoa(i)
		r.complain("inst-"+n, "instance "+in.Name)
		r.complain("tree-"+n, "size of "+in.Path)
	}
}

func (r *reader) complain(part, what string) {
	o, ok := r.parts[part]
	switch {
	case !ok:
		if part != "probes" {
			r.problem("%s: not surveyed", what)
		}
	case o.rc == "late":
		r.problem("%s: no answer in time; is a file system or a name service hanging?", what)
	case len(bytes.TrimSpace(o.err)) > 0:
		r.problem("%s: %s", what, oneLine(o.err))
	}
}

// probes returns the results of the package driver's probes that ended.
func (r *reader) probes() []driver.Result {
	var out []driver.Result
	for i := 0; ; i++ {
		o, ok := r.parts["probe-"+strconv.Itoa(i)]
		if !ok {
			return out
		}
		out = append(out, driver.Result{Exit: o.exit(), Stdout: o.out, Stderr: o.err})
	}
}

// records calls f for each line of b with its first field and the rest.
func records(b []byte, f func(key, rest string)) {
	text := string(b)
	for len(text) > 0 {
		line, more, _ := strings.Cut(text, "\n")
		text = more
		key, rest, _ := strings.Cut(line, "\t")
		f(key, rest)
	}
}

// fields splits a record's rest into exactly n fields; the last one keeps its
// tabs, missing ones are "".
func fields(rest string, n int) []string {
	out := strings.SplitN(rest, "\t", n)
	for len(out) < n {
		out = append(out, "")
	}
	return out
}

// oneLine makes a message's worth of b: its lines joined, shortened.
func oneLine(b []byte) string {
	words := strings.Fields(strings.ToValidUTF8(string(b), "?"))
	s := strings.Join(words, " ")
	if len(s) > 400 {
		s = strings.ToValidUTF8(s[:400], "") + "…"
	}
	return s
}
