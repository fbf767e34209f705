package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/inventory"
)

// FleetHosts is the document of "inventory list".
type FleetHosts struct {
	FormatVersion int `json:"format_version"`
	// Selection and Rollout say which hosts were asked for; "" is all of them.
	Selection string      `json:"selection,omitempty"`
	Rollout   string      `json:"rollout,omitempty"`
	Hosts     []FleetHost `json:"hosts"`
}

// FleetHost is a host as the inventory has it, after groups and defaults.
type FleetHost struct {
	Name      string            `json:"name"`
	Address   string            `json:"address"`
	Labels    map[string]string `json:"labels,omitempty"`
	Groups    []string          `json:"groups,omitempty"`
	Instances []FleetInstance   `json:"instances,omitempty"`
	// PackagesDriver is "" where the survey finds it.
	PackagesDriver string `json:"packages_driver,omitempty"`
	SnapshotDriver string `json:"snapshot_driver"`
	// Wave is the host's in the rollout that was asked for.
	Wave string `json:"wave,omitempty"`
}

// FleetInstance is one Nextcloud of a host.
type FleetInstance struct {
	Name string `json:"name"`
	Path string `json:"path"`
	URL  string `json:"url"`
}

// ListHosts collects the named hosts in the inventory's order; r may be nil.
func ListHosts(fleet *inventory.Fleet, names []string, r *inventory.Rollout, selection string) FleetHosts {
	doc := FleetHosts{FormatVersion: 1, Selection: selection, Hosts: []FleetHost{}}
	waves := map[string]string{}
	if r != nil {
		doc.Rollout = r.Name
		for _, w := range r.Waves {
			for _, h := range w.Hosts {
				waves[h] = w.Name
			}
		}
	}
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
	}
	for i := range fleet.Hosts {
		h := &fleet.Hosts[i]
		if !wanted[h.Name] {
			continue
		}
		out := FleetHost{Name: h.Name, Address: h.Address, Labels: h.Labels, Groups: h.Groups,
			PackagesDriver: h.Packages, SnapshotDriver: plan.SnapshotDriver(h), Wave: waves[h.Name]}
		for _, n := range h.Instances {
			out.Instances = append(out.Instances, FleetInstance{n.Name, n.Path, n.URL})
		}
		doc.Hosts = append(doc.Hosts, out)
	}
	return doc
}

// Text writes a table; where it is too wide, a few lines per host.
func (d FleetHosts) Text(w io.Writer, o Options) error {
	pg := newPage(w, o)
	head := []string{"HOST", "ADDRESS"}
	if d.Rollout != "" {
		head = append(head, "WAVE")
	}
	head = append(head, "GROUPS", "INSTANCES", "DRIVERS", "LABELS")
	var rows [][]string
	for _, h := range d.Hosts {
		row := []string{h.Name, h.Address}
		if d.Rollout != "" {
			row = append(row, h.Wave)
		}
		var instances []string
		for _, n := range h.Instances {
			instances = append(instances, n.Name)
		}
		rows = append(rows, append(row, strings.Join(h.Groups, " "), strings.Join(instances, " "), h.drivers(), labelText(h.Labels)))
	}
	pg.table(head, rows)
	pg.line("%s", plural(len(d.Hosts), "host"))
	return pg.err
}

// drivers are the package driver, "auto" where the survey finds it, and the
// snapshot driver.
func (h FleetHost) drivers() string {
	packages := h.PackagesDriver
	if packages == "" {
		packages = "auto"
	}
	return packages + " " + h.SnapshotDriver
}

