package plan

import (
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// FormatVersion is the version of the plan's JSON form.
const FormatVersion = 1

// Plan is the frozen decision: apply has no choices left. It is a plain value,
// the same for the same inputs byte by byte.
type Plan struct {
	FormatVersion   int
	Rollout         string
	InventoryDigest string
	// Made is the newest SeenAt of the facts used; the plan itself reads no clock.
	Made time.Time
	// Scripts maps the name of each host script to its SHA-256: a plan is
	// carried out by the scripts it was made with, or not at all.
	Scripts map[string]string
	Drivers []DriverUse
	Policy  Policy
	Waves   []Wave
	// Blocked are targets on which nothing will be done, each with reasons.
	Blocked []Blocked `json:",omitempty"`
	// Idle are selected targets with nothing to do.
	Idle []string `json:",omitempty"`
	// HeldBack has what is pending on idle targets, and why none of it is done.
	HeldBack []HeldBack `json:",omitempty"`
	// Pin says by what versions are bound; nil in a rollout without pins.
	Pin *Pinning `json:",omitempty"`
}

// HeldBack is what is pending on a target with nothing to do, all of it held.
type HeldBack struct {
	Target   string
	Packages []driver.PackageChange
}

// DriverUse names a driver the plan needs and the version it was made with.
type DriverUse struct {
	Kind    string
	Name    string
	Version string
	// Machine: a snapshot driver that puts whole machines back.
	Machine bool `json:",omitempty"`
}

// Policy is how fast and how far a rollout may go.
type Policy struct {
	// MaxUnavailable is the most targets out of service at one instant, failed
	// ones included; at least 1.
	MaxUnavailable int
	// FailureBudget is the number of failures tolerated; one more halts.
	FailureBudget int
	// Ahead is the most targets that may run online steps at once.
	Ahead       int
	SpreadLabel string `json:",omitempty"`
	SpreadMax   int    `json:",omitempty"`
	// Window and MoreWindows are when targets may start, Blackouts when none
	// may; see [Policy.Calendar].
	Window      *Window    `json:",omitempty"`
	MoreWindows []Window   `json:",omitempty"`
	Blackouts   []Blackout `json:",omitempty"`
	// CutOff keeps a target from starting when it is not expected to end before
	// a window does, or a blackout begins, with Reserve left for a way back.
	CutOff      bool          `json:",omitempty"`
	Reserve     time.Duration `json:",omitempty"`
	OnHold      string        // "wait" or "rollback"
	HoldTimeout time.Duration
}

// Window is when targets may start; see inventory.Window.
type Window struct {
	Days []string `json:",omitempty"` // "sat", "second sat", "last sun"; none is every day
	From string   // "22:00"
	To   string   // "04:00", on the next day when not after From
	Zone string
}

// Blackout is a range of dates on which no target starts.
type Blackout struct {
	From   string // "2026-12-24"
	To     string // the last day
	Zone   string
	Reason string
}

// Room is how long a target's opening must last from now on: when it begins,
// for all its work; when it is about to be closed, for its closed time.
func (p *Policy) Room(t *Target, closing bool) time.Duration {
	if !p.CutOff {
		return 0
	}
	seconds := t.ClosedSeconds
	if !closing {
		seconds += t.OnlineSeconds
	}
	return time.Duration(seconds)*time.Second + p.Reserve
}

// Wave is a set of targets that settle before the next wave starts.
type Wave struct {
	Name    string
	Bake    time.Duration
	Approve bool // an operator's approve is needed before this wave starts
	// Approvals is how many different people must approve; see [Wave.Needs].
	Approvals int `json:",omitempty"`
	// ApproveExpires is how long an approval counts, 0 for ever.
	ApproveExpires time.Duration `json:",omitempty"`
	Targets        []Target
	// Gate steps run after the bake time: one look from outside per target.
	Gate []Step
}

// Needs is how many different people must approve the wave before it starts.
func (w *Wave) Needs() int {
	if !w.Approve {
		return 0
	}
	return max(w.Approvals, 1)
}

// Target is one instance, or one host alone.
type Target struct {
	Name     string // "cloud-07" when the host has one instance or none, else "cloud-07/files"
	Host     string
	Instance string // "" for a host alone
	// Spread is the value of the policy's spread label on this host.
	Spread string `json:",omitempty"`
	From   nextcloud.Version
	To     nextcloud.Version
	Hops   []Hop `json:",omitempty"`
	// Packages are all pending changes, the held ones included.
	Packages []driver.PackageChange `json:",omitempty"`
	// Stale are the host's services that already run code from before an update.
	Stale    []string       `json:",omitempty"`
	Apps     []AppChange    `json:",omitempty"`
	Warnings []Problem      `json:",omitempty"`
	Subject  driver.Subject // what snapshots are of
	// Subjects are the instances' subjects, by name, when the target is a host
	// with several instances: its snapshot steps name one of them.
	Subjects map[string]driver.Subject `json:",omitempty"`
	Expect   Expect                    // what must still hold when apply begins
	Steps    []Step                    // in order
	// Undo are the steps that take the target back, in order. One is run when
	// any step it undoes was started.
	Undo []Step
	// ClosedSeconds and OnlineSeconds are estimates for people, from sizes.
	ClosedSeconds int
	OnlineSeconds int
}

// Hop is one legal major step of a core upgrade (or a patch within one major).
type Hop struct {
	From    nextcloud.Version
	To      nextcloud.Version
	Release Release
}

// Release is one release archive, pinned.
type Release struct {
	Version nextcloud.Version // three numbers known, the fourth when the archive was read
	Name    string            // nextcloud-29.0.1.tar.bz2
	URL     string            // or absolute path of a file
	SHA512  string            // hex
	Size    int64             // bytes, -1 unknown
	Signed  bool              // an OpenPGP signature exists beside it
}

// AppChange is what happens to one app.
type AppChange struct {
	ID     string
	From   string
	To     string // "" unknown, or when disabled
	Action string // "update", "disable", "keep"
	Reason string `json:",omitempty"`
}

// Problem is something wrong with a target: what, where, why and what to do.
type Problem struct {
	Code    string // stable word: "dir_not_writable", "disk_full", "php_too_old" …
	Summary string
	Detail  string // full path, owner, mode, numbers
	Remedy  string // the command or the change that fixes it
}

// Blocked is a target that the plan leaves alone.
type Blocked struct {
	Target   string
	Problems []Problem
}

// Phase says whether users are in while a step runs.
type Phase string

// The phases of a target's way.
const (
	PhaseBefore Phase = "before" // users work
	PhaseClosed Phase = "closed" // users see 503
	PhaseAfter  Phase = "after"  // users come back: open itself and what follows
)

// Kind is what a step does; see the runbook in the README.
type Kind string

// The kinds of step, in runbook order.
const (
	KindRecheck  Kind = "recheck"  // facts still as planned?
	KindLease    Kind = "lease"    // one writer per host
	KindHold     Kind = "hold"     // stop rival updaters
	KindStage    Kind = "stage"    // release sent and unpacked beside the tree
	KindFetch    Kind = "fetch"    // packages downloaded only
	KindPrepare  Kind = "prepare"  // the snapshot driver's online part
	KindClose    Kind = "close"    // users out, seen closed
	KindSnapshot Kind = "snapshot" // taken and verified; handle journaled
	KindPackages Kind = "packages" // install exactly the selection
	KindReboot   Kind = "reboot"   // wait for another boot id
	KindHop      Kind = "hop"      // swap, occ upgrade, reload
	KindApps     Kind = "apps"     // update until none is left
	KindInspect  Kind = "inspect"  // the gate behind the private door
	KindOpen     Kind = "open"     // users in
	KindVerify   Kind = "verify"   // from outside
	KindTidy     Kind = "tidy"     // indices, old trees, retention
	KindAbsent   Kind = "absent"   // rival updaters removed for good
	KindRelease  Kind = "release"  // rival updaters as before
	KindUnlease  Kind = "unlease"  // give the host back

	// Undo kinds.
	KindRepair  Kind = "repair"  // packages brought to rest
	KindRestore Kind = "restore" // the snapshot put back
	KindUnstage Kind = "unstage" // staged trees removed
)

// StepID is "wave/target/kind" with "-n" for a repeated kind and "undo-"
// before an undo step's kind: stable, and the idempotency key everywhere.
type StepID = string

// Step is one effect on one target, whole: executing it needs no decision.
type Step struct {
	ID       StepID
	Kind     Kind
	Phase    Phase
	Target   string
	Host     string
	Instance string `json:",omitempty"`
	Title    string // one line for people: "swap in 29.0.1 and run occ upgrade"
	// Script is the name of a host script (package nextcloud) and Args its
	// arguments; it runs as root, detached.
	Script string   `json:",omitempty"`
	Args   []string `json:",omitempty"`
	// Commands run in order, as root, detached as one run (packages).
	Commands []driver.Command `json:",omitempty"`
	// Driver is the driver that compiled Commands or that acts.
	Driver  string   `json:",omitempty"`
	Release *Release `json:",omitempty"`
	// Gate says what inspect and verify must see.
	Gate    *Gate `json:",omitempty"`
	Timeout time.Duration
	// Changes marks a step that changes the target's own state: it never
	// starts before a verified snapshot's handle is in the journal.
	Changes bool `json:",omitempty"`
	// Reruns is how often a hop that was interrupted, and may be run again, is;
	// then it is taken back.
	Reruns int `json:",omitempty"`
	// Undoes lists, in an undo step, the steps whose start makes it needed.
	Undoes []StepID `json:",omitempty"`
}

// Gate is what a closed-door inspection or an outside look must find.
type Gate struct {
	Version       nextcloud.Version
	URL           string            `json:",omitempty"` // outside
	HostHeader    string            `json:",omitempty"` // a trusted domain, for the private door
	Apps          []string          // that must be enabled, sorted
	MayBeDisabled []string          `json:",omitempty"` // planned to be disabled
	Checks        map[string]string `json:",omitempty"` // setup checks before: class → severity
	IgnoreChecks  []string          `json:",omitempty"`
	Pages         []string          `json:",omitempty"`
	WebDAV        bool
	SetupChecks   bool
	Log           bool
	LogFile       string `json:",omitempty"`
	ProbeUser     string `json:",omitempty"`
	ProbePassword string `json:",omitempty"` // a secret's reference, never its value
	// TellApps are the apps whose versions are evidence, for the pins.
	TellApps []string `json:",omitempty"`
}

// Expect is the part of the facts that a target's plan rests on.
type Expect struct {
	BootID         string
	Code           nextcloud.Version
	Config         nextcloud.Version
	Maintenance    bool
	NeedsDBUpgrade bool
	PHP            string
	Database       string // "MariaDB 10.11.19"
	DataDir        string
	WebUser        string
	Apps           map[string]string // enabled apps → version
	Packages       map[string]string // selected package → from version
	PackagesTo     map[string]string // selected package → to version
	Rivals         []string          // names held by the plan, sorted
	MinFree        map[string]int64  // mount path → bytes that must be free
}

// Difference is one fact that no longer is as planned.
type Difference struct {
	What    string // "version of cloud-07", "package openssl"
	Planned string
	Found   string
}
