// Command ncfleet-driver-pip is a package driver of one's own, whole and small:
// it updates Python packages with pip. It refuses removals and major upgrades.
//
//	driver "packages" "pip" { python = "/opt/app/bin/python3" }
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

// name is the driver's in an inventory; its executable is ncfleet-driver-NAME.
const name = "pip"

func main() { rpc.Serve(&pip{}) }

type pip struct{ python string }

func (*pip) Info(context.Context) (driver.Info, error) {
	return driver.Info{Name: name, Version: "0.1.0", Kind: driver.KindPackages, Schema: driver.Schema{Attributes: []driver.Attribute{
		{Name: "python", Type: "string", Default: "/usr/bin/python3", Help: "The Python whose packages are updated, an absolute path."},
	}}}, nil
}

func (p *pip) Configure(_ context.Context, block driver.Config) error {
	if p.python, _ = block["python"].(string); p.python == "" {
		p.python = "/usr/bin/python3"
	}
	if !strings.HasPrefix(p.python, "/") {
		return driver.Errorf(driver.Permanent, "python = %q: write an absolute path", p.python)
	}
	return nil
}

// command is one call of pip, which never asks and never looks for itself.
func (p *pip) command(args ...string) driver.Command {
	return driver.Command{Argv: append([]string{p.python, "-m", "pip", "--no-input", "--disable-pip-version-check"}, args...), User: "root"}
}

// Probes must answer the same for the same request. There is no index to renew.
func (p *pip) Probes(context.Context, driver.ProbeRequest) ([]driver.Command, error) {
	return []driver.Command{p.command("list", "--outdated", "--format=json"), p.command("check")}, nil
}

// Facts turns what the probes printed into facts. Whatever it cannot read is a
// problem, so that a broken host never looks like one with nothing to do.
func (*pip) Facts(_ context.Context, _ driver.ProbeRequest, results []driver.Result) (driver.PackageFacts, error) {
	var facts driver.PackageFacts
	if len(results) != 2 {
		return facts, driver.Errorf(driver.Permanent, "got %d results for 2 probes", len(results))
	}
	var outdated []struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		Latest  string `json:"latest_version"`
	}
	if err := json.Unmarshal(results[0].Stdout, &outdated); err != nil || results[0].Exit != 0 {
		facts.Problems = append(facts.Problems, fmt.Sprintf("pip list ended with status %d: %s", results[0].Exit, strings.TrimSpace(string(results[0].Stderr))))
	}
	for _, o := range outdated {
		c := driver.PackageChange{Name: o.Name, From: o.Version, To: o.Latest, Change: driver.ChangeUpdate}
		if major(o.Version) != major(o.Latest) {
			c.Change, c.Held, c.Reason = driver.ChangeUpgrade, true, "a new major version"
		}
		facts.Pending = append(facts.Pending, c)
	}
	slices.SortFunc(facts.Pending, func(a, b driver.PackageChange) int { return strings.Compare(a.Name, b.Name) })
	switch check := strings.TrimSpace(string(results[1].Stdout)); {
	case results[1].Exit == 1 && check != "": // pip check lists what does not fit together
		facts.Broken = strings.Split(check, "\n")
	case results[1].Exit != 0:
		facts.Problems = append(facts.Problems, fmt.Sprintf("pip check ended with status %d", results[1].Exit))
	}
	return facts, nil
}

func major(version string) string {
	m, _, _ := strings.Cut(version, ".")
	return m
}

// valid keeps names and versions plain words: no option, no requirement syntax.
var valid = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+!-]*$`)

// Compile names the exact versions of the plan, so that later waves get what
// the canary got.
func (p *pip) Compile(_ context.Context, s driver.Selection) (driver.Commands, error) {
	var wanted []string
	for _, c := range s.Changes {
		switch {
		case c.Change == driver.ChangeRemove:
			return driver.Commands{}, driver.Errorf(driver.Permanent, "the removal of %s is refused", c.Name)
		case !valid.MatchString(c.Name) || !valid.MatchString(c.To):
			return driver.Commands{}, driver.Errorf(driver.Permanent, "%q %q is no package and version", c.Name, c.To)
		case !c.Held:
			wanted = append(wanted, c.Name+"=="+c.To)
		}
	}
	if len(wanted) == 0 {
		return driver.Commands{}, nil
	}
	return driver.Commands{
		Stage:  []driver.Command{p.command(append([]string{"download", "--no-deps", "--dest", "/var/cache/ncfleet-pip"}, wanted...)...)},
		Apply:  []driver.Command{p.command(append([]string{"install", "--find-links", "/var/cache/ncfleet-pip"}, wanted...)...)},
		Repair: []driver.Command{p.command("check")},
	}, nil
}
