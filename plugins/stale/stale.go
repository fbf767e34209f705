// Package stale is about services that still run code from before an update:
// every package driver finds them, and by its policy restarts them, with the
// one script of this package.
//
// needrestart answers where it is installed. Elsewhere a service counts when a
// process of it has a program or a library in memory whose file is gone. The
// script refuses to restart what the host, its logins or the way to it hang on
// (dbus, systemd's own services, consoles, networks, container engines); it
// names them and why, and a reboot renews them.
//
// The package is pure: it holds the script's text and reads its output.
package stale

import (
	_ "embed"
	"slices"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

//go:embed stale.sh
var script string

// AttributeName is the attribute of a package driver's block.
const AttributeName = "restart_services"

// Policy is what happens after packages were installed.
type Policy string

// The policies.
const (
	List    Policy = "list"    // they are named, nothing is restarted
	Restart Policy = "restart" // those that may be are restarted, the others named
)

// Bounds of the commands.
const (
	probeTimeout = 2 * time.Minute
	afterTimeout = 30 * time.Minute
)

// Attribute is the setting that every package driver declares.
func Attribute() driver.Attribute {
	return driver.Attribute{Name: AttributeName, Type: "string", Default: string(List),
		Help: `What is done after an update with services that still run old code: "list" names them, "restart" restarts those that may be.`}
}

// FromConfig returns the policy of a driver's configuration.
func FromConfig(c driver.Config) (Policy, error) {
	v, _ := c[AttributeName].(string)
	switch Policy(v) {
	case "", List:
		return List, nil
	case Restart:
		return Restart, nil
	}
	return "", driver.Errorf(driver.Permanent, `%s = %q: write "list" or "restart"`, AttributeName, v)
}

func run(mode string, limit time.Duration) driver.Command {
	return driver.Command{Argv: []string{"sh", "-s", "--", mode}, Stdin: []byte(script), User: "root", Timeout: limit}
}

// Probe is the read-only command whose result Read reads.
func Probe() driver.Command { return run("probe", probeTimeout) }

// Read returns the services found, sorted; problem is set when the probe did
// not come to its end, and they are not all known.
func Read(r driver.Result) (names []string, problem string) {
	complete := false
	for _, line := range strings.Split(string(r.Stdout), "\n") {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "stale "); ok && name != "" {
			names = append(names, name)
		}
		complete = complete || line == "end"
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if !complete {
		why, _, _ := strings.Cut(strings.TrimSpace(string(r.Stderr)), "\n")
		if why == "" {
			why = "the probe gave no answer"
		}
		problem = "services that run old code are unknown: " + why
	}
	return names, problem
}

// After is the last command of a driver's Apply. With Restart it fails when a
// service does not come back.
func (p Policy) After() driver.Command { return run(string(p), afterTimeout) }
