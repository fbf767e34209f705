package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/inventory/sshconfig"
)

// maxJumps bounds the bastions on one way.
const maxJumps = 8

// complete fills in what the configuration leaves empty by what ssh says of
// the host, and of the bastions on its way.
func (p *Pool) complete(ctx context.Context, c Config) (Config, error) {
	c, err := p.completeOne(ctx, c, 0)
	if err != nil {
		return c, err
	}
	c.Jump = slices.Clone(c.Jump) // of the caller
	for i := range c.Jump {
		if c.Jump[i].SSHConfig == "" {
			continue
		}
		j := c.Jump[i]
		j.Jump = []Config{} // the way is given as a whole
		if c.Jump[i], err = p.completeOne(ctx, j, 0); err != nil {
			return c, fmt.Errorf("bastion %s: %w", j.label(), err)
		}
	}
	return c, nil
}

func (p *Pool) completeOne(ctx context.Context, c Config, depth int) (Config, error) {
	file := c.SSHConfig
	c.SSHConfig = ""
	if file == SSHConfigUsual {
		file = sshconfig.Usual
	}
	a, err := p.asker.Ask(ctx, sshconfig.Query{File: file, Host: c.Address, User: c.User, Port: c.Port})
	if err != nil {
		return c, err
	}
	if err := refuseOptions(&c, a); err != nil {
		return c, err
	}
	if c.Jump == nil {
		if c.Jump, err = p.jumpsOf(ctx, c, a, file, depth); err != nil {
			return c, err
		}
	}
	alias := c.Address
	c.Address = orElse(a.First("hostname"), c.Address)
	c.User = orElse(a.First("user"), c.User)
	if c.Port, err = strconv.Atoi(orElse(a.First("port"), "22")); err != nil {
		return c, fmt.Errorf("ssh says that the port of %s is %q", alias, a.First("port"))
	}
	e := expander{alias: alias, c: &c}
	if c.HostKeyAlias == "" && a.First("hostkeyalias") != "" {
		c.HostKeyAlias = e.expand(a.First("hostkeyalias"))
	}
	if c.KnownHosts == nil {
		c.KnownHosts = e.knownHosts(a)
	}
	if c.HostKeys == "" && a.First("stricthostkeychecking") == HostKeysAcceptNew {
		c.HostKeys = HostKeysAcceptNew
	}
	if seconds, err := strconv.Atoi(a.First("connecttimeout")); err == nil && c.ConnectTimeout == 0 && seconds > 0 {
		c.ConnectTimeout = time.Duration(seconds) * time.Second
	}
	e.keys(a)
	return c, e.err
}

// refuseOptions names what would lead ssh to the host in a way, or to a host
// key, that this package does not know.
func refuseOptions(c *Config, a sshconfig.Answer) error {
	var problems []error
	complain := func(option, remedy string) {
		problems = append(problems, fmt.Errorf("its ssh_config has %s %s, which is not taken over: %s", option, a.First(strings.ToLower(option)), remedy))
	}
	set := func(option string) bool {
		v := a.First(option)
		return v != "" && v != "none"
	}
	if c.Jump == nil && set("proxycommand") {
		complain("ProxyCommand", "write it as ProxyJump there, or as jump in the inventory")
	}
	for _, option := range []string{"BindAddress", "BindInterface"} {
		if set(strings.ToLower(option)) {
			complain(option, "let a route or ProxyJump lead to the host")
		}
	}
	if c.KnownHosts == nil && set("knownhostscommand") {
		complain("KnownHostsCommand", "name known_hosts files in the inventory")
	}
	return errors.Join(problems...)
}

// jumpsOf is the way that ssh takes: each bastion as ssh reaches it, and before
// the first one the way to that.
func (p *Pool) jumpsOf(ctx context.Context, c Config, a sshconfig.Answer, file string, depth int) ([]Config, error) {
	spec := a.First("proxyjump")
	if spec == "" || spec == "none" {
		return []Config{}, nil
	}
	var way []Config
	for i, word := range strings.Split(spec, ",") {
		if depth+i >= maxJumps {
			return nil, fmt.Errorf("ProxyJump leads over more than %d bastions: does one lead to itself?", maxJumps)
		}
		j := Config{
			Passphrase: c.Passphrase, KnownHosts: c.KnownHosts, HostKeys: c.HostKeys,
			ConnectTimeout: c.ConnectTimeout, HandshakeTimeout: c.HandshakeTimeout,
			KeepaliveInterval: c.KeepaliveInterval, KeepaliveMisses: c.KeepaliveMisses,
			SSHConfig: orElse(file, SSHConfigUsual),
		}
		if err := j.parseJump(word); err != nil {
			return nil, fmt.Errorf("ProxyJump %s: %w", spec, err)
		}
		if i > 0 {
			j.Jump = []Config{} // the one before it leads there
		}
		full, err := p.completeOne(ctx, j, depth+i+1)
		if err != nil {
			return nil, fmt.Errorf("bastion %s: %w", j.Name, err)
		}
		way = append(way, full.Jump...)
		full.Jump = nil
		way = append(way, full)
	}
	return way, nil
}

