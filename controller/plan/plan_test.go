package plan

import (
	"bytes"
	"flag"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs; run the test with -update and read the change\n%s", path, firstDifference(want, got))
	}
}

func firstDifference(want, got []byte) string {
	w, g := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range w {
		if i >= len(g) || w[i] != g[i] {
			found := "end of text"
			if i < len(g) {
				found = g[i]
			}
			return "want: " + w[i] + "\ngot:  " + found
		}
	}
	return "the new text is longer"
}

// mustPlan computes a plan and fails on problems of the rollout itself.
func mustPlan(t testing.TB, in Input) Plan {
	t.Helper()
	p, problems := Compute(in)
	if len(problems) > 0 {
		t.Fatalf("problems: %+v", problems)
	}
	return p
}

func encoded(t testing.TB, p Plan) []byte {
	t.Helper()
	b, err := Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func target(t testing.TB, p Plan, name string) *Target {
	t.Helper()
	for w := range p.Waves {
		for i := range p.Waves[w].Targets {
			if p.Waves[w].Targets[i].Name == name {
				return &p.Waves[w].Targets[i]
			}
		}
	}
	t.Fatalf("no target %s; blocked: %+v; idle: %v", name, p.Blocked, p.Idle)
	return nil
}

func TestGoldenPlan(t *testing.T) {
	in := fixture(2)
	golden(t, "two.json", encoded(t, mustPlan(t, in)))
}

func TestGoldenSeveralInstances(t *testing.T) {
	in := fixture(1)
	several(&in, "cloud-01", "files", "intranet")
	golden(t, "several.json", encoded(t, mustPlan(t, in)))
}

func kinds(steps []Step) string {
	var out []string
	for _, s := range steps {
		id := s.ID[strings.LastIndex(s.ID, "/")+1:]
		out = append(out, id)
	}
	return strings.Join(out, " ")
}

func TestStepsInRunbookOrder(t *testing.T) {
	three := fixture(1)
	three.Rollout.Core.To = "31"
	three.Rollout.System.Reboot = "if_required"
	onlyPackages := fixture(1)
	onlyPackages.Rollout.Core.To = ""
	onlyPackages.Rollout.Apps.Update = "none"
	onlyApps := fixture(1)
	onlyApps.Rollout.Core.To = ""
	onlyApps.Rollout.System.Level = "none"
	alone := fixture(1)
	several(&alone, "cloud-01")
	many := fixture(1)
	several(&many, "cloud-01", "a", "b")
	for _, c := range []struct {
		name, target string
		in           Input
		steps, undo  string
	}{
		{"one hop", "cloud-01", fixture(1),
			"recheck lease hold stage fetch prepare close snapshot packages hop apps inspect open verify tidy release unlease",
			"undo-lease undo-hold undo-close undo-repair undo-restore undo-inspect undo-open undo-unstage undo-release undo-unlease"},
		{"three hops and a reboot", "cloud-01", fits31(three),
			"recheck lease hold stage-1 stage-2 stage-3 fetch prepare close snapshot packages reboot hop-1 hop-2 hop-3 apps inspect open verify tidy release unlease",
			"undo-lease undo-hold undo-close undo-repair undo-restore undo-inspect undo-open undo-unstage undo-release undo-unlease"},
		{"packages alone", "cloud-01", onlyPackages,
			"recheck lease hold fetch prepare close snapshot packages inspect open verify release unlease",
			"undo-lease undo-hold undo-close undo-repair undo-inspect undo-open undo-release undo-unlease"},
		{"apps alone", "cloud-01", onlyApps,
			"recheck lease hold prepare close snapshot apps inspect open verify release unlease",
			"undo-lease undo-hold undo-close undo-restore undo-inspect undo-open undo-release undo-unlease"},
		{"host alone", "cloud-01", alone,
			"recheck lease hold fetch packages release unlease",
			"undo-lease undo-hold undo-repair undo-release undo-unlease"},
		{"packages of a host with two instances", "cloud-01", many,
			"recheck lease hold fetch prepare-1 prepare-2 close-1 close-2 snapshot-1 snapshot-2 packages inspect-1 inspect-2 open-1 open-2 verify-1 verify-2 release unlease",
			"undo-lease undo-hold undo-close-1 undo-close-2 undo-repair undo-inspect-1 undo-inspect-2 undo-open-1 undo-open-2 undo-release undo-unlease"},
		{"an instance of such a host", "cloud-01/b", many,
			"recheck lease hold stage prepare close snapshot hop apps inspect open verify tidy release unlease",
			"undo-lease undo-hold undo-close undo-restore undo-inspect undo-open undo-unstage undo-release undo-unlease"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tg := target(t, mustPlan(t, c.in), c.target)
			if got := kinds(tg.Steps); got != c.steps {
				t.Errorf("steps\n got %s\nwant %s", got, c.steps)
			}
			if got := kinds(tg.Undo); got != c.undo {
				t.Errorf("undo\n got %s\nwant %s", got, c.undo)
			}
		})
	}
}

