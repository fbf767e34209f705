package inventory

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// maxSecret bounds a secret's length in bytes.
const maxSecret = 64 << 10

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ResolveSecret reads the value a reference points to: an environment variable
// or a file of at most 64 KiB. One trailing newline is dropped; an empty value
// is an error. Errors name the reference, never the value.
func ResolveSecret(s Secret, env func(string) (string, bool), readFile func(string) ([]byte, error)) (string, error) {
	kind, target, _ := strings.Cut(string(s), ":")
	var value string
	switch kind {
	case "env":
		v, ok := env(target)
		if !ok {
			return "", fmt.Errorf("cannot read secret: environment variable %s is not set", target)
		}
		value = v
	case "file":
		raw, err := readFile(target)
		if err != nil {
			return "", fmt.Errorf("cannot read secret: %w", err)
		}
		value = string(raw)
	case "":
		return "", errors.New("cannot read secret: the reference is empty")
	default:
		return "", errors.New(`cannot read secret: the reference is neither "env:NAME" nor "file:/path"`)
	}
	if len(value) > maxSecret {
		return "", fmt.Errorf("cannot read secret: %s holds more than %d bytes", string(s), maxSecret)
	}
	value = strings.TrimSuffix(strings.TrimSuffix(value, "\n"), "\r")
	if value == "" {
		return "", fmt.Errorf("cannot read secret: %s is empty", string(s))
	}
	if strings.ContainsRune(value, 0) {
		return "", fmt.Errorf("cannot read secret: %s holds a NUL byte", string(s))
	}
	return value, nil
}

// errSecretForm does not repeat what was given: it may be the secret itself.
var errSecretForm = errors.New(`a secret is a reference, "env:NAME" or "file:/path", never the value itself`)

// parseSecret checks a reference and makes a file's path absolute.
func (s *source) parseSecret(ref string) (Secret, error) {
	kind, target, _ := strings.Cut(ref, ":")
	switch {
	case kind == "env" && envName.MatchString(target):
		return Secret(ref), nil
	case kind == "file" && target != "" && !strings.ContainsRune(target, 0):
		p, err := s.path(target)
		if err != nil {
			return "", err
		}
		return Secret("file:" + p), nil
	default:
		return "", errSecretForm
	}
}

// path expands ~ and makes p absolute, relative to the folder of the file it
// stands in.
func (s *source) path(p string) (string, error) {
	switch {
	case p == "":
		return "", errors.New("the path is empty")
	case strings.ContainsRune(p, 0):
		return "", errors.New("the path holds a NUL byte")
	case p == "~" || strings.HasPrefix(p, "~/"):
		home, ok := s.env("HOME")
		if !ok || !filepath.IsAbs(home) {
			return "", errors.New("~ cannot be expanded because HOME is not set; write the whole path")
		}
		return filepath.Join(home, p[1:]), nil
	case strings.HasPrefix(p, "~"):
		return "", errors.New("only ~/… is expanded, not another user's ~name; write the whole path")
	case filepath.IsAbs(p):
		return filepath.Clean(p), nil
	default:
		return filepath.Join(s.dir, p), nil
	}
}

// errSecretAsText is what an expression that treats a secret as text ends in.
var errSecretAsText = errors.New("a secret cannot be part of text or of a list of texts; give the reference alone to an attribute that takes a secret")

// secretType carries a reference through expressions. It converts to nothing,
// so that a secret cannot end up in a name, a label or a message.
var secretType = cty.CapsuleWithOps("secret", reflect.TypeOf(""), &cty.CapsuleOps{
	RawEquals: func(a, b any) bool { return *a.(*string) == *b.(*string) },
	HashKey:   func(v any) string { return *v.(*string) },
	GoString:  func(any) string { return "secret(***)" },
	ConversionFrom: func(cty.Type) func(any, cty.Path) (cty.Value, error) {
		return func(_ any, p cty.Path) (cty.Value, error) {
			return cty.DynamicVal, p.NewError(errSecretAsText)
		}
	},
})

func secretValue(s Secret) cty.Value {
	ref := string(s)
	return cty.CapsuleVal(secretType, &ref)
}

// asSecret returns the reference v holds, if it is one.
func asSecret(v cty.Value) (Secret, bool) {
	if v.Type() != secretType || v.IsNull() || !v.IsKnown() {
		return "", false
	}
	return Secret(*v.EncapsulatedValue().(*string)), true
}

// holdsSecret reports whether a secret is anywhere in v's type.
func holdsSecret(t cty.Type) bool {
	switch {
	case t == secretType:
		return true
	case t.IsCollectionType():
		return holdsSecret(t.ElementType())
	case t.IsTupleType():
		for _, e := range t.TupleElementTypes() {
			if holdsSecret(e) {
				return true
			}
		}
	case t.IsObjectType():
		for _, e := range t.AttributeTypes() {
			if holdsSecret(e) {
				return true
			}
		}
	}
	return false
}
