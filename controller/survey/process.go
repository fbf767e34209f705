package survey

import (
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// web is what serves PHP to the web on this host.
type web struct {
	masters   []fpmMaster
	pools     map[int][]string // master's pid → uids of its pools
	apache    string           // program of a running apache2 or httpd
	hasModule bool             // mod_php is configured
	module    string           // its version, "" unknown
	builtin   map[string]bool  // uids that run PHP's own web server
	snap      bool             // the nextcloud snap is there
	units     map[string]bool  // unit → active
	confs     map[int]*fpmConf // master's pid → what its files say
}

type fpmMaster struct {
	pid     int
	version string // "8.2", "8.2.36" or ""
	title   string // the process's title, with the path of its configuration
}

// processes reads the running processes that matter.
func (r *reader) processes() {
	r.users = map[string]string{}
	r.web.pools = map[int][]string{}
	r.web.builtin = map[string]bool{}
	r.web.units = map[string]bool{}
	type found struct {
		uid string
		p   plan.Process
	}
	var all []found
	records(r.parts["ps"].out, func(key, rest string) {
		switch key {
		case "user":
			p := fields(rest, 2)
			if r.users[p[0]] == "" {
				r.users[p[0]] = p[1]
			}
		case "pool":
			p := fields(rest, 3)
			if pid, err := strconv.Atoi(p[0]); err == nil {
				r.web.pools[pid] = append(r.web.pools[pid], p[1])
			}
		case "fpm":
			p := fields(rest, 3)
			if pid, err := strconv.Atoi(p[0]); err == nil {
				r.web.masters = append(r.web.masters, fpmMaster{pid, strings.Trim(p[1], "-"), p[2]})
			}
		case "apache":
			r.web.apache = path.Base(fields(rest, 2)[1])
		case "proc":
			p := fields(rest, 4)
			pid, err := strconv.Atoi(p[0])
			if err != nil {
				return
			}
			words := strings.Fields(p[3])
			if isBuiltinServer(words) {
				r.web.builtin[p[2]] = true
			}
			if kind := processKind(words); kind != "" {
				all = append(all, found{p[2], plan.Process{PID: pid, Kind: kind, Command: shown(kind, words)}})
			}
		}
	})
	for _, f := range all {
		f.p.User = r.userName(f.uid)
		if f.p.Kind == "watchtower" {
			r.facts.Rivals = append(r.facts.Rivals, plan.Rival{Kind: "process", Name: "watchtower",
				Line: f.p.Command, Active: true})
			continue
		}
		r.facts.Processes = append(r.facts.Processes, f.p)
	}
	sort.Slice(r.facts.Processes, func(i, j int) bool { return r.facts.Processes[i].PID < r.facts.Processes[j].PID })
}

func (r *reader) userName(uid string) string {
	if n := r.users[uid]; n != "" {
		return n
	}
	return uid
}

// packageTools are programs that change packages. The one that only waits for
// a shutdown is not among them.
var packageTools = map[string]bool{
	"apt": true, "apt-get": true, "aptitude": true, "nala": true, "dpkg": true,
	"apt.systemd.daily": true, "unattended-upgrade": true, "unattended-upgrades": true,
	"dnf": true, "dnf-3": true, "dnf5": true, "yum": true, "dnf-automatic": true,
	"zypper": true, "apk": true,
}

// processKind says what must not be disturbed: "occ", "cron", "updater",
// "packages"; "watchtower" is a rival; "" is none of our business.
func processKind(words []string) string {
	if len(words) == 0 {
		return ""
	}
	program := path.Base(words[0])
	if program == "watchtower" {
		return "watchtower"
	}
	if at := packageTool(words); at >= 0 {
		if packagesOnlyLook(path.Base(words[at]), words[at+1:]) {
			return ""
		}
		return "packages"
	}
	isPHP := strings.HasPrefix(program, "php") && !strings.HasPrefix(program, "php-fpm")
	if !isPHP && program != "occ" && program != "updater.phar" {
		return ""
	}
	for i, w := range words {
		switch path.Base(w) {
		case "updater.phar":
			return "updater"
		case "occ":
			if onlyLooks(words[i+1:]) {
				return ""
			}
			return "occ"
		case "cron.php":
			return "cron"
		}
	}
	return ""
}

// packageTool is the place of the package tool among the words, run by itself
// or by an interpreter; -1 when there is none.
func packageTool(words []string) int {
	if packageTools[path.Base(words[0])] {
		return 0
	}
	if !interpreter(path.Base(words[0])) {
		return -1
	}
	for i, w := range words[1:] {
		if !strings.HasPrefix(w, "-") {
			if packageTools[path.Base(w)] {
				return i + 1
			}
			break
		}
	}
	return -1
}

// packageVerbs are the subcommands that change nothing on a host, by tool.
var packageVerbs = map[string][]string{
	"dnf":    {"check-update", "repoquery", "updateinfo", "needs-restarting", "list", "info", "repolist", "check"},
	"zypper": {"list-updates", "lu", "list-patches", "lp", "patch-check", "pchk", "locks", "ll", "ps", "needs-rebooting", "info", "search"},
	"apk":    {"version", "info", "list", "policy", "audit", "stats"},
}

// packagesOnlyLook reports whether a package tool with these arguments changes
// nothing: a survey asks such questions, and one whose controller died leaves
// them running.
func packagesOnlyLook(tool string, args []string) bool {
	switch tool {
	case "apt", "apt-get", "aptitude":
		for _, a := range args {
			switch a {
			case "-s", "--simulate", "--just-print", "--dry-run", "--recon", "--no-act", "--print-uris":
				return true
			}
		}
		return false
	case "dpkg":
		return slices.ContainsFunc(args, func(a string) bool {
			return slices.Contains([]string{"--audit", "-C", "-l", "--list", "-s", "--status", "-L", "--listfiles", "--get-selections"}, a)
		})
	case "dnf-3", "dnf5", "yum":
		tool = "dnf"
	}
	simulated := map[string][]string{"dnf": {"--assumeno"}, "zypper": {"--dry-run"}, "apk": {"-s", "--simulate"}}[tool]
	if slices.ContainsFunc(args, func(a string) bool { return slices.Contains(simulated, a) }) {
		return true
	}
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			return slices.Contains(packageVerbs[tool], a)
		}
	}
	return false
}

