package report

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"unicode"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// SurveyDocument is what hosts are.
type SurveyDocument struct {
	FormatVersion int                    `json:"format_version"`
	Hosts         []SurveyedHostDocument `json:"hosts"`
}

// SurveyedHostDocument is what one host is: its facts, under names as all
// documents have them.
type SurveyedHostDocument struct {
	FormatVersion int `json:"format_version"`
	plan.Facts
}

// FactsJSON is one host's facts for programs.
func FactsJSON(f plan.Facts) SurveyedHostDocument { return SurveyedHostDocument{formatVersion, f} }

// MarshalJSON writes the facts under their names in documents. Facts have no
// such names themselves: plans hold some of them, and a plan's digest hangs on
// its bytes.
func (d SurveyedHostDocument) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	err := writeNamed(&b, reflect.ValueOf(d), true)
	return b.Bytes(), err
}

// FieldName is a field's name in documents: "SeenAt" is seen_at, "BootID" boot_id.
func FieldName(goName string) string {
	var b strings.Builder
	letters := []rune(goName)
	for i, r := range letters {
		begins := i > 0 && unicode.IsUpper(r) &&
			(!unicode.IsUpper(letters[i-1]) && letters[i-1] != '_' || i+1 < len(letters) && unicode.IsLower(letters[i+1]))
		if begins {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// writeNamed writes a value as encoding/json does, with FieldName's names where
// a field has none, and empty lists and maps in the place of missing ones.
func writeNamed(b *bytes.Buffer, v reflect.Value, whole bool) error {
	if !whole {
		switch v.Interface().(type) {
		case json.Marshaler, encoding.TextMarshaler:
			return writePlain(b, v)
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			b.WriteString("null")
			return nil
		}
		return writeNamed(b, v.Elem(), false)
	case reflect.Struct:
		b.WriteByte('{')
		err := writeFields(b, v)
		b.WriteByte('}')
		return err
	case reflect.Slice:
		b.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeNamed(b, v.Index(i), false); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	case reflect.Map:
		return writeMap(b, v)
	}
	return writePlain(b, v)
}

func writePlain(b *bytes.Buffer, v reflect.Value) error {
	text, err := json.Marshal(v.Interface())
	b.Write(text)
	return err
}

func writeFields(b *bytes.Buffer, v reflect.Value) error {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		if f.Anonymous {
			if err := writeFields(b, v.Field(i)); err != nil {
				return err
			}
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || options == "omitempty" && empty(v.Field(i)) {
			continue
		}
		if name == "" {
			name = FieldName(f.Name)
		}
		if last := b.Bytes()[b.Len()-1]; last != '{' {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, "%q:", name)
		if err := writeNamed(b, v.Field(i), false); err != nil {
			return err
		}
	}
	return nil
}

// empty is what encoding/json leaves out with omitempty.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.String, reflect.Array:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

func writeMap(b *bytes.Buffer, v reflect.Value) error {
	keys := v.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	b.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writePlain(b, k); err != nil {
			return err
		}
		b.WriteByte(':')
		if err := writeNamed(b, v.MapIndex(k), false); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}
