package rpm

import (
	_ "embed"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// HostScript is a POSIX shell script whose output ReadHost reads. It changes
// nothing on the host.
//
//go:embed host.sh
var HostScript string

// Host is what the host script saw.
type Host struct {
	Lock    string // who holds a lock of rpm or a package manager, "" if nobody
	Reboot  bool   // the host's own flag is set
	Kernel  string // the running kernel's release
	ID      string // of the system, as in os-release: "rocky", "opensuse-leap"
	Version string // "9.4"
	Problem string // why nothing is known
}

// ReadHost reads the host script's output.
func ReadHost(r driver.Result) Host {
	var h Host
	end := false
	for _, line := range strings.Split(string(r.Stdout), "\n") {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "lock":
			pid, command, _ := strings.Cut(value, " ")
			if h.Lock == "" && pid != "" {
				h.Lock = Holder(pid, command)
			}
		case "reboot":
			h.Reboot = true
		case "kernel":
			h.Kernel = value
		case "system":
			h.ID, h.Version, _ = strings.Cut(value, " ")
		case "end":
			end = true
		}
	}
	if r.Exit != 0 || !end {
		h.Problem = "locks and a wanted reboot are unknown: " + FirstLine(r.Stderr, "the probe gave no answer")
	}
	return h
}

// Holder names a process that holds a lock.
func Holder(pid, command string) string {
	if command == "" {
		return "process " + pid
	}
	return command + " (process " + pid + ")"
}
