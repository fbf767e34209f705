package inventory

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// scope resolves variables and then locals and builds each file's context.
func (l *loader) scope() {
	l.base = &hcl.EvalContext{Functions: l.functions(), Variables: map[string]cty.Value{}}
	for _, s := range l.sources {
		s.ctx = l.base.NewChild()
		s.ctx.Functions = s.functions(l)
	}
	vars := map[string]cty.Value{}
	taken := firsts{}
	l.top("variable", func(b *hcl.Block, s *source) {
		name, what := b.Labels[0], title(b)
		if !l.claim(taken, name, labelRange(b), what, "Give one of them another name.") {
			return
		}
		if !hclsyntax.ValidIdentifier(name) {
			l.report(labelRange(b), what, "Bad variable name", fmt.Sprintf("%q cannot be written after var. Use letters, digits, _ and -, beginning with a letter.", name))
		}
		vars[name] = l.variable(l.open(b, s, varShape, what), name)
	})
	l.names.vars = sortedKeys(vars)
	for _, name := range sortedKeys(l.opts.Vars) {
		if _, ok := vars[name]; !ok {
			l.report(hcl.Range{}, "", "Value for an unknown variable",
				fmt.Sprintf("--var gives %s, but no variable %q is declared.%s", name, name, suggest(name, l.names.vars)))
		}
	}
	l.base.Variables["var"] = cty.ObjectVal(vars)
	l.locals()
}

// variable is the value given by --var, or the default. What fails becomes
// unknown, so that what depends on it stays quiet.
func (l *loader) variable(sec *section, name string) cty.Value {
	s := l.in(sec, sec.src.ctx)
	s.str("description")
	secret, _ := s.flag("secret")
	var fallback cty.Value // NilVal when there is none
	if a := sec.attrs["default"]; a != nil {
		v, ok := l.eval(a.Expr, s.ctx, s.what)
		if !ok {
			return cty.DynamicVal
		}
		fallback = v
	}
	want := cty.DynamicPseudoType
	if a := sec.attrs["type"]; a != nil {
		t, diags := typeexpr.TypeConstraint(a.Expr)
		if diags.HasErrors() {
			l.reportHCL(diags, a.Range, s.what, nil)
			return cty.DynamicVal
		}
		want = t
	}
	given, isGiven := l.opts.Vars[name]
	if !isGiven && fallback == cty.NilVal {
		l.report(sec.rng, s.what, "Variable without a value",
			fmt.Sprintf("Give it one with --var %s=VALUE, or write a default into its block.", name))
		return cty.DynamicVal
	}
	if secret {
		return l.secretVariable(s, given, isGiven, fallback)
	}
	if fallback != cty.NilVal && want != cty.DynamicPseudoType {
		v, err := convert.Convert(fallback, want)
		if err != nil {
			s.bad("default", "Default of another type", fmt.Sprintf("The variable's type is %s: %s.", typeexpr.TypeString(want), err))
			return cty.DynamicVal
		}
		fallback = v
	}
	if !isGiven {
		return fallback
	}
	if want == cty.DynamicPseudoType {
		want = impliedType(fallback)
	}
	v, err := parseVar(given, want)
	if err != nil {
		l.report(sec.rng, s.what, "Value of another type", fmt.Sprintf("What --var %s gives does not fit: %s.", name, err))
		return cty.DynamicVal
	}
	return v
}

// impliedType is the type a --var takes when the block has a default only.
func impliedType(fallback cty.Value) cty.Type {
	switch {
	case fallback == cty.NilVal || fallback.IsNull():
		return cty.String
	case fallback.Type().IsPrimitiveType() || fallback.Type().IsCollectionType():
		return fallback.Type()
	default:
		return cty.DynamicPseudoType
	}
}

