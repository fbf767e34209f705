package drivers

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

// LockName is the lock file's usual name, beside the inventory.
const LockName = "ncfleet.lock"

// lockVersion is the format's. A reader refuses any other.
const lockVersion = 1

// remedy ends every refusal.
const remedy = "accept it with: ncfleet driver lock"

// Lock is the content of ncfleet.lock: the driver executables that the
// operator accepted. The file is JSON, sorted, and made to be committed:
//
//	{
//	  "version": 1,
//	  "drivers": [
//	    {
//	      "kind": "snapshot",
//	      "name": "example",
//	      "version": "1.2.0",
//	      "source": "/usr/lib/ncfleet/drivers/ncfleet-driver-example",
//	      "sha256": {
//	        "linux_amd64": "0f3c…"
//	      }
//	    }
//	  ]
//	}
//
// source is where the file was when it was accepted, for people only: the
// checksum decides. Drivers built into ncfleet are not listed.
type Lock struct {
	Drivers []Locked
	path    string // for messages
}

// Locked is one accepted driver.
type Locked struct {
	Kind    driver.Kind       `json:"kind"`
	Name    string            `json:"name"`
	Version string            `json:"version"`
	Source  string            `json:"source"`
	SHA256  map[string]string `json:"sha256"` // by platform, "linux_amd64"
}

type lockFile struct {
	Version int      `json:"version"`
	Drivers []Locked `json:"drivers"`
}

// Platform is this machine's key in Locked.SHA256.
func Platform() string { return runtime.GOOS + "_" + runtime.GOARCH }

// ReadLock reads a lock file. A missing one is an empty lock, which accepts no
// driver but the built-in ones.
func ReadLock(path string) (Lock, error) {
	l := Lock{path: path}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("cannot read the lock file: %w", err)
	}
	var f lockFile
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return l, fmt.Errorf("cannot read the lock file %s: %w; restore it from version control, or delete it and run: ncfleet driver lock", path, err)
	}
	if f.Version != lockVersion {
		return l, fmt.Errorf("cannot read the lock file %s: its version is %d and this ncfleet reads %d; use the ncfleet that wrote it", path, f.Version, lockVersion)
	}
	for i, d := range f.Drivers {
		if err := d.check(f.Drivers[:i]); err != nil {
			return l, fmt.Errorf("cannot read the lock file %s: driver %q %q: %w", path, d.Kind, d.Name, err)
		}
	}
	l.Drivers = f.Drivers
	return l, nil
}

func (d Locked) check(before []Locked) error {
	if d.Kind != driver.KindPackages && d.Kind != driver.KindSnapshot {
		return fmt.Errorf("unknown kind")
	}
	if !validName.MatchString(d.Name) {
		return fmt.Errorf("invalid name")
	}
	for _, b := range before {
		if b.Kind == d.Kind && b.Name == d.Name {
			return fmt.Errorf("listed twice, perhaps by a merge; keep the right one")
		}
	}
	for platform, sum := range d.SHA256 {
		if raw, err := hex.DecodeString(sum); err != nil || len(raw) != 32 {
			return fmt.Errorf("%q is no SHA-256 checksum (%s)", sum, platform)
		}
	}
	return nil
}

