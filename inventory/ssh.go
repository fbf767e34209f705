package inventory

import (
	"fmt"
	"net"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// sshField is one setting of an ssh block. read fills it and says whether it
// was given; at points to it, so that settings merge one by one.
type sshField struct {
	name string
	read func(s scope, name string, out *SSH) bool
	at   func(*SSH) any
}

var sshFields = []sshField{
	{"user", func(s scope, n string, o *SSH) (ok bool) { o.User, ok = s.account(n); return }, func(o *SSH) any { return &o.User }},
	{"port", func(s scope, n string, o *SSH) (ok bool) { o.Port, ok = s.whole(n, 1, 65535); return }, func(o *SSH) any { return &o.Port }},
	{"keys", func(s scope, n string, o *SSH) (ok bool) { o.Keys, ok = s.files(n); return }, func(o *SSH) any { return &o.Keys }},
	{"key_passphrase", func(s scope, n string, o *SSH) (ok bool) { o.KeyPassphrase, ok = s.secret(n); return }, func(o *SSH) any { return &o.KeyPassphrase }},
	{"certificates", func(s scope, n string, o *SSH) (ok bool) { o.Certificates, ok = s.files(n); return }, func(o *SSH) any { return &o.Certificates }},
	{"agent", func(s scope, n string, o *SSH) (ok bool) { o.Agent, ok = s.flag(n); return }, func(o *SSH) any { return &o.Agent }},
	{"agent_socket", func(s scope, n string, o *SSH) (ok bool) { o.AgentSocket, ok = s.fileOr(n, "none"); return }, func(o *SSH) any { return &o.AgentSocket }},
	{"identities_only", func(s scope, n string, o *SSH) (ok bool) { o.IdentitiesOnly, ok = s.flag(n); return }, func(o *SSH) any { return &o.IdentitiesOnly }},
	{"known_hosts", func(s scope, n string, o *SSH) (ok bool) { o.KnownHosts, ok = s.files(n); return }, func(o *SSH) any { return &o.KnownHosts }},
	{"host_keys", func(s scope, n string, o *SSH) (ok bool) { o.HostKeys, ok = s.word(n, "strict", "accept-new"); return }, func(o *SSH) any { return &o.HostKeys }},
	{"host_key_alias", func(s scope, n string, o *SSH) (ok bool) { o.HostKeyAlias, ok = s.address(n); return }, func(o *SSH) any { return &o.HostKeyAlias }},
	{"jump", func(s scope, n string, o *SSH) (ok bool) { o.Jump, ok = s.jumps(n); return }, func(o *SSH) any { return &o.Jump }},
	{"config", func(s scope, n string, o *SSH) (ok bool) { o.Config, ok = s.sshConfig(n); return }, func(o *SSH) any { return &o.Config }},
	{"connect_timeout", func(s scope, n string, o *SSH) (ok bool) { o.ConnectTimeout, ok = s.duration(n, time.Second); return }, func(o *SSH) any { return &o.ConnectTimeout }},
	{"keepalive", func(s scope, n string, o *SSH) (ok bool) { o.Keepalive, ok = s.duration(n, time.Second); return }, func(o *SSH) any { return &o.Keepalive }},
	{"sudo", func(s scope, n string, o *SSH) (ok bool) { o.Sudo, ok = s.word(n, "auto", "none"); return }, func(o *SSH) any { return &o.Sudo }},
	{"sudo_password", func(s scope, n string, o *SSH) (ok bool) { o.SudoPassword, ok = s.secret(n); return }, func(o *SSH) any { return &o.SudoPassword }},
}

// sshPart is what one ssh block says; only the given settings count.
type sshPart struct {
	value SSH
	given []sshSetting // in the order of sshFields
}

type sshSetting struct {
	field int // index into sshFields
	rng   hcl.Range
}

// onto overrides the given settings of out.
func (p *sshPart) onto(out *SSH) {
	if p == nil {
		return
	}
	for _, g := range p.given {
		copyField(g.field, out, &p.value)
	}
}

func copyField(field int, to, from *SSH) {
	at := sshFields[field].at
	reflect.ValueOf(at(to)).Elem().Set(reflect.ValueOf(at(from)).Elem())
}

func sameField(field int, a, b *SSH) bool {
	at := sshFields[field].at
	return reflect.DeepEqual(at(a), at(b))
}

// sshPart evaluates an opened ssh block; sec may be nil.
func (l *loader) sshPart(sec *section, ctx *hcl.EvalContext, what string) *sshPart {
	if sec == nil {
		return nil
	}
	s := scope{l: l, sec: sec, ctx: ctx, what: what}
	p := &sshPart{}
	for i, f := range sshFields {
		a := sec.attrs[f.name]
		if a != nil && f.read(s, f.name, &p.value) {
			p.given = append(p.given, sshSetting{i, a.Expr.Range()})
		}
	}
	return p
}

// readFileSSH reads the defaults for all hosts: one ssh block in all files.
func (l *loader) readFileSSH() {
	var found *hcl.Block
	l.top("ssh", func(b *hcl.Block, s *source) {
		if found != nil {
			l.report(b.DefRange, "", "Second ssh block",
				fmt.Sprintf("The defaults for all hosts are at %s:%d. Put all of them into one block, or write ssh {} inside a group or a host.", found.DefRange.Filename, found.DefRange.Start.Line))
			return
		}
		found = b
		l.fileSSH = l.sshPart(l.open(b, s, sshShape, "ssh"), s.ctx, "ssh")
	})
}

// sshConfig takes the path of an ssh_config, or true for what ssh itself reads.
func (s scope) sshConfig(name string) (string, bool) {
	if v, ok := s.value(name); ok && v.Type() == cty.Bool && v.IsKnown() {
		if v.True() {
			return UsualSSHConfig, true
		}
		return "", true
	}
	return s.fileOr(name)
}

// fileOr takes one path and makes it absolute, or one of the words.
func (s scope) fileOr(name string, words ...string) (string, bool) {
	got, ok := s.str(name)
	if !ok || contains(words, got) {
		return got, ok
	}
	abs, err := s.sec.src.path(got)
	if err != nil {
		s.bad(name, "Bad path in "+name, fmt.Sprintf("%q: %s.", got, err))
		return "", false
	}
	return abs, true
}

// jumps takes "user@bastion:22", a bastion's name or a list of such, outermost first.
func (s scope) jumps(name string) ([]Jump, bool) {
	list, ok := s.strs(name)
	if !ok {
		return nil, false
	}
	out := make([]Jump, 0, len(list))
	for _, word := range list {
		j, err := parseJump(word)
		if err != nil {
			s.bad(name, "Bad bastion", fmt.Sprintf("%q: %s. Write \"user@bastion.example.org:22\"; user and port may be left out.", word, err))
			return nil, false
		}
		out = append(out, j)
	}
	return out, true
}

func parseJump(word string) (Jump, error) {
	j := Jump{Address: word}
	if user, rest, ok := strings.Cut(word, "@"); ok {
		if err := checkAccount(user); err != nil {
			return j, err
		}
		j.User, j.Address = user, rest
	}
	if host, port, err := net.SplitHostPort(j.Address); err == nil {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return j, fmt.Errorf("%q is not a port", port)
		}
		j.Address, j.Port = host, n
	} else {
		j.Address = strings.TrimSuffix(strings.TrimPrefix(j.Address, "["), "]")
	}
	return j, checkAddress(j.Address)
}
