package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/drivers"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/apk"
	"github.com/ncfleet/ncfleet/plugins/apt"
	"github.com/ncfleet/ncfleet/plugins/archive"
	"github.com/ncfleet/ncfleet/plugins/btrfs"
	"github.com/ncfleet/ncfleet/plugins/dnf"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/lvm"
	"github.com/ncfleet/ncfleet/plugins/rpc"
	"github.com/ncfleet/ncfleet/plugins/zfs"
	"github.com/ncfleet/ncfleet/plugins/zypper"
)

// builtin is a driver that ncfleet serves by starting itself.
type builtin struct {
	kind driver.Kind
	name string
	make func() driver.Driver
}

var builtins = []builtin{
	{driver.KindPackages, "apt", func() driver.Driver { return apt.New() }},
	{driver.KindPackages, "dnf", func() driver.Driver { return dnf.New() }},
	{driver.KindPackages, "zypper", func() driver.Driver { return zypper.New() }},
	{driver.KindPackages, "apk", func() driver.Driver { return apk.New() }},
	{driver.KindSnapshot, "archive", func() driver.Driver { return archive.New() }},
	{driver.KindSnapshot, "btrfs", func() driver.Driver { return btrfs.New() }},
	{driver.KindSnapshot, "lvm", func() driver.Driver { return lvm.New() }},
	{driver.KindSnapshot, "zfs", func() driver.Driver { return zfs.New() }},
}

// packagesOf names the drivers that may read a host's packages: the one that
// its block names, else all built-in ones, of which the survey takes the one
// for the package manager that it finds.
func packagesOf(h *inventory.Host) []string {
	if name := plan.PackagesDriver(h, &plan.Facts{}); name != "" {
		return []string{name}
	}
	return builtinNames()[string(driver.KindPackages)]
}

func builtinNames() map[string][]string {
	names := map[string][]string{}
	for _, b := range builtins {
		names[string(b.kind)] = append(names[string(b.kind)], b.name)
	}
	return names
}

// driverPath lists the folders where ncfleet-driver-NAME is looked for.
func driverPath() []string {
	var path []string
	if v := os.Getenv("NCFLEET_DRIVER_PATH"); v != "" {
		path = append(path, filepath.SplitList(v)...)
	}
	if home, err := os.UserHomeDir(); err == nil {
		path = append(path, filepath.Join(home, ".local", "lib", "ncfleet", "drivers"))
	}
	return append(path, "/usr/local/lib/ncfleet/drivers", "/usr/lib/ncfleet/drivers")
}

func builtinSources(l *drivers.Launcher) ([]drivers.Source, error) {
	var sources []drivers.Source
	for _, b := range builtins {
		s, err := l.Builtin(b.name, b.kind, "driver", "serve", b.name)
		if err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	return sources, nil
}

// lockPath is ncfleet.lock beside the inventory, wherever the journal is.
func (a *app) lockPath() (string, error) {
	paths, err := a.paths()
	if err != nil {
		return "", err
	}
	return filepath.Join(folderOf(paths), drivers.LockName), nil
}

func driverCommand(a *app) *cobra.Command {
	c := &cobra.Command{Use: "driver", Short: "list, pin, test and write drivers"}
	c.AddCommand(
		&cobra.Command{Use: "serve NAME", Hidden: true, Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error {
			for _, b := range builtins {
				if b.name == args[0] {
					rpc.Serve(b.make())
					return nil
				}
			}
			return fmt.Errorf("cannot serve driver %q: it is not built in", args[0])
		}},
		&cobra.Command{Use: "list", Short: "the drivers that the inventory uses, and where they come from", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.listDrivers(cmd.Context()) }},
		&cobra.Command{Use: "lock", Short: "accept the drivers as they are now: write their checksums to ncfleet.lock", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.lockDrivers(cmd) }},
		&cobra.Command{Use: "verify", Short: "check the drivers against ncfleet.lock", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.verifyDrivers() }},
		driverTestCommand(a), driverNewCommand(a),
	)
	return c
}

