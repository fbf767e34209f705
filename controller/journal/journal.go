// Package journal keeps rollouts: the plan as it was approved, and every event
// in the order it happened. A step's start is durable here before its effect
// begins, so that a crash leaves nothing unknown.
//
// It is one SQLite file (write-ahead log, synchronous=FULL: a committed event
// survives power loss). Events are appended and never changed; each carries a
// sum over all before it, so that a changed byte is noticed and not believed.
// One process writes at a time, by a lock whose message names the holder;
// readers need no lock. It refuses to decide anything.
package journal

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"

	"modernc.org/sqlite" // also the database/sql driver "sqlite"
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
  sum     BLOB NOT NULL,              -- SHA-256 of the sum before it and this event
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
	return open(dir, path)
}

// OpenToWrite opens the journal as its one writer, creates it if needed, and
// looks through it for damage. The error is a *Locked when another process
// writes.
func OpenToWrite(dir string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create journal directory: %w", err)
	}
	lock, err := takeLock(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(dir, path); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot create journal %s: %w", path, err), lock.Close())
		}
	}
	j, err := open(dir, path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	j.lock = lock
	if err := j.sound(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open journal %s: %w", path, err), j.Close())
	}
	return j, nil
}

// create makes an empty journal beside its place and then puts it there whole:
// a journal without its tables is never a new one, but one that was damaged.
// Only its owner may read it, as it holds host names and snapshot handles.
func create(dir, path string) error {
	part := path + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	db, err := connect(part)
	if err != nil {
		return err
	}
	_, err = db.Exec("BEGIN IMMEDIATE;" + schema + "COMMIT;")
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func connect(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+uriPath(path)+"?mode=rw&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

func open(dir, path string) (*Journal, error) {
	db, err := connect(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open journal %s: %w", path, err)
	}
	j := &Journal{db: db, dir: dir}
	if err := j.known(); err != nil {
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

// known refuses a file whose layout this ncfleet does not know.
func (j *Journal) known() error {
	var version int
	if err := j.db.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return damaged(err)
	}
	switch version {
	case 1:
		return nil
	case 0:
		return damaged(errors.New("it holds no tables"))
	}
	return fmt.Errorf("its layout is version %d, this ncfleet knows 1: use the newer ncfleet that wrote it", version)
}

// sound has SQLite look at every page.
func (j *Journal) sound() error {
	var found string
	if err := j.db.QueryRow("PRAGMA quick_check(1)").Scan(&found); err != nil {
		return damaged(err)
	}
	if found != "ok" {
		return damaged(errors.New(found))
	}
	return nil
}

// damaged adds what to do about a file that cannot be believed. What SQLite
// could not do for another reason, a full disk say, is no damage.
func damaged(err error) error {
	const corrupt, notADatabase = 11, 26
	if s := new(sqlite.Error); errors.As(err, &s) && s.Code()&0xff != corrupt && s.Code()&0xff != notADatabase {
		return err
	}
	return fmt.Errorf("it is damaged: %w; put a copy of it back, or move it away to begin a new one", err)
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
	last, before, err := j.last(id)
	if err != nil {
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
	_, err = j.db.Exec("INSERT INTO events (rollout, seq, at, kind, step, event, sum) VALUES (?,?,?,?,?,?,?)",
		id, e.Seq, e.At.UnixMilli(), string(e.Kind), e.Step, text, chain(before, text))
	if err != nil {
		return e, fmt.Errorf("cannot append event %d: %w", e.Seq, err)
	}
	return e, nil
}

// last returns the sequence number and the sum of the last event.
func (j *Journal) last(id string) (seq int64, sum []byte, err error) {
	err = j.db.QueryRow("SELECT seq, sum FROM events WHERE rollout = ? ORDER BY seq DESC LIMIT 1", id).Scan(&seq, &sum)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, []byte(id), nil
	}
	return seq, sum, err
}

// chain is the sum of an event after the sum before it.
func chain(before, text []byte) []byte {
	h := sha256.New()
	h.Write(before)
	h.Write(text)
	return h.Sum(nil)
}

// Events reads a rollout's events after the given sequence number, in order.
// It refuses them all when one is missing or is not as it was written.
func (j *Journal) Events(id string, after int64) ([]rollout.Event, error) {
	list, err := j.events(id, after)
	if err != nil {
		return nil, fmt.Errorf("cannot read events of %s: %w", id, err)
	}
	return list, nil
}

func (j *Journal) events(id string, after int64) ([]rollout.Event, error) {
	sum := []byte(id)
	if after > 0 {
		err := j.db.QueryRow("SELECT sum FROM events WHERE rollout = ? AND seq = ?", id, after).Scan(&sum)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		}
		if err != nil {
			return nil, damaged(err)
		}
	}
	rows, err := j.db.Query("SELECT seq, event, sum FROM events WHERE rollout = ? AND seq > ? ORDER BY seq", id, after)
	if err != nil {
		return nil, damaged(err)
	}
	defer rows.Close()
	var list []rollout.Event
	for next := after + 1; rows.Next(); next++ {
		var seq int64
		var text, stored []byte
		if err := rows.Scan(&seq, &text, &stored); err != nil {
			return nil, damaged(err)
		}
		if seq != next {
			return nil, damaged(fmt.Errorf("event %d follows %d", seq, next-1))
		}
		if sum = chain(sum, text); !bytes.Equal(sum, stored) {
			return nil, damaged(fmt.Errorf("event %d is not as it was written", seq))
		}
		var e rollout.Event
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, damaged(fmt.Errorf("event %d: %w", seq, err))
		}
		list = append(list, e)
	}
	if err := rows.Err(); err != nil {
		return nil, damaged(err)
	}
	return list, nil
}
