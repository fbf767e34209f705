package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// LockName is the name of the file of pins, beside the inventory.
const LockName = "fleet.lock"

// lockVersion is the format's. A reader refuses any other.
const lockVersion = 1

// Lock is the content of fleet.lock: by rollout, the exact versions that its
// first wave ran. The file is JSON with sorted keys and one version a line, made
// to be committed and compared:
//
//	{
//	  "version": 1,
//	  "rollouts": {
//	    "monthly": {
//	      "rollout_id": "20261123-164338-monthly-7a05b6",
//	      …
//	      "releases": {"29.0.1": {"build": "29.0.1.1", "archive": "nextcloud-29.0.1.tar.bz2", "sha512": "…"}},
//	      "apps": {"calendar": "4.7.1"},
//	      "packages": {"apt debian 12 x86_64": {"openssl": "3.0.15-1~deb12u1"}}
//	    }
//	  }
//	}
type Lock struct {
	Rollouts map[string]Pinned
}

// Pinned is what one rollout's first wave ran, and how that came into the lock.
type Pinned struct {
	RolloutID string    `json:"rollout_id"`
	Plan      string    `json:"plan"` // the plan's digest
	Wave      string    `json:"wave"`
	At        time.Time `json:"at"`
	By        string    `json:"by"`
	Pins
}

// Pins are exact versions. Where the hosts of the wave differed, the versions
// stand in one text with a space between them: each of them was run.
type Pins struct {
	Releases map[string]PinnedRelease     `json:"releases,omitempty"` // by version, "29.0.1"
	Apps     map[string]string            `json:"apps,omitempty"`     // by app, without those that releases ship
	Packages map[string]map[string]string `json:"packages,omitempty"` // by platform and package
}

// PinnedRelease is a release of Nextcloud. Of one that a host had already when
// the rollout came the archive is not known.
type PinnedRelease struct {
	Build   string `json:"build,omitempty"` // the four numbers, as version.php says them
	Archive string `json:"archive,omitempty"`
	SHA512  string `json:"sha512,omitempty"`
}

type lockFile struct {
	Version  int               `json:"version"`
	Rollouts map[string]Pinned `json:"rollouts"`
}

// LockError is what is wrong with a lock file, and in which line.
type LockError struct {
	Line  int
	Cause string
}

func (e *LockError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Cause) }

// EncodeLock writes the file's form: the same lock, the same bytes.
func EncodeLock(l Lock) ([]byte, error) {
	if l.Rollouts == nil {
		l.Rollouts = map[string]Pinned{}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(lockFile{lockVersion, l.Rollouts}); err != nil {
		return nil, fmt.Errorf("cannot encode %s: %w", LockName, err)
	}
	return b.Bytes(), nil
}

// DecodeLock reads what EncodeLock wrote and people may have merged or edited.
// Its errors are of type LockError.
func DecodeLock(text []byte) (Lock, error) {
	var f lockFile
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return Lock{}, unreadable(text, d.InputOffset(), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Lock{}, lineOf(text, d.InputOffset(), "something follows the end of the lock")
	}
	if f.Version != lockVersion {
		return Lock{}, lineWith(text, "version", fmt.Sprintf("its version is %d and this ncfleet reads %d; use the ncfleet that wrote it", f.Version, lockVersion))
	}
	for _, name := range slices.Sorted(maps.Keys(f.Rollouts)) {
		if where, cause := f.Rollouts[name].wrong(); cause != "" {
			return Lock{}, lineWith(text, where, fmt.Sprintf("rollout %q: %s", name, cause))
		}
	}
	return Lock{Rollouts: f.Rollouts}, nil
}

// Digest is the SHA-256 of the entry, in hex.
func (p Pinned) Digest() string {
	text, err := json.Marshal(p)
	if err != nil {
		return "" // no entry is without a form
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// wrong says what cannot be right about an entry, and a word of the line.
func (p Pinned) wrong() (where, cause string) {
	if p.RolloutID == "" || p.Wave == "" || p.At.IsZero() {
		return "rollout_id", "rollout_id, wave and at must say whose pins these are"
	}
	for _, v := range slices.Sorted(maps.Keys(p.Releases)) {
		r := p.Releases[v]
		if sum, err := hex.DecodeString(r.SHA512); r.SHA512 != "" && (err != nil || len(sum) != 64) {
			return r.SHA512, fmt.Sprintf("the sha512 of %s is no SHA-512 checksum", v)
		}
	}
	for _, list := range append([]map[string]string{p.Apps}, slices.Collect(maps.Values(p.Packages))...) {
		for _, name := range slices.Sorted(maps.Keys(list)) {
			if len(strings.Fields(list[name])) == 0 {
				return name, fmt.Sprintf("%q has no version", name)
			}
		}
	}
	return "", ""
}

func unreadable(text []byte, offset int64, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return lineOf(text, int64(len(text)), "it ends in the middle")
	}
	if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
		return lineWith(text, strings.Trim(name, `"`), "the field "+name+" is unknown")
	}
	return lineOf(text, offset, err.Error())
}

func lineOf(text []byte, offset int64, cause string) error {
	offset = min(max(offset, 0), int64(len(text)))
	return &LockError{Line: 1 + bytes.Count(text[:offset], []byte("\n")), Cause: cause}
}

// lineWith names the first line that holds the word in quotes.
func lineWith(text []byte, word, cause string) error {
	return lineOf(text, int64(max(bytes.Index(text, []byte(`"`+word+`"`)), 0)), cause)
}
