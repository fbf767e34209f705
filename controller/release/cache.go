package release

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// Cached is a verified archive at the controller.
type Cached struct {
	Path   string
	SHA256 string // hex, for the upload's own check
	Size   int64
	Report Report
}

// fetchTries bounds how often a broken download is resumed from the start.
const fetchTries = 3

// Ensure returns the archive from the cache, fetching and verifying it first
// when it is not there. A file in the cache that no longer agrees with its
// checksum is fetched again. Concurrent calls for one release must be avoided
// by the caller.
func (s *Source) Ensure(ctx context.Context, r plan.Release) (Cached, error) {
	if err := os.MkdirAll(s.Cache, 0o700); err != nil {
		return Cached{}, fmt.Errorf("cannot create release cache: %w", err)
	}
	path := filepath.Join(s.Cache, r.SHA512[:16]+"-"+filepath.Base(r.Name))
	if c, ok := s.remembered(path, r); ok {
		return c, s.judge(r, c.Report)
	}
	sums, err := s.fill(ctx, path, r)
	if err != nil {
		return Cached{}, err
	}
	c := Cached{Path: path, SHA256: sums.sha256, Size: sums.size}
	if c.Report, err = s.verify(ctx, path, r); err != nil {
		return Cached{}, err
	}
	if err := s.judge(r, c.Report); err != nil {
		return Cached{}, err
	}
	return c, remember(path, c, r)
}

// judge applies the integrity policy to a report.
func (s *Source) judge(r plan.Release, rep Report) error {
	if s.Integrity == "warn" || rep.Clean() {
		return nil
	}
	return fmt.Errorf("cannot use %s: %s; fetch it from the official site, or set core { integrity = \"warn\" } if you know why", r.Name, rep.String())
}

type sums struct {
	sha256, sha512 string
	size           int64
}

// fill makes sure that the file at path has the release's SHA-512.
func (s *Source) fill(ctx context.Context, path string, r plan.Release) (sums, error) {
	if got, err := sumFile(path); err == nil && got.sha512 == r.SHA512 {
		return got, nil
	}
	var last error
	for try := range fetchTries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return sums{}, errors.Join(last, ctx.Err())
			case <-time.After(time.Duration(try) * time.Second):
			}
		}
		got, err := s.download(ctx, path, r)
		if err == nil {
			return got, nil
		}
		last = err
		if !s.remote() {
			break
		}
	}
	return sums{}, last
}

// download copies the archive beside its place in the cache and renames it
// there once its checksum agrees.
func (s *Source) download(ctx context.Context, path string, r plan.Release) (sums, error) {
	in, err := s.reader(ctx, r)
	if err != nil {
		return sums{}, fmt.Errorf("cannot fetch %s: %w", r.URL, err)
	}
	defer in.Close()
	tmp, err := os.CreateTemp(filepath.Dir(path), ".fetch-*")
	if err != nil {
		return sums{}, fmt.Errorf("cannot fetch %s: %w", r.URL, err)
	}
	defer os.Remove(tmp.Name())
	got, err := copySums(tmp, io.LimitReader(in, maxArchiveBytes))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return sums{}, fmt.Errorf("cannot fetch %s: %w", r.URL, err)
	}
	if got.sha512 != r.SHA512 {
		return sums{}, fmt.Errorf("cannot use %s: its SHA-512 is %s…, its checksum file says %s…; the archive or its .sha512 at the source is damaged or was replaced", r.URL, got.sha512[:16], r.SHA512[:16])
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return sums{}, fmt.Errorf("cannot keep %s: %w", r.Name, err)
	}
	return got, nil
}

func (s *Source) reader(ctx context.Context, r plan.Release) (io.ReadCloser, error) {
	if !s.remote() {
		return os.Open(r.URL)
	}
	resp, err := s.open(ctx, r.URL)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func sumFile(path string) (sums, error) {
	f, err := os.Open(path)
	if err != nil {
		return sums{}, err
	}
	defer f.Close()
	return copySums(io.Discard, f)
}

func copySums(w io.Writer, r io.Reader) (sums, error) {
	a, b := sha256.New(), sha512.New()
	n, err := io.Copy(io.MultiWriter(w, a, b), r)
	return sums{sha256: hex.EncodeToString(a.Sum(nil)), sha512: hex.EncodeToString(b.Sum(nil)), size: n}, err
}

// note is what the cache remembers of a verified archive, so that the slow
// look at every file is done once. It counts only while size and time agree.
type note struct {
	SHA256, SHA512 string
	Size           int64
	ModTime        int64 // Unix nanoseconds
	Keyring        string
	Report         Report
}

func (s *Source) remembered(path string, r plan.Release) (Cached, bool) {
	text, err := os.ReadFile(path + ".verified")
	if err != nil {
		return Cached{}, false
	}
	var n note
	if err := json.Unmarshal(text, &n); err != nil {
		return Cached{}, false
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() != n.Size || info.ModTime().UnixNano() != n.ModTime || n.SHA512 != r.SHA512 || n.Keyring != s.Keyring {
		return Cached{}, false
	}
	return Cached{Path: path, SHA256: n.SHA256, Size: n.Size, Report: n.Report}, true
}

func remember(path string, c Cached, r plan.Release) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("cannot keep %s: %w", r.Name, err)
	}
	text, err := json.Marshal(note{SHA256: c.SHA256, SHA512: r.SHA512, Size: c.Size, ModTime: info.ModTime().UnixNano(), Keyring: c.Report.Keyring, Report: c.Report})
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".verified", text, 0o600); err != nil {
		return fmt.Errorf("cannot keep %s: %w", r.Name, err)
	}
	return nil
}
