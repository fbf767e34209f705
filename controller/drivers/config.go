package drivers

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Problem is one fault of a configuration block. The caller knows the file
// and line of each attribute.
type Problem struct {
	Attribute string // as the operator wrote it, or the one that is missing
	Missing   bool   // the attribute is not in the block
	Secret    bool   // its value must not be shown
	Summary   string
	Detail    string // with the way out
}

// Secret is a value that the block gives as a reference, resolved or not.
type Secret string

// CheckConfig compares a block with the driver's schema and returns every
// problem, sorted by attribute. Values are string, bool, any Go number,
// []string, []any or Secret; a nil value counts as absent. A secret attribute
// takes a Secret only, and no other attribute does.
func CheckConfig(schema driver.Schema, block map[string]any) []Problem {
	var problems []Problem
	var names []string
	for _, a := range schema.Attributes {
		names = append(names, a.Name)
		v, given := block[a.Name]
		switch {
		case !given || v == nil:
			if a.Required {
				problems = append(problems, Problem{
					Attribute: a.Name, Missing: true,
					Summary: fmt.Sprintf("missing attribute %q", a.Name),
					Detail:  strings.TrimSpace(fmt.Sprintf("The driver requires %s (%s). %s", a.Name, a.Type, a.Help)),
				})
			}
		default:
			if p, ok := misplacedSecret(a, v); ok {
				problems = append(problems, p)
			} else if _, why := convert(a, v); why != "" {
				problems = append(problems, Problem{
					Attribute: a.Name, Secret: a.Secret,
					Summary: fmt.Sprintf("wrong value for %q", a.Name),
					Detail:  strings.TrimSpace(fmt.Sprintf("%s %s", why, a.Help)),
				})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(block)) {
		if !slices.Contains(names, name) {
			problems = append(problems, unknown(name, names))
		}
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return strings.Compare(a.Attribute, b.Attribute) })
	return problems
}

// misplacedSecret finds a secret written out, and one that the driver would
// not keep to itself.
func misplacedSecret(a driver.Attribute, v any) (Problem, bool) {
	_, reference := v.(Secret)
	_, text := v.(string)
	switch {
	case a.Secret && text:
		return Problem{Attribute: a.Name, Secret: true,
			Summary: fmt.Sprintf("the secret %q is written out", a.Name),
			Detail: fmt.Sprintf("Whoever reads the inventory reads it. Refer to it instead, %s = secret(\"env:NAME\") or %s = secret(\"file:/path\"), and replace the one that stood here.",
				a.Name, a.Name),
		}, true
	case !a.Secret && reference:
		return Problem{Attribute: a.Name,
			Summary: fmt.Sprintf("%q takes no secret", a.Name),
			Detail:  strings.TrimSpace(fmt.Sprintf("The driver does not declare it as secret and may show its value in messages. Write the value itself. %s", a.Help)),
		}, true
	}
	return Problem{}, false
}

func unknown(name string, names []string) Problem {
	detail := "The driver has no attributes; remove it."
	if near := nearest(name, names); near != "" {
		detail = fmt.Sprintf("Did you mean %q?", near)
	} else if len(names) > 0 {
		detail = fmt.Sprintf("The driver knows %s.", strings.Join(slices.Sorted(slices.Values(names)), ", "))
	}
	return Problem{Attribute: name, Summary: fmt.Sprintf("unknown attribute %q", name), Detail: detail}
}

// CompleteConfig turns a block without problems into the driver's
// configuration: every value in the type of its attribute, defaults added.
func CompleteConfig(schema driver.Schema, block map[string]any) (driver.Config, error) {
	if problems := CheckConfig(schema, block); len(problems) > 0 {
		return nil, fmt.Errorf("cannot complete the configuration: %s: %s", problems[0].Summary, problems[0].Detail)
	}
	out := driver.Config{}
	for _, a := range schema.Attributes {
		v := block[a.Name]
		if v == nil {
			if a.Default == "" {
				continue
			}
			v = fromDefault(a)
		}
		value, why := convert(a, v)
		if why != "" {
			return nil, fmt.Errorf("cannot complete the configuration: the driver's default of %q is wrong: %s", a.Name, why)
		}
		out[a.Name] = value
	}
	return out, nil
}

// fromDefault reads a default, which a schema holds as text; text that does
// not parse is left for convert to refuse. A list is separated by commas.
func fromDefault(a driver.Attribute) any {
	switch a.Type {
	case "number":
		if n, err := strconv.ParseFloat(a.Default, 64); err == nil {
			return n
		}
	case "bool":
		if b, err := strconv.ParseBool(a.Default); err == nil {
			return b
		}
	case "list(string)":
		items := strings.Split(a.Default, ",")
		for i := range items {
			items[i] = strings.TrimSpace(items[i])
		}
		return items
	}
	return a.Default
}

// convert gives a value the attribute's type, or says why it cannot. It never
// repeats the value of a secret.
func convert(a driver.Attribute, v any) (value any, why string) {
	switch a.Type {
	case "string":
		switch s := v.(type) {
		case string:
			return s, ""
		case Secret:
			return string(s), ""
		}
		return nil, "It must be a string" + got(a, v)
	case "number":
		if n, ok := number(v); ok {
			return n, ""
		}
		return nil, "It must be a number" + got(a, v)
	case "bool":
		if b, ok := v.(bool); ok {
			return b, ""
		}
		return nil, "It must be true or false" + got(a, v)
	case "duration":
		s, ok := v.(string)
		if !ok {
			return nil, `It must be a duration in quotes, such as "90s" or "10m"` + got(a, v)
		}
		if d, err := time.ParseDuration(s); err != nil || d < 0 {
			return nil, `It must be a duration such as "90s", "10m" or "2h"` + got(a, v)
		}
		return s, ""
	case "list(string)":
		if l, ok := stringList(v); ok {
			return l, ""
		}
		return nil, "It must be a list of strings" + got(a, v)
	default:
		return nil, fmt.Sprintf("The driver declares the type %q, which this version of ncfleet does not know; install a driver built for it.", a.Type)
	}
}

func got(a driver.Attribute, v any) string {
	if a.Secret {
		return "."
	}
	if s, ok := v.(string); ok {
		return fmt.Sprintf(", not %q.", s)
	}
	return fmt.Sprintf(", not %v.", v)
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case float64:
		return n, true
	case float32:
		return float64(n), true
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	default:
		return 0, false
	}
}

func stringList(v any) ([]string, bool) {
	switch l := v.(type) {
	case []string:
		return append([]string{}, l...), true
	case []any:
		out := make([]string, 0, len(l))
		for _, item := range l {
			s, ok := item.(string)
			if !ok {
				return nil, false
			}
			out = append(out, s)
		}
		return out, true
	default:
		return nil, false
	}
}
