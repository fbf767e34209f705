package survey

import (
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// system reads what the host says of itself.
func (r *reader) system() {
	like := ""
	f := &r.facts
	f.Tools = map[string]string{}
	records(r.parts["host"].out, func(key, rest string) {
		switch key {
		case "sysroot":
			r.sysroot = rest
		case "os":
			name, value, _ := strings.Cut(rest, "=")
			value = unquoteOS(value)
			switch name {
			case "ID":
				f.OS.ID = value
			case "ID_LIKE":
				like = value
			case "VERSION_ID":
				f.OS.Version = value
			case "PRETTY_NAME":
				f.OS.Name = value
			}
		case "uname":
			f.OS.Kernel, f.OS.Arch, _ = strings.Cut(rest, " ")
		case "boot":
			f.BootID = rest
		case "uptime":
			whole, _, _ := strings.Cut(rest, ".")
			f.UptimeSeconds, _ = strconv.ParseInt(whole, 10, 64)
		case "systemd":
			f.Systemd = true
		case "unattended":
			f.UnattendedUpgrades = true
		case "lease":
			f.Lease = fields(rest, 2)[0]
		case "modphp":
			r.web.module = phpVersionIn(rest)
			r.web.hasModule = true
		case "snap":
			r.web.snap = true
		default:
			if strings.HasPrefix(key, "/") {
				f.Tools[path.Base(key)] = key
			}
		}
	})
	f.PackageManager = packageManager(f.OS.ID+" "+like, f.Tools)
	if f.BootID == "" {
		r.problem("boot id: /proc/sys/kernel/random/boot_id cannot be read")
	}
}

// unquoteOS removes the quotes of a value in os-release.
func unquoteOS(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		s = s[1 : len(s)-1]
	}
	return strings.NewReplacer(`\"`, `"`, `\$`, `$`, `\\`, `\`, "\\`", "`").Replace(s)
}

// families lists package managers by the ID and ID_LIKE of os-release.
var families = []struct{ manager, tool, ids string }{
	{"apt", "apt-get", " debian ubuntu devuan raspbian linuxmint "},
	{"dnf", "dnf", " rhel fedora centos rocky almalinux ol amzn "},
	{"dnf", "yum", " rhel fedora centos rocky almalinux ol amzn "},
	{"zypper", "zypper", " suse opensuse sles opensuse-leap opensuse-tumbleweed "},
	{"apk", "apk", " alpine "},
}

// packageManager prefers the system's own family: an apt may be installed on
// a Fedora. Without a known family the first tool found counts.
func packageManager(ids string, tools map[string]string) string {
	for _, id := range strings.Fields(ids) {
		for _, f := range families {
			if strings.Contains(f.ids, " "+id+" ") && tools[f.tool] != "" {
				return f.manager
			}
		}
	}
	for _, f := range families {
		if tools[f.tool] != "" {
			return f.manager
		}
	}
	return ""
}

// mounts reads df and the kernel's table of mounts.
func (r *reader) mounts() {
	var wants [][2]string // path wanted, existing ancestor asked about
	var bytesOf, inodesOf []dfLine
	table := map[string][2]string{} // mount point → type, options
	section := ""
	records(r.parts["df"].out, func(key, rest string) {
		switch {
		case key == "want" && section == "":
			p := fields(rest, 2)
			wants = append(wants, [2]string{cleanDir(p[0]), p[1]})
		case key == "df-k" || key == "df-i" || key == "mounts":
			section = key
		case section == "df-k":
			if d, ok := parseDF(key); ok {
				bytesOf = append(bytesOf, d)
			}
		case section == "df-i":
			if d, ok := parseDF(key); ok {
				inodesOf = append(inodesOf, d)
			}
		case section == "mounts":
			if w := strings.Fields(key); len(w) >= 4 {
				table[unescapeMount(w[1])] = [2]string{w[2], w[3]}
			}
		}
	})
	inodes := map[string]dfLine{}
	for _, d := range inodesOf {
		inodes[d.mount] = d
	}
	have := map[string]bool{}
	for _, d := range bytesOf {
		if have[d.mount] {
			continue
		}
		have[d.mount] = true
		m := plan.Mount{Path: d.mount, Device: d.device, InodesFree: -1,
			BytesFree: d.free * 1024, BytesTotal: d.total * 1024}
		if i, ok := inodes[d.mount]; ok && i.total > 0 {
			m.InodesFree = i.free
		}
		m.FSType = table[d.mount][0]
		m.ReadOnly = hasOption(table[d.mount][1], "ro")
		r.facts.Mounts = append(r.facts.Mounts, m)
	}
	if len(wants) == len(bytesOf) {
		r.linkedMounts(wants, bytesOf)
	}
	sort.Slice(r.facts.Mounts, func(i, j int) bool { return r.facts.Mounts[i].Path < r.facts.Mounts[j].Path })
}

// linkedMounts adds a mount for each wanted path that a symbolic link leads to
// another file system than its name says.
func (r *reader) linkedMounts(wants [][2]string, found []dfLine) {
	for i, w := range wants {
		if m := r.facts.Mount(w[0]); m != nil && m.Path == found[i].mount {
			continue
		}
		for _, m := range r.facts.Mounts {
			if m.Path == found[i].mount {
				m.Path = w[0]
				r.facts.Mounts = append(r.facts.Mounts, m)
				break
			}
		}
	}
}

type dfLine struct {
	device, mount string
	total, free   int64
}

// parseDF reads one line of df -P: three numbers and a percentage stand
// between the device and the mount point, both of which may hold spaces.
func parseDF(line string) (dfLine, bool) {
	words := strings.Fields(line)
	for i := 4; i < len(words)-1; i++ {
		if words[i] != "-" && !strings.HasSuffix(words[i], "%") {
			continue
		}
		total, ok1 := dfNumber(words[i-3])
		_, ok2 := dfNumber(words[i-2])
		free, ok3 := dfNumber(words[i-1])
		if ok1 && ok2 && ok3 {
			return dfLine{device: strings.Join(words[:i-3], " "), mount: strings.Join(words[i+1:], " "),
				total: total, free: max(0, free)}, true
		}
	}
	return dfLine{}, false
}

func dfNumber(s string) (int64, bool) {
	if s == "-" {
		return 0, true
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n < 1<<50
}

func hasOption(options, want string) bool {
	for _, o := range strings.Split(options, ",") {
		if o == want {
			return true
		}
	}
	return false
}

// unescapeMount undoes the octal escapes of /proc/mounts.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

func cleanDir(p string) string {
	if t := strings.TrimRight(p, "/"); t != "" {
		return t
	}
	return "/"
}

// reach reads the attempts to reach the download sources and app stores.
func (r *reader) reach() {
	for i := 0; ; i++ {
		o, ok := r.parts["reach-"+strconv.Itoa(i)]
		if !ok {
			break
		}
		r.facts.Downloads = append(r.facts.Downloads, attempt(o))
	}
	for i := range r.host.Instances {
		a := attempt(r.parts["shop-"+strconv.Itoa(i)])
		if a.URL != "" && !slices.ContainsFunc(r.facts.Downloads, func(d plan.Reach) bool { return d.URL == a.URL }) {
			r.facts.Downloads = append(r.facts.Downloads, a)
		}
	}
}

// attempt reads one attempt to reach a URL.
func attempt(o output) plan.Reach {
	reach := plan.Reach{Detail: "no answer within 30 s"}
	records(o.out, func(key, rest string) {
		switch key {
		case "url":
			reach.URL = rest
		case "reach":
			p := fields(rest, 4)
			reach.Tool = p[0]
			status, took, _ := strings.Cut(p[2], " ")
			reach.Status, _ = strconv.Atoi(status)
			if s, err := strconv.ParseFloat(took, 64); err == nil && s < 3600 {
				reach.Millis = int64(s * 1000)
			}
			reach.OK = p[1] == "0" && reach.Status >= 200 && reach.Status < 400
			reach.Detail = oneLine([]byte(p[3]))
			if reach.Detail == "" && !reach.OK {
				reach.Detail = p[0] + " ended with " + p[1] + ", HTTP status " + status
			}
		}
	})
	return reach
}
