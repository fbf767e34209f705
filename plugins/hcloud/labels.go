package hcloud

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/cloud"
)

// A label's value takes at most 63 letters, digits, dashes, dots and
// underscores, and starts and ends with a letter or digit.
var plainValue = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

const (
	digestLabel = "ncfleet-digest" // of the key, to select by
	chunk       = 60               // hexadecimal digits in one label
	chunks      = 40               // most labels that one value takes
)

// labels writes the tags. A value that no label takes is written in hexadecimal
// pieces: "ncfleet-key.0", "ncfleet-key.1" …
func labels(t cloud.Tags) map[string]string {
	out := map[string]string{digestLabel: cloud.Digest(t.Key)}
	for name, value := range t.Map() {
		if value == "" || plainValue.MatchString(value) {
			out[name] = value
			continue
		}
		code := hex.EncodeToString([]byte(value))
		for i := 0; len(code) > 0 && i < chunks; i++ {
			n := min(chunk, len(code))
			out[name+"."+strconv.Itoa(i)] = code[:n]
			code = code[n:]
		}
	}
	return out
}

// readLabels is the reverse of labels. The key is "" when the labels are none
// of ours, or were changed since.
func readLabels(l map[string]string) cloud.Tags {
	values := map[string]string{}
	for _, name := range []string{cloud.TagKey, cloud.TagHost, cloud.TagInstance, cloud.TagMachine, cloud.TagUnit, cloud.TagCreated} {
		if v, ok := l[name]; ok {
			values[name] = v
			continue
		}
		var code strings.Builder
		for i := range chunks {
			code.WriteString(l[name+"."+strconv.Itoa(i)])
		}
		if b, err := hex.DecodeString(code.String()); err == nil {
			values[name] = string(b)
		}
	}
	t, ok := cloud.ReadTags(values)
	if !ok || cloud.Digest(t.Key) != l[digestLabel] {
		return cloud.Tags{}
	}
	return t
}

// selector selects by labels, as exactly as they allow.
func selector(f cloud.Filter) string {
	parts := []string{digestLabel}
	if f.Key != "" {
		parts[0] = fmt.Sprintf("%s=%s", digestLabel, cloud.Digest(f.Key))
	}
	if plainValue.MatchString(f.Machine) {
		parts = append(parts, fmt.Sprintf("%s=%s", cloud.TagMachine, f.Machine))
	}
	return strings.Join(parts, ",")
}
