// Package driver is the contract between the controller and its drivers.
//
// Two kinds of driver exist. A [PackageManager] compiles and parses: it never
// sees a host, it returns command lines and reads their output, so that its
// crash strands nobody and the plan can show every argv. A [Snapshotter] acts:
// it captures and restores the state of a target through its provider or,
// through the [Runner] it is handed, on the host itself.
//
// # What every driver promises
//
// Idempotency. Two calls with one key, or one handle, have the effect of one and
// the same answer, whether they come one after another, at the same time, from
// one process or from two. Nothing in a driver's memory is needed to find what
// it began: the key, the handle and the provider are enough.
//
// Interruption. A call may end anywhere: its context is cancelled, the host is
// lost, the driver or the controller is killed. What was begun is then found
// again by its key and completed, or cleared and redone; half a snapshot is
// never taken for a whole one. A driver heeds ctx wherever it waits.
//
// Errors. An [Error] of class Retryable or Quota may be called again, not
// earlier than its After; an error of the Runner is Retryable. Auth, NotFound
// and everything without a class are final: the step fails, and the target is
// rolled back or halts. An error says what happened, where, and how to mend
// it, and never holds a secret.
//
// Side by side. All targets of a rollout share one process. Calls of several
// keys and hosts run at the same time; nothing of a call is kept in the
// driver's own fields.
//
// # What every driver may assume
//
// Configure comes once, before all but Info, with a block that fits the schema.
// Paths are absolute, and on the host that the call's Runner reaches. Calls of
// one key never overlap within one process (plugins/rpc sees to that). The
// controller holds the host's lease, and from Create to the end of Restore the
// target is closed. It may not assume an environment, a working directory, a
// home, or that its process lives until the next call.
//
// # Capabilities
//
// Info.Capabilities names what not every driver does. A driver that names one
// it does not have is worse than one that does not name it.
//
//	prepare   snapshot   Prepare does something: it is called ahead, while users still work.
//	machine   snapshot   Restore takes the whole machine back and restarts it. The Runner
//	                     fails meanwhile; the controller waits for another boot id and
//	                     takes its lease again.
//
// A package driver names none; what it knows it says in its facts, such as
// [PackageFacts.Stale] (services that still run old code) and
// [PackageFacts.ReleaseSteps]. Empty means none were found, or that it cannot
// look.
//
// The package holds words only and imports nothing but the standard library;
// it refuses to know gRPC (see plugins/rpc), inventories or plans.
package driver

import (
	"context"
	"time"
)

// ProtocolVersion is the version of this contract spoken on the wire.
const ProtocolVersion = 1

// Kind is a driver's role.
type Kind string

// The kinds of driver.
const (
	KindPackages Kind = "packages"
	KindSnapshot Kind = "snapshot"
)

// The capabilities that the controller knows.
const (
	// CapabilityPrepare: Prepare does something.
	CapabilityPrepare = "prepare"
	// CapabilityMachine: Restore takes the whole machine back to the moment of
	// the snapshot, whatever the subject's places are, and restarts it. The
	// Runner fails while the machine is away, and Restore returns when the
	// provider says that it runs; repeated, it restarts the machine again. The
	// controller then waits for the host to answer, demands another boot id, and
	// takes its lease there again: what it kept on the host is as old as the
	// snapshot. No plan uses it for one of several instances of a host.
	CapabilityMachine = "machine"
)

// Info is what a driver says of itself before it is configured.
type Info struct {
	Name    string // as in the inventory: driver "snapshot" "archive"
	Version string // of the driver itself, for people and the lock file
	Kind    Kind
	// Capabilities names optional behaviour; the package comment lists them.
	// Unknown names are ignored.
	Capabilities []string
	Schema       Schema
}

// Has reports whether the driver declares the capability.
func (i Info) Has(capability string) bool {
	for _, c := range i.Capabilities {
		if c == capability {
			return true
		}
	}
	return false
}

// Schema is the shape of a driver's configuration block. The controller checks
// the operator's block against it and reports errors with file and line; a
// driver never sees an unknown attribute or a wrong type.
type Schema struct {
	Attributes []Attribute
}

// Attribute is one setting of a driver.
type Attribute struct {
	Name     string
	Type     string // "string", "number", "bool", "duration" or "list(string)"
	Required bool
	Secret   bool // a secret("…") reference is resolved and sent over the wire only
	Default  string
	Help     string // one sentence, shown in diagnostics
}

// Config is a validated configuration block: string, float64, bool or
// []string by attribute name; a duration arrives as its string ("90s").
type Config map[string]any

// Driver is what both kinds share.
type Driver interface {
	// Info must answer without configuration and without side effects.
	Info(ctx context.Context) (Info, error)
	// Configure is called once, before any other call but Info. It checks what
	// the schema cannot say; it may contact the provider to check credentials.
	Configure(ctx context.Context, c Config) error
}

// Command is one command line for a host. Argv is never interpreted by a
// shell: the controller quotes it. Secrets go into Stdin or Env, never Argv.
type Command struct {
	Argv    []string
	Env     map[string]string `json:",omitempty"` // set for this command only
	Stdin   []byte            `json:",omitempty"`
	User    string            `json:",omitempty"` // "" the login user; else through sudo ("root", the web user)
	Dir     string            `json:",omitempty"` // working directory, absolute
	Timeout time.Duration     `json:",omitempty"` // 0 means the caller's
}

// Result is what a command left behind. A Result with a non-zero Exit is not
// an error: the caller reads the world, not exit codes alone.
type Result struct {
	Exit   int // 128+n when killed by signal n; -1 when unknown
	Stdout []byte
	Stderr []byte
}

// Runner runs commands on the one host a driver call is about. The controller
// provides it; each Run is bounded by its command's timeout.
type Runner interface {
	Run(ctx context.Context, c Command) (Result, error)
}
