// Package hostcopy is what the snapshot drivers that work on the host itself
// share: it saves and restores an instance with POSIX shell scripts that a
// [driver.Runner] runs as root, and leaves to a [Store] only how trees are kept.
//
// It captures the code tree, the config directory, app directories outside the
// tree and the database. It refuses to capture or to touch the data directory
// and object storage, to follow a tree that is a symbolic link or holds mount
// points, to send a database password anywhere, and to delete a tree that holds
// users' files.
//
// The database is always saved by its own dump program, never by copying a
// server's files: a dump is whole wherever the server runs and whatever file
// system it uses, and it goes back without stopping a server that other
// applications may share. The config is always a small archive. So a store
// keeps trees and nothing else.
//
// # What lies where
//
// The snapshot with key K is <directory>/K with "/" written "+". Names with "~"
// are half-made or helpers:
//
//	K~prepared   what Prepare made while users work, if the store can
//	K~partial    what Create is working on; renamed to K as its last act
//	K~lock       pid, start time and boot id of the call that works on K
//	K~gone       a deleted snapshot on its way out
//	K/meta       what was captured, name=value lines
//	K/tree-N.list, config.tar, config.list, db.*, and the store's own files
//	K/SHA256SUMS of all the others; its own sum is the snapshot's digest
//	K/verified   set by Verify
//
// Beside a tree T, Restore builds T.ncfleet-build-K, renames it to
// T.ncfleet-new-K once proven, T to T.ncfleet-bad-K (.2, .3 … when taken) and
// new to T. A data directory inside the tree follows by rename. Bad trees stay
// until their snapshot is deleted, by Delete or by retention; one that still
// holds a data directory is never deleted. Retention runs when a Verify
// succeeds, and never removes the newest verified snapshot.
//
// # The PHP calls
//
// PHP is called in one form, php -r CODE -- OP ARGUMENT, as the web user:
//
//	ncfleet-db-facts CONFIGDIR  prints name=value lines: kind (sqlite3, mysql,
//	                            pgsql), prefix, name, user, host, port, socket
//	                            and, for sqlite3, file; never the password
//	ncfleet-db-login CONFIGDIR  prints the client's login file: a [client]
//	                            section for mysql, a pgpass line for pgsql
//	ncfleet-db-copy FILE        writes a consistent, checked copy of a SQLite
//	                            file to stdout and sha256=HEX to stderr
//
// A failing call prints one line on stderr and exits with a status other than 0.
//
// Tables are saved, dropped and loaded by the instance's table prefix, so that
// a database shared with other applications is not rolled back with it.
package hostcopy

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Store is one way to keep trees.
type Store struct {
	Name string // of the driver
	// Script defines the store's functions; scripts/lib.sh lists them.
	Script string
	// Directory is where snapshots are kept below the state directory unless
	// the operator names another place.
	Directory    string
	Capabilities []string
	Attributes   []driver.Attribute // beside those of every store
	// Arguments checks the settings of Attributes and makes script arguments.
	Arguments func(driver.Config) ([]string, error)
	// Shell runs the scripts; nil means sh.
	Shell []string
}

const handleVersion = 1

// New returns the driver of a store, not yet configured.
func New(s Store) driver.Snapshotter {
	c := &copier{store: s, compress: "none", keep: 2}
	if s.Arguments != nil {
		c.own, _ = s.Arguments(nil) // the defaults
	}
	return c
}

type copier struct {
	store     Store
	own       []string // the store's arguments
	directory string   // "" means the store's below StateDir
	compress  string
	keep      int
}

// Info describes the driver.
func (a *copier) Info(context.Context) (driver.Info, error) {
	return driver.Info{
		Name: a.store.Name, Version: "1", Kind: driver.KindSnapshot,
		Capabilities: a.store.Capabilities,
		Schema: driver.Schema{Attributes: append([]driver.Attribute{
			{Name: "directory", Type: "string", Help: "Where snapshots are kept on the host; by default in the controller's own directory there."},
			{Name: "keep", Type: "number", Default: "2", Help: "How many snapshots of one instance to keep, at least 1."},
			{Name: "compress", Type: "string", Default: "none", Help: `"none" for the shortest closed time, "gzip" for small snapshots.`},
		}, a.store.Attributes...)},
	}, nil
}

