package survey

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// refusing is a host whose connection fails; it counts how often.
type refusing struct{ asked int }

func (r *refusing) Run(context.Context, driver.Command) (driver.Result, error) {
	r.asked++
	return driver.Result{}, errors.New("cannot dial: no route to host")
}

// TestPackagesForWhatIsFound: the driver is the one of the package manager
// that the host has, on every family.
func TestPackagesForWhatIsFound(t *testing.T) {
	for want, c := range map[string]struct{ release, tools string }{
		"apt":    {"ID=ubuntu\nID_LIKE=debian\n", "apt-get dnf"},
		"dnf":    {"ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "dnf yum apt-get"},
		"zypper": {"ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", "zypper dnf"},
		"apk":    {"ID=alpine\n", "apk"},
	} {
		for name, argv := range shells(t) {
			t.Run(want+"/"+name, func(t *testing.T) {
				h := newFakeHost(t)
				h.remote.argv = argv
				write(t, filepath.Join(h.root, "etc/os-release"), c.release, 0o644)
				for _, tool := range []string{"apt-get", "dnf", "yum", "zypper", "apk"} {
					_ = os.Remove(filepath.Join(h.root, "bin", tool))
				}
				for _, tool := range strings.Fields(c.tools) {
					write(t, filepath.Join(h.root, "bin", tool), "#!/bin/sh\n", 0o755)
				}
				p, got := &probing{}, ""
				f := Take(context.Background(), Request{Host: inventory.Host{Name: "x", StateDir: h.root + "/state"}, Remote: h.remote, Now: noon,
					PackagesFor: func(manager string) (Packages, error) { got = manager; return p, nil }})
				if got != want || f.PackageManager != want || f.Packages == nil || len(p.got) != 4 {
					t.Errorf("asked for %q, facts say %q, want %q; packages %+v, %q", got, f.PackageManager, want, f.Packages, f.Problems)
				}
			})
		}
	}
}

func TestPackagesForYumOnly(t *testing.T) {
	h := newFakeHost(t)
	if err := os.Remove(filepath.Join(h.root, "bin/dnf")); err != nil {
		t.Fatal(err)
	}
	if got, err := manager(context.Background(), h.remote); got != "dnf" || err != nil {
		t.Errorf("%q, %v; want dnf, which also serves yum", got, err)
	}
}

func TestPackagesForNone(t *testing.T) {
	h := newFakeHost(t)
	r := Request{Host: inventory.Host{Name: "x", StateDir: h.root + "/state"}, Remote: h.remote, Now: noon,
		PackagesFor: func(string) (Packages, error) { return nil, errors.New("it is not built in") }}
	if f := Take(context.Background(), r); f.Packages != nil || f.Unreachable != "" || !strings.Contains(strings.Join(f.Problems, "\n"), "packages: it is not built in") {
		t.Errorf("packages %+v, %q, problems %q", f.Packages, f.Unreachable, f.Problems)
	}
	if _, err := choose(r, ""); err == nil || !strings.Contains(err.Error(), "apt, dnf, yum, zypper, apk") {
		t.Errorf("none found: %v", err)
	}
	gone := &refusing{}
	r.Remote = gone
	if f := Take(context.Background(), r); f.Unreachable != "cannot dial: no route to host" || gone.asked != 1 {
		t.Errorf("unreachable %q after %d tries", f.Unreachable, gone.asked)
	}
}
