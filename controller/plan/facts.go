package plan

import (
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Facts is what one survey saw on one host, and when.
type Facts struct {
	Host   string
	SeenAt time.Time // by the controller's clock, UTC
	// Unreachable is the error when the host could not be surveyed at all.
	Unreachable string `json:",omitempty"`
	// SudoRefusal says why, when it was sudo that refused: "not allowed",
	// "missing", "wrong password", "requiretty", "unknown user" or "failed".
	SudoRefusal string `json:",omitempty"`

	OS             OS
	BootID         string
	UptimeSeconds  int64
	Systemd        bool   `json:",omitempty"`
	PackageManager string // "apt", "dnf", "zypper", "apk", "" unknown
	// Packages is nil when no package driver was asked.
	Packages *driver.PackageFacts `json:",omitempty"`
	Mounts   []Mount              // sorted by path
	Rivals   []Rival              `json:",omitempty"`
	// UnattendedUpgrades is whether apt's own timer installs updates.
	UnattendedUpgrades bool              `json:",omitempty"`
	Processes          []Process         `json:",omitempty"`
	Downloads          []Reach           `json:",omitempty"`
	Tools              map[string]string `json:",omitempty"` // name → absolute path: tar, bzip2, unzip, curl, mariadb-dump …
	// Lease is the holder of the host's lease as found, "" when free.
	Lease     string `json:",omitempty"`
	Instances []InstanceFacts
	// Problems are what the survey itself could not find out.
	Problems []string `json:",omitempty"`
}

// Instance returns the facts of the instance of that name, or nil.
func (f *Facts) Instance(name string) *InstanceFacts {
	for i := range f.Instances {
		if f.Instances[i].Name == name {
			return &f.Instances[i]
		}
	}
	return nil
}

// Mount returns the mount that holds path: the longest that is its prefix.
func (f *Facts) Mount(path string) *Mount {
	var best *Mount
	for i := range f.Mounts {
		m := &f.Mounts[i]
		if within(path, m.Path) && (best == nil || len(m.Path) > len(best.Path)) {
			best = m
		}
	}
	return best
}

func within(path, dir string) bool {
	if dir == "/" || path == dir {
		return true
	}
	return len(path) > len(dir) && path[:len(dir)] == dir && path[len(dir)] == '/'
}

// OS names the operating system as /etc/os-release does.
type OS struct {
	ID      string // "debian"
	Version string // "12"
	Name    string // "Debian GNU/Linux 12 (bookworm)"
	Kernel  string
	Arch    string // uname -m
}

// Mount is a file system that holds something that matters.
type Mount struct {
	Path       string
	Device     string
	FSType     string
	BytesFree  int64 // available to root, as df -P says
	BytesTotal int64
	InodesFree int64 // -1 when the file system does not count them
	ReadOnly   bool  `json:",omitempty"`
}

// Rival is something on the host that may update it by itself.
type Rival struct {
	Kind   string // "cron", "timer", "service", "process"
	Name   string // unit name, or file
	Where  string // absolute path of the file, "" for a unit
	Line   string // the cron line, whole
	Active bool
	// Instance is set when it touches one instance alone.
	Instance string `json:",omitempty"`
}

// Process is a running process that must not be disturbed.
type Process struct {
	PID     int
	Kind    string // "occ", "cron", "updater", "packages"
	User    string
	Command string
}

// Reach is one attempt to reach a URL from the host.
type Reach struct {
	URL    string
	OK     bool
	Status int    // HTTP status, 0 when none came
	Detail string // the tool's own words on failure
	Millis int64
	// Tool is the program of the host that tried: "curl", "wget", "php".
	Tool string `json:",omitempty"`
}

// InstanceFacts is what a survey saw of one instance.
type InstanceFacts struct {
	Name string
	Path string
	// Missing says why there is no readable installation at Path, "" when there is one.
	Missing string `json:",omitempty"`

	Code           nextcloud.Version // version.php: what the code is
	Config         nextcloud.Version // config.php version: what the database is
	Channel        string
	UpgradableFrom []string // version.php $OC_VersionCanBeUpgradedFrom: "28.0", "29.0"
	Installed      bool
	Maintenance    bool
	NeedsDBUpgrade bool
	// StatusProblem is occ status's complaint when it did not answer properly.
	StatusProblem string `json:",omitempty"`

	WebUser  string // owner of config/config.php
	WebGroup string
	DataDir  string
	// TreeIsLink is the target when Path is a symbolic link.
	TreeIsLink string `json:",omitempty"`
	Database   Database
	AppsPaths  []AppsPath
	Settings   Settings
	PHP        PHP
	Apps       []App // sorted by ID
	Dirs       []Dir // every directory an upgrade writes, sorted by path
	TreeBytes  int64
	TreeFiles  int64
	// Leftovers are files that tell of an interrupted upgrade: updater .step, staged or old trees.
	Leftovers []string `json:",omitempty"`
	// Crontab lists where background jobs are started: file or "crontab of USER", and the line.
	Crontab []Rival `json:",omitempty"`
	// SetupChecks maps class → severity before the rollout, when asked for.
	SetupChecks map[string]string `json:",omitempty"`
	// MissingIndices are "index of table", when asked for.
	MissingIndices []string `json:",omitempty"`
}

// Database names an instance's database without its credentials.
type Database struct {
	Kind    string // "sqlite3", "mysql", "pgsql", "oci"
	Server  string // "MariaDB", "MySQL", "PostgreSQL", "SQLite"
	Version string // "10.11.19"
	Host    string
	Name    string
	Bytes   int64  // -1 unknown
	Problem string `json:",omitempty"` // it could not be reached, with the reason
}

// AppsPath is one entry of config.php's apps_paths, or the tree's apps/.
type AppsPath struct {
	Path     string
	Writable bool // as config.php says
	Inside   bool // lies inside the code tree
}

// Settings are the values of config.php that matter for an upgrade.
type Settings struct {
	ReadOnlyConfig  bool     `json:",omitempty"`
	AppStoreEnabled bool     // default true
	AppStoreURL     string   `json:",omitempty"`
	ObjectStore     string   `json:",omitempty"` // class of objectstore(_multibucket)
	URL             string   `json:",omitempty"` // overwrite.cli.url
	TrustedDomains  []string `json:",omitempty"`
	LogLevel        string   `json:",omitempty"` // "" when not set
	LogFile         string   `json:",omitempty"`
	DisableWebUp    bool     `json:",omitempty"` // upgrade.disable-web
	ExtraConfigs    []string `json:",omitempty"` // config/*.config.php
	Cluster         bool     `json:",omitempty"` // memcache.locking on a remote Redis: other web hosts may exist
}

// PHP is the command line PHP and what is known of the web's.
type PHP struct {
	Path        string
	Version     string // "8.2.36"
	Modules     []string
	MemoryLimit string // of the command line, as php -i says
	// Reload lists argv to make the web's PHP forget old code, by what was found.
	Reload [][]string
	// Web is the version of PHP-FPM or mod_php found, "" unknown.
	Web string `json:",omitempty"`
	// ScanDir is where the command line's php.ini may be added to.
	ScanDir string `json:",omitempty"`
	// FPM is what the files of PHP-FPM say for this instance, nil unknown.
	FPM *WebPHP `json:",omitempty"`
}

// WebPHP is the PHP-FPM that serves an instance, as its files are now: the
// pool's own lines, the tree's .user.ini and php.ini.
type WebPHP struct {
	PoolFile       string
	ScanDir        string `json:",omitempty"` // where its php.ini may be added to
	MemoryLimit    string
	PoolSetsMemory bool `json:",omitempty"` // the pool's own lines set it
	Opcache        bool `json:",omitempty"` // compiled files are kept
	// ChecksFiles is whether kept files are compared with those on disk, at most
	// every RecheckSeconds.
	ChecksFiles    bool `json:",omitempty"`
	RecheckSeconds int  `json:",omitempty"`
}

// App is an installed app.
type App struct {
	ID      string
	Version string // of the files, info.xml
	// DatabaseVersion is installed_version; differs from Version while an update is pending.
	DatabaseVersion string `json:",omitempty"`
	Enabled         bool
	Shipped         bool
	Path            string
	MinNextcloud    string // info.xml <nextcloud min-version>, "" unset
	MaxNextcloud    string
	MinPHP          string `json:",omitempty"`
	MaxPHP          string `json:",omitempty"`
	// Update is the version the app store offers, "" none or unknown.
	Update string `json:",omitempty"`
}

// Dir is a directory that the web user must be able to write.
type Dir struct {
	Path     string
	Owner    string
	Group    string
	Mode     string // "0750"
	Writable bool   // tried as the web user
	Why      string // what an upgrade writes there
}