func labelText(labels map[string]string) string {
	var out []string
	for k, v := range labels {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// tableGap stands between two columns.
const tableGap = 2

// table writes rows below a head. Cells are broken at their spaces until the
// table fits the page; what still does not fit is written as one block a row.
func (p *page) table(head []string, rows [][]string) {
	widths, ok := p.fit(head, rows)
	if !ok {
		for _, row := range rows {
			p.line("%s", p.paint(bold, row[0]))
			for i, cell := range row[1:] {
				if cell != "" {
					p.item(2, 13, "", strings.ToLower(head[i+1]), cell)
				}
			}
		}
		return
	}
	p.row(head, widths, bold)
	for _, row := range rows {
		p.row(row, widths, "")
	}
}

// fit gives each column its width: the natural ones, the widest made narrower
// as far as their longest words allow.
func (p *page) fit(head []string, rows [][]string) (widths []int, ok bool) {
	widths = make([]int, len(head))
	least := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			for _, word := range strings.Fields(cell) {
				least[i] = max(least[i], utf8.RuneCountInString(word))
			}
		}
	}
	for sum(widths)+tableGap*(len(head)-1) > p.width {
		widest := -1
		for i := range widths {
			if widths[i] > least[i] && (widest < 0 || widths[i] >= widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return nil, false
		}
		widths[widest]--
	}
	return widths, true
}

func sum(list []int) int {
	total := 0
	for _, n := range list {
		total += n
	}
	return total
}

func (p *page) row(cells []string, widths []int, style string) {
	wrapped := make([][]string, len(cells))
	height := 1
	for i, cell := range cells {
		wrapped[i] = wrap(cell, widths[i])
		height = max(height, len(wrapped[i]))
	}
	for n := range height {
		line := ""
		for i := range cells {
			text := ""
			if n < len(wrapped[i]) {
				text = wrapped[i][n]
			}
			line += p.paint(style, text) + spaces(widths[i]-utf8.RuneCountInString(text)+tableGap)
		}
		p.line("%s", line)
	}
}

// FleetSettings is the document of "inventory show".
type FleetSettings struct {
	FormatVersion int            `json:"format_version"`
	Host          string         `json:"host"`
	Groups        []string       `json:"groups,omitempty"`
	Settings      []FleetSetting `json:"settings"`
	Rollouts      []HostRollout  `json:"rollouts,omitempty"`
}

// FleetSetting is one thing that holds for the host, and where it was written.
type FleetSetting struct {
	Name  string `json:"name"`
	Value string `json:"value"` // a secret as its reference
	From  string `json:"from"`  // the block, or "default"
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
}

// HostRollout is a rollout that selects the host, and its wave there.
type HostRollout struct {
	Rollout string `json:"rollout"`
	Wave    string `json:"wave"`
}

// ShowHost collects what holds for one host, which the fleet must have.
func ShowHost(fleet *inventory.Fleet, name string) FleetSettings {
	h := fleet.Host(name)
	doc := FleetSettings{FormatVersion: 1, Host: h.Name, Groups: h.Groups, Settings: []FleetSetting{}}
	for _, s := range fleet.Settings(name) {
		doc.Settings = append(doc.Settings, FleetSetting{Name: s.Name, Value: s.Value, From: s.From, File: s.Range.File, Line: s.Range.Line})
	}
	for _, r := range fleet.Rollouts {
		for _, w := range r.Waves {
			if slices.Contains(w.Hosts, name) {
				doc.Rollouts = append(doc.Rollouts, HostRollout{r.Name, w.Name})
			}
		}
	}
	return doc
}

// Text writes a line or two per setting: its value, and where that comes from.
func (d FleetSettings) Text(w io.Writer, o Options) error {
	pg := newPage(w, o)
	pg.line("%s", pg.paint(bold, d.Host))
	if len(d.Groups) > 0 {
		pg.item(2, 12, "", "groups", strings.Join(d.Groups, ", "))
	}
	name := 0
	for _, s := range d.Settings {
		name = max(name, utf8.RuneCountInString(s.Name))
	}
	for _, s := range d.Settings {
		from := s.From
		if s.File != "" {
			from = fmt.Sprintf("%s, %s:%d", s.From, s.File, s.Line)
		}
		line := fmt.Sprintf("  %s%s%s", s.Name, spaces(name-utf8.RuneCountInString(s.Name)+tableGap), s.Value)
		if used := utf8.RuneCountInString(line); used+tableGap+2+utf8.RuneCountInString(from) <= pg.width {
			pg.line("%s  %s", line, pg.paint(dim, "("+from+")"))
			continue
		}
		pg.item(2, name+2+tableGap, "", s.Name, s.Value)
		pg.line("%s%s", spaces(name+2+tableGap), pg.paint(dim, "("+from+")"))
	}
	for _, r := range d.Rollouts {
		pg.item(2, 12, "", "rollout", fmt.Sprintf("%s, wave %s", r.Rollout, r.Wave))
	}
	return pg.err
}
