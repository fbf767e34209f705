// Package apk is the package driver "apk" for Alpine Linux, with apk-tools 2.
//
// It writes command lines and reads their output; it never runs anything. It
// refuses to remove a package, to move a product to its next major unless the
// rollout names the product, to change a package that /etc/apk/world pins, and
// to move the system to its next release (the branch in /etc/apk/repositories).
//
// Alpine publishes no security data that apk could read: no change is ever
// marked as a security update, so the level "security" finds nothing here; use
// the level "update".
//
// A branch of Alpine keeps only the newest version of a package. The planned
// version is therefore installed or nothing is: the driver downloads into a
// cache of its own and uses the index that the plan was made from, resolves
// first, and refuses when the transaction is not the planned one. The world
// file is never changed.
//
// Configuration files follow apk's own rule, for which there is no switch: a
// locally changed file below /etc stays and the new one lies beside it as
// FILE.apk-new.
package apk

import (
	"context"
	_ "embed"
	"regexp"
	"sort"
	"strconv"
	"time"

	apkversion "github.com/knqyf263/go-apk-version"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/packages"
	"github.com/ncfleet/ncfleet/plugins/stale"
)

// Name is the driver's name in an inventory.
const Name = "apk"

// Bounds of single commands. They end only what hangs.
const (
	probeTimeout   = 2 * time.Minute
	refreshTimeout = 10 * time.Minute
	stageTimeout   = 2 * time.Hour
	applyTimeout   = 2 * time.Hour
)

// probeLockWait is how long a probe waits for another package process.
const probeLockWait = 10 * time.Second

//go:embed transaction.sh
var transactionScript string

//go:embed host.sh
var hostScript string

// New returns the driver, not yet configured.
func New() driver.PackageManager {
	return &apk{packages.Defaults()}
}

type apk struct{ packages.Settings }

// Info describes the driver.
func (a *apk) Info(context.Context) (driver.Info, error) {
	return driver.Info{
		Name: Name, Version: "1", Kind: driver.KindPackages,
		Schema: driver.Schema{Attributes: packages.Attributes(`Alpine has no security data: with the level "security" nothing is updated.`)},
	}, nil
}

// Configure checks the operator's settings.
func (a *apk) Configure(_ context.Context, c driver.Config) (err error) {
	a.Settings, err = packages.Read(c)
	return err
}

// Probes returns the commands whose results Facts reads.
func (a *apk) Probes(_ context.Context, r driver.ProbeRequest) ([]driver.Command, error) {
	var out []driver.Command
	if r.Refresh {
		out = append(out, script(refreshTimeout+a.LockWait, a.LockWait, "refresh"))
	}
	return append(out,
		driver.Command{Argv: []string{"apk", "info", "-v"}, User: "root", Timeout: probeTimeout},
		driver.Command{Argv: []string{"cat", "/etc/apk/world"}, User: "root", Timeout: probeTimeout},
		script(probeTimeout, probeLockWait, "newer"),
		script(probeTimeout, probeLockWait, "simulate"),
		script(probeTimeout, probeLockWait, "check"),
		driver.Command{Argv: []string{"sh", "-s"}, Stdin: []byte(hostScript), User: "root", Timeout: probeTimeout},
		stale.Probe(),
	), nil
}

// script runs the driver's script with a verb and its operands.
func script(limit, wait time.Duration, verb string, words ...string) driver.Command {
	seconds := strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)
	return driver.Command{Argv: append([]string{"sh", "-s", "--", verb, seconds}, words...), Stdin: []byte(transactionScript), User: "root", Timeout: limit}
}

var (
	packageName    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]*$`)
	packageVersion = regexp.MustCompile(`^[0-9][0-9A-Za-z._~]*(?:-r[0-9]+)?$`)
)

// maxWords bounds the packages of one command line, in bytes. There is no
// second command: all packages are one transaction.
const maxWords = 100_000

// Compile writes the commands for a selection.
func (a *apk) Compile(_ context.Context, s driver.Selection) (driver.Commands, error) {
	words, err := selected(s)
	if err != nil || len(words) == 0 {
		return driver.Commands{}, err
	}
	wait := s.LockWait
	if wait <= 0 {
		wait = a.LockWait
	}
	return driver.Commands{
		Stage:  []driver.Command{script(stageTimeout+wait, wait, "stage", words...)},
		Apply:  []driver.Command{script(applyTimeout+wait, wait, "apply", words...), a.Services.After()},
		Repair: []driver.Command{script(applyTimeout+wait, wait, "repair")},
	}, nil
}

// selected checks the selection and returns NAME=VERSION words, sorted.
func selected(s driver.Selection) ([]string, error) {
	var words []string
	seen, size := map[string]bool{}, 0
	for _, c := range s.Changes {
		if c.Held {
			continue
		}
		switch c.Change {
		case driver.ChangeUpdate, driver.ChangeUpgrade, driver.ChangeInstall:
		case driver.ChangeRemove:
			return nil, driver.Errorf(driver.Permanent, "removing %s is refused: packages are never removed", c.Name)
		default:
			return nil, driver.Errorf(driver.Permanent, "package %s: unknown change %q", c.Name, c.Change)
		}
		if !packageName.MatchString(c.Name) || !packageVersion.MatchString(c.To) {
			return nil, driver.Errorf(driver.Permanent, "package %q at version %q is no name and version of an Alpine package", c.Name, c.To)
		}
		if seen[c.Name] {
			return nil, driver.Errorf(driver.Permanent, "package %s is selected twice", c.Name)
		}
		seen[c.Name] = true
		words = append(words, c.Name+"="+c.To)
		size += len(c.Name) + len(c.To) + 2
	}
	if size > maxWords {
		return nil, driver.Errorf(driver.Permanent, "%d packages are too many for one transaction: update this host by hand once, or select fewer", len(words))
	}
	sort.Strings(words)
	return words, nil
}

func less(a, b string) bool {
	va, errA := apkversion.NewVersion(a)
	vb, errB := apkversion.NewVersion(b)
	return errA == nil && errB == nil && va.LessThan(vb)
}
