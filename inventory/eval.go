package inventory

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// scope evaluates the attributes of one section. Its methods report what is
// wrong and then say ok = false, as they do for an attribute that is absent or
// null; callers that require one use need.
type scope struct {
	l    *loader
	sec  *section
	ctx  *hcl.EvalContext
	what string
}

func (l *loader) in(sec *section, ctx *hcl.EvalContext) scope {
	return scope{l: l, sec: sec, ctx: ctx, what: sec.what}
}

// eval evaluates an expression; ok is false when it failed (reported) or
// depends on something that failed (reported there).
func (l *loader) eval(expr hcl.Expression, ctx *hcl.EvalContext, what string) (cty.Value, bool) {
	v, diags := expr.Value(ctx)
	if diags.HasErrors() {
		l.explain(expr, ctx, what, diags)
		return cty.DynamicVal, false
	}
	return v, v.IsWhollyKnown()
}

func (s scope) value(name string) (cty.Value, bool) {
	a := s.sec.attrs[name]
	if a == nil {
		return cty.NilVal, false
	}
	v, ok := s.l.eval(a.Expr, s.ctx, s.what)
	return v, ok && !v.IsNull()
}

// need reports an absent attribute; example completes "Write …".
func (s scope) need(name, example string) bool {
	a := s.sec.attrs[name]
	if a != nil {
		v, diags := a.Expr.Value(s.ctx)
		if diags.HasErrors() || !v.IsNull() {
			return true
		}
	}
	s.l.report(s.sec.rng, s.what, "Missing "+name, fmt.Sprintf("%s has no %s. Write %s.", upperFirst(s.what), name, example))
	return false
}

