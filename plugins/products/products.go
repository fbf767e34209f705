// Package products knows which packages are software whose next major is an
// upgrade, and decides for every package driver alike which pending changes
// wait until a rollout names them.
//
// MySQL 5.6.25 to 5.6.30 is an update, 5.6 to 5.7 an upgrade; so are PHP 8.2
// to 8.3, PostgreSQL 15 to 16 and the next release of the system. The table
// knows the names of Debian and Ubuntu, of Fedora, the Enterprise Linux family
// and its third-party repositories, of SUSE and of Alpine. An inventory adds
// entries of its own, which come before the shipped ones:
//
//	driver "packages" "apt" {
//	  products = ["gitlab: ^gitlab-(ce|ee)$: 2"]
//	}
//
// The package is pure. It refuses to compare versions, which every package
// manager does in its own way, and to let a system move to its next release.
package products

import (
	"regexp"
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// OS is the product that stands for the release of the system.
const OS = "os"

// Table finds the product of a package. It is never changed once made.
type Table struct{ rows []row }

// row is one naming of one product's packages.
type row struct {
	product string // "" for packages with a version of their own
	match   *regexp.Regexp
	// parts is how many numbers of the version make the major; with 0 the
	// version says nothing. Numbers that match captures from the name come first.
	parts int
}

// New returns the shipped table behind entries of an inventory, each written
// "NAME: REGEXP: PARTS".
func New(entries []string) (*Table, error) {
	own, err := parse(entries)
	if err != nil {
		return nil, err
	}
	return &Table{rows: append(own, shipped...)}, nil
}

// Shipped returns the table without entries of an inventory.
func Shipped() *Table { return &Table{rows: shipped} }

// ProductOf returns the product and the major of a package at a version; the
// product is "" for most packages, the major "" when it cannot be told. An
// architecture as Debian writes it, "name:arch", is left out of account.
func (t *Table) ProductOf(name, version string) (product, major string) {
	name, _, _ = strings.Cut(name, ":")
	for _, r := range t.rows {
		m := r.match.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		if r.product == "" {
			return "", ""
		}
		if major := captured(m[1:]); major != "" {
			return r.product, major
		}
		return r.product, Leading(version, r.parts)
	}
	return "", ""
}

var dotted = regexp.MustCompile(`^\d+(?:\.\d+)*$`)

// captured joins the numbers that a name carries: "82" caught as "8" and "2"
// is 8.2. Anything else that was caught is no version.
func captured(groups []string) string {
	var numbers []string
	for _, g := range groups {
		if dotted.MatchString(g) {
			numbers = append(numbers, g)
		}
	}
	return strings.Join(numbers, ".")
}

var digits = regexp.MustCompile(`^\d+`)

// Leading returns the first n numbers of a version's upstream part, "10.11" of
// "1:10.11.6-0+deb12u1", or "" when there are fewer.
func Leading(version string, n int) string {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		version = rest
	}
	var got []string
	for len(got) < n {
		number := digits.FindString(version)
		if number == "" {
			return ""
		}
		got = append(got, number)
		version = version[len(number):]
		if len(got) < n {
			if !strings.HasPrefix(version, ".") {
				return ""
			}
			version = version[1:]
		}
	}
	return strings.Join(got, ".")
}

// Majors are the majors of each product that a host has.
type Majors map[string][]string

// Majors reads them from the installed packages, version by name.
func (t *Table) Majors(installed map[string]string) Majors {
	majors := Majors{}
	for name, version := range installed {
		product, major := t.ProductOf(name, version)
		if product != "" && major != "" && !slices.Contains(majors[product], major) {
			majors[product] = append(majors[product], major)
		}
	}
	for _, of := range majors {
		slices.Sort(of)
	}
	return majors
}

// Classify sets Change and Product, and for an upgrade the Reason. A new
// package is an upgrade when it brings a major beside the present ones.
func (t *Table) Classify(c *driver.PackageChange, have Majors) {
	product, to := t.ProductOf(c.Name, c.To)
	c.Product = product
	if c.From == "" {
		c.Change = driver.ChangeInstall
		present := have[product]
		if product != "" && product != OS && to != "" && len(present) > 0 && !slices.Contains(present, to) {
			c.Change = driver.ChangeUpgrade
			c.Reason = product + " " + to + " is not installed yet"
		}
		return
	}
	c.Change = driver.ChangeUpdate
	if product == "" {
		return
	}
	if _, from := t.ProductOf(c.Name, c.From); from != to {
		c.Change = driver.ChangeUpgrade
		c.Reason = product + " moves from " + orUnknown(from) + " to " + orUnknown(to)
	}
}

func orUnknown(major string) string {
	if major == "" {
		return "an unknown major"
	}
	return major
}
