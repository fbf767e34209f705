package nextcloud

import (
	"fmt"
	"strings"
)

// Goal is a wanted version: "29" (newest known of the major), "29.0" (newest
// known of the minor) or "29.0.1" (exactly that release).
type Goal struct {
	Version Version
	Numbers int // how many numbers were said, 1 to 4
}

// ParseGoal reads a goal as written in a rollout.
func ParseGoal(s string) (Goal, error) {
	v, err := ParseVersion(s)
	if err != nil {
		return Goal{}, err
	}
	if v.Major() == 0 {
		return Goal{}, fmt.Errorf("cannot read goal %q: write a major like \"29\" or a release like \"29.0.1\"", s)
	}
	return Goal{Version: v, Numbers: strings.Count(strings.TrimSpace(s), ".") + 1}, nil
}

// String is the goal as people write it.
func (g Goal) String() string {
	parts := strings.Split(g.Version.Long(), ".")
	if g.Numbers < len(parts) {
		parts = parts[:g.Numbers]
	}
	return strings.Join(parts, ".")
}

// Admits reports whether v fulfils the goal.
func (g Goal) Admits(v Version) bool {
	for i := 0; i < g.Numbers && i < 3; i++ { // the fourth number is not known of every release
		if v[i] != g.Version[i] {
			return false
		}
	}
	return true
}

// PathError says why a goal cannot be reached and what the way out is.
type PathError struct {
	Code   string // "downgrade", "release_missing", "major_skipped_missing"
	What   string
	Remedy string
}

// Error joins cause and remedy.
func (e *PathError) Error() string { return e.What + "; " + e.Remedy }

// Path returns the releases to go through from one version to a goal: one
// major at a time, the newest known release of each, the last one as the goal
// says. It is empty when nothing is to be done. A patch of the present major
// is not made first: a release names the major.minor it can be upgraded from,
// not the patch.
//
// known are the releases that can be had, in any order; nil means the newest
// of each major as of TableDate.
func Path(from Version, goal Goal, known []Version) ([]Version, error) {
	if known == nil {
		for _, m := range majors {
			known = append(known, m.Newest)
		}
	}
	if from.Zero() {
		return nil, &PathError{
			Code: "downgrade", What: "the present version is unknown",
			Remedy: "check that version.php is readable, then plan again",
		}
	}
	if from.Major() > goal.Version.Major() {
		return nil, downgrade(from, goal)
	}
	last, found := newest(known, goal.Admits)
	if goal.Admits(from) && (!found || last.release().Compare(from.release()) <= 0) {
		return nil, nil
	}
	if !found {
		return nil, missing(from, goal, known)
	}
	if last.release().Compare(from.release()) < 0 {
		return nil, downgrade(from, goal)
	}
	var path []Version
	for m := from.Major() + 1; m < last.Major(); m++ {
		v, ok := newest(known, func(v Version) bool { return v.Major() == m })
		if !ok {
			return nil, skipped(from, last, m)
		}
		path = append(path, v)
	}
	return append(path, last), nil
}

// missing tells what the source lacks for the goal, and the way through every
// major in between.
func missing(from Version, goal Goal, known []Version) error {
	e := &PathError{
		Code:   "release_missing",
		What:   fmt.Sprintf("the release source offers no %s%s", goal, offers(known, goal.Version.Major())),
		Remedy: fmt.Sprintf("add the archive of %s to the source, or set core { to = … } to a release it has", goal),
	}
	if goal.Version.Major()-from.Major() < 2 {
		return e
	}
	way, reach := fmt.Sprint(from.Major()), from.Major()
	var lacking []string
	for m := from.Major() + 1; m <= goal.Version.Major(); m++ {
		way += fmt.Sprintf(" → %d", m)
		if _, ok := newest(known, func(v Version) bool { return v.Major() == m }); !ok {
			lacking = append(lacking, fmt.Sprint(m))
		} else if len(lacking) == 0 {
			reach = m
		}
	}
	e.What = fmt.Sprintf("the way is %s, one major at a time, and the release source offers no %s", way, strings.Join(lacking, " and no "))
	e.Remedy = fmt.Sprintf("add the newest archives of %s to the source", strings.Join(lacking, " and "))
	if reach > from.Major() {
		e.Remedy += fmt.Sprintf(", or go as far as it reaches: core { to = \"%d\" }", reach)
	}
	return e
}

func downgrade(from Version, goal Goal) error {
	return &PathError{
		Code:   "downgrade",
		What:   fmt.Sprintf("%s is newer than the goal %s, and Nextcloud cannot be downgraded", from, goal),
		Remedy: fmt.Sprintf("set core { to = \"%d\" } or leave this instance out of the rollout", from.Major()),
	}
}

func skipped(from, to Version, major int) error {
	name := fmt.Sprintf("a %d.x release", major)
	if m, ok := MajorOf(major); ok {
		name = fmt.Sprintf("nextcloud-%s.tar.bz2 (newest %d known on %s)", m.Newest, major, TableDate)
	}
	remedy := fmt.Sprintf("add %s to the source", name)
	if major-1 > from.Major() {
		remedy += fmt.Sprintf(", or set core { to = \"%d\" }", major-1)
	}
	return &PathError{
		Code: "major_skipped_missing",
		What: fmt.Sprintf("%d → %d goes through %d, one major at a time, but the release source offers no %d.x",
			from.Major(), to.Major(), major, major),
		Remedy: remedy + ", then plan again",
	}
}

// offers tells which releases of a major there are, for a message.
func offers(known []Version, major int) string {
	best, ok := newest(known, func(v Version) bool { return v.Major() == major })
	if !ok {
		return ""
	}
	return fmt.Sprintf(" (its newest %d is %s)", major, best)
}

func newest(known []Version, admits func(Version) bool) (Version, bool) {
	var best Version
	found := false
	for _, v := range known {
		if admits(v) && (!found || v.Compare(best) > 0) {
			best, found = v, true
		}
	}
	return best, found
}

// release drops the fourth number, which an unread archive does not tell.
func (v Version) release() Version { return Version{v[0], v[1], v[2], 0} }

// PHPConflict is a hop that a PHP cannot make.
type PHPConflict struct {
	Major Major // the tree that refuses
	PHP   string
	// Reach is the furthest release of the path that this PHP can serve, zero
	// when not even the first.
	Reach  Version
	TooOld bool
}

// CheckPHP returns the first tree on the way that does not run on php, nil
// when all do. The tree that is left must run on it too: at the swap both are
// needed, and a rollback comes back to it. Majors outside the table count as
// willing.
func CheckPHP(from Version, path []Version, php string) *PHPConflict {
	var reach Version
	for i, v := range append([]Version{from}, path...) {
		m, ok := MajorOf(v.Major())
		if ok && !m.AcceptsPHP(php) {
			return &PHPConflict{Major: m, PHP: php, Reach: reach, TooOld: less(majorMinor(php), m.PHPMin)}
		}
		if i > 0 {
			reach = v
		}
	}
	return nil
}

// CommonPHP returns the PHP versions that every tree on the way accepts, and
// false when no single one does.
func CommonPHP(from Version, path []Version) (low, high [2]int, ok bool) {
	high = [2]int{1 << 20, 0}
	for _, v := range append([]Version{from}, path...) {
		m, found := MajorOf(v.Major())
		if !found {
			continue
		}
		if less(low, m.PHPMin) {
			low = m.PHPMin
		}
		if less(m.PHPMax, high) {
			high = m.PHPMax
		}
	}
	return low, high, !less(high, low)
}
