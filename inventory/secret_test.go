package inventory_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/inventory"
)

func TestResolveSecret(t *testing.T) {
	env := env("PW", "s3cret\r\n", "EMPTY", "", "NUL", "a\x00b", "LINES", "a\nb\n")
	readFile := func(name string) ([]byte, error) {
		switch name {
		case "/pw":
			return []byte("from file\n"), nil
		case "/big":
			return make([]byte, 65<<10), nil
		default:
			return nil, errors.New("no such file")
		}
	}
	tests := []struct {
		ref, want string
		fails     bool
	}{
		{"env:PW", "s3cret", false},
		{"env:LINES", "a\nb", false},
		{"file:/pw", "from file", false},
		{"env:NOPE", "", true},
		{"env:EMPTY", "", true},
		{"env:NUL", "", true},
		{"file:/big", "", true},
		{"file:/nope", "", true},
		{"hunter2", "", true},
		{"", "", true},
	}
	for _, tt := range tests {
		got, err := inventory.ResolveSecret(inventory.Secret(tt.ref), env, readFile)
		if got != tt.want || (err != nil) != tt.fails {
			t.Errorf("%q: got %q, %v", tt.ref, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error shows the value: %v", tt.ref, err)
		}
	}
}

func TestSecretDoesNotPrint(t *testing.T) {
	s := inventory.Secret("env:PW")
	if got := fmt.Sprintf("%s %v %q", s, s, s); got != `*** *** "***"` {
		t.Errorf("got %s", got)
	}
}
