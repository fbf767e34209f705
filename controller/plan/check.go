package plan

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
)

// checkWork looks for everything that would make the work fail. All of it is
// reported at once.
func (l *look) checkWork() {
	for _, p := range l.facts.Problems {
		l.warn(problem("survey_incomplete", "the survey could not find out everything", p, "see to it on the host, or leave it when it does not matter"))
	}
	l.checkRivals()
	l.checkLease()
	l.checkBusy()
	l.checkPackages()
	l.noteSnapshot()
	for _, in := range l.insides() {
		in.checkConfig()
		in.checkCoverage(len(l.sel.Changes) > 0)
		if in != l {
			l.block(in.blocked...)
			l.warn(in.warnings...)
		}
	}
	if l.seen == nil {
		l.checkHostAlone()
	} else {
		l.checkShared()
		l.checkTools()
		l.checkStore()
		l.checkSource()
		l.checkPHP()
		l.checkDirs()
		l.checkSurroundings()
	}
	l.checkSpace()
}

// insides are the instances that the target closes.
func (l *look) insides() []*look {
	if l.seen != nil {
		return []*look{l}
	}
	return l.inside
}

// checkLease tells whose the host is. An instance that is closed or halfway may
// be so because that other rollout is at work.
func (l *look) checkLease() {
	f := l.facts
	if f.Lease != "" {
		l.block(problem("lease_held", "another rollout works on the host", "the lease is held by "+f.Lease,
			"wait until it has ended (ncfleet lease tells whose it is); when its controller is gone, on that machine: ncfleet resume, or ncfleet abort; when that machine is lost: ncfleet lease --break "+f.Host+" --reason WHY"))
	}
}

func (l *look) checkBusy() {
	f := l.facts
	for _, p := range f.Processes {
		switch p.Kind {
		case "occ", "updater":
			l.block(problem("process_running", p.Kind+" is running", processLine(p),
				"wait until it has ended, then plan again"))
		case "packages":
			l.block(problem("process_running", "the package manager is running", processLine(p),
				"wait until it has ended, then plan again"))
		}
	}
}

func processLine(p Process) string {
	return fmt.Sprintf("pid %d of %s: %s", p.PID, p.User, p.Command)
}

// checkRivals tells what will be stopped for the time of the rollout.
func (l *look) checkRivals() {
	for _, r := range l.rivals() {
		where := r.Name
		if r.Where != "" && r.Where != r.Name {
			where += " (" + r.Where + ")"
		}
		if r.Kind == "process" {
			l.warn(problem("rival_process", "something that updates this host is running", where+" "+r.Line,
				"ncfleet cannot hold a bare process; stop it for the time of the rollout"))
			continue
		}
		detail := strings.TrimSpace(r.Line)
		if detail == "" {
			detail = "an active " + r.Kind + " that changes packages or Nextcloud by itself"
		}
		if l.absent() {
			l.warn(problem("rival_removed", "removed for good, as auto_update = \"absent\" says: "+where, detail,
				"nothing to do: it is kept aside; ncfleet release --absent "+l.host.Name+" puts it back"))
			continue
		}
		l.warn(problem("rival_held", "held during the rollout: "+where, detail,
			"nothing to do: it is put back as found"))
	}
}

// rivals are the active ones that concern this target, sorted.
func (l *look) rivals() []Rival {
	var out []Rival
	for _, r := range l.facts.Rivals {
		if r.Active && (r.Instance == "" || l.seen == nil || r.Instance == l.seen.Name) {
			out = append(out, r)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if a.Kind != b.Kind {
			return a.Kind < b.Kind
		}
		if a.Name != b.Name {
			return a.Name < b.Name
		}
		if a.Where != b.Where {
			return a.Where < b.Where
		}
		return a.Line < b.Line
	})
	return out
}

func (l *look) checkPackages() {
	if len(l.sel.Changes) == 0 {
		return
	}
	if p := l.facts.Packages; len(p.Broken) > 0 {
		l.block(problem("packages_broken", "packages are half installed", strings.Join(sorted(p.Broken), ", "), repairLine(l.facts.PackageManager)))
	}
	l.checkReadable()
	if _, ok := l.in.CompiledPackages[l.host.Name]; !ok {
		l.block(problem("packages_not_compiled", "no command lines for the packages",
			fmt.Sprintf("the package driver %q gave none for %d selected changes", PackagesDriver(l.host, l.facts), len(l.sel.Changes)), "run ncfleet plan again"))
	}
}

