package rpc

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxFiles bounds the open files of a driver process.
const maxFiles = 4096

// confine keeps a driver process from hurting its neighbours by appetite. It
// starts a moment after the process does, and each child has limits of its
// own: this is no jail, it stops accidents. What fails is left as it was.
//
// The limit is on what a process may write to (RLIMIT_DATA), as the address
// space of Go, Java and others is far larger than what they use. No core is
// dumped, for it would hold secrets, and when memory runs out for all, the
// system is to end a driver sooner than the controller.
func confine(pid int, memory uint64) {
	limit := func(what int, n uint64) {
		_ = unix.Prlimit(pid, what, &unix.Rlimit{Cur: n, Max: n}, nil)
	}
	limit(unix.RLIMIT_DATA, memory)
	limit(unix.RLIMIT_NOFILE, maxFiles)
	limit(unix.RLIMIT_CORE, 0)
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("500"), 0)
}