// fits31 lets every app support 31.
func fits31(in Input) Input {
	change(&in, "cloud-01", func(_ *Facts, s *InstanceFacts) { s.Apps[0].MaxNextcloud = "31" })
	return in
}

func TestTreesOfSeveralHops(t *testing.T) {
	in := fixture(1)
	in.Rollout.Core.To = "31"
	tg := target(t, mustPlan(t, fits31(in)), "cloud-01")
	value := func(s Step, name string) string {
		for i, a := range s.Args {
			if a == name {
				return s.Args[i+1]
			}
		}
		return ""
	}
	var keeps, from []string
	var tidy, unstage, back string
	for _, s := range append(append([]Step(nil), tg.Steps...), tg.Undo...) {
		switch s.Kind {
		case KindStage:
			from = append(from, value(s, "--apps-from"))
		case KindHop:
			keeps = append(keeps, value(s, "--keep"))
		case KindTidy:
			tidy = strings.Join(s.Args, " ")
		case KindUnstage:
			unstage = strings.Join(s.Args, " ")
		case KindRestore:
			back = value(s, "--keep")
		default:
		}
	}
	const p = "/var/www/nextcloud"
	if got, want := strings.Join(keeps, " "), p+".ncfleet-old-28.0.2 "+p+".ncfleet-old-29.0.16 "+p+".ncfleet-old-30.0.17"; got != want {
		t.Errorf("kept trees\n got %s\nwant %s", got, want)
	}
	if got, want := strings.Join(from, " "), p+" "+p+".ncfleet-new-29.0.16 "+p+".ncfleet-new-30.0.17"; got != want {
		t.Errorf("apps come from\n got %s\nwant %s", got, want)
	}
	if back != keeps[0] {
		t.Errorf("a rollback swaps %s back", back)
	}
	for _, k := range keeps {
		if !strings.Contains(tidy, "--remove "+k) || strings.Contains(unstage, k) {
			t.Errorf("%s: tidy %s\nunstage %s", k, tidy, unstage)
		}
	}
}

func TestSameInputsSameBytes(t *testing.T) {
	in := fixture(6)
	other := release("29.0.16")
	other.Name = strings.Replace(other.Name, ".tar.bz2", ".zip", 1)
	in.Releases = append(in.Releases, other)
	several(&in, "cloud-03", "a", "b", "c")
	several(&in, "cloud-04")
	in.Catalogue = map[string][]AppRelease{"calendar": {{Version: "5.0.0", MinNextcloud: "29", MaxNextcloud: "30"}, {Version: "4.9.0", MinNextcloud: "28", MaxNextcloud: "29"}}}
	want := encoded(t, mustPlan(t, in))
	for seed := int64(0); seed < 20; seed++ {
		if got := encoded(t, mustPlan(t, shuffled(in, rand.New(rand.NewSource(seed))))); !bytes.Equal(got, want) {
			t.Fatalf("seed %d gives other bytes\n%s", seed, firstDifference(want, got))
		}
	}
}

