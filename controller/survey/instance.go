package survey

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/inventory"
)

// answer is the JSON object of ncfleet-facts; see the package comment.
type answer struct {
	DataDir     string `json:"datadir"`
	Version     string `json:"version"`
	Installed   bool   `json:"installed"`
	Maintenance bool   `json:"maintenance"`
	Channel     string `json:"channel"`
	AppsPaths   []struct {
		Path     string `json:"path"`
		Writable bool   `json:"writable"`
	} `json:"appspaths"`
	Settings struct {
		ReadOnly    bool     `json:"readonly"`
		AppStore    bool     `json:"appstore"`
		AppStoreURL string   `json:"appstoreurl"`
		ObjectStore string   `json:"objectstore"`
		URL         string   `json:"url"`
		Domains     []string `json:"domains"`
		LogLevel    string   `json:"loglevel"`
		LogFile     string   `json:"logfile"`
		DisableWeb  bool     `json:"disableweb"`
		Extra       []string `json:"extra"`
		Cluster     bool     `json:"cluster"`
	} `json:"settings"`
	Database plan.Database `json:"database"`
	PHP      struct {
		Version string   `json:"version"`
		Memory  string   `json:"memory"`
		Scan    string   `json:"scan"`
		User    string   `json:"usermemory"`
		Modules []string `json:"modules"`
	} `json:"php"`
	Apps []struct {
		ID      string `json:"id"`
		Version string `json:"version"`
		Path    string `json:"path"`
		Min     string `json:"min"`
		Max     string `json:"max"`
		MinPHP  string `json:"minphp"`
		MaxPHP  string `json:"maxphp"`
		Shipped bool   `json:"shipped"`
		Enabled bool   `json:"enabled"`
		DB      string `json:"db"`
	} `json:"apps"`
	Leftovers []string `json:"leftovers"`
	Problems  []string `json:"problems"`
}

// instances reads the parts of each instance.
func (r *reader) instances() {
	for i, in := range r.host.Instances {
		ir := instanceReader{reader: r, n: strconv.Itoa(i), from: in,
			f: plan.InstanceFacts{Name: in.Name, Path: in.Path}}
		ir.read()
		r.facts.Instances = append(r.facts.Instances, ir.f)
	}
}

type instanceReader struct {
	*reader
	n    string
	from inventory.Instance
	f    plan.InstanceFacts

	uid      string
	parent   string
	versions []string // lines of version.php
	state    map[string]*dirState
	order    []string
	deep     map[string]bool
	// userMemory is the memory limit in the tree's .user.ini.
	userMemory string
}

type dirState struct{ mode, owner, group, writable string }

func (ir *instanceReader) read() {
	o := ir.parts["inst-"+ir.n]
	ir.state = map[string]*dirState{}
	ir.deep = map[string]bool{}
	told := false
	records(o.out, func(key, rest string) {
		if key == "facts" || key == "nofacts" {
			told = true
		}
		ir.record(key, rest)
	})
	if ir.f.Missing == "" && len(ir.versions) == 0 {
		ir.f.Missing = fmt.Sprintf("%s could not be looked at", ir.f.Path)
	}
	if ir.f.Missing != "" {
		return
	}
	if !told {
		ir.complainFor("its PHP did not say anything about it")
	}
	ir.code()
	ir.status()
	ir.dirs()
	ir.reloads()
	records(ir.parts["tree-"+ir.n].out, func(key, rest string) {
		if key == "tree" {
			p := fields(rest, 2)
			ir.f.TreeBytes, ir.f.TreeFiles = atoi64(p[0]), atoi64(p[1])
		}
	})
	ir.extras()
	sort.Strings(ir.f.Leftovers)
}

func (ir *instanceReader) complainFor(format string, a ...any) {
	ir.problem("instance %s: %s", ir.f.Name, fmt.Sprintf(format, a...))
}

func (ir *instanceReader) record(key, rest string) {
	switch key {
	case "missing":
		ir.f.Missing = rest
	case "link":
		ir.f.TreeIsLink = rest
	case "v":
		ir.versions = append(ir.versions, rest)
	case "owner":
		p := fields(rest, 3)
		ir.f.WebUser, ir.f.WebGroup, ir.uid = p[0], p[1], p[2]
	case "user":
		if ir.from.WebUser != "" {
			ir.f.WebUser = rest
		}
	case "php":
		ir.f.PHP.Path = rest
	case "facts":
		ir.answer(rest)
	case "nofacts":
		p := fields(rest, 2)
		why := p[1]
		if p[0] == "124" || p[0] == "137" {
			why = fmt.Sprintf("no answer within %s s; is the database or a file system hanging? %s", seconds(factsLimit), why)
		}
		ir.complainFor("%s as %s could not read its configuration (exit status %s): %s", ir.f.PHP.Path, ir.f.WebUser, p[0], why)
	case "deep":
		ir.deep[rest] = true
	case "w":
		p := fields(rest, 2)
		ir.dir(p[1]).writable = p[0]
	case "parent":
		p := fields(rest, 2)
		ir.parent = p[1]
		ir.dir(p[1]).writable = p[0]
	case "s":
		p := fields(rest, 4)
		d := ir.dir(p[3])
		d.mode, d.owner, d.group = p[0], p[1], p[2]
	case "leftover":
		ir.f.Leftovers = append(ir.f.Leftovers, rest)
	}
}

