// Package apt is the package driver "apt" for Debian, Ubuntu and their kin.
//
// It writes command lines and reads their output; it never runs anything. It
// refuses to remove a package, to move a product to its next major unless the
// rollout names the product (an upgrade), and to change a held package.
//
// What is pending comes from simulations, which apt keeps stable, and never
// from "apt list". The exact versions found are the ones installed:
//
//	apt-get install … --no-remove libssl3=3.0.15-1~deb12u1 openssl=3.0.15-1~deb12u1
//
// New packages are marked as automatically installed afterwards, as they would
// be when apt itself had pulled them in.
package apt

import (
	"context"
	_ "embed"
	"strconv"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/packages"
	"github.com/ncfleet/ncfleet/plugins/stale"
)

// Name is the driver's name in an inventory.
const Name = "apt"

// Bounds of single commands. They end only what hangs.
const (
	probeTimeout   = 2 * time.Minute
	refreshTimeout = 10 * time.Minute
	stageTimeout   = 2 * time.Hour
	applyTimeout   = 4 * time.Hour
)

//go:embed host.sh
var hostScript string

//go:embed offered.sh
var offeredScript string

//go:embed repair.sh
var repairScript string

// New returns the driver, not yet configured.
func New() driver.PackageManager {
	return &apt{Settings: packages.Defaults(), conffiles: "old"}
}

type apt struct {
	packages.Settings
	conffiles string // "old" or "new"
}

// Info describes the driver.
func (a *apt) Info(context.Context) (driver.Info, error) {
	return driver.Info{
		Name: Name, Version: "1", Kind: driver.KindPackages,
		Schema: driver.Schema{Attributes: append(packages.Attributes(""),
			driver.Attribute{Name: "conffiles", Type: "string", Default: "old", Help: `Which version of a locally changed configuration file stays: "old" or "new".`},
		)},
	}, nil
}

// Configure checks the operator's settings.
func (a *apt) Configure(_ context.Context, c driver.Config) (err error) {
	if v, ok := c["conffiles"].(string); ok && v != "" {
		if v != "old" && v != "new" {
			return driver.Errorf(driver.Permanent, `conffiles = %q: write "old" or "new"`, v)
		}
		a.conffiles = v
	}
	a.Settings, err = packages.Read(c)
	return err
}

// environment is set for every command: nobody is there to answer a question,
// services are listed but not restarted by needrestart, output is in English.
func (a *apt) environment() map[string]string {
	return map[string]string{
		"DEBIAN_FRONTEND":          "noninteractive",
		"NEEDRESTART_MODE":         "l",
		"APT_LISTCHANGES_FRONTEND": "none",
		"APT_LISTBUGS_FRONTEND":    "none",
		"UCF_FORCE_CONFF" + map[string]string{"old": "OLD", "new": "NEW"}[a.conffiles]: "1",
		"LC_ALL": "C",
	}
}

// lockTimeout is the option that makes apt wait, in whole seconds, rounded up.
func lockTimeout(d time.Duration) string {
	return "DPkg::Lock::Timeout=" + strconv.FormatInt(ceilSeconds(d), 10)
}

func ceilSeconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}

// statusFormat is what dpkg-query prints of each package.
const statusFormat = `${binary:Package}\t${Version}\t${db:Status-Abbrev}\t${source:Package}\n`

// Probes returns the commands whose results Facts reads.
func (a *apt) Probes(_ context.Context, r driver.ProbeRequest) ([]driver.Command, error) {
	env := map[string]string{"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
	simulate := []string{"apt-get", "-s", "-o", "Debug::NoLocking=1", "-o", "APT::Get::Show-Versions=1"}
	commands := [][]string{
		append(simulate[:len(simulate):len(simulate)], "upgrade", "--with-new-pkgs"),
		append(simulate[:len(simulate):len(simulate)], "dist-upgrade"),
		{"dpkg-query", "-W", "-f", statusFormat},
		{"apt-mark", "showhold"},
		{"dpkg", "--audit"},
	}
	var out []driver.Command
	if r.Refresh {
		// Without Error-Mode an unreachable repository is a warning and exit 0.
		out = append(out, driver.Command{Env: env, User: "root", Timeout: refreshTimeout, Argv: []string{
			"apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Retries=2", "-o", lockTimeout(a.LockWait)}})
	}
	for _, argv := range commands {
		out = append(out, driver.Command{Env: env, Argv: argv, User: "root", Timeout: probeTimeout})
	}
	out = append(out, driver.Command{
		Env: env, Argv: []string{"sh", "-s"}, Stdin: []byte(hostScript), User: "root", Timeout: probeTimeout,
	}, stale.Probe())
	if r.Offered {
		out = append(out, driver.Command{
			Env: env, Argv: []string{"sh", "-s"}, Stdin: []byte(offeredScript), User: "root", Timeout: probeTimeout,
		})
	}
	return out, nil
}
