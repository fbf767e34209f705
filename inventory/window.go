package inventory

import (
	"fmt"
	"slices"
	"strings"
	"time"

	// Zones must be known on machines without a zone database too.
	_ "time/tzdata"

	"github.com/hashicorp/hcl/v2"
)

var (
	weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
	ordinals = []string{"first", "second", "third", "fourth", "last"}
)

// maxReserve is the longest time that may be kept free at a window's end.
const maxReserve = 24 * time.Hour

// openTimes reads when the rollout may start targets.
func (s scope) openTimes(r *Rollout) {
	zone := ""
	for _, b := range s.sec.blocks {
		if b.Type == "window" {
			r.Windows = append(r.Windows, s.inside(b, windowShape).window())
			zone = r.Windows[0].Zone
		}
	}
	for _, b := range s.sec.blocks {
		if b.Type == "blackout" {
			r.Blackouts = append(r.Blackouts, s.inside(b, blackShape).blackout(zone))
		}
	}
	r.Blackouts = append(r.Blackouts, s.l.blackouts...)
	r.WindowCutoff = s.wordOr("window_cutoff", "expected", "none")
	r.WindowReserve, _ = s.duration("window_reserve", 0)
	if r.WindowReserve > maxReserve {
		s.bad("window_reserve", "Duration too long", fmt.Sprintf("%q takes at most %q: no window leaves more.", "window_reserve", "24h"))
	}
	if len(r.Windows)+len(r.Blackouts) == 0 {
		for _, name := range []string{"window_cutoff", "window_reserve"} {
			if s.sec.attrs[name] != nil {
				s.bad(name, "Nothing to cut off", fmt.Sprintf("%q is about the end of windows, and the rollout has no window and no blackout. Add one, or take it out.", name))
			}
		}
	}
}

func (s scope) inside(b *hcl.Block, sh shape) scope {
	return s.l.in(s.l.open(b, s.sec.src, sh, s.what+", "+title(b)), s.ctx)
}

func (s scope) window() Window {
	out := Window{Days: s.days()}
	out.From = s.clock("from", "22:00")
	out.To = s.clock("to", "04:00")
	out.Zone = s.zone("")
	return out
}

// days reads "sat", "second sat" and "last sun", in the order of the week.
func (s scope) days() []string {
	var out []string
	given, _ := s.strs("days")
	for _, d := range given {
		if why := unknownDay(d); why != "" {
			s.bad("days", "Unknown day", why)
			return out
		}
		if contains(out, d) {
			s.bad("days", "Day named twice", fmt.Sprintf("%q stands in the list more than once.", d))
			return out
		}
		out = append(out, d)
	}
	for _, d := range out {
		if _, day, nth := strings.Cut(d, " "); nth && contains(out, day) {
			s.bad("days", "Day named twice", fmt.Sprintf("%q is one of %q. Write only one of the two.", d, day))
			return out
		}
	}
	slices.SortFunc(out, func(a, b string) int { return dayOrder(a) - dayOrder(b) })
	return out
}

// unknownDay says what is wrong with a day, "" when nothing is.
func unknownDay(d string) string {
	nth, day, both := strings.Cut(d, " ")
	if !both {
		nth, day = "", d
	}
	if contains(weekdays, day) && (!both || contains(ordinals, nth)) {
		return ""
	}
	near := ""
	for _, w := range weekdays {
		if strings.HasPrefix(strings.ToLower(day), w) && day != w {
			near = fmt.Sprintf(" Did you mean %q?", strings.TrimSpace(nth+" "+w))
		}
	}
	if both && !contains(ordinals, nth) {
		return fmt.Sprintf("%q is not written as a day of the month is: %s and a day, such as \"second sat\" or \"last sun\".%s", d, quoted(ordinals, 5), near)
	}
	return fmt.Sprintf("%q is not among the days: %s, alone or as in \"second sat\".%s", d, quoted(weekdays, 7), near)
}

// dayOrder sorts days by the week, and those of a month in its order.
func dayOrder(d string) int {
	nth, day, both := strings.Cut(d, " ")
	if !both {
		nth, day = "", d
	}
	return indexOf(weekdays, day)*10 + indexOf(ordinals, nth) + 1
}

// blackout reads a range of dates; zone is that of the rollout's first window.
func (s scope) blackout(zone string) Blackout {
	out := Blackout{Zone: zone}
	if s.need("from", `the first day of it: from = "2026-12-24"`) {
		out.From = s.date("from")
	}
	out.To = out.From
	if s.sec.attrs["to"] != nil {
		out.To = s.date("to")
	}
	if out.From != "" && out.To != "" && out.To < out.From {
		s.bad("to", "Blackout that ends before it begins", fmt.Sprintf("It lasts from %s to the end of %s. Write the earlier date as from.", out.From, out.To))
	}
	if s.need("reason", `why, for everybody who waits: reason = "Christmas"`) {
		out.Reason, _ = s.str("reason")
	}
	if zone == "" || s.sec.attrs["zone"] != nil {
		out.Zone = s.zone(zone)
	}
	return out
}

// date takes a day of the calendar, "2026-12-24".
func (s scope) date(name string) string {
	got, ok := s.str(name)
	if !ok {
		return ""
	}
	if _, err := time.Parse(time.DateOnly, got); err != nil {
		s.bad(name, "Bad date", fmt.Sprintf("%q is not a day of the calendar. Write year, month and day: \"2026-12-24\".", got))
		return ""
	}
	return got
}

// zone takes a time zone; fallback "" requires one.
func (s scope) zone(fallback string) string {
	if fallback == "" && !s.need("zone", `where the times hold: zone = "Europe/Berlin"`) {
		return ""
	}
	zone, ok := s.str("zone")
	if !ok {
		return fallback
	}
	if _, err := time.LoadLocation(zone); err != nil || zone == "" || zone == "Local" {
		s.bad("zone", "Unknown time zone", fmt.Sprintf("%q is not an IANA time zone. Write one such as \"Europe/Berlin\" or \"UTC\".", zone))
	}
	return zone
}

func (s scope) clock(name, example string) string {
	if !s.need(name, fmt.Sprintf("%s = %q", name, example)) {
		return ""
	}
	got, ok := s.str(name)
	if ok && !timePattern.MatchString(got) {
		s.bad(name, "Bad time of day", fmt.Sprintf("%q is not a time from \"00:00\" to \"23:59\". A window whose end is not after its start ends on the next day.", got))
	}
	return got
}

// readBlackouts reads those of the whole inventory: they hold for every rollout.
func (l *loader) readBlackouts() []Blackout {
	var out []Blackout
	l.top("blackout", func(b *hcl.Block, src *source) {
		out = append(out, l.in(l.open(b, src, blackShape, title(b)), src.ctx).blackout(""))
	})
	return out
}
