// Package standin is a small stand-in of a Nextcloud server, written in PHP,
// for labs and tests: its releases, an app store, and trees to run.
//
// It behaves as Nextcloud does where a fleet controller looks: what occ prints
// and exits with, who may run it, config.php and how it is written, version.php
// and the rule which release may follow which, maintenance mode, migrations in
// a real database, the app store, and HTTP from status.php to WebDAV. The PHP
// lies in the folder tree and is the same in every release; what differs is
// generated from one table. tree/lib/README.md names the settings of its own.
//
// The package refuses to be more: it is no place for anybody's files, it runs
// nothing by itself, and nothing of it may face a network that is not a test's.
//
//	dir := "/srv/releases"
//	err := standin.WriteReleases(dir) // nextcloud-28.0.2.zip …, store/apps.json …
package standin

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// packed is the date of everything in an archive: what is written twice is equal.
var packed = time.Date(2026, 5, 23, 14, 0, 0, 0, time.UTC)

// Versions lists the releases, oldest first.
func Versions() []string {
	var out []string
	for _, r := range releases {
		out = append(out, r.short())
	}
	return out
}

// WriteReleases makes a mirror in dir: nextcloud-VERSION.zip with its .sha512
// for each of Versions, and an app store in dir/store, whose folder's URL is a
// value for appstoreurl. Its apps lie there as ID-VERSION.tar.gz.
func WriteReleases(dir string) error {
	for _, r := range releases {
		files, err := r.files()
		if err != nil {
			return fmt.Errorf("cannot make release %s: %w", r.short(), err)
		}
		text, err := zipped("nextcloud/", files)
		if err != nil {
			return fmt.Errorf("cannot pack release %s: %w", r.short(), err)
		}
		name := "nextcloud-" + r.short() + ".zip"
		sum := sha512.Sum512(text)
		err = writeTree(dir, map[string]string{
			name:             string(text),
			name + ".sha512": hex.EncodeToString(sum[:]) + "  " + name + "\n",
		})
		if err != nil {
			return err
		}
	}
	return writeStore(filepath.Join(dir, "store"))
}

// Unpack writes the tree of one release to dir, as its archive holds it.
func Unpack(dir, version string) error {
	for _, r := range releases {
		if r.short() != version {
			continue
		}
		files, err := r.files()
		if err != nil {
			return fmt.Errorf("cannot make release %s: %w", version, err)
		}
		return writeTree(dir, files)
	}
	return fmt.Errorf("cannot unpack release %q: there are %s", version, strings.Join(Versions(), ", "))
}

// UnpackApp writes an app that no release ships into apps, a folder of apps.
// "notesbin" is there in 1.0.0 for 28 alone and in 1.1.0 for 28 to 30;
// "legacyclock" in 1.0.0 for 28 alone.
func UnpackApp(apps, id, version string) error {
	for _, a := range storeApps {
		if a.id == id && a.version == version {
			return writeTree(filepath.Join(apps, id), a.files())
		}
	}
	return fmt.Errorf("cannot unpack app %s %s: the store does not have it", id, version)
}

// storeRelease is a release in the store's apps.json. Download is relative to
// the store, which the stand-in takes and Nextcloud does not.
type storeRelease struct {
	Version  string `json:"version"`
	Nightly  bool   `json:"isNightly"`
	Platform string `json:"rawPlatformVersionSpec"`
	PHP      string `json:"rawPhpVersionSpec"`
	Download string `json:"download"`
	Sign     string `json:"signature"`
}

type storeEntry struct {
	ID          string         `json:"id"`
	Certificate string         `json:"certificate"`
	Releases    []storeRelease `json:"releases"`
}

// writeStore offers every release of each app.
func writeStore(dir string) error {
	files := map[string]string{"categories.json": "[]\n"}
	at := map[string]int{}
	entries := []storeEntry{}
	for _, a := range storeApps {
		name := a.id + "-" + a.version + ".tar.gz"
		text, err := tarred(a.id+"/", a.files())
		if err != nil {
			return fmt.Errorf("cannot pack app %s: %w", a.id, err)
		}
		files[name] = string(text)
		r := storeRelease{Version: a.version, Platform: ">=" + a.min + " <=" + a.max, PHP: "*", Download: name}
		i, known := at[a.id]
		if !known {
			at[a.id] = len(entries)
			entries = append(entries, storeEntry{ID: a.id, Releases: []storeRelease{r}})
			continue
		}
		entries[i].Releases = append(entries[i].Releases, r)
	}
	text, err := json.MarshalIndent(entries, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write apps.json: %w", err)
	}
	files["apps.json"] = string(text) + "\n"
	return writeTree(dir, files)
}

func sortedNames(files map[string]string) []string {
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

func modeOf(name string) os.FileMode {
	if name == "occ" {
		return 0o755
	}
	return 0o644
}

func writeTree(dir string, files map[string]string) error {
	for _, name := range sortedNames(files) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("cannot make a folder: %w", err)
		}
		if err := os.WriteFile(path, []byte(files[name]), modeOf(name)); err != nil {
			return fmt.Errorf("cannot write a file: %w", err)
		}
	}
	return nil
}

func zipped(top string, files map[string]string) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range sortedNames(files) {
		h := &zip.FileHeader{Name: top + name, Method: zip.Deflate, Modified: packed}
		h.SetMode(modeOf(name))
		w, err := z.CreateHeader(h)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return b.Bytes(), err
}

func tarred(top string, files map[string]string) ([]byte, error) {
	var b bytes.Buffer
	g := gzip.NewWriter(&b)
	t := tar.NewWriter(g)
	for _, name := range sortedNames(files) {
		h := &tar.Header{Name: top + name, Mode: int64(modeOf(name)), Size: int64(len(files[name])), ModTime: packed, Typeflag: tar.TypeReg}
		if err := t.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := t.Write([]byte(files[name])); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	err := g.Close()
	return b.Bytes(), err
}