// checkReadable looks whether what is pending could be told at all.
func (l *look) checkReadable() {
	p := l.facts.Packages
	if p.Lock != "" {
		// What else went wrong may follow from it.
		l.block(problem("process_running", "the package manager is locked", p.Lock, "wait until it has ended, then plan again"))
		return
	}
	for _, why := range sorted(p.Problems) {
		l.block(problem("packages_problem", "the package repositories do not answer properly", why,
			"correct the repository on the host, then plan again"))
	}
}

func repairLine(managerName string) string {
	switch managerName {
	case "apt":
		return "sudo dpkg --configure -a && sudo apt-get -f install"
	case "dnf":
		return "sudo dnf check && sudo dnf distro-sync"
	case "zypper":
		return "sudo zypper verify"
	case "apk":
		return "sudo apk fix"
	}
	return "repair them with the host's package manager, then plan again"
}

// checkConfig looks whether the instance can be closed at all.
func (l *look) checkConfig() {
	if l.seen != nil && l.seen.Settings.ReadOnlyConfig {
		l.block(problem("config_read_only", "config.php is set read-only",
			l.seen.Path+"/config/config.php has config_is_read_only = true, so maintenance mode cannot be switched on",
			"take the line 'config_is_read_only' => true out of that file for the time of the rollout"))
	}
}

func (l *look) checkDirs() {
	if len(l.hops) > 0 || l.update || l.in.thorough {
		l.notWritable()
	}
}

// notWritable names every directory that an upgrade writes and the web user
// cannot.
func (l *look) notWritable() {
	dirs := append([]Dir(nil), l.seen.Dirs...)
	sort.Slice(dirs, func(i, j int) bool { return dirs[i].Path < dirs[j].Path })
	for _, d := range dirs {
		if d.Writable {
			continue
		}
		why := d.Why
		if why == "" {
			why = "an upgrade writes there"
		}
		remedy := fmt.Sprintf("sudo chown -R %s:%s %s && sudo chmod -R u+rwX %s", l.site.WebUser, group(l.seen), nextcloud.Quote(d.Path), nextcloud.Quote(d.Path))
		m := l.facts.Mount(d.Path)
		if m != nil && m.ReadOnly {
			remedy = "sudo mount -o remount,rw " + nextcloud.Quote(m.Path)
		}
		l.block(problem("dir_not_writable", d.Path+" cannot be written by "+l.site.WebUser,
			fmt.Sprintf("%s belongs to %s:%s, mode %s%s, and the web user %s cannot write there: %s", d.Path, d.Owner, d.Group, d.Mode, onMount(m), l.site.WebUser, why), remedy))
	}
}

// onMount says which file system a place lies on.
func onMount(m *Mount) string {
	if m == nil {
		return ""
	}
	mode := ""
	if m.ReadOnly {
		mode = ", mounted READ-ONLY"
	}
	return fmt.Sprintf(", on %s (%s, %s%s)", m.Path, m.Device, m.FSType, mode)
}

func group(s *InstanceFacts) string {
	if s.WebGroup != "" {
		return s.WebGroup
	}
	return s.WebUser
}

// checkSource looks whether the releases can reach the host.
func (l *look) checkSource() {
	core := l.in.Rollout.Core
	if len(l.hops) == 0 && (!l.in.thorough || core.To == "") {
		return
	}
	if why := l.in.Unfit[l.host.Name]; why != "" {
		l.block(mirrorProblem(core.Source, why))
	}
	if core.Transfer != "fetch" {
		return
	}
	for _, h := range l.hops {
		if strings.HasPrefix(h.Release.URL, "/") {
			l.block(problem("transfer_impossible", "the host cannot fetch from a folder of this machine",
				"core { source } gives "+h.Release.URL+" and transfer is \"fetch\"", "set core { transfer = \"push\" }"))
			return
		}
	}
	for _, r := range sortedReach(l.facts.Downloads) {
		wanted := l.archive(r.URL)
		if refused(r, wanted) && (sameSite(r.URL, core.Source) || r.URL == wanted) && !isStore(l, r) {
			l.block(mirrorProblem(r.URL, reachLine(r)))
			return // what else does not come has mostly the same reason
		}
	}
}

