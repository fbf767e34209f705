package inventory

import (
	"fmt"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// shape says what a block may hold.
type shape struct {
	schema *hcl.BodySchema
	known  []string // names of attributes and blocks, for messages
}

// newShape builds a shape from attribute names and blocks written
// "type label label".
func newShape(attrs string, blocks ...string) shape {
	s := shape{schema: &hcl.BodySchema{}}
	for _, a := range strings.Fields(attrs) {
		s.schema.Attributes = append(s.schema.Attributes, hcl.AttributeSchema{Name: a})
		s.known = append(s.known, a)
	}
	for _, b := range blocks {
		words := strings.Fields(b)
		s.schema.Blocks = append(s.schema.Blocks, hcl.BlockHeaderSchema{Type: words[0], LabelNames: words[1:]})
		s.known = append(s.known, words[0]+" {}")
	}
	return s
}

// The shapes of all blocks. A driver's body has none: its driver judges it.
var (
	rootShape = newShape("", "variable name", "locals", "ssh", "bastion name", "driver kind name", "group name", "host name", "rollout name", "notify kind name", "blackout")
	varShape  = newShape("type default description secret")
	sshShape  = newShape("user port keys key_passphrase certificates agent agent_socket identities_only known_hosts host_keys host_key_alias jump config connect_timeout keepalive sudo sudo_password")
	hostShape = newShape("for_each name address labels packages snapshot state_dir auto_update", "ssh", "nextcloud name")
	ncShape   = newShape("path url web_user php reload probe_user probe_password")

	notifyShape  = newShape("url key room server user password from to on")
	bastionShape = newShape("address handshakes channels connections", "ssh")
	groupShape   = newShape("hosts parallel labels packages snapshot state_dir auto_update", "ssh")
	rolloutShape = newShape("hosts max_unavailable pin window_cutoff window_reserve", "system", "core", "apps", "wave name", "spread", "failures", "window", "blackout", "gate")
	systemShape  = newShape("level upgrades refresh reboot timeout")
	coreShape    = newShape("to source transfer integrity keyring timeout interrupted")
	appsShape    = newShape("update on_incompatible catalogue critical")
	waveShape    = newShape("hosts count percent rest bake approve approvals approve_expires")
	spreadShape  = newShape("label max")
	failShape    = newShape("budget reopen_after")
	windowShape  = newShape("days from to zone")
	blackShape   = newShape("from to zone reason")
	gateShape    = newShape("webdav setup_checks log pages timeout ignore_checks outside_verify on_hold hold_timeout")
)

// section is a block whose shape has been checked.
type section struct {
	what   string // `host "cloud-07"`, for messages
	src    *source
	rng    hcl.Range // of the header
	label  string    // the last label
	attrs  hcl.Attributes
	blocks hcl.Blocks
}

// open checks a block's shape. What does not belong is reported and left out.
func (l *loader) open(b *hcl.Block, src *source, sh shape, what string) *section {
	content, diags := b.Body.Content(sh.schema)
	if len(diags) > 0 {
		l.reportHCL(diags, b.DefRange, what, sh.known)
	}
	s := &section{what: what, src: src, rng: b.DefRange, attrs: content.Attributes, blocks: content.Blocks}
	if len(b.Labels) > 0 {
		s.label = b.Labels[len(b.Labels)-1]
	}
	return s
}

// title is how messages call a block.
func title(b *hcl.Block) string {
	out := b.Type
	for _, label := range b.Labels {
		out += fmt.Sprintf(" %q", label)
	}
	return out
}

// top calls f for every top-level block of the type, in file order.
func (l *loader) top(blockType string, f func(*hcl.Block, *source)) {
	for _, s := range l.sources {
		for _, b := range s.root.blocks {
			if b.Type == blockType {
				f(b, s)
			}
		}
	}
}

// only returns the single inner block of the type, or nil. A second one is
// reported.
func (l *loader) only(s *section, blockType string, sh shape) *section {
	var found *hcl.Block
	for _, b := range s.blocks {
		if b.Type != blockType {
			continue
		}
		if found != nil {
			l.report(b.DefRange, s.what, fmt.Sprintf("Second %s block", blockType),
				fmt.Sprintf("The first is at %s:%d. Put all of it into one block.", found.DefRange.Filename, found.DefRange.Start.Line))
			continue
		}
		found = b
	}
	if found == nil {
		return nil
	}
	what := blockType
	if s.what != "" {
		what = s.what + ", " + blockType
	}
	return l.open(found, s.src, sh, what)
}

// firsts remembers where a name was first declared.
type firsts map[string]hcl.Range

// claim reports a name that is already taken.
func (l *loader) claim(taken firsts, key string, rng hcl.Range, what, remedy string) bool {
	if first, ok := taken[key]; ok {
		l.report(rng, what, "Duplicate "+what,
			fmt.Sprintf("It is already declared at %s:%d. %s", first.Filename, first.Start.Line, remedy))
		return false
	}
	taken[key] = rng
	return true
}

// labelRange is where a block's last label stands.
func labelRange(b *hcl.Block) hcl.Range {
	if n := len(b.LabelRanges); n > 0 {
		return b.LabelRanges[n-1]
	}
	return b.DefRange
}

func sortedAttributes(attrs hcl.Attributes) []*hcl.Attribute {
	out := make([]*hcl.Attribute, 0, len(attrs))
	for _, a := range attrs {
		out = append(out, a)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i].Range, out[j].Range
		if a.Filename != b.Filename {
			return a.Filename < b.Filename
		}
		return a.Start.Byte < b.Start.Byte
	})
	return out
}
