package apt

import (
	"regexp"
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// simulation is what one apt-get -s run showed.
type simulation struct {
	changes map[string]driver.PackageChange // would be installed, by name
	kept    map[string]driver.PackageChange // kept back or deferred
	removed []string
}

// An Inst line: name, the installed version if any, then in parentheses the new
// version, its origins and architecture; notes may follow.
var instLine = regexp.MustCompile(`^Inst (\S+) (?:\[([^\]\s]+)\] )?\((\S+)(?: (.*?))? \[[^\]\s]+\]\)`)

var goneLine = regexp.MustCompile(`^(?:Remv|Purg) (\S+)`)

var security = regexp.MustCompile(`(?i)security`)

// versionsLine is an entry of a section as Show-Versions prints it.
var versionsLine = regexp.MustCompile(`^ +(\S+) \((\S+) => (\S+)\)$`)

func readSimulation(text string) simulation {
	s := simulation{changes: map[string]driver.PackageChange{}, kept: map[string]driver.PackageChange{}}
	section := ""
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, "\r")
		if m := instLine.FindStringSubmatch(line); m != nil {
			s.changes[m[1]] = driver.PackageChange{Name: m[1], From: m[2], To: m[3], Security: security.MatchString(m[4])}
			continue
		}
		if m := goneLine.FindStringSubmatch(line); m != nil {
			s.removed = append(s.removed, m[1])
			continue
		}
		if !strings.HasPrefix(line, " ") {
			section = line
			continue
		}
		if reason := keptReason(section); reason != "" {
			readKept(s.kept, line, reason)
		}
	}
	return s
}

// keptReason says what a section's heading means for the packages below it.
func keptReason(heading string) string {
	switch {
	case strings.Contains(heading, "kept back"):
		return "kept back: its dependencies cannot be met without removing or adding packages"
	case strings.Contains(heading, "phasing"):
		return "the distribution rolls it out in phases and it is not this host's turn yet"
	}
	return ""
}

func readKept(kept map[string]driver.PackageChange, line, reason string) {
	if m := versionsLine.FindStringSubmatch(line); m != nil {
		kept[m[1]] = driver.PackageChange{Name: m[1], From: m[2], To: m[3], Reason: reason}
		return
	}
	for _, name := range strings.Fields(line) {
		if packageName.MatchString(name) {
			kept[name] = driver.PackageChange{Name: name, Reason: reason}
		}
	}
}

// readOffered reads apt-cache madison, "openssl | 3.0.15-1 | http://… main amd64
// Packages": of each pending change the versions newer than the installed one.
func readOffered(pending []driver.PackageChange, madison string) map[string][]string {
	all := map[string][]string{}
	for _, line := range strings.Split(madison, "\n") {
		f := strings.Split(line, "|")
		if len(f) == 3 && strings.HasSuffix(strings.TrimSpace(f[2]), " Packages") {
			name := strings.TrimSpace(f[0])
			all[name] = append(all[name], strings.TrimSpace(f[1]))
		}
	}
	out := map[string][]string{}
	for _, c := range pending {
		var newer []string
		for _, v := range all[c.Name] {
			if c.From == "" || less(c.From, v) {
				newer = append(newer, v)
			}
		}
		slices.SortFunc(newer, compare)
		if newer = slices.Compact(newer); len(newer) > 0 {
			out[c.Name] = newer
		}
	}
	return out
}

func compare(a, b string) int {
	switch {
	case less(a, b):
		return -1
	case less(b, a):
		return 1
	}
	return 0
}

// readStatus reads dpkg-query's lines: installed versions by name, and the
// names of packages that are neither in nor out.
func readStatus(r driver.Result) (map[string]string, []string, error) {
	installed := map[string]string{}
	var broken []string
	for _, line := range strings.Split(string(r.Stdout), "\n") {
		f := strings.Split(line, "\t")
		if len(f) < 3 || len(f[2]) < 2 {
			continue
		}
		switch f[2][1] {
		case 'i':
			installed[f[0]] = f[1]
			if len(f[2]) > 2 && f[2][2] == 'R' {
				broken = append(broken, f[0])
			}
		case 'n', 'c': // not installed, only its configuration left
		default: // half installed, unpacked, half configured, triggers to do
			installed[f[0]] = f[1]
			broken = append(broken, f[0])
		}
	}
	// A simulation leaves out the host's own architecture.
	for name, version := range installed {
		if _, ok := installed[base(name)]; !ok {
			installed[base(name)] = version
		}
	}
	if len(installed) == 0 {
		return nil, nil, driver.Errorf(driver.Permanent, "cannot read the installed packages: dpkg-query ended with status %d: %s", r.Exit, firstLine(r.Stderr, "it listed none"))
	}
	return installed, broken, nil
}

// readHost reads the host probe's lines and returns the system's ID, such as
// "ubuntu".
func readHost(f *driver.PackageFacts, text string) (system string) {
	running, newest := "", ""
	for _, line := range strings.Split(text, "\n") {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "lock":
			pid, command, _ := strings.Cut(value, " ")
			if f.Lock == "" && pid != "" {
				f.Lock = holder(pid, command)
			}
		case "interrupted":
			f.Broken = append(f.Broken, "dpkg")
			f.Problems = append(f.Problems, "dpkg was interrupted ("+value+" is there): run dpkg --configure -a")
		case "reboot":
			f.RebootRequired = true
		case "system":
			system = value
		case "kernel":
			running = value
		case "image":
			// Only kernels of the running one's flavour can follow it.
			if flavour(value) == flavour(running) && (newest == "" || less(newest, value)) {
				newest = value
			}
		}
	}
	if running != "" && newest != "" && less(running, newest) {
		f.RebootRequired = true
	}
	return system
}

// flavour is the last part of a kernel's release: "amd64", "generic", "rt-amd64".
var flavourPart = regexp.MustCompile(`-([a-z][a-z0-9-]*)$`)

func flavour(release string) string {
	if m := flavourPart.FindStringSubmatch(release); m != nil {
		return m[1]
	}
	return ""
}
