package fleetreport

import (
	"strings"
	"time"
)

// LifetimesOf is the day on which the table of lifetimes was compiled.
const LifetimesOf = "2026-08-22"

// lifetime is until when a product's maker cares for one cycle of it.
type lifetime struct {
	product, cycle string
	until          string // the last day
	longer         string // the last day of an extended programme, "" none known
	programme      string
}

// sources says where the rows of a product come from. All days were taken from
// endoflife.date's tables as of 2026-08-22; named with each is the maker's page
// that they follow.
var sources = map[string]string{
	// The wiki gives a month; the day is its last. Checked against its pages of
	// 2023-08-01 (25–27), 2025-03-19 (29–31), 2025-11-20 and 2026-02-20 (31–33).
	// It had announced the end of 30 for 2025-09; the last release came later.
	"Nextcloud": "github.com/nextcloud/server/wiki/Maintenance-and-Release-Schedule",
	// Checked against php.net/eol.php of 2026-09 for 7.0 to 8.1.
	"PHP":           "php.net/supported-versions.php",
	"Debian":        "wiki.debian.org/DebianReleases and wiki.debian.org/LTS",
	"Ubuntu":        "wiki.ubuntu.com/Releases",
	"RHEL":          "access.redhat.com/support/policy/updates/errata",
	"Rocky Linux":   "wiki.rockylinux.org/rocky/version",
	"AlmaLinux":     "wiki.almalinux.org/release-notes",
	"CentOS Stream": "centos.org/centos-stream",
	"Oracle Linux":  "oracle.com, lifetime support policy",
	"Fedora":        "docs.fedoraproject.org, release life cycle",
	"openSUSE Leap": "en.opensuse.org/Lifetime",
	"SLES":          "suse.com/lifecycle",
	"Alpine":        "alpinelinux.org/releases",
	"MariaDB":       "mariadb.org/about/#maintenance-policy",
	// Extended support of Oracle; the community edition gets the same releases.
	"MySQL":      "oracle.com, lifetime support policy for technology products",
	"PostgreSQL": "postgresql.org/support/versioning",
}

const (
	lts = "LTS"
	esm = "Ubuntu Pro (ESM)"
	els = "extended life cycle support, paid"
)