// lookingCommands are occ commands that change nothing: monitoring runs them at
// any time, and so does a survey, whose controller may have died since.
var lookingCommands = []string{
	"status", "check", "setupchecks", "app:list", "config:list", "config:system:get", "config:app:get",
	"background-job:list", "user:list", "log:tail", "log:file", "list", "help",
}

// onlyLooks reports whether the arguments of an occ change nothing, so that an
// upgrade may begin beside it.
func onlyLooks(args []string) bool {
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			return slices.Contains(lookingCommands, a) || a == "app:update" && slices.Contains(args, "--showonly") ||
				a == "db:add-missing-indices" && slices.Contains(args, "--dry-run")
		}
	}
	return false
}

// shown is a command line for people. What follows occ's command or a script's
// name is left out: it may hold a password.
func shown(kind string, words []string) string {
	if kind == "packages" || kind == "watchtower" {
		return clip(strings.Join(words, " "), 300)
	}
	seen := false
	for i, w := range words {
		switch base := path.Base(w); {
		case base == "cron.php", base == "updater.phar":
			return clip(strings.Join(words[:i+1], " "), 300)
		case base == "occ":
			seen = true
		case seen && !strings.HasPrefix(w, "-"):
			return clip(strings.Join(words[:i+1], " "), 300)
		}
	}
	return clip(words[0], 300)
}

func interpreter(program string) bool {
	return strings.HasPrefix(program, "python") || program == "sh" || program == "dash" ||
		program == "bash" || program == "perl"
}

func isBuiltinServer(words []string) bool {
	if len(words) == 0 || !strings.HasPrefix(path.Base(words[0]), "php") {
		return false
	}
	for _, w := range words[1:] {
		if w == "-S" || strings.HasPrefix(w, "--server") {
			return true
		}
	}
	return false
}

