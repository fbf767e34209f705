package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/report"
)

// TestSudoers prints the rules of an inventory: one per login user, and none
// where none is needed. It contacts no host.
func TestSudoers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fleet.hcl")
	text := "ssh { user = \"ops\" }\nlocals { many = { for i in range(40) : format(\"many-%02d\", i) => i } }\nhost \"many\" {\n  for_each = local.many\n  name = each.key\n  address = \"192.0.2.${each.value}\"\n}\n" +
		"host \"own\" {\n  address = \"192.0.2.50\"\n  ssh {\n    user = \"Deploy\"\n    sudo_password = secret(\"env:NOT_SET\")\n  }\n}\n" +
		"host \"plain\" {\n  address = \"192.0.2.51\"\n  ssh { user = \"root\" }\n}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, said := ncfleet(t, "-i", file, "sudoers")
	if code != exitOK || !strings.Contains(out, "ops ALL=(root) NOPASSWD: /bin/sh, /usr/bin/sh\n") || !strings.Contains(out, "\"Deploy\" ALL=(root) /bin/sh, /usr/bin/sh\n") ||
		!strings.Contains(out, "# plain needs no rule: the login user is root\n") || strings.Count(out, "many-") != 40 {
		t.Errorf("exit %d:\n%s%s", code, out, said)
	}
	for line := range strings.Lines(out) {
		if len(line) > 81 {
			t.Errorf("longer than 80 columns: %q", line)
		}
	}
	if visudo, err := exec.LookPath("visudo"); err != nil {
		t.Log("there is no visudo to check it")
	} else {
		rules := filepath.Join(t.TempDir(), "rules")
		if err := os.WriteFile(rules, []byte(out), 0o440); err != nil {
			t.Fatal(err)
		}
		if said, err := exec.Command(visudo, "-c", "-f", rules).CombinedOutput(); err != nil {
			t.Errorf("visudo refuses it: %s\n%s", said, out)
		}
	}
	code, out, said = ncfleet(t, "-i", file, "sudoers", "own", "plain", "--output", "json")
	var doc report.SudoersDocument
	if err := json.Unmarshal([]byte(out), &doc); err != nil || code != exitOK || doc.FormatVersion != 1 || len(doc.Rules) != 1 || !doc.Rules[0].Password || doc.Rules[0].Hosts[0] != "own" || doc.None[0].Host != "plain" {
		t.Errorf("exit %d, %v:\n%s%s", code, err, out, said)
	}
	everybody := filepath.Join(t.TempDir(), "fleet.hcl")
	if err := os.WriteFile(everybody, []byte("host \"a\" {\n  address = \"192.0.2.7\"\n  ssh { user = \"ALL\" }\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, said = ncfleet(t, "-i", everybody, "sudoers"); code != exitError || out != "" || !strings.Contains(said, "reads the user ALL as everybody") {
		t.Errorf("a rule for everybody: exit %d, %s%s", code, out, said)
	}
	if code, _, said = ncfleet(t, "-i", file, "sudoers", "nobody"); code != exitUsage || !strings.Contains(said, `no host "nobody"`) {
		t.Errorf("exit %d: %s", code, said)
	}
}
