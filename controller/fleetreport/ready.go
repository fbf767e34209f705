package fleetreport

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
)

// The kinds of obstacle and note.
const (
	kindPHP      = "php"
	kindModules  = "php_modules"
	kindApp      = "app"
	kindDatabase = "database"
	kindState    = "state"
	kindTable    = "major_unknown"
)

// ready tells what stands between an instance and its goal, by what a survey
// alone can know. Room, rights and snapshots are for the plan to judge.
func (c *computing) ready(seen *plan.InstanceFacts, state TargetState, why string) Next {
	n := Next{State: Ready, Obstacles: []Obstacle{}, Notes: []Obstacle{}}
	n.Majors = way(seen.Code.Major(), c.in.Goal)
	if len(n.Majors) == 0 {
		n.State = Newest
		c.doc.Counts.Newest++
		return n
	}
	if state != TargetOpen {
		n.Obstacles = append(n.Obstacles, Obstacle{Kind: kindState, Text: why})
	}
	if o, ok := phpObstacle(seen, n.Majors); ok {
		n.Obstacles = append(n.Obstacles, o)
	}
	if missing := nextcloud.MissingModules(seen.PHP.Modules); len(seen.PHP.Modules) > 0 && len(missing) > 0 {
		n.Obstacles = append(n.Obstacles, Obstacle{Kind: kindModules, Text: "PHP lacks the modules " + strings.Join(missing, ", ")})
	}
	for _, a := range seen.Apps {
		if !a.Enabled || a.Shipped {
			continue // shipped apps come with the release
		}
		if o, ok := c.appObstacle(seen, a, n.Majors); ok {
			n.Obstacles = append(n.Obstacles, o)
		}
	}
	for _, m := range n.Majors {
		row, known := nextcloud.MajorOf(m)
		if !known {
			n.Notes = append(n.Notes, Obstacle{Kind: kindTable, Major: m, Text: fmt.Sprintf("what Nextcloud %d requires is not in the table of %s", m, nextcloud.TableDate)})
			continue
		}
		if text := row.DatabaseWarning(seen.Database.Server, seen.Database.Version); text != "" {
			n.Notes = append(n.Notes, Obstacle{Kind: kindDatabase, Major: m, Text: text})
			break // one note is enough: the next major says the same
		}
	}
	if len(n.Obstacles) > 0 {
		n.State = Blocked
		c.doc.Counts.Blocked++
		return n
	}
	c.doc.Counts.Ready++
	return n
}

// way lists the majors from an instance to its goal, one at a time; without a
// goal the next one, unless the table knows none that is newer.
func way(from, goal int) []int {
	if goal == 0 {
		goal = from + 1
		if _, known := nextcloud.MajorOf(goal); !known {
			return []int{}
		}
	}
	majors := []int{}
	for m := from + 1; m <= goal; m++ {
		majors = append(majors, m)
	}
	return majors
}

func phpObstacle(seen *plan.InstanceFacts, majors []int) (Obstacle, bool) {
	var path []nextcloud.Version
	for _, m := range majors {
		path = append(path, nextcloud.Version{m})
	}
	for _, p := range []struct{ which, version string }{{"the command line's PHP", seen.PHP.Version}, {"the web's PHP", seen.PHP.Web}} {
		if p.version == "" {
			continue
		}
		if refused := nextcloud.CheckPHP(seen.Code, path, p.version); refused != nil {
			return Obstacle{Kind: kindPHP, Major: refused.Major.Number,
				Text: fmt.Sprintf("Nextcloud %d needs PHP %s; %s is %s", refused.Major.Number, refused.Major.PHPRange(), p.which, p.version)}, true
		}
	}
	return Obstacle{}, false
}

// appObstacle is the first major on the way that an app does not support, and
// for which no release is known that the instance could fetch.
func (c *computing) appObstacle(seen *plan.InstanceFacts, a plan.App, majors []int) (Obstacle, bool) {
	for _, m := range majors {
		if a.Supports(m) {
			continue
		}
		text := fmt.Sprintf("%s %s supports Nextcloud %s", a.ID, a.Version, a.Bounds())
		if c.in.Catalogue != nil {
			newer := plan.NewestApp(c.in.Catalogue[a.ID], a, m, seen.PHP.Version).Version
			switch {
			case newer != "" && seen.Settings.AppStoreEnabled:
				continue
			case newer != "":
				text += fmt.Sprintf("; %s would do, but the app store is switched off in config.php", newer)
			default:
				text += fmt.Sprintf("; the catalogue has no release for %d", m)
			}
		}
		return Obstacle{Kind: kindApp, Major: m, App: a.ID, Text: text}, true
	}
	return Obstacle{}, false
}

// heldBy ranks apps by how many targets each holds back, the most first.
func heldBy(targets []Target) []HeldBy {
	type key struct {
		app   string
		major int
	}
	by := map[key]*HeldBy{}
	for _, t := range targets {
		if t.Next == nil {
			continue
		}
		for _, o := range t.Next.Obstacles {
			if o.Kind != kindApp {
				continue
			}
			k := key{o.App, o.Major}
			if by[k] == nil {
				by[k] = &HeldBy{App: o.App, Major: o.Major, Alone: []string{}}
			}
			by[k].Targets = append(by[k].Targets, t.Name)
			if len(t.Next.Obstacles) == 1 {
				by[k].Alone = append(by[k].Alone, t.Name)
			}
		}
	}
	list := []HeldBy{}
	for _, h := range by {
		list = append(list, *h)
	}
	slices.SortFunc(list, func(a, b HeldBy) int {
		return cmp.Or(cmp.Compare(len(b.Targets), len(a.Targets)), cmp.Compare(len(b.Alone), len(a.Alone)),
			strings.Compare(a.App, b.App), cmp.Compare(a.Major, b.Major))
	})
	return list
}
