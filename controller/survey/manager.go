package survey

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

//go:embed manager.sh
var managerSh string

// managerLimit bounds the look at which package manager a host has.
const managerLimit = time.Minute

// manager asks a host for its package manager, "" when none is known. It is a
// look of its own before the survey, so that the survey carries the probes of
// one driver only and no driver is started that the fleet does not need.
func manager(ctx context.Context, remote Remote) (string, error) {
	res, err := remote.Run(ctx, driver.Command{Argv: []string{"sh", "-s"}, Stdin: []byte(managerSh), Timeout: managerLimit})
	if err != nil {
		return "", err
	}
	text := string(res.Stdout)
	if !strings.HasSuffix(text, "end\n") {
		return "", fmt.Errorf("cannot see which package manager there is: exit status %d: %s", res.Exit, oneLine(res.Stderr))
	}
	id, like, tools := "", "", map[string]string{}
	records(res.Stdout, func(key, rest string) {
		switch key {
		case "id":
			id = unquoteOS(rest)
		case "like":
			like = unquoteOS(rest)
		case "tool":
			tools[rest] = rest
		}
	})
	return packageManager(id+" "+like, tools), nil
}

// choose returns the driver of the package manager that was found.
func choose(r Request, found string) (Packages, error) {
	if found == "" {
		return nil, fmt.Errorf("no package manager was found that ncfleet knows (apt, dnf, yum, zypper, apk)")
	}
	return r.PackagesFor(found)
}
