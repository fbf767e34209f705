package remote

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// refusal recognises, by exit status and stderr of a silent command, that sudo
// or a script of ours refused to start it. It errs on the side of a result:
// in the plain form sudo's complaint must be all there is.
func (x *execution) refusal(code int) error {
	text := strings.TrimSpace(string(x.stderr.head()))
	if code == 126 {
		for _, prefix := range []string{noFolder, noUser} {
			if strings.HasPrefix(text, prefix) {
				return &NotStarted{x.host.config.label(), x.wire.title, strings.TrimPrefix(text, "ncfleet: ")}
			}
		}
	}
	if !x.wire.sudo {
		return nil
	}
	select {
	case <-x.ready:
		if x.password != nil {
			return nil // the command began
		}
	default:
	}
	reason := sudoReason(code, text)
	if reason == "" {
		if x.password == nil {
			return nil
		}
		reason = SudoFailed // the command never began, whatever sudo said
	}
	return &SudoError{
		Host: x.host.config.label(), Login: x.host.config.User, User: x.wire.user,
		Command: x.wire.title, Reason: reason, Text: text,
	}
}

// sudoReason reads sudo's complaint; empty means that it is none. The locale
// is ours, so the words are the untranslated ones.
func sudoReason(code int, text string) string {
	if code == 127 {
		// env says it in as many ways as there are envs.
		if strings.Contains(text, "sudo") && (strings.Contains(text, "No such file") || strings.Contains(text, "not found")) {
			return SudoMissing
		}
		return ""
	}
	if code != 1 {
		return ""
	}
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		for _, r := range sudoReasons {
			if strings.Contains(line, r.text) && (strings.HasPrefix(line, "sudo") || r.bare) {
				return r.reason
			}
		}
	}
	return ""
}

var sudoReasons = []struct {
	text   string
	bare   bool // without "sudo: " in front
	reason string
}{
	{"you must have a tty", false, SudoNeedsTTY},
	{"a terminal is required", false, SudoNeedsTTY},
	{"incorrect password attempt", false, SudoWrongPassword},
	{"no password was provided", false, SudoWrongPassword},
	{"Authentication failed", false, SudoWrongPassword},
	{"Sorry, try again.", true, SudoWrongPassword},
	{"a password is required", false, SudoNotAllowed},
	{"interactive authentication is required", false, SudoNotAllowed},
	{"I'm afraid I can't do that", false, SudoNotAllowed},
	{"is not in the sudoers file", true, SudoNotAllowed},
	{"is not allowed to execute", true, SudoNotAllowed},
	{"is not allowed to run sudo", true, SudoNotAllowed},
	{"may not run sudo", true, SudoNotAllowed},
	{"unknown user", false, SudoUnknownUser},
	{"user not found", false, SudoUnknownUser},
	{"PAM account management error", false, SudoFailed},
	{"account validation failure", false, SudoFailed},
	{"Account or password is expired", false, SudoFailed},
	{"no valid sudoers sources", false, SudoFailed},
	{"must be owned by uid 0", false, SudoFailed},
}

// peek keeps the head of an output while it passes on.
type peek struct {
	to       io.Writer
	complain chan<- string // told once when sudo asks for another password

	mu sync.Mutex
	b  []byte
}

const peekLimit = 4 << 10

func (p *peek) Write(b []byte) (int, error) {
	p.mu.Lock()
	if len(p.b) < peekLimit {
		p.b = append(p.b, b[:min(len(b), peekLimit-len(p.b))]...)
		if p.complain != nil && bytes.Contains(p.b, []byte("try again")) {
			p.complain <- string(p.b)
			p.complain = nil
		}
	}
	p.mu.Unlock()
	return p.to.Write(b)
}

func (p *peek) head() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.b)
}

func (p *peek) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.b) == 0
}

// gate holds an output back until the mark stands on a line of its own.
type gate struct {
	mark  string
	to    io.Writer
	ready chan struct{}

	open bool
	b    []byte
}

func (g *gate) Write(b []byte) (int, error) {
	if g.open {
		return g.to.Write(b)
	}
	g.b = append(g.b, b...)
	_, rest, found := bytes.Cut(g.b, []byte(g.mark+"\n"))
	if !found {
		if keep := len(g.mark) + 1; len(g.b) > peekLimit {
			g.b = g.b[len(g.b)-keep:]
		}
		return len(b), nil
	}
	g.open = true
	close(g.ready)
	if len(rest) > 0 {
		if _, err := g.to.Write(rest); err != nil {
			return 0, err
		}
	}
	g.b = nil
	return len(b), nil
}