// parseVar reads a --var as text, number, bool or, for anything else, as HCL.
// Its errors do not repeat the value.
func parseVar(given string, want cty.Type) (cty.Value, error) {
	if want == cty.String {
		return cty.StringVal(strings.ToValidUTF8(given, "\uFFFD")), nil
	}
	v := cty.StringVal(given)
	if !want.IsPrimitiveType() {
		expr, diags := hclsyntax.ParseExpression([]byte(given), "--var", hcl.InitialPos)
		if diags.HasErrors() {
			return cty.NilVal, errors.New(`it is not an HCL expression such as ["a", "b"] or {a = "b"}`)
		}
		v, diags = expr.Value(nil)
		if diags.HasErrors() {
			return cty.NilVal, errors.New("it must hold literal values only")
		}
	}
	out, err := convert.Convert(v, want)
	if err != nil {
		return cty.NilVal, err
	}
	return out, nil
}

func (l *loader) secretVariable(s scope, given string, isGiven bool, fallback cty.Value) cty.Value {
	if s.sec.attrs["type"] != nil {
		s.bad("type", "Type on a secret variable", "A secret variable holds a reference; leave the type out.")
		return cty.DynamicVal
	}
	ref := given
	if !isGiven {
		if _, ok := asSecret(fallback); ok || fallback.IsNull() {
			return fallback
		}
		ref, _ = text(fallback)
	}
	out, err := s.sec.src.parseSecret(ref)
	if err != nil {
		s.bad("default", "Not a secret reference", upperFirst(err.Error())+".")
		l.diags.concealLast()
		return cty.DynamicVal
	}
	return secretValue(out)
}

type local struct {
	attr  *hcl.Attribute
	src   *source
	needs []string
	state int // 0 not yet, 1 being resolved, 2 resolved
}

// locals evaluates local values in the order of their references.
func (l *loader) locals() {
	all := map[string]*local{}
	taken := firsts{}
	l.top("locals", func(b *hcl.Block, s *source) {
		attrs, diags := b.Body.JustAttributes()
		l.reportHCL(diags, b.DefRange, "locals", nil)
		for _, a := range sortedAttributes(attrs) {
			if l.claim(taken, a.Name, a.NameRange, fmt.Sprintf("local value %q", a.Name), "Give one of them another name.") {
				all[a.Name] = &local{attr: a, src: s}
			}
		}
	})
	l.names.locals = sortedKeys(all)
	for _, name := range l.names.locals {
		all[name].needs = localNeeds(all[name].attr.Expr, all)
	}
	values := map[string]cty.Value{}
	for _, name := range l.names.locals {
		l.resolve(name, all, values, nil)
	}
	l.base.Variables["local"] = cty.ObjectVal(values)
}

func localNeeds(expr hcl.Expression, all map[string]*local) []string {
	set := map[string]bool{}
	for _, t := range expr.Variables() {
		if name := secondName(t); t.RootName() == "local" && all[name] != nil {
			set[name] = true
		}
	}
	return sortedKeys(set)
}

// resolve evaluates one local after those it refers to. path holds the locals
// whose resolution led here.
func (l *loader) resolve(name string, all map[string]*local, values map[string]cty.Value, path []string) {
	loc := all[name]
	switch loc.state {
	case 2:
		return
	case 1:
		l.reportCycle(name, all, path)
		return
	}
	loc.state = 1
	visible := map[string]cty.Value{}
	for _, need := range loc.needs {
		l.resolve(need, all, values, append(path, name))
		visible[need] = cty.DynamicVal
		if v, ok := values[need]; ok {
			visible[need] = v
		}
	}
	l.base.Variables["local"] = cty.ObjectVal(visible)
	v, ok := l.eval(loc.attr.Expr, loc.src.ctx, fmt.Sprintf("local value %q", name))
	if !ok {
		v = cty.DynamicVal
	}
	values[name] = v
	loc.state = 2
}

func (l *loader) reportCycle(name string, all map[string]*local, path []string) {
	from := indexOf(path, name)
	var steps []string
	for _, step := range append(append([]string(nil), path[from:]...), name) {
		at := all[step].attr.NameRange
		steps = append(steps, fmt.Sprintf("local.%s (%s:%d)", step, at.Filename, at.Start.Line))
	}
	l.report(all[name].attr.NameRange, fmt.Sprintf("local value %q", name), "Local values in a circle",
		strings.Join(steps, " needs ")+". Write one of them without the others.")
}

func indexOf(list []string, word string) int {
	for i, w := range list {
		if w == word {
			return i
		}
	}
	return len(list)
}
