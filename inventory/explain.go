package inventory

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// declared are the names expressions may refer to.
type declared struct {
	vars, locals []string // sorted
}

// hostAttributes are what a selection can ask of a host.
var hostAttributes = []string{"address", "groups", "instances", "labels", "name"}

// explain reports why an expression failed. When it refers to a name that does
// not exist, that is said with a suggestion; otherwise hcl's own reason is.
func (l *loader) explain(expr hcl.Expression, ctx *hcl.EvalContext, what string, diags hcl.Diagnostics) {
	said := false
	for _, t := range expr.Variables() {
		if summary, detail := l.badReference(t, ctx); summary != "" {
			l.report(t.SourceRange(), what, summary, detail)
			said = true
		}
	}
	if !said {
		l.reportHCL(diags, expr.Range(), what, nil)
	}
}

// badReference judges one reference such as var.region; summary is "" when it
// is sound.
func (l *loader) badReference(t hcl.Traversal, ctx *hcl.EvalContext) (summary, detail string) {
	root, second := t.RootName(), secondName(t)
	switch root {
	case "var":
		return undeclared("variable", "var", second, l.names.vars,
			fmt.Sprintf("Declare it: variable %q {}.", second))
	case "local":
		return undeclared("local value", "local", second, l.names.locals,
			fmt.Sprintf("Declare it in a locals block: %s = ….", second))
	case "each":
		if !hasVariable(ctx, "each") {
			return "each is not known here", "each.key and each.value exist only inside a host block that has for_each."
		}
		if second != "key" && second != "value" {
			return "Unknown attribute of each", fmt.Sprintf("each has a key and a value, not %q.%s", second, suggest(second, []string{"key", "value"}))
		}
	case "host":
		if !hasVariable(ctx, "host") {
			return "host is not known here", "host stands for each host in turn, in the hosts attribute of group, rollout and wave blocks only."
		}
	default:
		return "Unknown name", fmt.Sprintf("Nothing is called %s here. A word is written in quotes: %q. A reference begins with var, local, each or host and a dot.%s",
			root, root, suggest(root, []string{"var", "local", "each", "host"}))
	}
	return "", ""
}

func undeclared(kind, root, name string, known []string, remedy string) (summary, detail string) {
	if name == "" {
		return "Incomplete reference", fmt.Sprintf("%s must be followed by the name of a %s, as in %s.name.", root, kind, root)
	}
	for _, k := range known {
		if k == name {
			return "", ""
		}
	}
	return "Unknown " + kind, fmt.Sprintf("No %s is called %q.%s %s", kind, name, suggest(name, known), remedy)
}

// secondName is the name after the root, "" when none follows.
func secondName(t hcl.Traversal) string {
	if len(t) < 2 {
		return ""
	}
	return stepName(t[1])
}

func stepName(step hcl.Traverser) string {
	switch s := step.(type) {
	case hcl.TraverseAttr:
		return s.Name
	case hcl.TraverseIndex:
		if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
			return s.Key.AsString()
		}
	}
	return ""
}

func hasVariable(ctx *hcl.EvalContext, name string) bool {
	for ; ctx != nil; ctx = ctx.Parent() {
		if _, ok := ctx.Variables[name]; ok {
			return true
		}
	}
	return false
}
