package fleetreport

import (
	"fmt"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
)

func on(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return at
}

// TestLifetimeTable reads every row: its days exist, are in order, and its
// product has a source.
func TestLifetimeTable(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range lifetimes {
		name := l.product + " " + l.cycle
		if seen[name] {
			t.Errorf("%s stands there twice", name)
		}
		seen[name] = true
		if sources[l.product] == "" {
			t.Errorf("%s has no source", name)
		}
		until, err := time.Parse(day, l.until)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if (l.longer == "") != (l.programme == "") {
			t.Errorf("%s: an extended end and its programme belong together", name)
		}
		if l.longer == "" {
			continue
		}
		if longer, err := time.Parse(day, l.longer); err != nil || !longer.After(until) {
			t.Errorf("%s: %q is not after %q (%v)", name, l.longer, l.until, err)
		}
	}
	if _, err := time.Parse(day, LifetimesOf); err != nil {
		t.Error(err)
	}
	for _, product := range systems {
		if sources[product] == "" {
			t.Errorf("%s has no rows", product)
		}
	}
	for _, m := range nextcloud.Majors() {
		if !seen[fmt.Sprintf("Nextcloud %d", m.Number)] {
			t.Errorf("Nextcloud %d has requirements, but no end of life", m.Number)
		}
		for minor := m.PHPMin[1]; m.PHPMin[0] == 8 && minor <= m.PHPMax[1]; minor++ {
			if !seen[fmt.Sprintf("PHP 8.%d", minor)] {
				t.Errorf("PHP 8.%d runs Nextcloud %d and has no end of life", minor, m.Number)
			}
		}
	}
}

func TestLifetimeOf(t *testing.T) {
	for _, c := range []struct {
		product, version, now string
		cycle                 string
		state                 LifeState
		days                  int
	}{
		{"PHP", "8.2.36", "2026-11-26T05:00:00Z", "8.2", LifeSoon, 35},
		{"PHP", "8.2.36", "2026-12-31T23:59:59Z", "8.2", LifeSoon, 0},
		{"PHP", "8.2.36", "2027-01-01T00:00:00Z", "8.2", LifeEnded, -1},
		{"PHP", "8.2.36", "2026-10-02T12:00:00Z", "8.2", LifeSoon, 90},
		{"PHP", "8.2.36", "2026-10-01T12:00:00Z", "8.2", LifeSupported, 91},
		{"PHP", "8.20.1", "2026-11-26T05:00:00Z", "8.20", LifeUnknown, 0}, // not 8.2
		{"Debian", "12", "2026-07-11T05:00:00Z", "12", LifeSupported, 0},
		{"Debian", "12", "2026-07-12T05:00:00Z", "12", LifeLonger, 719},
		{"Debian", "12", "2028-07-01T05:00:00Z", "12", LifeEnded, -1},
		{"Rocky Linux", "9.4", "2026-11-26T05:00:00Z", "9", LifeSupported, 2013},
		{"MariaDB", "10.11.19", "2026-11-26T05:00:00Z", "10.11", LifeSupported, 447},
		{"MariaDB", "10.1.48", "2026-11-26T05:00:00Z", "10.1", LifeUnknown, 0}, // not 10.11
		{"PostgreSQL", "9.6.24", "2026-11-26T05:00:00Z", "9.6", LifeUnknown, 0},
		{"PostgreSQL", "16.4", "2026-11-26T05:00:00Z", "16", LifeSupported, 714},
		{"SQLite", "3.40.1", "2026-11-26T05:00:00Z", "3.40", LifeUnknown, 0},
		{"arch", "", "2026-11-26T05:00:00Z", "", LifeUnknown, 0},
	} {
		got := lifetimeOf(c.product, c.version, on(c.now))
		if got.Cycle != c.cycle || got.State != c.state || got.DaysLeft != c.days {
			t.Errorf("%s %s on %s is cycle %s, %s, %d days left; want %s, %s, %d",
				c.product, c.version, c.now, got.Cycle, got.State, got.DaysLeft, c.cycle, c.state, c.days)
		}
		if (got.State == LifeUnknown) != (got.Until == "") || (got.Source == "") != (got.Until == "") {
			t.Errorf("%s %s: a day and its source belong together: %+v", c.product, c.version, got)
		}
	}
}
