package standin

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
)

// TestRebootIsAskedFor: each family of systems says in its own way that it wants
// a reboot. What would reboot is replaced by programs that do nothing.
func TestRebootIsAskedFor(t *testing.T) {
	const says = "#!/bin/sh\n[ \"$*\" = \"-q needs-restarting -r\" ] || exit 9\n"
	for name, c := range map[string]struct {
		file, tool, script string
		want               bool
	}{
		"nothing":                    {},
		"Debian's file":              {file: "run/reboot-required", want: true},
		"SUSE's file":                {file: "run/reboot-needed", want: true},
		"needs-restarting":           {tool: "needs-restarting", script: "#!/bin/sh\nexit 1\n", want: true},
		"needs-restarting, not":      {tool: "needs-restarting", script: "#!/bin/sh\nexit 0\n"},
		"dnf":                        {tool: "dnf", script: says + "echo 'Reboot is required to fully utilize these updates.'\nexit 1\n", want: true},
		"dnf, not":                   {tool: "dnf", script: says + "echo 'Reboot should not be necessary.'\n"},
		"dnf that lacks the command": {tool: "dnf", script: "#!/bin/sh\necho 'No such command: needs-restarting.' >&2\nexit 1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			bin, root := t.TempDir(), t.TempDir()
			put := func(path, text string) {
				t.Helper()
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, harmless := range []string{"setsid", "systemctl", "shutdown", "reboot", "sync"} {
				put(filepath.Join(bin, harmless), "#!/bin/sh\n")
			}
			for _, tool := range []string{"cat", "sh"} {
				path, err := exec.LookPath(tool)
				if err != nil {
					t.Skipf("%s is not here", tool)
				}
				if err := os.Symlink(path, filepath.Join(bin, tool)); err != nil {
					t.Fatal(err)
				}
			}
			if c.file != "" {
				put(filepath.Join(root, c.file), "")
			}
			if c.tool != "" {
				put(filepath.Join(bin, c.tool), c.script)
			}
			text, err := nextcloud.ScriptText("reboot.sh")
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("sh", append([]string{"-s", "--"}, nextcloud.Site{Name: "x", StateDir: root}.Reboot().Args...)...)
			cmd.Stdin = strings.NewReader(text)
			// Nothing of this machine is on the path.
			cmd.Env = []string{"PATH=" + bin, "NCFLEET_SYSROOT=" + root}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if begun := nextcloud.ParseReport(out).Values["reboot"] == "begun"; begun != c.want {
				t.Errorf("a reboot was begun: %v\n%s", begun, out)
			}
		})
	}
}
