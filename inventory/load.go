package inventory

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"
)

// maxFile bounds one inventory file, in bytes.
const maxFile = 64 << 20

// Options are what Load needs besides the files; the zero value is useful.
type Options struct {
	// Vars are values for variables, from --var. Lists and maps
	// are written as in HCL.
	Vars map[string]string
	// Env looks up an environment variable; nil means the process's own.
	Env func(string) (string, bool)
	// ReadFile reads inventory files and what file() names; nil means the disk.
	ReadFile func(string) ([]byte, error)
	// KnownDrivers are the names of the drivers that need no driver block, by
	// kind ("packages", "snapshot").
	KnownDrivers map[string][]string
}

// Load reads files, and folders of *.hcl and *.hcl.json files, as one
// inventory. The fleet is nil when the diagnostics hold an error. Secrets are
// not read and no host is contacted.
func Load(paths []string, opts Options) (*Fleet, Diagnostics) {
	if opts.Env == nil {
		opts.Env = os.LookupEnv
	}
	if opts.ReadFile == nil {
		opts.ReadFile = readBounded
	}
	l := &loader{opts: opts, included: map[string][]byte{}}
	fleet := l.load(paths)
	diags := l.diags.finish(l.sources)
	if diags.HasErrors() {
		return nil, diags
	}
	return fleet, diags
}

// readBounded is os.ReadFile that stops after the largest size accepted.
func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// loader is one Load under way.
type loader struct {
	opts     Options
	sources  []*source
	included map[string][]byte // read by file(), by absolute path
	base     *hcl.EvalContext
	names    declared
	fileSSH  *sshPart
	drivers  []Driver
	bastions map[string]*bastionDraft
	order    []*bastionDraft // the same as they were declared
	hosts    []*hostDraft    // sorted by name
	byName   map[string]int
	filled   map[string]bool // labels present in every host's value
	groups   []*group
	// blackouts are those of the whole inventory.
	blackouts []Blackout
	diags     collector
}

// source is one inventory file.
type source struct {
	name  string // as diagnostics show it
	dir   string // absolute; what relative paths in it start from
	bytes []byte
	file  *hcl.File
	root  *section
	ctx   *hcl.EvalContext
	env   func(string) (string, bool)
}

// load runs the phases in their fixed order. A later phase relies on what
// earlier ones resolved and skips what they reported.
func (l *loader) load(paths []string) *Fleet {
	l.read(paths)
	if len(l.diags.list) > 0 {
		return nil
	}
	for _, s := range l.sources {
		s.root = l.open(&hcl.Block{Body: s.file.Body, DefRange: s.start()}, s, rootShape, "")
	}
	l.scope()
	l.readFileSSH()
	l.readBastions()
	l.readDrivers()
	l.readHosts()
	l.readGroups()
	l.resolveJumps()
	l.blackouts = l.readBlackouts()
	rollouts := l.readRollouts()
	notify := l.readNotify()
	if hasErrors(l.diags.list) {
		return nil
	}
	fleet := &Fleet{Drivers: l.drivers, Rollouts: rollouts, Notify: notify, Digest: l.digest(), loader: l}
	fleet.Hosts = make([]Host, len(l.hosts))
	for i, h := range l.hosts {
		fleet.Hosts[i] = h.Host
	}
	for _, d := range l.order {
		fleet.Bastions = append(fleet.Bastions, d.Bastion)
	}
	for _, s := range l.sources {
		fleet.Files = append(fleet.Files, s.name)
	}
	return fleet
}

func hasErrors(list []Diagnostic) bool { return Diagnostics(list).HasErrors() }

func (s *source) start() hcl.Range {
	return hcl.Range{Filename: s.name, Start: hcl.InitialPos, End: hcl.InitialPos}
}

// read finds, reads and parses the files.
func (l *loader) read(paths []string) {
	if len(paths) == 0 {
		l.report(hcl.Range{}, "", "No inventory given", "Name a file such as fleet.hcl, or a folder of *.hcl files.")
	}
	seen := map[string]bool{}
	for _, p := range paths {
		for _, name := range l.expand(p) {
			abs, err := filepath.Abs(name)
			if err != nil {
				l.report(hcl.Range{Filename: name}, "", "Cannot read inventory file", err.Error()+".")
				continue
			}
			if seen[abs] {
				continue
			}
			seen[abs] = true
			l.parse(name, abs)
		}
	}
}

func isInventoryFile(name string) bool {
	return strings.HasSuffix(name, ".hcl") || strings.HasSuffix(name, ".hcl.json")
}

