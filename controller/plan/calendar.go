package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Zones are time zones by their IANA names. This package reads no files: who
// calls it loads those that [Policy.ZoneNames] lists.
type Zones map[string]*time.Location

// ZoneNames lists the time zones that the windows and blackouts are written in.
func (p *Policy) ZoneNames() []string {
	var names []string
	for _, w := range p.AllWindows() {
		names = append(names, w.Zone)
	}
	for _, b := range p.Blackouts {
		names = append(names, b.Zone)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// AllWindows are the windows of the policy: it may start targets in any.
func (p *Policy) AllWindows() []Window {
	if p.Window == nil {
		return p.MoreWindows
	}
	return append([]Window{*p.Window}, p.MoreWindows...)
}

// Calendar answers when a policy lets targets start: inside any of its
// windows, or always when there is none, but never on a blackout date.
//
// A window is the time from one local time to the next other one, both turned
// into instants. A local time that comes twice, where clocks are put back,
// means its first. One that does not exist, where they are put forward, means
// the instant of the change: a window that lies in the skipped hour alone does
// not open that day, and one that holds it is an hour shorter.
type Calendar struct {
	windows   []openTime
	blackouts []closedDates // by start
}

type openTime struct {
	days     []dayRule // none: every day
	from, to clock
	zone     *time.Location
}

type closedDates struct {
	Blackout
	start, end time.Time // end is not in it
}

type clock struct{ hour, minute int }

// dayRule is a weekday, or the nth or the last one of a month.
type dayRule struct {
	day time.Weekday
	nth int // 0 every, -1 the last
}

// How far ahead a calendar looks: no window is waited for longer, and no
// opening is told to be longer.
const (
	horizonDays = 800
	longestOpen = 31 * 24 * time.Hour
)

// Calendar reads the windows and blackouts of a policy.
func (p *Policy) Calendar(zones Zones) (*Calendar, error) {
	c := &Calendar{}
	for _, w := range p.AllWindows() {
		o, err := readWindow(w, zones)
		if err != nil {
			return nil, fmt.Errorf("window %s to %s: %w", w.From, w.To, err)
		}
		c.windows = append(c.windows, o)
	}
	for _, b := range p.Blackouts {
		d, err := readBlackout(b, zones)
		if err != nil {
			return nil, fmt.Errorf("blackout %s to %s: %w", b.From, b.To, err)
		}
		c.blackouts = append(c.blackouts, d)
	}
	slices.SortStableFunc(c.blackouts, func(a, b closedDates) int { return a.start.Compare(b.start) })
	return c, nil
}

func (z Zones) named(name string) (*time.Location, error) {
	if name == "" || name == "UTC" {
		return time.UTC, nil
	}
	if zone := z[name]; zone != nil {
		return zone, nil
	}
	return nil, fmt.Errorf("the time zone %q is not known", name)
}

func readWindow(w Window, zones Zones) (o openTime, err error) {
	if o.zone, err = zones.named(w.Zone); err != nil {
		return o, err
	}
	for _, d := range w.Days {
		rule, err := readDay(d)
		if err != nil {
			return o, err
		}
		o.days = append(o.days, rule)
	}
	var ok1, ok2 bool
	o.from, ok1 = readClock(w.From)
	o.to, ok2 = readClock(w.To)
	if !ok1 || !ok2 {
		return o, fmt.Errorf("times are written 22:00")
	}
	return o, nil
}

var (
	dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	nthNames = map[string]int{"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}
)

// readDay reads "sat", "second sat" or "last sun".
func readDay(s string) (dayRule, error) {
	nth, day, both := strings.Cut(s, " ")
	if !both {
		nth, day = "", s
	}
	n, known := nthNames[nth]
	at := slices.Index(dayNames, day)
	if at < 0 || both && !known {
		return dayRule{}, fmt.Errorf("the day %q is not known; days are written sat, second sat, last sun", s)
	}
	return dayRule{time.Weekday(at), n}, nil
}

func readClock(s string) (clock, bool) {
	t, err := time.Parse("15:04", s)
	return clock{t.Hour(), t.Minute()}, err == nil
}

func readBlackout(b Blackout, zones Zones) (closedDates, error) {
	d := closedDates{Blackout: b}
	zone, err := zones.named(b.Zone)
	if err != nil {
		return d, err
	}
	from, err1 := time.Parse(time.DateOnly, b.From)
	to, err2 := time.Parse(time.DateOnly, b.To)
	if err1 != nil || err2 != nil || to.Before(from) {
		return d, fmt.Errorf("dates are written 2026-12-24, the first one first")
	}
	d.start, d.end = instant(from, clock{}, zone), instant(to.AddDate(0, 0, 1), clock{}, zone)
	return d, nil
}

// instant is when the clocks of the zone first show the time on that date, or
// pass over it.
func instant(date time.Time, at clock, zone *time.Location) time.Time {
	y, m, d := date.Date()
	wall := time.Date(y, m, d, at.hour, at.minute, 0, 0, time.UTC)
	var offsets [2]time.Duration // in force before and after any change near
	for i, near := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		_, seconds := wall.Add(near).In(zone).Zone()
		offsets[i] = time.Duration(seconds) * time.Second
	}
	var first time.Time
	for _, o := range offsets {
		t := wall.Add(-o)
		if _, seconds := t.In(zone).Zone(); time.Duration(seconds)*time.Second == o && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if first.IsZero() { // no clock ever shows it
		first, _ = wall.Add(-offsets[0]).In(zone).ZoneBounds()
	}
	return first.In(zone)
}

// on reports whether the window opens on that date.
func (o *openTime) on(date time.Time) bool {
	if len(o.days) == 0 {
		return true
	}
	for _, r := range o.days {
		if r.day != date.Weekday() {
			continue
		}
		switch r.nth {
		case 0:
			return true
		case -1:
			if date.AddDate(0, 0, 7).Month() != date.Month() {
				return true
			}
		default:
			if (date.Day()+6)/7 == r.nth {
				return true
			}
		}
	}
	return false
}

// opening is the window's opening that begins on that date, if one does.
func (o *openTime) opening(date time.Time) (start, end time.Time, ok bool) {
	if !o.on(date) {
		return start, end, false
	}
	last := date
	if o.to.hour*60+o.to.minute <= o.from.hour*60+o.from.minute {
		last = date.AddDate(0, 0, 1)
	}
	start, end = instant(date, o.from, o.zone), instant(last, o.to, o.zone)
	return start, end, start.Before(end)
}

// dateOf is the date that the clocks of the zone show, as a date without zone.
func dateOf(t time.Time, zone *time.Location) time.Time {
	y, m, d := t.In(zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// around calls f for the openings of all windows that begin on the dates from
// first to last, counted from now's.
func (c *Calendar) around(now time.Time, first, last int, f func(start, end time.Time)) {
	for i := range c.windows {
		today := dateOf(now, c.windows[i].zone)
		for day := first; day <= last; day++ {
			if start, end, ok := c.windows[i].opening(today.AddDate(0, 0, day)); ok {
				f(start, end)
			}
		}
	}
}

// Blackout is the blackout that now lies in, or nil.
func (c *Calendar) Blackout(now time.Time) *Blackout {
	for i := range c.blackouts {
		if d := &c.blackouts[i]; !now.Before(d.start) && now.Before(d.end) {
			return &d.Blackout
		}
	}
	return nil
}

// Until reports whether targets may start at now and, if so, until when; the
// zero time is never, or not within a month.
func (c *Calendar) Until(now time.Time) (end time.Time, open bool) {
	if c.Blackout(now) != nil {
		return time.Time{}, false
	}
	limit := now.Add(longestOpen)
	end = limit
	if len(c.windows) > 0 {
		for end = now; end.Before(limit); {
			later := end
			c.around(end, -2, 0, func(from, to time.Time) {
				if !end.Before(from) && later.Before(to) {
					later = to
				}
			})
			if !later.After(end) {
				break
			}
			end = later
		}
	}
	if !end.After(now) {
		return time.Time{}, false
	}
	for _, d := range c.blackouts {
		if d.start.After(now) && d.start.Before(end) {
			return d.start, true
		}
	}
	if !end.Before(limit) {
		return time.Time{}, true
	}
	return end, true
}

// opens is the first instant from now on at which targets may start.
func (c *Calendar) opens(now time.Time) (time.Time, bool) {
	for range len(c.blackouts) + horizonDays {
		if b := c.blackoutEnd(now); !b.IsZero() {
			now = b
			continue
		}
		if _, open := c.Until(now); open {
			return now, true
		}
		next, found := c.nextStart(now)
		if !found {
			return next, false
		}
		now = next
	}
	return time.Time{}, false
}

func (c *Calendar) blackoutEnd(now time.Time) time.Time {
	for _, d := range c.blackouts {
		if !now.Before(d.start) && now.Before(d.end) {
			return d.end
		}
	}
	return time.Time{}
}

// nextStart is the first opening of any window after now.
func (c *Calendar) nextStart(now time.Time) (next time.Time, found bool) {
	for day := 0; day <= horizonDays && !found; day++ {
		c.around(now, day, day+1, func(start, _ time.Time) {
			if start.After(now) && (!found || start.Before(next)) {
				next, found = start, true
			}
		})
	}
	return next, found
}

// Next is the first opening from now on with that much time left in it; now
// itself when there is one already. end is zero when it does not end.
func (c *Calendar) Next(now time.Time, need time.Duration) (start, end time.Time, found bool) {
	for limit := now.AddDate(0, 0, horizonDays); now.Before(limit); {
		start, found = c.opens(now)
		if !found {
			return start, end, false
		}
		end, _ = c.Until(start)
		if end.IsZero() || end.Sub(start) >= need {
			return start, end, true
		}
		now = end
	}
	return time.Time{}, time.Time{}, false
}

// Longest is the longest opening that begins in the year after now; 0 when
// there is none.
func (c *Calendar) Longest(now time.Time) time.Duration {
	longest := time.Duration(0)
	for limit := now.AddDate(1, 0, 0); now.Before(limit); {
		start, end, found := c.Next(now, longest+1)
		if !found || !start.Before(limit) {
			break
		}
		if end.IsZero() {
			return longestOpen
		}
		longest, now = end.Sub(start), end
	}
	return longest
}
