package inventory

import (
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// notifyKinds are the ways to tell people, with the settings that each needs
// and may have.
var notifyKinds = map[string]struct{ needs, may string }{
	"webhook": {"url", "key"},
	"slack":   {"url", ""},
	"talk":    {"url room key", ""},
	"email":   {"server from to", "user password"},
}

// notifyOccasions are what a rollout tells of; without "on", all but the start.
var notifyOccasions = []string{"start", "wave", "decision", "answer", "wait", "end"}

func (l *loader) readNotify() []Notify {
	var out []Notify
	taken := firsts{}
	kinds := sortedKeys(notifyKinds)
	l.top("notify", func(b *hcl.Block, src *source) {
		kind, name, what := b.Labels[0], b.Labels[1], title(b)
		if _, ok := notifyKinds[kind]; !ok {
			l.report(b.LabelRanges[0], what, "Unknown kind of notification",
				fmt.Sprintf("%q is not among the kinds: %s.%s Mattermost takes \"slack\".", kind, quoted(kinds, 9), suggest(kind, kinds)))
			return
		}
		if !l.checkName(name, labelRange(b), what) || !l.claim(taken, kind+"\x00"+name, labelRange(b), what, "Give one of them another name.") {
			return
		}
		out = append(out, l.in(l.open(b, src, notifyShape, what), src.ctx).notify(kind, name))
	})
	return out
}

func (s scope) notify(kind, name string) Notify {
	n := Notify{Kind: kind, Name: name, Range: s.l.place(s.sec.rng), On: slices.Clone(notifyOccasions[1:])}
	needs, may := strings.Fields(notifyKinds[kind].needs), strings.Fields(notifyKinds[kind].may)
	examples := map[string]string{"url": `"https://…" or secret("env:NAME")`, "room": `"a1b2c3d4", the last part of the conversation's address`,
		"key": `secret("env:NAME")`, "server": `"mail.example.org:587"`, "from": `"ncfleet@example.org"`, "to": `["ops@example.org"]`}
	for _, attr := range needs {
		s.need(attr, examples[attr])
	}
	for _, a := range sortedAttributes(s.sec.attrs) {
		if a.Name != "on" && !slices.Contains(needs, a.Name) && !slices.Contains(may, a.Name) {
			s.bad(a.Name, "Setting of another kind", fmt.Sprintf("notify %q takes %s and on.", kind, strings.Join(append(needs, may...), ", ")))
		}
	}
	n.URL, n.SecretURL = s.notifyURL()
	n.Key, _ = s.secret("key")
	n.Room, _ = s.str("room")
	n.User, _ = s.str("user")
	n.Password, _ = s.secret("password")
	if n.User == "" && n.Password != "" {
		s.bad("password", "Password without a user", "Write user too, or leave the password out.")
	}
	s.mail(&n)
	on, given := s.strs("on")
	if given {
		n.On = on
	}
	for _, o := range n.On {
		if !slices.Contains(notifyOccasions, o) {
			s.bad("on", "Unknown occasion", fmt.Sprintf("%q is not among %s.%s", o, quoted(notifyOccasions, 9), suggest(o, notifyOccasions)))
		}
	}
	return n
}

// notifyURL takes the address as text or as a secret.
func (s scope) notifyURL() (string, Secret) {
	v, ok := s.value("url")
	if !ok {
		return "", ""
	}
	if ref, ok := asSecret(v); ok {
		return "", ref
	}
	text, ok := s.str("url")
	if !ok {
		return "", ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		s.bad("url", "Bad address", "Write https://… without a user; an address that lets anybody in is a secret: secret(\"env:NAME\").")
		return "", ""
	}
	return text, ""
}

func (s scope) mail(n *Notify) {
	if server, ok := s.str("server"); ok {
		if host, port, err := net.SplitHostPort(server); err != nil || host == "" || port == "" {
			s.bad("server", "Bad mail server", fmt.Sprintf("%q is not written host:port, such as \"mail.example.org:587\".", server))
		}
		n.Server = server
	}
	if from, ok := s.str("from"); ok {
		s.mailbox("from", from)
		n.From = from
	}
	if to, ok := s.strs("to"); ok {
		for _, t := range to {
			s.mailbox("to", t)
		}
		if len(to) == 0 {
			s.bad("to", "Nobody to write to", "Write at least one address.")
		}
		n.To = to
	}
}

func (s scope) mailbox(name, text string) {
	if a, err := mail.ParseAddress(text); err != nil || a.Name != "" {
		s.bad(name, "Bad mail address", fmt.Sprintf("%q is not a plain address such as \"ops@example.org\".", text))
	}
}
