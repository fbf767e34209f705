package inventory

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// driverKinds are the roles a driver can have.
var driverKinds = []string{"packages", "snapshot"}

// readDrivers reads the driver blocks. Their attributes are kept with their
// ranges; what they mean is for the driver's own schema.
func (l *loader) readDrivers() {
	taken := firsts{}
	l.top("driver", func(b *hcl.Block, s *source) {
		kind, name, what := b.Labels[0], b.Labels[1], title(b)
		if !contains(driverKinds, kind) {
			l.report(b.LabelRanges[0], what, "Unknown kind of driver",
				fmt.Sprintf("%q is not among the kinds: %s.%s", kind, quoted(driverKinds, 9), suggest(kind, driverKinds)))
			return
		}
		l.checkName(name, labelRange(b), what)
		if !l.claim(taken, kind+"\x00"+name, labelRange(b), what, "A driver is configured once; put all of it into one block.") {
			return
		}
		attrs, diags := b.Body.JustAttributes()
		l.reportHCL(diags, b.DefRange, what, nil)
		d := Driver{Kind: kind, Name: name, Config: map[string]any{}, Ranges: map[string]Range{}, Range: l.place(b.DefRange),
			text: s.bytes, block: b.DefRange, spans: map[string]hcl.Range{}}
		sec := &section{what: what, src: s, rng: b.DefRange, attrs: attrs}
		for _, a := range sortedAttributes(attrs) {
			d.Ranges[a.Name], d.spans[a.Name] = l.place(a.Range), a.Range
			if v, ok := l.in(sec, s.ctx).setting(a.Name); ok {
				d.Config[a.Name] = v
			}
		}
		l.drivers = append(l.drivers, d)
	})
}

// setting takes what a driver's configuration can hold.
func (s scope) setting(name string) (any, bool) {
	v, ok := s.value(name)
	if !ok {
		return nil, false
	}
	switch t := v.Type(); {
	case t == cty.String:
		return v.AsString(), true
	case t == cty.Number:
		f, _ := v.AsBigFloat().Float64()
		return f, true
	case t == cty.Bool:
		return v.True(), true
	}
	if ref, ok := asSecret(v); ok {
		return ref, true
	}
	if list, ok := texts(v); ok {
		return list, true
	}
	s.bad(name, "Wrong type for "+name,
		fmt.Sprintf("A driver's setting is a string, a number, true or false, a list of strings or one secret(…), not %s.", article(v.Type().FriendlyName())))
	return nil, false
}

// Problem is a fault of a driver block that only the driver's own schema shows.
type Problem struct {
	Attribute string // in question; one that is missing is reported at the block
	Summary   string
	Detail    string // with the way out
	Conceal   bool   // the attribute's value must not be shown
}

// Diagnose points into the operator's file for each problem of the block.
func (d Driver) Diagnose(problems []Problem) Diagnostics {
	var c collector
	where := fmt.Sprintf("driver %q %q", d.Kind, d.Name)
	for _, p := range problems {
		span, ok := d.spans[p.Attribute]
		if !ok {
			span = d.block
		}
		c.add(SeverityError, span, where, p.Summary, p.Detail)
		if p.Conceal {
			c.concealLast()
		}
	}
	return c.finish([]*source{{name: d.block.Filename, bytes: d.text}})
}

// knownDrivers are the names usable for a kind: built-in and declared.
func (l *loader) knownDrivers(kind string) []string {
	set := map[string]bool{}
	for _, name := range l.opts.KnownDrivers[kind] {
		set[name] = true
	}
	for _, d := range l.drivers {
		if d.Kind == kind {
			set[d.Name] = true
		}
	}
	return sortedKeys(set)
}

// driver takes the name of a driver of the kind its attribute is called after.
func (s scope) driver(kind string) (string, bool) {
	got, ok := s.str(kind)
	if !ok || s.l.isDriver(kind, got) {
		return got, ok
	}
	known := s.l.knownDrivers(kind)
	detail := fmt.Sprintf("No %s driver is called %q.%s Known are: %s.", kind, got, suggest(got, known), quoted(known, 20))
	if len(known) == 0 {
		detail = fmt.Sprintf("No %s driver is known at all.", kind)
	}
	s.bad(kind, "Unknown driver", detail+fmt.Sprintf(" One of your own needs a block: driver %q %q {}.", kind, got))
	return "", false
}

func (l *loader) isDriver(kind, name string) bool {
	if contains(l.opts.KnownDrivers[kind], name) {
		return true
	}
	for _, d := range l.drivers {
		if d.Kind == kind && d.Name == name {
			return true
		}
	}
	return false
}

func contains(list []string, word string) bool {
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return false
}
