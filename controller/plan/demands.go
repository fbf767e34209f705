package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Bounds of PHP's memory limit in MiB: below the first an upgrade dies, below
// the second Nextcloud's own manual warns.
const (
	leastMemory = 128
	usualMemory = 512
)

// checkPHP holds the command line's PHP, and the web's, against every tree on
// the way.
func (l *look) checkPHP() {
	php := l.seen.PHP
	if len(l.hops) > 0 {
		after := phpAfter(php.Version, l.packed)
		if php.Version != "" && !l.refusedPHP("the command line's PHP "+php.Path, after) &&
			php.Web != "" && majorMinor(php.Web) != majorMinor(php.Version) {
			l.refusedPHP("the web's PHP", php.Web)
		}
		if missing := nextcloud.MissingModules(php.Modules); len(php.Modules) > 0 && len(missing) > 0 {
			l.block(problem("php_modules", "PHP modules are missing",
				fmt.Sprintf("%s lacks %s", php.Path, strings.Join(missing, ", ")), "install them for PHP "+majorMinor(php.Version)+", then plan again"))
		}
		for _, h := range l.hops {
			if _, ok := nextcloud.MajorOf(h.To.Major()); !ok {
				l.warn(problem("major_unknown", fmt.Sprintf("what %d requires is not in ncfleet's table", h.To.Major()),
					"the table is of "+nextcloud.TableDate, "read the release notes, and try it on a canary"))
			}
		}
	}
	if php.Web != "" && php.Version != "" && majorMinor(php.Web) != majorMinor(php.Version) {
		l.warn(problem("php_differs", "the command line and the web use different PHP versions",
			fmt.Sprintf("%s is %s, the web runs %s: occ upgrades with another PHP than the one that serves the result", php.Path, php.Version, php.Web),
			l.samePHP(majorMinor(php.Web))))
	}
	l.checkMemory()
}

// samePHP says how occ gets the web's PHP. Without a word of the inventory it
// is taken by itself where it is there, so then it is not.
func (l *look) samePHP(web string) string {
	switch {
	case l.inst != nil && l.inst.PHP != "":
		return "leave php = … out of the nextcloud block: then the web's PHP is taken; or name it: php = \"/usr/bin/php" + web + "\""
	case l.facts.PackageManager == "apt":
		return "sudo apt-get install php" + web + "-cli"
	}
	return "install the command line of PHP " + web + ", and set php = … in the nextcloud block when it is not on the PATH"
}

func (l *look) checkMemory() {
	limit, ok := megabytes(l.seen.PHP.MemoryLimit)
	if !ok || limit >= usualMemory {
		return
	}
	p := problem("php_memory", "PHP's memory limit is low",
		fmt.Sprintf("%s has memory_limit = %s; Nextcloud asks for %dM", l.seen.PHP.Path, l.seen.PHP.MemoryLimit, usualMemory),
		l.cliMemory())
	if limit < leastMemory {
		l.block(p)
		return
	}
	l.warn(p)
}

// cliMemory is the command that raises the command line's memory limit.
func (l *look) cliMemory() string {
	dir := l.seen.PHP.ScanDir
	if dir == "" || strings.Contains(dir, ":") {
		return fmt.Sprintf("set memory_limit = %dM in the command line's php.ini", usualMemory)
	}
	return fmt.Sprintf("echo memory_limit=%dM | sudo tee %s", usualMemory, nextcloud.Quote(dir+"/99-memory.ini"))
}

