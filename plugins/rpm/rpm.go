// Package rpm is what the package drivers for RPM-based systems share: names
// and versions, the list of installed packages, what a look at the host tells,
// and the choice of pending changes from what a resolver said.
//
// The package is pure. It refuses to know a package manager's command line:
// plugins/dnf and plugins/zypper have those.
package rpm

import (
	"regexp"
	"sort"
	"strings"

	rpmversion "github.com/knqyf263/go-rpm-version"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Package is one package at one version. EVR is epoch (when there is one),
// version and release: "1:10.5.22-1.el9".
type Package struct{ Name, EVR, Arch string }

// Compare orders two versions as rpm does: epoch, version, release.
func Compare(a, b string) int {
	return rpmversion.NewVersion(a).Compare(rpmversion.NewVersion(b))
}

// Less reports whether a is the older version.
func Less(a, b string) bool { return Compare(a, b) < 0 }

var (
	packageName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]*(?::[a-z0-9_]+)?$`)
	packageEVR  = regexp.MustCompile(`^(?:[0-9]+:)?[A-Za-z0-9._+~^]+-[A-Za-z0-9._+~^]+$`)
)

// maxWords bounds the packages of one command line, in bytes. There is no
// second command: all packages are one transaction.
const maxWords = 100_000

// Words checks a selection and writes it as NAME=EVR, or NAME:ARCH=EVR where
// the host has one package in several architectures; sorted. fresh are the
// names of new packages.
func Words(s driver.Selection) (words, fresh []string, err error) {
	seen, size := map[string]bool{}, 0
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
		if !packageName.MatchString(c.Name) || !packageEVR.MatchString(c.To) {
			return nil, nil, driver.Errorf(driver.Permanent, "package %q at version %q is no name and version-release of an RPM package", c.Name, c.To)
		}
		if seen[c.Name] {
			return nil, nil, driver.Errorf(driver.Permanent, "package %s is selected twice", c.Name)
		}
		seen[c.Name] = true
		word := c.Name + "=" + c.To
		size += len(word) + 1
		words = append(words, word)
		if c.From == "" {
			fresh = append(fresh, c.Name)
		}
	}
	if size > maxWords {
		return nil, nil, driver.Errorf(driver.Permanent, "%d packages are too many for one transaction: update this host by hand once, or select fewer", len(words))
	}
	sort.Strings(words)
	sort.Strings(fresh)
	return words, fresh, nil
}

// base is a package's name without its architecture.
func base(name string) string {
	name, _, _ = strings.Cut(name, ":")
	return name
}

// SplitNEVRA reads "name-[epoch:]version-release.arch"; epoch zero is left out.
func SplitNEVRA(s string) (Package, bool) {
	dot := strings.LastIndex(s, ".")
	if dot < 0 {
		return Package{}, false
	}
	rest, arch := s[:dot], s[dot+1:]
	release := strings.LastIndex(rest, "-")
	if release <= 0 {
		return Package{}, false
	}
	version := strings.LastIndex(rest[:release], "-")
	if version <= 0 || arch == "" {
		return Package{}, false
	}
	p := Package{Name: rest[:version], EVR: strings.TrimPrefix(rest[version+1:], "0:"), Arch: arch}
	return p, packageEVR.MatchString(p.EVR) && packageName.MatchString(p.Name)
}
