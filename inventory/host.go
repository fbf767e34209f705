package inventory

import (
	"fmt"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// DefaultStateDir is the controller's folder on a host that names none.
const DefaultStateDir = "/var/lib/ncfleet"

// maxHosts bounds a fleet.
const maxHosts = 100_000

// hostDraft is a host before groups are applied. Packages, Snapshot, StateDir
// and Labels hold what the host itself says.
type hostDraft struct {
	Host
	sec       *section
	ssh       *sshPart
	nested    []*section        // of the instances, in their order
	ownLabels map[string]string // without those of groups
	rng       hcl.Range
	value     cty.Value // of host in selections
}

// readHosts reads the host blocks and sorts the hosts by name.
func (l *loader) readHosts() {
	taken := firsts{}
	count := 0
	l.top("host", func(b *hcl.Block, s *source) {
		sec := l.open(b, s, hostShape, title(b))
		sec.label = b.Labels[0]
		nested := l.openInstances(sec)
		ssh := l.only(sec, "ssh", sshShape)
		add := func(ctx *hcl.EvalContext, name, what string, rng hcl.Range) {
			if count++; count > maxHosts {
				l.report(b.DefRange, "", "Too many hosts", fmt.Sprintf("A fleet holds at most %d hosts.", maxHosts))
				return
			}
			if !l.checkName(name, rng, what) || !l.claim(taken, name, rng, fmt.Sprintf("host %q", name), "Give one of them another name.") {
				return
			}
			sc := scope{l: l, sec: sec, ctx: ctx, what: what}
			l.hosts = append(l.hosts, sc.host(name, ssh, nested))
		}
		if sec.attrs["for_each"] != nil {
			l.eachHost(sec, add)
			return
		}
		if a := sec.attrs["name"]; a != nil {
			l.report(a.NameRange, sec.what, "name without for_each",
				"The block's label is the host's name. Drop the name, or give the block a for_each.")
		}
		add(s.ctx, b.Labels[0], sec.what, labelRange(b))
	})
	sort.Slice(l.hosts, func(i, j int) bool { return l.hosts[i].Name < l.hosts[j].Name })
	l.byName = make(map[string]int, len(l.hosts))
	for i, h := range l.hosts {
		l.byName[h.Name] = i
	}
}

// eachHost calls add for every element of for_each.
func (l *loader) eachHost(sec *section, add func(*hcl.EvalContext, string, string, hcl.Range)) {
	s := l.in(sec, sec.src.ctx)
	all, ok := s.value("for_each")
	if !ok {
		if a := sec.attrs["for_each"]; a != nil {
			if v, diags := a.Expr.Value(s.ctx); !diags.HasErrors() && v.IsNull() {
				s.bad("for_each", "for_each is null", "It takes a set of strings or a map; an empty one declares no host.")
			}
		}
		return
	}
	t := all.Type()
	switch {
	case holdsSecret(t):
		s.bad("for_each", "A secret cannot stand here", "Keys and values of for_each become names and labels. Write the secret where it is used.")
		return
	case t.IsMapType() || t.IsObjectType() || (t.IsSetType() && t.ElementType() == cty.String):
	case t.IsTupleType() || t.IsListType():
		s.bad("for_each", "Wrong type for for_each", "It takes a set of strings or a map, not a list, in which order would decide who is who. Write for_each = toset([…]).")
		return
	default:
		s.bad("for_each", "Wrong type for for_each", fmt.Sprintf("It takes a set of strings or a map, not %s.", article(t.FriendlyName())))
		return
	}
	rng := sec.attrs["for_each"].Expr.Range()
	if a := sec.attrs["name"]; a != nil {
		rng = a.Expr.Range()
	}
	for it := all.ElementIterator(); it.Next(); {
		key, value := it.Element()
		if t.IsSetType() {
			key = value
		}
		if key.IsNull() {
			s.bad("for_each", "Null in for_each", "A null cannot name a host. Leave it out: toset(compact([…])).")
			continue
		}
		ctx := sec.src.ctx.NewChild()
		ctx.Variables = map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": key, "value": value})}
		name := sec.label + "-" + key.AsString()
		what := fmt.Sprintf("%s for %q", sec.what, key.AsString())
		if sec.attrs["name"] != nil {
			own := scope{l: l, sec: sec, ctx: ctx, what: what}
			if !own.need("name", "a template such as \""+sec.label+"-${each.key}\"") {
				continue
			}
			if name, ok = own.str("name"); !ok {
				continue
			}
		}
		add(ctx, name, what, rng)
	}
}

// openInstances opens the nextcloud blocks of a host block.
func (l *loader) openInstances(sec *section) []*section {
	var out []*section
	taken := firsts{}
	for _, b := range sec.blocks {
		if b.Type != "nextcloud" {
			continue
		}
		what := sec.what + ", " + title(b)
		if !l.checkName(b.Labels[0], labelRange(b), what) ||
			!l.claim(taken, b.Labels[0], labelRange(b), title(b), "Instances of one host need different names.") {
			continue
		}
		out = append(out, l.open(b, sec.src, ncShape, what))
	}
	return out
}

func (s scope) host(name string, ssh *section, nested []*section) *hostDraft {
	h := &hostDraft{sec: s.sec, rng: s.sec.rng, ssh: s.l.sshPart(ssh, s.ctx, s.what)}
	h.Name, h.Range = name, s.l.place(s.sec.rng)
	if s.need("address", `an IP address or DNS name: address = "192.0.2.7"`) {
		h.Address, _ = s.address("address")
	}
	h.Packages, _ = s.driver("packages")
	h.Snapshot, _ = s.driver("snapshot")
	h.StateDir, _ = s.absolute("state_dir")
	h.AutoUpdate, _ = s.word("auto_update", "hold", "absent")
	h.Labels = s.labels()
	h.ownLabels, h.nested = h.Labels, nested
	for _, sec := range nested {
		inner := scope{l: s.l, sec: sec, ctx: s.ctx, what: s.what + strings.TrimPrefix(sec.what, s.sec.what)}
		h.Instances = append(h.Instances, inner.instance())
	}
	if len(h.Instances) > 1 {
		s.checkTrees(h.Instances, nested)
	}
	return h
}

// labels takes a map of texts. A null is as if the label were not written.
func (s scope) labels() map[string]string {
	v, ok := s.value("labels")
	if !ok {
		return nil
	}
	t := v.Type()
	if !t.IsObjectType() && !t.IsMapType() || holdsSecret(t) {
		s.wrongType("labels", v, `a map of texts such as { ring = "canary" }`)
		return nil
	}
	out := map[string]string{}
	for it := v.ElementIterator(); it.Next(); {
		key, e := it.Element()
		if e.IsNull() {
			continue
		}
		word, ok := text(e)
		if !ok || key.AsString() == "" || strings.IndexFunc(key.AsString()+word, isControl) >= 0 {
			s.bad("labels", "Bad label", fmt.Sprintf("The label %q must be one line of text, a number, true or false.", key.AsString()))
			continue
		}
		out[key.AsString()] = word
	}
	return out
}

func (s scope) instance() Instance {
	i := Instance{Name: s.sec.label, Range: s.l.place(s.sec.rng)}
	if s.need("path", `the folder that holds occ: path = "/var/www/nextcloud"`) {
		i.Path, _ = s.absolute("path")
	}
	if s.need("url", `the address users type in: url = "https://cloud.example.org"`) {
		i.URL, _ = s.siteURL("url")
	}
	i.WebUser, _ = s.account("web_user")
	if php, ok := s.str("php"); ok {
		if strings.ContainsAny(php, " '\"\\$`;&|<>*?") || strings.HasPrefix(php, "-") {
			s.bad("php", "Bad php", fmt.Sprintf("%q is not one program. Write its name or path alone, such as \"/usr/bin/php8.2\".", php))
		} else {
			i.PHP = php
		}
	}
	i.Reload, _ = s.reload()
	i.ProbeUser, _ = s.str("probe_user")
	i.ProbePassword, _ = s.secret("probe_password")
	user, password := s.sec.attrs["probe_user"], s.sec.attrs["probe_password"]
	if (user == nil) != (password == nil) {
		s.l.report(s.sec.rng, s.what, "Half a probe account",
			"probe_user and probe_password belong together. Write both, or neither: then the gate creates an account and removes it.")
	}
	return i
}

// reload takes a command as its words; one text would need a shell to split it.
func (s scope) reload() ([]string, bool) {
	if v, ok := s.value("reload"); ok && v.Type() == cty.String && strings.ContainsAny(v.AsString(), " \t") {
		s.bad("reload", "Command in one text", fmt.Sprintf("No shell runs it. Write its words as a list: reload = [%s].", quoted(strings.Fields(v.AsString()), 9)))
		return nil, false
	}
	return s.strs("reload")
}

// checkTrees refuses instances of one host whose code trees touch: moving one
// aside would move the other.
func (s scope) checkTrees(list []Instance, nested []*section) {
	for j := range list {
		for i := range list[:j] {
			a, b := list[i], list[j]
			if a.Path == "" || b.Path == "" {
				continue
			}
			rng := nested[j].attrs["path"].Expr.Range()
			switch {
			case a.Path == b.Path:
				s.l.report(rng, s.what, "Two instances in one folder",
					fmt.Sprintf("%q and %q both have the path %s. Each instance has its own code tree.", a.Name, b.Name, a.Path))
			case strings.HasPrefix(b.Path, a.Path+"/") || strings.HasPrefix(a.Path, b.Path+"/"):
				s.l.report(rng, s.what, "Instance inside another",
					fmt.Sprintf("%q (%s) and %q (%s): one lies inside the other, and an upgrade moves whole trees. Move one of them on the host.", a.Name, a.Path, b.Name, b.Path))
			}
		}
	}
}

// warnSharedAddresses points at hosts that look like one machine.
func (l *loader) warnSharedAddresses() {
	type door struct {
		address string
		port    int
		jump    string
	}
	seen := make(map[door]*hostDraft, len(l.hosts))
	for _, h := range l.hosts {
		d := door{address: h.Address, port: h.SSH.Port}
		if len(h.SSH.Jump) > 0 {
			d.jump = fmt.Sprint(h.SSH.Jump)
		}
		if first := seen[d]; first != nil && h.Address != "" {
			l.warn(h.rng, fmt.Sprintf("host %q", h.Name), "Two hosts with one address",
				fmt.Sprintf("%q and %q both have the address %s. If they are one machine, declare one host with several nextcloud blocks.", first.Name, h.Name, h.Address))
			continue
		}
		seen[d] = h
	}
}
