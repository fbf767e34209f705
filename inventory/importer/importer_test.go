package importer

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/inventory"
)

// folder writes files, given as name and text, and returns their folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// loads has ncfleet read the text that was written.
func loads(t *testing.T, inv Inventory, o Options) *inventory.Fleet {
	t.Helper()
	path := filepath.Join(folder(t, map[string]string{"fleet.hcl": string(inv.Text(o))}), "fleet.hcl")
	fleet, diags := inventory.Load([]string{path}, inventory.Options{})
	if diags.HasErrors() {
		t.Fatalf("ncfleet does not read what was written:\n%s\n%v", inv.Text(o), diags)
	}
	return fleet
}

func hostOf(t *testing.T, inv Inventory, name string) Host {
	t.Helper()
	for _, h := range inv.Hosts {
		if h.Name == name {
			return h
		}
	}
	t.Fatalf("no host %q in %+v", name, inv.Hosts)
	return Host{}
}

func says(t *testing.T, inv Inventory, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(inv.Report(), w) {
			t.Errorf("the report does not say %q:\n%s", w, inv.Report())
		}
	}
	if n := len(inv.Notes); n != len(want) {
		t.Errorf("%d notes, want %d:\n%s", n, len(want), inv.Report())
	}
}

const iniText = `# a comment
lonely ansible_host=192.0.2.9
local  ansible_connection=local

[web]
web[01:03].example.org http_port=80
[2001:db8::1]:2200
odd/name ansible_host=192.0.2.7:2222 # trailing

[db:vars]
ansible_user = "dba"
ansible_ssh_common_args='-o ProxyCommand="ssh -W %h:%p -q -p 2022 jump@bastion.example.org" -o StrictHostKeyChecking=no -o Fancy=1'
ansible_become_password=hunter2

[db]
db-[a:c] ansible_port=2345
db-a ansible_user="{{ boss }}" boss=root

[site:children]
web
db
nobody
`

