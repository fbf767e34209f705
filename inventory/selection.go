package inventory

import (
	"fmt"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// pick evaluates a hosts attribute over the hosts among, keeping their order.
// It takes an expression over host, true, false, or a list of names. Unknown
// names and, when among is not the whole fleet, names outside it are reported.
// groupsKnown is false while groups are being formed.
func (s scope) pick(name string, among []*hostDraft, groupsKnown bool) (picked []*hostDraft, ok bool) {
	a := s.sec.attrs[name]
	perHost, ok := s.checkHostReferences(a.Expr, groupsKnown)
	if !ok {
		return nil, false
	}
	if perHost {
		return s.pickEach(name, among)
	}
	v, ok := s.value(name)
	if !ok {
		if v != cty.NilVal && v.IsKnown() && v.IsNull() {
			s.badSelection(name, v)
		}
		return nil, false
	}
	if v.Type() == cty.Bool {
		if v.True() {
			return among, true
		}
		return nil, true
	}
	names, ok := texts(v)
	if !ok {
		s.badSelection(name, v)
		return nil, false
	}
	return s.pickNamed(name, names, among)
}

func (s scope) badSelection(name string, v cty.Value) {
	s.wrongType(name, v, `a condition such as host.labels.ring == "canary", true, or a list of host names`)
}

func (s scope) pickEach(name string, among []*hostDraft) ([]*hostDraft, bool) {
	expr := s.sec.attrs[name].Expr
	ctx := s.ctx.NewChild()
	ctx.Variables = map[string]cty.Value{}
	var picked []*hostDraft
	for _, h := range among {
		ctx.Variables["host"] = h.value
		what := s.what
		v, diags := expr.Value(ctx)
		if diags.HasErrors() {
			what = fmt.Sprintf("%s, for host %q", s.what, h.Name)
			s.l.explain(expr, ctx, what, diags)
			return nil, false
		}
		if !v.IsWhollyKnown() {
			return nil, false
		}
		if v.IsNull() || v.Type() != cty.Bool {
			s.badSelection(name, v)
			return nil, false
		}
		if v.True() {
			picked = append(picked, h)
		}
	}
	return picked, true
}

func (s scope) pickNamed(name string, names []string, among []*hostDraft) ([]*hostDraft, bool) {
	wanted := map[string]bool{}
	for _, n := range names {
		if _, ok := s.l.byName[n]; !ok {
			all := make([]string, len(s.l.hosts))
			for i, h := range s.l.hosts {
				all[i] = h.Name
			}
			s.bad(name, "Unknown host", fmt.Sprintf("No host is called %q.%s", n, suggest(n, all)))
			return nil, false
		}
		wanted[n] = true
	}
	var picked []*hostDraft
	for _, h := range among {
		if wanted[h.Name] {
			picked = append(picked, h)
			delete(wanted, h.Name)
		}
	}
	if len(wanted) > 0 {
		s.bad(name, "Host outside the rollout", fmt.Sprintf("The rollout's hosts attribute does not select %s. Select them there, or drop them here.", quoted(sortedKeys(wanted), 5)))
		return nil, false
	}
	return picked, true
}

// checkHostReferences reports what an expression asks of host that no host
// has, and makes the labels it names present on every host.
func (s scope) checkHostReferences(expr hcl.Expression, groupsKnown bool) (perHost, ok bool) {
	ok = true
	for _, t := range expr.Variables() {
		if t.RootName() != "host" {
			continue
		}
		perHost = true
		second := secondName(t)
		switch {
		case len(t) < 2:
		case !contains(hostAttributes, second):
			s.l.report(t.SourceRange(), s.what, "Unknown attribute of host",
				fmt.Sprintf("A selection can ask for host.%s, not for %q.%s", strings.Join(hostAttributes, ", host."), second, suggest(second, hostAttributes)))
			ok = false
		case second == "groups" && !groupsKnown:
			s.l.report(t.SourceRange(), s.what, "Groups are not known yet",
				"A group's members cannot depend on groups. Select by host.labels, host.name or host.address.")
			ok = false
		case second == "labels" && len(t) > 2:
			if label := stepName(t[2]); label != "" {
				s.l.needLabel(label)
				s.warnUnknownLabel(t, label)
			}
		}
	}
	return perHost, ok
}

// warnUnknownLabel points at a label that no host has while one of a similar
// name exists.
func (s scope) warnUnknownLabel(t hcl.Traversal, label string) {
	set := map[string]bool{}
	for _, h := range s.l.hosts {
		if _, ok := h.Labels[label]; ok {
			return
		}
		for k := range h.Labels {
			set[k] = true
		}
	}
	if near := suggest(label, sortedKeys(set)); near != "" {
		s.l.warn(t.SourceRange(), s.what, "No host has this label",
			fmt.Sprintf("host.labels.%s is \"\" for every host.%s", label, near))
	}
}

// needLabel makes host.labels.NAME "" for hosts that have no such label.
func (l *loader) needLabel(label string) {
	if l.filled[label] {
		return
	}
	l.filled[label] = true
	for _, h := range l.hosts {
		if _, ok := h.Labels[label]; !ok {
			h.value = l.hostValue(h)
		}
	}
}

// buildHostValues makes what selections see of each host, once per phase.
func (l *loader) buildHostValues() {
	l.filled = map[string]bool{}
	for _, h := range l.hosts {
		h.value = l.hostValue(h)
	}
}

func (l *loader) hostValue(h *hostDraft) cty.Value {
	labels := make(map[string]cty.Value, len(h.Labels)+len(l.filled))
	for k := range l.filled {
		labels[k] = cty.StringVal("")
	}
	for k, v := range h.Labels {
		labels[k] = cty.StringVal(v)
	}
	labelMap := cty.MapValEmpty(cty.String)
	if len(labels) > 0 {
		labelMap = cty.MapVal(labels)
	}
	instances := make([]string, len(h.Instances))
	for i, n := range h.Instances {
		instances[i] = n.Name
	}
	sort.Strings(instances)
	return cty.ObjectVal(map[string]cty.Value{
		"name":      cty.StringVal(h.Name),
		"address":   cty.StringVal(h.Address),
		"labels":    labelMap,
		"groups":    stringList(h.Groups),
		"instances": stringList(instances),
	})
}

func stringList(words []string) cty.Value {
	if len(words) == 0 {
		return cty.ListValEmpty(cty.String)
	}
	out := make([]cty.Value, len(words))
	for i, w := range words {
		out[i] = cty.StringVal(w)
	}
	return cty.ListVal(out)
}
