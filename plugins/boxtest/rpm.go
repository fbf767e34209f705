package boxtest

import (
	"fmt"
	"strings"
)

// RPM is a package to build: it has /usr/share/NAME/version, and the
// configuration file /etc/lab/NAME.conf.
type RPM struct {
	Name, Version string
	Head          string // more lines of its preamble: "Requires: x"
	Post, Pre     string // scriptlets
	Beside        bool   // every version has files of its own, as a kernel
}

// Advisory is a published notice that a package's version repairs something.
type Advisory struct {
	ID, Kind, Name, Version string // Kind is security or recommended
	Reboot                  bool
}

// Build makes packages (version-1, noarch) in one run of rpmbuild.
func (b *Box) Build(dir string, list ...RPM) {
	b.t.Helper()
	var spec strings.Builder
	spec.WriteString("%global __os_install_post %{nil}\nName: lab-source\nVersion: 1\nRelease: 1\nSummary: lab\nLicense: none\nBuildArch: noarch\n%description\nlab\n")
	install := ""
	for _, p := range list {
		// One subpackage name can stand in a spec once: its file is given by -n.
		at := p.Name
		if p.Beside {
			at += "-" + p.Version
		}
		fmt.Fprintf(&spec, "%%package -n %s\nVersion: %s\nSummary: lab\n%s\n%%description -n %s\nlab\n%%files -n %s\n/usr/share/%s\n%%config(noreplace) /etc/lab/%s.conf\n", p.Name, p.Version, p.Head, p.Name, p.Name, at, at)
		if p.Post != "" {
			fmt.Fprintf(&spec, "%%post -n %s\n%s\n", p.Name, p.Post)
		}
		if p.Pre != "" {
			fmt.Fprintf(&spec, "%%pre -n %s\n%s\n", p.Name, p.Pre)
		}
		install += fmt.Sprintf("mkdir -p %%{buildroot}/usr/share/%s %%{buildroot}/etc/lab\necho %s >%%{buildroot}/usr/share/%s/version\necho setting=%s >%%{buildroot}/etc/lab/%s.conf\n", at, p.Version, at, p.Version, at)
	}
	spec.WriteString("%install\n" + install)
	b.Sh(fmt.Sprintf("mkdir -p %s /tmp/build\ncat >/tmp/build/lab.spec <<'SPEC'\n%s\nSPEC\nrpmbuild -bb --quiet --define '_topdir /tmp/build' --define '_rpmdir %s' --define '_build_id_links none' /tmp/build/lab.spec 2>&1", dir, spec.String(), dir))
}

// Index makes the folder a repository.
func (b *Box) Index(dir string, advisories ...Advisory) {
	b.t.Helper()
	var xml strings.Builder
	xml.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n<updates>\n")
	for _, a := range advisories {
		fmt.Fprintf(&xml, `<update from="lab@example.invalid" status="final" type="%s" version="1"><id>%s</id><title>%s</title><issued date="2026-11-01 00:00:00"/><updated date="2026-11-01 00:00:00"/><severity>Important</severity><summary>s</summary><description>d</description><references/>`+
			`<pkglist><collection short="lab"><name>lab</name><package name="%s" version="%s" release="1" epoch="0" arch="noarch" src="x.src.rpm"><filename>%s-%s-1.noarch.rpm</filename>`, a.Kind, a.ID, a.ID, a.Name, a.Version, a.Name, a.Version)
		if a.Reboot {
			xml.WriteString("<reboot_suggested>True</reboot_suggested>")
		}
		xml.WriteString("</package></collection></pkglist></update>\n")
	}
	xml.WriteString("</updates>\n")
	b.Sh(fmt.Sprintf("createrepo_c -q %s\n", dir))
	if len(advisories) > 0 {
		b.Sh(fmt.Sprintf("cat >/tmp/updateinfo.xml <<'XML'\n%s\nXML\nmodifyrepo_c --mdtype=updateinfo /tmp/updateinfo.xml %s/repodata >/dev/null\n", xml.String(), dir))
	}
}

// Installed is what every box has installed.
func Installed() []RPM {
	list := []RPM{{Name: "lab-base", Version: "1.0", Head: "Provides: /bin/sh"}, {Name: "kernel-core", Version: "1.0", Head: "Provides: kernel = 1.0", Beside: true},
		{Name: "php", Version: "8.2.1"}, {Name: "mariadb-server", Version: "10.5.1"},
		{Name: "lab-package-with-a-name-longer-than-a-column-of-the-table-is-wide", Version: "1.0"}}
	for _, name := range []string{"lab-plain", "lab-sec", "lab-held", "lab-kept", "lab-dep", "lab-old", "lab-bad", "lab-badpre", "lab-slow", "systemd"} {
		list = append(list, RPM{Name: name, Version: "1.0"})
	}
	return list
}

// Updates is what the repository has besides, once updates appear: one of every
// kind. A PHP of both majors is in it.
func Updates() [][]RPM {
	return [][]RPM{{
		{Name: "lab-plain", Version: "2.0"}, {Name: "lab-sec", Version: "2.0"}, {Name: "lab-held", Version: "2.0"},
		{Name: "lab-kept", Version: "2.0", Head: "Requires: lab-missing"},
		{Name: "lab-dep", Version: "2.0", Head: "Requires: lab-newdep"}, {Name: "lab-newdep", Version: "1.0"},
		{Name: "lab-new", Version: "2.0", Head: "Obsoletes: lab-old < 2\nProvides: lab-old = 2.0"},
		{Name: "php", Version: "8.2.2"}, {Name: "mariadb-server", Version: "10.11.2"},
		{Name: "kernel-core", Version: "2.0", Head: "Provides: kernel = 2.0", Beside: true}, {Name: "systemd", Version: "2.0"},
		{Name: "lab-package-with-a-name-longer-than-a-column-of-the-table-is-wide", Version: "2.0"},
	}, {{Name: "php", Version: "8.3.1"}}}
}

// Advisories belong to Updates.
func Advisories() []Advisory {
	return []Advisory{{ID: "LAB-2026:0001", Kind: "security", Name: "lab-sec", Version: "2.0"},
		{ID: "LAB-2026:0002", Kind: "recommended", Name: "kernel-core", Version: "2.0", Reboot: true}}
}

// The repository that the box uses: a link to one of the folders beside it,
// served over HTTP, for a tool may use a file where it lies.
const (
	Path = "/srv/repo/current"
	URL  = "http://127.0.0.1:8080/current"
)

// Populate builds both repositories and lets the box see the first one.
func (b *Box) Populate() {
	b.t.Helper()
	b.Need("rpmbuild", "createrepo_c", "modifyrepo_c")
	b.Build("/srv/repo/v1", Installed()...)
	b.Index("/srv/repo/v1")
	b.Sh("cp -a /srv/repo/v1 /srv/repo/v2; rm -rf /srv/repo/v2/repodata; ln -s v1 " + Path)
	for _, list := range Updates() {
		b.Build("/srv/repo/v2", list...)
	}
	b.Index("/srv/repo/v2", Advisories()...)
}

// Publish lets the updates appear, on the web server in the box.
func (b *Box) Publish() {
	b.t.Helper()
	b.Serve()
	b.Sh("ln -sfn v2 " + Path)
}

// Add puts further packages into the repository of the updates.
func (b *Box) Add(list ...RPM) {
	b.t.Helper()
	b.Build("/srv/repo/v2", list...)
	b.Index("/srv/repo/v2", Advisories()...)
}
