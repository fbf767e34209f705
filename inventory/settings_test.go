package inventory_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/inventory"
)

func soundText(t *testing.T, text string) *inventory.Fleet {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fleet.hcl")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	fleet, diags := inventory.Load([]string{path}, inventory.Options{Env: env("HOME", "/home/ops"), KnownDrivers: builtIn()})
	if diags.HasErrors() {
		t.Fatal(render(t, diags))
	}
	return fleet
}

const layered = `variable "ring" { default = "canary" }
ssh {
  user = "ops"
  keys = ["~/.ssh/id"]
}
group "west" {
  hosts     = host.labels.site == "west"
  labels    = { owner = "platform", ring = "none" }
  state_dir = "/srv/ncfleet"
  ssh {
    jump          = ["a@one:22", "two"]
    sudo_password = secret("env:SUDO")
  }
}
host "a" {
  address = "192.0.2.1"
  labels  = { site = "west", ring = "canary" }
  ssh { user = "root" }
}
host "b" { address = "192.0.2.2" }
`

func TestSettingsSayWhere(t *testing.T) {
	fleet := soundText(t, layered)
	got := map[string]inventory.Setting{}
	for _, s := range fleet.Settings("a") {
		if _, twice := got[s.Name]; twice {
			t.Errorf("%s is told twice", s.Name)
		}
		got[s.Name] = s
	}
	for name, want := range map[string]struct {
		value, from string
		line        int
	}{
		"address":           {"192.0.2.1", `host "a"`, 16},
		"labels.site":       {"west", `host "a"`, 17},
		"labels.ring":       {"canary", `host "a"`, 17},
		"labels.owner":      {"platform", `group "west"`, 8},
		"state_dir":         {"/srv/ncfleet", `group "west"`, 9},
		"snapshot":          {"archive", "default", 0},
		"ssh.user":          {"root", `host "a"`, 18},
		"ssh.keys":          {"/home/ops/.ssh/id", "ssh", 4},
		"ssh.jump":          {"a@one:22, two", `group "west"`, 11},
		"ssh.sudo_password": {`secret("env:SUDO")`, `group "west"`, 12},
	} {
		s := got[name]
		if s.Value != want.value || s.From != want.from || s.Range.Line != want.line {
			t.Errorf("%s: %+v, want %+v", name, s, want)
		}
	}
	if len(fleet.Settings("c")) != 0 {
		t.Error("a host that does not exist has settings")
	}
	if g := fleet.Groups(); len(g) != 1 || g[0].Name != "west" || !slices.Equal(g[0].Hosts, []string{"a"}) {
		t.Errorf("groups: %+v", g)
	}
}

func TestSelect(t *testing.T) {
	fleet := soundText(t, layered)
	for selection, want := range map[string]string{
		`host.labels.ring == var.ring`:     "a",
		`true`:                             "a b",
		`["b"]`:                            "b",
		`!contains(host.groups, "west")`:   "b",
		`host.labels.nobody_has_it != "x"`: "a b",
	} {
		names, diags := fleet.Select(selection)
		if diags.HasErrors() || strings.Join(names, " ") != want {
			t.Errorf("%s selects %v, want %s (%v)", selection, names, want, diags)
		}
	}
	for selection, want := range map[string]string{
		`host.ring`:           "A selection can ask for",
		`b`:                   "Nothing is called b here",
		`["c"]`:               `No host is called "c"`,
		`"a"`:                 "takes a condition",
		`host.labels.ring ==`: "",
		`secret("env:X")`:     "",
		`(`:                   "",
	} {
		names, diags := fleet.Select(selection)
		if !diags.HasErrors() || len(names) > 0 || !strings.Contains(render(t, diags), want) {
			t.Errorf("%s selects %v and says:\n%s", selection, names, render(t, diags))
		}
	}
}

func TestFormat(t *testing.T) {
	out, diags := inventory.Format([]byte("host \"a\" {\naddress=\"x\" # kept\n}\n"), "fleet.hcl")
	if want := "host \"a\" {\n  address = \"x\" # kept\n}\n"; string(out) != want || len(diags) > 0 {
		t.Errorf("formatted %q, %v", out, diags)
	}
	out, diags = inventory.Format([]byte("host {"), "fleet.hcl")
	if out != nil || !diags.HasErrors() || !strings.Contains(render(t, diags), "fleet.hcl line 1") {
		t.Errorf("a broken file became %q: %v", out, diags)
	}
}
