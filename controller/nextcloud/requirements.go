package nextcloud

import (
	"fmt"
	"strconv"
	"strings"
)

// TableDate is the day on which the table of majors was compiled.
const TableDate = "2026-08-21"

// Major is what one major of Nextcloud requires, with the source of each row.
type Major struct {
	Number int
	// PHPMin and PHPMax are inclusive: {8, 1} and {8, 4}.
	PHPMin, PHPMax [2]int
	PHPSource      string
	// Databases are the versions that the major supports. Nextcloud itself only
	// warns about others, so the plan does too.
	Databases      []DatabaseRange
	DatabaseSource string
	// Newest is the newest release known on TableDate; what a release source
	// really offers goes before it.
	Newest       Version
	NewestSource string
	// Unverified names the columns that rest on nobody's reading of a file.
	Unverified []string
}

// DatabaseRange is the supported versions of one database product. Max is
// inclusive by its own length: "11.8" includes 11.8.3; "" is no upper bound.
type DatabaseRange struct {
	Server   string // "MariaDB", "MySQL", "PostgreSQL", "SQLite"
	Min, Max string
}

const (
	sourcePHPTable = "wiki page Releases-and-PHP-versions of nextcloud/server, 2026-09-01"
	sourceReleases = "config/releases.json of updater_server, 2026-08-21"
	sourceDBCheck  = "apps/settings/lib/SetupChecks/SupportedDatabase.php in "
	sourceMemory   = "admin manual, from memory"
)

// requiredModules are the PHP modules that every major of the table needs.
// Source: apps/settings/lib/SetupChecks/PhpModules.php in 29.0.1; the same
// list was seen in 34.0.1.
var requiredModules = []string{
	"ctype", "curl", "dom", "fileinfo", "gd", "json", "libxml", "mbstring",
	"openssl", "posix", "session", "simplexml", "xmlreader", "xmlwriter", "zip", "zlib",
}

// majors is sorted by number.
var majors = []Major{
	{
		Number: 25, PHPMin: [2]int{7, 4}, PHPMax: [2]int{8, 1}, PHPSource: sourcePHPTable,
		Databases:      oldDatabases,
		DatabaseSource: sourceMemory,
		Newest:         Version{25, 0, 13, 2}, NewestSource: sourceReleases,
		Unverified: []string{"databases"},
	},
	{
		Number: 26, PHPMin: [2]int{8, 0}, PHPMax: [2]int{8, 2}, PHPSource: sourcePHPTable,
		Databases:      oldDatabases,
		DatabaseSource: sourceMemory,
		Newest:         Version{26, 0, 13, 1}, NewestSource: sourceReleases,
		Unverified: []string{"databases"},
	},
	{
		Number: 27, PHPMin: [2]int{8, 0}, PHPMax: [2]int{8, 2}, PHPSource: sourcePHPTable,
		Databases:      oldDatabases,
		DatabaseSource: sourceMemory,
		Newest:         Version{27, 1, 11, 3}, NewestSource: sourceReleases,
		Unverified: []string{"databases"},
	},
	{
		Number: 28, PHPMin: [2]int{8, 0}, PHPMax: [2]int{8, 3}, PHPSource: "lib/versioncheck.php in 28.0.2",
		Databases:      oldDatabases,
		DatabaseSource: sourceDBCheck + "28.0.2",
		Newest:         Version{28, 0, 14, 1}, NewestSource: sourceReleases,
	},
	{
		Number: 29, PHPMin: [2]int{8, 0}, PHPMax: [2]int{8, 3}, PHPSource: "lib/versioncheck.php in 29.0.1",
		Databases:      oldDatabases,
		DatabaseSource: sourceDBCheck + "29.0.1",
		Newest:         Version{29, 0, 16, 1}, NewestSource: sourceReleases,
	},
	{
		Number: 30, PHPMin: [2]int{8, 1}, PHPMax: [2]int{8, 3}, PHPSource: sourcePHPTable,
		Databases: []DatabaseRange{
			{"MariaDB", "10.6", ""}, {"MySQL", "8.0", ""}, {"PostgreSQL", "12", ""}, sqlite,
		},
		DatabaseSource: "admin_manual/release_notes/upgrade_to_30.rst (MariaDB); " + sourceMemory + " (others)",
		Newest:         Version{30, 0, 17, 2}, NewestSource: sourceReleases,
		Unverified: []string{"databases"},
	},
	{
		Number: 31, PHPMin: [2]int{8, 1}, PHPMax: [2]int{8, 4}, PHPSource: sourcePHPTable,
		Databases: []DatabaseRange{
			{"MariaDB", "10.6", "11.4"}, {"MySQL", "8.0", "8.4"}, {"PostgreSQL", "13", ""}, sqlite,
		},
		DatabaseSource: sourceMemory,
		Newest:         Version{31, 0, 14, 1}, NewestSource: sourceReleases,
		Unverified: []string{"databases"},
	},
	{
		Number: 32, PHPMin: [2]int{8, 1}, PHPMax: [2]int{8, 4}, PHPSource: "lib/versioncheck.php in 32.0.1",
		Databases: []DatabaseRange{
			{"MariaDB", "10.6", "11.8"}, {"MySQL", "8.0", "8.4"}, {"PostgreSQL", "13", "17"}, sqlite,
		},
		DatabaseSource: sourceDBCheck + "32.0.1",
		Newest:         Version{32, 0, 14, 1}, NewestSource: sourceReleases,
	},
	{
		Number: 33, PHPMin: [2]int{8, 2}, PHPMax: [2]int{8, 5}, PHPSource: sourcePHPTable,
		Databases: []DatabaseRange{
			{"MariaDB", "10.6", "11.8"}, {"MySQL", "8.0", "8.4"}, {"PostgreSQL", "14", "18"}, sqlite,
		},
		DatabaseSource: "taken to be as in 34",
		Newest:         Version{33, 0, 8, 2}, NewestSource: sourceReleases,
		Unverified: []string{"databases"},
	},
	{
		Number: 34, PHPMin: [2]int{8, 2}, PHPMax: [2]int{8, 5}, PHPSource: "lib/versioncheck.php in 34.0.1",
		Databases: []DatabaseRange{
			{"MariaDB", "10.6", "11.8"}, {"MySQL", "8.0", "8.4"}, {"PostgreSQL", "14", "18"}, sqlite,
		},
		DatabaseSource: sourceDBCheck + "34.0.1",
		Newest:         Version{34, 0, 3, 2}, NewestSource: sourceReleases,
	},
}