func (ir *instanceReader) dir(path string) *dirState {
	if d := ir.state[path]; d != nil {
		return d
	}
	d := &dirState{}
	ir.state[path] = d
	ir.order = append(ir.order, path)
	return d
}

// answer takes over what PHP said.
func (ir *instanceReader) answer(text string) {
	var a answer
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		ir.complainFor("the answer of its PHP cannot be read: %v", err)
		return
	}
	f := &ir.f
	if v, err := nextcloud.ParseVersion(a.Version); err == nil {
		f.Config = v
	} else if a.Version != "" {
		ir.complainFor("config.php: %v", err)
	}
	f.Installed, f.Maintenance, f.Channel, f.DataDir = a.Installed, a.Maintenance, a.Channel, a.DataDir
	f.Database = a.Database
	s := a.Settings
	f.Settings = plan.Settings{
		ReadOnlyConfig: s.ReadOnly, AppStoreEnabled: s.AppStore, AppStoreURL: s.AppStoreURL,
		ObjectStore: s.ObjectStore, URL: s.URL, TrustedDomains: s.Domains, LogLevel: s.LogLevel,
		LogFile: s.LogFile, DisableWebUp: s.DisableWeb, ExtraConfigs: s.Extra, Cluster: s.Cluster,
	}
	f.PHP.Version, f.PHP.MemoryLimit, f.PHP.Modules = a.PHP.Version, a.PHP.Memory, a.PHP.Modules
	f.PHP.ScanDir, ir.userMemory = a.PHP.Scan, a.PHP.User
	sort.Strings(f.PHP.Modules)
	for _, p := range a.AppsPaths {
		f.AppsPaths = append(f.AppsPaths, plan.AppsPath{Path: p.Path, Writable: p.Writable,
			Inside: inside(p.Path, f.Path) || (f.TreeIsLink != "" && inside(p.Path, f.TreeIsLink))})
	}
	f.Apps = make([]plan.App, 0, len(a.Apps))
	for _, p := range a.Apps {
		f.Apps = append(f.Apps, plan.App{ID: p.ID, Version: p.Version, DatabaseVersion: p.DB, Enabled: p.Enabled,
			Shipped: p.Shipped, Path: p.Path, MinNextcloud: p.Min, MaxNextcloud: p.Max, MinPHP: p.MinPHP, MaxPHP: p.MaxPHP})
	}
	sort.Slice(f.Apps, func(i, j int) bool { return f.Apps[i].ID < f.Apps[j].ID })
	f.Leftovers = append(f.Leftovers, a.Leftovers...)
	for _, p := range a.Problems {
		ir.complainFor("%s", clip(p, 400))
	}
}

// code reads version.php.
func (ir *instanceReader) code() {
	v, err := nextcloud.ParseVersionPHP([]byte(strings.Join(ir.versions, "\n")))
	if err != nil {
		ir.complainFor("%s/version.php: %v", ir.f.Path, err)
		return
	}
	ir.f.Code, ir.f.UpgradableFrom = v.Version, v.UpgradableFrom
	if ir.f.Channel == "" {
		ir.f.Channel = v.Channel
	}
}

// status reads occ status; config.php and version.php stand in for it.
func (ir *instanceReader) status() {
	o, ok := ir.parts["status-"+ir.n]
	f := &ir.f
	s, err := nextcloud.ParseStatus(o.out)
	switch {
	case err == nil:
		f.Installed, f.Maintenance, f.NeedsDBUpgrade = s.Installed, s.Maintenance, s.NeedsDBUpgrade
		if f.Code.Zero() {
			f.Code = s.Version
		}
		return
	case !ok || o.rc == "late" || o.rc == "124" || o.rc == "137":
		f.StatusProblem = "occ status did not answer within 30 s"
	default:
		said := oneLine(append(append([]byte{}, o.out...), o.err...))
		if said == "" {
			said = "it said nothing"
		}
		f.StatusProblem = fmt.Sprintf("occ status ended with %s: %s", o.rc, said)
	}
	f.NeedsDBUpgrade = !f.Config.Zero() && f.Code.Compare(f.Config) > 0
	for _, a := range f.Apps {
		if a.Enabled && a.DatabaseVersion != "" && a.DatabaseVersion != a.Version {
			f.NeedsDBUpgrade = true
		}
	}
}

