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

	// Keys are private key files. A public one, or one that is encrypted or a
	// security key's handle, stands for the agent's key of that kind.
	Keys         []string
	Certificates []string // OpenSSH user certificates; KEY-cert.pub beside a key is found without
	// Passphrase opens encrypted keys; nil means that they are refused.
	Passphrase     func(keyFile string) (string, error)
	Agent          bool   // offer the keys of the SSH agent
	AgentSocket    string // "" means $SSH_AUTH_SOCK
	IdentitiesOnly bool   // offer no key that Keys and Certificates do not name

	KnownHosts   []string
	HostKeys     string // "" means strict
	HostKeyAlias string // the name that KnownHosts has for the host; "" means its address

	// Jump is the way to the host, outermost bastion first. Of the hosts behind
	// a bastion all share its connections.
	Jump   []Config
	Bounds JumpLimits // of this host when others are reached through it
	// Sites bound the attempts to connect to hosts that have something in common.
	Sites []Site

	// SSHConfig makes the first use ask "ssh -G" about Address: a file, or
	// SSHConfigUsual. It fills in what is left empty here; a Jump that is empty
	// but not nil says that there is none.
	SSHConfig string

	ConnectTimeout    time.Duration // of TCP; 0 means 10 s
	HandshakeTimeout  time.Duration // of SSH with authentication; 0 means 20 s
	KeepaliveInterval time.Duration // 0 means 15 s, negative none
	KeepaliveMisses   int           // unanswered in a row that end a connection; 0 means 2
	MaxSessions       int           // concurrent commands on the connection; 0 means 8

	Sudo         string // "" means auto
	SudoPassword func() (string, error)
	StateDir     string // on the host; "" means /var/lib/ncfleet

	optionalKeys bool // Keys are ssh's own guesses: one that cannot be used is passed over
	bastion      bool // others are reached through it
}

// SSHConfigUsual stands for the files that ssh itself reads.
const SSHConfigUsual = "usual"

// JumpLimits bounds what goes through one bastion. Zero fields mean the defaults.
type JumpLimits struct {
	// Handshakes is how many hosts behind it are being connected to at once; 32.
	// They cost the bastion a name lookup and a connection each, and nothing of
	// its MaxStartups: that counts connections to the bastion itself.
	Handshakes int
	// Channels is how many hosts are reached through one connection; 200. Each
	// costs the bastion's sshd a file descriptor, of which it has 1024. Its
	// MaxSessions does not count them.
	Channels int
	// Connections is how many are opened to the bastion as those before are
	// full; 4. What does not fit waits.
	Connections int
}

func (l JumpLimits) withDefaults() JumpLimits {
	return JumpLimits{positive(l.Handshakes, 32), positive(l.Channels, 200), positive(l.Connections, 4)}
}

// Site is a bound that hosts share, such as those of one data centre.
type Site struct {
	Name     string
	Parallel int // attempts to connect at once
}

// Limits bounds what a pool does at once. Zero fields mean the defaults.
type Limits struct {
	Dials int // concurrent connection attempts over all; 64
	// Retries is how often a connection that the host closed before
	// authentication, as a busy sshd does at random, is tried again; 3, and a
	// negative number means never. A bastion, on which many hosts depend, is
	// tried twice as often, and also when it refuses.
	Retries int
	// Rest is for how long a bastion that could not be reached is not tried
	// again; 5 s. All hosts behind it would do so, one lot after another, and a
	// bastion that refuses the login counts.
	Rest   time.Duration
	Output int // bytes kept of each output of a command; 8 MiB
	// Agent is how long an agent may take for one answer, while somebody
	// touches a security key say; 60 s, below sshd's LoginGraceTime.
	Agent time.Duration
}

func (l Limits) withDefaults() Limits {
	l.Dials = positive(l.Dials, 64)
	l.Output = positive(l.Output, 8<<20)
	l.Agent = duration(l.Agent, time.Minute)
	l.Rest = duration(l.Rest, 5*time.Second)
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

// keyEndpoint is where known_hosts has the host's key.
func (c *Config) keyEndpoint() string {
	if c.HostKeyAlias != "" {
		return net.JoinHostPort(c.HostKeyAlias, "22")
	}
	return c.endpoint()
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
