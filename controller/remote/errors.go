package remote

import (
	"fmt"
	"strings"
	"time"
)

// OutcomeUnknown means that a command was sent and nobody knows how it ended
// or whether it began. It is never retried here: ask the host first.
type OutcomeUnknown struct {
	Host    string
	Command string
	Err     error // the broken connection or the context's error
}

func (e *OutcomeUnknown) Error() string {
	return fmt.Sprintf("the outcome of %s on host %s is not known: it was sent, then %v; look at the host's state before it is run again",
		e.Command, e.Host, e.Err)
}

// Unwrap returns what happened to the connection.
func (e *OutcomeUnknown) Unwrap() error { return e.Err }

// NotStarted means that the host answered and the command did not run.
type NotStarted struct {
	Host    string
	Command string
	Reason  string
}

func (e *NotStarted) Error() string {
	return fmt.Sprintf("cannot run %s on host %s: %s", e.Command, e.Host, e.Reason)
}

// OutputTruncated comes with a valid result whose outputs were cut.
type OutputTruncated struct {
	Host    string
	Command string
	Stream  string
	Limit   int
}

func (e *OutputTruncated) Error() string {
	return fmt.Sprintf("%s of %s on host %s is longer than %d bytes and was cut", e.Stream, e.Command, e.Host, e.Limit)
}

// Why a host could not be reached.
const (
	ReasonRefused     = "refused"
	ReasonTimeout     = "timeout"
	ReasonName        = "name"
	ReasonNoRoute     = "no route"
	ReasonClosed      = "closed"      // before SSH was established
	ReasonStalled     = "stalled"     // TCP answered, SSH did not
	ReasonForwarding  = "forwarding"  // a bastion forbids it
	ReasonAlgorithms  = "algorithms"  // no common algorithm
	ReasonBroken      = "broken"      // an established connection broke
	ReasonNoSession   = "no session"  // the host opens no session
	ReasonUnspecified = "unspecified" // see the error
	ReasonCancelled   = "cancelled"   // the caller's context ended
	ReasonClosedPool  = "pool closed" // by this program
)

// Unreachable means that there is no connection to the host. Nothing ran.
type Unreachable struct {
	Host   string
	Reason string
	Err    error
}

func (e *Unreachable) Error() string {
	return fmt.Sprintf("cannot connect to host %s: %v%s", e.Host, e.Err, unreachableHints[e.Reason])
}

// Unwrap returns the cause.
func (e *Unreachable) Unwrap() error { return e.Err }

var unreachableHints = map[string]string{
	ReasonRefused:    "; no SSH daemon listens there: check address and port, and `systemctl status ssh` on the host",
	ReasonTimeout:    "; nothing answered: check that the host is up, its address, and firewalls on the way",
	ReasonName:       "; check the address in the inventory and your name resolution",
	ReasonNoRoute:    "; check your network, VPN and routes to the host",
	ReasonClosed:     "; the host closed the connection before the SSH handshake: its sshd may be overloaded (MaxStartups), may have banned this address (PerSourcePenalties, fail2ban), or is starting",
	ReasonStalled:    "; the port answers, SSH does not: the host may hang or be very busy, or the port is not sshd's",
	ReasonAlgorithms: "; the host offers no algorithm that is allowed here: update its sshd, or record the host key types it has (ssh-keyscan)",
	ReasonNoSession:  "; look at MaxSessions in its sshd_config and at its log",
}

// HostKeyError means that the host's key was not accepted. Nothing was sent.
type HostKeyError struct {
	Host     string
	Address  string
	Port     int
	Alias    string // the name that the files have for it, when not the address
	Kind     string // KeyUnknown, KeyChanged or KeyRevoked
	Offered  string // "ssh-ed25519 SHA256:…"
	Recorded []RecordedKey
	Files    []string
	Err      error
}

// RecordedKey is a key in a known_hosts file.
type RecordedKey struct {
	Key  string // "ssh-ed25519 SHA256:…"
	File string
	Line int
}

// What can be wrong with a host key.
const (
	KeyUnknown = "unknown"
	KeyChanged = "changed"
	KeyRevoked = "revoked"
)

func (e *HostKeyError) Error() string {
	switch e.Kind {
	case KeyUnknown:
		under := ""
		if e.Alias != "" {
			under = " under the name " + e.Alias + ", which must stand for the address there"
		}
		return fmt.Sprintf("cannot connect to host %s: its key %s is not in %s%s. Verify the fingerprint on the host's console (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`), then add it: `ssh-keyscan -p %d %s >> %s` and compare with `ssh-keygen -lf %s`",
			e.Host, e.Offered, strings.Join(e.Files, ", "), under, e.Port, e.Address, firstOf(e.Files), firstOf(e.Files))
	case KeyChanged:
		var recorded []string
		for _, k := range e.Recorded {
			recorded = append(recorded, fmt.Sprintf("%s (%s:%d)", k.Key, k.File, k.Line))
		}
		return fmt.Sprintf("HOST KEY CHANGED: host %s offers %s but recorded is %s. Somebody may be intercepting the connection, or the host was installed anew. Nothing was sent. If the host's console shows the new fingerprint (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`), remove the recorded line and add the new key",
			e.Host, e.Offered, strings.Join(recorded, ", "))
	case KeyRevoked:
		at := ""
		for _, k := range e.Recorded {
			at = fmt.Sprintf(" by %s:%d", k.File, k.Line)
		}
		return fmt.Sprintf("cannot connect to host %s: its key %s is REVOKED%s. Nothing was sent. Give the host a new key (`ssh-keygen -A` after removing the old ones) and record it",
			e.Host, e.Offered, at)
	default:
		return fmt.Sprintf("cannot connect to host %s: its key %s was not accepted: %v", e.Host, e.Offered, e.Err)
	}
}

