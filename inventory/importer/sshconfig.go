package importer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ncfleet/ncfleet/inventory/sshconfig"
)

// deepestInclude is how deep files include each other.
const deepestInclude = 8

// SSHConfig reads the hosts that an ssh_config names without a pattern. What
// holds for each is what "ssh -G" says, so that Match and the order of blocks
// count as they do for ssh; like ssh itself, that runs the file's Match exec.
func SSHConfig(ctx context.Context, path string) (Inventory, error) {
	var inv Inventory
	path, err := filepath.Abs(path)
	if err != nil {
		return inv, err
	}
	hosts, err := sshHosts(&inv, path, 0)
	if err != nil {
		return inv, err
	}
	seen := map[string]bool{}
	for _, h := range hosts {
		if seen[h.Name] {
			continue
		}
		seen[h.Name] = true
		told, err := sshconfig.Ask(ctx, sshconfig.Query{File: path, Host: h.Name})
		if err != nil {
			return inv, err
		}
		usual, err := sshconfig.Ask(ctx, sshconfig.Query{File: sshconfig.None, Host: h.Name})
		if err != nil {
			return inv, err
		}
		inv.Hosts = append(inv.Hosts, sshHost(&inv, h, told, usual))
	}
	inv.order()
	if len(inv.Hosts) == 0 {
		return inv, fmt.Errorf("cannot find a host in %s: only names without * and ? are hosts", path)
	}
	return inv, nil
}

// sshHosts lists the concrete names of a file and of what it includes.
func sshHosts(inv *Inventory, path string, depth int) ([]Host, error) {
	if depth > deepestInclude {
		return nil, fmt.Errorf("cannot read %s: files include each other more than %d deep", path, deepestInclude)
	}
	text, err := readText(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the ssh configuration: %w", err)
	}
	var out []Host
	for i, line := range strings.Split(text, "\n") {
		at := Place{path, i + 1}
		f, err := words(strings.Replace(strings.TrimSpace(line), "=", " ", 1), true)
		if err != nil || len(f) == 0 {
			continue
		}
		switch strings.ToLower(f[0]) {
		case "host":
			for _, name := range f[1:] {
				if !strings.ContainsAny(name, "*?!") {
					out = append(out, Host{Name: name, At: at})
				}
			}
		case "match":
			inv.note(at, "Match blocks name no hosts; what they set for a host above is taken over")
		case "include":
			for _, pattern := range f[1:] {
				more, err := included(inv, path, pattern, depth)
				if err != nil {
					return nil, err
				}
				out = append(out, more...)
			}
		}
	}
	return out, nil
}

func included(inv *Inventory, from, pattern string, depth int) ([]Host, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	switch {
	case strings.HasPrefix(pattern, "~/"):
		pattern = filepath.Join(home, pattern[2:])
	case !filepath.IsAbs(pattern):
		pattern = filepath.Join(home, ".ssh", pattern) // ssh_config(5): relative to ~/.ssh
	}
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("cannot read the Include of %s: %w", from, err)
	}
	var out []Host
	for _, f := range files {
		more, err := sshHosts(inv, f, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// sshHost takes over what differs from ssh's own defaults.
func sshHost(inv *Inventory, h Host, told, usual sshconfig.Answer) Host {
	name := h.Name
	h.Name, h.Address = cleanName(name), name
	own := func(key string) (string, bool) {
		if slices.Equal(told[key], usual[key]) || len(told[key]) == 0 {
			return "", false
		}
		return told[key][0], true
	}
	if v, ok := own("hostname"); ok {
		h.Address = v
	}
	if v, ok := own("user"); ok {
		h.User = v
	}
	if v, ok := own("port"); ok {
		h.Port, _ = strconv.Atoi(v) // ssh checked it
	}
	if _, ok := own("identityfile"); ok {
		h.Keys = told["identityfile"]
	}
	if v, ok := own("proxyjump"); ok {
		h.Jump = jumps(v)
	}
	if v, ok := own("proxycommand"); ok {
		if j, ok := bastion(v); ok {
			h.Jump = []Jump{j}
		} else {
			inv.note(h.At, "host %s: ProxyCommand %q is not understood; write it as jump", name, v)
		}
	}
	if v, ok := own("stricthostkeychecking"); ok && v != "true" && v != "yes" && v != "ask" {
		h.HostKeys = "accept-new"
		if v != "accept-new" {
			inv.note(h.At, "host %s: host keys are not checked there; here the first key seen is kept and demanded from then on", name)
		}
	}
	for _, k := range []string{"userknownhostsfile", "certificatefile", "hostkeyalias", "identityagent", "knownhostscommand", "remotecommand"} {
		if v, ok := own(k); ok {
			inv.note(h.At, "host %s: %s %s is not taken over", name, k, v)
		}
	}
	return h
}
