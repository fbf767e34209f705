package drivers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// FilePrefix begins the file name of every driver that is not built in.
const FilePrefix = "ncfleet-driver-"

// validName keeps a driver's name a plain file name.
var validName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// NotFoundError lists every place where a driver was looked for.
type NotFoundError struct {
	Name   string
	Kind   driver.Kind
	Looked []string // "/usr/lib/ncfleet/ncfleet-driver-x: no such file"
	Near   string   // a driver of a similar name, "" if none
}

func (e *NotFoundError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cannot find driver %q %q; looked at", e.Kind, e.Name)
	for _, l := range e.Looked {
		b.WriteString("\n  " + l)
	}
	if e.Near != "" {
		fmt.Fprintf(&b, "\ndid you mean %q?", e.Near)
	} else {
		fmt.Fprintf(&b, "\ninstall %s%s into one of these directories, then run: ncfleet driver lock", FilePrefix, e.Name)
	}
	return b.String()
}

// Find returns the source of a driver: a built-in first, then the first
// executable ncfleet-driver-NAME on the path. A file found there carries no
// checksum yet; Lock.Pin gives it one.
func Find(name string, kind driver.Kind, path []string, builtins []Source) (Source, error) {
	if !validName.MatchString(name) {
		return Source{}, fmt.Errorf("cannot find driver %q %q: a driver's name consists of lower-case letters, digits and single dashes", kind, name)
	}
	missing := &NotFoundError{Name: name, Kind: kind}
	var known []string
	for _, b := range builtins {
		if b.Kind != kind {
			continue
		}
		if b.Name == name {
			return b, nil
		}
		known = append(known, b.Name)
	}
	missing.Looked = append(missing.Looked, fmt.Sprintf("the built-in drivers of kind %q: %s", kind, orNone(known)))
	for _, dir := range path {
		file, err := filepath.Abs(filepath.Join(dir, FilePrefix+name))
		if err != nil {
			return Source{}, fmt.Errorf("cannot find driver %q %q: %w", kind, name, err)
		}
		why := unusable(file)
		if why == "" {
			return Source{Name: name, Kind: kind, Path: file}, nil
		}
		missing.Looked = append(missing.Looked, file+": "+why)
		known = append(known, namesIn(dir)...)
	}
	missing.Near = nearest(name, known)
	return Source{}, missing
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// unusable says why a file cannot be started as a driver, "" when it can.
func unusable(file string) string {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no such file"
	case err != nil:
		return err.Error()
	case !info.Mode().IsRegular():
		return "not a regular file"
	case info.Mode()&0o111 == 0:
		return "not executable; run: chmod +x " + file
	case info.Mode()&0o002 != 0:
		return "everybody may write to it; run: chmod o-w " + file
	}
	return ""
}

// namesIn lists the drivers in a directory of the path, for suggestions.
func namesIn(dir string) []string {
	files, err := filepath.Glob(filepath.Join(dir, FilePrefix+"*"))
	if err != nil {
		return nil // a directory with odd characters suggests nothing
	}
	var out []string
	for _, f := range files {
		out = append(out, strings.TrimPrefix(filepath.Base(f), FilePrefix))
	}
	return out
}

// nearest returns the known name closest to a misspelt one, "" when none is
// close: at most a third of its letters may differ, and one always may.
func nearest(name string, known []string) string {
	best, limit := "", max(1, len(name)/3)
	for _, k := range known {
		if d := distance(name, k); d <= limit {
			best, limit = k, d-1
		}
	}
	return best
}

// distance counts the letters to insert, drop or replace between two names.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
