package plan

import (
	"fmt"
	"sort"
	"strings"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
)

// storeURL is where Nextcloud asks for apps when config.php says nothing.
const storeURL = "https://apps.nextcloud.com/api/v1"

// StoreProbe is what a survey tries from the host to see whether the app store
// can be reached; of the zero Settings it is the usual store's.
func StoreProbe(s Settings) string { return strings.TrimSuffix(StoreURL(s), "/") + "/apps.json" }

// StoreURL is the app store that an instance asks.
func StoreURL(s Settings) string {
	if s.AppStoreURL != "" {
		return s.AppStoreURL
	}
	return storeURL
}

// findApps decides what becomes of every enabled app that no release ships.
// Shipped apps come with the tree.
func (l *look) findApps() {
	goal := l.in.Rollout.Apps
	store := l.seen.Settings.AppStoreEnabled
	apps := append([]App(nil), l.seen.Apps...)
	sort.Slice(apps, func(i, j int) bool { return apps[i].ID < apps[j].ID })
	for _, a := range apps {
		if !a.Enabled || a.Shipped {
			continue
		}
		l.decideApp(a, store)
	}
	l.update = goal.Update == "all" && store && (len(l.hops) > 0 || l.anyUpdate())
}

func (l *look) anyUpdate() bool {
	for _, c := range l.apps {
		if c.Action == "update" {
			return true
		}
	}
	return false
}

func (l *look) decideApp(a App, store bool) {
	wanted := l.in.Rollout.Apps.Update == "all" && store
	if major, why := l.refuses(a, store); major != 0 {
		l.incompatible(a, major, why)
		return
	}
	c := AppChange{ID: a.ID, From: a.Version, To: a.Version, Action: "keep"}
	if len(l.hops) > 0 && !fits(a.MinNextcloud, a.MaxNextcloud, l.to().Major()) {
		// refuses found a release for every major on the way.
		r := l.bestRelease(a, l.to().Major())
		c.Action, c.To = "update", r.Version
		c.Reason = fmt.Sprintf("%s does not support %d; occ upgrade fetches %s", a.Version, l.to().Major(), r.Version)
		if ok, why := l.pinnedApp(a.ID, r.Version); !ok {
			l.block(problem("app_not_pinned", fmt.Sprintf("occ upgrade would fetch another version of app %s", a.ID), why+" ("+c.Reason+")", l.limits.remedy))
		}
	} else if wanted && a.Update != "" {
		if ok, why := l.pinnedApp(a.ID, a.Update); ok {
			c.Action, c.To = "update", a.Update
		} else {
			c.Reason = why
		}
	}
	if c.Action != "keep" || c.Reason != "" {
		l.apps = append(l.apps, c)
	}
}

// refuses returns the first major on the way for which there is no release of
// the app, and why; 0 when there is one for each. A release counts only when
// the instance can fetch it: occ upgrade itself asks the app store.
func (l *look) refuses(a App, store bool) (int, string) {
	for _, h := range l.hops {
		m := h.To.Major()
		if fits(a.MinNextcloud, a.MaxNextcloud, m) {
			continue
		}
		says := fmt.Sprintf("%s %s supports Nextcloud %s (its info.xml)", a.ID, a.Version, bounds(a.MinNextcloud, a.MaxNextcloud))
		if l.in.Catalogue == nil {
			return m, says + "; no catalogue was given to look for a newer release"
		}
		r := l.bestRelease(a, m)
		if r.Version == "" {
			return m, fmt.Sprintf("%s; the catalogue has no release for %d", says, m)
		}
		if !store {
			return m, fmt.Sprintf("%s; the catalogue has %s for %d, but the app store is switched off in config.php (appstoreenabled)", says, r.Version, m)
		}
	}
	return 0, ""
}

func (l *look) incompatible(a App, major int, why string) {
	goal := l.in.Rollout.Apps
	critical := contains(goal.Critical, a.ID)
	if goal.OnIncompatible == "disable" && !critical {
		l.apps = append(l.apps, AppChange{ID: a.ID, From: a.Version, Action: "disable", Reason: why})
		return
	}
	remedy := fmt.Sprintf("update it first (%s), ", l.occ("app:update "+a.ID))
	if a.Update == "" {
		remedy = "wait for a release that does, "
	}
	if critical {
		remedy += "or take it from apps { critical = [ … ] } and set on_incompatible = \"disable\""
	} else {
		remedy += "or allow the loss with apps { on_incompatible = \"disable\" }"
	}
	if l.in.Catalogue == nil {
		remedy += ", or name a catalogue of newer releases with apps { catalogue = … }"
	}
	summary := fmt.Sprintf("app %s does not support Nextcloud %d", a.ID, major)
	if critical {
		summary = "critical " + summary
	}
	l.block(problem("app_incompatible", summary, why+"; occ upgrade would disable it. Path: "+a.Path, remedy))
}

// bestRelease is the newest release of the app in the catalogue that supports
// the major and the instance's PHP.
func (l *look) bestRelease(a App, major int) AppRelease {
	var best AppRelease
	php := phpAfter(l.seen.PHP.Version, l.packed)
	for _, r := range l.in.Catalogue[a.ID] {
		switch {
		case r.Nightly, strings.Contains(r.Version, "-"),
			!fits(r.MinNextcloud, r.MaxNextcloud, major),
			r.MinPHP != "" && nextcloud.CompareDotted(php, r.MinPHP) < 0,
			r.MaxPHP != "" && nextcloud.CompareDotted(majorMinor(php), majorMinor(r.MaxPHP)) > 0,
			nextcloud.CompareDotted(r.Version, a.Version) < 0:
			continue
		}
		if best.Version == "" || nextcloud.CompareDotted(r.Version, best.Version) > 0 {
			best = r
		}
	}
	return best
}

// fits reports whether a major lies within an app's bounds; "" is open. Only
// the first number of a bound counts, as majors are what apps declare.
func fits(low, high string, major int) bool {
	m := fmt.Sprint(major)
	return (low == "" || nextcloud.CompareDotted(firstNumber(low), m) <= 0) &&
		(high == "" || nextcloud.CompareDotted(firstNumber(high), m) >= 0)
}

func firstNumber(s string) string {
	n, _, _ := strings.Cut(s, ".")
	return n
}

func bounds(low, high string) string {
	switch {
	case low == "" && high == "":
		return "of any version"
	case low == "":
		return "up to " + high
	case high == "":
		return low + " and newer"
	case low == high:
		return low
	}
	return low + "–" + high
}

// occ is the command line that a person types on the host for an occ call.
func (l *look) occ(args string) string {
	return fmt.Sprintf("sudo -u %s %s %s/occ %s", l.seen.WebUser, l.seen.PHP.Path, l.seen.Path, args)
}

// majorMinor shortens a version to its first two numbers.
func majorMinor(v string) string {
	parts := strings.SplitN(v, ".", 3)
	if len(parts) > 2 {
		parts = parts[:2]
	}
	return strings.Join(parts, ".")
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