// shuffled returns the same input with every list in another order whose order
// says nothing.
func shuffled(in Input, r *rand.Rand) Input {
	swap := func(n int, f func(i, j int)) { r.Shuffle(n, f) }
	fleet := *in.Fleet
	fleet.Hosts = append([]inventory.Host(nil), fleet.Hosts...)
	swap(len(fleet.Hosts), func(i, j int) { fleet.Hosts[i], fleet.Hosts[j] = fleet.Hosts[j], fleet.Hosts[i] })
	in.Fleet = &fleet
	in.Releases = append([]Release(nil), in.Releases...)
	swap(len(in.Releases), func(i, j int) { in.Releases[i], in.Releases[j] = in.Releases[j], in.Releases[i] })
	in.Drivers = append([]DriverUse(nil), in.Drivers...)
	swap(len(in.Drivers), func(i, j int) { in.Drivers[i], in.Drivers[j] = in.Drivers[j], in.Drivers[i] })
	facts := map[string]Facts{}
	for name, f := range in.Facts {
		f.Mounts = append([]Mount(nil), f.Mounts...)
		swap(len(f.Mounts), func(i, j int) { f.Mounts[i], f.Mounts[j] = f.Mounts[j], f.Mounts[i] })
		f.Rivals = append([]Rival(nil), f.Rivals...)
		swap(len(f.Rivals), func(i, j int) { f.Rivals[i], f.Rivals[j] = f.Rivals[j], f.Rivals[i] })
		f.Downloads = append([]Reach(nil), f.Downloads...)
		swap(len(f.Downloads), func(i, j int) { f.Downloads[i], f.Downloads[j] = f.Downloads[j], f.Downloads[i] })
		if f.Packages != nil {
			p := *f.Packages
			p.Pending = append([]driver.PackageChange(nil), p.Pending...)
			swap(len(p.Pending), func(i, j int) { p.Pending[i], p.Pending[j] = p.Pending[j], p.Pending[i] })
			f.Packages = &p
		}
		f.Instances = append([]InstanceFacts(nil), f.Instances...)
		for k := range f.Instances {
			s := &f.Instances[k]
			s.Apps = append([]App(nil), s.Apps...)
			swap(len(s.Apps), func(i, j int) { s.Apps[i], s.Apps[j] = s.Apps[j], s.Apps[i] })
			s.Dirs = append([]Dir(nil), s.Dirs...)
			swap(len(s.Dirs), func(i, j int) { s.Dirs[i], s.Dirs[j] = s.Dirs[j], s.Dirs[i] })
		}
		swap(len(f.Instances), func(i, j int) { f.Instances[i], f.Instances[j] = f.Instances[j], f.Instances[i] })
		facts[name] = f
	}
	in.Facts = facts
	if in.Catalogue != nil {
		cat := map[string][]AppRelease{}
		for id, rs := range in.Catalogue {
			rs = append([]AppRelease(nil), rs...)
			swap(len(rs), func(i, j int) { rs[i], rs[j] = rs[j], rs[i] })
			cat[id] = rs
		}
		in.Catalogue = cat
	}
	return in
}

func TestDecodeReadsWhatEncodeWrote(t *testing.T) {
	p := mustPlan(t, fixture(3))
	data := encoded(t, p)
	q, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if Digest(q) != Digest(p) || Digest(p) == "" {
		t.Fatal("a plan read back has another digest")
	}
	for name, bad := range map[string]string{
		"other version": strings.Replace(string(data), `"FormatVersion": 1`, `"FormatVersion": 2`, 1),
		"unknown field": strings.Replace(string(data), `"Rollout"`, `"Rolout"`, 1),
		"more":          string(data) + "{}",
		"half":          string(data[:len(data)/2]),
	} {
		if _, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%s: read without error", name)
		}
	}
}

func TestTargets(t *testing.T) {
	in := fixture(3)
	several(&in, "cloud-02", "files", "intranet")
	several(&in, "cloud-03")
	names := func() string {
		var out []string
		for _, r := range Targets(in.Fleet, in.Rollout) {
			out = append(out, r.Wave+":"+r.Name)
		}
		return strings.Join(out, " ")
	}
	if got, want := names(), "canary:cloud-01 rest:cloud-02 rest:cloud-02/files rest:cloud-02/intranet rest:cloud-03"; got != want {
		t.Errorf("with packages: %s", got)
	}
	in.Rollout.System.Level = "none"
	if got, want := names(), "canary:cloud-01 rest:cloud-02/files rest:cloud-02/intranet rest:cloud-03"; got != want {
		t.Errorf("without packages: %s", got)
	}
}

func TestStepFindsEveryStep(t *testing.T) {
	p := mustPlan(t, fixture(3))
	n := 0
	for _, w := range p.Waves {
		steps := append([]Step(nil), w.Gate...)
		for _, tg := range w.Targets {
			steps = append(append(steps, tg.Steps...), tg.Undo...)
		}
		for _, s := range steps {
			got, tg := p.Step(s.ID)
			if got == nil || got.ID != s.ID || tg == nil || tg.Name != s.Target {
				t.Fatalf("step %s: found %v of %v", s.ID, got, tg)
			}
			n++
		}
	}
	if s, tg := p.Step("rest/nobody/close"); s != nil || tg != nil || n == 0 {
		t.Fatal("an unknown step was found")
	}
}
