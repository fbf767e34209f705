package inventory

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Setting is one thing that holds for a host, and where it was written.
type Setting struct {
	Name  string // "address", "ssh.user", "labels.ring", "nextcloud.main.path"
	Value string // a secret as its reference, a list with commas
	From  string // `host "cloud"`, `group "fra"`, "ssh" (the file's defaults) or "default"
	Range Range  // zero for a default
}

// defaults say what holds where nothing is written.
var defaults = map[string]string{
	"ssh.user": "whoever runs ncfleet", "ssh.port": "22", "ssh.known_hosts": "~/.ssh/known_hosts",
	"ssh.host_keys": "strict", "ssh.sudo": "auto",
	"packages": "found by the survey", "snapshot": "archive", "state_dir": DefaultStateDir,
	"web_user": "owner of config/config.php", "php": "found by the survey", "reload": "found by the survey",
	"probe_user": "made by the gate, and removed",
}

// Settings is everything that holds for a host after groups and defaults, in a
// fixed order. It is empty for a host that the inventory does not have.
func (f *Fleet) Settings(host string) []Setting {
	if f.loader == nil {
		return nil
	}
	i, ok := f.loader.byName[host]
	if !ok {
		return nil
	}
	e := explainer{l: f.loader, h: f.loader.hosts[i]}
	for _, g := range f.loader.groups {
		if slices.Contains(e.h.Groups, g.name) {
			e.groups = append(e.groups, g)
		}
	}
	e.host()
	e.ssh()
	e.instances()
	return e.list
}

// explainer finds out where each of a host's settings was written.
type explainer struct {
	l      *loader
	h      *hostDraft
	groups []*group // the host's, in file order
	list   []Setting
}

func (e *explainer) add(name, value, from string, rng hcl.Range) {
	e.list = append(e.list, Setting{Name: name, Value: value, From: from, Range: e.l.place(rng)})
}

func (e *explainer) fallback(name, key string) {
	if text, ok := defaults[key]; ok {
		e.list = append(e.list, Setting{Name: name, Value: text, From: "default"})
	}
}

func (e *explainer) host() {
	own := fmt.Sprintf("host %q", e.h.Name)
	e.add("address", e.h.Address, own, e.h.sec.attrs["address"].Expr.Range())
	for _, k := range sortedKeys(e.h.Labels) {
		if _, ok := e.h.ownLabels[k]; ok {
			e.add("labels."+k, e.h.Labels[k], own, e.h.sec.attrs["labels"].Expr.Range())
			continue
		}
		for _, g := range e.groups {
			if _, ok := g.labels[k]; ok {
				e.add("labels."+k, e.h.Labels[k], g.sec.what, g.sec.attrs["labels"].Expr.Range())
				break
			}
		}
	}
	e.text("packages", e.h.Packages, own, func(g *group) string { return g.packages })
	e.text("snapshot", e.h.Snapshot, own, func(g *group) string { return g.snapshot })
	e.text("state_dir", e.h.StateDir, own, func(g *group) string { return g.stateDir })
}

// text explains a setting that the host or one of its groups names.
func (e *explainer) text(name, value, own string, of func(*group) string) {
	if e.h.has(name) && value != "" {
		e.add(name, value, own, e.h.sec.attrs[name].Expr.Range())
		return
	}
	for _, g := range e.groups {
		if of(g) != "" {
			e.add(name, value, g.sec.what, g.sec.attrs[name].Expr.Range())
			return
		}
	}
	e.fallback(name, name)
}

func (e *explainer) ssh() {
	for i, f := range sshFields {
		name := "ssh." + f.name
		from, rng, ok := e.sshOrigin(i)
		if !ok {
			e.fallback(name, name)
			continue
		}
		e.add(name, shown(reflect.ValueOf(f.at(&e.h.SSH)).Elem().Interface()), from, rng)
	}
}