// Configure checks the operator's settings.
func (a *copier) Configure(_ context.Context, c driver.Config) error {
	if v, ok := c["directory"].(string); ok && v != "" {
		if !cleanPath(v) {
			return driver.Errorf(driver.Permanent, "directory %q: write an absolute path without . and .. parts", v)
		}
		a.directory = v
	}
	if v, ok := c["keep"].(float64); ok {
		if v < 1 || v > 1000 || v != float64(int(v)) {
			return driver.Errorf(driver.Permanent, "keep = %v: write a whole number from 1 to 1000", v)
		}
		a.keep = int(v)
	}
	if v, ok := c["compress"].(string); ok && v != "" {
		if v != "none" && v != "gzip" {
			return driver.Errorf(driver.Permanent, `compress = %q: write "none" or "gzip"`, v)
		}
		a.compress = v
	}
	if a.store.Arguments == nil {
		return nil
	}
	own, err := a.store.Arguments(c)
	a.own = own
	return err
}

// base is the directory that holds the subject's snapshots.
func (a *copier) base(s driver.Subject) (string, error) {
	dir := a.directory
	if dir == "" {
		if !cleanPath(s.StateDir) {
			return "", driver.Errorf(driver.Permanent, "host %s: the state directory %q is not a clean absolute path", s.Host, s.StateDir)
		}
		dir = path.Join(s.StateDir, a.store.Directory)
	}
	return dir, nil
}

// arguments are what every script is told of the subject.
func (a *copier) arguments(s driver.Subject) ([]string, error) {
	base, err := a.base(s)
	if err != nil {
		return nil, err
	}
	args := []string{"base=" + base, "host=" + s.Host, "instance=" + s.Instance,
		"compress=" + a.compress, "keep=" + strconv.Itoa(a.keep)}
	if s.WebUser != "" {
		args = append(args, "web="+s.WebUser)
	}
	if s.PHP != "" {
		args = append(args, "php="+s.PHP)
	}
	if s.DatabaseKind != "" {
		args = append(args, "kind="+s.DatabaseKind)
	}
	for _, p := range s.Places {
		more, err := placeArguments(p)
		if err != nil {
			return nil, fmt.Errorf("host %s, instance %s: %w", s.Host, s.Instance, err)
		}
		args = append(args, more...)
	}
	if strings.HasPrefix(s.WebUser, "-") || strings.HasPrefix(s.PHP, "-") {
		return nil, driver.Errorf(driver.Permanent, "host %s, instance %s: the web user %q or the PHP command %q starts with a dash", s.Host, s.Instance, s.WebUser, s.PHP)
	}
	for _, arg := range args {
		if !printable(arg) {
			return nil, driver.Errorf(driver.Permanent, "host %s, instance %s: %q holds a control character: rename it", s.Host, s.Instance, arg)
		}
	}
	return args, nil
}

func placeArguments(p driver.Place) ([]string, error) {
	switch p.Part {
	case driver.PartDatabase:
		return []string{"db_asked=yes"}, nil
	case driver.PartObjects, driver.PartSystem:
		return nil, nil
	case driver.PartCode, driver.PartConfig, driver.PartApps, driver.PartData:
	default:
		return nil, nil
	}
	if !cleanPath(p.Path) {
		return nil, driver.Errorf(driver.Permanent, "the path %q of %s is not a clean absolute path", p.Path, p.Part)
	}
	args := []string{string(p.Part) + "=" + p.Path}
	if p.Part == driver.PartConfig {
		args = append(args, "config_asked=yes")
	}
	return args, nil
}

// cleanPath accepts absolute paths without tricks; "/" itself is no place.
func cleanPath(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && p != "/" && printable(p)
}

func printable(s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			return false
		}
	}
	return true
}
