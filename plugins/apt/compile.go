package apt

import (
	"context"
	"regexp"
	"sort"
	"strconv"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

var (
	packageName    = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*(?::[a-z0-9][a-z0-9-]*)?$`)
	packageVersion = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+:~-]*$`)
)

// maxWords bounds the package words of one command line, in bytes. More are
// split into several commands and lose the advantage of one transaction; it
// takes some thousand packages at once.
const maxWords = 100_000

// Compile writes the commands for a selection.
func (a *apt) Compile(_ context.Context, s driver.Selection) (driver.Commands, error) {
	words, fresh, err := selected(s)
	if err != nil || len(words) == 0 {
		return driver.Commands{}, err
	}
	wait := s.LockWait
	if wait <= 0 {
		wait = a.LockWait
	}
	common := []string{"-y", "-q", "--no-remove", "--no-install-recommends", "-o", lockTimeout(wait), "-o", "Dpkg::Use-Pty=0"}
	dpkg := a.dpkgOptions()
	apply := append([]string{"apt-get", "install"}, common...)
	for _, o := range dpkg {
		apply = append(apply, "-o", "Dpkg::Options::="+o)
	}
	if len(fresh) == 0 {
		apply = append(apply, "--only-upgrade")
	}
	stage := append([]string{"apt-get", "install", "--download-only", "-o", "Acquire::Retries=3"}, common...)
	var c driver.Commands
	for _, some := range split(words, maxWords) {
		c.Stage = append(c.Stage, driver.Command{Argv: join(stage, some), Env: a.environment(), User: "root", Timeout: stageTimeout})
		c.Apply = append(c.Apply, driver.Command{Argv: join(apply, some), Env: a.environment(), User: "root", Timeout: applyTimeout + wait})
	}
	for _, some := range split(fresh, maxWords) {
		c.Apply = append(c.Apply, driver.Command{Argv: join([]string{"apt-mark", "auto"}, some), Env: a.environment(), User: "root", Timeout: probeTimeout})
	}
	c.Apply = append(c.Apply, a.Services.After())
	fix := append([]string{"apt-get", "install", "-f"}, common...)
	for _, o := range dpkg {
		fix = append(fix, "-o", "Dpkg::Options::="+o)
	}
	c.Repair = []driver.Command{
		{Argv: append([]string{"sh", "-s", "--", strconv.FormatInt(ceilSeconds(wait), 10)}, dpkg...), Stdin: []byte(repairScript),
			Env: a.environment(), User: "root", Timeout: applyTimeout + wait},
		{Argv: fix, Env: a.environment(), User: "root", Timeout: applyTimeout + wait},
	}
	return c, nil
}

// dpkgOptions answer dpkg's question about changed configuration files, which
// a noninteractive frontend alone does not.
func (a *apt) dpkgOptions() []string {
	if a.conffiles == "new" {
		return []string{"--force-confnew"}
	}
	return []string{"--force-confdef", "--force-confold"}
}

// selected checks the selection and returns name=version words and the names
// of new packages, sorted.
func selected(s driver.Selection) (words, fresh []string, err error) {
	seen := map[string]bool{}
	for _, c := range s.Changes {
		if c.Held {
			continue
		}
		switch c.Change {
		case driver.ChangeUpdate, driver.ChangeUpgrade, driver.ChangeInstall:
		case driver.ChangeRemove:
			return nil, nil, driver.Errorf(driver.Permanent, "removing %s is refused: packages are never removed", c.Name)
		default:
			return nil, nil, driver.Errorf(driver.Permanent, "package %s: unknown change %q", c.Name, c.Change)
		}
		if !packageName.MatchString(c.Name) || !packageVersion.MatchString(c.To) {
			return nil, nil, driver.Errorf(driver.Permanent, "package %q at version %q is no name and version of a Debian package", c.Name, c.To)
		}
		if seen[c.Name] {
			return nil, nil, driver.Errorf(driver.Permanent, "package %s is selected twice", c.Name)
		}
		seen[c.Name] = true
		words = append(words, c.Name+"="+c.To)
		if c.From == "" {
			fresh = append(fresh, c.Name)
		}
	}
	sort.Strings(words)
	sort.Strings(fresh)
	return words, fresh, nil
}

// split cuts words into runs of at most so many bytes, each of one word at least.
func split(words []string, bytes int) [][]string {
	var out [][]string
	start, size := 0, 0
	for i, w := range words {
		if size += len(w) + 1; size > bytes && i > start {
			out = append(out, words[start:i])
			start, size = i, len(w)+1
		}
	}
	if start < len(words) {
		out = append(out, words[start:])
	}
	return out
}

func join(a, b []string) []string {
	return append(append(make([]string, 0, len(a)+len(b)), a...), b...)
}
