package hostcopy

import (
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

func TestNames(t *testing.T) {
	for key, want := range map[string]string{"r1/h1": "r1+h1", "a": "a", "2026-11/a.b_c/d": "2026-11+a.b_c+d"} {
		if got, err := NameOf(key); err != nil || got != want {
			t.Errorf("NameOf(%q) = %q, %v, want %q", key, got, err, want)
		}
	}
	for _, key := range []string{"", ".", "../x", "-rf", "a b", "a+b", "a~b", "a\nb", "$(x)"} {
		if got, err := NameOf(key); err == nil {
			t.Errorf("NameOf(%q) = %q, want a refusal", key, got)
		}
	}
	long, err := NameOf(strings.Repeat("x/", 200))
	other, err2 := NameOf(strings.Repeat("x/", 201))
	if err != nil || err2 != nil || len(long) > maxName || long == other {
		t.Errorf("long keys: %q, %q, %v, %v", long, other, err, err2)
	}
}

func TestConfigureRefuses(t *testing.T) {
	for _, c := range []driver.Config{{"directory": "relative"}, {"directory": "/a/../b"}, {"directory": "/"}, {"keep": 0.0}, {"keep": 1.5}, {"compress": "lzma"}} {
		if err := New(Store{Name: "test", Directory: "test"}).Configure(t.Context(), c); driver.ClassOf(err) != driver.Permanent {
			t.Errorf("Configure(%v): %v, want a refusal", c, err)
		}
	}
}

func TestOddPlacesAreRefused(t *testing.T) {
	for _, path := range []string{"relative", "/a/../b", "/", "/a\nb", ""} {
		s := driver.Subject{Host: "h", StateDir: "/var/lib/x", Places: []driver.Place{{Part: driver.PartCode, Path: path}}}
		if _, err := New(Store{Name: "test", Directory: "test"}).Cover(t.Context(), s, nil); driver.ClassOf(err) != driver.Permanent {
			t.Errorf("Cover of %q: %v, want a refusal", path, err)
		}
	}
}
