package plan

// Supports reports whether the installed app declares that it runs on a major.
func (a App) Supports(major int) bool { return fits(a.MinNextcloud, a.MaxNextcloud, major) }

// Bounds is the range of majors that the installed app declares, for people.
func (a App) Bounds() string { return bounds(a.MinNextcloud, a.MaxNextcloud) }

// NewestApp is the newest release in a catalogue of an installed app that
// supports a major and a PHP; its Version is "" when there is none.
func NewestApp(releases []AppRelease, a App, major int, php string) AppRelease {
	l := look{in: &Input{Catalogue: map[string][]AppRelease{a.ID: releases}}, seen: &InstanceFacts{PHP: PHP{Version: php}}}
	return l.bestRelease(a, major)
}

// HopEstimate is how long users would be kept out by that many hops of an
// instance of its size, in seconds; see estimate for the formula.
func HopEstimate(seen *InstanceFacts, hops int) int {
	if hops == 0 {
		return 0
	}
	l := look{seen: seen, hops: make([]Hop, hops), update: seen.Settings.AppStoreEnabled}
	closed, _ := l.estimate()
	return closed
}