// dirs lists what an upgrade writes. What lies below an app directory that is
// closed as a whole is left out: it would only repeat it.
func (ir *instanceReader) dirs() {
	var closed []string
	for _, p := range ir.f.AppsPaths {
		if d := ir.state[p.Path]; d != nil && d.writable == "n" {
			closed = append(closed, p.Path)
		}
	}
	for _, path := range ir.order {
		d := ir.state[path]
		if ir.deep[path] && below(path, closed) {
			continue
		}
		mode := d.mode
		if len(mode) == 3 {
			mode = "0" + mode
		}
		ir.f.Dirs = append(ir.f.Dirs, plan.Dir{Path: strings.ReplaceAll(path, "\x01", "\n"), Owner: d.owner,
			Group: d.group, Mode: mode, Writable: d.writable == "y", Why: ir.why(path)})
	}
	sort.Slice(ir.f.Dirs, func(i, j int) bool { return ir.f.Dirs[i].Path < ir.f.Dirs[j].Path })
}

func (ir *instanceReader) why(path string) string {
	f := &ir.f
	switch path {
	case ir.parent:
		return "the new code tree is unpacked and swapped in here, by root"
	case f.Path:
		return "the code tree: occ upgrade rewrites .htaccess"
	case f.Path + "/config":
		return "config.php is written by way of this directory"
	case f.Path + "/config/config.php":
		return "occ upgrade writes the new version into it"
	case f.Path + "/themes":
		return "themes are carried over"
	case f.Path + "/updater":
		return "the updater is replaced with the code"
	case f.DataDir:
		return "the data directory: app data, caches, the log"
	}
	for _, p := range f.AppsPaths {
		if path == p.Path && p.Writable {
			return "apps are updated here"
		}
		if path == p.Path {
			return "apps that config.php declares as not writable: only a new code tree changes them"
		}
	}
	if path == f.Path+"/apps" {
		return "the shipped apps"
	}
	if inside(path, f.Path+"/config") {
		return "part of the configuration, not the web user's own"
	}
	return "part of an app, which an update replaces"
}

// reloads says how the web's PHP forgets old code.
func (ir *instanceReader) reloads() {
	uid := ir.uid
	if ir.from.WebUser != "" {
		for u, name := range ir.users {
			if name == ir.f.WebUser {
				uid = u
			}
		}
	}
	ir.f.PHP.Reload, ir.f.PHP.Web = ir.reload(uid, ir.f.WebUser)
	ir.f.PHP.FPM = ir.webPHP(ir.f.WebUser, ir.userMemory)
	if len(ir.from.Reload) > 0 {
		ir.f.PHP.Reload = [][]string{ir.from.Reload}
	}
}

// extras reads the setup checks and the app store's answer, when asked for.
func (ir *instanceReader) extras() {
	if o, ok := ir.parts["checks-"+ir.n]; ok {
		checks, err := nextcloud.ParseSetupChecks(o.out)
		if err != nil {
			ir.complainFor("%v (exit status %s)", err, o.rc)
		}
		ir.f.SetupChecks = checks
	}
	if o, ok := ir.parts["indices-"+ir.n]; ok {
		if o.rc == "0" {
			ir.f.MissingIndices = nextcloud.ParseMissingIndices(o.out)
		} else if ir.f.StatusProblem == "" {
			ir.complainFor("the missing indices could not be asked for (exit status %s): %s", o.rc, oneLine(append(append([]byte{}, o.out...), o.err...)))
		}
	}
	o, ok := ir.parts["store-"+ir.n]
	if !ok {
		return
	}
	if o.rc != "0" {
		ir.complainFor("the app store could not be asked (exit status %s): %s", o.rc, oneLine(append(append([]byte{}, o.out...), o.err...)))
		return
	}
	newer := nextcloud.ParseAppUpdates(o.out)
	for i := range ir.f.Apps {
		ir.f.Apps[i].Update = newer[ir.f.Apps[i].ID]
	}
}

func inside(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// below reports whether path lies in one of dirs, and is none of them.
func below(path string, dirs []string) bool {
	for _, d := range dirs {
		if path != d && inside(path, d) {
			return true
		}
	}
	return false
}

// atoi64 reads a number, 0 when it is none.
func atoi64(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}
