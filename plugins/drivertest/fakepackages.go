package drivertest

import (
	"context"
	"fmt"
	"regexp"
	"sort"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// FakePackages is a package manager whose one probe, "fakepkg list", prints
// "ok" and then a line "NAME FROM TO" per pending update. It passes the suite.
type FakePackages struct{}

// Info implements driver.Driver.
func (FakePackages) Info(context.Context) (driver.Info, error) {
	return driver.Info{Name: "fakepkg", Version: "1.0.0", Kind: driver.KindPackages}, nil
}

// Configure implements driver.Driver.
func (FakePackages) Configure(context.Context, driver.Config) error { return nil }

// Probes implements driver.PackageManager.
func (FakePackages) Probes(context.Context, driver.ProbeRequest) ([]driver.Command, error) {
	return []driver.Command{{Argv: []string{"fakepkg", "list"}, User: "root"}}, nil
}

// Facts implements driver.PackageManager.
func (FakePackages) Facts(_ context.Context, _ driver.ProbeRequest, results []driver.Result) (driver.PackageFacts, error) {
	if len(results) != 1 {
		return driver.PackageFacts{}, driver.Errorf(driver.Permanent, "got %d results for 1 probe", len(results))
	}
	var f driver.PackageFacts
	if results[0].Exit != 0 {
		f.Problems = append(f.Problems, fmt.Sprintf("fakepkg list ended with status %d: %s", results[0].Exit, results[0].Stderr))
	}
	lines := strings.Split(strings.TrimSpace(string(results[0].Stdout)), "\n")
	if lines[0] != "ok" {
		f.Problems = append(f.Problems, "fakepkg list does not begin with ok")
	}
	for _, line := range lines[1:] {
		w := strings.Fields(line)
		if len(w) != 3 {
			f.Problems = append(f.Problems, "cannot read the line "+line)
			continue
		}
		f.Pending = append(f.Pending, driver.PackageChange{Name: w[0], From: w[1], To: w[2], Change: driver.ChangeUpdate})
	}
	sort.Slice(f.Pending, func(i, j int) bool { return f.Pending[i].Name < f.Pending[j].Name })
	return f, nil
}

// Compile implements driver.PackageManager.
func (FakePackages) Compile(_ context.Context, s driver.Selection) (driver.Commands, error) {
	name := regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*$`)
	var operands []string
	for _, c := range s.Changes {
		switch {
		case c.Change == driver.ChangeRemove:
			return driver.Commands{}, driver.Errorf(driver.Permanent, "the removal of %s is refused", c.Name)
		case !name.MatchString(c.Name):
			return driver.Commands{}, driver.Errorf(driver.Permanent, "%q is no package name", c.Name)
		case !c.Held:
			operands = append(operands, c.Name+"="+c.To)
		}
	}
	if len(operands) == 0 {
		return driver.Commands{}, nil
	}
	command := func(verb ...string) []driver.Command {
		return []driver.Command{{Argv: append([]string{"fakepkg"}, verb...), User: "root"}}
	}
	return driver.Commands{
		Stage:  command(append([]string{"download"}, operands...)...),
		Apply:  command(append([]string{"install"}, operands...)...),
		Repair: command("repair"),
	}, nil
}
