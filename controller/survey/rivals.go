package survey

import (
	"path"
	"sort"
	"strings"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// cronFile is a file of cron lines ("system" with a user field, "user"
// without) or a script.
type cronFile struct {
	kind  string
	path  string
	lines []string
}

// updaters finds what else updates the host, and where the instances'
// background jobs are started.
func (r *reader) updaters() {
	files := r.cronFiles(r.parts["cron"].out)
	scripts := map[string][]string{}
	for _, f := range files {
		if f.kind == "script" {
			scripts[f.path] = f.lines
		}
	}
	for _, f := range files {
		switch f.kind {
		case "script":
			if runByCron(f.path) {
				r.cronScript(f)
			}
		default:
			for _, l := range f.lines {
				r.cronLine(f, l, scripts)
			}
		}
	}
	r.units()
	list := r.facts.Rivals
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.Kind != b.Kind {
			return a.Kind < b.Kind
		}
		return a.Name < b.Name
	})
}

func (r *reader) cronFiles(b []byte) []cronFile {
	var files []cronFile
	records(b, func(key, rest string) {
		switch key {
		case "system", "user", "script":
			files = append(files, cronFile{kind: key, path: strings.TrimPrefix(rest, r.sysroot)})
		case "l":
			if n := len(files); n > 0 {
				files[n-1].lines = append(files[n-1].lines, rest)
			}
		}
	})
	return files
}

func runByCron(p string) bool {
	return strings.HasPrefix(p, "/etc/cron.") || strings.HasPrefix(p, "/etc/periodic/")
}

// cronScript judges a file of cron.daily and its like.
func (r *reader) cronScript(f cronFile) {
	active := true
	if path.Base(f.path) == "apt-compat" && r.facts.Systemd {
		active = false // it leaves the work to the timers
	}
	for _, l := range f.lines {
		if updatesSomething(l) {
			r.facts.Rivals = append(r.facts.Rivals, plan.Rival{Kind: "cron", Name: f.path, Where: f.path,
				Line: strings.TrimSpace(l), Active: active, Instance: r.instanceIn(strings.Join(f.lines, "\n"))})
			break
		}
	}
	for _, l := range f.lines {
		if strings.Contains(l, "cron.php") {
			r.background(plan.Rival{Kind: "cron", Name: f.path, Where: f.path, Line: strings.TrimSpace(l), Active: true}, l, "")
		}
	}
}

// cronLine judges one line of a crontab, and the script that it calls.
func (r *reader) cronLine(f cronFile, line string, scripts map[string][]string) {
	user, command, ok := cronCommand(f, line)
	if !ok {
		return
	}
	text := []string{command}
	for _, w := range strings.FieldsFunc(command, cutWord) {
		text = append(text, scripts[strings.TrimPrefix(w, r.sysroot)]...)
	}
	name := f.path
	if f.kind == "user" {
		name = "crontab of " + user
	}
	seen := plan.Rival{Kind: "cron", Name: name, Where: f.path, Line: line, Active: true}
	for _, t := range text {
		if updatesSomething(t) {
			rival := seen
			rival.Name = f.path
			rival.Instance = r.instanceIn(strings.Join(text, "\n"))
			r.facts.Rivals = append(r.facts.Rivals, rival)
			break
		}
	}
	for _, t := range text {
		if strings.Contains(t, "cron.php") {
			r.background(seen, strings.Join(text, "\n"), user)
			break
		}
	}
}

// cronCommand takes a crontab's line apart; false for a setting.
func cronCommand(f cronFile, line string) (user, command string, ok bool) {
	rest := strings.TrimLeft(line, " \t")
	if i := strings.IndexAny(rest, " \t="); i > 0 && strings.HasPrefix(strings.TrimLeft(rest[i:], " \t"), "=") {
		return "", "", false
	}
	times := 5
	if strings.HasPrefix(rest, "@") {
		times = 1
	}
	if path.Base(f.path) == "anacrontab" {
		times = 3 // period, delay, name
	}
	for range times {
		_, rest = cutField(rest)
	}
	if f.kind == "system" && path.Base(f.path) != "anacrontab" {
		user, rest = cutField(rest)
	}
	if f.kind == "user" {
		user = path.Base(f.path)
	}
	return user, rest, rest != ""
}

