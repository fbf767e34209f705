package remote

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSudoRule asks visudo whether the rules can be read, and cvtsudoers whom
// they are for.
func TestSudoRule(t *testing.T) {
	password := func() (string, error) { return "x", nil }
	for _, c := range []struct {
		config Config
		want   string // in the text, or the reason
	}{
		{Config{User: "ops"}, "ops ALL=(root) NOPASSWD: /bin/sh, /usr/bin/sh\n"},
		{Config{User: "ops", SudoPassword: password}, "ops ALL=(root) /bin/sh, /usr/bin/sh\n"},
		{Config{User: "DEPLOY", Sudo: SudoYes}, "Defaults:\"DEPLOY\" !requiretty\n"},
		{Config{User: "first.last@corp.example"}, "\"first.last@corp.example\" ALL=(root)"},
		{Config{User: "machine$"}, "\"machine$\" ALL=(root)"},
		{Config{User: "root"}, "the login user is root"},
		{Config{User: "ops", Sudo: SudoNone}, "everything runs as ops"},
	} {
		rule, why := c.config.SudoRule()
		if why != "" {
			if !strings.Contains(why, c.want) {
				t.Errorf("%s: %q, want %q", c.config.User, why, c.want)
			}
			continue
		}
		text := rule.Text()
		if !strings.Contains(text, c.want) {
			t.Errorf("%s: %q, want %q", c.config.User, text, c.want)
		}
		file := filepath.Join(t.TempDir(), "rule")
		write(t, file, text)
		visudo, err := exec.LookPath("visudo")
		if err != nil {
			t.Log("there is no visudo to check it")
			continue
		}
		if out, err := exec.Command(visudo, "-c", "-f", file).CombinedOutput(); err != nil {
			t.Errorf("visudo refuses %q: %s", text, out)
		}
		if out, err := exec.Command("cvtsudoers", "-f", "json", file).Output(); err == nil && !strings.Contains(string(out), `{ "username": "`+c.config.User+`" }`) {
			t.Errorf("the rule is not for %s:\n%s", c.config.User, out)
		}
	}
}
