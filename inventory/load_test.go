package inventory_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/inventory"
)

func describeWaves(r inventory.Rollout) string {
	var out []string
	for _, w := range r.Waves {
		out = append(out, fmt.Sprintf("%s:%d", w.Name, len(w.Hosts)))
	}
	return strings.Join(out, " ")
}

// loadText loads one file that exists in memory only.
func loadText(name, text string, opts inventory.Options) (*inventory.Fleet, inventory.Diagnostics) {
	opts.ReadFile = func(p string) ([]byte, error) {
		if p == name {
			return []byte(text), nil
		}
		return nil, os.ErrNotExist
	}
	if opts.Env == nil {
		opts.Env = env("HOME", "/home/ops")
	}
	if opts.KnownDrivers == nil {
		opts.KnownDrivers = builtIn()
	}
	return inventory.Load([]string{name}, opts)
}

func mustLoad(t *testing.T, text string) *inventory.Fleet {
	t.Helper()
	fleet, diags := loadText("fleet.hcl", text, inventory.Options{})
	if len(diags) > 0 {
		t.Fatalf("unexpected diagnostics:\n%s", render(t, diags))
	}
	return fleet
}

// dump is the fleet as JSON, without what differs between two ways to write it.
func dump(t *testing.T, fleet *inventory.Fleet) string {
	t.Helper()
	fleet.Digest, fleet.Files = "", nil
	for i := range fleet.Drivers {
		fleet.Drivers[i].Range, fleet.Drivers[i].Ranges = inventory.Range{}, nil
	}
	for i := range fleet.Hosts {
		fleet.Hosts[i].Range = inventory.Range{}
		for j := range fleet.Hosts[i].Instances {
			fleet.Hosts[i].Instances[j].Range = inventory.Range{}
		}
	}
	for i := range fleet.Rollouts {
		fleet.Rollouts[i].Range = inventory.Range{}
		for j := range fleet.Rollouts[i].Waves {
			fleet.Rollouts[i].Waves[j].Range = inventory.Range{}
		}
	}
	out, err := json.MarshalIndent(fleet, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(out), here, "/here") + "\n"
}

// TestTwins loads an inventory that uses every attribute in both its forms.
func TestTwins(t *testing.T) {
	native, asJSON := load(t, "testdata/twin.hcl"), load(t, "testdata/twin.hcl.json")
	if native.Digest == asJSON.Digest || len(native.Digest) != 64 {
		t.Errorf("digests %q and %q of different files", native.Digest, asJSON.Digest)
	}
	compareGolden(t, "testdata/twin.fleet.json", dump(t, native))
	compareGolden(t, "testdata/twin.fleet.json", dump(t, asJSON))
}

func TestRangesPointIntoTheFile(t *testing.T) {
	fleet := load(t, "testdata/twin.hcl")
	want := inventory.Range{File: "testdata/twin.hcl", Line: 40, Col: 1}
	if got := fleet.Host("a").Range; got != want {
		t.Errorf("host: got %v, want %v", got, want)
	}
	want = inventory.Range{File: "testdata/twin.hcl", Line: 37, Col: 3}
	if got := fleet.Drivers[0].Ranges["token"]; got != want {
		t.Errorf("driver attribute: got %v, want %v", got, want)
	}
	if _, ok := fleet.Drivers[0].Config["nothing"]; ok {
		t.Error("a null attribute is kept in the driver's config")
	}
	if got := fleet.Drivers[0].Config["token"]; got != inventory.Secret("env:TOKEN") {
		t.Errorf("driver secret: got %#v", got)
	}
}

func TestVarsOverrideDefaults(t *testing.T) {
	text := `
variable "n" { type = number }
variable "list" { default = ["a"] }
variable "map" { type = map(string) }
variable "text" { default = "x" }
variable "flag" { default = true }
variable "secret" { secret = true }
host "h" {
  address = "192.0.2.1"
  labels  = { n = var.n + 1, list = join("+", var.list), map = var.map.k, text = var.text, flag = var.flag ? "y" : "n" }
  ssh { sudo_password = var.secret }
}`
	fleet, diags := loadText("fleet.hcl", text, inventory.Options{Vars: map[string]string{
		"n": "41", "list": `["b", "c"]`, "map": `{k = "v"}`, "text": "é 1", "flag": "false", "secret": "env:PW",
	}})
	if len(diags) > 0 {
		t.Fatal(render(t, diags))
	}
	want := map[string]string{"n": "42", "list": "b+c", "map": "v", "text": "é 1", "flag": "n"}
	if got := fleet.Hosts[0].Labels; !reflect.DeepEqual(got, want) {
		t.Errorf("labels: got %v, want %v", got, want)
	}
	if got := fleet.Hosts[0].SSH.SudoPassword; got != "env:PW" {
		t.Errorf("secret variable: got %q", string(got))
	}
}

