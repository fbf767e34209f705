// Package importer turns the inventories of other tools into an ncfleet
// inventory: Ansible's (INI, YAML, the JSON of ansible-inventory --list, with
// the group_vars and host_vars beside them) and OpenSSH's ssh_config.
//
// It takes over how hosts are reached and grouped. It refuses to guess: what it
// does not understand is named by file and line. It never copies a password,
// runs no program and evaluates no template beyond a plain variable.
package importer

import (
	"fmt"
	"sort"
)

// Place is where something was read; lines count from 1, 0 means the file.
type Place struct {
	File string
	Line int
}

func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Note is something that was not taken over, and why.
type Note struct {
	At   Place
	Text string
	// Variable is set where only a variable was left out that says nothing of
	// how a host is reached.
	Variable string
}

// Jump is a bastion: "user@host:port", user and port may be missing.
type Jump string

// Host is a host as the other tool reaches it. Zero values were not given.
type Host struct {
	Name    string // as ncfleet may call it
	Address string
	User    string
	Port    int
	Keys    []string // private key files
	Jump    []Jump   // outermost first
	// HostKeys is "accept-new" where the source turns checking off.
	HostKeys string
	At       Place
}

// Group is a named set of hosts.
type Group struct {
	Name  string
	Hosts []string // names as in Host.Name, sorted
}

// Inventory is what was understood of one source.
type Inventory struct {
	Hosts  []Host // sorted by name
	Groups []Group
	Notes  []Note // in order of place
}

func (inv *Inventory) note(at Place, format string, a ...any) {
	inv.Notes = append(inv.Notes, Note{At: at, Text: fmt.Sprintf(format, a...)})
}

// order sorts everything, so that one source always gives one text.
func (inv *Inventory) order() {
	sort.Slice(inv.Hosts, func(i, j int) bool { return inv.Hosts[i].Name < inv.Hosts[j].Name })
	sort.Slice(inv.Groups, func(i, j int) bool { return inv.Groups[i].Name < inv.Groups[j].Name })
	sort.SliceStable(inv.Notes, func(i, j int) bool {
		a, b := inv.Notes[i].At, inv.Notes[j].At
		if a.File != b.File {
			return a.File < b.File
		}
		return a.Line < b.Line
	})
}
