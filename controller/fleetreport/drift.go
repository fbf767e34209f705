package fleetreport

import (
	"maps"
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// drift compares an instance with what the last rollout that upgraded it left.
// nil means that there was none. What a rollout may have moved without saying
// to where (an app that occ upgrade fetched by itself) is not compared.
func (h *history) drift(at place, f *plan.Facts, seen *plan.InstanceFacts) *Drift {
	l, ok := h.left[at]
	if !ok {
		return nil
	}
	d := &Drift{Rollout: l.rollout, Since: second(l.at), Changes: []Change{}}
	note := func(what, left, now string) {
		if left != now && left != "" && now != "" {
			d.Changes = append(d.Changes, Change{what, left, now})
		}
	}
	t := l.target
	version := t.Expect.Code
	if len(t.Hops) > 0 {
		version = t.To
	}
	note("Nextcloud", version.String(), seen.Code.String())
	note("data directory", t.Expect.DataDir, seen.DataDir)
	// Packages that this rollout or a later one moved may have brought another
	// PHP or database with them, as was planned.
	packages := h.packages[at.host]
	since := packages.order <= l.order
	if !since || !moved(packages.to, "php") {
		note("PHP", t.Expect.PHP, seen.PHP.Version)
	}
	if !since || !moved(packages.to, "mariadb", "mysql", "postgresql") {
		note("database", t.Expect.Database, strings.TrimSpace(seen.Database.Server+" "+seen.Database.Version))
	}
	d.Changes = append(d.Changes, appDrift(t, seen)...)
	d.Changes = append(d.Changes, h.packageDrift(f)...)
	return d
}

// moved reports whether a rollout changed a package whose name begins so.
func moved(packages map[string]string, prefixes ...string) bool {
	for name := range packages {
		for _, p := range prefixes {
			if strings.HasPrefix(name, p) {
				return true
			}
		}
	}
	return false
}

// appDrift compares the enabled apps. After a hop the apps of the release may
// be other ones, with other versions, and others may have been fetched for it:
// of those only that an app of before is gone is told.
func appDrift(t *plan.Target, seen *plan.InstanceFacts) []Change {
	left := maps.Clone(t.Expect.Apps)
	unknown := map[string]bool{}
	for _, a := range t.Apps {
		switch {
		case a.Action == "disable":
			delete(left, a.ID)
		case a.To == "":
			unknown[a.ID] = true
		case left[a.ID] != "":
			left[a.ID] = a.To
		}
	}
	now := map[string]plan.App{}
	for _, a := range seen.Apps {
		if a.Enabled {
			now[a.ID] = a
		}
	}
	var list []Change
	for _, id := range slices.Sorted(maps.Keys(left)) {
		a, on := now[id]
		switch {
		case !on:
			list = append(list, Change{"app " + id, left[id], "not enabled"})
		case a.Shipped && len(t.Hops) > 0, unknown[id], left[id] == "", a.Version == "":
		case a.Version != left[id]:
			list = append(list, Change{"app " + id, left[id], a.Version})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		if _, was := left[id]; !was && !(now[id].Shipped && len(t.Hops) > 0) {
			list = append(list, Change{"app " + id, "not enabled", now[id].Version})
		}
	}
	return list
}

// packageDrift compares the packages that a rollout installed with those that
// are pending again: only of these is the version known that is installed.
func (h *history) packageDrift(f *plan.Facts) []Change {
	left := h.packages[f.Host].to
	if f.Packages == nil || len(left) == 0 {
		return nil
	}
	var list []Change
	for _, p := range f.Packages.Pending {
		if was := left[p.Name]; was != "" && p.From != "" && was != p.From {
			list = append(list, Change{"package " + p.Name, was, p.From})
		}
	}
	return list
}
