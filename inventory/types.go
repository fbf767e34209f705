package inventory

import (
	"time"

	"github.com/hashicorp/hcl/v2"
)

// Range points into the operator's file; lines and columns count from 1.
type Range struct {
	File string
	Line int
	Col  int
}

// Fleet is a whole inventory, checked and resolved: no expression is left.
type Fleet struct {
	Hosts    []Host    // sorted by name
	Bastions []Bastion // in file order
	Drivers  []Driver  // as declared, in file order; built-ins need no block
	Rollouts []Rollout // in file order
	Notify   []Notify  // in file order
	// Digest is the SHA-256 (hex) over the names and bytes of all files read.
	Digest string
	Files  []string

	loader *loader // what Settings and Select look up; nil unless Load made the fleet
}

// Host returns the host of that name, or nil.
func (f *Fleet) Host(name string) *Host {
	for i := range f.Hosts {
		if f.Hosts[i].Name == name {
			return &f.Hosts[i]
		}
	}
	return nil
}

// Rollout returns the rollout of that name, or nil.
func (f *Fleet) Rollout(name string) *Rollout {
	for i := range f.Rollouts {
		if f.Rollouts[i].Name == name {
			return &f.Rollouts[i]
		}
	}
	return nil
}

// Secret is a reference to a secret, "env:NAME" or "file:/path", never its value.
type Secret string

// String hides the reference's target from accidental output.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// SSH says how hosts are reached. Zero values mean the package remote's defaults.
type SSH struct {
	User           string
	Port           int
	Keys           []string // private key files, ~ expanded
	KeyPassphrase  Secret
	Certificates   []string
	Agent          bool
	AgentSocket    string // "" = $SSH_AUTH_SOCK, "none" = no agent
	IdentitiesOnly bool   // of the agent's keys only those that Keys names
	KnownHosts     []string
	HostKeys       string // "strict" or "accept-new"
	HostKeyAlias   string // the host's name in KnownHosts
	Jump           []Jump // outermost first; empty but not nil: directly, whatever Config says
	Config         string // an ssh_config to ask ssh about, or UsualSSHConfig
	ConnectTimeout time.Duration
	Keepalive      time.Duration
	Sudo           string // "auto" or "none"
	SudoPassword   Secret
}

// UsualSSHConfig as SSH.Config stands for the files that ssh itself reads.
const UsualSSHConfig = "true"

// Jump is one bastion on the way to a host.
type Jump struct {
	Address string
	Port    int // 0 = not said
	User    string
	Bastion *Bastion // nil unless a bastion block was named
}

// Bastion is a bastion block: a machine that hosts are reached through, with
// its own login and limits. Zero limits mean the package remote's defaults.
type Bastion struct {
	Name        string
	Address     string
	SSH         SSH // merged: file, bastion
	Handshakes  int
	Channels    int
	Connections int
	Range       Range
}

// Site is a group that bounds how many of its hosts are worked on at once.
type Site struct {
	Group    string
	Parallel int
}

// Driver is a driver block. Config values are string, float64, bool, []string
// or Secret, by attribute name; the driver's own schema judges them later with
// the ranges kept here.
type Driver struct {
	Kind   string // "packages" or "snapshot"
	Name   string
	Config map[string]any
	Ranges map[string]Range // of each attribute
	Range  Range

	text  []byte // of the file that holds the block
	block hcl.Range
	spans map[string]hcl.Range // of each attribute
}

// Notify is somewhere that is told of a rollout's waves and decisions.
type Notify struct {
	Kind string // "webhook", "slack", "talk" or "email"
	Name string
	// URL is where to send to, as text or, where the address itself lets
	// anybody in, as a secret; exactly one is set. "" with email.
	URL       string
	SecretURL Secret
	Key       Secret   // signs what is sent: webhook (optional), talk
	Room      string   // talk: the conversation's token
	Server    string   // email: host:port
	User      string   // email; "" sends without a login
	Password  Secret   // email
	From      string   // email
	To        []string // email
	On        []string // "start", "wave", "decision", "end"
	Range     Range
}

// Host is a machine.
type Host struct {
	Name      string
	Address   string
	Labels    map[string]string
	Groups    []string // sorted
	Sites     []Site   // of the groups with a bound, sorted by group
	SSH       SSH      // merged: file, group, host
	Packages  string   // package driver's name, "" = found by the survey
	Snapshot  string   // snapshot driver's name
	StateDir  string   // the controller's folder on the host (default DefaultStateDir)
	Instances []Instance
	Range     Range
	// AutoUpdate says what becomes of rival updaters: "hold" stops them for the
	// time of a rollout, and so does "", "absent" removes them for good.
	AutoUpdate string `json:",omitempty"`
}

// Instance is one Nextcloud installation.
type Instance struct {
	Name    string
	Path    string   // the code tree's root, where occ lies
	URL     string   // as users reach it, no trailing slash
	WebUser string   // "" = owner of config/config.php
	PHP     string   // "" = found by the survey
	Reload  []string // argv that makes the web's PHP forget old code; empty = found by the survey
	// ProbeUser and ProbePassword name an account for the gate; "" = the gate
	// creates one and removes it.
	ProbeUser     string
	ProbePassword Secret
	Range         Range
}