// archive is the URL when it is one of a release on the way, else that of the
// first, else that of the source.
func (l *look) archive(url string) string {
	first := l.in.Rollout.Core.Source
	for i, h := range l.hops {
		if h.Release.URL == url {
			return url
		}
		if i == 0 {
			first = h.Release.URL
		}
	}
	return first
}

func mirrorProblem(url, why string) Problem {
	return problem("mirror_unreachable", "the release source cannot be reached from the host", why,
		fmt.Sprintf("try on the host: curl -sSI %s; or let this machine send the releases: core { transfer = \"push\" }", nextcloud.Quote(url)))
}

// quickMillis is below what a survey waits for an answer.
const quickMillis = 9000

func reachLine(r Reach) string {
	tried := ""
	if r.Tool != "" {
		tried = "tried on the host with " + r.Tool + ": "
	}
	if r.Status != 0 {
		return fmt.Sprintf("%s%s answered %d after %d ms: %s", tried, r.URL, r.Status, r.Millis, r.Detail)
	}
	if r.Tool != "" && r.Millis < quickMillis {
		return fmt.Sprintf("%s%s could not be had, after %d ms: %s", tried, r.URL, r.Millis, r.Detail)
	}
	return fmt.Sprintf("%s%s did not answer within %d ms: %s", tried, r.URL, r.Millis, r.Detail)
}

// checkStore looks whether apps can be fetched. occ says "up to date" when the
// store does not answer, so an unreachable store is no state to work in.
func (l *look) checkStore() {
	if !l.seen.Settings.AppStoreEnabled {
		return
	}
	store := StoreURL(l.seen.Settings)
	for _, r := range sortedReach(l.facts.Downloads) {
		if !refused(r, StoreProbe(l.seen.Settings)) || !sameSite(r.URL, store) {
			continue
		}
		if l.in.Rollout.Apps.Update == "all" {
			l.block(problem("app_store_unreachable", "the app store cannot be reached from the host", reachLine(r)+"; occ would say that all apps are up to date",
				"open the way to "+store+", or leave the apps alone: apps { update = \"none\" }, or switch the store off: "+l.occ("config:system:set appstoreenabled --value=false --type=boolean")))
		} else if len(l.hops) > 0 || l.in.thorough {
			l.warn(problem("app_store_unreachable", "the app store cannot be reached from the host", reachLine(r)+"; occ upgrade asks it and may wait a minute or two",
				"open the way to "+store+", or switch it off: "+l.occ("config:system:set appstoreenabled --value=false --type=boolean")))
		}
		return
	}
}

// isStore reports whether an attempt was one at the instance's app store.
func isStore(l *look, r Reach) bool {
	return l.seen.Settings.AppStoreEnabled && r.URL == StoreProbe(l.seen.Settings)
}

// refused reports whether an attempt shows that wanted cannot be had. A folder
// may well forbid to be listed: 4xx counts for the very URL that is wanted.
func refused(r Reach, wanted string) bool {
	return !r.OK && (r.Status == 0 || r.Status >= 500 || r.URL == wanted)
}

// sameSite reports whether two URLs have scheme and host in common.
func sameSite(a, b string) bool {
	x, y := origin(a), origin(b)
	return x != "" && x == y
}

func origin(u string) string {
	scheme, rest, ok := strings.Cut(u, "://")
	if !ok {
		return ""
	}
	host, _, _ := strings.Cut(rest, "/")
	return strings.ToLower(scheme + "://" + host)
}

func sortedReach(in []Reach) []Reach {
	out := append([]Reach(nil), in...)
	sort.Slice(out, func(i, j int) bool { return out[i].URL < out[j].URL })
	return out
}

func sorted(in []string) []string {
	out := append([]string(nil), in...)
	sort.Strings(out)
	return out
}

// megabytes reads a PHP size ("512M", "1G", "-1" = no limit), false when it
// cannot be read.
func megabytes(s string) (int64, bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, false
	}
	unit := int64(1)
	switch s[len(s)-1] {
	case 'k', 'K':
		unit = 1 << 10
	case 'm', 'M':
		unit = 1 << 20
	case 'g', 'G':
		unit = 1 << 30
	}
	if unit > 1 {
		s = s[:len(s)-1]
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, false
	}
	if n < 0 {
		return 1 << 40, true
	}
	return n * unit >> 20, true
}