var sqlite = DatabaseRange{"SQLite", "3.24", ""}

// oldDatabases are the bounds that majors up to 29 check.
var oldDatabases = []DatabaseRange{
	{"MariaDB", "10.2", ""}, {"MySQL", "8.0", ""}, {"PostgreSQL", "9.6", ""}, sqlite,
}

// Majors returns a copy of the table, oldest first.
func Majors() []Major {
	return append([]Major(nil), majors...)
}

// MajorOf returns the row of a major and whether the table has it.
func MajorOf(number int) (Major, bool) {
	for _, m := range majors {
		if m.Number == number {
			return m, true
		}
	}
	return Major{}, false
}

// RequiredModules are the PHP modules without which an upgrade is not tried,
// in lower case, sorted.
func RequiredModules() []string { return append([]string(nil), requiredModules...) }

// MissingModules returns the required modules that loaded lacks. Names are
// compared without regard to case, as PHP does.
func MissingModules(loaded []string) []string {
	have := map[string]bool{}
	for _, m := range loaded {
		have[strings.ToLower(m)] = true
	}
	var missing []string
	for _, m := range requiredModules {
		if !have[m] {
			missing = append(missing, m)
		}
	}
	return missing
}

// PHPRange is the row's bounds for people: "8.1–8.4".
func (m Major) PHPRange() string {
	return fmt.Sprintf("%d.%d–%d.%d", m.PHPMin[0], m.PHPMin[1], m.PHPMax[0], m.PHPMax[1])
}

// AcceptsPHP reports whether the major runs on that PHP ("8.2.36").
func (m Major) AcceptsPHP(version string) bool {
	have := majorMinor(version)
	return !less(have, m.PHPMin) && !less(m.PHPMax, have)
}

// DatabaseWarning says why the major does not support that database, "" when
// it does or when the product is not in the table.
func (m Major) DatabaseWarning(server, version string) string {
	for _, d := range m.Databases {
		if d.Server != server || version == "" {
			continue
		}
		bounds := d.Min + " or newer"
		if d.Max != "" {
			bounds = d.Min + "–" + d.Max
		}
		if CompareDotted(version, d.Min) < 0 || d.Max != "" && CompareDotted(cut(version, d.Max), d.Max) > 0 {
			return fmt.Sprintf("Nextcloud %d supports %s %s; this instance uses %s", m.Number, server, bounds, version)
		}
	}
	return ""
}

// cut shortens version to as many numbers as bound has.
func cut(version, bound string) string {
	parts := strings.Split(version, ".")
	if n := strings.Count(bound, ".") + 1; len(parts) > n {
		parts = parts[:n]
	}
	return strings.Join(parts, ".")
}

// CompareDotted compares dotted numbers; what follows the digits of a part
// ("0-ubuntu1") is ignored and missing parts count as 0.
func CompareDotted(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; i < len(as) || i < len(bs); i++ {
		x, y := part(as, i), part(bs, i)
		if x != y {
			if x < y {
				return -1
			}
			return 1
		}
	}
	return 0
}

func part(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	s := parts[i]
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	n, _ := strconv.Atoi(s[:end]) // no digits: 0
	return n
}

func majorMinor(version string) [2]int {
	parts := strings.Split(version, ".")
	return [2]int{part(parts, 0), part(parts, 1)}
}

func less(a, b [2]int) bool { return a[0] < b[0] || a[0] == b[0] && a[1] < b[1] }
