package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/inventory"
)

// FleetGraph is the document of "inventory graph", and of "inventory export
// json" together with the hosts.
type FleetGraph struct {
	FormatVersion int            `json:"format_version"`
	Hosts         int            `json:"hosts"`
	Groups        []GraphGroup   `json:"groups"`
	Rollouts      []GraphRollout `json:"rollouts"`
}

// GraphGroup is a group and its hosts.
type GraphGroup struct {
	Name  string   `json:"name"`
	Hosts []string `json:"hosts"`
}

// GraphRollout is a rollout and its waves.
type GraphRollout struct {
	Name  string      `json:"name"`
	Waves []GraphWave `json:"waves"`
}

// GraphWave is a wave as the inventory divides the hosts; what there is to do
// on them only a plan knows.
type GraphWave struct {
	Name        string   `json:"name"`
	Selection   string   `json:"selection"` // as it was written
	BakeSeconds float64  `json:"bake_seconds"`
	Approve     bool     `json:"approve"`
	Hosts       []string `json:"hosts"`
}

// Graph collects how the fleet is divided.
func Graph(fleet *inventory.Fleet) FleetGraph {
	doc := FleetGraph{FormatVersion: 1, Hosts: len(fleet.Hosts), Groups: []GraphGroup{}, Rollouts: []GraphRollout{}}
	for _, g := range fleet.Groups() {
		doc.Groups = append(doc.Groups, GraphGroup(g))
	}
	for _, r := range fleet.Rollouts {
		out := GraphRollout{Name: r.Name, Waves: []GraphWave{}}
		for _, w := range r.Waves {
			out.Waves = append(out.Waves, GraphWave{w.Name, w.Said, w.Bake.Seconds(), w.Approve, w.Hosts})
		}
		doc.Rollouts = append(doc.Rollouts, out)
	}
	return doc
}

// Text writes a tree: groups, then rollouts with their waves.
func (d FleetGraph) Text(w io.Writer, o Options) error {
	pg := newPage(w, o)
	pg.line("%s", plural(d.Hosts, "host"))
	last := len(d.Groups) + len(d.Rollouts) - 1
	for i, g := range d.Groups {
		stem := pg.branch("", i == last, "group "+g.Name+" · "+plural(len(g.Hosts), "host"))
		pg.leaves(stem, names(g.Hosts))
	}
	for i, r := range d.Rollouts {
		stem := pg.branch("", len(d.Groups)+i == last, "rollout "+r.Name)
		for j, v := range r.Waves {
			pg.leaves(pg.branch(stem, j == len(r.Waves)-1, v.title()), names(v.Hosts))
		}
	}
	return pg.err
}

func (v GraphWave) title() string {
	count := plural(len(v.Hosts), "host")
	out := fmt.Sprintf("wave %s · %s", v.Name, count)
	if v.Approve {
		out += " · waits for approval"
	}
	if v.BakeSeconds > 0 {
		out += " · bakes for " + span(time.Duration(v.BakeSeconds*float64(time.Second)))
	}
	if v.Selection != "" && v.Selection != "all" && v.Selection != "rest" && v.Selection != count {
		out += " · " + v.Selection
	}
	return out
}

// branch writes an entry of a tree and returns what stands left of those below it.
func (p *page) branch(stem string, last bool, title string) string {
	twig, below := "├─ ", "│  "
	if last {
		twig, below = "└─ ", "   "
	}
	p.tree(stem+twig, stem+below, title)
	return stem + below
}

func (p *page) leaves(stem, text string) { p.tree(stem+"   ", stem+"   ", text) }

// tree writes a text behind a stem, wrapped.
func (p *page) tree(first, rest, text string) {
	for i, line := range wrap(text, p.width-len([]rune(rest))) {
		if i > 0 {
			first = rest
		}
		p.line("%s%s", first, line)
	}
}

// DOT writes the graph for Graphviz: dot -Tsvg.
func (d FleetGraph) DOT(w io.Writer) error {
	pg := &page{w: w}
	pg.line("digraph fleet {")
	pg.line("  rankdir=LR;")
	pg.line("  node [shape=box];")
	for _, g := range d.Groups {
		pg.line("  %s [label=%s];", dot("group "+g.Name), dot("group "+g.Name))
		for _, h := range g.Hosts {
			pg.line("  %s -> %s;", dot("group "+g.Name), dot(h))
		}
	}
	for _, r := range d.Rollouts {
		before := "rollout " + r.Name
		pg.line("  %s [style=bold];", dot(before))
		for _, v := range r.Waves {
			wave := fmt.Sprintf("rollout %s, wave %s", r.Name, v.Name)
			pg.line("  %s -> %s;", dot(before), dot(wave))
			for _, h := range v.Hosts {
				pg.line("  %s -> %s [style=dashed];", dot(wave), dot(h))
			}
			before = wave
		}
	}
	pg.line("}")
	return pg.err
}

// dot quotes a name for Graphviz.
func dot(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// FleetExport is the document of "inventory export json".
type FleetExport struct {
	FormatVersion int            `json:"format_version"`
	Digest        string         `json:"inventory_digest"`
	Hosts         []ExportHost   `json:"hosts"`
	Groups        []GraphGroup   `json:"groups"`
	Rollouts      []GraphRollout `json:"rollouts"`
}

// ExportHost is a host and how it is reached.
type ExportHost struct {
	FleetHost
	StateDir string    `json:"state_dir"`
	SSH      ExportSSH `json:"ssh"`
}

// ExportSSH is how a host is reached; what is not there is ncfleet's default.
// Secrets are left out.
type ExportSSH struct {
	User         string   `json:"user,omitempty"`
	Port         int      `json:"port,omitempty"`
	Keys         []string `json:"keys,omitempty"`
	Certificates []string `json:"certificates,omitempty"`
	Agent        bool     `json:"agent,omitempty"`
	KnownHosts   []string `json:"known_hosts,omitempty"`
	HostKeys     string   `json:"host_keys,omitempty"`
	Jump         []string `json:"jump,omitempty"`
	Sudo         string   `json:"sudo,omitempty"`
}

// Export collects the whole fleet.
func Export(fleet *inventory.Fleet) FleetExport {
	graph := Graph(fleet)
	doc := FleetExport{FormatVersion: 1, Digest: fleet.Digest, Hosts: []ExportHost{}, Groups: graph.Groups, Rollouts: graph.Rollouts}
	var all []string
	for _, h := range fleet.Hosts {
		all = append(all, h.Name)
	}
	for i, h := range ListHosts(fleet, all, nil, "").Hosts {
		s := fleet.Hosts[i].SSH
		out := ExportHost{FleetHost: h, StateDir: fleet.Hosts[i].StateDir, SSH: ExportSSH{User: s.User, Port: s.Port, Keys: s.Keys,
			Certificates: s.Certificates, Agent: s.Agent, KnownHosts: s.KnownHosts, HostKeys: s.HostKeys, Sudo: s.Sudo}}
		for _, j := range s.Jump {
			out.SSH.Jump = append(out.SSH.Jump, j.String())
		}
		doc.Hosts = append(doc.Hosts, out)
	}
	return doc
}
