package importer

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document parses one YAML document; JSON is one too.
func document(text string) (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, err
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

// pairs calls do for each key of a mapping, in order.
func pairs(n *yaml.Node, do func(key string, k, v *yaml.Node)) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		do(n.Content[i].Value, n.Content[i], follow(n.Content[i+1]))
	}
}

// follow resolves an alias.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func child(n *yaml.Node, key string) *yaml.Node {
	var found *yaml.Node
	pairs(n, func(k string, _, v *yaml.Node) {
		if k == key {
			found = v
		}
	})
	return found
}

// yaml reads Ansible's YAML form, or the JSON that ansible-inventory --list
// prints: there hosts and children are lists, and _meta holds the variables.
func (t *tree) yaml(file, text string) error {
	root, err := document(text)
	if err != nil {
		return err
	}
	if root == nil {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("%s:%d: an inventory is a mapping of groups", file, root.Line)
	}
	if listed(root) {
		t.list(file, root)
		return nil
	}
	pairs(root, func(name string, k, v *yaml.Node) { t.yamlGroup(file, name, k, v, 0) })
	return nil
}

// deepest bounds how deep groups may nest.
const deepest = 50

func (t *tree) yamlGroup(file, name string, k, v *yaml.Node, depth int) {
	at := Place{file, k.Line}
	if depth > deepest {
		t.inv.note(at, "group %s lies deeper than %d levels", name, deepest)
		return
	}
	g := t.group(name, at)
	if v.Kind != yaml.MappingNode {
		if v.Tag != "!!null" {
			t.inv.note(at, "group %s is no mapping of hosts, vars and children", name)
		}
		return
	}
	pairs(v, func(part string, pk, pv *yaml.Node) {
		switch part {
		case "hosts":
			pairs(pv, func(pattern string, hk, hv *yaml.Node) { t.yamlHosts(g, file, pattern, hk, hv) })
		case "vars":
			t.yamlVars(g.own, file, pv)
		case "children":
			pairs(pv, func(c string, ck, cv *yaml.Node) {
				g.addChild(c)
				t.yamlGroup(file, c, ck, cv, depth+1)
			})
		default:
			t.inv.note(Place{file, pk.Line}, "%s is not understood: a group has hosts, vars and children", part)
		}
	})
}

func (t *tree) yamlHosts(g *node, file, pattern string, k, v *yaml.Node) {
	at := Place{file, k.Line}
	names, err := hostsOf(pattern)
	if err != nil {
		t.inv.note(at, "%v", err)
		return
	}
	for _, name := range names {
		g.addHost(name)
		t.yamlVars(t.host(name, at).own, file, v)
	}
}

// yamlVars takes the variables that are plain text, numbers or truth values;
// what is nested never says how a host is reached.
func (t *tree) yamlVars(into map[string]value, file string, n *yaml.Node) {
	pairs(n, func(key string, k, v *yaml.Node) {
		at := Place{file, k.Line}
		switch {
		case v.Kind != yaml.ScalarNode:
			t.needless(at, key)
		case v.Tag == "!vault":
			t.once(at, "%s is encrypted and is not copied; write a reference: secret(\"env:NAME\")", key)
		case v.Tag != "!!null":
			into[key] = value{v.Value, at}
		}
	})
}

// listed reports whether a document has the form of --list.
func listed(root *yaml.Node) bool {
	if child(root, "_meta") != nil {
		return true
	}
	found := false
	pairs(root, func(_ string, _, v *yaml.Node) {
		for _, part := range []string{"hosts", "children"} {
			if c := child(v, part); c != nil && c.Kind == yaml.SequenceNode {
				found = true
			}
		}
		found = found || v.Kind == yaml.SequenceNode
	})
	return found
}

func (t *tree) list(file string, root *yaml.Node) {
	pairs(root, func(name string, k, v *yaml.Node) {
		at := Place{file, k.Line}
		if name == "_meta" {
			pairs(child(v, "hostvars"), func(host string, hk, hv *yaml.Node) {
				t.yamlVars(t.host(host, Place{file, hk.Line}).own, file, hv)
			})
			return
		}
		g := t.group(name, at)
		hosts := child(v, "hosts")
		if v.Kind == yaml.SequenceNode {
			hosts = v
		}
		if hosts != nil {
			for _, h := range hosts.Content {
				if h.Kind != yaml.ScalarNode || h.Value == "" {
					t.inv.note(Place{file, h.Line}, "what stands in the list %s is no host's name", name)
					continue
				}
				g.addHost(h.Value)
				t.host(h.Value, Place{file, h.Line})
			}
		}
		if c := child(v, "children"); c != nil {
			for _, h := range c.Content {
				g.addChild(h.Value)
				t.group(h.Value, Place{file, h.Line})
			}
		}
		t.yamlVars(g.own, file, child(v, "vars"))
	})
}

// looksLikeYAML tells the YAML and JSON forms from INI.
func looksLikeYAML(text string) bool {
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \t\r")
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line == "---" || line[0] == '{' || line[0] == '%':
			return true
		default:
			return line[0] != '[' && strings.HasSuffix(strings.TrimSpace(strings.SplitN(line, " #", 2)[0]), ":")
		}
	}
	return false
}
