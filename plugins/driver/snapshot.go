package driver

import "context"

// Part names a place where an instance's state lives.
type Part string

// The parts of an instance's state.
const (
	PartCode     Part = "code"     // the code tree, shipped and carried-over apps included
	PartConfig   Part = "config"   // config/*.php
	PartApps     Part = "apps"     // app directories outside the code tree
	PartDatabase Part = "database" // the one database (or SQLite file) of the instance
	PartData     Part = "data"     // the data directory: users' files, appdata, log
	PartObjects  Part = "objects"  // primary object storage
	PartSystem   Part = "system"   // the operating system's packages and /etc
)

// Place is one part at one location.
type Place struct {
	Part Part
	Path string // absolute directory or file on the host; "" for a database server
	// Detail is for people: "MariaDB nextcloud@127.0.0.1", "bucket nc-prod".
	Detail string `json:",omitempty"`
}

// Subject describes what a snapshot is of. All paths are absolute and on the
// host that the Runner of the call reaches.
type Subject struct {
	Host     string
	Instance string // "" when the target is the host alone
	// Labels are the host's labels in the inventory; cloud drivers find their
	// machine by one of them.
	Labels  map[string]string `json:",omitempty"`
	Places  []Place
	WebUser string // owner of config/config.php; every occ and PHP call runs as this user
	PHP     string // absolute path of the PHP command line
	// DatabaseKind is "sqlite3", "mysql" (MariaDB too) or "pgsql", as in
	// config.php; credentials are read from config.php on the host, never sent.
	DatabaseKind string `json:",omitempty"`
	StateDir     string // the controller's own directory on the host, mode 0700, root
}

// Path returns the location of the first place of that part, or "".
func (s Subject) Path(p Part) string {
	for _, pl := range s.Places {
		if pl.Part == p {
			return pl.Path
		}
	}
	return ""
}

// Coverage says which places a snapshot would capture.
type Coverage struct {
	Captured []Place
	// Missing lists places that the driver would not capture, each with the
	// reason. The controller decides whether a hole matters.
	Missing []Hole
	// Consistent is true when all captured places show one moment in time
	// (always so for a closed instance).
	Consistent bool
	BytesFree  int64 // room where the snapshot would be kept; -1 unknown
	BytesNeed  int64 // estimate; -1 unknown
	Note       string
}

// Hole is a place that a snapshot leaves out.
type Hole struct {
	Place  Place
	Reason string
}

// SnapshotRequest asks for a snapshot. Key is stable across retries and
// controller restarts: two calls with one key have the effect of one.
type SnapshotRequest struct {
	Key     string // "<rollout>/<target>", [a-zA-Z0-9._/-]
	Subject Subject
}

// Handle is a driver's own memory of a snapshot. The controller keeps it in
// its journal and never opens Data.
type Handle struct {
	Driver  string
	Version int
	Key     string
	Data    []byte
}

// Zero reports whether the handle names no snapshot.
func (h Handle) Zero() bool { return h.Driver == "" && len(h.Data) == 0 }

// Verification is the proof that a snapshot can be restored.
type Verification struct {
	Verified bool
	Digest   string // of what was captured, when the driver can compute one
	Bytes    int64
	Detail   string // for people: what was checked
}

// Snapshot is an entry of List.
type Snapshot struct {
	Handle  Handle
	Created int64 // Unix seconds
	Bytes   int64
	Orphan  bool // nothing on the provider's side refers to it any more
}

// Snapshotter saves and restores the state of a target.
//
// Every call is idempotent by Key or Handle: repeated, it has the effect of
// one and returns the same answer. Errors are permanent unless they are an
// *Error of class Retryable or Quota. ctx ends a call early; what was begun
// must then be found again by its Key. Run is the host's Runner and is valid
// for the duration of the call only.
type Snapshotter interface {
	Driver
	// Cover tells what a snapshot would capture. It changes nothing.
	Cover(ctx context.Context, s Subject, run Runner) (Coverage, error)
	// Prepare does ahead, while users still work, whatever makes Create short.
	// It may do nothing. Create must be correct without it.
	Prepare(ctx context.Context, r SnapshotRequest, run Runner) error
	// Create captures the closed target and returns once the snapshot is
	// durable. A half-made snapshot of an earlier call is completed or redone.
	Create(ctx context.Context, r SnapshotRequest, run Runner) (Handle, error)
	// Verify proves the snapshot restorable without restoring it.
	Verify(ctx context.Context, h Handle, run Runner) (Verification, error)
	// Restore puts every captured place back as it was. The target is closed.
	Restore(ctx context.Context, h Handle, s Subject, run Runner) error
	// Delete removes the snapshot; a missing one is not an error.
	Delete(ctx context.Context, h Handle, run Runner) error
	// List returns the driver's snapshots of the subject, newest first.
	List(ctx context.Context, s Subject, run Runner) ([]Snapshot, error)
}