var lifetimes = []lifetime{
	{product: "Nextcloud", cycle: "25", until: "2023-10-31"},
	{product: "Nextcloud", cycle: "26", until: "2024-03-31"},
	{product: "Nextcloud", cycle: "27", until: "2024-06-30"},
	{product: "Nextcloud", cycle: "28", until: "2024-12-31"},
	{product: "Nextcloud", cycle: "29", until: "2025-04-30"},
	{product: "Nextcloud", cycle: "30", until: "2025-10-31"},
	{product: "Nextcloud", cycle: "31", until: "2026-02-28"},
	{product: "Nextcloud", cycle: "32", until: "2026-09-30"},
	{product: "Nextcloud", cycle: "33", until: "2027-02-28"},
	{product: "Nextcloud", cycle: "34", until: "2027-06-30"},

	{product: "PHP", cycle: "7.3", until: "2021-12-06"},
	{product: "PHP", cycle: "7.4", until: "2022-11-28"},
	{product: "PHP", cycle: "8.0", until: "2023-11-26"},
	{product: "PHP", cycle: "8.1", until: "2025-12-31"},
	{product: "PHP", cycle: "8.2", until: "2026-12-31"},
	{product: "PHP", cycle: "8.3", until: "2027-12-31"},
	{product: "PHP", cycle: "8.4", until: "2028-12-31"},
	{product: "PHP", cycle: "8.5", until: "2029-12-31"},

	{product: "Debian", cycle: "10", until: "2022-09-10", longer: "2024-06-30", programme: lts},
	{product: "Debian", cycle: "11", until: "2024-08-14", longer: "2026-08-31", programme: lts},
	{product: "Debian", cycle: "12", until: "2026-07-11", longer: "2028-06-30", programme: lts},
	{product: "Debian", cycle: "13", until: "2028-08-09", longer: "2030-06-30", programme: lts},

	{product: "Ubuntu", cycle: "18.04", until: "2023-05-31", longer: "2028-04-01", programme: esm},
	{product: "Ubuntu", cycle: "20.04", until: "2025-05-31", longer: "2030-04-02", programme: esm},
	{product: "Ubuntu", cycle: "22.04", until: "2027-04-01", longer: "2032-04-09", programme: esm},
	{product: "Ubuntu", cycle: "24.04", until: "2029-05-31", longer: "2036-05-31", programme: esm},
	{product: "Ubuntu", cycle: "25.10", until: "2026-07-01"},
	{product: "Ubuntu", cycle: "26.04", until: "2031-04-30", longer: "2036-04-30", programme: esm},

	{product: "RHEL", cycle: "7", until: "2024-06-30", longer: "2029-05-31", programme: els},
	{product: "RHEL", cycle: "8", until: "2029-05-31"},
	{product: "RHEL", cycle: "9", until: "2032-05-31"},
	{product: "RHEL", cycle: "10", until: "2035-05-31"},
	{product: "Rocky Linux", cycle: "8", until: "2029-05-31"},
	{product: "Rocky Linux", cycle: "9", until: "2032-05-31"},
	{product: "Rocky Linux", cycle: "10", until: "2035-05-31"},
	{product: "AlmaLinux", cycle: "8", until: "2029-05-31"},
	{product: "AlmaLinux", cycle: "9", until: "2032-05-31"},
	{product: "AlmaLinux", cycle: "10", until: "2035-05-31"},
	{product: "CentOS Stream", cycle: "8", until: "2024-05-31"},
	{product: "CentOS Stream", cycle: "9", until: "2027-05-31"},
	{product: "CentOS Stream", cycle: "10", until: "2030-05-31"},
	{product: "Oracle Linux", cycle: "7", until: "2024-12-31"},
	{product: "Oracle Linux", cycle: "8", until: "2029-07-31"},
	{product: "Oracle Linux", cycle: "9", until: "2032-06-30"},
	{product: "Fedora", cycle: "42", until: "2026-05-27"},
	{product: "Fedora", cycle: "43", until: "2026-12-09"},
	{product: "Fedora", cycle: "44", until: "2027-06-02"},
	{product: "openSUSE Leap", cycle: "15.5", until: "2024-12-31"},
	{product: "openSUSE Leap", cycle: "15.6", until: "2026-04-30"},
	{product: "openSUSE Leap", cycle: "16.0", until: "2027-10-31"},
	{product: "SLES", cycle: "15.5", until: "2024-12-31"},
	{product: "SLES", cycle: "15.6", until: "2025-12-31"},
	{product: "SLES", cycle: "15.7", until: "2031-07-31"},
	{product: "SLES", cycle: "16.0", until: "2027-11-30"},
	{product: "Alpine", cycle: "3.18", until: "2025-05-09"},
	{product: "Alpine", cycle: "3.19", until: "2025-11-01"},
	{product: "Alpine", cycle: "3.20", until: "2026-04-01"},
	{product: "Alpine", cycle: "3.21", until: "2026-11-01"},
	{product: "Alpine", cycle: "3.22", until: "2027-05-01"},
	{product: "Alpine", cycle: "3.23", until: "2027-11-01"},
	{product: "Alpine", cycle: "3.24", until: "2028-06-01"},

	{product: "MariaDB", cycle: "10.3", until: "2023-05-25"},
	{product: "MariaDB", cycle: "10.4", until: "2024-06-18"},
	{product: "MariaDB", cycle: "10.5", until: "2025-06-24"},
	{product: "MariaDB", cycle: "10.6", until: "2026-07-06"},
	{product: "MariaDB", cycle: "10.11", until: "2028-02-16"},
	{product: "MariaDB", cycle: "11.4", until: "2029-05-29"},
	{product: "MariaDB", cycle: "11.8", until: "2028-06-04"},
	{product: "MariaDB", cycle: "12.3", until: "2029-06-12"},
	{product: "MySQL", cycle: "5.7", until: "2023-10-31"},
	{product: "MySQL", cycle: "8.0", until: "2026-04-30"},
	{product: "MySQL", cycle: "8.4", until: "2032-04-30"},
	{product: "PostgreSQL", cycle: "11", until: "2023-11-09"},
	{product: "PostgreSQL", cycle: "12", until: "2024-11-21"},
	{product: "PostgreSQL", cycle: "13", until: "2025-11-13"},
	{product: "PostgreSQL", cycle: "14", until: "2026-11-12"},
	{product: "PostgreSQL", cycle: "15", until: "2027-11-11"},
	{product: "PostgreSQL", cycle: "16", until: "2028-11-09"},
	{product: "PostgreSQL", cycle: "17", until: "2029-11-08"},
	{product: "PostgreSQL", cycle: "18", until: "2030-11-14"},
}

// systems names operating systems as the table does, by ID of os-release.
var systems = map[string]string{
	"debian": "Debian", "ubuntu": "Ubuntu", "rhel": "RHEL", "rocky": "Rocky Linux", "almalinux": "AlmaLinux",
	"centos": "CentOS Stream", "ol": "Oracle Linux", "fedora": "Fedora", "opensuse-leap": "openSUSE Leap",
	"sles": "SLES", "alpine": "Alpine",
}

const day = "2006-01-02"

// lifetimeOf looks a version up: its cycle is the row that the version begins
// with. Without one the cycle is the version's first two numbers, and its end
// unknown.
func lifetimeOf(product, version string, now time.Time) Lifetime {
	for _, l := range lifetimes {
		if l.product == product && (version == l.cycle || strings.HasPrefix(version, l.cycle+".")) {
			out := Lifetime{Product: product, Cycle: l.cycle, Until: l.until, Longer: l.longer, Programme: l.programme, Source: sources[product]}
			out.State, out.DaysLeft = stateOf(l, now)
			return out
		}
	}
	parts := strings.Split(version, ".")
	return Lifetime{Product: product, Cycle: strings.Join(parts[:min(2, len(parts))], "."), State: LifeUnknown}
}

// stateOf says how a row stands at an instant; days are those left to its end,
// the extended one when the usual one is past.
func stateOf(l lifetime, now time.Time) (state LifeState, days int) {
	days = daysLeft(l.until, now)
	switch {
	case days >= 0 && days <= SoonDays && l.longer == "":
		return LifeSoon, days
	case days >= 0:
		return LifeSupported, days
	case l.longer == "":
		return LifeEnded, days
	}
	if days = daysLeft(l.longer, now); days < 0 {
		return LifeEnded, days
	}
	return LifeLonger, days
}

// daysLeft counts from the day of an instant, in UTC, to a last day: 0 on the
// last day itself.
func daysLeft(last string, now time.Time) int {
	end, err := time.Parse(day, last)
	if err != nil {
		return 0 // no row is like that; a test reads them all
	}
	return int(end.Sub(now.UTC().Truncate(24*time.Hour)) / (24 * time.Hour))
}
