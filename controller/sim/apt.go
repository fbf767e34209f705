package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// pkg is one package of a simulated Debian.
type pkg struct {
	Name      string
	Source    string
	Version   string // installed
	Candidate string `json:",omitempty"` // what the repositories have, "" nothing newer
	Origin    string `json:",omitempty"`
	Hold      bool   `json:",omitempty"` // apt-mark hold
	Auto      bool   `json:",omitempty"`
	// Fetched is a version that was downloaded and not installed.
	Fetched string `json:",omitempty"`
}

const (
	stable   = "Debian:12.6/stable"
	security = "Debian-Security:12/stable-security"
)

// debian is what every host begins with. MariaDB has a new major in the
// repositories: an upgrade, which only a rollout that names it makes.
var debian = []pkg{
	{Name: "base-files", Source: "base-files", Version: "12.4+deb12u5", Candidate: "12.4+deb12u6", Origin: stable},
	{Name: "bash", Source: "bash", Version: "5.2.15-2+b2"},
	{Name: "curl", Source: "curl", Version: "7.88.1-10+deb12u5", Candidate: "7.88.1-10+deb12u6", Origin: security},
	{Name: "dash", Source: "dash", Version: "0.5.12-2"},
	{Name: "libc6", Source: "glibc", Version: "2.36-9+deb12u4", Candidate: "2.36-9+deb12u7", Origin: stable + ", " + security},
	{Name: "libssl3", Source: "openssl", Version: "3.0.11-1~deb12u2", Candidate: "3.0.13-1~deb12u1", Origin: security},
	{Name: "mariadb-client", Source: "mariadb", Version: "1:10.6.18-0+sim1", Candidate: "1:10.11.6-0+deb12u1", Origin: stable},
	{Name: "mariadb-server", Source: "mariadb", Version: "1:10.6.18-0+sim1", Candidate: "1:10.11.6-0+deb12u1", Origin: stable},
	{Name: "openssl", Source: "openssl", Version: "3.0.11-1~deb12u2", Candidate: "3.0.13-1~deb12u1", Origin: security},
	{Name: "php8.2-cli", Source: "php8.2", Version: "8.2.18-1~deb12u1", Candidate: "8.2.20-1~deb12u1", Origin: security},
	{Name: "php8.2-fpm", Source: "php8.2", Version: "8.2.18-1~deb12u1", Candidate: "8.2.20-1~deb12u1", Origin: security},
	{Name: "tzdata", Source: "tzdata", Version: "2024a-0+deb12u1", Candidate: "2024b-0+deb12u1", Origin: stable, Hold: true},
}

func (h *hostConf) packages() ([]pkg, error) {
	text, err := os.ReadFile(h.at("packages.json"))
	if err != nil {
		return nil, err
	}
	var list []pkg
	return list, json.Unmarshal(text, &list)
}

func (h *hostConf) savePackages(list []pkg) error {
	text, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		return err
	}
	if err := writeFile(h.at("packages.json"), string(text)+"\n", 0o600); err != nil {
		return err
	}
	var status strings.Builder
	for _, p := range list {
		fmt.Fprintf(&status, "%s\t%s\t%s \t%s\n", p.Name, p.Version, map[bool]string{true: "hi", false: "ii"}[p.Hold], p.Source)
	}
	return writeFile(h.at("dpkg-status"), status.String(), 0o600)
}

// aptGet stands in for apt-get: update, upgrade and dist-upgrade as
// simulations, and install of exact versions.
func (p *process) aptGet() int {
	var verb string
	var words []string
	simulate, download := false, false
	for i := 0; i < len(p.args); i++ {
		switch a := p.args[i]; {
		case a == "-o" || a == "-t" || a == "-c":
			i++
		case a == "-s" || a == "--simulate":
			simulate = true
		case a == "--download-only" || a == "-d":
			download = true
		case strings.HasPrefix(a, "-"):
		case verb == "":
			verb = a
		default:
			words = append(words, a)
		}
	}
	list, err := p.host.packages()
	if err != nil {
		p.complain("E: %v\n", err)
		return 100
	}
	switch {
	case verb == "update":
		p.say("Hit:1 http://deb.debian.org/debian bookworm InRelease\nHit:2 http://security.debian.org/debian-security bookworm-security InRelease\nReading package lists...\n")
		return 0
	case (verb == "upgrade" || verb == "dist-upgrade") && simulate:
		p.simulateUpgrade(list)
		return 0
	case verb == "install":
		return p.install(list, words, simulate, download)
	}
	p.complain("E: Invalid operation %s\n", verb)
	return 100
}

const aptReading = "Reading package lists...\nBuilding dependency tree...\nReading state information...\n"

func (p *process) simulateUpgrade(list []pkg) {
	p.say("%sCalculating upgrade...\n", aptReading)
	var kept, upgraded []pkg
	for _, k := range list {
		switch {
		case k.Candidate == "":
		case k.Hold:
			kept = append(kept, k)
		default:
			upgraded = append(upgraded, k)
		}
	}
	p.section("The following packages have been kept back:", kept)
	p.section("The following packages will be upgraded:", upgraded)
	p.say("%d upgraded, 0 newly installed, 0 to remove and %d not upgraded.\n", len(upgraded), len(kept))
	for _, k := range upgraded {
		p.say("Inst %s [%s] (%s %s [amd64])\n", k.Name, k.Version, k.Candidate, k.Origin)
	}
	for _, k := range upgraded {
		p.say("Conf %s (%s %s [amd64])\n", k.Name, k.Candidate, k.Origin)
	}
}

func (p *process) section(title string, list []pkg) {
	if len(list) == 0 {
		return
	}
	p.say("%s\n", title)
	for _, k := range list {
		p.say("   %s (%s => %s)\n", k.Name, k.Version, k.Candidate)
	}
}

func (p *process) install(list []pkg, words []string, simulate, download bool) int {
	p.say("%s", aptReading)
	var names []string
	for _, w := range words {
		name, version, exact := strings.Cut(w, "=")
		name, _, _ = strings.Cut(name, ":")
		i := slices.IndexFunc(list, func(k pkg) bool { return k.Name == name })
		if i < 0 {
			p.complain("E: Unable to locate package %s\n", name)
			return 100
		}
		k := &list[i]
		if exact && version != k.Version && version != k.Candidate {
			p.complain("E: Version '%s' for '%s' was not found\n", version, name)
			return 100
		}
		if version == k.Version || k.Candidate == "" {
			p.say("%s is already the newest version (%s).\n", k.Name, k.Version)
			continue
		}
		names = append(names, k.Name)
	}
	if len(names) > 0 {
		p.say("The following packages will be upgraded:\n  %s\n", strings.Join(names, " "))
	}
	p.say("%d upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n", len(names))
	if simulate {
		return 0
	}
	for i := range list {
		k := &list[i]
		if !slices.Contains(names, k.Name) {
			continue
		}
		if k.Fetched != k.Candidate {
			p.say("Get:1 http://deb.debian.org/debian bookworm/main amd64 %s amd64 %s\n", k.Name, k.Candidate)
			k.Fetched = k.Candidate
		}
		if download {
			continue
		}
		p.say("Unpacking %s (%s) over (%s) ...\nSetting up %s (%s) ...\n", k.Name, k.Candidate, k.Version, k.Name, k.Candidate)
		k.Version, k.Candidate, k.Fetched, k.Origin = k.Candidate, "", "", ""
	}
	if err := p.host.savePackages(list); err != nil {
		p.complain("E: Write error - %v\n", err)
		return 100
	}
	return 0
}
