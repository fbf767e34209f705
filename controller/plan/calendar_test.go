package plan

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/inventory"
)

func zonesOf(t *testing.T, names ...string) Zones {
	t.Helper()
	z := Zones{}
	for _, n := range names {
		zone, err := time.LoadLocation(n)
		if err != nil {
			t.Fatal(err)
		}
		z[n] = zone
	}
	return z
}

func calendarOf(t *testing.T, p *Policy) *Calendar {
	t.Helper()
	c, err := p.Calendar(zonesOf(t, p.ZoneNames()...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func utc(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04", s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestClockChanges is the table of what a window means where clocks are
// changed. Times are UTC, so that nothing has to be guessed.
func TestClockChanges(t *testing.T) {
	cases := []struct {
		what, zone, from, to string
		after                string // look for the next opening from here
		start, end           string
	}{
		{"an ordinary night", "Europe/Berlin", "22:00", "04:00", "2027-03-01 12:00", "2027-03-01 21:00", "2027-03-02 03:00"},
		{"spring: an hour shorter", "Europe/Berlin", "22:00", "04:00", "2027-03-27 12:00", "2027-03-27 21:00", "2027-03-28 02:00"},
		{"autumn: an hour longer", "Europe/Berlin", "22:00", "04:00", "2026-10-24 12:00", "2026-10-24 20:00", "2026-10-25 03:00"},
		{"spring: a start that does not exist is the change", "Europe/Berlin", "02:30", "05:00", "2027-03-27 12:00", "2027-03-28 01:00", "2027-03-28 03:00"},
		{"spring: an end that does not exist is the change", "Europe/Berlin", "01:00", "02:30", "2027-03-27 12:00", "2027-03-28 00:00", "2027-03-28 01:00"},
		{"spring: a window in the skipped hour does not open that day", "Europe/Berlin", "02:15", "02:45", "2027-03-27 12:00", "2027-03-29 00:15", "2027-03-29 00:45"},
		{"autumn: a start that comes twice is the first", "Europe/Berlin", "02:30", "05:00", "2026-10-24 12:00", "2026-10-25 00:30", "2026-10-25 04:00"},
		{"autumn: an end that comes twice is the first", "Europe/Berlin", "01:00", "02:30", "2026-10-24 12:00", "2026-10-24 23:00", "2026-10-25 00:30"},
		{"autumn: a window in the repeated hour opens once", "Europe/Berlin", "02:15", "02:45", "2026-10-25 00:50", "2026-10-26 01:15", "2026-10-26 01:45"},
		{"New York, spring", "America/New_York", "01:30", "03:30", "2027-03-14 00:00", "2027-03-14 06:30", "2027-03-14 07:30"},
		{"New York, autumn", "America/New_York", "00:30", "01:30", "2026-11-01 00:00", "2026-11-01 04:30", "2026-11-01 05:30"},
		{"Lord Howe, spring: half an hour", "Australia/Lord_Howe", "02:15", "03:00", "2026-10-03 12:00", "2026-10-03 15:30", "2026-10-03 16:00"},
		{"Lord Howe, autumn: half an hour", "Australia/Lord_Howe", "01:00", "03:00", "2027-04-03 12:00", "2027-04-03 14:00", "2027-04-03 16:30"},
		{"Lord Howe, autumn: the repeated half hour", "Australia/Lord_Howe", "01:45", "02:15", "2027-04-03 12:00", "2027-04-03 14:45", "2027-04-03 15:45"},
		{"Beirut, a midnight that does not exist", "Asia/Beirut", "00:00", "02:00", "2027-03-27 12:00", "2027-03-27 22:00", "2027-03-27 23:00"},
		{"Beirut, an end at that midnight", "Asia/Beirut", "22:00", "00:00", "2027-03-27 12:00", "2027-03-27 20:00", "2027-03-27 22:00"},
		{"Beirut, a midnight after an hour that comes twice", "Asia/Beirut", "23:30", "00:30", "2026-10-24 12:00", "2026-10-24 20:30", "2026-10-24 22:30"},
		{"Apia, a day that does not exist", "Pacific/Apia", "22:00", "04:00", "2011-12-30 09:50", "2011-12-30 09:50", "2011-12-30 14:00"},
	}
	for _, c := range cases {
		cal := calendarOf(t, &Policy{Window: &Window{From: c.from, To: c.to, Zone: c.zone}})
		start, end, found := cal.Next(utc(t, c.after), 0)
		if !found || !start.Equal(utc(t, c.start)) || !end.Equal(utc(t, c.end)) {
			t.Errorf("%s: %s to %s in %s: opens %s to %s (%v), want %s to %s", c.what, c.from, c.to, c.zone,
				start.UTC().Format("2006-01-02 15:04"), end.UTC().Format("2006-01-02 15:04"), found, c.start, c.end)
		}
	}
}

// TestClockChangesByScanning compares windows with clocks that are read minute
// by minute: a window opens when the clocks first show its start, or pass over
// it, and closes when they first show its end, or pass over it.
func TestClockChangesByScanning(t *testing.T) {
	names := []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "America/Havana", "Africa/Cairo", "America/Santiago"}
	zones := zonesOf(t, names...)
	rnd := rand.New(rand.NewSource(1))
	for _, name := range names {
		zone := zones[name]
		_, change := utc(t, "2026-06-01 00:00").In(zone).ZoneBounds()
		_, second := change.ZoneBounds()
		for _, at := range []time.Time{change, second} {
			begin := at.Add(-36 * time.Hour).Truncate(time.Minute)
			walls := make([]time.Time, 72*60) // what the clocks show, as UTC
			for i := range walls {
				l := begin.Add(time.Duration(i) * time.Minute).In(zone)
				walls[i] = time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), 0, 0, time.UTC)
			}
			first := func(wall time.Time) int {
				return slices.IndexFunc(walls, func(w time.Time) bool { return !w.Before(wall) })
			}
			for range 12 {
				from, length := rnd.Intn(24*12)*5, 5+rnd.Intn(24*12-1)*5
				w := Window{From: fmt.Sprintf("%02d:%02d", from/60, from%60), To: fmt.Sprintf("%02d:%02d", (from+length)/60%24, (from+length)%60), Zone: name}
				cal := calendarOf(t, &Policy{Window: &w})
				open := make([]bool, len(walls))
				for day := -3; day <= 3; day++ {
					date := walls[36*60].Truncate(24*time.Hour).AddDate(0, 0, day)
					start := first(date.Add(time.Duration(from) * time.Minute))
					end := first(date.Add(time.Duration(from+length) * time.Minute))
					if end < 0 {
						end = len(walls)
					}
					for i := max(start, 0); start >= 0 && i < end; i++ {
						open[i] = true
					}
				}
				for i := 24 * 60; i < 48*60; i++ {
					if _, got := cal.Until(begin.Add(time.Duration(i) * time.Minute)); got != open[i] {
						t.Fatalf("%s %s to %s at %s: open %v, want %v", name, w.From, w.To, begin.Add(time.Duration(i)*time.Minute).In(zone), got, open[i])
					}
				}
			}
		}
	}
}

func TestNthWeekday(t *testing.T) {
	cases := []struct{ day, after, want string }{
		{"second sat", "2026-11-01 00:00", "2026-11-14 22:00"},
		{"second sat", "2026-11-15 05:00", "2026-12-12 22:00"},
		{"first mon", "2027-02-01 00:00", "2027-02-01 22:00"}, // the month's first day
		{"last sun", "2026-11-01 00:00", "2026-11-29 22:00"},
		{"last wed", "2027-03-01 00:00", "2027-03-31 22:00"}, // its last day, and the fifth
		{"fourth wed", "2027-03-01 00:00", "2027-03-24 22:00"},
		{"last sat", "2027-02-01 00:00", "2027-02-27 22:00"}, // the fourth
		{"third fri", "2027-01-01 00:00", "2027-01-15 22:00"},
	}
	for _, c := range cases {
		cal := calendarOf(t, &Policy{Window: &Window{Days: []string{c.day}, From: "22:00", To: "04:00", Zone: "UTC"}})
		start, end, found := cal.Next(utc(t, c.after), 0)
		if !found || !start.Equal(utc(t, c.want)) || end.Sub(start) != 6*time.Hour {
			t.Errorf("%s after %s: %s to %s, want %s", c.day, c.after, start, end, c.want)
		}
	}
	for _, day := range []string{"sixth sat", "sat second", "Sat", "second", "second  sat", "last"} {
		if _, err := (&Policy{Window: &Window{Days: []string{day}, From: "22:00", To: "04:00"}}).Calendar(nil); err == nil {
			t.Errorf("the day %q was taken", day)
		}
	}
}

// TestSeveralWindows: any that is open is enough, and those that meet are one.
func TestSeveralWindows(t *testing.T) {
	night := Window{Days: []string{"fri"}, From: "22:00", To: "06:00", Zone: "Europe/Berlin"}
	morning := Window{Days: []string{"sat"}, From: "06:00", To: "08:00", Zone: "Europe/Berlin"}
	boston := Window{Days: []string{"sat"}, From: "01:00", To: "04:00", Zone: "America/New_York"}
	cal := calendarOf(t, &Policy{Window: &night, MoreWindows: []Window{morning, boston}})
	// 21:00 UTC Friday to 09:00 UTC Saturday: New York's 01:00 is 06:00 UTC.
	start, end, found := cal.Next(utc(t, "2026-11-27 12:00"), 12*time.Hour)
	if !found || !start.Equal(utc(t, "2026-11-27 21:00")) || !end.Equal(utc(t, "2026-11-28 09:00")) {
		t.Errorf("opens %s to %s (%v)", start.UTC(), end.UTC(), found)
	}
	if got := cal.Longest(utc(t, "2026-11-27 12:00")); got != 12*time.Hour {
		t.Errorf("the longest opening lasts %s, want 12 h", got)
	}
	if _, _, found := cal.Next(utc(t, "2026-11-27 12:00"), 14*time.Hour); found {
		t.Error("found an opening of 14 h")
	}
	always := calendarOf(t, &Policy{Window: &Window{From: "00:00", To: "00:00", Zone: "UTC"}})
	if end, open := always.Until(utc(t, "2026-11-27 12:00")); !open || !end.IsZero() {
		t.Errorf("open day and night: %v until %s", open, end)
	}
}

func TestBlackout(t *testing.T) {
	holidays := Blackout{From: "2026-12-24", To: "2026-12-26", Zone: "Europe/Berlin", Reason: "Christmas"}
	alone := calendarOf(t, &Policy{Blackouts: []Blackout{holidays}})
	if end, open := alone.Until(utc(t, "2026-12-23 12:00")); !open || !end.Equal(utc(t, "2026-12-23 23:00")) {
		t.Errorf("open %v until %s", open, end)
	}
	for at, want := range map[string]bool{"2026-12-23 22:59": true, "2026-12-23 23:00": false, "2026-12-26 22:59": false, "2026-12-26 23:00": true} {
		if _, open := alone.Until(utc(t, at)); open != want {
			t.Errorf("at %s: open %v", at, open)
		}
	}
	if b := alone.Blackout(utc(t, "2026-12-25 12:00")); b == nil || b.Reason != "Christmas" {
		t.Errorf("blackout %v", b)
	}
	nights := calendarOf(t, &Policy{Window: &Window{From: "22:00", To: "04:00", Zone: "Europe/Berlin"}, Blackouts: []Blackout{
		{From: "2026-12-27", To: "2026-12-27", Zone: "Europe/Berlin", Reason: "audit"}, holidays}})
	// The night of the 23rd is cut at midnight; the next whole one is the 28th's.
	start, end, found := nights.Next(utc(t, "2026-12-23 12:00"), time.Hour)
	if !found || !start.Equal(utc(t, "2026-12-23 21:00")) || !end.Equal(utc(t, "2026-12-23 23:00")) {
		t.Errorf("opens %s to %s", start.UTC(), end.UTC())
	}
	start, _, found = nights.Next(utc(t, "2026-12-23 12:00"), 3*time.Hour)
	if !found || !start.Equal(utc(t, "2026-12-27 23:00")) {
		t.Errorf("opens %s: what is left of the night after the blackout lasts 4 h", start.UTC())
	}
	never := calendarOf(t, &Policy{Blackouts: []Blackout{{From: "2026-01-01", To: "2036-01-01", Zone: "UTC", Reason: "sold"}}, Window: &Window{From: "22:00", To: "04:00"}})
	if start, _, found := never.Next(utc(t, "2026-12-23 12:00"), 0); found && start.Before(utc(t, "2036-01-02 00:00")) {
		t.Errorf("opens %s", start)
	}
	for _, b := range []Blackout{{From: "2026-12-24", To: "2026-12-23"}, {From: "24.12.", To: "26.12."}, {From: "2026-12-24", To: "2026-12-26", Zone: "Mars/Base"}} {
		if _, err := (&Policy{Blackouts: []Blackout{b}}).Calendar(nil); err == nil {
			t.Errorf("%+v was taken", b)
		}
	}
}

// TestWindowTooShort: a target that no window ever has room for is blocked by
// the plan, with its numbers, and one that fits is not.
func TestWindowTooShort(t *testing.T) {
	window := func(from, to string) inventory.Window {
		return inventory.Window{From: from, To: to, Zone: "Europe/Berlin"}
	}
	plan := func(change func(*Input)) Plan {
		in := fixture(2)
		in.Zones = zonesOf(t, "Europe/Berlin")
		in.Rollout.Windows = []inventory.Window{window("22:00", "22:01")}
		change(&in)
		p, ps := Compute(in)
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		return p
	}
	p := plan(func(*Input) {})
	if len(p.Waves) != 0 || len(p.Blocked) != 2 {
		t.Fatalf("%d waves, %d blocked", len(p.Waves), len(p.Blocked))
	}
	for _, b := range p.Blocked {
		why := b.Problems[0]
		if why.Code != "window_too_short" || !strings.Contains(why.Detail, "the longest opening in the coming year lasts 1 min") || !strings.Contains(why.Remedy, `window_cutoff = "none"`) {
			t.Errorf("%s: %+v", b.Target, why)
		}
	}
	for name, change := range map[string]func(*Input){
		"longer":     func(in *Input) { in.Rollout.Windows[0].To = "04:00" },
		"second one": func(in *Input) { in.Rollout.Windows = append(in.Rollout.Windows, window("23:00", "05:00")) },
		"no cut-off": func(in *Input) { in.Rollout.WindowCutoff = "none" },
		"no window":  func(in *Input) { in.Rollout.Windows = nil },
	} {
		if p := plan(change); len(p.Blocked) != 0 || len(p.Waves) != 2 {
			t.Errorf("%s: %+v", name, p.Blocked)
		}
	}
	p = plan(func(in *Input) {
		in.Rollout.Windows[0].To, in.Rollout.WindowReserve = "04:00", 7*time.Hour
	})
	if len(p.Blocked) != 2 || !strings.Contains(p.Blocked[0].Problems[0].Detail, "7 h of window_reserve") {
		t.Errorf("the reserve does not count: %+v", p.Blocked)
	}
	p = plan(func(in *Input) {
		in.Rollout.Blackouts = []inventory.Blackout{{From: "2026-01-01", To: "2036-01-01", Zone: "UTC", Reason: "sold"}}
	})
	if len(p.Blocked) != 2 || p.Blocked[0].Problems[0].Code != "window_never_opens" {
		t.Errorf("windows that never open: %+v", p.Blocked)
	}
	in := fixture(2)
	in.Rollout.Windows = []inventory.Window{window("22:00", "04:00")}
	if _, ps := Compute(in); len(ps) != 1 || ps[0].Code != "bad_window" {
		t.Errorf("a zone that was not given: %+v", ps)
	}
}
