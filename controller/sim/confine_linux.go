package sim

import (
	"os"
	"runtime"
	"syscall"
)

// confine runs a program without root's privilege to pass over file modes, so
// that a directory closed to its owner is closed to root too.
func (p *process) confine() int {
	const dropBounding = 24 // PR_CAPBSET_DROP
	runtime.LockOSThread()
	for _, capability := range []uintptr{1, 2} { // CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
		if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, dropBounding, capability, 0); e != 0 {
			p.complain("cannot drop a capability: %v\n", e)
			return 126
		}
	}
	p.complain("cannot run %v: %v\n", p.args, syscall.Exec(p.args[0], p.args, os.Environ()))
	return 126
}

// confinable says whether confine has an effect for this user.
func confinable() bool { return os.Geteuid() == 0 }
