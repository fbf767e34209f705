package journal

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Holder says who writes a journal.
type Holder struct {
	User  string
	Host  string
	PID   int
	Since time.Time
}

// Locked is the error of a journal that another process writes.
type Locked struct {
	Path   string
	Holder Holder
}

// Error names the holder and what to do.
func (l *Locked) Error() string {
	if l.Holder.PID == 0 {
		return fmt.Sprintf("cannot write the journal: %s is locked by another process", l.Path)
	}
	h := l.Holder
	return fmt.Sprintf("cannot write the journal: %s is held by %s on %s, process %d, since %s; wait for it, or use pause, abort or approve, which need no lock",
		l.Path, h.User, h.Host, h.PID, h.Since.Format(time.RFC3339))
}

// takeLock takes the advisory lock (flock(2)): the kernel gives it back when
// the process ends, however it ends, so a lock is never stale.
func takeLock(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the journal: %w", err)
	}
	if err := flock(f); err != nil {
		defer f.Close()
		locked := &Locked{Path: path}
		if text, rerr := io.ReadAll(io.LimitReader(f, 4096)); rerr == nil {
			_ = json.Unmarshal(text, &locked.Holder) // an unreadable holder is shown as unknown
		}
		return nil, locked
	}
	if err := writeHolder(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock the journal: %w", err)
	}
	return f, nil
}

// flock tries for a moment: Free holds the lock for an instant.
func flock(f *os.File) (err error) {
	for range 10 {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

func writeHolder(f *os.File) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	text, err := json.Marshal(Holder{User: userName(), Host: host, PID: os.Getpid(), Since: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(append(text, '\n'), 0)
	return err
}

func userName() string {
	for _, name := range []string{"SUDO_USER", "USER", "LOGNAME"} {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

// Free reports whether no process writes the journal in dir at this moment.
func Free(dir string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return false, fmt.Errorf("cannot look at the journal's lock: %w", err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		return false, nil
	}
	return true, nil
}