func upperFirst(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// bad reports an attribute's value; detail says what it takes.
func (s scope) bad(name, summary, detail string) {
	rng := s.sec.rng
	if a := s.sec.attrs[name]; a != nil {
		rng = a.Expr.Range()
	}
	s.l.report(rng, s.what, summary, detail)
}

// wrongType reports a value of another type than takes.
func (s scope) wrongType(name string, v cty.Value, takes string) {
	if holdsSecret(v.Type()) {
		s.bad(name, "A secret cannot stand here",
			fmt.Sprintf("%q takes %s, and plans and logs show what stands there. Secrets are taken by sudo_password, key_passphrase, probe_password and by the attributes of driver blocks.", name, takes))
		return
	}
	s.bad(name, "Wrong type for "+name, fmt.Sprintf("%q takes %s, not %s.", name, takes, article(v.Type().FriendlyName())))
}

func article(noun string) string {
	switch {
	case noun == "bool":
		return "true or false"
	case noun == "dynamic":
		return "null"
	case strings.ContainsRune("aeiou", rune(noun[0])):
		return "an " + noun
	default:
		return "a " + noun
	}
}

// text is v as a string, numbers and booleans as they are written.
func text(v cty.Value) (string, bool) {
	switch t := v.Type(); {
	case v.IsNull() || !v.IsKnown():
		return "", false
	case t == cty.String:
		return v.AsString(), true
	case t == cty.Number || t == cty.Bool:
		c, err := convert.Convert(v, cty.String)
		if err != nil {
			return "", false
		}
		return c.AsString(), true
	default:
		return "", false
	}
}

func (s scope) str(name string) (string, bool) {
	v, ok := s.value(name)
	if !ok {
		return "", false
	}
	out, ok := text(v)
	if !ok {
		s.wrongType(name, v, "a string")
		return "", false
	}
	if i := strings.IndexFunc(out, isControl); i >= 0 {
		s.bad(name, "Control character in "+name, fmt.Sprintf("%q takes one line of text without control characters.", name))
		return "", false
	}
	return out, true
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// texts is v as a list of strings.
func texts(v cty.Value) ([]string, bool) {
	t := v.Type()
	if v.IsNull() || !v.IsKnown() || !(t.IsListType() || t.IsTupleType() || t.IsSetType()) {
		return nil, false
	}
	out := make([]string, 0, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		word, ok := text(e)
		if !ok {
			return nil, false
		}
		out = append(out, word)
	}
	return out, true
}

// strs takes a list of strings, or one string for a list of one.
func (s scope) strs(name string) ([]string, bool) {
	v, ok := s.value(name)
	if !ok {
		return nil, false
	}
	var out []string
	if v.Type() == cty.String {
		out = []string{v.AsString()}
	} else if out, ok = texts(v); !ok {
		s.wrongType(name, v, "a list of strings")
		return nil, false
	}
	for _, word := range out {
		if word == "" || strings.IndexFunc(word, isControl) >= 0 {
			s.bad(name, "Bad element in "+name, fmt.Sprintf("%q takes a list of texts; an empty one or one with control characters is not taken.", name))
			return nil, false
		}
	}
	return out, true
}

func (s scope) flag(name string) (value, ok bool) {
	v, ok := s.value(name)
	if !ok {
		return false, false
	}
	if holdsSecret(v.Type()) {
		s.wrongType(name, v, "true or false")
		return false, false
	}
	b, err := convert.Convert(v, cty.Bool)
	if err != nil {
		s.wrongType(name, v, "true or false")
		return false, false
	}
	return b.True(), true
}

// whole takes an integer from low to high.
func (s scope) whole(name string, low, high int) (int, bool) {
	v, ok := s.value(name)
	if !ok {
		return 0, false
	}
	takes := fmt.Sprintf("a whole number from %d to %d", low, high)
	n, ok := number(v)
	if !ok {
		s.wrongType(name, v, takes)
		return 0, false
	}
	i, accuracy := n.Int64()
	if accuracy != big.Exact || i < int64(low) || i > int64(high) {
		s.bad(name, "Number out of range", fmt.Sprintf("%q takes %s, not %s.", name, takes, n.Text('g', 12)))
		return 0, false
	}
	return int(i), true
}

func number(v cty.Value) (*big.Float, bool) {
	if t := v.Type(); v.IsNull() || (t != cty.Number && t != cty.String) {
		return nil, false
	}
	n, err := convert.Convert(v, cty.Number)
	if err != nil || n.IsNull() {
		return nil, false
	}
	return n.AsBigFloat(), true
}

// word takes one of a fixed list.
func (s scope) word(name string, words ...string) (string, bool) {
	got, ok := s.str(name)
	if !ok {
		return "", false
	}
	for _, w := range words {
		if got == w {
			return got, true
		}
	}
	s.bad(name, "Unknown word for "+name, fmt.Sprintf("%q is not among what %q takes: %s.%s", got, name, quoted(words, 20), suggest(got, words)))
	return "", false
}

// duration takes texts such as "90s"; least is the smallest allowed.
func (s scope) duration(name string, least time.Duration) (time.Duration, bool) {
	got, ok := s.str(name)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(got)
	if err != nil {
		s.bad(name, "Bad duration", fmt.Sprintf("%q is not a duration. Write a number with its unit, \"90s\", \"15m\" or \"24h\"; several add up: \"1h30m\".", got))
		return 0, false
	}
	if d < least {
		s.bad(name, "Duration too short", fmt.Sprintf("%q takes at least %s, not %s.", name, least, d))
		return 0, false
	}
	return d, true
}

// secret takes a reference made by secret().
func (s scope) secret(name string) (Secret, bool) {
	v, ok := s.value(name)
	if !ok {
		return "", false
	}
	ref, ok := asSecret(v)
	if !ok {
		s.bad(name, "Not a secret reference",
			fmt.Sprintf("%q takes a reference, so that the value stays out of the inventory. Write %s = secret(\"env:NAME\") or %s = secret(\"file:/path\").", name, name, name))
	}
	return ref, ok
}

// files takes one path or a list of them and makes them absolute.
func (s scope) files(name string) ([]string, bool) {
	list, ok := s.strs(name)
	if !ok {
		return nil, false
	}
	out := make([]string, 0, len(list))
	for _, p := range list {
		abs, err := s.sec.src.path(p)
		if err != nil {
			s.bad(name, "Bad path in "+name, fmt.Sprintf("%q: %s.", p, err))
			return nil, false
		}
		out = append(out, abs)
	}
	return out, true
}
