package sshconfig

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestAskerAsksOnce(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("no OpenSSH client on this machine")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "config")
	text := "Match user broken\n  Port x\n"
	good := "Match exec \"echo %n %r >>" + dir + "/asked\"\n  Port 2222\n"
	if err := os.WriteFile(file, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	k := &Asker{}
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			host := []string{"a", "b", "c"}[i%3]
			a, err := k.Ask(t.Context(), Query{File: file, Host: host, User: "ops"})
			if err != nil || a.First("port") != "2222" || a.First("user") != "ops" || a.First("nothing") != "" {
				t.Errorf("%s: %v, %v", host, a, err)
			}
		})
	}
	wg.Wait()
	asked, err := os.ReadFile(filepath.Join(dir, "asked"))
	if err != nil || len(strings.Fields(string(asked))) != 6 || !strings.Contains(string(asked), "b ops\n") {
		t.Errorf("asked %q, %v; want each of three hosts once", asked, err)
	}
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Ask(t.Context(), Query{File: bad, Host: "a"}); err == nil || !strings.Contains(err.Error(), "cannot ask ssh about a: ") || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a broken file: %v", err)
	}
	if err := os.WriteFile(bad, []byte("Port 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if a, err := k.Ask(t.Context(), Query{File: bad, Host: "a"}); err != nil || a.First("port") != "3" {
		t.Errorf("an error was kept: %v, %v", a, err)
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	if _, err := k.Ask(gone, Query{File: file, Host: "d"}); err == nil {
		t.Error("asked although the caller had gone")
	}
	if _, err := k.Ask(t.Context(), Query{File: file, Host: "d"}); err != nil {
		t.Errorf("the next caller got the error of one that had gone: %v", err)
	}
}

func TestWhatIsNoHost(t *testing.T) {
	for _, q := range []Query{{Host: "-oProxyCommand=x"}, {Host: ""}, {Host: "a b"}, {Host: "$(id)"}, {Host: "a", User: "-l"}, {Host: "a", User: "`id`"}} {
		if _, err := Ask(t.Context(), q); err == nil || !strings.Contains(err.Error(), "cannot ask ssh about") {
			t.Errorf("%+v: %v", q, err)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := Ask(t.Context(), Query{Host: "a"}); err == nil || !strings.Contains(err.Error(), "install the OpenSSH client") {
		t.Errorf("without ssh: %v", err)
	}
}
