package remote

import (
	"errors"
	"fmt"
	"net"
	"path"
	"regexp"
	"strconv"
	"time"
)

// How a host's key is checked.
const (
	HostKeysStrict    = "strict"     // the key must be in KnownHosts
	HostKeysAcceptNew = "accept-new" // an unknown host's key is added to the first file
)

// How commands become another user.
const (
	SudoAuto = "auto" // sudo, unless the login user is root
	SudoYes  = "sudo" // the same as auto
	// SudoNone means no sudo: root becomes users by runuser or su; any other
	// login user runs every command as itself.
	SudoNone = "none"
)

// Config says how to reach one host. It is a plain value that holds no secret.
type Config struct {
	Name    string // for messages
	Address string // name or IP address, without port
	Port    int    // 0 means 22
	User    string // the login user

	Keys         []string // private key files
	Certificates []string // OpenSSH user certificates; KEY-cert.pub beside a key is found without
	// Passphrase opens encrypted keys; nil means that they are refused.
	Passphrase  func(keyFile string) (string, error)
	Agent       bool   // offer the keys of the SSH agent
	AgentSocket string // "" means $SSH_AUTH_SOCK

	KnownHosts []string
	HostKeys   string // "" means strict

	Jump []Config // outermost first

	ConnectTimeout    time.Duration // of TCP; 0 means 10 s
	HandshakeTimeout  time.Duration // of SSH with authentication; 0 means 20 s
	KeepaliveInterval time.Duration // 0 means 15 s, negative none
	KeepaliveMisses   int           // unanswered in a row that end a connection; 0 means 2
	MaxSessions       int           // concurrent commands on the connection; 0 means 8

	Sudo         string // "" means auto
	SudoPassword func() (string, error)
	StateDir     string // on the host; "" means /var/lib/ncfleet
}

// Limits bounds what a pool does at once. Zero fields mean the defaults.
type Limits struct {
	Dials   int // concurrent connection attempts over all; 64
	PerJump int // concurrent connection attempts through one jump host; 8, below sshd's MaxStartups
	// Retries is how often a connection that the host closed before
	// authentication, as a busy sshd does at random, is tried again; 3, and a
	// negative number means never.
	Retries int
	Output  int // bytes kept of each output of a command; 8 MiB
}

func (l Limits) withDefaults() Limits {
	l.Dials = positive(l.Dials, 64)
	l.PerJump = positive(l.PerJump, 8)
	l.Output = positive(l.Output, 8<<20)
	switch {
	case l.Retries == 0:
		l.Retries = 3
	case l.Retries < 0:
		l.Retries = 0
	}
	return l
}

func positive(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

func (c *Config) endpoint() string {
	return net.JoinHostPort(c.Address, strconv.Itoa(positive(c.Port, 22)))
}

// label names the host in messages.
func (c *Config) label() string {
	switch c.Name {
	case "", c.Address:
		return c.endpoint()
	default:
		return fmt.Sprintf("%s (%s)", c.Name, c.endpoint())
	}
}

func (c *Config) connectTimeout() time.Duration { return duration(c.ConnectTimeout, 10*time.Second) }
func (c *Config) handshakeTimeout() time.Duration {
	return duration(c.HandshakeTimeout, 20*time.Second)
}
func (c *Config) keepalive() time.Duration { return duration(c.KeepaliveInterval, 15*time.Second) }
func (c *Config) maxSessions() int         { return positive(c.MaxSessions, 8) }

func duration(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

func (c *Config) stateDir() string {
	if c.StateDir == "" {
		return "/var/lib/ncfleet"
	}
	return path.Clean(c.StateDir)
}

// userName is what may stand for a user in a command line.
var userName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\$?$`)

func (c *Config) check() error {
	var problems []error
	complain := func(format string, a ...any) { problems = append(problems, fmt.Errorf(format, a...)) }
	if c.Address == "" {
		complain("no address")
	}
	if !userName.MatchString(c.User) {
		complain("invalid login user %q", c.User)
	}
	switch c.HostKeys {
	case "", HostKeysStrict, HostKeysAcceptNew:
	default:
		complain("invalid host key policy %q: use %q or %q", c.HostKeys, HostKeysStrict, HostKeysAcceptNew)
	}
	switch c.Sudo {
	case "", SudoAuto, SudoYes, SudoNone:
	default:
		complain("invalid sudo setting %q: use %q, %q or %q", c.Sudo, SudoAuto, SudoYes, SudoNone)
	}
	if !path.IsAbs(c.stateDir()) {
		complain("state folder %q is not absolute", c.StateDir)
	}
	if len(c.KnownHosts) == 0 {
		complain("no known_hosts file is configured: name one that holds the host's key")
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("cannot connect to host %s: %w", c.label(), errors.Join(problems...))
}
