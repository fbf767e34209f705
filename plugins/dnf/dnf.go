// Package dnf is the package driver "dnf" for Fedora, Red Hat Enterprise Linux
// and their kin, where yum is dnf by another name. It speaks dnf 4; a host that
// has only yum 3 is reported as unreadable, and dnf 5 was never tried.
//
// It writes command lines and reads their output; it never runs anything. It
// refuses to remove or replace a package, to move a product to its next major
// unless the rollout names the product, to change a package that versionlock or
// an exclude keeps, and to move the system to its next release.
//
// Three things dnf does silently are made loud. A repository that cannot be
// reached fails the refresh instead of being skipped. A transaction is resolved
// first and refused when it is not the planned one. And a scriptlet that fails
// fails the step, though dnf itself ends with status 0; the installed versions
// are compared with the planned ones in any case.
//
// Configuration files follow rpm's own rule, for which there is no switch: a
// locally changed file stays and the new one lies beside it as FILE.rpmnew,
// unless the packager decided otherwise (then the changed one is FILE.rpmsave).
package dnf

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
const Name = "dnf"

// Bounds of single commands. They end only what hangs.
const (
	probeTimeout   = 5 * time.Minute
	refreshTimeout = 15 * time.Minute
	stageTimeout   = 2 * time.Hour
	applyTimeout   = 4 * time.Hour
)

//go:embed transaction.sh
var transactionScript string

// New returns the driver, not yet configured.
func New() driver.PackageManager {
	return &dnf{packages.Defaults()}
}

type dnf struct{ packages.Settings }

// Info describes the driver.
func (d *dnf) Info(context.Context) (driver.Info, error) {
	return driver.Info{
		Name: Name, Version: "1", Kind: driver.KindPackages,
		Schema: driver.Schema{Attributes: packages.Attributes("")},
	}, nil
}

// Configure checks the operator's settings.
func (d *dnf) Configure(_ context.Context, c driver.Config) (err error) {
	d.Settings, err = packages.Read(c)
	return err
}

// environment is set for every command: output is in English and of a known
// width, Python's too.
func environment() map[string]string {
	return map[string]string{"LC_ALL": "C.UTF-8", "LANGUAGE": "C", "COLUMNS": "200"}
}

// loud makes an unreachable repository an error, in whatever way a repository
// file asks for silence, and a held lock an exit status instead of a wait
// without end.
var loud = []string{"--setopt=skip_if_unavailable=0", "--setopt=*.skip_if_unavailable=0", "--setopt=exit_on_lock=1", "--color=never"}

// query is a command that asks the index as it is on disk.
func query(words ...string) []string {
	return append(append([]string{"dnf", "-C"}, loud...), words...)
}

// simulate is an update of everything that ends before it begins.
func simulate(obsoletes string) []string {
	return query("--assumeno", "--nobest", "--setopt=install_weak_deps=0", "--setopt=obsoletes="+obsoletes, "upgrade")
}

const candidateFormat = `%{name}\t%{evr}\t%{arch}\t%{repoid}\n`

// Probes returns the commands whose results Facts reads.
func (d *dnf) Probes(_ context.Context, r driver.ProbeRequest) ([]driver.Command, error) {
	var out []driver.Command
	if r.Refresh {
		out = append(out, d.transaction(refreshTimeout+d.LockWait, d.LockWait, "refresh"))
	}
	for _, argv := range [][]string{
		rpm.Query(),
		query("-q", "--disableexcludes=all", "repoquery", "--upgrades", "--qf", candidateFormat),
		simulate("0"),
		simulate("1"),
		query("-q", "updateinfo", "list", "--security"),
		query("-q", "versionlock", "list"),
		query("-q", "check", "--dependencies", "--duplicates"),
		query("-q", "needs-restarting", "-r"),
	} {
		out = append(out, driver.Command{Env: environment(), Argv: argv, User: "root", Timeout: probeTimeout})
	}
	return append(out, driver.Command{
		Env: environment(), Argv: []string{"sh", "-s"}, Stdin: []byte(rpm.HostScript), User: "root", Timeout: probeTimeout,
	}, stale.Probe()), nil
}

// transaction runs the script with a verb and its operands.
func (d *dnf) transaction(limit, wait time.Duration, verb string, words ...string) driver.Command {
	argv := append([]string{"sh", "-s", "--", verb, seconds(wait)}, words...)
	return driver.Command{Env: environment(), Argv: argv, Stdin: []byte(transactionScript), User: "root", Timeout: limit}
}

// seconds writes a duration in whole seconds, rounded up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
