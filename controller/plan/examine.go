package plan

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
)

// Diagnosis is what is wrong with one target.
type Diagnosis struct {
	Target   string
	Blocked  []Problem // a rollout would not begin on it
	Warnings []Problem
}

// Examine looks for everything that is wrong with a rollout's targets: what
// [Compute] finds, also where nothing is to be done and where an instance is
// not in order, and what a rollout cares for by itself but a person should
// know. A rollout that wants nothing gives the fleet as it is. The problems
// are those of the rollout itself, as Compute's.
func Examine(in Input) ([]Diagnosis, []Problem) {
	if ps := refuse(&in); len(ps) > 0 {
		return nil, ps
	}
	in.thorough = true
	hosts := hostsByName(in.Fleet)
	var out []Diagnosis
	for _, ref := range Targets(in.Fleet, in.Rollout) {
		l := decide(&in, hosts, ref, nil)
		l.blocked, l.warnings = withoutEffects(l.blocked, l.warnings, l.seen)
		out = append(out, Diagnosis{Target: ref.Name, Blocked: l.blocked, Warnings: l.warnings})
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Target < out[j].Target })
	return out, nil
}

// examine adds what only a person wants to know, and of an instance that is not
// in order what else is wrong with it.
func (l *look) examine() {
	if l.facts.Unreachable != "" {
		return
	}
	if !l.sound {
		l.checkBusy()
		l.noteSnapshot()
		if l.seen != nil && l.seen.Missing == "" {
			l.checkConfig()
			l.checkCoverage(len(l.sel.Changes) > 0)
			l.checkShared()
			l.checkTools()
			l.checkStore()
			l.checkSource()
			l.checkPHP()
			l.notWritable()
		}
	}
	l.noteRivals()
	if l.seen != nil && l.seen.Missing == "" {
		l.noteOpcache()
		l.noteWebMemory()
		l.noteIndices()
	}
}

// withoutEffects leaves out complaints that only say again, in other words,
// what another problem says: an occ that refuses to work because a directory
// is closed to it, and what the survey could not ask it for that reason. What
// occ must do is said to come after that.
func withoutEffects(blocked, warnings []Problem, seen *InstanceFacts) ([]Problem, []Problem) {
	if seen == nil || seen.StatusProblem == "" {
		return blocked, warnings
	}
	warnings = slices.DeleteFunc(warnings, func(p Problem) bool {
		return p.Code == "survey_incomplete" && strings.HasPrefix(p.Detail, "instance "+seen.Name+": ")
	})
	closed := slices.ContainsFunc(blocked, func(p Problem) bool { return p.Code == "dir_not_writable" })
	if closed && strings.Contains(seen.StatusProblem, "Cannot write into") {
		blocked = slices.DeleteFunc(blocked, func(p Problem) bool { return p.Code == "status_problem" })
		for i, p := range blocked {
			if command, ok := strings.CutPrefix(p.Remedy, "end it by hand first: "); ok {
				blocked[i].Remedy = "once occ may write again: " + command
			}
		}
	}
	return blocked, warnings
}

// noteRivals names what updates the host or the instance without being asked.
func (l *look) noteRivals() {
	for _, r := range l.rivals() {
		if r.Kind == "process" || !l.changesSomething(r) {
			continue // processes are told by checkRivals
		}
		what := "packages of this host"
		if r.Instance != "" {
			what = "instance " + r.Instance
		} else if r.Kind == "cron" && strings.Contains(strings.ToLower(r.Line), "nextcloud") {
			what = "Nextcloud on this host"
		}
		detail := strings.TrimSpace(r.Line)
		if r.Where != "" {
			detail = r.Where + ": " + detail
		}
		if detail == "" {
			detail = "it is active"
		}
		l.warn(problem("rival_updater", fmt.Sprintf("%s %s updates %s by itself", r.Kind, path.Base(r.Name), what),
			detail+"; a rollout holds it while it works, at any other time it changes what the canary has not tried",
			rivalRemedy(r)))
	}
}

// changesSomething leaves out units that only look for updates, of which every
// Debian and Fedora has some. Debian's timer installs them when it is told to;
// the service beside it only waits for a shutdown.
func (l *look) changesSomething(r Rival) bool {
	name, _, _ := strings.Cut(r.Name, ".")
	switch name {
	case "apt-daily", "dnf-makecache", "dnf-automatic-download", "dnf-automatic-notifyonly", "packagekit", "unattended-upgrades":
		return false
	case "apt-daily-upgrade":
		return l.facts.UnattendedUpgrades
	}
	return true
}

