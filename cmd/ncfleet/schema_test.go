package main

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ncfleet/ncfleet/controller/report"
)

var update = flag.Bool("update", false, "write the schemas anew")

// comments are those of this module's types and fields, by "Type" and
// "Type.Field" below the package's path.
type comments map[string]map[string]string

func (c comments) lookup(t reflect.Type, field string) string {
	path := t.PkgPath()
	if c[path] == nil {
		c[path] = map[string]string{}
		dir := strings.TrimPrefix(path, modulePath)
		if dir == path {
			return "" // not ours
		}
		files, err := filepath.Glob(filepath.Join("..", "..", dir, "*.go"))
		if err != nil {
			return ""
		}
		for _, f := range files {
			if parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.ParseComments); err == nil {
				readComments(c[path], parsed)
			}
		}
	}
	name := t.Name()
	if field != "" {
		name += "." + field
	}
	return c[path][name]
}

func readComments(into map[string]string, f *ast.File) {
	text := func(groups ...*ast.CommentGroup) string {
		for _, g := range groups {
			if s := strings.Join(strings.Fields(g.Text()), " "); s != "" {
				return s
			}
		}
		return ""
	}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			t, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			into[t.Name.Name] = text(t.Doc, g.Doc)
			s, ok := t.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, field := range s.Fields.List {
				for _, n := range field.Names {
					into[t.Name.Name+"."+n.Name] = text(field.Doc, field.Comment)
				}
			}
		}
	}
}

// described is the comment on a type or field, without the name that the
// program has for it.
func (c comments) described(t reflect.Type, field string) string {
	text := c.lookup(t, field)
	if field == "" {
		return strings.TrimPrefix(text, t.Name()+" is ")
	}
	rest, ok := strings.CutPrefix(text, field+" ")
	f, known := t.FieldByName(field)
	if !ok || !known {
		return text
	}
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "" {
		name = report.FieldName(field)
	}
	return name + " " + rest
}

// plain are the types that are written as texts.
func plain(t reflect.Type) *jsonschema.Schema {
	if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) && t != reflect.TypeFor[time.Time]() {
		return &jsonschema.Schema{Type: "string"}
	}
	return nil
}

// schemaOfDocument makes the schema of a kind of document from its type.
func schemaOfDocument(d document, c comments) ([]byte, error) {
	named := map[string]reflect.Type{}
	var twice error
	r := &jsonschema.Reflector{AllowAdditionalProperties: true, Anonymous: true, LookupComment: c.described, ExpandedStruct: true, KeyNamer: report.FieldName, Mapper: plain,
		Namer: func(t reflect.Type) string {
			if t.Name() == "" {
				return ""
			}
			name := report.FieldName(strings.TrimSuffix(strings.TrimSuffix(t.Name(), "Document"), "View"))
			if named[name] != nil && named[name] != t {
				twice = fmt.Errorf("document %q holds %s and %s, which would share one definition: rename one", d.name, named[name], t)
			}
			named[name] = t
			return name
		}}
	s := r.Reflect(d.value)
	s.ID = jsonschema.ID(schemaID(d.name))
	s.Title, s.Description = d.title, ""
	if v, ok := s.Properties.Get("format_version"); ok {
		v.Const = 1
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := errors.Join(e.Encode(s), twice)
	return b.Bytes(), err
}

// TestSchemas makes each schema from the document's type and compares it with
// the published one; -update writes them anew.
func TestSchemas(t *testing.T) {
	t.Parallel()
	c := comments{}
	known := map[string]bool{}
	for _, d := range documents {
		made, err := schemaOfDocument(d, c)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("schema", d.name+".schema.json")
		known[file] = true
		if *update {
			if err := os.WriteFile(file, made, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		kept, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(kept, made) {
			t.Errorf("%s is not the schema of document %q (%v): if the change only adds fields, write it anew with: go test ./cmd/ncfleet -run TestSchemas -update", file, d.name, err)
		}
		if name := regexp.MustCompile(`"[A-Z][A-Za-z]*": [{]`).Find(made); name != nil {
			t.Errorf("document %q has a field %s without a json tag: names are snake_case", d.name, name)
		}
		if !bytes.Contains(made, []byte(`"const": 1`)) {
			t.Errorf("document %q has no format_version", d.name)
		}
	}
	files, err := filepath.Glob(filepath.Join("schema", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !known[f] {
			t.Errorf("%s belongs to no document of documents.go", f)
		}
	}
}

// strictSchemas are the published schemas as validators that know of no other
// field than the published ones: what is printed and not published is found.
var strictSchemas = sync.OnceValues(func() (map[string]*validator.Schema, error) {
	all := map[string]*validator.Schema{}
	c := validator.NewCompiler()
	c.AssertFormat()
	for _, d := range documents {
		text, err := schemaFiles.ReadFile("schema/" + d.name + ".schema.json")
		if err != nil {
			return nil, err
		}
		parsed, err := validator.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		closeObjects(parsed)
		if err := c.AddResource(schemaID(d.name), parsed); err != nil {
			return nil, err
		}
		if all[d.name], err = c.Compile(schemaID(d.name)); err != nil {
			return nil, err
		}
	}
	var err error
	all[schemaFile], err = c.Compile("https://json-schema.org/draft/2020-12/schema")
	return all, err
})

// closeObjects forbids fields that an object's schema does not name.
func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["properties"]; ok && v["type"] == "object" {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			closeObjects(inner)
		}
	case []any:
		for _, inner := range v {
			closeObjects(inner)
		}
	}
}

// oneOf finds the kind of document that a text is, among those allowed.
func oneOf(text []byte, kinds []string) (string, error) {
	all, err := strictSchemas()
	if err != nil {
		return "", err
	}
	v, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return "", err
	}
	var why []error
	for _, k := range kinds {
		s := all[k]
		if s == nil {
			return "", fmt.Errorf("documents.go has no document %q", k)
		}
		if err := s.Validate(v); err != nil {
			why = append(why, err)
			continue
		}
		return k, nil
	}
	return "", errors.Join(why...)
}

// TestSchemasNotice shows that what a document should not be is found.
func TestSchemasNotice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, kind string }{
		{`{"format_version":1,"version":"1","go":"go1","platform":"linux/amd64"}`, "version"},
		{`{"format_version":1,"version":"1","go":"go1","platform":"linux/amd64","more":1}`, ""},
		{`{"format_version":1,"version":"1","go":"go1"}`, ""},
		{`{"format_version":1,"version":null,"go":"go1","platform":"linux/amd64"}`, ""},
	} {
		if kind, err := oneOf([]byte(c.text), []string{"version"}); kind != c.kind || (err == nil) != (c.kind != "") {
			t.Errorf("%s is %q, want %q; %v", c.text, kind, c.kind, err)
		}
	}
	if kind, err := oneOf([]byte(`{"format_version":1,"host":"a","state":"lost"}`), []string{"lease"}); err == nil {
		t.Errorf("a state that there is not is %q", kind)
	}
}
