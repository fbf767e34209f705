// Package zypper is the package driver "zypper" for SUSE Linux Enterprise and
// openSUSE.
//
// It writes command lines and reads their XML; it never runs anything. It
// refuses to remove a package, to move a product to its next major unless the
// rollout names the product, to change a locked package, to import a signing
// key, to agree to a licence (unless agree_licenses is set) and to move the
// system to its next release or service pack.
//
// A transaction is resolved first and refused when it is not the planned one,
// and the installed versions are compared with the planned ones at the end. The
// security level follows the patches of category security. New packages that an
// update brings count as installed by hand, for zypper has no way to say
// otherwise.
//
// Configuration files follow rpm's own rule, for which there is no switch: a
// locally changed file stays and the new one lies beside it as FILE.rpmnew,
// unless the packager decided otherwise (then the changed one is FILE.rpmsave).
package zypper

import (
	"context"
	_ "embed"
	"strconv"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/packages"
	"github.com/ncfleet/ncfleet/plugins/rpm"
	"github.com/ncfleet/ncfleet/plugins/stale"
)

// Name is the driver's name in an inventory.
const Name = "zypper"

// Bounds of single commands. They end only what hangs.
const (
	probeTimeout   = 5 * time.Minute
	refreshTimeout = 15 * time.Minute
	stageTimeout   = 2 * time.Hour
	applyTimeout   = 4 * time.Hour
)

// probeLockWait is how long a probe waits for another package process.
const probeLockWait = 10 * time.Second

//go:embed transaction.sh
var transactionScript string

// New returns the driver, not yet configured.
func New() driver.PackageManager {
	return &zypper{Settings: packages.Defaults()}
}

type zypper struct {
	packages.Settings
	agree bool // to the licences of packages
}

// Info describes the driver.
func (z *zypper) Info(context.Context) (driver.Info, error) {
	return driver.Info{
		Name: Name, Version: "1", Kind: driver.KindPackages,
		Schema: driver.Schema{Attributes: append(packages.Attributes(""),
			driver.Attribute{Name: "agree_licenses", Type: "bool", Default: "false", Help: "Whether to agree to the licences that packages ask about; without it such a package fails the update."},
		)},
	}, nil
}

// Configure checks the operator's settings.
func (z *zypper) Configure(_ context.Context, c driver.Config) (err error) {
	if v, ok := c["agree_licenses"].(bool); ok {
		z.agree = v
	}
	z.Settings, err = packages.Read(c)
	return err
}

// environment is set for every command: English output, and a lock that is
// waited for within a limit.
func environment(wait time.Duration) map[string]string {
	return map[string]string{"LC_ALL": "C.UTF-8", "LANGUAGE": "C", "ZYPP_LOCK_TIMEOUT": seconds(wait)}
}

// query is a command that asks the index as it is on disk, for XML.
func query(words ...string) []string {
	return append([]string{"zypper", "--non-interactive", "--no-refresh", "--xmlout"}, words...)
}

// Probes returns the commands whose results Facts reads.
func (z *zypper) Probes(_ context.Context, r driver.ProbeRequest) ([]driver.Command, error) {
	var out []driver.Command
	if r.Refresh {
		out = append(out, z.transaction(refreshTimeout+z.LockWait, z.LockWait, "refresh"))
	}
	dry := []string{"--dry-run", "--no-recommends", "--auto-agree-with-licenses"}
	for _, argv := range [][]string{
		rpm.Query(),
		query("list-updates", "--all"),
		query(append([]string{"update"}, dry...)...),
		query("patch", "--dry-run", "--category", "security", "--with-interactive", "--auto-agree-with-licenses"),
		query("locks"),
		query("verify", "--dry-run"),
		query("needs-rebooting"),
	} {
		out = append(out, driver.Command{Env: environment(probeLockWait), Argv: argv, User: "root", Timeout: probeTimeout})
	}
	return append(out, driver.Command{
		Env: environment(probeLockWait), Argv: []string{"sh", "-s"}, Stdin: []byte(rpm.HostScript), User: "root", Timeout: probeTimeout,
	}, stale.Probe()), nil
}

// transaction runs the script with a verb and its operands.
func (z *zypper) transaction(limit, wait time.Duration, verb string, words ...string) driver.Command {
	env := environment(wait)
	if z.agree {
		env["NCFLEET_AGREE_LICENSES"] = "1"
	}
	argv := append([]string{"sh", "-s", "--", verb}, words...)
	return driver.Command{Env: env, Argv: argv, Stdin: []byte(transactionScript), User: "root", Timeout: limit}
}

// Compile writes the commands for a selection.
func (z *zypper) Compile(_ context.Context, s driver.Selection) (driver.Commands, error) {
	words, _, err := rpm.Words(s)
	if err != nil || len(words) == 0 {
		return driver.Commands{}, err
	}
	wait := s.LockWait
	if wait <= 0 {
		wait = z.LockWait
	}
	return driver.Commands{
		Stage:  []driver.Command{z.transaction(stageTimeout+wait, wait, "stage", words...)},
		Apply:  []driver.Command{z.transaction(applyTimeout+wait, wait, "apply", words...), z.Services.After()},
		Repair: []driver.Command{z.transaction(applyTimeout+wait, wait, "repair")},
	}, nil
}

// seconds writes a duration in whole seconds, rounded up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