// usedDrivers are the drivers of the inventory: declared, named by a host, or default.
func usedDrivers(f *inventory.Fleet) []inventory.Driver {
	seen := map[string]bool{}
	var list []inventory.Driver
	add := func(d inventory.Driver) {
		if d.Name != "" && !seen[d.Kind+" "+d.Name] {
			seen[d.Kind+" "+d.Name] = true
			list = append(list, d)
		}
	}
	for _, d := range f.Drivers {
		add(d)
	}
	for i := range f.Hosts {
		for _, name := range packagesOf(&f.Hosts[i]) {
			add(inventory.Driver{Kind: string(driver.KindPackages), Name: name})
		}
		add(inventory.Driver{Kind: string(driver.KindSnapshot), Name: plan.SnapshotDriver(&f.Hosts[i])})
	}
	return list
}

// sources finds the executables of the inventory's drivers, unpinned.
func (a *app) sources(l *drivers.Launcher) ([]drivers.Source, []inventory.Driver, error) {
	fleet, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	own, err := builtinSources(l)
	if err != nil {
		return nil, nil, err
	}
	used := usedDrivers(fleet)
	var found []drivers.Source
	for _, d := range used {
		s, err := drivers.Find(d.Name, driver.Kind(d.Kind), driverPath(), own)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, s)
	}
	return found, used, nil
}

// sourcesAndLock are the drivers in use, and what ncfleet.lock at path says of
// them.
func (a *app) sourcesAndLock(l *drivers.Launcher) (sources []drivers.Source, lock drivers.Lock, path string, err error) {
	if sources, _, err = a.sources(l); err != nil {
		return nil, lock, "", err
	}
	if path, err = a.lockPath(); err != nil {
		return nil, lock, "", err
	}
	lock, err = drivers.ReadLock(path)
	return sources, lock, path, err
}

func (a *app) lockDrivers(cmd *cobra.Command) error {
	l := drivers.NewLauncher(drivers.Options{})
	sources, lock, path, err := a.sourcesAndLock(l)
	if err != nil {
		return err
	}
	d := driverLockDocument{FormatVersion: 1, Lock: path, Pinned: []pinnedDriver{}}
	for _, s := range sources {
		if s.Builtin {
			continue
		}
		entry, _, err := l.Inspect(cmd.Context(), s)
		if err != nil {
			return err
		}
		lock.Put(entry)
		d.Pinned = append(d.Pinned, pinnedDriver{string(entry.Kind), entry.Name, entry.Version, entry.Source})
		a.say("%s %s %s from %s", entry.Kind, entry.Name, entry.Version, entry.Source)
	}
	if err := lock.Write(path); err != nil {
		return err
	}
	a.say("%s: %s pinned; built-in drivers are pinned to ncfleet itself", path, report.Plural(len(d.Pinned), "driver"))
	return a.print(d)
}

// driverLockDocument is the drivers that were accepted.
type driverLockDocument struct {
	FormatVersion int `json:"format_version"`
	// Lock is the file that holds their checksums.
	Lock   string         `json:"lock"`
	Pinned []pinnedDriver `json:"pinned"`
}

type pinnedDriver struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Version string `json:"version"`
	// Source is where it came from.
	Source string `json:"source"`
}

// driverVerifyDocument says whether the drivers are those that were accepted.
type driverVerifyDocument struct {
	FormatVersion int              `json:"format_version"`
	Drivers       []verifiedDriver `json:"drivers"`
}

type verifiedDriver struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	Accepted bool   `json:"accepted"`
	Error    string `json:"error,omitempty"`
}

func (a *app) verifyDrivers() error {
	sources, _, err := a.sources(drivers.NewLauncher(drivers.Options{}))
	if err != nil {
		return err
	}
	path, err := a.lockPath()
	if err != nil {
		return err
	}
	lock, err := drivers.ReadLock(path)
	if err != nil {
		return err
	}
	var bad []string
	d := driverVerifyDocument{FormatVersion: 1, Drivers: []verifiedDriver{}}
	for _, s := range sources {
		v := verifiedDriver{Kind: string(s.Kind), Name: s.Name, Accepted: true}
		if err := lock.Verify(s); err != nil {
			bad = append(bad, err.Error())
			v.Accepted, v.Error = false, err.Error()
		}
		d.Drivers = append(d.Drivers, v)
	}
	if err := a.print(d); err != nil {
		return err
	}
	if len(bad) > 0 {
		return &exitCode{exitError, strings.Join(bad, "\n")}
	}
	a.say("%s as accepted", report.Plural(len(sources), "driver"))
	return nil
}
