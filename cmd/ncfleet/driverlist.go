package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/ncfleet/ncfleet/controller/drivers"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// The states of a driver against ncfleet.lock.
const (
	stateBuiltin = "built in" // pinned to ncfleet itself
	statePinned  = "pinned"
	stateChanged = "changed" // not the file that was accepted
	stateUnknown = "unknown" // never accepted, or not for this platform
)

// driversDocument is the drivers of the inventory.
type driversDocument struct {
	FormatVersion int              `json:"format_version"`
	Drivers       []driverDocument `json:"drivers"`
}

// driverDocument is one driver of the inventory. What only the driver itself
// could say is known of accepted ones: others are not started.
type driverDocument struct {
	FormatVersion int         `json:"format_version"`
	Kind          driver.Kind `json:"kind" jsonschema:"enum=packages,enum=snapshot"`
	Name          string      `json:"name"`
	Version       string      `json:"version,omitempty"`
	// State is "unknown" when the driver was never accepted, or not for this
	// platform, and "changed" when it is not the file that was accepted.
	State        string   `json:"state" jsonschema:"enum=built in,enum=pinned,enum=changed,enum=unknown"`
	SHA256       string   `json:"sha256,omitempty"`
	Platforms    []string `json:"platforms,omitempty"`
	Capabilities []string `json:"capabilities"`
	Path         string   `json:"path,omitempty"`
}

func (a *app) listDrivers(ctx context.Context) error {
	l := drivers.NewLauncher(drivers.Options{})
	sources, lock, _, err := a.sourcesAndLock(l)
	if err != nil {
		return err
	}
	all := []driverDocument{}
	for _, s := range sources {
		d, err := describe(ctx, l, lock, s)
		if err != nil {
			return err
		}
		all = append(all, d)
	}
	if a.json() {
		return printList(a, driversDocument{1, all}, all)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "KIND\tNAME\tVERSION\tSTATE\tSHA256\tCAPABILITIES\tFROM")
	for _, d := range all {
		caps := strings.Join(d.Capabilities, ",")
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.12s\t%s\t%s\n", d.Kind, d.Name, orDash(d.Version), d.State, orDash(d.SHA256), orDash(caps), orDash(d.Path))
	}
	return w.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func describe(ctx context.Context, l *drivers.Launcher, lock drivers.Lock, s drivers.Source) (driverDocument, error) {
	d := driverDocument{FormatVersion: 1, Kind: s.Kind, Name: s.Name, State: stateBuiltin, Capabilities: []string{}}
	if s.Builtin {
		for _, b := range builtins {
			if b.kind == s.Kind && b.name == s.Name {
				info, err := b.make().Info(ctx)
				if err != nil {
					return d, err
				}
				d.Version, d.Capabilities = info.Version, append(d.Capabilities, info.Capabilities...)
			}
		}
		return d, nil
	}
	d.Path = s.Path
	var err error
	if d.SHA256, err = drivers.FileSHA256(s.Path); err != nil {
		return d, fmt.Errorf("cannot read driver %q %q: %w", s.Kind, s.Name, err)
	}
	entry, known := lock.Find(s.Kind, s.Name)
	d.Version, d.Platforms = entry.Version, entry.Platforms()
	switch accepted := entry.SHA256[drivers.Platform()]; {
	case !known, accepted == "":
		d.State = stateUnknown
	case accepted != d.SHA256:
		d.State = stateChanged
	default:
		d.State = statePinned
		_, info, err := l.Inspect(ctx, s)
		if err != nil {
			return d, err
		}
		d.Capabilities = append(d.Capabilities, info.Capabilities...)
	}
	return d, nil
}
