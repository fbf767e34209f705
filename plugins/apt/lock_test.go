package apt

import (
	"io"
	"os"
	"syscall"
)

// lockFile takes the lock that apt and dpkg take.
func lockFile(f *os.File) error {
	return syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart})
}