// refusedPHP blocks when a tree on the way does not run on that PHP.
func (l *look) refusedPHP(which, version string) bool {
	c := nextcloud.CheckPHP(l.seen.Code, l.path(), version)
	if c == nil {
		return false
	}
	code, verb := "php_too_new", "an older PHP beside it"
	if c.TooOld {
		code, verb = "php_too_old", "a newer PHP"
	}
	low, high, common := nextcloud.CommonPHP(l.seen.Code, l.path())
	var ways []string
	if c.TooOld && common {
		ways = append(ways, "upgrade PHP first, `system { upgrades = [\"php\"] }`")
	}
	if common {
		ways = append(ways, fmt.Sprintf("install %s (%s) and set php = … in the nextcloud block", verb, phpBounds(low, high)))
	}
	if !c.Reach.Zero() {
		ways = append(ways, fmt.Sprintf("go to %d first, `core { to = \"%d\" }`, then upgrade PHP", c.Reach.Major(), c.Reach.Major()))
	}
	if len(ways) == 0 {
		ways = append(ways, "no single PHP runs every release on the way: go in two rollouts, with an upgrade of PHP between")
	}
	l.block(problem(code, fmt.Sprintf("%d needs PHP %s; this host runs %s", c.Major.Number, c.Major.PHPRange(), version),
		fmt.Sprintf("%s is %s; %s → %s needs a PHP that every release on the way accepts, the one that is left too (source: %s)",
			which, version, l.seen.Code, l.to(), c.Major.PHPSource),
		strings.Join(ways, ", or ")+", then plan again"))
	return true
}

func phpBounds(low, high [2]int) string {
	if low == high {
		return fmt.Sprintf("%d.%d", low[0], low[1])
	}
	return fmt.Sprintf("%d.%d–%d.%d", low[0], low[1], high[0], high[1])
}

// checkTools looks for the program that dumps the database. A snapshot of the
// whole machine needs none.
func (l *look) checkTools() {
	if l.facts.Tools == nil || captures(l.in.Coverage[l.ref.Name], driver.Place{Part: driver.PartSystem, Path: "/"}) {
		return
	}
	tools := map[string][]string{"mysql": {"mariadb-dump", "mysqldump"}, "pgsql": {"pg_dump"}}[l.seen.Database.Kind]
	for _, t := range tools {
		if l.facts.Tools[t] != "" {
			return
		}
	}
	if len(tools) > 0 {
		l.block(problem("dump_tool_missing", "the database cannot be dumped",
			fmt.Sprintf("neither of %s was found on the host", strings.Join(tools, ", ")), "install the client programs of "+l.seen.Database.Server))
	}
}

// checkCoverage demands that a snapshot captures every place that an upgrade
// writes. Users' files are not written by one; nor is object storage.
func (l *look) checkCoverage(packages bool) {
	if l.seen == nil {
		return
	}
	subject := subjectOf(l.host, l.inst, l.seen, packages)
	c, ok := l.in.Coverage[l.ref.Name]
	if !ok {
		l.block(problem("coverage_unknown", "no snapshot driver says what it would capture",
			fmt.Sprintf("host %s, snapshot driver %q, instance %s", l.host.Name, SnapshotDriver(l.host), l.ref.Name),
			"see whether the driver starts: ncfleet driver list; then plan again"))
		return
	}
	var holes []driver.Place
	for _, p := range subject.Places {
		if captures(c, p) {
			continue
		}
		switch p.Part {
		case driver.PartCode, driver.PartConfig, driver.PartApps, driver.PartDatabase:
			holes = append(holes, p)
		case driver.PartObjects:
			l.warn(problem("object_storage", "users' files lie in object storage",
				fmt.Sprintf("%s: no snapshot holds it; an upgrade does not write there", place(p)), "nothing to do; keep the bucket's versioning on"))
		case driver.PartSystem:
			l.warn(systemHole(SnapshotDriver(l.host)))
		case driver.PartData:
		}
	}
	l.tellHoles(c, holes)
}

// tellHoles tells what a snapshot would not hold, once for each reason.
func (l *look) tellHoles(c driver.Coverage, holes []driver.Place) {
	var reasons []string
	parts, places := map[string][]string{}, map[string][]string{}
	for _, p := range holes {
		why := holeReason(c, p)
		if parts[why] == nil {
			reasons = append(reasons, why)
		}
		parts[why] = append(parts[why], string(p.Part))
		places[why] = append(places[why], place(p))
	}
	for _, why := range reasons {
		l.block(problem("snapshot_hole", "the snapshot would not hold the "+listed(parts[why]),
			fmt.Sprintf("%s: %s; without it there is no way back", strings.Join(places[why], ", "), why),
			fmt.Sprintf("correct the block of driver \"snapshot\" %q, or use one that captures it", SnapshotDriver(l.host))))
	}
}

