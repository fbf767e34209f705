package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// envHost names the folder of the simulated host to its stand-ins.
const envHost = "NCFLEET_SIM_HOST"

// Fault is something that goes wrong on a simulated host.
type Fault string

// The faults.
const (
	UpgradeFails    Fault = "upgrade-fails"      // occ upgrade ends with 5 in an app's migration
	UpgradeKilled   Fault = "upgrade-killed"     // occ upgrade dies by SIGKILL half way
	DirNotWritable  Fault = "dir-not-writable"   // the app directory is closed to the web user
	DiskFull        Fault = "disk-full"          // df shows next to no room
	MirrorAway      Fault = "mirror-unreachable" // the release mirror refuses this host
	PHPTooOld       Fault = "php-too-old"        // PHP 8.0, too old for Nextcloud 30 and later
	AppIncompatible Fault = "app-incompatible"   // an enabled app that supports 28 at most
	Slow            Fault = "slow"               // every PHP call and web page takes its time
	GateFails       Fault = "gate-fails"         // after the upgrade pages answer 500
	HostGone        Fault = "host-gone"          // nothing listens on its SSH port
)

// Faults lists all faults.
func Faults() []Fault {
	return []Fault{UpgradeFails, UpgradeKilled, DirNotWritable, DiskFull, MirrorAway, PHPTooOld,
		AppIncompatible, Slow, GateFails, HostGone}
}

// hostConf is what a host's stand-ins know of it, in host.json.
type hostConf struct {
	Name    string
	Faults  []Fault
	PHP     string // version
	Ring    string
	Site    string
	SSHPort int
	WebPort int
	Mirror  string // URL of the release mirror
	AppURL  string // of the app store
	// UpgradeSeconds is how long occ upgrade takes.
	UpgradeSeconds float64
	// Store maps an app to the newest version that the app store offers.
	Store map[string]string

	dir string
}

func (h *hostConf) has(f Fault) bool { return slices.Contains(h.Faults, f) }

func (h *hostConf) at(elements ...string) string {
	return filepath.Join(append([]string{h.dir}, elements...)...)
}

// tree, data and state are the paths that the inventory names or implies.
func (h *hostConf) tree() string  { return h.at("srv", "nextcloud") }
func (h *hostConf) data() string  { return h.at("srv", "data") }
func (h *hostConf) state() string { return h.at("state") }
func (h *hostConf) url() string   { return fmt.Sprintf("http://127.0.0.1:%d", h.WebPort) }

// drag is what a slow host costs per call.
func (h *hostConf) drag() {
	if h.has(Slow) {
		time.Sleep(300 * time.Millisecond)
	}
}

func loadHost(dir string) (*hostConf, error) {
	text, err := os.ReadFile(filepath.Join(dir, "host.json"))
	if err != nil {
		return nil, fmt.Errorf("cannot read the simulated host: %w", err)
	}
	h := &hostConf{}
	if err := json.Unmarshal(text, h); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", filepath.Join(dir, "host.json"), err)
	}
	h.dir = dir
	return h, nil
}

func (h *hostConf) save() error {
	text, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(h.at("host.json"), string(text)+"\n", 0o600)
}

// writeFile makes missing folders too.
func writeFile(path, text string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// replaceFile changes a file whole or not at all and keeps its mode.
func replaceFile(path, text string) error {
	mode := os.FileMode(0o640)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	part, err := os.CreateTemp(filepath.Dir(path), ".part-*")
	if err != nil {
		return err
	}
	_, err = part.WriteString(text)
	if e := part.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Chmod(part.Name(), mode)
	}
	if err == nil {
		err = os.Rename(part.Name(), path)
	}
	if err != nil {
		os.Remove(part.Name())
	}
	return err
}
