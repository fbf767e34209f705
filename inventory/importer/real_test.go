package importer

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestFolderOfFolders: Ansible reads an inventory folder with those below it,
// but takes no group_vars for an inventory.
func TestFolderOfFolders(t *testing.T) {
	dir := folder(t, map[string]string{
		"inventory/by_team/a.ini":      "[a]\none\n",
		"inventory/by_team/b/hosts":    "[b]\ntwo\n",
		"inventory/all.ini":            "[site:children]\na\nb\n",
		"inventory/group_vars/a.yml":   "ansible_user: ops\n",
		"inventory/by_team/.git/hosts": "three\n",
		"group_vars/b.yml":             "ansible_user: root\n",
	})
	inv, err := Ansible(filepath.Join(dir, "inventory"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Group{{"a", []string{"one"}}, {"b", []string{"two"}}, {"site", []string{"one", "two"}}}
	if !reflect.DeepEqual(inv.Groups, want) || len(inv.Hosts) != 2 {
		t.Errorf("groups %+v of hosts %+v, want %+v", inv.Groups, inv.Hosts, want)
	}
	if h := hostOf(t, inv, "one"); h.User != "ops" {
		t.Errorf("one: %+v", h)
	}
	says(t, inv, "group_vars: variables beside the playbooks are not read")
}

// TestDanglingLink: variables behind a link that leads nowhere are named.
func TestDanglingLink(t *testing.T) {
	dir := folder(t, map[string]string{"hosts": "[web]\none\n", "group_vars/web/a.yml": "ansible_user: ops\n"})
	if err := os.Symlink("../../elsewhere.yml", filepath.Join(dir, "group_vars", "web", "b.yml")); err != nil {
		t.Fatal(err)
	}
	inv, err := Ansible(filepath.Join(dir, "hosts"))
	if err != nil {
		t.Fatal(err)
	}
	if h := hostOf(t, inv, "one"); h.User != "ops" {
		t.Errorf("one: %+v", h)
	}
	says(t, inv, "b.yml: it cannot be read")
}

// TestOtherYAML: a YAML file of a form that only a plugin of its own reads is
// no inventory, and says so.
func TestOtherYAML(t *testing.T) {
	dir := folder(t, map[string]string{"inventory.yml": "hosts:\n  - infra:\n    - cloud:\n        one: {ip: 192.0.2.1}\n", "hosts": "localhost ansible_connection=local\n"})
	inv, err := Ansible(filepath.Join(dir, "inventory.yml"))
	if err == nil || len(inv.Hosts) > 0 {
		t.Errorf("it was taken for an inventory: %+v", inv.Hosts)
	}
	says(t, inv, "inventory.yml:1: group hosts has no host", "inventory.yml:2: what stands in the list hosts is no host's name")
	_, err = Ansible(filepath.Join(dir, "hosts"))
	if err == nil || !strings.Contains(err.Error(), "its 1 host is left out") {
		t.Errorf("hosts that are all left out: %v", err)
	}
}

// TestManyVariables: what a file says that is none of ncfleet's business takes
// one line, each with its own line number.
func TestManyVariables(t *testing.T) {
	dir := folder(t, map[string]string{"hosts": "one\n", "group_vars/all.yml": "a: 1\nb: [2]\nansible_fancy: 3\nc: 4\n"})
	inv, err := Ansible(filepath.Join(dir, "hosts"))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(inv.Report(), dir+"/", "")
	want := "group_vars/all.yml:3: ansible_fancy is not understood\n" +
		"group_vars/all.yml: 3 variables are left out: they say nothing of how a host is reached: a (line 1), b (line 2), c (line 4)\n"
	if got != want || len(inv.Notes) != 4 {
		t.Errorf("%d notes:\n%s\nwant:\n%s", len(inv.Notes), got, want)
	}
}
