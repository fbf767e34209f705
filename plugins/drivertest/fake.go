package drivertest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// FakeSnapshotter keeps copies of local files in a directory, for the tests of
// others. It passes the suite. Its places need not exist, and it never uses
// the Runner.
type FakeSnapshotter struct {
	// Before, when set, is called first in every call but Info and Configure,
	// with the call's name; its error fails the call. It may block until ctx
	// ends, panic, or run commands.
	Before func(ctx context.Context, call string, key string, run driver.Runner) error

	mu    sync.Mutex
	dir   string
	calls []string
}

// NewFakeSnapshotter makes a snapshotter that keeps its state in dir. When dir
// is empty, Configure's attribute "dir" names it.
func NewFakeSnapshotter(dir string) *FakeSnapshotter { return &FakeSnapshotter{dir: dir} }

// Calls returns every call so far, such as "Create canary/cloud-07".
func (f *FakeSnapshotter) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.calls...)
}

// kept is a snapshot as it lies in the directory.
type kept struct {
	Key     string
	Created int64
	Places  []driver.Place
	Digest  string
	Files   []keptFile
}

type keptFile struct {
	Path    string
	Mode    fs.FileMode
	Target  string `json:",omitempty"`
	Content []byte `json:",omitempty"`
}

// Info implements driver.Driver.
func (f *FakeSnapshotter) Info(context.Context) (driver.Info, error) {
	return driver.Info{Name: "fake", Version: "1.0.0", Kind: driver.KindSnapshot, Schema: driver.Schema{Attributes: []driver.Attribute{
		{Name: "dir", Type: "string", Help: "Directory that holds the snapshots."},
		{Name: "token", Type: "string", Secret: true, Help: "Never used."},
		{Name: "retries", Type: "number", Default: "3", Help: "Never used."},
	}}}, nil
}

// Configure implements driver.Driver.
func (f *FakeSnapshotter) Configure(_ context.Context, c driver.Config) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if dir, ok := c["dir"].(string); ok {
		f.dir = dir
	}
	if f.dir == "" {
		return driver.Errorf(driver.Permanent, "attribute %q is missing; name a directory for the snapshots", "dir")
	}
	return nil
}

