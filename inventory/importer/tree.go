package importer

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// value is a variable as written.
type value struct {
	text string
	at   Place
}

// tree is an Ansible inventory before variables are resolved.
type tree struct {
	inv    *Inventory
	hosts  map[string]*node
	groups map[string]*node
}

// node is a host or a group: its variables from the inventory itself and from
// group_vars or host_vars, which go first.
type node struct {
	name     string
	at       Place
	own      map[string]value
	beside   map[string]value
	hosts    []string // of a group
	children []string
}

func newTree(inv *Inventory) *tree {
	return &tree{inv: inv, hosts: map[string]*node{}, groups: map[string]*node{}}
}

func named(m map[string]*node, name string, at Place) *node {
	n := m[name]
	if n == nil {
		n = &node{name: name, at: at, own: map[string]value{}, beside: map[string]value{}}
		m[name] = n
	}
	return n
}

func (t *tree) host(name string, at Place) *node  { return named(t.hosts, name, at) }
func (t *tree) group(name string, at Place) *node { return named(t.groups, name, at) }

func (n *node) addHost(name string) {
	if !slices.Contains(n.hosts, name) {
		n.hosts = append(n.hosts, name)
	}
}

func (n *node) addChild(name string) {
	if !slices.Contains(n.children, name) {
		n.children = append(n.children, name)
	}
}

// depths are how deep each group lies below "all"; a circle of groups is cut.
func (t *tree) depths() map[string]int {
	depth := map[string]int{}
	var walk func(name string, d int, above []string)
	walk = func(name string, d int, above []string) {
		if slices.Contains(above, name) {
			t.inv.note(t.groups[name].at, "group %s is its own child; the circle is cut here", name)
			return
		}
		if at, seen := depth[name]; seen && at >= d {
			return
		}
		depth[name] = d
		if g := t.groups[name]; g != nil {
			for _, c := range g.children {
				walk(c, d+1, append(above, name))
			}
		}
	}
	for _, name := range sortedKeys(t.groups) {
		walk(name, 1, nil)
	}
	depth["all"] = 0
	return depth
}

// members are all hosts of a group and of the groups below it.
func (t *tree) members(name string, above ...string) []string {
	g := t.groups[name]
	if g == nil || slices.Contains(above, name) {
		return nil
	}
	list := slices.Clone(g.hosts)
	for _, c := range g.children {
		list = append(list, t.members(c, append(above, name)...)...)
	}
	sort.Strings(list)
	return slices.Compact(list)
}

// resolve turns the tree into hosts and groups.
func (t *tree) resolve() {
	depth := t.depths()
	of := map[string][]string{}
	for _, g := range sortedKeys(t.groups) {
		for _, h := range t.members(g) {
			of[h] = append(of[h], g)
		}
	}
	names := map[string]string{} // Ansible's → ncfleet's
	for _, name := range sortedKeys(t.hosts) {
		groups := of[name]
		sort.SliceStable(groups, func(i, j int) bool { return depth[groups[i]] < depth[groups[j]] })
		vars := t.vars(t.hosts[name], groups)
		if h, ok := t.reach(name, vars); ok {
			names[name] = h.Name
			t.inv.Hosts = append(t.inv.Hosts, h)
		}
	}
	for _, g := range sortedKeys(t.groups) {
		if g == "all" || g == "ungrouped" {
			continue
		}
		var hosts []string
		for _, h := range t.members(g) {
			if n := names[h]; n != "" {
				hosts = append(hosts, n)
			}
		}
		if len(hosts) == 0 {
			t.inv.note(t.groups[g].at, "group %s has no host", g)
			continue
		}
		t.inv.Groups = append(t.inv.Groups, Group{Name: cleanName(g), Hosts: hosts})
	}
}

// vars are a host's variables in Ansible's order of precedence: all, groups
// from the outer to the inner, the host; files beside after the inventory.
func (t *tree) vars(h *node, groups []string) map[string]value {
	vars := map[string]value{}
	put := func(more map[string]value) {
		for k, v := range more {
			vars[k] = v
		}
	}
	if all := t.groups["all"]; all != nil {
		put(all.own)
		put(all.beside)
	}
	for _, pick := range []func(*node) map[string]value{
		func(n *node) map[string]value { return n.own }, func(n *node) map[string]value { return n.beside },
	} {
		for _, g := range groups {
			if g != "all" {
				put(pick(t.groups[g]))
			}
		}
	}
	put(h.own)
	put(h.beside)
	return vars
}

var plainTemplate = regexp.MustCompile(`\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}`)

// expand replaces {{ name }} by the host's variable of that name. Anything
// else between braces is not understood.
func expand(v value, name string, vars map[string]value) (string, error) {
	text := v.text
	for range 5 {
		if !strings.Contains(text, "{{") && !strings.Contains(text, "{%") {
			return text, nil
		}
		text = plainTemplate.ReplaceAllStringFunc(text, func(m string) string {
			key := plainTemplate.FindStringSubmatch(m)[1]
			if key == "inventory_hostname" {
				return name
			}
			if w, ok := vars[key]; ok {
				return w.text
			}
			return m
		})
	}
	return "", fmt.Errorf("the template %q cannot be evaluated here", v.text)
}

