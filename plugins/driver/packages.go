package driver

import (
	"context"
	"time"
)

// Change classifies a pending package change.
type Change string

// The classes of change. An update stays within a product's major; an upgrade
// moves to the next one (MySQL 5.6 to 5.7, PHP 8.2 to 8.3) and is only done
// when the rollout names it.
const (
	ChangeUpdate  Change = "update"
	ChangeUpgrade Change = "upgrade"
	ChangeInstall Change = "install" // pulled in by another change
	ChangeRemove  Change = "remove"  // never done; shown as held
)

// PackageChange is one pending change of one package.
type PackageChange struct {
	Name     string
	From     string // "" for a new package
	To       string // "" for a removal
	Change   Change
	Product  string `json:",omitempty"` // "mariadb", "php", "postgresql": whose major moves
	Security bool   `json:",omitempty"`
	Held     bool   `json:",omitempty"` // will not be changed by Compile
	Reason   string `json:",omitempty"` // why held, or why an upgrade
}

// PackageFacts is the state of a host's packages as its probes showed it.
type PackageFacts struct {
	Pending []PackageChange // sorted by name
	Broken  []string        `json:",omitempty"` // half installed or half configured
	// Lock is the process that holds the package manager's lock, "" if none.
	Lock           string   `json:",omitempty"`
	RebootRequired bool     `json:",omitempty"`
	Problems       []string `json:",omitempty"` // unreachable repository, unsigned index …
	// Stale names the services that still run code from before an update, a
	// program by its path where no service is known. Sorted.
	Stale []string `json:",omitempty"`
	// ReleaseSteps is what a person does, in order, to move the system to its
	// next release; no driver does it. Set when the package sources are of the
	// next release or the request names the product "os".
	ReleaseSteps []string `json:",omitempty"`
	// Installed has the version of every installed package, by the name that
	// changes have; told when the request asks for it.
	Installed map[string]string `json:",omitempty"`
	// Offered has by package all versions newer than the installed one to which
	// a pending change could go, oldest first; told when the request asks for it.
	// Of a package that is not in it, the change's own version alone is offered.
	Offered map[string][]string `json:",omitempty"`
}

// Selection is the exact set of changes a plan decided on.
type Selection struct {
	Changes []PackageChange
	// LockWait limits how long a command waits for another package process; 0
	// leaves it to the driver's own configuration, which has a limit too.
	LockWait time.Duration
}

// Commands are the compiled command lines, each run as root, in order, until one
// fails. A command may tell the operator something by lines of its own on
// standard output: "ncfleet: note TEXT", "ncfleet: degraded TEXT" for what was
// left undone, and, before it fails, "ncfleet: error TEXT" with the cause and
// the remedy.
type Commands struct {
	Stage  []Command // download only; the target is still open
	Apply  []Command // install exactly the selection
	Repair []Command // bring half-configured packages to rest after an interruption
}

// ProbeRequest says what the probes are to find.
type ProbeRequest struct {
	// Refresh lets the probes renew the package index first.
	Refresh bool
	// Upgrades names the products whose next major is wanted ("php").
	Upgrades []string
	// Installed asks for every installed package's version, Offered for all
	// versions to which a pending change could go.
	Installed, Offered bool
}

// PackageManager compiles command lines and parses their output. It has no
// side effects at all and needs no credentials. The same input always gives
// the same output.
type PackageManager interface {
	Driver
	// Probes returns read-only commands (but for the index, when Refresh is
	// set) that run on the host in order, whatever each one's exit status.
	Probes(ctx context.Context, r ProbeRequest) ([]Command, error)
	// Facts reads the results of those very commands, in the same order.
	Facts(ctx context.Context, r ProbeRequest, results []Result) (PackageFacts, error)
	// Compile returns the commands for the selection. An empty selection gives
	// no commands. Removals are refused with an error of class Permanent.
	Compile(ctx context.Context, s Selection) (Commands, error)
}