// Amount is a count or a percentage of a whole.
type Amount struct {
	Count   int
	Percent float64 // used when IsPercent
	// IsPercent distinguishes 0% from 0.
	IsPercent bool
}

// Rollout is a goal and a policy.
type Rollout struct {
	Name           string
	Hosts          []string // names selected, sorted
	System         System
	Core           Core
	Apps           Apps
	Waves          []Wave // in file order, never empty; together they hold every selected host once
	MaxUnavailable Amount
	Spread         *Spread
	Failures       Amount // the failure budget: failures tolerated before the rollout halts
	// ReopenAfter is how long a host lets a closed instance wait for a controller
	// that is not heard any more, as long as nothing was changed; then it lets its
	// users in. 0 means never.
	ReopenAfter time.Duration
	// Pin is "canary" when fleet.lock holds the exact versions that the first wave
	// ran, and everybody gets those and nothing else; "" (default) for neither.
	Pin       string     `json:",omitempty"`
	Windows   []Window   // in file order; none: always
	Blackouts []Blackout // the rollout's, then those of the whole inventory
	// WindowCutoff "expected" (default) starts nothing that is not expected to
	// end, with WindowReserve left, before the window does; "none" does.
	WindowCutoff  string
	WindowReserve time.Duration
	Gate          Gate
	Range         Range
}

// System is the goal for the host's packages.
type System struct {
	Level    string        // "none" (default), "security" or "update"
	Upgrades []string      // products whose next major is wanted: "php", "mariadb" …
	Refresh  bool          // renew the package index in the survey (default true)
	Reboot   string        // "never" (default) or "if_required"
	Timeout  time.Duration // default DefaultSystemTimeout
}

// Core is the goal for Nextcloud itself.
type Core struct {
	To string // "" = leave alone; "29" newest known of the major; "29.0.1" exactly
	// Source is where releases come from: an https URL of the official layout,
	// a mirror's URL or a folder (absolute); DefaultSource when To is given
	// without it. Transfer "push" sends the archive over SSH,
	// "fetch" lets the host download it.
	Source    string
	Transfer  string
	Integrity string        // "strict" (default): every file as signed; "warn": differences are shown, not refused
	Keyring   string        // file of OpenPGP public keys for the archives' .asc; "" = not checked
	Timeout   time.Duration // default DefaultCoreTimeout
	// Interrupted says what becomes of a core upgrade that was cut short, by a
	// reboot say: "rerun" (default) runs it again where that is safe, "rollback"
	// takes it back at once.
	Interrupted string
}

// Apps is the goal for apps.
type Apps struct {
	Update         string // "all" (default with core) or "none"
	OnIncompatible string // "block" (default) or "disable"
	Catalogue      string // file or URL in the app store's apps.json form; "" = info.xml alone
	Critical       []string
}

// Wave is a wave's members and what must hold after it.
type Wave struct {
	Name  string
	Hosts []string // resolved, in rollout order
	// Percent and Count keep what the file said, for display.
	Said    string
	Bake    time.Duration
	Approve bool
	// Approvals is how many different people must approve; 0 without Approve.
	Approvals int
	// ApproveExpires is how long an approval counts, 0 for ever.
	ApproveExpires time.Duration
	Range          Range
}

// Spread keeps targets that share a label value from being out together.
type Spread struct {
	Label string
	Max   int // at least 1
}

// Window is when targets may start.
type Window struct {
	Days []string // "mon" … "sun", "second sat", "last sun"; empty = every day
	From string   // "22:00"
	To   string   // "04:00", past midnight when not after From
	Zone string   // IANA
}

// ZoneNames lists the time zones of the rollout's windows and blackouts.
func (r *Rollout) ZoneNames() []string {
	var names []string
	for _, w := range r.Windows {
		names = append(names, w.Zone)
	}
	for _, b := range r.Blackouts {
		names = append(names, b.Zone)
	}
	return names
}

// Blackout is a range of dates on which no target starts.
type Blackout struct {
	From   string // "2026-12-24"
	To     string // the last day; From when not given
	Zone   string // IANA
	Reason string
}

// Gate tunes what is checked before users are let in.
type Gate struct {
	WebDAV        string        // "required" (default) or "off"
	SetupChecks   string        // "compare" (default) or "off"
	Log           string        // "fatal" (default) or "off"
	Pages         []string      // further paths that must answer 200
	Timeout       time.Duration // default DefaultGateTimeout
	IgnoreChecks  []string      // setup check classes that never hold
	OutsideVerify string        // "required" (default) or "off": look at the URL from the controller after opening
	// OnHold says what an inconclusive gate does: "wait" (default) keeps the
	// target closed for an operator's approve or rollback, at most HoldTimeout
	// (default 15m), then rolls back; "rollback" does so at once.
	OnHold      string
	HoldTimeout time.Duration
}
