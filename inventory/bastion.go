package inventory

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// bastionDraft is a bastion before its own way is resolved.
type bastionDraft struct {
	Bastion
	rng hcl.Range
}

// readBastions reads the bastion blocks. The defaults of the file's ssh block
// count for them too, but for the way to hosts: it leads through them.
func (l *loader) readBastions() {
	l.bastions = map[string]*bastionDraft{}
	taken := firsts{}
	l.top("bastion", func(b *hcl.Block, src *source) {
		sec := l.open(b, src, bastionShape, title(b))
		ssh := l.only(sec, "ssh", sshShape)
		if !l.checkName(b.Labels[0], labelRange(b), sec.what) ||
			!l.claim(taken, b.Labels[0], labelRange(b), sec.what, "Give one of them another name.") {
			return
		}
		s := l.in(sec, src.ctx)
		d := &bastionDraft{rng: b.DefRange, Bastion: Bastion{Name: b.Labels[0], Range: l.place(b.DefRange)}}
		if s.need("address", `an IP address or DNS name: address = "gate.example.org"`) {
			d.Address, _ = s.address("address")
		}
		d.Handshakes, _ = s.whole("handshakes", 1, 1000)
		d.Channels, _ = s.whole("channels", 1, 10_000)
		d.Connections, _ = s.whole("connections", 1, 8)
		l.fileSSH.onto(&d.SSH)
		d.SSH.Jump = nil
		l.sshPart(ssh, s.ctx, s.what).onto(&d.SSH)
		l.bastions[d.Name] = d
		l.order = append(l.order, d)
	})
}

// resolveJumps puts the bastions where their names stand, and before the first
// one on a host's way the way to that.
func (l *loader) resolveJumps() {
	for _, d := range l.order {
		d.SSH.Jump = l.way(d.SSH.Jump, d, []string{d.Name})
	}
	for _, h := range l.hosts {
		h.SSH.Jump = l.way(h.SSH.Jump, nil, nil)
	}
}

// way resolves one list. from is the bastion whose list it is, nil for a
// host's; over are the names of the bastions that led here.
func (l *loader) way(list []Jump, from *bastionDraft, over []string) []Jump {
	if list == nil {
		return nil
	}
	out := []Jump{}
	for i, j := range list {
		d := l.bastions[j.Address]
		if d == nil || j.User != "" || j.Port != 0 || j.Bastion != nil {
			out = append(out, j)
			continue
		}
		if from != nil && contains(over, d.Name) {
			l.report(from.rng, fmt.Sprintf("bastion %q", from.Name), "Bastion behind itself",
				fmt.Sprintf("The way leads over %s and %s again. Take one of them out of the jump of the other.", strings.Join(over, ", "), d.Name))
			return out
		}
		if i == 0 {
			next := from
			if next == nil {
				next = d
			}
			out = append(out, l.way(d.SSH.Jump, next, append(over, d.Name))...)
		}
		out = append(out, Jump{Address: d.Address, Port: d.SSH.Port, User: d.SSH.User, Bastion: &d.Bastion})
	}
	return out
}