func TestINI(t *testing.T) {
	dir := folder(t, map[string]string{
		"hosts":                    iniText,
		"group_vars/all.yml":       "ansible_user: ops\nansible_ssh_private_key_file: ~/.ssh/fleet\n",
		"group_vars/web/main.yaml": "ansible_user: www\ndeep: {a: 1}\n",
		"group_vars/gone.yml":      "x: 1\n",
		"host_vars/db-c":           "ansible_port: 22\n",
		"host_vars/lonely.yml":     "$ANSIBLE_VAULT;1.1;AES256\n6162\n",
	})
	inv, err := Ansible(filepath.Join(dir, "hosts"))
	if err != nil {
		t.Fatal(err)
	}
	key := []string{"~/.ssh/fleet"}
	jump := []Jump{"jump@bastion.example.org:2022"}
	for name, want := range map[string]Host{
		"lonely":            {Address: "192.0.2.9", User: "ops", Keys: key},
		"web02.example.org": {Address: "web02.example.org", User: "www", Keys: key},
		"odd-name":          {Address: "192.0.2.7", Port: 2222, User: "www", Keys: key},
		"2001-db8-1":        {Address: "2001:db8::1", Port: 2200, User: "www", Keys: key},
		"db-a":              {Address: "db-a", Port: 2345, User: "root", Keys: key, Jump: jump, HostKeys: "accept-new"},
		"db-b":              {Address: "db-b", Port: 2345, User: "dba", Keys: key, Jump: jump, HostKeys: "accept-new"},
		"db-c":              {Address: "db-c", Port: 22, User: "dba", Keys: key, Jump: jump, HostKeys: "accept-new"},
	} {
		got := hostOf(t, inv, name)
		got.Name, got.At = "", Place{}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	says(t, inv,
		"hosts:3: host local is left out: ansible_connection is local",
		"hosts:6: http_port is left out",
		"hosts:7: host 2001:db8::1 is called 2001-db8-1",
		"hosts:8: host odd/name is called odd-name",
		"hosts:12: ansible_ssh_common_args: host keys are not checked there",
		"hosts:12: ansible_ssh_common_args: the option Fancy is not understood",
		"hosts:13: ansible_become_password: a password is not copied",
		"hosts:17: boss is left out",
		"hosts:22: group nobody has no host",
		"main.yaml:2: deep is left out",
		"gone.yml: the inventory has no group gone",
		"lonely.yml:1: the file is encrypted and not read",
	)
	if strings.Contains(string(inv.Text(Options{}))+inv.Report(), "hunter2") {
		t.Error("a password was copied")
	}
	fleet := loads(t, inv, Options{Path: "/srv/{name}", URL: "https://{name}.example", Only: "web"})
	if h := fleet.Host("web01.example.org"); h == nil || len(h.Instances) != 1 || h.Instances[0].Path != "/srv/web01.example.org" || h.SSH.User != "www" {
		t.Errorf("web01: %+v", h)
	}
	if h := fleet.Host("db-a"); h == nil || len(h.Instances) != 0 || !reflect.DeepEqual(h.Groups, []string{"db", "site"}) || len(h.SSH.Jump) != 1 || h.SSH.Jump[0].Port != 2022 {
		t.Errorf("db-a: %+v", h)
	}
}

const yamlText = `---
all:
  vars: {ansible_user: ops, secret: !vault "abc"}
  children:
    web:
      hosts:
        web[1:2]: &same
          ansible_host: "192.0.2.{{ nr }}"
          nr: 7
        web3: *same
      strange: 1
    site:
      children: {web: }
`

func TestYAMLAndList(t *testing.T) {
	dir := folder(t, map[string]string{"inventory.yml": yamlText, "list.json": `{
  "_meta": {"hostvars": {"web1": {"ansible_host": "192.0.2.7", "ansible_user": "ops"}, "web2": {"ansible_host": "192.0.2.7", "ansible_user": "ops"}, "web3": {"ansible_host": "192.0.2.7", "ansible_user": "ops"}}},
  "all": {"children": ["ungrouped", "site"]},
  "site": {"children": ["web"]},
  "web": {"hosts": ["web1", "web2", "web3"]}
}`})
	var texts []string
	for _, name := range []string{"inventory.yml", "list.json"} {
		inv, err := Ansible(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(inv.Text(Options{})))
		loads(t, inv, Options{})
		if name == "inventory.yml" {
			says(t, inv, "3: secret is encrypted", "inventory.yml:9: nr is left out", "inventory.yml:11: strange is not understood")
		}
	}
	if texts[0] != texts[1] {
		t.Errorf("the two forms give two inventories:\n%s\n%s", texts[0], texts[1])
	}
	if !strings.Contains(texts[0], "ssh {\n  user = \"ops\"\n}") {
		t.Errorf("what all hosts share does not stand at the top:\n%s", texts[0])
	}
}

// TestAgainstAnsible compares with what Ansible itself makes of the inventory.
func TestAgainstAnsible(t *testing.T) {
	if _, err := exec.LookPath("ansible-inventory"); err != nil {
		t.Skip("ansible-inventory is not installed: nothing to compare with")
	}
	dir := folder(t, map[string]string{"hosts": strings.Replace(iniText, "nobody\n", "", 1) + "\n[nobody]\n"})
	out, err := exec.Command("ansible-inventory", "-i", filepath.Join(dir, "hosts"), "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(out) {
		t.Fatalf("no JSON: %s", out)
	}
	if err := os.WriteFile(filepath.Join(dir, "list.json"), out, 0o644); err != nil {
		t.Fatal(err)
	}
	own, err := Ansible(filepath.Join(dir, "hosts"))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := Ansible(filepath.Join(dir, "list.json"))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := string(own.Text(Options{})), string(theirs.Text(Options{})); a != b {
		t.Errorf("ansible-inventory says otherwise:\n%s\n%s", a, b)
	}
}

func TestNotAnInventory(t *testing.T) {
	dir := folder(t, map[string]string{
		"script": "#!/bin/sh\necho '{}'\n", "cloud.yml": "plugin: amazon.aws.aws_ec2\nregions: [eu]\n",
		"vault": "$ANSIBLE_VAULT;1.1;AES256\n00\n", "bad.yml": "all:\n  hosts: [\n", "empty": "",
	})
	for name, want := range map[string]string{
		"script": "a program is not run", "cloud.yml": "inventory plugin (amazon.aws.aws_ec2) is not run", "vault": "decrypt it first", "empty": "",
	} {
		inv, err := Ansible(filepath.Join(dir, name))
		if err == nil || !strings.Contains(err.Error(), "cannot find a host") || !strings.Contains(inv.Report(), want) {
			t.Errorf("%s: error %v, report %q", name, err, inv.Report())
		}
	}
	if _, err := Ansible(filepath.Join(dir, "bad.yml")); err == nil || !strings.Contains(err.Error(), "bad.yml") {
		t.Errorf("bad.yml: %v", err)
	}
	if _, err := Ansible(filepath.Join(dir, "gone")); err == nil {
		t.Error("a missing file is an inventory")
	}
}

func TestRanges(t *testing.T) {
	for pattern, want := range map[string]string{
		"a": "a", "w[1:3]": "w1 w2 w3", "w[08:10]x": "w08x w09x w10x", "[a:c]-[1:2]": "a-1 a-2 b-1 b-2 c-1 c-2", "n[0:6:3]": "n0 n3 n6",
	} {
		got, err := hostsOf(pattern)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v, %v, want %s", pattern, got, err, want)
		}
	}
	for _, bad := range []string{"w[1:", "w[1]", "w[3:1]", "w[a:10]", "w[1:9:0]", "w[1:900000000]", "w[1:1000][1:1000]"} {
		if got, err := hostsOf(bad); err == nil {
			t.Errorf("%s: %d hosts, want an error", bad, len(got))
		}
	}
}

func TestSSHConfig(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("there is no ssh on this machine, and only ssh knows what its configuration means")
	}
	dir := folder(t, map[string]string{"more": "Host inner\n  HostName 192.0.2.3\n"})
	text := `Include ` + dir + `/more
Host web db
  HostName %h.example.org
  User ops
Host web
  Port 2222
  ProxyJump jump@bastion:2022,second
  IdentityFile ~/.ssh/fleet
Host db
  StrictHostKeyChecking no
Match host *.example.org
  User late
Host * !x
  UserKnownHostsFile /dev/null
`
	path := filepath.Join(dir, "config")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	inv, err := SSHConfig(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	web, db, inner := hostOf(t, inv, "web"), hostOf(t, inv, "db"), hostOf(t, inv, "inner")
	if web.Address != "web.example.org" || web.User != "ops" || web.Port != 2222 || !reflect.DeepEqual(web.Jump, []Jump{"jump@bastion:2022", "second"}) || len(web.Keys) != 1 {
		t.Errorf("web: %+v", web)
	}
	if db.Address != "db.example.org" || db.Port != 0 || db.HostKeys != "accept-new" || inner.Address != "192.0.2.3" || inner.User != "" {
		t.Errorf("db: %+v, inner: %+v", db, inner)
	}
	for _, want := range []string{"config:11: Match blocks name no hosts", "host db: host keys are not checked there", "host inner: userknownhostsfile /dev/null is not taken over"} {
		if !strings.Contains(inv.Report(), want) {
			t.Errorf("the report does not say %q:\n%s", want, inv.Report())
		}
	}
	loads(t, inv, Options{})
}
