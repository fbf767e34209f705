package sim

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
)

// The answer of the survey's operation ncfleet-facts; its package documents it.
type factsAnswer struct {
	Ncfleet     int             `json:"ncfleet"`
	DataDir     string          `json:"datadir"`
	AppsDirs    string          `json:"appsdirs"`
	Version     string          `json:"version"`
	Installed   bool            `json:"installed"`
	Maintenance bool            `json:"maintenance"`
	Channel     string          `json:"channel"`
	AppsPaths   []factsAppsPath `json:"appspaths"`
	Settings    factsSettings   `json:"settings"`
	Database    factsDatabase   `json:"database"`
	PHP         factsPHP        `json:"php"`
	Apps        []factsApp      `json:"apps"`
	Leftovers   []string        `json:"leftovers"`
	Problems    []string        `json:"problems"`
}

type factsAppsPath struct {
	Path     string `json:"path"`
	Writable bool   `json:"writable"`
}

type factsSettings struct {
	ReadOnly    bool     `json:"readonly"`
	AppStore    bool     `json:"appstore"`
	AppStoreURL string   `json:"appstoreurl"`
	URL         string   `json:"url"`
	Domains     []string `json:"domains"`
	LogLevel    string   `json:"loglevel"`
	LogFile     string   `json:"logfile"`
	DisableWeb  bool     `json:"disableweb"`
	Extra       []string `json:"extra"`
}

type factsDatabase struct {
	Kind    string `json:"kind"`
	Server  string `json:"server"`
	Version string `json:"version"`
	Name    string `json:"name"`
	Bytes   int64  `json:"bytes"`
	Problem string `json:"problem"`
}

type factsPHP struct {
	Binary  string   `json:"binary"`
	Version string   `json:"version"`
	Memory  string   `json:"memory"`
	Modules []string `json:"modules"`
}

type factsApp struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Path    string `json:"path"`
	Min     string `json:"min"`
	Max     string `json:"max"`
	Shipped bool   `json:"shipped"`
	Enabled bool   `json:"enabled"`
	DB      string `json:"db"`
}

// facts answers ncfleet-facts PATH.
func (p *process) facts(root string) error {
	s, err := loadSite(p.host, root, "")
	if err != nil {
		return err
	}
	c := s.conf
	answer := factsAnswer{
		Ncfleet: 1, DataDir: s.data(), AppsDirs: filepath.Join(root, "apps"), Version: c.text("version"),
		Installed: c.truth("installed", false), Maintenance: c.truth("maintenance", false), Channel: c.text("updater.release.channel"),
		AppsPaths: []factsAppsPath{{filepath.Join(root, "apps"), true}},
		Settings: factsSettings{
			ReadOnly: c.truth("config_is_read_only", false), AppStore: c.truth("appstoreenabled", true), AppStoreURL: c.text("appstoreurl"),
			URL: c.text("overwrite.cli.url"), Domains: c.list("trusted_domains"), LogLevel: c.text("loglevel"),
			LogFile: filepath.Join(s.data(), "nextcloud.log"), DisableWeb: c.truth("upgrade.disable-web", false), Extra: s.extra,
		},
		Database:  factsDatabase{Kind: "sqlite3", Name: c.text("dbname"), Bytes: -1},
		PHP:       factsPHP{Binary: p.host.at("bin", "php"), Version: p.host.PHP, Memory: memoryLimit, Modules: phpModules},
		Leftovers: []string{}, Problems: []string{},
	}
	db, err := s.database()
	if err != nil {
		answer.Database.Problem = err.Error()
		db = &database{}
	} else {
		answer.Database.Server, answer.Database.Version = "SQLite", "3.40.1"
		if info, err := os.Stat(s.databaseFile()); err == nil {
			answer.Database.Bytes = info.Size()
		}
	}
	if answer.Apps, err = s.factsApps(db); err != nil {
		answer.Problems = append(answer.Problems, err.Error())
	}
	steps, _ := filepath.Glob(filepath.Join(s.data(), "updater-*", ".step"))
	answer.Leftovers = append(answer.Leftovers, steps...)
	p.say("%s\n", jsonText(answer))
	return nil
}

func (s *site) factsApps(db *database) ([]factsApp, error) {
	apps, err := s.apps()
	out := make([]factsApp, 0, len(apps))
	for _, a := range apps {
		out = append(out, factsApp{ID: a.ID, Version: a.Version, Path: a.Dir, Min: a.Min, Max: a.Max,
			Shipped: a.Shipped, Enabled: a.enabled(db), DB: db.Apps[a.ID].Version})
	}
	return out, err
}

// newerInStore is the version of an app that the store has for this instance,
// "" when it has none that is newer.
func (s *site) newerInStore(a app) string {
	to := s.host.Store[a.ID]
	if to == "" || a.Shipped || !s.conf.truth("appstoreenabled", true) || nextcloud.CompareDotted(to, a.Version) <= 0 {
		return ""
	}
	return to
}

// updateFiles gives an app's files another version.
func (a app) updateFiles(to string) error {
	file := filepath.Join(a.Dir, "appinfo", "info.xml")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return replaceFile(file, strings.Replace(string(text), "<version>"+a.Version+"</version>", "<version>"+to+"</version>", 1))
}