// Write replaces the lock file in one step; a crash leaves the old or the new.
func (l Lock) Write(path string) error {
	sorted := slices.Clone(l.Drivers)
	slices.SortFunc(sorted, func(a, b Locked) int {
		return strings.Compare(string(a.Kind)+" "+a.Name, string(b.Kind)+" "+b.Name)
	})
	if sorted == nil {
		sorted = []Locked{}
	}
	raw, err := json.MarshalIndent(lockFile{lockVersion, sorted}, "", "  ")
	if err == nil {
		err = replaceFile(path, append(raw, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cannot write the lock file %s: %w", path, err)
	}
	return nil
}

func replaceFile(path string, content []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".ncfleet.lock-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // gone already when all went well
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// Find returns the entry of a driver.
func (l Lock) Find(kind driver.Kind, name string) (Locked, bool) {
	for _, d := range l.Drivers {
		if d.Kind == kind && d.Name == name {
			return d, true
		}
	}
	return Locked{}, false
}

// Put adds or replaces an entry. Checksums of other platforms stay as long as
// the driver's version does.
func (l *Lock) Put(d Locked) {
	for i, old := range l.Drivers {
		if old.Kind != d.Kind || old.Name != d.Name {
			continue
		}
		sums := map[string]string{}
		if old.Version == d.Version {
			for platform, sum := range old.SHA256 {
				sums[platform] = sum
			}
		}
		for platform, sum := range d.SHA256 {
			sums[platform] = sum
		}
		d.SHA256 = sums
		l.Drivers[i] = d
		return
	}
	l.Drivers = append(l.Drivers, d)
}

// Verify tells whether the operator accepted this very file.
func (l Lock) Verify(src Source) error {
	_, err := l.Pin(src)
	return err
}

// Pin verifies a source and returns it with the accepted checksum, which is
// compared once more when the driver starts. Built-in drivers are pinned to
// this program already.
func (l Lock) Pin(src Source) (Source, error) {
	if src.Builtin {
		return src, nil
	}
	file := l.path
	if file == "" {
		file = LockName
	}
	d, ok := l.Find(src.Kind, src.Name)
	if !ok {
		return src, fmt.Errorf("cannot use %s: %s is not in %s; if you trust it, %s", src, src.Path, file, remedy)
	}
	want, ok := d.SHA256[Platform()]
	if !ok {
		return src, fmt.Errorf("cannot use %s: %s lists version %s for %s only and not for %s; if you trust %s, %s",
			src, file, d.Version, orNone(d.Platforms()), Platform(), src.Path, remedy)
	}
	sum, err := FileSHA256(src.Path)
	if err != nil {
		return src, fmt.Errorf("cannot use %s: cannot read it: %w", src, err)
	}
	if sum != want {
		return src, fmt.Errorf("cannot use %s: %s changed since it was accepted: its SHA-256 was %s (version %s, from %s) and is %s; if you replaced it on purpose, %s",
			src, src.Path, want, d.Version, d.Source, sum, remedy)
	}
	src.SHA256 = want
	return src, nil
}

// Platforms lists the platforms of which a file was accepted, sorted.
func (d Locked) Platforms() []string { return slices.Sorted(maps.Keys(d.SHA256)) }

// Identify starts an executable whatever its checksum, asks who it is, and
// returns its source, pinned to the file as it is now. It is for trying a
// driver that is not in use yet.
func (l *Launcher) Identify(ctx context.Context, path string) (Source, driver.Info, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Source{}, driver.Info{}, fmt.Errorf("cannot find the driver: %w", err)
	}
	if why := unusable(path); why != "" {
		return Source{}, driver.Info{}, fmt.Errorf("cannot start %s: %s", path, why)
	}
	sum, err := FileSHA256(path)
	if err != nil {
		return Source{}, driver.Info{}, fmt.Errorf("cannot read the driver: %w", err)
	}
	src := Source{Name: filepath.Base(path), Path: path, SHA256: sum}
	p, err := rpc.Start(ctx, rpc.Options{
		Name: src.Name, Path: path, SHA256: sum, Timeout: l.options.StartTimeout,
		Line: newSink(l.options.Log.With("driver", src.Name)).line,
	})
	if err != nil {
		return Source{}, driver.Info{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.options.StartTimeout)
	defer cancel()
	info, err := p.Driver().Info(ctx)
	if err = errors.Join(err, p.Close()); err != nil {
		return Source{}, driver.Info{}, fmt.Errorf("cannot ask %s for its name: %w", path, err)
	}
	src.Name, src.Kind = info.Name, info.Kind
	return src, info, nil
}

// Inspect starts a driver whatever its checksum, asks who it is, and returns
// its lock entry. It is for `ncfleet driver lock`, by which the operator
// vouches for the file.
func (l *Launcher) Inspect(ctx context.Context, src Source) (Locked, driver.Info, error) {
	sum, err := FileSHA256(src.Path)
	if err != nil {
		return Locked{}, driver.Info{}, fmt.Errorf("cannot inspect %s: %w", src, err)
	}
	src.SHA256 = sum // the file that starts is the file that is recorded
	p, err := l.Launch(ctx, src)
	if err != nil {
		return Locked{}, driver.Info{}, err
	}
	info := p.Info
	entry := Locked{Kind: src.Kind, Name: src.Name, Version: info.Version, Source: src.Path, SHA256: map[string]string{Platform(): sum}}
	return entry, info, p.Close()
}