func cutField(s string) (word, rest string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimLeft(s[i:], " \t")
}

// background notes where an instance's background jobs are started: by its
// path in the text, or by its user when that leaves one instance only.
func (r *reader) background(seen plan.Rival, text, user string) {
	found := -1
	for i := range r.facts.Instances {
		in := &r.facts.Instances[i]
		if mentions(text, in.Path) || (in.TreeIsLink != "" && mentions(text, in.TreeIsLink)) {
			seen.Instance = in.Name
			in.Crontab = append(in.Crontab, seen)
			found = -2
		} else if user != "" && in.WebUser == user && found != -2 {
			if found >= 0 {
				found = -2
				continue
			}
			found = i
		}
	}
	if found >= 0 && !strings.Contains(text, "/cron.php") {
		in := &r.facts.Instances[found]
		seen.Instance = in.Name
		in.Crontab = append(in.Crontab, seen)
	}
}

// instanceIn names the one instance that a text is about, "" for none or many.
func (r *reader) instanceIn(text string) string {
	name := ""
	for _, in := range r.facts.Instances {
		if mentions(text, in.Path) || (in.TreeIsLink != "" && mentions(text, in.TreeIsLink)) {
			if name != "" {
				return ""
			}
			name = in.Name
		}
	}
	return name
}

// mentions reports whether dir, or something inside it, stands in text.
func mentions(text, dir string) bool {
	if dir == "" {
		return false
	}
	for i := strings.Index(text, dir); i >= 0; {
		end := i + len(dir)
		if end == len(text) || text[end] == '/' || cutWord(rune(text[end])) {
			return true
		}
		j := strings.Index(text[end:], dir)
		if j < 0 {
			return false
		}
		i = end + j
	}
	return false
}

// cutWord separates the words of a shell line.
func cutWord(c rune) bool { return strings.ContainsRune(" \t\n;&|\"'`()=<>", c) }

// updatesSomething reports whether a shell line updates Nextcloud, packages
// or containers.
func updatesSomething(line string) bool {
	words := strings.FieldsFunc(line, cutWord)
	for i, w := range words {
		base := path.Base(w)
		lower := strings.ToLower(base)
		switch {
		case base == "updater.phar", base == "apt.systemd.daily", base == "unattended-upgrade",
			base == "unattended-upgrades", base == "cron-apt", base == "yum-cron", base == "dnf-automatic",
			base == "online_update", base == "os-update", base == "apk-autoupdate",
			strings.HasPrefix(base, "watchtower"), strings.Contains(w, "/watchtower"):
			return true
		case strings.Contains(lower, "nextcloud") && (strings.Contains(lower, "update") || strings.Contains(lower, "upgrade")):
			return true
		case updateVerbs[base] != "" && followedBy(words[i+1:], updateVerbs[base]):
			return true
		}
	}
	return false
}

// updateVerbs maps a program to the arguments with which it updates.
var updateVerbs = map[string]string{
	"occ":                  " upgrade app:update update:check ",
	"apt":                  " upgrade full-upgrade dist-upgrade ",
	"apt-get":              " upgrade dist-upgrade ",
	"aptitude":             " upgrade safe-upgrade full-upgrade ",
	"nala":                 " upgrade full-upgrade ",
	"yum":                  " update upgrade update-minimal ",
	"dnf":                  " update upgrade update-minimal upgrade-minimal offline-upgrade automatic ",
	"dnf5":                 " update upgrade offline automatic ",
	"microdnf":             " update upgrade ",
	"zypper":               " update up patch dup dist-upgrade ",
	"apk":                  " upgrade ",
	"transactional-update": " up dup patch ",
	"snap":                 " refresh ", "pkcon": " update upgrade-system ",
	"docker": " pull ", "docker-compose": " pull ", "podman": " pull auto-update ",
	"nextcloud.occ": " upgrade app:update update:check ",
}

// followedBy looks for the verb among the words of the same simple command.
func followedBy(words []string, verbs string) bool {
	for i, w := range words {
		if i > 12 {
			break
		}
		if strings.Contains(verbs, " "+w+" ") {
			return true
		}
	}
	return false
}
