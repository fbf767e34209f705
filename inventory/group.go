package inventory

import (
	"fmt"
	"sort"

	"github.com/hashicorp/hcl/v2"
)

// group is a group block: its members and what it sets for them.
type group struct {
	name     string
	sec      *section
	ssh      *sshPart
	packages string
	snapshot string
	stateDir string
	parallel int
	// autoUpdate is what becomes of rival updaters.
	autoUpdate string
	labels     map[string]string
}

// readGroups forms the groups and merges file, group and host settings. Group
// selections see the hosts' own labels only; a group's labels count afterwards.
func (l *loader) readGroups() {
	l.buildHostValues()
	members := make(map[*hostDraft][]*group)
	taken := firsts{}
	l.top("group", func(b *hcl.Block, src *source) {
		sec := l.open(b, src, groupShape, title(b))
		ssh := l.only(sec, "ssh", sshShape)
		if !l.checkName(b.Labels[0], labelRange(b), sec.what) ||
			!l.claim(taken, b.Labels[0], labelRange(b), sec.what, "Put all of it into one block.") {
			return
		}
		s := l.in(sec, src.ctx)
		g := &group{name: b.Labels[0], sec: sec, ssh: l.sshPart(ssh, s.ctx, s.what), labels: s.labels()}
		g.parallel, _ = s.whole("parallel", 1, 10_000)
		g.packages, _ = s.driver("packages")
		g.snapshot, _ = s.driver("snapshot")
		g.stateDir, _ = s.absolute("state_dir")
		g.autoUpdate, _ = s.word("auto_update", "hold", "absent")
		l.groups = append(l.groups, g)
		if sec.attrs["hosts"] == nil {
			s.need("hosts", `a condition such as hosts = host.labels.site == "berlin", or a list of names`)
			return
		}
		picked, ok := s.pick("hosts", l.hosts, false)
		if ok && len(picked) == 0 {
			l.warn(sec.attrs["hosts"].Expr.Range(), sec.what, "Group without hosts", "No host matches, so the group has no effect.")
		}
		for _, h := range picked {
			members[h] = append(members[h], g)
		}
	})
	m := merger{l: l, said: map[conflict]bool{}}
	for _, h := range l.hosts {
		m.merge(h, members[h])
	}
	l.warnSharedAddresses()
	l.buildHostValues()
}

// merger applies groups to hosts. Two groups that set one thing differently
// are an error, unless the host decides.
type merger struct {
	l    *loader
	said map[conflict]bool
}

type conflict struct {
	setting string
	a, b    *group
}

func (m *merger) merge(h *hostDraft, groups []*group) {
	m.l.fileSSH.onto(&h.SSH)
	if len(groups) > 0 {
		m.mergeSSH(h, groups)
		m.mergeText(h, "packages", &h.Packages, groups, func(g *group) string { return g.packages })
		m.mergeText(h, "snapshot", &h.Snapshot, groups, func(g *group) string { return g.snapshot })
		m.mergeText(h, "state_dir", &h.StateDir, groups, func(g *group) string { return g.stateDir })
		m.mergeText(h, "auto_update", &h.AutoUpdate, groups, func(g *group) string { return g.autoUpdate })
		m.mergeLabels(h, groups)
		for _, g := range groups {
			h.Groups = append(h.Groups, g.name)
			if g.parallel > 0 {
				h.Sites = append(h.Sites, Site{Group: g.name, Parallel: g.parallel})
			}
		}
		sort.Strings(h.Groups)
		sort.Slice(h.Sites, func(i, j int) bool { return h.Sites[i].Group < h.Sites[j].Group })
	}
	h.ssh.onto(&h.SSH)
	if h.StateDir == "" {
		h.StateDir = DefaultStateDir
	}
}

func (m *merger) mergeSSH(h *hostDraft, groups []*group) {
	own := map[int]bool{}
	if h.ssh != nil {
		for _, g := range h.ssh.given {
			own[g.field] = true
		}
	}
	from := map[int]*group{}
	for _, g := range groups {
		if g.ssh == nil {
			continue
		}
		for _, given := range g.ssh.given {
			if own[given.field] {
				continue
			}
			if first := from[given.field]; first == nil {
				from[given.field] = g
				copyField(given.field, &h.SSH, &g.ssh.value)
			} else if !sameField(given.field, &first.ssh.value, &g.ssh.value) {
				m.report("ssh "+sshFields[given.field].name, first, g, h, given.rng)
			}
		}
	}
}

func (m *merger) mergeText(h *hostDraft, name string, into *string, groups []*group, of func(*group) string) {
	if *into != "" || h.has(name) {
		return
	}
	var first *group
	for _, g := range groups {
		switch value := of(g); {
		case value == "":
		case first == nil:
			first, *into = g, value
		case value != *into:
			m.report(name, first, g, h, g.sec.attrs[name].Expr.Range())
		}
	}
}

func (m *merger) mergeLabels(h *hostDraft, groups []*group) {
	from := map[string]*group{}
	own := h.Labels
	merged := map[string]string{}
	for _, g := range groups {
		for _, k := range sortedKeys(g.labels) {
			if _, ok := own[k]; ok {
				continue
			}
			if first := from[k]; first == nil {
				from[k], merged[k] = g, g.labels[k]
			} else if merged[k] != g.labels[k] {
				m.report("the label "+k, first, g, h, g.sec.attrs["labels"].Expr.Range())
			}
		}
	}
	if len(merged) == 0 {
		return
	}
	for k, v := range own {
		merged[k] = v
	}
	h.Labels = merged
}

// has reports whether the host's own block names the attribute, even when its
// value was refused.
func (h *hostDraft) has(name string) bool { return h.sec != nil && h.sec.attrs[name] != nil }

func (m *merger) report(setting string, a, b *group, h *hostDraft, rng hcl.Range) {
	key := conflict{setting, a, b}
	if m.said[key] {
		return
	}
	m.said[key] = true
	m.l.report(rng, b.sec.what, "Groups disagree on "+setting,
		fmt.Sprintf("Host %q is in the groups %q and %q, which set it differently. Set it in the host's own block, or let the groups select different hosts.", h.Name, a.name, b.name))
}
