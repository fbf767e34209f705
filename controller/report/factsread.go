package report

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// UnmarshalJSON reads facts under their names in documents; see MarshalJSON.
func (d *SurveyedHostDocument) UnmarshalJSON(text []byte) error {
	var v any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber() // sizes in bytes stay whole
	if err := dec.Decode(&v); err != nil {
		return err
	}
	type plain struct {
		FormatVersion int
		plan.Facts
	}
	var p plain
	own, err := json.Marshal(goNamed(v, reflect.TypeFor[plain]()))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(own, &p); err != nil {
		return err
	}
	if p.FormatVersion != formatVersion {
		return fmt.Errorf("the facts have format_version %d, this ncfleet knows %d", p.FormatVersion, formatVersion)
	}
	d.FormatVersion, d.Facts = p.FormatVersion, p.Facts
	return nil
}

// goNamed gives the fields of decoded objects the names that they have in a Go
// type. What the type does not have is left out.
func goNamed(v any, t reflect.Type) any {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		switch t.Kind() {
		case reflect.Pointer:
			return goNamed(v, t.Elem())
		case reflect.Struct:
			out := map[string]any{}
			nameFields(out, v, t)
			return out
		}
	case []any:
		if t.Kind() == reflect.Slice {
			for i := range v {
				v[i] = goNamed(v[i], t.Elem())
			}
		}
	}
	return v
}

func nameFields(out, v map[string]any, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			nameFields(out, v, f.Type)
			continue
		}
		own := f.Name
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag != "" {
			own = tag
		}
		if value, ok := v[FieldName(own)]; ok {
			out[own] = goNamed(value, f.Type)
		}
	}
}