// reload returns what makes the PHP that serves the user's site forget old
// code, and its version. Masters of FPM are matched by the user of their
// pools, or by its name in their configuration: a pool that starts its processes
// on demand shows none. Without a match every master that shows no pool is taken, and else every master: one
// reload too many costs a moment, one too few serves old code on a new tree.
func (r *reader) reload(uid, user string) (argv [][]string, version string) {
	masters := r.mastersOf(uid)
	if len(masters) == 0 {
		masters = r.configured(user)
	}
	if len(masters) == 0 && r.web.builtin[uid] {
		return nil, ""
	}
	module := r.web.hasModule && r.web.apache != ""
	if len(masters) == 0 && !module {
		masters = r.idleMasters()
	}
	for _, m := range masters {
		a := m.reload()
		if unit := r.fpmUnit(m.version); unit != "" {
			a = []string{"systemctl", "reload", unit}
		}
		argv = appendArgv(argv, a)
		version = sameVersion(version, m.version, len(argv) > 1)
	}
	if len(masters) == 0 && module {
		a := []string{"apachectl", "graceful"}
		if unit := r.web.apache + ".service"; r.facts.Systemd && r.web.units[unit] {
			a = []string{"systemctl", "reload", unit}
		}
		return [][]string{a}, r.web.module
	}
	return argv, version
}

// sameVersion is the version of several masters, "" when they differ.
func sameVersion(first, next string, more bool) string {
	if more && first != next {
		return ""
	}
	return next
}

func (r *reader) mastersOf(uid string) []fpmMaster {
	var out []fpmMaster
	for _, m := range r.web.masters {
		for _, u := range r.web.pools[m.pid] {
			if u == uid {
				out = append(out, m)
				break
			}
		}
	}
	return out
}

func (r *reader) idleMasters() []fpmMaster {
	var out []fpmMaster
	for _, m := range r.web.masters {
		if len(r.web.pools[m.pid]) == 0 {
			out = append(out, m)
		}
	}
	if len(out) == 0 {
		return r.web.masters
	}
	return out
}

// fpmUnit names the active unit of FPM of that version, "" when there is none.
func (r *reader) fpmUnit(version string) string {
	if !r.facts.Systemd {
		return ""
	}
	short := majorMinor(version)
	for _, unit := range []string{"php" + short + "-fpm.service", "php" + strings.ReplaceAll(short, ".", "") + "-php-fpm.service", "php-fpm.service"} {
		if r.web.units[unit] {
			return unit
		}
	}
	return ""
}

// reloadByTitle signals the master that bears a title now; its process id may
// have changed since the survey.
const reloadByTitle = `for p in /proc/[0-9]*; do c=; { IFS= read -r c <"$p/cmdline"; } 2>/dev/null; ` +
	`[ "$c" = "$1" ] && kill -USR2 "${p#/proc/}" && found=1; done; [ "${found:-}" ]`

func (m fpmMaster) reload() []string {
	return []string{"sh", "-c", reloadByTitle, "reload-php-fpm", m.title}
}

func appendArgv(list [][]string, argv []string) [][]string {
	for _, a := range list {
		if strings.Join(a, "\x00") == strings.Join(argv, "\x00") {
			return list
		}
	}
	return append(list, argv)
}

// majorMinor shortens "8.2.36" to "8.2".
func majorMinor(v string) string {
	p := strings.SplitN(v, ".", 3)
	if len(p) < 2 {
		return v
	}
	return p[0] + "." + p[1]
}

// phpVersionIn finds "8.2" in "php8.2.load", "" when there is none.
func phpVersionIn(name string) string {
	v := strings.TrimFunc(name, func(c rune) bool { return (c < '0' || c > '9') })
	if v != "" && strings.Trim(v, "0123456789.") == "" && strings.Contains(v, ".") {
		return v
	}
	return ""
}

// clip shortens s to n bytes for people.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}