func (f *FakeSnapshotter) begin(ctx context.Context, call, key string, run driver.Runner) error {
	f.mu.Lock()
	f.calls = append(f.calls, strings.TrimSpace(call+" "+key))
	before := f.Before
	f.mu.Unlock()
	if before != nil {
		if err := before(ctx, call, key, run); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Path returns the file that holds the snapshot of that key.
func (f *FakeSnapshotter) Path(key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(f.dir, hex.EncodeToString(sum[:8])+".json")
}

// Cover implements driver.Snapshotter: every place with a path is captured.
func (f *FakeSnapshotter) Cover(ctx context.Context, s driver.Subject, run driver.Runner) (driver.Coverage, error) {
	if err := f.begin(ctx, "Cover", "", run); err != nil {
		return driver.Coverage{}, err
	}
	c := driver.Coverage{Consistent: true, BytesFree: -1, BytesNeed: -1}
	for _, p := range s.Places {
		if p.Path == "" {
			c.Missing = append(c.Missing, driver.Hole{Place: p, Reason: "the fake driver captures files only"})
			continue
		}
		c.Captured = append(c.Captured, p)
	}
	return c, nil
}

// Prepare implements driver.Snapshotter and does nothing.
func (f *FakeSnapshotter) Prepare(ctx context.Context, r driver.SnapshotRequest, run driver.Runner) error {
	return f.begin(ctx, "Prepare", r.Key, run)
}

// Create implements driver.Snapshotter.
func (f *FakeSnapshotter) Create(ctx context.Context, r driver.SnapshotRequest, run driver.Runner) (driver.Handle, error) {
	if err := f.begin(ctx, "Create", r.Key, run); err != nil {
		return driver.Handle{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	h := driver.Handle{Driver: "fake", Version: 1, Key: r.Key, Data: []byte(filepath.Base(f.Path(r.Key)))}
	if _, err := f.load(h); err == nil {
		return h, nil
	}
	k := kept{Key: r.Key, Created: time.Now().Unix()}
	for _, p := range r.Subject.Places {
		if p.Path == "" {
			continue
		}
		k.Places = append(k.Places, p)
		if err := k.capture(p.Path); err != nil {
			return driver.Handle{}, err
		}
	}
	k.Digest = k.digest()
	return h, f.save(k)
}

func (k *kept) capture(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		file := keptFile{Path: path, Mode: info.Mode()}
		switch {
		case info.Mode().IsRegular():
			file.Content, err = os.ReadFile(path)
		case info.Mode()&fs.ModeSymlink != 0:
			file.Target, err = os.Readlink(path)
		}
		k.Files = append(k.Files, file)
		return err
	})
}

func (k kept) digest() string {
	k.Digest = ""
	b, _ := json.Marshal(k) // plain data: it cannot fail
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (f *FakeSnapshotter) save(k kept) error {
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	temp := f.Path(k.Key) + ".new"
	if err := os.WriteFile(temp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, f.Path(k.Key))
}

func (f *FakeSnapshotter) load(h driver.Handle) (kept, error) {
	var k kept
	if h.Driver != "fake" || string(h.Data) != filepath.Base(f.Path(h.Key)) {
		return k, driver.Errorf(driver.Permanent, "this is no handle of the fake driver: %q", h.Data)
	}
	b, err := os.ReadFile(f.Path(h.Key))
	if errors.Is(err, fs.ErrNotExist) {
		return k, driver.Errorf(driver.NotFound, "there is no snapshot %q", h.Key)
	}
	if err != nil {
		return k, err
	}
	if err := json.Unmarshal(b, &k); err != nil {
		return k, driver.Errorf(driver.Permanent, "the snapshot %q is damaged: %v", h.Key, err)
	}
	if k.Digest != k.digest() {
		return k, driver.Errorf(driver.Permanent, "the snapshot %q is damaged: its digest does not match", h.Key)
	}
	return k, nil
}

// Verify implements driver.Snapshotter.
func (f *FakeSnapshotter) Verify(ctx context.Context, h driver.Handle, run driver.Runner) (driver.Verification, error) {
	if err := f.begin(ctx, "Verify", h.Key, run); err != nil {
		return driver.Verification{}, err
	}
	k, err := f.load(h)
	if err != nil {
		return driver.Verification{}, err
	}
	return driver.Verification{Verified: true, Digest: k.Digest, Detail: "digest of all files compared"}, nil
}

// Restore implements driver.Snapshotter.
func (f *FakeSnapshotter) Restore(ctx context.Context, h driver.Handle, _ driver.Subject, run driver.Runner) error {
	if err := f.begin(ctx, "Restore", h.Key, run); err != nil {
		return err
	}
	k, err := f.load(h)
	if err != nil {
		return err
	}
	for _, p := range k.Places {
		if err := os.RemoveAll(p.Path); err != nil {
			return err
		}
	}
	for _, file := range k.Files {
		if err := file.restore(); err != nil {
			return err
		}
	}
	return nil
}

func (k keptFile) restore() error {
	switch {
	case k.Mode.IsDir():
		if err := os.MkdirAll(k.Path, 0o700); err != nil {
			return err
		}
	case k.Mode&fs.ModeSymlink != 0:
		return os.Symlink(k.Target, k.Path)
	case k.Mode.IsRegular():
		if err := os.WriteFile(k.Path, k.Content, 0o600); err != nil {
			return err
		}
	default:
		return nil
	}
	return os.Chmod(k.Path, k.Mode)
}

// Delete implements driver.Snapshotter.
func (f *FakeSnapshotter) Delete(ctx context.Context, h driver.Handle, run driver.Runner) error {
	if err := f.begin(ctx, "Delete", h.Key, run); err != nil {
		return err
	}
	if h.Driver != "fake" || string(h.Data) != filepath.Base(f.Path(h.Key)) {
		return driver.Errorf(driver.Permanent, "this is no handle of the fake driver: %q", h.Data)
	}
	if err := os.Remove(f.Path(h.Key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// List implements driver.Snapshotter.
func (f *FakeSnapshotter) List(ctx context.Context, _ driver.Subject, run driver.Runner) ([]driver.Snapshot, error) {
	if err := f.begin(ctx, "List", "", run); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(f.dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var out []driver.Snapshot
	for _, path := range files {
		var k kept
		b, err := os.ReadFile(path)
		if err != nil || json.Unmarshal(b, &k) != nil {
			continue
		}
		h := driver.Handle{Driver: "fake", Version: 1, Key: k.Key, Data: []byte(filepath.Base(path))}
		out = append(out, driver.Snapshot{Handle: h, Created: k.Created, Bytes: int64(len(b))})
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Created > out[j].Created })
	return out, nil
}