func TestSettingsMergeFileGroupHost(t *testing.T) {
	fleet := mustLoad(t, `
ssh {
  user = "file"
  port = 1
  sudo = "none"
}
host "a" {
  address = "192.0.2.1"
  labels  = { own = "host" }
  ssh { port = 3 }
}
host "b" {
  address = "192.0.2.2"
}
group "one" {
  hosts  = ["a"]
  labels = { own = "group", more = "group" }
  ssh {
    port = 2
    sudo = "auto"
  }
}
group "two" {
  hosts = true
  ssh { user = "group" }
}
`)
	a, b := fleet.Host("a"), fleet.Host("b")
	if a.SSH.User != "group" || a.SSH.Port != 3 || a.SSH.Sudo != "auto" {
		t.Errorf("host a: %+v", a.SSH)
	}
	if b.SSH.User != "group" || b.SSH.Port != 1 || b.SSH.Sudo != "none" {
		t.Errorf("host b: %+v", b.SSH)
	}
	if want := map[string]string{"own": "host", "more": "group"}; !reflect.DeepEqual(a.Labels, want) {
		t.Errorf("labels: got %v, want %v", a.Labels, want)
	}
	if want := []string{"one", "two"}; !reflect.DeepEqual(a.Groups, want) {
		t.Errorf("groups: got %v, want %v", a.Groups, want)
	}
	if a.StateDir != inventory.DefaultStateDir {
		t.Errorf("state dir: got %q", a.StateDir)
	}
}

func TestPinAndAutoUpdate(t *testing.T) {
	fleet := mustLoad(t, `
host "a" {
  address     = "192.0.2.1"
  auto_update = "hold"
}
host "b" { address = "192.0.2.2" }
host "c" { address = "192.0.2.3" }
group "ours" {
  hosts       = ["a", "b"]
  auto_update = "absent"
}
rollout "r" {
  pin = "canary"
  system { level = "security" }
}
rollout "free" {
  system { level = "security" }
}
`)
	for name, want := range map[string]string{"a": "hold", "b": "absent", "c": ""} {
		if got := fleet.Host(name).AutoUpdate; got != want {
			t.Errorf("%s: auto_update is %q, want %q", name, got, want)
		}
	}
	if fleet.Rollout("r").Pin != "canary" || fleet.Rollout("free").Pin != "" {
		t.Errorf("pins: %q, %q", fleet.Rollout("r").Pin, fleet.Rollout("free").Pin)
	}
}

