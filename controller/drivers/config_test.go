package drivers_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/drivers"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

var schema = driver.Schema{Attributes: []driver.Attribute{
	{Name: "directory", Type: "string", Required: true, Help: "Where snapshots are kept."},
	{Name: "token", Type: "string", Secret: true},
	{Name: "keep", Type: "number", Default: "3"},
	{Name: "online", Type: "bool", Default: "true"},
	{Name: "wait", Type: "duration", Default: "90s"},
	{Name: "exclude", Type: "list(string)", Default: "a, b"},
}}

func TestCheckConfig(t *testing.T) {
	tests := map[string]struct {
		block map[string]any
		want  []string // "attribute: text in summary or detail"
	}{
		"fine":            {map[string]any{"directory": "/x", "keep": 4, "exclude": []any{"c"}, "wait": "2m"}, nil},
		"empty":           {map[string]any{}, []string{"directory: Where snapshots are kept."}},
		"null is absent":  {map[string]any{"directory": nil}, []string{"directory: missing"}},
		"misspelt":        {map[string]any{"directroy": "/x", "directory": "/y"}, []string{`directroy: Did you mean "directory"?`}},
		"unknown":         {map[string]any{"colour": "red", "directory": "/y"}, []string{"colour: The driver knows directory, exclude, keep"}},
		"string":          {map[string]any{"directory": true}, []string{"directory: must be a string, not true"}},
		"number":          {map[string]any{"directory": "/x", "keep": "4"}, []string{`keep: must be a number, not "4"`}},
		"bool":            {map[string]any{"directory": "/x", "online": "yes"}, []string{"online: true or false"}},
		"duration":        {map[string]any{"directory": "/x", "wait": "soon"}, []string{"wait: such as"}},
		"bare duration":   {map[string]any{"directory": "/x", "wait": 90}, []string{"wait: in quotes"}},
		"negative":        {map[string]any{"directory": "/x", "wait": "-1s"}, []string{"wait: must be a duration"}},
		"list":            {map[string]any{"directory": "/x", "exclude": "c"}, []string{"exclude: list of strings"}},
		"list of numbers": {map[string]any{"directory": "/x", "exclude": []any{1}}, []string{"exclude: list of strings"}},
		"all at once":     {map[string]any{"kep": 1, "wait": 1}, []string{"directory: missing", `kep: "keep"`, "wait: in quotes"}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			got := drivers.CheckConfig(schema, c.block)
			if len(got) != len(c.want) {
				t.Fatalf("problems %+v, want %q", got, c.want)
			}
			for i, p := range got {
				attribute, text, _ := strings.Cut(c.want[i], ": ")
				if p.Attribute != attribute || !strings.Contains(p.Summary+" "+p.Detail, text) {
					t.Errorf("problem %+v, want %q", p, c.want[i])
				}
			}
		})
	}
}

func TestSecretsAreNotRepeated(t *testing.T) {
	for _, p := range drivers.CheckConfig(schema, map[string]any{"directory": "/x", "token": 12345}) {
		if strings.Contains(p.Summary+p.Detail, "12345") {
			t.Errorf("the problem repeats the secret: %+v", p)
		}
	}
}

func TestCompleteConfig(t *testing.T) {
	got, err := drivers.CompleteConfig(schema, map[string]any{"directory": "/x", "keep": 4, "exclude": []any{}})
	want := driver.Config{"directory": "/x", "keep": 4.0, "online": true, "wait": "90s", "exclude": []string{}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%#v, error %v, want %#v", got, err, want)
	}
	got, err = drivers.CompleteConfig(schema, map[string]any{"directory": "/x"})
	if err != nil || !reflect.DeepEqual(got["exclude"], []string{"a", "b"}) || got["keep"] != 3.0 {
		t.Errorf("%#v, error %v", got, err)
	}
	if _, err := drivers.CompleteConfig(schema, nil); err == nil {
		t.Error("an incomplete block is completed")
	}
	broken := driver.Schema{Attributes: []driver.Attribute{{Name: "n", Type: "number", Default: "many"}}}
	if _, err := drivers.CompleteConfig(broken, nil); err == nil || !strings.Contains(err.Error(), "default") {
		t.Errorf("a wrong default: error %v", err)
	}
}
