package cloud

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// Tags mark what the driver made.
type Tags struct {
	Key      string
	Host     string
	Instance string
	Machine  string
	Unit     string
	Created  time.Time // by the controller's clock
}

// The names of the tags in Map.
const (
	TagKey      = "ncfleet-key"
	TagHost     = "ncfleet-host"
	TagInstance = "ncfleet-instance"
	TagMachine  = "ncfleet-machine"
	TagUnit     = "ncfleet-unit"
	TagCreated  = "ncfleet-created" // Unix seconds
)

// Map returns the tags for a provider that takes any value.
func (t Tags) Map() map[string]string {
	return map[string]string{TagKey: t.Key, TagHost: t.Host, TagInstance: t.Instance, TagMachine: t.Machine,
		TagUnit: t.Unit, TagCreated: strconv.FormatInt(t.Created.Unix(), 10)}
}

// ReadTags is the reverse of Map; ok is false when there is no key.
func ReadTags(m map[string]string) (t Tags, ok bool) {
	t = Tags{Key: m[TagKey], Host: m[TagHost], Instance: m[TagInstance], Machine: m[TagMachine], Unit: m[TagUnit]}
	if n, err := strconv.ParseInt(m[TagCreated], 10, 64); err == nil {
		t.Created = time.Unix(n, 0)
	}
	return t, t.Key != ""
}

// Digest is a short name of a key for providers whose names and labels take
// few characters: 24 lower-case hexadecimal digits.
func Digest(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:12])
}

// Name is a name of the snapshot for people and for providers without tags, of
// letters, digits and dashes alone and at most 63 long: "ncfleet-HOST-DIGEST".
func (t Tags) Name() string {
	host := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, t.Host)
	return "ncfleet-" + strings.Trim(host[:min(len(host), 30)], "-") + "-" + Digest(t.Key)
}
