package nextcloud

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is a Nextcloud version of four numbers, as in version.php
// ($OC_Version) and in config.php (version): 29.0.1.1. The zero Version means
// unknown.
type Version [4]int

// ParseVersion reads "29.0.1.1", "29.0.1", "29.0" or "29"; missing numbers are 0.
func ParseVersion(s string) (Version, error) {
	var v Version
	parts := strings.Split(strings.TrimSpace(s), ".")
	if len(parts) > 4 {
		return Version{}, fmt.Errorf("cannot read version %q: more than four numbers", s)
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 || p != strconv.Itoa(n) {
			return Version{}, fmt.Errorf("cannot read version %q: %q is not a number", s, p)
		}
		v[i] = n
	}
	return v, nil
}

// Major is the first number: 29.
func (v Version) Major() int { return v[0] }

// Zero reports an unknown version.
func (v Version) Zero() bool { return v == Version{} }

// String is the short form people use, "29.0.1".
func (v Version) String() string {
	if v.Zero() {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2])
}

// Long is the four-number form of config.php, "29.0.1.1".
func (v Version) Long() string {
	if v.Zero() {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d.%d", v[0], v[1], v[2], v[3])
}

// Compare returns -1, 0 or 1.
func (v Version) Compare(w Version) int {
	for i := range v {
		if v[i] != w[i] {
			if v[i] < w[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// SameRelease reports whether the first three numbers agree.
func (v Version) SameRelease(w Version) bool {
	return v[0] == w[0] && v[1] == w[1] && v[2] == w[2]
}

// MarshalText writes the four-number form.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.Long()), nil }

// UnmarshalText reads what MarshalText wrote; empty text is the zero Version.
func (v *Version) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*v = Version{}
		return nil
	}
	w, err := ParseVersion(string(b))
	if err != nil {
		return err
	}
	*v = w
	return nil
}
