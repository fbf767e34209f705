package survey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Remote runs the survey's command on one host.
type Remote interface {
	Run(ctx context.Context, c driver.Command) (driver.Result, error)
}

// Packages is the part of a package driver that a survey needs.
type Packages interface {
	Probes(ctx context.Context, r driver.ProbeRequest) ([]driver.Command, error)
	Facts(ctx context.Context, r driver.ProbeRequest, results []driver.Result) (driver.PackageFacts, error)
}

// Request says what to find out about one host.
type Request struct {
	Host   inventory.Host
	Remote Remote
	// Downloads are URLs to try from the host; files and folders of the
	// controller are left out by themselves.
	Downloads []string
	// Paths are further places whose free space matters, such as where
	// snapshots are kept.
	Paths []string
	// Packages is the driver of the host's packages. Where it is nil,
	// PackagesFor returns the one for the package manager that is found ("apt",
	// "dnf", "zypper", "apk"); with neither nobody asks about packages.
	Packages    Packages
	PackagesFor func(manager string) (Packages, error)
	Probe       driver.ProbeRequest
	// SetupChecks asks for occ setupchecks, AppStore for what the app store
	// offers. Both are slow.
	SetupChecks bool
	AppStore    bool
	// Shops tries from the host whether each instance's app store answers.
	Shops bool
	// Indices asks which of the database's indices are missing.
	Indices bool
	Now     func() time.Time
}

// Take surveys one host. It never fails: a host that cannot be surveyed gives
// Facts with Unreachable set.
func Take(ctx context.Context, r Request) plan.Facts {
	f := take(ctx, r)
	f.Host = r.Host.Name
	f.SeenAt = r.Now().UTC()
	return f
}

func take(ctx context.Context, r Request) plan.Facts {
	if word := badWord(r); word != "" {
		return plan.Facts{Unreachable: fmt.Sprintf("cannot survey %s: %q holds a control character", r.Host.Name, word)}
	}
	var probes []driver.Command
	var driverErr error
	if r.Packages == nil && r.PackagesFor != nil {
		found, err := manager(ctx, r.Remote)
		if err != nil {
			return unreachable(err)
		}
		r.Packages, driverErr = choose(r, found)
	}
	if r.Packages != nil && driverErr == nil {
		probes, driverErr = r.Packages.Probes(ctx, r.Probe)
	}
	res, err := r.Remote.Run(ctx, command(r, probes))
	if err != nil {
		return unreachable(err)
	}
	f, results, err := parse(r.Host, res.Stdout)
	if err != nil {
		return plan.Facts{Unreachable: fmt.Sprintf("%v (exit status %d: %s)", err, res.Exit, oneLine(res.Stderr))}
	}
	urls := remoteURLs(r.Downloads)
	for i := range f.Downloads {
		if i < len(urls) {
			f.Downloads[i].URL = urls[i] // also where nothing came back
		}
	}
	packages(ctx, r, &f, probes, results, driverErr)
	return f
}

// unreachable says why a host was not surveyed at all, and whether it was sudo
// that refused.
func unreachable(err error) plan.Facts {
	f := plan.Facts{Unreachable: err.Error()}
	var s interface{ SudoRefusal() string }
	if errors.As(err, &s) {
		f.SudoRefusal = s.SudoRefusal()
	}
	return f
}

// packages lets the driver read its probes' results.
func packages(ctx context.Context, r Request, f *plan.Facts, probes []driver.Command, results []driver.Result, err error) {
	if r.Packages != nil && err == nil {
		for len(results) < len(probes) {
			results = append(results, driver.Result{Exit: -1, Stderr: []byte("the probe did not finish in time")})
		}
		var pf driver.PackageFacts
		if pf, err = r.Packages.Facts(ctx, r.Probe, results[:len(probes)]); err == nil {
			f.Packages = &pf
			return
		}
	}
	if err != nil {
		f.Problems = append(f.Problems, fmt.Sprintf("packages: %v", err))
	}
}

// badWord returns the first argument that could break the line protocol.
func badWord(r Request) string {
	words := append([]string{r.Host.StateDir}, r.Downloads...)
	words = append(words, r.Paths...)
	for _, in := range r.Host.Instances {
		words = append(words, in.Path, in.WebUser, in.PHP)
	}
	for _, w := range words {
		if strings.ContainsFunc(w, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return w
		}
	}
	return ""
}