// Unwrap returns the cause.
func (e *HostKeyError) Unwrap() error { return e.Err }

func firstOf(files []string) string {
	if len(files) == 0 {
		return "KNOWN_HOSTS_FILE"
	}
	return files[0]
}

// AuthError means that the host refused every key.
type AuthError struct {
	Host  string
	User  string
	Tried []string // what was offered, with fingerprints
	Err   error
}

func (e *AuthError) Error() string {
	tried := "no key: set keys or the agent"
	if len(e.Tried) > 0 {
		tried = strings.Join(e.Tried, ", ")
	}
	return fmt.Sprintf("cannot log in to host %s as %s: refused, tried %s; add a public key to ~%s/.ssh/authorized_keys on the host, and see its log (journalctl -u ssh): %v",
		e.Host, e.User, tried, e.User, e.Err)
}

// Unwrap returns the cause.
func (e *AuthError) Unwrap() error { return e.Err }

// Why sudo did not run the command.
const (
	SudoNotAllowed    = "not allowed"
	SudoMissing       = "missing"
	SudoWrongPassword = "wrong password"
	SudoNeedsTTY      = "requiretty"
	SudoUnknownUser   = "unknown user"
	SudoFailed        = "failed"
)

// SudoError means that sudo refused; the command did not run.
type SudoError struct {
	Host    string
	Login   string
	User    string // to become
	Command string
	Reason  string
	Text    string // sudo's own words
}

func (e *SudoError) Error() string {
	var what string
	switch e.Reason {
	case SudoNotAllowed:
		what = fmt.Sprintf("sudo refuses: either it wants a password, or %s may not run this as %s (sudo says the same for both). Check with `sudo -l -U %s` on the host; then add a rule with NOPASSWD (visudo -f /etc/sudoers.d/ncfleet), or set the sudo password", e.Login, e.User, e.Login)
	case SudoMissing:
		what = "sudo is not installed: install it, or log in as root"
	case SudoWrongPassword:
		what = fmt.Sprintf("sudo does not accept the password of %s: correct the secret", e.Login)
	case SudoNeedsTTY:
		what = fmt.Sprintf("sudo wants a terminal: add `Defaults:%s !requiretty` to its configuration (visudo -f /etc/sudoers.d/ncfleet)", e.Login)
	case SudoUnknownUser:
		what = fmt.Sprintf("the host has no user %s", e.User)
	default:
		what = "sudo failed"
	}
	return fmt.Sprintf("cannot run %s on host %s as %s: %s [%s]", e.Command, e.Host, e.User, what, e.Text)
}

// SudoRefusal says why, for those who need not know this package.
func (e *SudoError) SudoRefusal() string { return e.Reason }

// LeaseHeld means that another rollout holds the host's lease.
type LeaseHeld struct {
	Host   string
	Name   string // the host's in the inventory
	Holder string
	Token  string
	Age    time.Duration
}

func (e *LeaseHeld) Error() string {
	return fmt.Sprintf("host %s is leased by %s for %s: wait for it; see ncfleet lease, and when that rollout is over or its controller is lost for good: ncfleet lease --break %s --reason WHY",
		e.Host, e.Holder, e.Age.Round(time.Second), e.Name)
}

// Why a controller has no lease (any more).
const (
	LeaseStale = "stale" // a later controller came, or the lease was broken
	LeaseOlder = "older" // it is still that of an earlier controller
	LeaseGone  = "gone"  // there is none
)

// LeaseLost means that a command was refused on the host, or a lease was not
// given, because the caller's token does not count there (any more). Nothing
// ran.
type LeaseLost struct {
	Host   string
	Reason string // LeaseStale, LeaseOlder or LeaseGone
	// Holder has the lease now; "" when nobody has.
	Holder string
	Token  string
	Age    time.Duration
	// How the lease last came or went under this rollout: "taken",
	// "taken-over", "released" or "broken", by whom, how long ago and why; ""
	// when the host does not know.
	How, Who, Why string
	Ago           time.Duration
}

func (e *LeaseLost) Error() string {
	ago := e.Ago.Round(time.Second)
	switch {
	case e.Reason == LeaseOlder:
		return fmt.Sprintf("host %s is still leased to an earlier controller of this rollout, %s, for %s: resume the rollout to take it over", e.Host, e.Holder, e.Age.Round(time.Second))
	case e.How == "broken":
		return fmt.Sprintf("the lease of host %s was broken by %s %s ago: %s", e.Host, e.Who, ago, e.Why)
	case e.Reason == LeaseStale && e.Holder != "":
		return fmt.Sprintf("another controller has taken over: host %s is leased by %s for %s", e.Host, e.Holder, e.Age.Round(time.Second))
	case e.Reason == LeaseStale:
		return fmt.Sprintf("another controller has taken over: host %s was leased by %s until %s ago", e.Host, e.Who, ago)
	case e.How != "":
		return fmt.Sprintf("the lease of host %s is gone: it was %s by %s %s ago", e.Host, e.How, e.Who, ago)
	}
	return fmt.Sprintf("the lease of host %s is gone, and the host does not know why: was its state folder removed?", e.Host)
}

// KeyFileError means that a private key or certificate cannot be used.
type KeyFileError struct {
	File   string
	Reason string
	Err    error
}

func (e *KeyFileError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("cannot use key %s: %s", e.File, e.Reason)
	}
	return fmt.Sprintf("cannot use key %s: %s: %v", e.File, e.Reason, e.Err)
}

// Unwrap returns the cause.
func (e *KeyFileError) Unwrap() error { return e.Err }
