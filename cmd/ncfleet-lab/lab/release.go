package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// archiveName is the official naming of releases.
var archiveName = regexp.MustCompile(`^nextcloud-(\d+)\.(\d+)\.(\d+)\.(tar\.bz2|zip)$`)

// release is one archive of the releases' folder.
type release struct {
	version string
	major   int
	number  [3]int
	file    string
}

// releasesIn lists a folder's archives, oldest first; a .tar.bz2 goes before a
// .zip of the same version.
func releasesIn(dir string) ([]release, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the releases: %w", err)
	}
	byVersion := map[string]release{}
	for _, e := range entries {
		m := archiveName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		var r release
		for i := range r.number {
			r.number[i], _ = strconv.Atoi(m[i+1]) // the pattern lets digits pass only
		}
		r.version, r.major = strings.Join(m[1:4], "."), r.number[0]
		r.file = filepath.Join(dir, e.Name())
		if have, ok := byVersion[r.version]; ok && strings.HasSuffix(have.file, ".tar.bz2") {
			continue
		}
		byVersion[r.version] = r
	}
	var list []release
	for _, r := range byVersion {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b release) int { return slices.Compare(a.number[:], b.number[:]) })
	if len(list) == 0 {
		return nil, fmt.Errorf("%s holds no release: archives are named nextcloud-28.0.2.tar.bz2 or .zip, with a .sha512 beside each", dir)
	}
	for _, r := range list {
		if _, err := os.Stat(r.file + ".sha512"); err != nil {
			return nil, fmt.Errorf("there is no %s.sha512, and ncfleet uses no release without: make it with: cd %s && sha512sum %s >%s.sha512",
				r.file, dir, filepath.Base(r.file), filepath.Base(r.file))
		}
	}
	return list, nil
}

// chooseRelease returns what is installed, and the major to go to: the next one
// that there is, else the same.
func chooseRelease(list []release, want string) (release, string, error) {
	chosen := list[0]
	if want != "" {
		i := slices.IndexFunc(list, func(r release) bool { return r.version == want })
		if i < 0 {
			var have []string
			for _, r := range list {
				have = append(have, r.version)
			}
			return release{}, "", fmt.Errorf("there is no release %s; there are %s", want, strings.Join(have, ", "))
		}
		chosen = list[i]
	}
	goal := chosen.major
	for _, r := range list {
		if r.major == chosen.major+1 {
			goal = r.major
		}
	}
	return chosen, strconv.Itoa(goal), nil
}

// appTemplate is a third-party app that is installed beside Nextcloud; its zero
// value is none.
type appTemplate struct{ id, archive, digest string }

// storeApp is what the lab reads of an app store's apps.json.
type storeApp struct {
	ID       string         `json:"id"`
	Releases []storeRelease `json:"releases"`
}

type storeRelease struct {
	Version  string `json:"version"`
	Download string `json:"download"`
	Platform string `json:"rawPlatformVersionSpec"`
}

// chooseApp finds the store's first app with a release for this major, and of
// its releases the oldest, so that an update waits for it.
func chooseApp(store string, major int) (appTemplate, error) {
	if store == "" {
		return appTemplate{}, nil
	}
	data, err := os.ReadFile(filepath.Join(store, "apps.json"))
	if err != nil {
		return appTemplate{}, fmt.Errorf("cannot read the app store: %w", err)
	}
	var apps []storeApp
	if err := json.Unmarshal(data, &apps); err != nil {
		return appTemplate{}, fmt.Errorf("cannot read the app store %s/apps.json: %w", store, err)
	}
	for _, a := range apps {
		slices.SortFunc(a.Releases, func(x, y storeRelease) int { return strings.Compare(x.Version, y.Version) })
		for _, r := range a.Releases {
			file := filepath.Join(store, filepath.Base(r.Download))
			if _, err := os.Stat(file); err != nil || len(a.Releases) < 2 || !fits(r.Platform, major) {
				continue
			}
			content, err := fileDigest(file)
			return appTemplate{id: a.ID, archive: file, digest: content}, err
		}
	}
	return appTemplate{}, nil
}

// fits reads a platform specification such as ">=28 <=30".
func fits(spec string, major int) bool {
	for _, word := range strings.Fields(spec) {
		n, err := strconv.Atoi(strings.SplitN(strings.TrimLeft(word, "<>="), ".", 2)[0])
		switch {
		case err != nil:
		case strings.HasPrefix(word, ">=") && major < n:
			return false
		case strings.HasPrefix(word, "<=") && major > n:
			return false
		}
	}
	return true
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("cannot read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
