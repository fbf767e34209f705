package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Where things are unless the caller says otherwise.
const (
	DefaultDir   = "/var/lib/ncfleet-lab"
	DefaultCache = DefaultDir + "/cache"
)

// MaxHosts is the most hosts of one lab.
const MaxHosts = 90

// The lab's own network. It exists in the lab's namespace only, so that two
// labs and the machine's own networks may use the same addresses.
const (
	gateway  = "10.77.0.1"
	netBits  = "/16"
	webPort  = "8080"
	webBase  = "http://" + gateway + ":" + webPort
	template = "10.77.255.254" // stands for a host's address in a template
)

// Lab is one lab by its folder.
type Lab struct {
	dir, cache string
	holder     []string // the command line that becomes the holder
	log        io.Writer
}

// Options say where a lab is. Zero values are the defaults.
type Options struct {
	Dir, Cache string
	// Holder is the command line that runs Serve for this lab; the lab's folder
	// and cache are given to it as --dir and --cache. Needed by Up only.
	Holder []string
	// Log takes lines about progress.
	Log io.Writer
}

// New returns the lab of a folder, which need not exist yet.
func New(o Options) (*Lab, error) {
	l := &Lab{dir: o.Dir, cache: o.Cache, holder: o.Holder, log: o.Log}
	if l.dir == "" {
		l.dir = DefaultDir
	}
	if l.cache == "" {
		l.cache = DefaultCache
	}
	if l.log == nil {
		l.log = io.Discard
	}
	for _, p := range []*string{&l.dir, &l.cache} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return nil, fmt.Errorf("cannot find the folder %s: %w", *p, err)
		}
		if strings.ContainsAny(abs, ":,\\$% \t\n\"'") {
			return nil, fmt.Errorf("cannot use the folder %q: mount options and inventories take no colon, comma, blank, quote, backslash, dollar or percent sign; choose another --dir or --cache", abs)
		}
		*p = abs
	}
	return l, nil
}

// Dir is the lab's folder.
func (l *Lab) Dir() string { return l.dir }

// Inventory is the path of the inventory that Up writes.
func (l *Lab) Inventory() string { return filepath.Join(l.dir, "fleet.hcl") }

// KeyFile is the private key of the user ops on every host.
func (l *Lab) KeyFile() string { return filepath.Join(l.dir, "id_ed25519") }

// KnownHosts is the file of the hosts' keys.
func (l *Lab) KnownHosts() string { return filepath.Join(l.dir, "known_hosts") }

// PasswordFile holds the password of the user ada of every Nextcloud.
func (l *Lab) PasswordFile() string { return filepath.Join(l.dir, "ada-password") }

func (l *Lab) run(name string) string { return filepath.Join(l.dir, "run", name) }

func (l *Lab) say(format string, args ...any) { fmt.Fprintf(l.log, format+"\n", args...) }

// groupPrefix begins the names of all labs' control groups.
const groupPrefix = "ncfleet-lab-"

// Group is the name of this lab's control groups.
func (l *Lab) Group() string {
	sum := sha256.Sum256([]byte(l.dir))
	return groupPrefix + hex.EncodeToString(sum[:4])
}

// state is what a lab is made of, written before it is made.
type state struct {
	Began     time.Time
	Root      string            // the shared lower file system
	Packages  string            // the stages of the apt repository
	Layers    map[string]string // distribution → what lies on the root, of those that are not Debian
	Releases  string            // the folder of release archives
	Store     string            // the folder of the app store, "" = an empty store
	Official  bool              // releases are official ones
	Nextcloud string            // the version that is installed
	Goal      string            // the major that the inventory's rollout goes to
	Templates map[string]string // database → image of a data disk
	Passing   string            // the database password inside the templates
	Database  string            // the database password of this lab
	Hosts     []hostState
}

type hostState struct{ Name, Address, Distro, DB, Disk string }

// ErrNoLab says that no lab is up in this folder.
var ErrNoLab = errors.New("no lab is up")

func (l *Lab) load() (*state, error) {
	data, err := os.ReadFile(l.run("lab.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s; bring one up with: ncfleet-lab up 3%s", ErrNoLab, l.dir, l.flags())
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the lab's state: %w", err)
	}
	var st state
	if err := json.Unmarshal(data, &st); err != nil {
		return nil, fmt.Errorf("cannot read the lab's state %s: %w; remove the lab with: ncfleet-lab down%s", l.run("lab.json"), err, l.flags())
	}
	return &st, nil
}

func (l *Lab) save(st *state) error {
	data, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(l.run("lab.json"), append(data, '\n'), 0o600)
}

// flags are the flags that name this lab on a command line.
func (l *Lab) flags() string {
	text := ""
	if l.dir != DefaultDir {
		text += " --dir " + l.dir
	}
	if l.cache != DefaultCache {
		text += " --cache " + l.cache
	}
	return text
}

// writeFile replaces a file as a whole.
func writeFile(path string, data []byte, mode os.FileMode) error {
	if err := os.WriteFile(path+".new", data, mode); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
