package exporter

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/inventory"
)

// AnsibleHost are the variables of one host. What begins with ncfleet_ is for
// playbooks and for the plugin "constructed": keyed_groups by ncfleet_labels.
type AnsibleHost struct {
	Host       string            `json:"ansible_host"`
	Port       int               `json:"ansible_port,omitempty"`
	User       string            `json:"ansible_user,omitempty"`
	Key        string            `json:"ansible_ssh_private_key_file,omitempty"`
	CommonArgs string            `json:"ansible_ssh_common_args,omitempty"`
	Labels     map[string]string `json:"ncfleet_labels,omitempty"`
	Instances  []AnsibleInstance `json:"ncfleet_instances,omitempty"`
}

// AnsibleInstance is one Nextcloud of a host.
type AnsibleInstance struct {
	Name string `json:"name"`
	Path string `json:"path"`
	URL  string `json:"url"`
}

// ansibleGroup is one group of the document.
type ansibleGroup struct {
	Hosts    []string `json:"hosts,omitempty"`
	Children []string `json:"children,omitempty"`
}

var notInGroupName = regexp.MustCompile(`[^A-Za-z0-9_]`)

// Ansible writes what Ansible asks a dynamic inventory for with --list. Group
// names are written with _ for what Ansible does not take in them.
func Ansible(w io.Writer, fleet *inventory.Fleet) error {
	names, err := groupNames(fleet)
	if err != nil {
		return err
	}
	vars := map[string]AnsibleHost{}
	all := ansibleGroup{Children: []string{"ungrouped"}}
	var alone []string
	for i := range fleet.Hosts {
		h := &fleet.Hosts[i]
		vars[h.Name] = ansibleHost(h)
		if len(h.Groups) == 0 {
			alone = append(alone, h.Name)
		}
	}
	// The document's keys are the groups' names, which are data.
	doc := map[string]any{"_meta": struct {
		HostVars map[string]AnsibleHost `json:"hostvars"`
	}{vars}, "ungrouped": ansibleGroup{Hosts: alone}}
	for _, g := range fleet.Groups() {
		doc[names[g.Name]] = ansibleGroup{Hosts: g.Hosts}
		all.Children = append(all.Children, names[g.Name])
	}
	sort.Strings(all.Children)
	doc["all"] = all
	return encode(w, doc)
}

// groupNames are the groups as Ansible may call them.
func groupNames(fleet *inventory.Fleet) (map[string]string, error) {
	names, taken := map[string]string{}, map[string]string{"all": "", "ungrouped": ""}
	for _, g := range fleet.Groups() {
		name := notInGroupName.ReplaceAllString(g.Name, "_")
		if name[0] >= '0' && name[0] <= '9' {
			name = "_" + name
		}
		if _, own := taken[name]; own && (name == "all" || name == "ungrouped") {
			name = "ncfleet_" + name
		}
		if other, clash := taken[name]; clash {
			return nil, fmt.Errorf("cannot export to Ansible: the groups %q and %q would both be called %s there; rename one of them", other, g.Name, name)
		}
		names[g.Name], taken[name] = name, g.Name
	}
	return names, nil
}

func ansibleHost(h *inventory.Host) AnsibleHost {
	out := AnsibleHost{Host: h.Address, Port: h.SSH.Port, User: h.SSH.User, Labels: h.Labels}
	if len(h.SSH.Keys) > 0 {
		out.Key = h.SSH.Keys[0]
	}
	var args []string
	for _, o := range sshOptions(h.SSH) {
		if o.name == "Port" || o.name == "User" || o.name == "IdentityFile" && o.value == configWord(out.Key) {
			continue // Ansible has variables of its own for them
		}
		args = append(args, "-o", shellQuote(o.name+"="+o.value))
	}
	out.CommonArgs = strings.Join(args, " ")
	for _, n := range h.Instances {
		out.Instances = append(out.Instances, AnsibleInstance{n.Name, n.Path, n.URL})
	}
	return out
}

// shellQuote quotes a word as Ansible splits ansible_ssh_common_args: by the
// rules of a POSIX shell.
func shellQuote(word string) string {
	if word != "" && !strings.ContainsAny(word, " \t\"'\\$`#&;|<>*?()[]{}~") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'"'"'`) + "'"
}

// option is one line of an ssh_config.
type option struct{ name, value string }

// sshOptions are what the inventory says of a host, as ssh calls and quotes it.
func sshOptions(s inventory.SSH) []option {
	var out []option
	add := func(name, value string) {
		if value != "" {
			out = append(out, option{name, value})
		}
	}
	add("User", s.User)
	if s.Port != 0 {
		add("Port", fmt.Sprint(s.Port))
	}
	for _, k := range s.Keys {
		add("IdentityFile", configWord(k))
	}
	for _, c := range s.Certificates {
		add("CertificateFile", configWord(c))
	}
	add("IdentityAgent", configWord(s.AgentSocket))
	if s.IdentitiesOnly {
		add("IdentitiesOnly", "yes")
	}
	add("HostKeyAlias", s.HostKeyAlias)
	var jumps []string
	for _, j := range s.Jump {
		jumps = append(jumps, j.String())
	}
	add("ProxyJump", strings.Join(jumps, ","))
	var known []string
	for _, k := range s.KnownHosts {
		known = append(known, configWord(k))
	}
	add("UserKnownHostsFile", strings.Join(known, " "))
	if s.HostKeys == "accept-new" {
		add("StrictHostKeyChecking", "accept-new")
	} else {
		add("StrictHostKeyChecking", "yes")
	}
	if s.ConnectTimeout > 0 {
		add("ConnectTimeout", wholeSeconds(s.ConnectTimeout))
	}
	if s.Keepalive > 0 {
		add("ServerAliveInterval", wholeSeconds(s.Keepalive))
	}
	return out
}

// wholeSeconds rounds up: ssh takes no fractions.
func wholeSeconds(d time.Duration) string {
	return fmt.Sprint(int64((d + time.Second - 1) / time.Second))
}

func encode(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