// first is the first variable of these names that the host has.
func first(vars map[string]value, names ...string) (value, string, bool) {
	for _, n := range names {
		if v, ok := vars[n]; ok && v.text != "" {
			return v, n, true
		}
	}
	return value{}, "", false
}

// reach reads how a host is reached.
func (t *tree) reach(name string, vars map[string]value) (Host, bool) {
	n := t.hosts[name]
	h := Host{Name: cleanName(name), Address: name, At: n.at}
	if h.Name != name {
		t.inv.note(n.at, "host %s is called %s: a name is made of letters, digits, dots, _ and -", name, h.Name)
	}
	get := func(names ...string) (string, Place) {
		v, key, ok := first(vars, names...)
		if !ok {
			return "", Place{}
		}
		text, err := expand(v, name, vars)
		if err != nil {
			t.inv.note(v.at, "host %s: %s: %v", name, key, err)
		}
		return text, v.at
	}
	if how, at := get("ansible_connection"); how != "" && how != "ssh" && how != "smart" && how != "paramiko" && how != "paramiko_ssh" {
		t.inv.note(at, "host %s is left out: ansible_connection is %s, and ncfleet speaks SSH only", name, how)
		return h, false
	}
	if a, _ := get("ansible_host", "ansible_ssh_host"); a != "" {
		h.Address = a
	}
	if ip, port, err := net.SplitHostPort(h.Address); err == nil {
		h.Address = ip
		h.Port, _ = strconv.Atoi(port) // checked right below
	}
	if text, at := get("ansible_port", "ansible_ssh_port"); text != "" {
		p, err := strconv.Atoi(text)
		if err != nil || p < 1 || p > 65535 {
			t.inv.note(at, "host %s: port %q is none", name, text)
		} else {
			h.Port = p
		}
	}
	h.User, _ = get("ansible_user", "ansible_ssh_user")
	if key, _ := get("ansible_ssh_private_key_file", "ansible_private_key_file"); key != "" {
		h.Keys = []string{key}
	}
	for _, k := range []string{"ansible_ssh_common_args", "ansible_ssh_extra_args", "ansible_ssh_args"} {
		if text, at := get(k); text != "" {
			t.sshArgs(&h, text, k, at)
		}
	}
	t.leftOut(name, vars)
	return h, true
}

// needless are variables that ncfleet finds out or does not need.
var needless = regexp.MustCompile(`^ansible_(host|ssh_host|port|ssh_port|user|ssh_user|connection|python_interpreter|ssh_private_key_file|private_key_file|ssh_(common|extra)_args|ssh_args|shell_type|group_priority|ssh_pipelining|pipelining|ssh_timeout|timeout|become|become_user|become_method|become_flags|sudo|distribution|os_family)$`)

// leftOut names each variable that is not taken over, once per place.
func (t *tree) leftOut(name string, vars map[string]value) {
	for _, k := range sortedKeys(vars) {
		v := vars[k]
		switch {
		case strings.Contains(k, "pass") && strings.HasPrefix(k, "ansible_"):
			t.once(v.at, "%s: a password is not copied; write a reference, such as sudo_password = secret(\"env:NAME\")", k)
		case k == "ansible_become_user" && v.text != "root", k == "ansible_become_method" && v.text != "sudo":
			t.once(v.at, "%s = %s: ncfleet becomes root by sudo only", k, v.text)
		case k == "ansible_become" && (v.text == "false" || v.text == "no"):
			t.once(v.at, "%s = %s: ncfleet becomes root by sudo, or logs in as root", k, v.text)
		case strings.HasPrefix(k, "ansible_") && !needless.MatchString(k):
			t.once(v.at, "%s is not understood", k)
		case !strings.HasPrefix(k, "ansible_"):
			t.needless(v.at, k)
		}
	}
}

// once is note without repeating a text at one place.
func (t *tree) once(at Place, format string, a ...any) {
	t.noteOnce(Note{At: at, Text: fmt.Sprintf(format, a...)})
}

// needless tells that a variable is none of ncfleet's business.
func (t *tree) needless(at Place, variable string) {
	t.noteOnce(Note{at, variable + " is left out: it says nothing of how a host is reached", variable})
}

func (t *tree) noteOnce(n Note) {
	if !slices.Contains(t.inv.Notes, n) {
		t.inv.Notes = append(t.inv.Notes, n)
	}
}

var badNameBytes = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// cleanName turns a name into one that ncfleet takes.
func cleanName(name string) string {
	name = badNameBytes.ReplaceAllString(name, "-")
	if name = strings.TrimLeft(name, "._-"); name == "" {
		return "host"
	}
	return name
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
