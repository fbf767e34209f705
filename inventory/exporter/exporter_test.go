package exporter_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/inventory/exporter"
	"github.com/ncfleet/ncfleet/inventory/importer"
)

const fleetText = `ssh {
  user          = "ops"
  keys          = ["/keys/a b", "/keys/second"]
  certificates  = ["/keys/100%-cert.pub"]
  known_hosts   = ["/etc/one", "/etc/two hosts"]
  sudo_password = secret("env:SUDO")
  keepalive     = "1500ms"
}
group "fra-1" {
  hosts = host.labels.site == "fra"
  ssh { jump = ["jump@bastion.example.org:2222", "inner"] }
}
host "a.example.org" {
  address = "2001:db8::7"
  labels  = { site = "fra", "app.kubernetes.io/name" = "x" }
  ssh {
    port      = 2022
    host_keys = "accept-new"
  }
  nextcloud "main" {
    path = "/srv/nextcloud"
    url  = "https://a.example.org"
  }
}
host "b" { address = "192.0.2.8" }
`

func fleetOf(t *testing.T, text string) *inventory.Fleet {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fleet.hcl")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	fleet, diags := inventory.Load([]string{path}, inventory.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return fleet
}

// TestSSHConfig has ssh itself say what the file means.
func TestSSHConfig(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("no ssh on this machine to read the file: ", err)
	}
	var b bytes.Buffer
	if err := exporter.SSHConfig(&b, fleetOf(t, fleetText)); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][]string{
		"a.example.org": {"hostname 2001:db8::7", "user ops", "port 2022", "identityfile /keys/a b", "identityfile /keys/second",
			"certificatefile /keys/100%%-cert.pub", "proxyjump jump@bastion.example.org:2222,inner",
			"stricthostkeychecking accept-new", "serveraliveinterval 2"},
		"b":                   {"hostname 192.0.2.8", "user ops", "port 22", "stricthostkeychecking true"},
		"bastion.example.org": {"identityfile /keys/a b", "stricthostkeychecking accept-new"},
		"inner":               {"identityfile /keys/second"},
	} {
		out, err := exec.Command("ssh", "-G", "-F", config, host).CombinedOutput()
		if err != nil {
			t.Fatalf("ssh does not read it: %v\n%s\n%s", err, out, b.String())
		}
		lines := strings.Split(string(out), "\n")
		for _, w := range want {
			if !slices.Contains(lines, w) {
				t.Errorf("ssh -G %s does not say %q:\n%s", host, w, b.String())
			}
		}
		if host == "a.example.org" && !strings.Contains(string(out), "two hosts") {
			t.Errorf("the second known_hosts file is lost:\n%s", out)
		}
	}
}

