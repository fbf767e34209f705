// Package cloud is what all drivers of cloud providers share: a
// driver.Snapshotter over a small [Provider], which each cloud implements with
// its own SDK.
//
// The package finds the machine of a host, maps the places of a subject to the
// machine's disks, flushes before it captures, looks for what an earlier call
// began before it begins anything, waits until a snapshot can really be used,
// retries what may be retried with limits and jitter, and deletes whole
// snapshots only. A place that no snapshot would hold (on a network file
// system, in memory, on a volume that the provider leaves out, in a database on
// another machine) is a hole with its reason, so that the plan turns red.
//
// It refuses to guess: an ambiguous machine name, a disk that no volume of the
// machine matches and a handle of another machine are errors. It refuses to
// read credentials from anywhere but its configuration, to freeze file systems
// (the freeze of a root file system also stops the shell that is to thaw it),
// and to delete anything that the machine still uses.
//
// # A snapshot
//
// One snapshot of a subject, named by its key, consists of one provider
// snapshot for each unit: the machine as a whole, or one of its volumes. Each
// bears the [Tags]. The handle holds the machine and its units but no id of a
// provider's snapshot, so that a repeated Create gives the same handle even
// when a lost response made two; the oldest usable one counts then, and the
// others are deleted.
//
// The target is closed while its units are captured one after the other, so
// they show one moment. The database server itself still runs: after a restore
// it recovers as after a power cut.
//
// # A restore
//
// A restore takes the whole machine back, boot disk included: it is stopped,
// put back by the provider's own procedure and started. The driver therefore
// declares the capability "machine" (see plugins/driver). Replaced volumes are
// kept until the snapshot is deleted.
//
// Retention: Prepare, while users still work, deletes what earlier rollouts left
// of the same machine, but for the newest "keep" of them. What nobody prepares
// again is shown by List.
package cloud

import (
	"context"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Provider is one cloud. Its methods make few API calls and no retries of their
// own (switch those of the SDK off): the core repeats a method whose error is
// Retryable. Every method may therefore be called again after it had its effect
// and its answer was lost. Errors are made by [Refusal], or by
// driver.Errorf when the provider's words tell more.
type Provider interface {
	// Check tries the credentials; it is called once, by Configure.
	Check(ctx context.Context) error
	// Machine finds a machine by id or by exact name. There being none is
	// NotFound; several of one name are Permanent, and the message names all.
	Machine(ctx context.Context, ref string) (Machine, error)
	// Begin starts one snapshot of one unit and does not wait for it. The core
	// looked for an existing one before, and looks again after an error.
	Begin(ctx context.Context, m Machine, u Unit, t Tags) (Snap, error)
	// Snaps returns everything that bears the tags and matches the filter,
	// including volumes that a restore left behind (state Retained).
	Snaps(ctx context.Context, f Filter) ([]Snap, error)
	// Delete removes one of them; a missing one is no error. One that the
	// provider has locked or still uses is Retryable.
	Delete(ctx context.Context, s Snap) error
	// Restore puts the units back from their snapshots and starts the machine,
	// in stages each of which is looked up before it is done, so that a call
	// repeated after any failure goes on. It deletes nothing. It returns when
	// the provider says that the machine runs.
	Restore(ctx context.Context, m Machine, snaps []Snap, s Stages) error
}

// Running is the state of a machine that runs; every other word is the
// provider's own.
const Running = "running"

// Machine is a host as the provider knows it.
type Machine struct {
	ID, Name  string
	State     string   // Running, or the provider's word
	Addresses []string // public and private; they are the same after a restore
	Units     []Unit
}

// Unit is what one provider snapshot captures.
type Unit struct {
	ID string
	// Whole stands for the machine with every disk that no other unit names.
	Whole bool
	// Device is the disk's name on the host, if the provider knows it ("/dev/vdb").
	Device string
	// Serial ends the disk's serial number, or its name below /dev/disk/by-id on
	// the host; upper and lower case are the same.
	Serial string
	GiB    int64
	Boot   bool // the disk that holds the root file system
	// Replaced: a restore puts another volume in this one's place, with another
	// serial number. A host that mounts it by a name below /dev/disk/by-id would
	// not come up again; the core makes that a hole.
	Replaced bool
	// Mounts are where the provider itself mounts the unit in the host, as it does
	// for a container. What the kernel shows there is on the unit, even layers,
	// whose disks the host cannot tell.
	Mounts []string
	// Left is why no snapshot holds the unit; "" for one that is captured.
	Left string
}

// The states of a Snap. Anything else is an error of the provider's code.
const (
	Pending  = "pending"
	Ready    = "ready"    // a restore from it would work now
	Failed   = "failed"   // it will never be ready; the core deletes it
	Retained = "retained" // no snapshot: a volume that a restore of this key replaced or never attached
)

// Snap is one provider snapshot of one unit.
type Snap struct {
	ID      string
	Unit    string // Unit.ID at the time of Begin
	Key     string
	Machine string // Machine.ID at the time of Begin
	Host    string
	State   string
	Created time.Time
	Bytes   int64 // what is paid for; 0 unknown
}

// Filter selects snapshots; an empty field matches all.
type Filter struct {
	Machine string // id
	Key     string
}

// Matches reports whether the snapshot passes, for providers whose own search
// is not exact.
func (f Filter) Matches(s Snap) bool {
	return (f.Machine == "" || f.Machine == s.Machine) && (f.Key == "" || f.Key == s.Key)
}

// Definition is one driver.
type Definition struct {
	Name    string // as in the inventory: driver "snapshot" "hcloud"
	Version string
	// Attributes are the provider's own; the core adds "label", "keep",
	// "poll", "wait" and "price".
	Attributes []driver.Attribute
	// Label is the host label that names the machine, by default "cloud_id".
	Label string
	// Price estimates what one GiB of snapshot costs in a month, "0.0119 EUR",
	// and PriceSource says where that was read, and when.
	Price, PriceSource string
	// Connect makes the provider from the operator's settings. It reads
	// credentials from c alone: no environment, no files, no metadata service.
	Connect func(ctx context.Context, c driver.Config) (Provider, error)
}
