// Package journal keeps rollouts: the plan as it was approved, and every event
// in the order it happened. A step's start is durable here before its effect
// begins, so that a crash leaves nothing unknown.
//
// It is one SQLite file (write-ahead log, synchronous=FULL: a committed event
// survives power loss). Events are appended and never changed. One process
// writes at a time, by a lock whose message names the holder; readers need no
// lock. It refuses to decide anything.
package journal

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"

	_ "modernc.org/sqlite" // the database/sql driver "sqlite"
)

// schema is version 1 of the file's layout; PRAGMA user_version tells it.
const schema = `
CREATE TABLE rollouts (
  id      TEXT PRIMARY KEY,
  name    TEXT NOT NULL,
  created INTEGER NOT NULL,           -- Unix milliseconds
  digest  TEXT NOT NULL,              -- SHA-256 of the plan, hex
  plan    BLOB NOT NULL               -- the plan's JSON, gzip
);
CREATE TABLE events (
  rollout TEXT NOT NULL REFERENCES rollouts(id),
  seq     INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  step    TEXT NOT NULL,
  event   BLOB NOT NULL,              -- JSON
  PRIMARY KEY (rollout, seq)
) WITHOUT ROWID;
CREATE TABLE requests (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  rollout TEXT NOT NULL REFERENCES rollouts(id),
  at      INTEGER NOT NULL,
  request BLOB NOT NULL,              -- JSON of the event wanted
  taken   INTEGER NOT NULL DEFAULT 0,
  answer  TEXT NOT NULL DEFAULT ''    -- why it was refused, '' when applied
);
CREATE TRIGGER events_keep   BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER events_remain BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are never removed'); END;
PRAGMA user_version = 1;
`

// FileName is the journal's file inside its directory.
const FileName = "journal.db"

// Journal is an open journal.
type Journal struct {
	db   *sql.DB
	dir  string
	lock *os.File // nil when only reading
}

// Entry describes one rollout of the journal.
type Entry struct {
	ID      string
	Name    string
	Created time.Time
	Digest  string
}

// Open opens the journal in dir for reading and for leaving requests; it
// creates neither directory nor file.
func Open(dir string) (*Journal, error) {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("cannot open journal: no %s: %w", path, err)
	}
	return open(dir)
}

// OpenToWrite opens the journal as its one writer and creates it if needed.
// The error is a *Locked when another process writes.
func OpenToWrite(dir string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create journal directory: %w", err)
	}
	lock, err := takeLock(dir)
	if err != nil {
		return nil, err
	}
	j, err := open(dir)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	j.lock = lock
	return j, nil
}

func open(dir string) (*Journal, error) {
	path := filepath.Join(dir, FileName)
	dsn := "file:" + uriPath(path) + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&_txlock=immediate"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("cannot open journal %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	j := &Journal{db: db, dir: dir}
	if err := j.migrate(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open journal %s: %w", path, err), db.Close())
	}
	return j, nil
}

