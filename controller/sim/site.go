package sim

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
)

// site is one look at an installation: its code, its configuration and its
// database, as PHP would see them at that moment.
type site struct {
	host   *hostConf
	root   string
	conf   *phpArray // config.php and its *.config.php together
	extra  []string  // the *.config.php
	code   nextcloud.VersionPHP
	bounds nextcloud.PHPBounds
	closed bool // maintenance, after NC_maintenance
}

// loadSite reads the tree at root. override is the value of NC_maintenance,
// "" when it is not set.
func loadSite(h *hostConf, root, override string) (*site, error) {
	s := &site{host: h, root: root}
	var err error
	if s.conf, s.extra, err = readConfigs(filepath.Join(root, "config"), ""); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, "version.php"))
	if err != nil {
		return nil, err
	}
	if s.code, err = nextcloud.ParseVersionPHP(text); err != nil {
		return nil, err
	}
	if text, err := os.ReadFile(filepath.Join(root, "lib", "versioncheck.php")); err == nil {
		s.bounds, _ = nextcloud.ParseVersionCheckPHP(text)
	}
	s.closed = s.conf.truth("maintenance", false)
	if override != "" {
		s.closed = override != "0" && override != "false"
	}
	return s, nil
}

// readConfigs merges config.php with the *.config.php beside it, but for those
// whose names begin with skip.
func readConfigs(dir, skip string) (*phpArray, []string, error) {
	main := filepath.Join(dir, "config.php")
	text, err := os.ReadFile(main)
	if err != nil {
		return nil, nil, err
	}
	all, err := parseConfig(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", main, err)
	}
	extra, _ := filepath.Glob(filepath.Join(dir, "*.config.php"))
	sort.Strings(extra)
	for _, f := range extra {
		if skip != "" && strings.HasPrefix(filepath.Base(f), skip) {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			continue // removed meanwhile
		}
		if more, err := parseConfig(text); err == nil {
			for _, e := range more.entries {
				all.set(e.key, e.value)
			}
		}
	}
	return all, extra, nil
}

func (s *site) configFile() string { return filepath.Join(s.root, "config", "config.php") }

func (s *site) data() string {
	if d := s.conf.text("datadirectory"); d != "" {
		return strings.TrimRight(d, "/")
	}
	return filepath.Join(s.root, "data")
}

func (s *site) databaseFile() string {
	name := s.conf.text("dbname")
	if name == "" {
		name = "owncloud"
	}
	return filepath.Join(s.data(), name+".db")
}

func (s *site) database() (*database, error) { return readDatabase(s.databaseFile()) }

// installed is the version that config.php says, which is the database's.
func (s *site) installed() nextcloud.Version {
	v, _ := nextcloud.ParseVersion(s.conf.text("version"))
	return v
}

// changeConfig sets keys of config.php alone; a nil value removes a key.
func (s *site) changeConfig(keys map[string]any) error {
	text, err := os.ReadFile(s.configFile())
	if err != nil {
		return err
	}
	c, err := parseConfig(text)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(keys))
	for k := range keys {
		names = append(names, k)
	}
	sort.Strings(names)
	for _, k := range names {
		if keys[k] == nil {
			c.unset(k)
		} else {
			c.set(k, keys[k])
		}
	}
	return replaceFile(s.configFile(), configText(c))
}

// app is one app's files.
type app struct {
	ID, Version, Dir string
	Min, Max         string
	Shipped, Always  bool
}

// infoXML is the part of an info.xml that counts.
type infoXML struct {
	ID           string `xml:"id"`
	Version      string `xml:"version"`
	Dependencies struct {
		Nextcloud struct {
			Min string `xml:"min-version,attr"`
			Max string `xml:"max-version,attr"`
		} `xml:"nextcloud"`
	} `xml:"dependencies"`
}

// shippedList is the part of core/shipped.json that counts.
type shippedList struct {
	ShippedApps   []string `json:"shippedApps"`
	AlwaysEnabled []string `json:"alwaysEnabled"`
}

// apps lists the apps whose files are there, by name.
func (s *site) apps() ([]app, error) {
	var shipped shippedList
	if text, err := os.ReadFile(filepath.Join(s.root, "core", "shipped.json")); err == nil {
		if err := json.Unmarshal(text, &shipped); err != nil {
			return nil, fmt.Errorf("core/shipped.json: %w", err)
		}
	}
	ours, always := map[string]bool{}, map[string]bool{}
	for _, id := range shipped.ShippedApps {
		ours[id] = true
	}
	for _, id := range shipped.AlwaysEnabled {
		always[id] = true
	}
	files, err := filepath.Glob(filepath.Join(s.root, "apps", "*", "appinfo", "info.xml"))
	if err != nil {
		return nil, err
	}
	sort.Strings(files)
	var out []app
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		var x infoXML
		if err := xml.Unmarshal(text, &x); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		dir := filepath.Dir(filepath.Dir(f))
		id := filepath.Base(dir)
		out = append(out, app{ID: id, Version: x.Version, Dir: dir, Min: x.Dependencies.Nextcloud.Min,
			Max: x.Dependencies.Nextcloud.Max, Shipped: ours[id], Always: always[id]})
	}
	return out, nil
}

func (a app) enabled(db *database) bool { return a.Always || db.Apps[a.ID].Enabled }

// fits reports whether the app supports the major, by its info.xml.
func (a app) fits(major int) bool {
	low, high := a.Min, a.Max
	m := fmt.Sprint(major)
	return (low == "" || nextcloud.CompareDotted(low, m) <= 0) && (high == "" || nextcloud.CompareDotted(high, m) >= 0)
}

// needsUpgrade is Nextcloud's own rule.
func (s *site) needsUpgrade() bool {
	if s.code.Version.Compare(s.installed()) > 0 {
		return true
	}
	db, err := s.database()
	if err != nil {
		return false
	}
	apps, err := s.apps()
	if err != nil {
		return false
	}
	for _, a := range apps {
		if have := db.Apps[a.ID].Version; a.enabled(db) && have != "" && nextcloud.CompareDotted(a.Version, have) > 0 {
			return true
		}
	}
	return false
}

// refusedPHP is what Nextcloud says when its PHP does not suit it, "" if it does.
func (s *site) refusedPHP() string {
	have := s.host.PHP
	switch {
	case s.bounds.Min != "" && nextcloud.CompareDotted(have, s.bounds.Min) < 0:
		return fmt.Sprintf("This version of Nextcloud requires at least PHP %s<br/>You are currently running %s. Please update your PHP version.", s.bounds.Min, have)
	case s.bounds.Below != "" && nextcloud.CompareDotted(have, s.bounds.Below) >= 0:
		return fmt.Sprintf("This version of Nextcloud is not compatible with PHP>=%s.<br/>You are currently running %s.", s.bounds.Below, have)
	}
	return ""
}

// statusJSON is the answer of occ status and of status.php.
func (s *site) statusJSON() string {
	return fmt.Sprintf(`{"installed":%v,"version":%q,"versionstring":%q,"edition":"","maintenance":%v,"needsDbUpgrade":%v,"productname":"Nextcloud","extendedSupport":false}`,
		s.conf.truth("installed", false), s.code.Version.Long(), s.code.Text, s.closed, s.needsUpgrade())
}

// log appends an entry to nextcloud.log.
func (s *site) log(level int, app, message string) {
	f, err := os.OpenFile(filepath.Join(s.data(), "nextcloud.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, `{"reqId":"sim","level":%d,"time":%q,"app":%q,"method":"","url":"--","message":%s,"version":%q}`+"\n",
		level, now(), app, jsonText(message), s.code.Version.Long())
}
