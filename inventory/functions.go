package inventory

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// maxIncluded bounds what file() reads, in bytes.
const maxIncluded = 4 << 20

// functions are those that give the same answer in every file.
func (l *loader) functions() map[string]function.Function {
	return map[string]function.Function{
		"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "floor": stdlib.FloorFunc,
		"max": stdlib.MaxFunc, "min": stdlib.MinFunc, "parseint": stdlib.ParseIntFunc,
		"chomp": stdlib.ChompFunc, "format": stdlib.FormatFunc, "formatlist": stdlib.FormatListFunc,
		"join": stdlib.JoinFunc, "lower": stdlib.LowerFunc, "upper": stdlib.UpperFunc, "title": stdlib.TitleFunc,
		"regex": stdlib.RegexFunc, "regexall": stdlib.RegexAllFunc, "regexreplace": stdlib.RegexReplaceFunc,
		"replace": stdlib.ReplaceFunc, "split": stdlib.SplitFunc, "substr": stdlib.SubstrFunc,
		"strlen": stdlib.StrlenFunc, "trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc,
		"trimsuffix": stdlib.TrimSuffixFunc, "trimspace": stdlib.TrimSpaceFunc,
		"startswith": affix(strings.HasPrefix), "endswith": affix(strings.HasSuffix),
		"coalesce": stdlib.CoalesceFunc, "coalescelist": stdlib.CoalesceListFunc, "compact": stdlib.CompactFunc,
		"chunklist": stdlib.ChunklistFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc,
		"distinct": stdlib.DistinctFunc, "element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc,
		"keys": stdlib.KeysFunc, "length": stdlib.LengthFunc, "lookup": stdlib.LookupFunc,
		"merge": stdlib.MergeFunc, "range": stdlib.RangeFunc, "reverse": stdlib.ReverseListFunc,
		"setintersection": stdlib.SetIntersectionFunc, "setproduct": stdlib.SetProductFunc,
		"setsubtract": stdlib.SetSubtractFunc, "setunion": stdlib.SetUnionFunc, "slice": stdlib.SliceFunc,
		"sort": stdlib.SortFunc, "values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,
		"csvdecode": stdlib.CSVDecodeFunc, "jsondecode": stdlib.JSONDecodeFunc, "jsonencode": stdlib.JSONEncodeFunc,
		"tobool": stdlib.MakeToFunc(cty.Bool), "tonumber": stdlib.MakeToFunc(cty.Number),
		"tostring": stdlib.MakeToFunc(cty.String), "tolist": stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)),
		"tomap": stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)), "toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
		"try": tryfunc.TryFunc, "can": tryfunc.CanFunc,
		"env": l.envFunction(),
	}
}

// functions are those that depend on the file they stand in.
func (s *source) functions(l *loader) map[string]function.Function {
	text := []function.Parameter{{Name: "path", Type: cty.String}}
	return map[string]function.Function{
		"file": function.New(&function.Spec{
			Params: text, Type: function.StaticReturnType(cty.String),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				return l.include(s, args[0].AsString())
			},
		}),
		"secret": function.New(&function.Spec{
			Params: []function.Parameter{{Name: "reference", Type: cty.String}},
			Type:   function.StaticReturnType(secretType),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				ref, err := s.parseSecret(args[0].AsString())
				if err != nil {
					return cty.DynamicVal, function.NewArgError(0, err)
				}
				return secretValue(ref), nil
			},
		}),
	}
}

func (l *loader) functionNames() []string {
	names := append(sortedKeys(l.base.Functions), "file", "secret")
	sort.Strings(names)
	return names
}

// include reads a file once for file(); its bytes count towards the digest.
func (l *loader) include(s *source, name string) (cty.Value, error) {
	p, err := s.path(name)
	if err != nil {
		return cty.DynamicVal, function.NewArgError(0, err)
	}
	raw, ok := l.included[p]
	if !ok {
		raw, err = l.opts.ReadFile(p)
		if err != nil {
			return cty.DynamicVal, function.NewArgErrorf(0, "cannot read the file: %s", err)
		}
		if len(raw) > maxIncluded {
			return cty.DynamicVal, function.NewArgErrorf(0, "%s holds more than %d bytes", p, maxIncluded)
		}
		if !utf8.Valid(raw) {
			return cty.DynamicVal, function.NewArgErrorf(0, "%s is not UTF-8 text", p)
		}
		l.included[p] = raw
	}
	return cty.StringVal(string(raw)), nil
}

func (l *loader) envFunction() function.Function {
	return function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "name", Type: cty.String}},
		VarParam: &function.Parameter{Name: "default", Type: cty.String, AllowNull: true},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if len(args) > 2 {
				return cty.DynamicVal, fmt.Errorf("env takes a name and at most one default")
			}
			name := args[0].AsString()
			if v, ok := l.opts.Env(name); ok {
				return cty.StringVal(strings.ToValidUTF8(v, "\uFFFD")), nil
			}
			if len(args) == 2 {
				return args[1], nil
			}
			return cty.DynamicVal, function.NewArgErrorf(0, "environment variable %s is not set; set it, or give a default: env(%q, \"…\")", name, name)
		},
	})
}

func affix(has func(s, part string) bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}, {Name: "part", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(has(args[0].AsString(), args[1].AsString())), nil
		},
	})
}
