package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// phpArray is an ordered array of PHP. Keys are int64 or string, values nil,
// bool, int64, float64, string or *phpArray.
type phpArray struct {
	entries []phpEntry
}

type phpEntry struct {
	key   any
	value any
}

func (a *phpArray) find(key any) int {
	for i := range a.entries {
		if a.entries[i].key == key {
			return i
		}
	}
	return -1
}

func (a *phpArray) get(key string) (any, bool) {
	if i := a.find(key); i >= 0 {
		return a.entries[i].value, true
	}
	return nil, false
}

func (a *phpArray) set(key, value any) {
	if i := a.find(key); i >= 0 {
		a.entries[i].value = value
		return
	}
	a.entries = append(a.entries, phpEntry{key, value})
}

func (a *phpArray) unset(key string) {
	if i := a.find(key); i >= 0 {
		a.entries = append(a.entries[:i:i], a.entries[i+1:]...)
	}
}

// text returns a scalar as PHP would print it, "" for the rest.
func (a *phpArray) text(key string) string {
	v, _ := a.get(key)
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		if v {
			return "1"
		}
	}
	return ""
}

// truth returns a value as PHP's (bool) would, otherwise when it is not set.
func (a *phpArray) truth(key string, otherwise bool) bool {
	v, ok := a.get(key)
	if !ok {
		return otherwise
	}
	switch v := v.(type) {
	case bool:
		return v
	case string:
		return v != "" && v != "0"
	case int64:
		return v != 0
	case *phpArray:
		return len(v.entries) > 0
	}
	return v != nil
}

// list returns the texts of an array value.
func (a *phpArray) list(key string) []string {
	out := []string{}
	if v, ok := a.get(key); ok {
		if inner, ok := v.(*phpArray); ok {
			for _, e := range inner.entries {
				if s, ok := e.value.(string); ok {
					out = append(out, s)
				}
			}
		}
	}
	return out
}

// MarshalJSON writes a list or an object, as PHP's json_encode does.
func (a *phpArray) MarshalJSON() ([]byte, error) {
	isList := true
	for i, e := range a.entries {
		isList = isList && e.key == int64(i)
	}
	var b bytes.Buffer
	b.WriteByte("{["[boolIndex(isList)])
	for i, e := range a.entries {
		if i > 0 {
			b.WriteByte(',')
		}
		if !isList {
			fmt.Fprintf(&b, "%s:", jsonText(fmt.Sprint(e.key)))
		}
		b.WriteString(jsonText(e.value))
	}
	b.WriteByte("}]"[boolIndex(isList)])
	return b.Bytes(), nil
}

func boolIndex(b bool) int {
	if b {
		return 1
	}
	return 0
}

// jsonText is JSON without escaped slashes or HTML, on one line.
func jsonText(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "null"
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// fromJSON turns decoded JSON into values of PHP.
func fromJSON(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("cannot read JSON %q: %w", text, err)
	}
	return phpValue(v), nil
}

func phpValue(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		a := &phpArray{}
		for i, x := range v {
			a.set(int64(i), phpValue(x))
		}
		return a
	case map[string]any:
		a := &phpArray{}
		for k, x := range v {
			a.set(k, phpValue(x))
		}
		return a
	}
	return v
}

// export writes a value as var_export does.
func export(v any, indent string) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case string:
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
	case *phpArray:
		var b strings.Builder
		b.WriteString("array (\n")
		for _, e := range v.entries {
			b.WriteString(indent + "  " + export(e.key, "") + " => ")
			if _, inner := e.value.(*phpArray); inner {
				b.WriteString("\n" + indent + "  ")
			}
			b.WriteString(export(e.value, indent+"  ") + ",\n")
		}
		b.WriteString(indent + ")")
		return b.String()
	}
	return "NULL"
}

// configText is config.php as Nextcloud writes it.
func configText(a *phpArray) string { return "<?php\n$CONFIG = " + export(a, "") + ";\n" }

var errNoConfig = errors.New("there is no $CONFIG in it")

// parseConfig reads the array literal assigned to $CONFIG; nothing else of the
// file is looked at.
func parseConfig(src []byte) (*phpArray, error) {
	_, rest, ok := strings.Cut(string(src), "$CONFIG")
	if !ok {
		return nil, errNoConfig
	}
	p := &phpParser{text: rest}
	if !p.take("=") {
		return nil, errNoConfig
	}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	a, ok := v.(*phpArray)
	if !ok {
		return nil, errNoConfig
	}
	return a, nil
}

// phpParser reads literals: arrays, strings, numbers, true, false and null.
type phpParser struct {
	text string
}

func (p *phpParser) space() {
	for {
		p.text = strings.TrimLeft(p.text, " \t\r\n")
		switch {
		case strings.HasPrefix(p.text, "//"), strings.HasPrefix(p.text, "#"):
			_, p.text, _ = strings.Cut(p.text, "\n")
		case strings.HasPrefix(p.text, "/*"):
			_, p.text, _ = strings.Cut(p.text, "*/")
		default:
			return
		}
	}
}

func (p *phpParser) take(word string) bool {
	p.space()
	if len(p.text) >= len(word) && strings.EqualFold(p.text[:len(word)], word) {
		p.text = p.text[len(word):]
		return true
	}
	return false
}

const maxDepth = 32

func (p *phpParser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("arrays are nested too deep")
	}
	p.space()
	switch {
	case p.text == "":
		return nil, errors.New("it ends in the middle of a value")
	case p.text[0] == '\'' || p.text[0] == '"':
		return p.quoted()
	case p.take("array"):
		if !p.take("(") {
			return nil, errors.New("array without (")
		}
		return p.array(")", depth)
	case p.take("["):
		return p.array("]", depth)
	case p.take("true"):
		return true, nil
	case p.take("false"):
		return false, nil
	case p.take("null"):
		return nil, nil
	}
	end := strings.IndexFunc(p.text, func(r rune) bool { return !strings.ContainsRune("+-.0123456789eE", r) })
	if end < 0 {
		end = len(p.text)
	}
	word := p.text[:end]
	p.text = p.text[end:]
	if n, err := strconv.ParseInt(word, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return nil, fmt.Errorf("it holds something other than plain values: %.20q", word+p.text)
	}
	return f, nil
}

func (p *phpParser) quoted() (any, error) {
	quote := p.text[0]
	var b strings.Builder
	for i := 1; i < len(p.text); i++ {
		c := p.text[i]
		switch {
		case c == quote:
			p.text = p.text[i+1:]
			return b.String(), nil
		case c == '\\' && i+1 < len(p.text) && (p.text[i+1] == '\\' || p.text[i+1] == quote):
			i++
			b.WriteByte(p.text[i])
		default:
			b.WriteByte(c)
		}
	}
	return nil, errors.New("a text has no end")
}

func (p *phpParser) array(end string, depth int) (any, error) {
	a := &phpArray{}
	next := int64(0)
	for !p.take(end) {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		var key any = next
		if p.take("=>") {
			key = v
			if v, err = p.value(depth + 1); err != nil {
				return nil, err
			}
		}
		if n, ok := key.(int64); ok {
			next = max(next, n+1)
		}
		a.set(key, v)
		if !p.take(",") {
			if !p.take(end) {
				return nil, errors.New("an array has no end")
			}
			return a, nil
		}
	}
	return a, nil
}