// rivalRemedy is the command that ends a rival for good.
func rivalRemedy(r Rival) string {
	switch {
	case r.Kind == "timer" || r.Kind == "service":
		return "sudo systemctl disable --now " + nextcloud.Quote(r.Name)
	case isScriptFolder(r.Where):
		return "sudo chmod -x " + nextcloud.Quote(r.Where)
	}
	return fmt.Sprintf("sudo sed -i %s %s", nextcloud.Quote(`\|^`+sedLiteral(r.Line)+`$|s|^|# |`), nextcloud.Quote(r.Where))
}

// isScriptFolder reports whether cron runs the file whole, as those of
// cron.daily.
func isScriptFolder(file string) bool {
	return strings.HasPrefix(file, "/etc/cron.") && !strings.HasPrefix(file, "/etc/cron.d/") || strings.HasPrefix(file, "/etc/periodic/")
}

// sedLiteral is a basic regular expression between bars that matches just that
// text.
func sedLiteral(text string) string {
	return strings.NewReplacer(`\`, `\\`, `|`, `\|`, `.`, `\.`, `*`, `\*`, `[`, `\[`, `]`, `\]`, `^`, `\^`, `$`, `\$`).Replace(text)
}

// usualRecheck is opcache.revalidate_freq as PHP ships it: so long a change of
// config.php may go unseen anywhere.
const usualRecheck = 2

// noteOpcache warns where workers of the web go on with a config.php that has
// changed: maintenance mode that somebody switches on is not seen, and users
// write on. ncfleet itself closes by a new file, which is always seen, and
// Nextcloud from 29 on asks opcache to look anew.
func (l *look) noteOpcache() {
	w := l.seen.PHP.FPM
	if w == nil || !w.Opcache || l.seen.Code.Major() >= 29 || w.ChecksFiles && w.RecheckSeconds <= usualRecheck {
		return
	}
	how := "until PHP-FPM is reloaded (opcache.validate_timestamps is off)"
	if w.ChecksFiles {
		how = fmt.Sprintf("for up to %d s (opcache.revalidate_freq = %d)", w.RecheckSeconds, w.RecheckSeconds)
	}
	l.warn(problem("opcache_hides_maintenance", "opcache hides maintenance mode from the web",
		fmt.Sprintf("after occ maintenance:mode --on users go on writing to %s %s, in the pool of %s; ncfleet closes in another way and is not fooled", l.seen.Path, how, w.PoolFile),
		l.iniLine(w.ScanDir, "99-opcache.ini", `opcache.validate_timestamps=1\nopcache.revalidate_freq=2`)))
}

// iniLine is the command that adds lines to the web's php.ini and makes them
// count.
func (l *look) iniLine(dir, file, lines string) string {
	if dir == "" {
		dir = "PHP-FPM's conf.d"
	} else {
		dir = nextcloud.Quote(dir + "/" + file)
	}
	return fmt.Sprintf("printf '%s\\n' | sudo tee %s && %s", lines, dir, l.reloadLine())
}

// reloadLine makes PHP-FPM read its configuration again.
func (l *look) reloadLine() string {
	if len(l.seen.PHP.Reload) == 0 {
		return "reload PHP-FPM"
	}
	argv := l.seen.PHP.Reload[0]
	if title := argv[len(argv)-1]; strings.HasPrefix(title, "php-fpm: master") {
		return "sudo pkill -USR2 -f " + nextcloud.Quote("^"+strings.NewReplacer("(", `\(`, ")", `\)`, ".", `\.`).Replace(title))
	}
	return "sudo " + nextcloud.QuoteArgv(argv)
}

// noteWebMemory holds the web's memory limit against what Nextcloud asks for.
func (l *look) noteWebMemory() {
	w := l.seen.PHP.FPM
	if w == nil {
		return
	}
	limit, ok := megabytes(w.MemoryLimit)
	if !ok || limit >= usualMemory {
		return
	}
	where, remedy := "php.ini of PHP-FPM", l.iniLine(w.ScanDir, "99-memory.ini", fmt.Sprintf("memory_limit=%dM", usualMemory))
	if w.PoolSetsMemory {
		where = w.PoolFile
		remedy = fmt.Sprintf("sudo sed -i %s %s && %s",
			nextcloud.Quote(fmt.Sprintf(`s/^\(php[a-z_]*\[memory_limit\]\).*/\1 = %dM/`, usualMemory)), nextcloud.Quote(w.PoolFile), l.reloadLine())
	}
	l.warn(problem("php_memory_web", "the web's memory limit is low",
		fmt.Sprintf("%s gives the web memory_limit = %s; Nextcloud asks for %dM", where, w.MemoryLimit, usualMemory), remedy))
}

func (l *look) noteIndices() {
	if len(l.seen.MissingIndices) == 0 {
		return
	}
	l.warn(problem("missing_indices", "the database lacks indices",
		l.seen.Path+": "+strings.Join(sorted(l.seen.MissingIndices), ", ")+"; without them it is slow, and slower the bigger it grows; they can be added while users work",
		l.occ("db:add-missing-indices")))
}
