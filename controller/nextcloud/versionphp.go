package nextcloud

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// VersionPHP is what version.php says of a code tree.
type VersionPHP struct {
	Version Version
	Text    string // "29.0.1"
	Channel string
	Build   string
	// UpgradableFrom are the "major.minor" a database may have to be upgraded
	// by this code, sorted.
	UpgradableFrom []string
}

// ParseVersionPHP reads the source of version.php; nothing of it is executed.
func ParseVersionPHP(src []byte) (VersionPHP, error) {
	text := string(src)
	var v VersionPHP
	list, ok := assigned(text, "$OC_Version")
	if !ok {
		return v, errors.New("cannot read version.php: it does not set $OC_Version")
	}
	numbers := between(list)
	if numbers == "" {
		return v, fmt.Errorf("cannot read version.php: $OC_Version is not a list but %q", shorten(list))
	}
	parts := strings.Split(numbers, ",")
	if len(parts) < 3 || len(parts) > 4 {
		return v, fmt.Errorf("cannot read version.php: $OC_Version has %d numbers", len(parts))
	}
	for i, p := range parts {
		n, err := strconv.Atoi(strings.TrimSpace(p))
		if err != nil || n < 0 {
			return v, fmt.Errorf("cannot read version.php: %q in $OC_Version is not a number", p)
		}
		v.Version[i] = n
	}
	v.Text = assignedText(text, "$OC_VersionString")
	v.Channel = assignedText(text, "$OC_Channel")
	v.Build = assignedText(text, "$OC_Build")
	if from, ok := assigned(text, "$OC_VersionCanBeUpgradedFrom"); ok {
		v.UpgradableFrom = nextcloudKeys(from)
	}
	return v, nil
}

// assigned returns what is assigned to name, up to the closing semicolon.
func assigned(src, name string) (string, bool) {
	for {
		i := strings.Index(src, name)
		if i < 0 {
			return "", false
		}
		src = src[i+len(name):]
		rest := strings.TrimLeft(src, " \t\r\n")
		if !strings.HasPrefix(rest, "=") {
			continue // a longer name, or a use of it
		}
		value, _, _ := strings.Cut(rest[1:], ";")
		return strings.TrimSpace(value), true
	}
}

func assignedText(src, name string) string {
	value, _ := assigned(src, name)
	if len(value) < 2 || value[0] != value[len(value)-1] || (value[0] != '\'' && value[0] != '"') {
		return ""
	}
	return value[1 : len(value)-1]
}

// between returns the inside of array(…) or […].
func between(list string) string {
	list = strings.TrimSpace(list)
	switch {
	case strings.HasPrefix(list, "["):
		list = strings.TrimPrefix(list, "[")
	case strings.HasPrefix(list, "array"):
		list = strings.TrimPrefix(strings.TrimSpace(strings.TrimPrefix(list, "array")), "(")
	default:
		return ""
	}
	return strings.Trim(strings.TrimRight(list, ")] \t\r\n"), " \t\r\n,")
}

// nextcloudKeys returns the keys of the list under 'nextcloud' that are true.
func nextcloudKeys(list string) []string {
	i := strings.Index(list, "'nextcloud'")
	if i < 0 {
		return nil
	}
	list = list[i+len("'nextcloud'"):]
	if j := strings.Index(list, "'owncloud'"); j >= 0 {
		list = list[:j]
	}
	var out []string
	words := strings.Split(list, "'")
	for k := 1; k+1 < len(words); k += 2 {
		after := strings.TrimSpace(words[k+1])
		if strings.HasPrefix(after, "=>") && strings.Contains(after, "true") {
			out = append(out, words[k])
		}
	}
	sort.Strings(out)
	return out
}

// PHPBounds are the versions of PHP that a code tree accepts: at least Min and
// below Below; "" means no bound. Both are "8.0" or "8.0.5".
type PHPBounds struct {
	Min   string
	Below string
}

// ParseVersionCheckPHP reads the bounds from the source of
// lib/versioncheck.php.
func ParseVersionCheckPHP(src []byte) (PHPBounds, error) {
	var b PHPBounds
	parts := strings.Split(string(src), "PHP_VERSION_ID")
	for _, rest := range parts[1:] {
		rest = strings.TrimLeft(rest, " \t")
		switch {
		case strings.HasPrefix(rest, ">="):
			b.Below = phpVersionID(rest[2:])
		case strings.HasPrefix(rest, "<"):
			b.Min = phpVersionID(rest[1:])
		}
	}
	if b.Min == "" && b.Below == "" {
		return b, errors.New("cannot read versioncheck.php: it compares PHP_VERSION_ID with nothing")
	}
	return b, nil
}

// phpVersionID turns 80205 into "8.2.5" and 80200 into "8.2".
func phpVersionID(s string) string {
	s = strings.TrimLeft(s, " \t")
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	id, err := strconv.Atoi(s[:end])
	if err != nil || id < 10000 {
		return ""
	}
	v := strconv.Itoa(id/10000) + "." + strconv.Itoa(id/100%100)
	if patch := id % 100; patch != 0 {
		v += "." + strconv.Itoa(patch)
	}
	return v
}

func shorten(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
