package rpm

import (
	"slices"
	"sort"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/products"
)

// View is what a package manager said of one host.
type View struct {
	Installed Installed
	// Newer has every known version above the installed one, whether it can be
	// installed or not.
	Newer []Package
	// Changes are what the resolver would install in one go.
	Changes []Package
	// Removed names the installed packages that would go, each with the package
	// that replaces it, "" if none does.
	Removed map[string]string
	// Replacing has the packages that stand behind Removed.
	Replacing []Package
	// Kept says why a package stays as it is, by name.
	Kept map[string]string
	// Security has the names of packages whose update repairs a vulnerability.
	Security map[string]bool
}

const keptReason = "kept back: its dependencies cannot be met"

// Pending makes the list of pending changes, sorted by name: held is what the
// host keeps back and what the table decides to hold. named are the products
// whose upgrade is wanted.
func (v View) Pending(t *products.Table, named []string) []driver.PackageChange {
	changes := map[string]driver.PackageChange{}
	for _, p := range v.newest(v.Newer) {
		c := v.change(p)
		c.Held, c.Reason = true, keptReason
		changes[c.Name] = c
	}
	for _, p := range v.newest(v.Changes) {
		c := v.change(p)
		if c.From != c.To {
			changes[c.Name] = c
		}
	}
	for _, p := range v.Replacing {
		c := v.change(p)
		c.Held, c.Reason = true, "it would replace an installed package, and packages are never removed"
		changes[c.Name] = c
	}
	for name, by := range v.Removed {
		c := driver.PackageChange{Name: name, From: v.Installed.of(name, ""), Change: driver.ChangeRemove, Held: true}
		if by != "" {
			c.Reason = by + " would replace it, and packages are never removed"
		}
		changes[name] = c
	}
	list := make([]driver.PackageChange, 0, len(changes))
	for _, c := range changes {
		if why := v.Kept[base(c.Name)]; why != "" && c.Change != driver.ChangeRemove {
			c.Held, c.Reason = true, why
		}
		list = append(list, v.within(c, t, named))
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	t.Decide(list, t.Majors(v.Installed.Versions()), named, Less)
	return list
}

// Offered has of each change every version that Newer has of the package.
func (v View) Offered(list []driver.PackageChange) map[string][]string {
	out := map[string][]string{}
	for _, c := range list {
		var newer []string
		for _, p := range v.Newer {
			if v.key(p) == c.Name {
				newer = append(newer, p.EVR)
			}
		}
		slices.SortFunc(newer, Compare)
		if newer = slices.Compact(newer); len(newer) > 0 {
			out[c.Name] = newer
		}
	}
	return out
}

// Keyed are the installed versions by the names that changes have.
func (v View) Keyed() map[string]string {
	m := map[string]string{}
	for _, p := range v.Installed.list {
		m[v.key(p)] = p.EVR // ascending: the newest stays
	}
	return m
}

func (v View) change(p Package) driver.PackageChange {
	return driver.PackageChange{Name: v.key(p), From: v.Installed.of(p.Name, p.Arch), To: p.EVR, Security: v.Security[p.Name]}
}

// key is the name of a package among the changes of its host.
func (v View) key(p Package) string {
	if p.Arch != "" && v.Installed.several(p.Name) {
		return p.Name + ":" + p.Arch
	}
	return p.Name
}

// newest keeps the newest version of each package.
func (v View) newest(list []Package) []Package {
	best := map[string]Package{}
	for _, p := range list {
		if have, ok := best[v.key(p)]; !ok || Less(have.EVR, p.EVR) {
			best[v.key(p)] = p
		}
	}
	out := make([]Package, 0, len(best))
	for _, p := range best {
		out = append(out, p)
	}
	return out
}

// within offers the newest update of the present major where the newest of all
// is an upgrade that nobody named: one repository may have both.
func (v View) within(c driver.PackageChange, t *products.Table, named []string) driver.PackageChange {
	product, from := t.ProductOf(c.Name, c.From)
	if c.From == "" || c.To == "" || product == "" || product == products.OS || c.Held || slices.Contains(named, product) {
		return c
	}
	_, to := t.ProductOf(c.Name, c.To)
	if from == to || from == "" {
		return c
	}
	upgrade, best := c.To, ""
	for _, p := range v.Newer {
		if v.key(p) != c.Name || !Less(c.From, p.EVR) {
			continue
		}
		if _, major := t.ProductOf(p.Name, p.EVR); major == from && (best == "" || Less(best, p.EVR)) {
			best = p.EVR
		}
	}
	if best != "" {
		c.To, c.Reason = best, upgrade+" is an upgrade, done only when the rollout names "+product
	}
	return c
}
