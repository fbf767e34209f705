// Package release finds Nextcloud releases, fetches each once, proves it is
// what was published, and keeps it in a cache at the controller.
//
// A source is a folder or a URL in the layout of the official download site:
// nextcloud-29.0.1.tar.bz2 or .zip, with .sha512 and, where published, .asc
// beside it. An archive is used only after its SHA-512 agrees, its OpenPGP
// signature (when there is one and a keyring is given) verifies, and each of
// its files agrees with core/signature.json, whose certificate must lead to
// Nextcloud's own root. The package refuses to guess: a name it cannot read, a
// checksum that is missing or a size over the limit is an error.
package release

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
)

// Limits of what is read from a source.
const (
	maxIndexBytes   = 16 << 20
	maxSidecarBytes = 64 << 10
	maxArchiveBytes = 4 << 30
)

// Source is where releases come from.
type Source struct {
	// Location is a folder's path or an http(s) URL.
	Location string
	// Cache is the controller's folder for archives; created when needed.
	Cache string
	// Integrity is "strict" (every file as signed) or "warn" (differences are
	// reported by Check and tolerated). The archive's own SHA-512 always counts.
	Integrity string
	// Keyring is a file of OpenPGP public keys, "" = signatures are not checked.
	Keyring string
	HTTP    *http.Client
}

// name is the official naming: nextcloud-29.0.1.tar.bz2.
var name = regexp.MustCompile(`nextcloud-([0-9]+\.[0-9]+\.[0-9]+)\.(tar\.bz2|zip)(\.sha512|\.asc)?`)

// entry is one version as the source lists it.
type entry struct {
	archive string // preferred file name
	files   map[string]bool
}

// List returns the releases that the source offers and that want accepts,
// pinned by checksum and sorted by version. A .tar.bz2 is preferred to a .zip.
// A wanted release without a checksum is an error: it could not be pinned.
func (s *Source) List(ctx context.Context, want func(nextcloud.Version) bool) ([]plan.Release, error) {
	names, err := s.names(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list releases of %s: %w", s.Location, err)
	}
	found := map[nextcloud.Version]*entry{}
	for _, n := range names {
		m := name.FindStringSubmatch(n)
		if m == nil || m[0] != n {
			continue
		}
		v, err := nextcloud.ParseVersion(m[1])
		if err != nil || !want(v) {
			continue
		}
		if found[v] == nil {
			found[v] = &entry{files: map[string]bool{}}
		}
		found[v].files[n] = true
		if m[3] == "" && (found[v].archive == "" || m[2] == "tar.bz2") {
			found[v].archive = n
		}
	}
	var list []plan.Release
	for v, e := range found {
		if e.archive == "" {
			continue
		}
		r, err := s.pin(ctx, v, e)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Version.Compare(list[j].Version) < 0 })
	return list, nil
}

// pin reads the checksum beside an archive.
func (s *Source) pin(ctx context.Context, v nextcloud.Version, e *entry) (plan.Release, error) {
	r := plan.Release{Version: v, Name: e.archive, URL: s.locate(e.archive), Size: -1, Signed: e.files[e.archive+".asc"]}
	text, err := s.small(ctx, e.archive+".sha512")
	if err != nil {
		return r, fmt.Errorf("cannot pin %s: its checksum file %s.sha512 is not to be had from %s: %w", e.archive, e.archive, s.Location, err)
	}
	if r.SHA512, err = checksumOf(text, e.archive); err != nil {
		return r, err
	}
	if !s.remote() {
		info, err := os.Stat(r.URL)
		if err != nil {
			return r, fmt.Errorf("cannot pin %s: %w", e.archive, err)
		}
		r.Size = info.Size()
	}
	return r, nil
}

// checksumOf finds an archive's line in the sha512sum(1) format.
func checksumOf(text []byte, archive string) (string, error) {
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) == 2 && strings.TrimPrefix(f[1], "*") == archive {
			if b, err := hex.DecodeString(f[0]); err == nil && len(b) == sha512.Size {
				return strings.ToLower(f[0]), nil
			}
		}
	}
	return "", fmt.Errorf("cannot pin %s: %s.sha512 holds no SHA-512 line for it", archive, archive)
}

func (s *Source) remote() bool {
	return strings.HasPrefix(s.Location, "http://") || strings.HasPrefix(s.Location, "https://")
}

// locate returns the URL or path of a file of the source.
func (s *Source) locate(file string) string {
	if s.remote() {
		return strings.TrimSuffix(s.Location, "/") + "/" + url.PathEscape(file)
	}
	return filepath.Join(s.Location, file)
}

// names lists the source's file names: a directory, or the links of an index page.
func (s *Source) names(ctx context.Context) ([]string, error) {
	if !s.remote() {
		entries, err := os.ReadDir(s.Location)
		if err != nil {
			return nil, err
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names, nil
	}
	body, err := s.get(ctx, strings.TrimSuffix(s.Location, "/")+"/", maxIndexBytes)
	if err != nil {
		return nil, err
	}
	names := name.FindAllString(string(body), -1)
	if len(names) == 0 {
		return nil, fmt.Errorf("the page names no nextcloud-X.Y.Z archive; give the folder that holds them, such as https://download.nextcloud.com/server/releases")
	}
	sort.Strings(names)
	return names, nil
}

// small reads a sidecar file.
func (s *Source) small(ctx context.Context, file string) ([]byte, error) {
	if s.remote() {
		return s.get(ctx, s.locate(file), maxSidecarBytes)
	}
	f, err := os.Open(s.locate(file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f, maxSidecarBytes)
}

func (s *Source) client() *http.Client {
	if s.HTTP != nil {
		return s.HTTP
	}
	return &http.Client{Timeout: 2 * time.Hour}
}

func (s *Source) get(ctx context.Context, u string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	resp, err := s.open(ctx, u)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return readLimited(resp.Body, limit)
}

func (s *Source) open(ctx context.Context, u string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "ncfleet")
	resp, err := s.client().Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%s answered %s", u, resp.Status)
	}
	return resp, nil
}

func readLimited(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("more than %d bytes came; that is not the file it should be", limit)
	}
	return b, nil
}
