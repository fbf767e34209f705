package inventory

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/santhosh-tekuri/jsonschema/v6"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	var b bytes.Buffer
	if err := WriteSchema(&b); err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(&b)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("inventory.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("inventory.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validates(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return s.Validate(doc)
}

// asJSON writes a body of the native syntax in the JSON form.
func asJSON(t *testing.T, body *hclsyntax.Body, src []byte) map[string]any {
	t.Helper()
	out := map[string]any{}
	for name, a := range body.Attributes {
		out[name] = "${" + string(a.Expr.Range().SliceBytes(src)) + "}"
		if v, diags := a.Expr.Value(nil); !diags.HasErrors() {
			raw, err := ctyjson.Marshal(v, v.Type())
			if err != nil {
				t.Fatal(err)
			}
			out[name] = json.RawMessage(raw)
		} else if _, template := a.Expr.(*hclsyntax.TemplateExpr); template {
			text := string(a.Expr.Range().SliceBytes(src))
			out[name] = strings.Trim(text, `"`)
		}
	}
	for _, b := range body.Blocks {
		var value any = asJSON(t, b.Body, src)
		for i := len(b.Labels) - 1; i >= 0; i-- {
			value = map[string]any{b.Labels[i]: value}
		}
		list, _ := out[b.Type].([]any)
		out[b.Type] = append(list, value)
	}
	return out
}

// TestSchemaExamples: the examples in their JSON form load, and validate.
func TestSchemaExamples(t *testing.T) {
	s := compiledSchema(t)
	files, err := filepath.Glob("../examples/*.hcl")
	more, err2 := filepath.Glob("../examples/hoster/*.hcl")
	if err != nil || err2 != nil || len(files) < 2 || len(more) < 3 {
		t.Fatalf("no examples: %v %v", err, err2)
	}
	converted := map[string][]string{}
	for _, name := range append(files, more...) {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		raw, err := json.MarshalIndent(asJSON(t, f.Body.(*hclsyntax.Body), src), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := validates(t, s, string(raw)); err != nil {
			t.Errorf("%s does not validate: %v\n%s", name, err, raw)
		}
		set := name
		if filepath.Base(filepath.Dir(name)) == "hoster" {
			set = "hoster"
		}
		path := filepath.Join(t.TempDir(), filepath.Base(name)+".json")
		if err := os.WriteFile(path, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		converted[set] = append(converted[set], path)
	}
	for set, paths := range converted {
		_, diags := Load(paths, Options{KnownDrivers: map[string][]string{"packages": {"apt"}, "snapshot": {"archive"}},
			Env: func(string) (string, bool) { return "/home/ops", true }})
		if diags.HasErrors() {
			t.Errorf("%s does not load in its JSON form: %v", set, diags)
		}
	}
}

// TestSchemaRefuses: what Load refuses by its form, the schema refuses too.
func TestSchemaRefuses(t *testing.T) {
	s := compiledSchema(t)
	host := `"address": "192.0.2.1"`
	for name, text := range map[string]string{
		"unknown block":          `{"hosts": {}}`,
		"unknown attribute":      `{"host": {"a": {` + host + `, "adress": "x"}}}`,
		"no address":             `{"host": {"a": {}}}`,
		"port above":             `{"host": {"a": {` + host + `, "ssh": {"port": [22]}}}}`,
		"unknown word":           `{"ssh": {"host_keys": "off"}}`,
		"bad duration":           `{"ssh": {"keepalive": "20"}}`,
		"password as text":       `{"ssh": {"sudo_password": "hunter2"}}`,
		"name of two words":      `{"host": {"a b": {` + host + `}}}`,
		"two ways to a wave":     `{"rollout": {"r": {"wave": {"w": {"count": 1, "rest": true}}}}}`,
		"selection is a text":    `{"group": {"g": {"hosts": "cloud"}}}`,
		"unknown kind of driver": `{"driver": {"package": {"apt": {}}}}`,
		"webhook with a room":    `{"notify": {"webhook": {"ops": {"url": "https://x", "room": "y"}}}}`,
		"talk without a key":     `{"notify": {"talk": {"ops": {"url": "https://x", "room": "y"}}}}`,
		"amount":                 `{"rollout": {"r": {"max_unavailable": "some"}}}`,
	} {
		if err := validates(t, s, text); err == nil {
			t.Errorf("%s: the schema accepts %s", name, text)
		}
		path := filepath.Join(t.TempDir(), "fleet.hcl.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if fleet, _ := Load([]string{path}, Options{}); fleet != nil {
			t.Errorf("%s: Load accepts %s", name, text)
		}
	}
	for name, text := range map[string]string{
		"forms":       `[{"//": "a comment", "ssh": [{"port": "22", "agent": "true", "keys": "~/.ssh/id"}]}]`,
		"expressions": `{"ssh": {"port": "${var.port}", "sudo": "${var.sudo}", "sudo_password": "${secret(\"env:X\")}"}, "driver": {"snapshot": {"mine": {"any": [1]}}}}`,
		"null":        `{"ssh": {"port": null}, "group": null}`,
	} {
		if err := validates(t, s, text); err != nil {
			t.Errorf("%s: the schema refuses %s: %v", name, text, err)
		}
	}
}

// TestSchemaKnowsAll: every block and attribute that Load knows has its kind,
// and the words of the schema are those that Load takes.
func TestSchemaKnowsAll(t *testing.T) {
	shapes := maps.Clone(blockShapes)
	shapes[""] = rootShape
	for block, sh := range shapes {
		for _, a := range sh.schema.Attributes {
			if _, ok := schemaAttributes[block+"."+a.Name]; !ok {
				t.Errorf("schemaAttributes has no %s.%s", block, a.Name)
			}
		}
		for _, b := range sh.schema.Blocks {
			if _, ok := blockShapes[b.Type]; !ok && b.Type != "driver" && b.Type != "locals" {
				t.Errorf("blockShapes has no %s", b.Type)
			}
		}
	}
	for key, a := range schemaAttributes {
		block, name, _ := strings.Cut(key, ".")
		if a.kind != "word" {
			continue
		}
		for _, word := range append(slices.Clone(a.words), "nonsense") {
			text := `{"` + block + `": {"` + name + `": "` + word + `"}}`
			switch block {
			case "ssh":
			case "host":
				text = `{"host": {"a": {"address": "192.0.2.1", "` + name + `": "` + word + `"}}}`
			case "group":
				text = `{"host": {"a": {"address": "192.0.2.1"}}, "group": {"g": {"hosts": true, "` + name + `": "` + word + `"}}}`
			case "rollout":
				window := `{"from": "22:00", "to": "04:00", "zone": "UTC"}`
				text = `{"host": {"a": {"address": "192.0.2.1"}}, "rollout": {"r": {"` + name + `": "` + word + `", "wave": {"w": {"rest": true}}, "core": {"to": "29"}, "window": ` + window + `}}}`
			default:
				text = `{"host": {"a": {"address": "192.0.2.1"}}, "rollout": {"r": ` + text + `}}`
			}
			path := filepath.Join(t.TempDir(), "fleet.hcl.json")
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			fleet, diags := Load([]string{path}, Options{})
			if taken := fleet != nil; taken != (word != "nonsense") {
				t.Errorf("%s = %q: the schema's words are %q, Load says: %v", key, word, a.words, diags)
			}
		}
	}
}
