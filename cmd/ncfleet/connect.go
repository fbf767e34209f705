package main

import (
	"os"
	"os/user"
	"path/filepath"

	"github.com/ncfleet/ncfleet/controller/remote"
	"github.com/ncfleet/ncfleet/inventory"
)

// remoteConfig turns what the inventory says of a host into a connection.
func remoteConfig(h *inventory.Host) remote.Config {
	c := loginConfig(h.Name, h.Address, &h.SSH)
	c.StateDir = h.StateDir
	for _, s := range h.Sites {
		c.Sites = append(c.Sites, remote.Site{Name: s.Group, Parallel: s.Parallel})
	}
	if h.SSH.Jump != nil {
		c.Jump = []remote.Config{}
	}
	for _, j := range h.SSH.Jump {
		c.Jump = append(c.Jump, jumpConfig(&j, &h.SSH))
	}
	return c
}

// jumpConfig is a bastion's connection: by its own block, or else with the
// keys of the hosts behind it.
func jumpConfig(j *inventory.Jump, of *inventory.SSH) remote.Config {
	if b := j.Bastion; b != nil {
		c := loginConfig(b.Name, b.Address, &b.SSH)
		c.Bounds = remote.JumpLimits{Handshakes: b.Handshakes, Channels: b.Channels, Connections: b.Connections}
		return c
	}
	own := *of
	own.Port, own.HostKeyAlias = j.Port, ""
	if j.User != "" {
		own.User = j.User
	} else if own.Config != "" {
		own.User = "" // ssh knows the bastion's
	}
	return loginConfig(j.Address, j.Address, &own)
}

func loginConfig(name, address string, s *inventory.SSH) remote.Config {
	c := remote.Config{
		Name: name, Address: address, Port: s.Port, User: s.User,
		Keys: s.Keys, Certificates: s.Certificates, IdentitiesOnly: s.IdentitiesOnly,
		Agent: s.Agent && s.AgentSocket != "none", AgentSocket: s.AgentSocket,
		KnownHosts: s.KnownHosts, HostKeys: s.HostKeys, HostKeyAlias: s.HostKeyAlias,
		ConnectTimeout: s.ConnectTimeout, KeepaliveInterval: s.Keepalive,
		Sudo: s.Sudo, SSHConfig: s.Config,
	}
	if s.Config == inventory.UsualSSHConfig {
		c.SSHConfig = remote.SSHConfigUsual
	}
	if s.AgentSocket != "" && s.AgentSocket != "none" {
		c.Agent = true
	}
	if s.KeyPassphrase != "" {
		c.Passphrase = func(string) (string, error) { return secret(s.KeyPassphrase) }
	}
	if s.SudoPassword != "" {
		c.SudoPassword = func() (string, error) { return secret(s.SudoPassword) }
	}
	if s.Config != "" {
		return c // what is left empty, ssh's configuration says
	}
	if len(c.KnownHosts) == 0 {
		if home, err := os.UserHomeDir(); err == nil {
			c.KnownHosts = []string{filepath.Join(home, ".ssh", "known_hosts")}
		}
	}
	if c.User == "" {
		if u, err := user.Current(); err == nil {
			c.User = u.Username
		}
	}
	return c
}