func TestSelections(t *testing.T) {
	const fleetText = `
host "a" {
  address = "192.0.2.1"
  labels  = { ring = "canary", n = 1 }
  nextcloud "one" {
    path = "/srv/one"
    url  = "https://one.example.org"
  }
}
host "b" {
  address = "192.0.3.2"
  labels  = { ring = "normal" }
}
host "c" {
  address = "192.0.3.3"
}
group "g" { hosts = host.labels.ring == "normal" }
locals { ring = "canary" }
`
	tests := map[string]string{
		`true`:                                "a b c",
		`["c", "a"]`:                          "a c",
		`host.labels.ring == "canary"`:        "a",
		`host.labels.ring != "canary"`:        "b c",
		`host.labels["ring"] == local.ring`:   "a",
		`host.labels.nowhere == ""`:           "a b c",
		`lookup(host.labels, "n", "0") != 0`:  "a b c",
		`lookup(host.labels, "n", "0") > 0`:   "a",
		`startswith(host.address, "192.0.3")`: "b c",
		`endswith(host.name, "c")`:            "c",
		`contains(host.groups, "g")`:          "b",
		`contains(host.instances, "one")`:     "a",
		`length(host.instances) == 0`:         "b c",
		`can(regex("^[ab]$", host.name))`:     "a b",
		`try(host.labels.n + 1, 0) == 2`:      "a",
		`[for h in ["b"] : h]`:                "b",
		`[for host in ["b"] : host]`:          "b",
		`toset(["a"])`:                        "a",
	}
	for selection, want := range tests {
		t.Run(selection, func(t *testing.T) {
			fleet := mustLoad(t, fleetText+"rollout \"r\" {\n  core { to = \"29\" }\n  hosts = "+selection+"\n}\n")
			if got := strings.Join(fleet.Rollouts[0].Hosts, " "); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestWavesTakeInOrder(t *testing.T) {
	const hosts = `
host "h" {
  for_each = toset(["1", "2", "3", "4", "5", "6", "7", "8"])
  address  = "192.0.2.${each.key}"
}
`
	tests := []struct{ waves, want, said string }{
		{``, "all:8", "all"},
		{`wave "a" { count = 3 }
wave "b" { rest = true }`, "a:3 b:5", "3 hosts,rest"},
		{`wave "a" { count = 1 }
wave "b" { percent = 50 }
wave "c" { hosts = true }`, "a:1 b:4 c:3", "1 host,50%,rest"},
		{`wave "a" { percent = 1 }
wave "b" { percent = "100%" }`, "a:1 b:7", "1%,100%"},
		{`wave "a" { hosts = ["h-8"] }
wave "b" { hosts = ["h-1", "h-8"] }
wave "c" { count = 99 }`, "a:1 b:1 c:6", `["h-8"],["h-1", "h-8"],99 hosts`},
		{`wave "a" { hosts = (host.name == "h-3"   ||
			host.name == "h-4") }
wave "b" { rest = true }`, "a:2 b:6", `(host.name == "h-3" || host.name == "h-4"),rest`},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			fleet := mustLoad(t, hosts+"rollout \"r\" {\ncore { to = \"29\" }\n"+tt.waves+"\n}\n")
			r := fleet.Rollouts[0]
			if got := describeWaves(r); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			var said []string
			for _, w := range r.Waves {
				said = append(said, w.Said)
			}
			if got := strings.Join(said, ","); got != tt.said {
				t.Errorf("said %q, want %q", got, tt.said)
			}
		})
	}
}

func TestFolderIsOneInventory(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"b.hcl":       `host "b" { address = local.address }`,
		"a.hcl.json":  `{"locals": {"address": "192.0.2.1"}}`,
		"notes.txt":   `not an inventory`,
		".hidden.hcl": `not HCL at all {`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fleet, diags := inventory.Load([]string{dir, filepath.Join(dir, "b.hcl")}, inventory.Options{})
	if len(diags) > 0 {
		t.Fatal(render(t, diags))
	}
	want := []string{filepath.Join(dir, "a.hcl.json"), filepath.Join(dir, "b.hcl")}
	if !reflect.DeepEqual(fleet.Files, want) || len(fleet.Hosts) != 1 {
		t.Errorf("got files %v and %d hosts", fleet.Files, len(fleet.Hosts))
	}
}

func TestProblemsWithPaths(t *testing.T) {
	tests := []struct {
		paths []string
		want  string
	}{
		{nil, "No inventory given"},
		{[]string{t.TempDir()}, "No inventory file in folder"},
		{[]string{"testdata/not-there.hcl"}, "Cannot read inventory file"},
		{[]string{"load_test.go"}, "Not an inventory file"},
	}
	for _, tt := range tests {
		_, diags := inventory.Load(tt.paths, inventory.Options{})
		if len(diags) != 1 || diags[0].Summary != tt.want {
			t.Errorf("%v: got %v, want %q", tt.paths, diags, tt.want)
		}
		if diags.Err() == nil {
			t.Errorf("%v: no error", tt.paths)
		}
	}
}

func TestDigestFollowsIncludedFiles(t *testing.T) {
	dir := t.TempDir()
	digest := func(included string) string {
		t.Helper()
		write(t, filepath.Join(dir, "fleet.hcl"), `host "a" { address = trimspace(file("address.txt")) }`)
		write(t, filepath.Join(dir, "address.txt"), included)
		fleet, diags := inventory.Load([]string{dir}, inventory.Options{})
		if len(diags) > 0 {
			t.Fatal(render(t, diags))
		}
		return fleet.Digest
	}
	if one, two := digest("192.0.2.1\n"), digest("192.0.2.2\n"); one == two {
		t.Error("the digest is the same although an included file changed")
	}
	if one, two := digest("192.0.2.1\n"), digest("192.0.2.1\n"); one != two {
		t.Error("the digest changed although no file did")
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRenderWrapsAndBounds(t *testing.T) {
	diags := make(inventory.Diagnostics, 150)
	for i := range diags {
		diags[i] = inventory.Diagnostic{Severity: inventory.SeverityError, Summary: "Same", Detail: strings.Repeat("word ", 30)}
	}
	out := render(t, diags[:1])
	var narrow strings.Builder
	if err := diags.Render(&narrow, true, 40); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(narrow.String(), "… and 50 more.") || !strings.Contains(narrow.String(), "\x1b[31m") {
		t.Error("the rest is not counted, or color is missing")
	}
	for _, line := range strings.Split(narrow.String(), "\n") {
		if strings.HasPrefix(line, "word") && len(line) > 40 {
			t.Errorf("line of %d characters", len(line))
		}
	}
	if strings.Count(out, "\n") != 3 {
		t.Errorf("unwrapped output has %d lines", strings.Count(out, "\n"))
	}
}
