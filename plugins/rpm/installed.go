package rpm

import (
	"slices"
	"sort"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Query lists the installed packages in the form that ReadInstalled reads.
func Query() []string {
	return []string{"rpm", "-qa", "--qf", `%{NAME}\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\t%{ARCH}\n`}
}

// Installed are the installed packages, the versions of one package ascending.
type Installed struct{ list []Package }

// ReadInstalled reads the output of Query. A host without any package is an
// error: rpm looked into the wrong database or did not run.
func ReadInstalled(r driver.Result) (Installed, error) {
	var in Installed
	for _, line := range strings.Split(string(r.Stdout), "\n") {
		f := strings.Split(strings.TrimRight(line, "\r"), "\t")
		if len(f) != 3 || !packageName.MatchString(f[0]) || !packageEVR.MatchString(f[1]) || f[0] == "gpg-pubkey" {
			continue
		}
		in.list = append(in.list, Package{Name: f[0], EVR: strings.TrimPrefix(f[1], "0:"), Arch: f[2]})
	}
	if len(in.list) == 0 || r.Exit != 0 {
		return Installed{}, driver.Errorf(driver.Permanent, "cannot read the installed packages: rpm -qa ended with status %d: %s", r.Exit, FirstLine(r.Stderr, "it listed none"))
	}
	sort.SliceStable(in.list, func(i, j int) bool {
		a, b := in.list[i], in.list[j]
		if a.Name != b.Name {
			return a.Name < b.Name
		}
		if a.Arch != b.Arch {
			return a.Arch < b.Arch
		}
		return Less(a.EVR, b.EVR)
	})
	return in, nil
}

// Versions returns the newest version of each package by name.
func (in Installed) Versions() map[string]string {
	m := map[string]string{}
	for _, p := range in.list {
		if have, ok := m[p.Name]; !ok || Less(have, p.EVR) {
			m[p.Name] = p.EVR
		}
	}
	return m
}

// of returns the newest installed version of a package in an architecture; one
// that changed its architecture (to or from noarch) is found all the same.
func (in Installed) of(name, arch string) string {
	version, other := "", ""
	for _, p := range in.list {
		switch {
		case p.Name != name:
		case p.Arch == arch:
			version = p.EVR
		default:
			other = p.EVR
		}
	}
	if version == "" {
		return other
	}
	return version
}

// Has reports whether any version of the package is installed.
func (in Installed) Has(name string) bool {
	return slices.ContainsFunc(in.list, func(p Package) bool { return p.Name == name })
}

// several reports whether the package is there in more than one architecture.
func (in Installed) several(name string) bool {
	first := ""
	for _, p := range in.list {
		if p.Name == name {
			if first != "" && p.Arch != first {
				return true
			}
			first = p.Arch
		}
	}
	return false
}

// kernels are the packages that hold a kernel's image, by what the running
// kernel's release contains when it is one of them. Several versions of them
// stay installed side by side.
var kernels = []struct{ name, flavour string }{
	{"kernel-default", "-default"}, {"kernel-default-base", "-default"}, {"kernel-azure", "-azure"},
	{"kernel-uek-core", "uek"}, {"kernel-uek", "uek"}, {"kernel-core", ".el"}, {"kernel-core", ".fc"}, {"kernel-core", ".amzn"}, {"kernel", ".amzn"},
}

// NewerKernel returns an installed kernel that is newer than the running one
// and of its flavour, or "". running is what uname -r says.
func (in Installed) NewerKernel(running string) string {
	newest := ""
	for _, k := range kernels {
		if !strings.Contains(running, k.flavour) || k.name == "kernel-core" && strings.Contains(running, "uek") {
			continue
		}
		for _, p := range in.list {
			// 5.14.0-427.el9.x86_64 elsewhere; 6.4.0-150600.23.25-default on SUSE,
			// where the package's release has a rebuild count behind that.
			now := strings.TrimSuffix(strings.TrimSuffix(running, k.flavour), "."+p.Arch)
			if p.Name != k.name || p.EVR == now || strings.HasPrefix(p.EVR, now+".") {
				continue
			}
			if Less(now, p.EVR) && (newest == "" || Less(newest, p.EVR)) {
				newest = p.EVR
			}
		}
	}
	return newest
}

// FirstLine is the first line of an output, or another text when there is none.
func FirstLine(b []byte, otherwise string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	if line == "" {
		return otherwise
	}
	return line
}

// Twice returns the packages that are there in two versions for one
// architecture and not meant to be, as kernels and their modules are.
func (in Installed) Twice() []string {
	var names []string
	for i := 1; i < len(in.list); i++ {
		a, b := in.list[i-1], in.list[i]
		if a.Name == b.Name && a.Arch == b.Arch && !strings.HasPrefix(a.Name, "kernel") && !strings.Contains(a.Name, "-kmp-") {
			names = append(names, a.Name)
		}
	}
	return slices.Compact(names)
}
