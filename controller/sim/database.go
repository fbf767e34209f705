package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// database is the content of an instance's database. On disk it is JSON behind
// the first line of a SQLite file, so that whatever looks for that finds it.
type database struct {
	// Schema is the version whose migrations were made.
	Schema string
	Apps   map[string]dbApp
	Users  map[string]dbUser
	// MissingIndices are left for db:add-missing-indices.
	MissingIndices []string `json:",omitempty"`
	Changes        int      // counts the writes
}

type dbApp struct {
	Enabled bool
	Version string // installed_version
}

type dbUser struct {
	Password string // its SHA-256
	Name     string
}

const databaseHead = "SQLite format 3\n"

func passwordSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func readDatabase(file string) (*database, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	body, ok := strings.CutPrefix(string(text), databaseHead)
	if !ok {
		return nil, fmt.Errorf("SQLSTATE[HY000]: General error: 26 file is not a database")
	}
	db := &database{}
	if err := json.Unmarshal([]byte(body), db); err != nil {
		return nil, fmt.Errorf("SQLSTATE[HY000]: General error: 11 database disk image is malformed: %w", err)
	}
	return db, nil
}

func (db *database) write(file string) error {
	db.Changes++
	body, err := json.MarshalIndent(db, "", " ")
	if err != nil {
		return err
	}
	return replaceFile(file, databaseHead+string(body)+"\n")
}

// lock keeps other writers of this host's database out; unlock gives it back.
func (h *hostConf) lock() (unlock func(), err error) {
	f, err := os.OpenFile(h.at("database.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// changeDatabase reads, changes and writes under the lock.
func (h *hostConf) changeDatabase(file string, change func(*database) error) error {
	unlock, err := h.lock()
	if err != nil {
		return err
	}
	defer unlock()
	db, err := readDatabase(file)
	if err != nil {
		return err
	}
	if err := change(db); err != nil {
		return err
	}
	return db.write(file)
}
