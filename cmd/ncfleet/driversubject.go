package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/controller/drivers"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest/conformance"
)

// emptyDatabase is one of SQLite without a table.
//
//go:embed empty.sqlite
var emptyDatabase string

// tested is a driver whose configuration goes by way of its process, which
// keeps secrets out of errors and log.
type tested struct {
	driver.Snapshotter
	process *drivers.Process
}

func (d tested) Configure(ctx context.Context, c driver.Config) error {
	return d.process.Configure(ctx, c)
}

type testedPackages struct {
	driver.PackageManager
	process *drivers.Process
}

func (d testedPackages) Configure(ctx context.Context, c driver.Config) error {
	return d.process.Configure(ctx, c)
}

// trySnapshots tries a snapshot driver.
func (u *underTest) trySnapshots(r *conformance.Report, f testFlags) error {
	subject, remove, err := testSubject(f.subject)
	if err != nil {
		return err
	}
	defer remove()
	s := &store{dir: f.store}
	if s.dir == "" && f.subject == "" {
		if s.dir = folderIn(u.config); s.dir == "" {
			s.dir = subject.StateDir
		}
	}
	c := conformance.Snapshots{
		Config: u.config, Subject: subject,
		KeyPrefix: fmt.Sprintf("test-%d/", time.Now().UnixNano()),
		New: func(t conformance.T) driver.Snapshotter {
			s.look()
			p := u.launch(t)
			d, err := p.Snapshotter()
			if err != nil {
				t.Fatalf("%v", err)
			}
			return tested{d, p}
		},
		Kill: func(t conformance.T, d driver.Snapshotter) { d.(tested).process.Kill() },
	}
	if s.dir != "" {
		c.Damage = s.damage
	}
	conformance.Snapshotter(r, c)
	return nil
}

// testSubject reads what to try a driver on, or makes a folder for it.
func testSubject(file string) (s driver.Subject, remove func(), err error) {
	if file != "" {
		raw, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(raw, &s)
		}
		if err != nil {
			return s, nil, fmt.Errorf("cannot read the subject: %s: %w", file, err)
		}
		return s, func() {}, nil
	}
	root, err := os.MkdirTemp("", "ncfleet-driver-test-")
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return s, nil, fmt.Errorf("cannot make a folder for the trial: %w", err)
	}
	if err := fill(root); err != nil {
		_ = os.RemoveAll(root)
		return s, nil, fmt.Errorf("cannot make a folder for the trial: %w", err)
	}
	at := func(p driver.Part, name string) driver.Place {
		return driver.Place{Part: p, Path: filepath.Join(root, name)}
	}
	login, err := user.Current()
	if err != nil {
		return s, nil, fmt.Errorf("cannot find out who you are: %w", err)
	}
	return driver.Subject{
		Host: "driver-test", Instance: "main", WebUser: login.Username, PHP: "php", DatabaseKind: "sqlite3", StateDir: filepath.Join(root, "state"),
		Places: []driver.Place{at(driver.PartCode, "nc"), at(driver.PartConfig, "nc/config"), at(driver.PartDatabase, "data/owncloud.db"), at(driver.PartData, "data")},
	}, func() { _ = os.RemoveAll(root) }, nil
}

// fill lays out what a small instance looks like to a driver, with the odd
// names and modes that drivers stumble over.
func fill(root string) error {
	files := map[string]string{
		"nc/version.php":                "<?php $OC_Version = array(29, 0, 4, 1);\n",
		"nc/index.php":                  "<?php require 'lib/base.php';\n",
		"nc/apps/it's an app/info.xml":  "<info/>\n",
		"nc/apps/-rf/a file":            "not an option\n",
		"nc/core/big.bin":               strings.Repeat("0123456789abcdef", 20000),
		"nc/core/line\nbreak":           "",
		"nc/config/config.php":          fmt.Sprintf("<?php $CONFIG = array('dbtype' => 'sqlite3', 'datadirectory' => '%s');\n", filepath.Join(root, "data")),
		"data/owncloud.db":              emptyDatabase,
		"data/alice/files/a letter.txt": "Dear Bob,\n",
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
			return err
		}
	}
	for _, dir := range []string{"state", "nc/themes/empty"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			return err
		}
	}
	return os.Symlink("index.php", filepath.Join(root, "nc/link"))
}

// folderIn is the first folder that a configuration names.
func folderIn(c driver.Config) string {
	var found []string
	for _, v := range c {
		if s, ok := v.(string); ok && filepath.IsAbs(s) && filepath.Clean(s) != "/" {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

// store is the folder where a driver keeps its snapshots, as far as the trial
// must know it: what appeared since the last look is the snapshot at hand.
type store struct {
	dir  string
	mu   sync.Mutex
	seen map[string]bool
}

func (s *store) files() []string {
	var all []string
	_ = filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			all = append(all, path)
		}
		return nil // a folder that comes and goes is the driver's own affair
	})
	return all
}

func (s *store) look() {
	if s.dir == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = map[string]bool{}
	for _, f := range s.files() {
		s.seen[f] = true
	}
}

// damage changes one byte in the middle of the largest new file.
func (s *store) damage(t conformance.T, _ driver.Handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := slices.DeleteFunc(s.files(), func(f string) bool { return s.seen[f] })
	var largest string
	var size int64
	for _, f := range fresh {
		if info, err := os.Stat(f); err == nil && info.Size() > size {
			largest, size = f, info.Size()
		}
	}
	if largest == "" {
		t.Skipf("Create left no new file in %s; name the folder of the snapshots with --store", s.dir)
	}
	b, err := os.ReadFile(largest)
	if err == nil {
		b[len(b)/2] ^= 0xff
		_ = os.Chmod(largest, 0o600)
		err = os.WriteFile(largest, b, 0o600)
	}
	if err != nil {
		t.Fatalf("cannot damage the snapshot: %v", err)
	}
}
