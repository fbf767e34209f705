package remote

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestScope starts runs on a host that looks as if systemd ran it. A private
// mount namespace and a stand-in for systemd-run show what start makes of a
// systemd-run that works, one that fails, and one that fails after it began.
func TestScope(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a mount namespace")
	}
	for _, program := range []string{"unshare", "mount", "setsid"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("no " + program + " on this machine")
		}
	}
	const shift = `echo "$*" >>"$CALLS"; while [ "$1" != setsid ]; do shift; done; `
	for _, c := range []struct{ name, standIn string }{
		{"works", shift + `exec "$@"`},
		{"fails", shift + `exit 1`},
		{"fails late", shift + `"$@"; exit 1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			calls, count, state := filepath.Join(dir, "calls"), filepath.Join(dir, "count"), filepath.Join(dir, "state")
			leaseTo(t, Config{StateDir: state})
			write(t, filepath.Join(dir, "systemd-run"), "#!/bin/sh\n"+c.standIn+"\n")
			os.Chmod(filepath.Join(dir, "systemd-run"), 0o755)
			const inside = `mount -t tmpfs none /run && mkdir -p /run/systemd/system && script=$1 watch=$2 && shift 2 &&
				sh -c "$script" sh "$@" && sh -c "$watch" sh "$1" "$2" 10 0 0 99 99`
			cmd := exec.Command("unshare", "-m", "sh", "-c", inside, "sh",
				compact(libScript+fenceScript+startScript), compact(libScript+watchScript),
				state, "r", testToken, "MARK", "ncfleet-r", "echo x >>"+quote(count)+"; cat; sleep 1; exit 4", compact(keeperScript), "99", "2")
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "CALLS="+calls)
			cmd.Stdin = strings.NewReader("for people\nMARK\nin")
			out, err := cmd.Output()
			if err != nil || !strings.HasPrefix(string(out), "phase running\n") ||
				!strings.Contains(string(out), "o 2\nin") || !strings.Contains(string(out), "phase exited\nexit 4\n") {
				t.Errorf("got %s, %v", out, err)
			}
			if raw, _ := os.ReadFile(count); string(raw) != "x\n" {
				t.Errorf("the command ran as often as %q", raw)
			}
			raw, _ := os.ReadFile(calls)
			if want := "--scope --quiet --unit=ncfleet-r setsid sh " + state + "/runs/r/keeper " + state + "/runs/r\n"; string(raw) != want {
				t.Errorf("systemd-run was called with %q, want %q", raw, want)
			}
		})
	}
}