// checkShared refuses to put a whole machine back for one of several instances:
// the others are open, and would lose what their users wrote meanwhile.
func (l *look) checkShared() {
	if len(l.host.Instances) < 2 || !l.wholeMachine() {
		return
	}
	l.block(problem("machine_shared", "a rollback would take other instances back too",
		fmt.Sprintf("snapshot driver %q puts the whole of host %s back, which carries %d instances; the others stay open while this one is upgraded", SnapshotDriver(l.host), l.host.Name, len(l.host.Instances)),
		"use a snapshot driver of single instances for this host, such as \"archive\""))
}

// wholeMachine reports whether the host's snapshots are put back with the whole
// machine.
func (l *look) wholeMachine() bool {
	return slices.ContainsFunc(l.in.Drivers, func(d DriverUse) bool {
		return d.Kind == string(driver.KindSnapshot) && d.Name == SnapshotDriver(l.host) && d.Machine
	})
}

// noteSnapshot hands on what the driver says of the target's snapshot.
func (l *look) noteSnapshot() {
	if note := l.in.Coverage[l.ref.Name].Note; note != "" {
		l.warn(problem("snapshot_note", fmt.Sprintf("snapshot driver %q", SnapshotDriver(l.host)), note, "nothing to do"))
	}
}

func systemHole(snapshot string) Problem {
	return problem("system_not_captured", "updated packages cannot be taken back",
		fmt.Sprintf("snapshot driver %q does not hold the operating system; after a failure packages are only brought to rest", snapshot),
		"nothing to do, or use a snapshot driver of the whole machine")
}

// checkHostAlone warns when the packages of a host without instances have no
// way back.
func (l *look) checkHostAlone() {
	if len(l.inside) == 0 && len(l.sel.Changes) > 0 && !l.systemCaptured() {
		l.warn(systemHole(SnapshotDriver(l.host)))
	}
}

// systemCaptured reports whether a rollback takes packages back too.
func (l *look) systemCaptured() bool {
	system := driver.Place{Part: driver.PartSystem, Path: "/"}
	for _, in := range l.inside {
		if !captures(l.in.Coverage[in.ref.Name], system) {
			return false
		}
	}
	return len(l.inside) > 0 || captures(l.in.Coverage[l.ref.Name], system)
}

func captures(c driver.Coverage, p driver.Place) bool {
	for _, got := range c.Captured {
		if got.Part == p.Part && (got.Path == p.Path || p.Path == "" || got.Path != "" && within(p.Path, got.Path)) {
			return true
		}
	}
	return false
}

func holeReason(c driver.Coverage, p driver.Place) string {
	for _, h := range c.Missing {
		if h.Place.Part == p.Part && (h.Place.Path == p.Path || h.Place.Path == "") {
			return h.Reason
		}
	}
	return "the driver does not name it"
}

func place(p driver.Place) string {
	switch {
	case p.Path == "":
		return p.Detail
	case p.Detail == "":
		return p.Path
	}
	return p.Path + " (" + p.Detail + ")"
}

// checkSurroundings warns of what is worth knowing and stops nothing.
func (l *look) checkSurroundings() {
	s := l.seen
	if m, ok := nextcloud.MajorOf(l.to().Major()); ok && len(l.hops) > 0 {
		if w := m.DatabaseWarning(s.Database.Server, s.Database.Version); w != "" {
			l.warn(problem("database_version", "the database is not a supported version", w+" (source: "+m.DatabaseSource+")",
				"Nextcloud itself only warns; plan an upgrade of the database"))
		}
	}
	if s.Settings.Cluster {
		l.warn(problem("cluster", "other web hosts may serve this instance",
			"config.php locks through a Redis on another host", "make sure that no other host has this code tree, or upgrade them together by hand"))
	}
	if l.inst != nil && l.inst.URL == "" && l.in.Rollout.Gate.OutsideVerify != "off" {
		l.warn(problem("no_url", "the instance cannot be seen from outside", "its nextcloud block has no url", "add url = \"https://…\" so that closing and opening are seen as users see them"))
	}
}