// expand lists a folder's inventory files; anything else stands for itself.
func (l *loader) expand(p string) []string {
	info, err := os.Stat(p)
	if err != nil || !info.IsDir() {
		return []string{p}
	}
	entries, err := os.ReadDir(p)
	if err != nil {
		l.report(hcl.Range{Filename: p}, "", "Cannot read inventory folder", err.Error()+".")
		return nil
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && isInventoryFile(e.Name()) && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, filepath.Join(p, e.Name()))
		}
	}
	if len(names) == 0 {
		l.report(hcl.Range{Filename: p}, "", "No inventory file in folder",
			fmt.Sprintf("%s holds no *.hcl or *.hcl.json file. Files in folders below it are not read.", p))
	}
	return names
}

func (l *loader) parse(name, abs string) {
	raw, err := l.opts.ReadFile(name)
	place := hcl.Range{Filename: name}
	switch {
	case err != nil:
		l.report(place, "", "Cannot read inventory file", err.Error()+".")
		return
	case len(raw) > maxFile:
		l.report(place, "", "Inventory file too large", fmt.Sprintf("It holds %d bytes; at most %d are read. Split it.", len(raw), maxFile))
		return
	case !isInventoryFile(name) && !strings.HasSuffix(name, ".json"):
		l.report(place, "", "Not an inventory file", fmt.Sprintf("%s must end in .hcl or .hcl.json, which says how to read it.", name))
		return
	}
	s := &source{name: name, dir: filepath.Dir(abs), bytes: raw, env: l.opts.Env}
	l.sources = append(l.sources, s)
	var diags hcl.Diagnostics
	if strings.HasSuffix(name, ".json") {
		s.file, diags = json.Parse(raw, name)
	} else {
		s.file, diags = hclsyntax.ParseConfig(raw, name, hcl.InitialPos)
	}
	l.reportHCL(oncePerLine(diags), s.start(), "", nil)
	if s.file == nil && !diags.HasErrors() {
		l.report(place, "", "Cannot read inventory file", "It holds neither HCL nor JSON.")
	}
}

// oncePerLine keeps the first of the parser's complaints of one kind about one
// line: after it the parser guesses, and says the same again and again.
func oncePerLine(diags hcl.Diagnostics) hcl.Diagnostics {
	type complaint struct {
		summary string
		line    int
	}
	seen := map[complaint]bool{}
	var out hcl.Diagnostics
	for _, d := range diags {
		if d.Subject != nil {
			c := complaint{d.Summary, d.Subject.Start.Line}
			if seen[c] {
				continue
			}
			seen[c] = true
		}
		out = append(out, d)
	}
	return out
}

// digest is over the base names, lengths and bytes of all inventory files and
// of what file() read, so that it does not depend on where the inventory lies.
func (l *loader) digest() string {
	sum := sha256.New()
	add := func(name string, raw []byte) {
		sum.Write([]byte(strconv.Quote(filepath.Base(name)) + " " + strconv.Itoa(len(raw)) + "\n"))
		sum.Write(raw)
	}
	sources := append([]*source(nil), l.sources...)
	sort.SliceStable(sources, func(i, j int) bool { return sources[i].name < sources[j].name })
	for _, s := range sources {
		add(s.name, s.bytes)
	}
	for _, p := range sortedKeys(l.included) {
		add(p, l.included[p])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func (l *loader) report(rng hcl.Range, where, summary, detail string) {
	l.diags.add(SeverityError, rng, where, summary, detail)
}

func (l *loader) warn(rng hcl.Range, where, summary, detail string) {
	l.diags.add(SeverityWarning, rng, where, summary, detail)
}

// reportHCL takes over hcl's own diagnostics. known are the names allowed in
// the block they are about, for messages about unknown ones.
func (l *loader) reportHCL(diags hcl.Diagnostics, fallback hcl.Range, where string, known []string) {
	for _, d := range diags {
		rng := fallback
		if d.Subject != nil {
			rng = *d.Subject
		}
		severity := SeverityError
		if d.Severity == hcl.DiagWarning {
			severity = SeverityWarning
		}
		l.diags.add(severity, rng, where, d.Summary, d.Detail+l.hint(d, where, known))
	}
}

func (l *loader) hint(d *hcl.Diagnostic, where string, known []string) string {
	switch d.Summary {
	case "Unsupported argument", "Unsupported block type", "Extraneous JSON object property":
		if len(known) == 0 {
			return ""
		}
		if where == "" {
			where = "An inventory file"
		}
		return fmt.Sprintf("\n%s knows: %s.", strings.ToUpper(where[:1])+where[1:], strings.Join(known, ", "))
	case "Call to unknown function":
		if extra, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallUnknownDiagExtra](d); ok && !strings.Contains(d.Detail, "Did you mean") {
			return suggest(extra.CalledFunctionName(), l.functionNames())
		}
	case "Invalid template interpolation value":
		if strings.Contains(d.Detail, errSecretAsText.Error()) {
			return "\nWrite the reference without quotes and braces around it."
		}
	}
	return ""
}

func (l *loader) place(rng hcl.Range) Range {
	return Range{File: rng.Filename, Line: rng.Start.Line, Col: rng.Start.Column}
}
