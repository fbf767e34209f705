package drivertest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

func TestMain(m *testing.M) {
	drivertest.Main(m, func() driver.Driver {
		if os.Getenv("FAKE") == "packages" {
			return drivertest.FakePackages{}
		}
		return drivertest.NewFakeSnapshotter("")
	})
}

func TestSnapshotter(t *testing.T) {
	newOnes := map[string]func(t *testing.T) driver.Snapshotter{
		"in process": func(*testing.T) driver.Snapshotter { return drivertest.NewFakeSnapshotter("") },
		"subprocess": func(t *testing.T) driver.Snapshotter { return drivertest.Subprocess(t, nil).Snapshotter() },
	}
	for name, newOne := range newOnes {
		t.Run(name, func(t *testing.T) {
			target, store := t.TempDir(), t.TempDir()
			for path, content := range map[string]string{"code/index.php": "<?php", "code/lib/a.php": "a", "config/config.php": "secret"} {
				path = filepath.Join(target, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			c := drivertest.Snapshots{
				New:    newOne,
				Faults: true,
				Config: driver.Config{"dir": store},
				Subject: driver.Subject{Host: "h", Places: []driver.Place{
					{Part: driver.PartCode, Path: filepath.Join(target, "code")},
					{Part: driver.PartConfig, Path: filepath.Join(target, "config")},
					{Part: driver.PartDatabase, Detail: "elsewhere"},
				}},
				Damage: func(t *testing.T, h driver.Handle) {
					if err := os.WriteFile(filepath.Join(store, string(h.Data)), []byte("{}"), 0o600); err != nil {
						t.Fatal(err)
					}
				},
			}
			if name == "subprocess" {
				c.Kill = drivertest.Kill
			}
			drivertest.Snapshotter(t, c)
		})
	}
}

func TestPackageManager(t *testing.T) {
	newOnes := map[string]func(t *testing.T) driver.PackageManager{
		"in process": func(*testing.T) driver.PackageManager { return drivertest.FakePackages{} },
		"subprocess": func(t *testing.T) driver.PackageManager {
			return drivertest.Subprocess(t, map[string]string{"FAKE": "packages"}).PackageManager()
		},
	}
	for name, newOne := range newOnes {
		t.Run(name, func(t *testing.T) {
			drivertest.PackageManager(t, drivertest.Packages{
				New:     newOne,
				Results: []driver.Result{{Stdout: []byte("ok\nzlib 1.2 1.3\nphp8.2 8.2.1 8.2.2\n")}},
				Selection: driver.Selection{Changes: []driver.PackageChange{
					{Name: "zlib", From: "1.2", To: "1.3", Change: driver.ChangeUpdate},
				}},
			})
		})
	}
}
