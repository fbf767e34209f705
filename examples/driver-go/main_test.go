package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

func TestMain(m *testing.M) { drivertest.Main(m, func() driver.Driver { return &copies{} }) }

func TestConformance(t *testing.T) {
	root := t.TempDir()
	file := func(name, content string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	file("nc/version.php", "<?php $OC_Version = array(28, 0, 2, 5);\n")
	file("nc/config/config.php", "<?php $CONFIG = array();\n")
	file("nc/apps/it's odd/info.xml", "<info/>\n")
	file("db/owncloud.db", "SQLite format 3\x00")
	c := drivertest.Snapshots{
		Config: driver.Config{"directory": filepath.Join(root, "copies")},
		Subject: driver.Subject{Host: "cloud", Instance: "main", Places: []driver.Place{
			{Part: driver.PartCode, Path: filepath.Join(root, "nc")},
			{Part: driver.PartConfig, Path: filepath.Join(root, "nc/config")},
			{Part: driver.PartDatabase, Path: filepath.Join(root, "db/owncloud.db")},
		}},
		Damage: func(t *testing.T, h driver.Handle) {
			if err := os.WriteFile(filepath.Join(string(h.Data), "places/1/version.php"), []byte("spoilt"), 0o640); err != nil {
				t.Fatal(err)
			}
		},
	}
	c.New = func(*testing.T) driver.Snapshotter { return &copies{} }
	t.Run("in process", func(t *testing.T) { drivertest.Snapshotter(t, c) })
	c.New, c.Kill = func(t *testing.T) driver.Snapshotter { return drivertest.Subprocess(t, nil).Snapshotter() }, drivertest.Kill
	t.Run("subprocess", func(t *testing.T) { drivertest.Snapshotter(t, c) })
}

func TestCoverNamesItsHoles(t *testing.T) {
	subject := driver.Subject{Places: []driver.Place{
		{Part: driver.PartCode, Path: "/srv/nc"},
		{Part: driver.PartApps, Path: "/srv/apps"},
		{Part: driver.PartDatabase, Detail: "MariaDB nc@127.0.0.1"},
		{Part: driver.PartData, Path: "/srv/nc/data"},
	}}
	cover, err := (&copies{}).Cover(t.Context(), subject, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(cover.Captured) != 1 || cover.Captured[0].Part != driver.PartApps || len(cover.Missing) != 3 {
		t.Errorf("captured %v, missing %v; only the apps can be copied", cover.Captured, cover.Missing)
	}
}
