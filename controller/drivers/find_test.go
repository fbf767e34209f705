package drivers_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/drivers"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

func program(t *testing.T, dir, name string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFind(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	program(t, first, "ncfleet-driver-example", 0o644)
	program(t, first, "ncfleet-driver-open", 0o777)
	want := program(t, second, "ncfleet-driver-example", 0o755)
	program(t, second, "ncfleet-driver-archive", 0o755)
	builtins := []drivers.Source{{Name: "archive", Kind: driver.KindSnapshot, Path: "/self", Builtin: true}, {Name: "apt", Kind: driver.KindPackages}}
	find := func(name string) (drivers.Source, error) {
		return drivers.Find(name, driver.KindSnapshot, []string{first, second, "/nowhere"}, builtins)
	}

	if src, err := find("archive"); err != nil || !src.Builtin {
		t.Errorf("a built-in driver comes first: %+v, error %v", src, err)
	}
	if src, err := find("example"); err != nil || src.Path != want || src.Builtin || src.SHA256 != "" {
		t.Errorf("found %+v, error %v, want %s", src, err, want)
	}
	_, err := find("exampel")
	var missing *drivers.NotFoundError
	if !errors.As(err, &missing) || len(missing.Looked) != 4 || missing.Near != "example" {
		t.Errorf("error %v", err)
	}
	for _, text := range []string{"archive", filepath.Join(first, "ncfleet-driver-exampel"), "/nowhere/ncfleet-driver-exampel: no such file", `did you mean "example"?`} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q lacks %q", err, text)
		}
	}
	if _, err := find("open"); err == nil || !strings.Contains(err.Error(), "chmod o-w") {
		t.Errorf("a file that everybody may write to: %v", err)
	}
	if _, err := find("apt"); err == nil {
		t.Error("a built-in of another kind is found")
	}
	for _, name := range []string{"", "../x", "a/b", "A", "-x", "x-", "a b", "a\n"} {
		if src, err := find(name); err == nil || errors.As(err, &missing) {
			t.Errorf("name %q: %+v, error %v", name, src, err)
		}
	}
}