// uriPath escapes what a SQLite URI would read as its own syntax.
func uriPath(path string) string {
	var b bytes.Buffer
	for i := 0; i < len(path); i++ {
		switch c := path[i]; c {
		case '%', '?', '#':
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (j *Journal) migrate() error {
	var version int
	if err := j.db.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch version {
	case 0:
		_, err := j.db.Exec("BEGIN IMMEDIATE;" + schema + "COMMIT;")
		return err
	case 1:
		return nil
	}
	return fmt.Errorf("its layout is version %d, this ncfleet knows 1: use the newer ncfleet that wrote it", version)
}

// Close closes the file and gives the lock back.
func (j *Journal) Close() error {
	err := j.db.Close()
	if j.lock != nil {
		err = errors.Join(err, j.lock.Close())
	}
	return err
}

// Create stores a plan under a new rollout ID.
func (j *Journal) Create(id string, created time.Time, p plan.Plan) (digest string, err error) {
	text, err := plan.Encode(p)
	if err != nil {
		return "", fmt.Errorf("cannot store plan: %w", err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(text); err != nil {
		return "", fmt.Errorf("cannot store plan: %w", err)
	}
	if err := z.Close(); err != nil {
		return "", fmt.Errorf("cannot store plan: %w", err)
	}
	digest = plan.Digest(p)
	_, err = j.db.Exec("INSERT INTO rollouts (id, name, created, digest, plan) VALUES (?,?,?,?,?)",
		id, p.Rollout, created.UnixMilli(), digest, packed.Bytes())
	if err != nil {
		return "", fmt.Errorf("cannot store plan of rollout %s: %w", id, err)
	}
	return digest, nil
}

// Plan reads a rollout's plan back and checks it against its digest.
func (j *Journal) Plan(id string) (plan.Plan, error) {
	var packed []byte
	var digest string
	err := j.db.QueryRow("SELECT plan, digest FROM rollouts WHERE id = ?", id).Scan(&packed, &digest)
	if err != nil {
		return plan.Plan{}, fmt.Errorf("cannot read plan of rollout %s: %w", id, err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return plan.Plan{}, fmt.Errorf("cannot read plan of rollout %s: %w", id, err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return plan.Plan{}, fmt.Errorf("cannot read plan of rollout %s: %w", id, err)
	}
	p, err := plan.Decode(text)
	if err != nil {
		return plan.Plan{}, fmt.Errorf("cannot read plan of rollout %s: %w", id, err)
	}
	if got := plan.Digest(p); got != digest {
		return plan.Plan{}, fmt.Errorf("cannot use plan of rollout %s: its digest is %s, the journal says %s", id, got, digest)
	}
	return p, nil
}

// List returns the rollouts, newest first.
func (j *Journal) List() ([]Entry, error) {
	rows, err := j.db.Query("SELECT id, name, created, digest FROM rollouts ORDER BY created DESC, id DESC")
	if err != nil {
		return nil, fmt.Errorf("cannot list rollouts: %w", err)
	}
	defer rows.Close()
	var list []Entry
	for rows.Next() {
		var e Entry
		var ms int64
		if err := rows.Scan(&e.ID, &e.Name, &ms, &e.Digest); err != nil {
			return nil, fmt.Errorf("cannot list rollouts: %w", err)
		}
		e.Created = time.UnixMilli(ms).UTC()
		list = append(list, e)
	}
	return list, rows.Err()
}

// Append makes an event durable. Its Seq must be the next one, or 0 to get it;
// the event is returned as stored.
func (j *Journal) Append(id string, e rollout.Event) (rollout.Event, error) {
	if j.lock == nil {
		return e, fmt.Errorf("cannot append to the journal: it is open for reading only")
	}
	var last int64
	if err := j.db.QueryRow("SELECT coalesce(max(seq), 0) FROM events WHERE rollout = ?", id).Scan(&last); err != nil {
		return e, fmt.Errorf("cannot append to the journal: %w", err)
	}
	if e.Seq != 0 && e.Seq != last+1 {
		return e, fmt.Errorf("cannot append event %d: the journal's last is %d", e.Seq, last)
	}
	e.Seq = last + 1
	e.At = e.At.UTC().Round(0)
	text, err := json.Marshal(e)
	if err != nil {
		return e, fmt.Errorf("cannot append event %d: %w", e.Seq, err)
	}
	_, err = j.db.Exec("INSERT INTO events (rollout, seq, at, kind, step, event) VALUES (?,?,?,?,?,?)",
		id, e.Seq, e.At.UnixMilli(), string(e.Kind), e.Step, text)
	if err != nil {
		return e, fmt.Errorf("cannot append event %d: %w", e.Seq, err)
	}
	return e, nil
}

// Events reads a rollout's events after the given sequence number, in order.
func (j *Journal) Events(id string, after int64) ([]rollout.Event, error) {
	rows, err := j.db.Query("SELECT event FROM events WHERE rollout = ? AND seq > ? ORDER BY seq", id, after)
	if err != nil {
		return nil, fmt.Errorf("cannot read events of %s: %w", id, err)
	}
	defer rows.Close()
	var list []rollout.Event
	for rows.Next() {
		var text []byte
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("cannot read events of %s: %w", id, err)
		}
		var e rollout.Event
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, fmt.Errorf("cannot read an event of %s: %w", id, err)
		}
		list = append(list, e)
	}
	return list, rows.Err()
}
