package importer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// Options of the text that is written.
type Options struct {
	// Path and URL give every host an instance "main"; "{name}" and "{address}"
	// stand for the host's. Without a path, hosts get none.
	Path, URL string
	// Only limits that to the hosts of one group; "" is all hosts.
	Only string
}

// Text writes the inventory in ncfleet's language. What all hosts share goes
// into one ssh block at the top.
func (inv Inventory) Text(o Options) []byte {
	f := hclwrite.NewEmptyFile()
	body := f.Body()
	shared := inv.shared()
	if !shared.zero() {
		shared.write(body.AppendNewBlock("ssh", nil).Body())
		body.AppendNewline()
	}
	for _, h := range inv.Hosts {
		inv.writeHost(body, h, shared, o)
		body.AppendNewline()
	}
	for _, g := range inv.Groups {
		b := body.AppendNewBlock("group", []string{g.Name}).Body()
		b.SetAttributeValue("hosts", texts(g.Hosts))
		body.AppendNewline()
	}
	return append([]byte(strings.TrimRight(string(hclwrite.Format(f.Bytes())), "\n")), '\n')
}

func (inv Inventory) writeHost(body *hclwrite.Body, h Host, shared login, o Options) {
	b := body.AppendNewBlock("host", []string{h.Name}).Body()
	b.SetAttributeValue("address", cty.StringVal(h.Address))
	if own := loginOf(h).without(shared); !own.zero() {
		own.write(b.AppendNewBlock("ssh", nil).Body())
	}
	if o.Path == "" || o.Only != "" && !inv.in(o.Only, h.Name) {
		return
	}
	fill := strings.NewReplacer("{name}", h.Name, "{address}", h.Address)
	n := b.AppendNewBlock("nextcloud", []string{"main"}).Body()
	n.SetAttributeValue("path", cty.StringVal(fill.Replace(o.Path)))
	n.SetAttributeValue("url", cty.StringVal(fill.Replace(o.URL)))
}

func (inv Inventory) in(group, host string) bool {
	for _, g := range inv.Groups {
		if g.Name == group {
			return slices.Contains(g.Hosts, host)
		}
	}
	return false
}

// login is an ssh block.
type login struct {
	user, hostKeys string
	port           int
	keys           []string
	jump           []Jump
}

func loginOf(h Host) login {
	return login{user: h.User, hostKeys: h.HostKeys, port: h.Port, keys: h.Keys, jump: h.Jump}
}

func (l login) zero() bool {
	return l.user == "" && l.hostKeys == "" && l.port == 0 && len(l.keys)+len(l.jump) == 0
}

// shared is what every host says alike.
func (inv Inventory) shared() login {
	if len(inv.Hosts) < 2 {
		return login{}
	}
	all := loginOf(inv.Hosts[0])
	for _, h := range inv.Hosts[1:] {
		l := loginOf(h)
		if l.user != all.user {
			all.user = ""
		}
		if l.hostKeys != all.hostKeys {
			all.hostKeys = ""
		}
		if l.port != all.port {
			all.port = 0
		}
		if !slices.Equal(l.keys, all.keys) {
			all.keys = nil
		}
		if !slices.Equal(l.jump, all.jump) {
			all.jump = nil
		}
	}
	return all
}

// without leaves out what the shared block says already. A setting is shared
// only when all hosts have it, so nothing must be undone.
func (l login) without(shared login) login {
	if shared.user != "" {
		l.user = ""
	}
	if shared.hostKeys != "" {
		l.hostKeys = ""
	}
	if shared.port != 0 {
		l.port = 0
	}
	if len(shared.keys) > 0 {
		l.keys = nil
	}
	if len(shared.jump) > 0 {
		l.jump = nil
	}
	return l
}

func (l login) write(b *hclwrite.Body) {
	if l.user != "" {
		b.SetAttributeValue("user", cty.StringVal(l.user))
	}
	if l.port != 0 {
		b.SetAttributeValue("port", cty.NumberIntVal(int64(l.port)))
	}
	if len(l.keys) > 0 {
		b.SetAttributeValue("keys", texts(l.keys))
	}
	if len(l.jump) > 0 {
		b.SetAttributeValue("jump", texts(l.jump))
	}
	if l.hostKeys != "" {
		b.SetAttributeValue("host_keys", cty.StringVal(l.hostKeys))
	}
}

func texts[T ~string](list []T) cty.Value {
	var out []cty.Value
	for _, s := range list {
		out = append(out, cty.StringVal(string(s)))
	}
	return cty.ListVal(out)
}

// fewNeedless is how many left out variables of a file get a line each.
const fewNeedless = 2

// Report tells line by line what was not taken over. Variables of one file that
// say nothing of how a host is reached share a line, when they are many.
func (inv Inventory) Report() string {
	of := map[string][]string{} // by file
	for _, n := range inv.Notes {
		if n.Variable != "" {
			of[n.At.File] = append(of[n.At.File], fmt.Sprintf("%s (line %d)", n.Variable, n.At.Line))
		}
	}
	var b strings.Builder
	for i, n := range inv.Notes {
		if n.Variable == "" || len(of[n.At.File]) <= fewNeedless {
			fmt.Fprintf(&b, "%s: %s\n", n.At, n.Text)
		}
		last := i+1 == len(inv.Notes) || inv.Notes[i+1].At.File != n.At.File
		if list := of[n.At.File]; last && len(list) > fewNeedless {
			fmt.Fprintf(&b, "%s: %d variables are left out: they say nothing of how a host is reached: %s\n", n.At.File, len(list), strings.Join(list, ", "))
		}
	}
	return b.String()
}