// TestBastionBlock: a bastion with a login of its own keeps it, and so do a
// host's agent and its name in known_hosts.
func TestBastionBlock(t *testing.T) {
	var b bytes.Buffer
	err := exporter.SSHConfig(&b, fleetOf(t, `bastion "fra" {
  address = "gate.example.org"
  ssh {
    user = "jump"
    keys = ["/keys/gate"]
  }
}
host "a" {
  address = "192.0.2.7"
  ssh {
    keys            = ["/keys/host"]
    jump            = "fra"
    agent_socket    = "/run/agent.sock"
    identities_only = true
    host_key_alias  = "a.internal"
  }
}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := "Host a\n  HostName 192.0.2.7\n  IdentityFile /keys/host\n  IdentityAgent /run/agent.sock\n  IdentitiesOnly yes\n  HostKeyAlias a.internal\n" +
		"  ProxyJump jump@gate.example.org\n  StrictHostKeyChecking yes\n\nHost gate.example.org\n  IdentityFile /keys/gate\n  StrictHostKeyChecking yes\n\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func ansible(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := exporter.Ansible(&b, fleetOf(t, text)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestAnsibleAndBack: what is written for Ansible is read by the importer as
// the same hosts.
func TestAnsibleAndBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "inventory.json")
	if err := os.WriteFile(path, ansible(t, fleetText), 0o644); err != nil {
		t.Fatal(err)
	}
	inv, err := importer.Ansible(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(inv.Hosts) != 2 {
		t.Fatalf("hosts: %+v", inv.Hosts)
	}
	a := inv.Hosts[0]
	a.At = importer.Place{}
	want := importer.Host{Name: "a.example.org", Address: "2001:db8::7", User: "ops", Port: 2022, Keys: []string{"/keys/a b", "/keys/second"},
		Jump: []importer.Jump{"jump@bastion.example.org:2222", "inner"}, HostKeys: "accept-new"}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("%+v, want %+v\n%s", a, want, inv.Report())
	}
	if want := []importer.Group{{Name: "fra_1", Hosts: []string{"a.example.org"}}}; !reflect.DeepEqual(inv.Groups, want) {
		t.Errorf("groups %+v, want %+v", inv.Groups, want)
	}
}

// TestAnsibleTakesIt has Ansible itself read what is written.
func TestAnsibleTakesIt(t *testing.T) {
	program, err := exec.LookPath("ansible-inventory")
	if err != nil {
		t.Skip("no ansible-inventory on this machine: ", err)
	}
	dir := t.TempDir()
	doc := filepath.Join(dir, "list.json")
	script := filepath.Join(dir, "fleet")
	if err := os.WriteFile(doc, ansible(t, fleetText), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec cat "+doc+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-i", script, "--list")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var got struct {
		Meta struct {
			HostVars map[string]exporter.AnsibleHost `json:"hostvars"`
		} `json:"_meta"`
		Group struct {
			Hosts []string `json:"hosts"`
		} `json:"fra_1"`
		Ungrouped struct {
			Hosts []string `json:"hosts"`
		} `json:"ungrouped"`
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	a := got.Meta.HostVars["a.example.org"]
	if a.Host != "2001:db8::7" || a.Port != 2022 || a.Instances[0].URL != "https://a.example.org" || a.Labels["site"] != "fra" ||
		!slices.Equal(got.Group.Hosts, []string{"a.example.org"}) || !slices.Equal(got.Ungrouped.Hosts, []string{"b"}) {
		t.Errorf("Ansible understood %+v\n%s", got, out)
	}
}

func TestAnsibleGroupNames(t *testing.T) {
	text := fleetText + "group \"all\" { hosts = [\"b\"] }\ngroup \"7\" { hosts = [\"b\"] }\n"
	for _, want := range []string{`"ncfleet_all": {`, `"_7": {`} {
		if out := ansible(t, text); !bytes.Contains(out, []byte(want)) {
			t.Errorf("no %s in %s", want, out)
		}
	}
	err := exporter.Ansible(&bytes.Buffer{}, fleetOf(t, fleetText+"group \"fra_1\" { hosts = [\"b\"] }\n"))
	if err == nil || !strings.Contains(err.Error(), "would both be called fra_1") {
		t.Errorf("two groups of one name: %v", err)
	}
}

func TestPrometheus(t *testing.T) {
	var b bytes.Buffer
	if err := exporter.Prometheus(&b, fleetOf(t, fleetText)); err != nil {
		t.Fatal(err)
	}
	var got []exporter.Target
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := []exporter.Target{{Targets: []string{"https://a.example.org"}, Labels: map[string]string{"fleet_host": "a.example.org",
		"fleet_instance": "main", "fleet_label_site": "fra", "fleet_label_app_kubernetes_io_name": "x"}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestNoSecrets: not even a secret's reference is written.
func TestNoSecrets(t *testing.T) {
	fleet := fleetOf(t, fleetText)
	var b bytes.Buffer
	for _, write := range []func() error{
		func() error { return exporter.Ansible(&b, fleet) },
		func() error { return exporter.SSHConfig(&b, fleet) },
		func() error { return exporter.Prometheus(&b, fleet) },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	if b.Len() == 0 || strings.Contains(b.String(), "SUDO") {
		t.Errorf("a secret's reference is written:\n%s", b.String())
	}
}
