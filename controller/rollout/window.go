package rollout

import (
	"slices"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// windowAt reports whether the window is open at now and, when it is not, when
// it opens next. A window is [start, start's end of the wall clock) in its own
// time zone: a start that the spring change skips is moved as time.Date moves
// it, and in autumn the first of the two equal times counts.
func windowAt(w plan.Window, now time.Time, zone *time.Location) (open bool, next time.Time) {
	local := now.In(zone)
	fromH, fromM, ok1 := clockTime(w.From)
	toH, toM, ok2 := clockTime(w.To)
	if !ok1 || !ok2 {
		return false, time.Time{}
	}
	past := toH < fromH || toH == fromH && toM <= fromM
	for day := -1; day <= 8; day++ {
		y, m, d := local.Date()
		start := time.Date(y, m, d+day, fromH, fromM, 0, 0, zone)
		noon := time.Date(y, m, d+day, 12, 0, 0, 0, zone)
		if !onDay(w.Days, noon.Weekday()) {
			continue
		}
		endDay := d + day
		if past {
			endDay++
		}
		end := time.Date(y, m, endDay, toH, toM, 0, 0, zone)
		if !now.Before(start) && now.Before(end) {
			return true, time.Time{}
		}
		if now.Before(start) {
			return false, start
		}
	}
	return false, time.Time{}
}

func onDay(days []string, d time.Weekday) bool {
	if len(days) == 0 {
		return true
	}
	return slices.Contains(days, dayNames[d])
}

var dayNames = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func clockTime(s string) (hour, minute int, ok bool) {
	t, err := time.Parse("15:04", s)
	return t.Hour(), t.Minute(), err == nil
}

// validWindow reports whether the window can ever be open.
func validWindow(w plan.Window) bool {
	_, _, from := clockTime(w.From)
	_, _, to := clockTime(w.To)
	for _, d := range w.Days {
		if !slices.Contains(dayNames[:], d) {
			return false
		}
	}
	return from && to
}