// sshOrigin is the block whose setting counts: the host's, a group's, the file's.
func (e *explainer) sshOrigin(field int) (from string, rng hcl.Range, ok bool) {
	if rng, ok = e.h.ssh.where(field); ok {
		return fmt.Sprintf("host %q", e.h.Name), rng, true
	}
	for _, g := range e.groups {
		if rng, ok = g.ssh.where(field); ok {
			return g.sec.what, rng, true
		}
	}
	rng, ok = e.l.fileSSH.where(field)
	return "ssh", rng, ok
}

// where is the place of a setting in the block, if it is given there.
func (p *sshPart) where(field int) (hcl.Range, bool) {
	if p == nil {
		return hcl.Range{}, false
	}
	for _, g := range p.given {
		if g.field == field {
			return g.rng, true
		}
	}
	return hcl.Range{}, false
}

func (e *explainer) instances() {
	own := fmt.Sprintf("host %q", e.h.Name)
	for i, n := range e.h.Instances {
		for _, a := range []struct{ name, value string }{
			{"path", n.Path}, {"url", n.URL}, {"web_user", n.WebUser}, {"php", n.PHP}, {"reload", strings.Join(n.Reload, " ")},
			{"probe_user", n.ProbeUser}, {"probe_password", shown(n.ProbePassword)},
		} {
			name := "nextcloud." + n.Name + "." + a.name
			if a.value == "" {
				e.fallback(name, a.name)
				continue
			}
			e.add(name, a.value, own, e.h.nested[i].attrs[a.name].Expr.Range())
		}
	}
}

// shown is a setting's value for people; a secret is shown as its reference.
func shown(v any) string {
	switch v := v.(type) {
	case Secret:
		if v == "" {
			return ""
		}
		return fmt.Sprintf("secret(%q)", string(v))
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	case bool:
		return strconv.FormatBool(v)
	case time.Duration:
		return v.String()
	case []string:
		return strings.Join(v, ", ")
	case []Jump:
		list := make([]string, len(v))
		for i, j := range v {
			list[i] = j.String()
		}
		return strings.Join(list, ", ")
	default:
		return fmt.Sprint(v)
	}
}

// String is the bastion as an inventory writes it: "user@host:port".
func (j Jump) String() string {
	out := j.Address
	if strings.Contains(out, ":") {
		out = "[" + out + "]"
	}
	if j.User != "" {
		out = j.User + "@" + out
	}
	if j.Port != 0 {
		out += ":" + strconv.Itoa(j.Port)
	}
	return out
}

// selectionName is what diagnostics about a selection name as its file.
const selectionName = "SELECTION"

// Select returns the names of the hosts that a selection takes, in order:
// an expression over host, true, or a list of names, as in a rollout's hosts.
// It sees the inventory's variables and local values. Not for concurrent use.
func (f *Fleet) Select(selection string) ([]string, Diagnostics) {
	if f.loader == nil {
		panic("inventory: Select on a fleet that Load did not make")
	}
	l := *f.loader
	l.diags = collector{}
	src := &source{name: selectionName, bytes: []byte(selection), ctx: l.base.NewChild()}
	expr, diags := hclsyntax.ParseExpression(src.bytes, src.name, hcl.InitialPos)
	l.reportHCL(oncePerLine(diags), src.start(), "", nil)
	var names []string
	if !diags.HasErrors() {
		sec := &section{what: "selection", src: src, rng: src.start(),
			attrs: hcl.Attributes{"hosts": {Name: "hosts", Expr: expr, Range: expr.Range(), NameRange: expr.Range()}}}
		picked, _ := l.in(sec, src.ctx).pick("hosts", l.hosts, true)
		for _, h := range picked {
			names = append(names, h.Name)
		}
	}
	return names, l.diags.finish([]*source{src})
}

// Group is a group of hosts.
type Group struct {
	Name  string
	Hosts []string // sorted
}

// Groups are the groups that have hosts, sorted by name.
func (f *Fleet) Groups() []Group {
	members := map[string][]string{}
	for _, h := range f.Hosts {
		for _, g := range h.Groups {
			members[g] = append(members[g], h.Name)
		}
	}
	var out []Group
	for _, name := range sortedKeys(members) {
		out = append(out, Group{name, members[name]})
	}
	return out
}
