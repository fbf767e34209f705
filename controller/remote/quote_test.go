package remote

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

var words = []string{
	"", "plain", "a b", "'", "''", `"`, `\`, `\\`, `\'`, "$HOME", "$(id)", "`id`", "!", "!!", "*", "?", "[a]", "~", "~root",
	"-n", "--", "a=b", "#x", ";", "&", "|", "<", ">", "(", ")", "{a,b}", "\n", "a\n\nb\n", "\t", "\r", "\x01\x7f", "ü€", "\xff\xfe",
	"%s", "=ls", "^", "a'b\"c\\d$e`f", strings.Repeat("'\\", 500),
}

func shells() []string {
	var found []string
	for _, s := range []string{"/bin/sh", "dash", "bash", "zsh", "fish", "mksh"} {
		if path, err := exec.LookPath(s); err == nil {
			found = append(found, path)
		}
	}
	return found
}

func TestQuote(t *testing.T) {
	line, err := quoteAll(words)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join(words, "\x00") + "\x00"
	for _, shell := range shells() {
		out, err := exec.Command(shell, "-c", `printf '%s\000' `+line).Output()
		if err != nil || string(out) != want {
			t.Errorf("%s: %v, read back %q", shell, err, out)
		}
	}
}

func FuzzQuote(f *testing.F) {
	for _, w := range words {
		f.Add(w)
	}
	f.Fuzz(func(t *testing.T, word string) {
		line, err := quoteAll([]string{word})
		if strings.Contains(word, "\x00") {
			if err == nil {
				t.Error("NUL was accepted")
			}
			return
		}
		out, err := exec.Command("/bin/sh", "-c", "printf %s "+line).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q came back as %q, %v", word, out, err)
		}
	})
}

func TestCompose(t *testing.T) {
	password := func() (string, error) { return "pw", nil }
	for _, c := range []struct {
		name   string
		config Config
		cmd    driver.Command
		line   string // with S for a script and M for the mark
	}{
		{"login user", Config{User: "ops"}, driver.Command{Argv: []string{"a", "b c"}}, "exec env LC_ALL=C.UTF-8 a 'b c'"},
		{"same user", Config{User: "ops"}, driver.Command{Argv: []string{"a"}, User: "ops"}, "exec env LC_ALL=C.UTF-8 a"},
		{"sudo", Config{User: "ops"}, driver.Command{Argv: []string{"a"}, User: "root"}, "cd /; exec env LC_ALL=C.UTF-8 sudo -n -H -u root -- a"},
		{"password", Config{User: "ops", SudoPassword: password}, driver.Command{Argv: []string{"a"}, User: "root"}, "cd /; exec env LC_ALL=C.UTF-8 sudo -k -S -p '' -H -u root -- sh -c S sh M ready"},
		{"secret", Config{User: "ops"}, driver.Command{Argv: []string{"a"}, Env: map[string]string{"X": "secret"}}, "exec env LC_ALL=C.UTF-8 sh -c S sh M quiet"},
		{"root login", Config{User: "root"}, driver.Command{Argv: []string{"a"}, User: "root"}, "exec env LC_ALL=C.UTF-8 a"},
		{"root becomes", Config{User: "root"}, driver.Command{Argv: []string{"a"}, User: "www-data"}, "exec env LC_ALL=C.UTF-8 sh -c B sh www-data a"},
		{"no sudo", Config{User: "ops", Sudo: SudoNone}, driver.Command{Argv: []string{"a"}, User: "root"}, "exec env LC_ALL=C.UTF-8 a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, err := c.config.compose(c.cmd)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.NewReplacer(quote(compact(innerScript)), "S", quote(compact(becomeScript)), "B").Replace(w.line)
			if w.mark != "" {
				got = strings.ReplaceAll(got, w.mark, "M")
			}
			if got != c.line {
				t.Errorf("got  %s\nwant %s", got, c.line)
			}
			if strings.Contains(w.line, "secret") || strings.Contains(w.line, "pw") {
				t.Error("the line shows a secret")
			}
		})
	}
	for _, bad := range []driver.Command{
		{}, {Argv: []string{""}}, {Argv: []string{"-x"}}, {Argv: []string{"a", "b\x00"}}, {Argv: []string{"a"}, User: "a b"},
		{Argv: []string{"a"}, User: "-u"}, {Argv: []string{"a"}, Dir: "x"}, {Argv: []string{"a"}, Dir: "/x\x00"},
		{Argv: []string{"a"}, Env: map[string]string{"a b": ""}}, {Argv: []string{"a"}, Env: map[string]string{"A": "\x00"}},
	} {
		if w, err := (&Config{User: "ops"}).compose(bad); err == nil {
			t.Errorf("%+v was composed to %q", bad, w.line)
		}
	}
}

func TestFolderName(t *testing.T) {
	seen := map[string]string{}
	for _, id := range []string{"a/b", "a:b", "a%3Ab", ".", "..", "../x", "a b", "ü", "wave-1/web1/update.2", strings.Repeat("x", 400), strings.Repeat("x", 401)} {
		name := folderName(id)
		if strings.ContainsAny(name, "/ ") || strings.HasPrefix(name, ".") || len(name) > 160 {
			t.Errorf("%q becomes %q", id, name)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%q and %q both become %q", id, other, name)
		}
		seen[name] = id
	}
	if got := folderName("wave-1/web1/update.2"); got != "wave-1:web1:update.2" {
		t.Errorf("got %q", got)
	}
}