// parseJump reads [user@]host[:port], also as an ssh:// URI.
func (c *Config) parseJump(word string) error {
	rest := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(word), "ssh://"), "/")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		c.User, rest = rest[:i], rest[i+1:]
	}
	c.Address = strings.Trim(rest, "[]")
	if host, port, err := net.SplitHostPort(rest); err == nil {
		c.Address = host
		if c.Port, err = strconv.Atoi(port); err != nil || c.Port < 1 || c.Port > 65535 {
			return fmt.Errorf("%q is not a port", port)
		}
	}
	c.Name = c.Address
	return nil
}

// expander replaces what ssh -G leaves for later: ~ and the tokens. It keeps
// the first error.
type expander struct {
	alias string // the host as it was written
	c     *Config
	err   error
}

func (e *expander) expand(text string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		home = ""
	}
	if text == "~" || strings.HasPrefix(text, "~/") {
		text = home + text[1:]
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' || i+1 == len(text) {
			out.WriteByte(text[i])
			continue
		}
		i++
		switch text[i] {
		case '%':
			out.WriteByte('%')
		case 'd':
			out.WriteString(home)
		case 'h':
			out.WriteString(e.c.Address)
		case 'n':
			out.WriteString(e.alias)
		case 'k':
			out.WriteString(orElse(e.c.HostKeyAlias, e.c.Address))
		case 'p':
			out.WriteString(strconv.Itoa(e.c.Port))
		case 'r':
			out.WriteString(e.c.User)
		case 'u':
			out.WriteString(localUser())
		case 'i':
			out.WriteString(strconv.Itoa(os.Getuid()))
		default:
			e.err = errors.Join(e.err, fmt.Errorf("the token %%%c in %q of its ssh_config is not understood", text[i], text))
		}
	}
	return out.String()
}

// knownHosts are the files that are there; the first of the user's if none is.
func (e *expander) knownHosts(a sshconfig.Answer) []string {
	var out, all []string
	for _, option := range []string{"userknownhostsfile", "globalknownhostsfile"} {
		for _, f := range strings.Fields(a.First(option)) {
			if f == "none" || f == os.DevNull {
				continue
			}
			f = e.expand(f)
			all = append(all, f)
			if _, err := os.Stat(f); err == nil {
				out = append(out, f)
			}
		}
	}
	if len(out) == 0 && len(all) > 0 {
		return all[:1]
	}
	return out
}

// keys takes over keys, certificates and the agent. Like ssh it passes over
// files that are not there.
func (e *expander) keys(a sshconfig.Answer) {
	c := e.c
	c.IdentitiesOnly = c.IdentitiesOnly || a.First("identitiesonly") == "yes"
	if len(c.Keys) == 0 {
		c.optionalKeys = true
		for _, f := range a["identityfile"] {
			f = e.expand(f)
			if f != "none" && !slices.Contains(c.Keys, f) && (isFile(f) || isFile(f+".pub")) {
				c.Keys = append(c.Keys, f)
			}
		}
	}
	if len(c.Certificates) == 0 {
		for _, f := range a["certificatefile"] {
			if f = e.expand(f); f != "none" && isFile(f) {
				c.Certificates = append(c.Certificates, f)
			}
		}
	}
	if c.Agent || c.AgentSocket != "" {
		return
	}
	switch v := a.First("identityagent"); {
	case v == "none":
	case v == "" || v == "SSH_AUTH_SOCK":
		c.Agent = os.Getenv("SSH_AUTH_SOCK") != ""
	case strings.HasPrefix(v, "$"):
		c.AgentSocket = os.Getenv(strings.Trim(v[1:], "{}"))
		c.Agent = c.AgentSocket != ""
	default:
		c.AgentSocket, c.Agent = e.expand(v), true
	}
}

func isFile(name string) bool {
	info, err := os.Stat(filepath.Clean(name))
	return err == nil && info.Mode().IsRegular()
}

func localUser() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}
