package drivers_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/drivers"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

func TestLock(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, drivers.LockName)
	src := drivers.Source{Name: "example", Kind: driver.KindSnapshot, Path: program(t, dir, "ncfleet-driver-example", 0o755)}

	lock, err := drivers.ReadLock(file)
	if err != nil {
		t.Fatalf("a missing lock file: %v", err)
	}
	refused := func(what string, src drivers.Source, texts ...string) {
		t.Helper()
		err := lock.Verify(src)
		if err == nil {
			t.Fatalf("%s: accepted", what)
		}
		for _, text := range append(texts, "ncfleet driver lock", file, `"example"`) {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: error %q lacks %q", what, err, text)
			}
		}
	}
	refused("an unknown driver", src, "is not in")
	if pinned, err := lock.Pin(drivers.Source{Name: "archive", Builtin: true, SHA256: "self"}); err != nil || pinned.SHA256 != "self" {
		t.Errorf("a built-in driver: %+v, error %v", pinned, err)
	}

	sum, err := drivers.FileSHA256(src.Path)
	if err != nil {
		t.Fatal(err)
	}
	lock.Put(drivers.Locked{Kind: src.Kind, Name: src.Name, Version: "1.2.0", Source: src.Path, SHA256: map[string]string{"plan9_arm": sum}})
	refused("a driver of another platform", src, "plan9_arm", drivers.Platform())
	lock.Put(drivers.Locked{Kind: src.Kind, Name: src.Name, Version: "1.2.0", Source: src.Path, SHA256: map[string]string{drivers.Platform(): sum}})
	lock.Put(drivers.Locked{Kind: driver.KindPackages, Name: "zypper", Version: "1", SHA256: map[string]string{drivers.Platform(): sum}})
	if err := lock.Write(file); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if lock, err = drivers.ReadLock(file); err != nil {
		t.Fatal(err)
	}
	if len(lock.Drivers) != 2 || lock.Drivers[0].Name != "zypper" || len(lock.Drivers[1].SHA256) != 2 {
		t.Errorf("the lock came back as %+v", lock.Drivers)
	}
	if err := lock.Write(file); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(file); string(after) != string(before) {
		t.Errorf("writing what was read changes the file:\n%s\n%s", before, after)
	}
	if pinned, err := lock.Pin(src); err != nil || pinned.SHA256 != sum {
		t.Errorf("an accepted driver: %+v, error %v", pinned, err)
	}
	changedDriver(t, lock, src, sum)
}

func changedDriver(t *testing.T, lock drivers.Lock, src drivers.Source, sum string) {
	t.Helper()
	if err := os.WriteFile(src.Path, []byte("#!/bin/sh\n# changed\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := lock.Verify(src)
	changed, _ := drivers.FileSHA256(src.Path)
	if err == nil {
		t.Fatal("a changed driver is accepted")
	}
	for _, text := range []string{"changed since it was accepted", sum, changed, "1.2.0", src.Path, "ncfleet driver lock"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q lacks %q", err, text)
		}
	}
	lock.Put(drivers.Locked{Kind: src.Kind, Name: src.Name, Version: "1.3.0", SHA256: map[string]string{drivers.Platform(): changed}})
	if d, _ := lock.Find(src.Kind, src.Name); len(d.SHA256) != 1 {
		t.Errorf("checksums of the old version stay: %+v", d)
	}
}

func TestBrokenLockFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), drivers.LockName)
	entry := `{"kind": "snapshot", "name": "x", "version": "1", "source": "", "sha256": {"linux_amd64": "` + strings.Repeat("0f", 32) + `"}}`
	for what, c := range map[string]struct{ content, want string }{
		"no JSON":       {"<<<<<<< HEAD", "version control"},
		"empty":         {"", "version control"},
		"other version": {`{"version": 2, "drivers": []}`, "version is 2"},
		"unknown field": {`{"version": 1, "plugins": []}`, "plugins"},
		"twice":         {`{"version": 1, "drivers": [` + entry + "," + entry + `]}`, "twice"},
		"bad checksum":  {`{"version": 1, "drivers": [` + strings.Replace(entry, "0f0f", "zz", 1) + `]}`, "checksum"},
		"bad kind":      {`{"version": 1, "drivers": [` + strings.Replace(entry, "snapshot", "cloud", 1) + `]}`, "kind"},
		"bad name":      {`{"version": 1, "drivers": [` + strings.Replace(entry, `"x"`, `"../x"`, 1) + `]}`, "name"},
	} {
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := drivers.ReadLock(file); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: error %v, want %q and the file's name in it", what, err, c.want)
		}
	}
}

func TestInspect(t *testing.T) {
	src := misfitSource(nil)
	sum := src.SHA256
	src.SHA256, src.Builtin = "", false
	got, info, err := drivers.NewLauncher(drivers.Options{}).Inspect(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "misfit" || got.Version != "0.9" || got.Kind != driver.KindSnapshot || got.SHA256[drivers.Platform()] != sum || len(info.Schema.Attributes) != 2 {
		t.Errorf("%+v, %+v", got, info)
	}
	var lock drivers.Lock
	lock.Put(got)
	if pinned, err := lock.Pin(src); err != nil || pinned.SHA256 != sum {
		t.Errorf("the inspected driver: %+v, error %v", pinned, err)
	}
}
