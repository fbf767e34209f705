package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestUnits has systemd itself judge the units that packages bring.
func TestUnits(t *testing.T) {
	t.Parallel()
	judge, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze on this machine: ", err)
	}
	names, err := filepath.Glob("../../examples/systemd/*.[st]*e*")
	if err != nil || len(names) < 4 {
		t.Fatalf("units: %v %v", names, err)
	}
	dir := t.TempDir()
	args := []string{"verify", "--man=no"}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file := strings.Replace(filepath.Base(name), "@.", "@monthly.", 1)
		if !strings.HasSuffix(file, ".service") && !strings.HasSuffix(file, ".timer") {
			continue
		}
		// systemd-analyze wants the program to be there.
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte("/usr/bin/ncfleet"), []byte("/bin/true")), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	cmd := exec.Command(judge, args...)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte(dir)) {
		t.Errorf("systemd-analyze %v: %v\n%s", args, err, out)
	}
}

// TestPackages builds the packages twice and looks into them.
func TestPackages(t *testing.T) {
	if os.Getenv("NCFLEET_TEST_ALL") != "1" {
		t.Skip("it builds everything anew, twice: set NCFLEET_TEST_ALL=1")
	}
	kinds := map[string]string{"deb": "dpkg-deb", "rpm": "rpmbuild"}
	for kind, tool := range kinds {
		t.Run(kind, func(t *testing.T) {
			if _, err := exec.LookPath(tool); err != nil {
				t.Skip("no tool to build it: ", err)
			}
			var files [2][]string
			for i := range files {
				cmd := exec.Command("../../.ci/package", "--version", "1.2.3-rc1", "--only", kind, "--driver", "hcloud", t.TempDir())
				cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1780000000") // not that of a commit made meanwhile
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("%v\n%s", err, stderr.String())
				}
				files[i] = strings.Fields(string(out))
			}
			if len(files[0]) != 2 {
				t.Fatalf("packages %v", files[0])
			}
			for i, name := range files[0] {
				a, err := os.ReadFile(name)
				b, err2 := os.ReadFile(files[1][i])
				if err != nil || err2 != nil || !bytes.Equal(a, b) {
					t.Errorf("two builds of %s differ (%v, %v)", filepath.Base(name), err, err2)
				}
			}
			if _, err := exec.LookPath("cpio"); kind == "rpm" && err != nil {
				t.Skip("both builds are the same; what is in them is not looked at: ", err)
			}
			looksRight(t, kind, files[0])
		})
	}
}

// looksRight unpacks the controller's package and uses what it holds.
func looksRight(t *testing.T, kind string, files []string) {
	t.Helper()
	root := t.TempDir()
	for _, name := range files {
		unpack := exec.Command("dpkg-deb", "-x", name, root)
		if kind == "rpm" {
			unpack = exec.Command("sh", "-c", `cd "$1" && rpm2cpio "$2" | cpio -idm --quiet`, "sh", root, name)
		}
		if out, err := unpack.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", unpack.Args, err, out)
		}
	}
	program := filepath.Join(root, "usr/bin/ncfleet")
	if out, err := exec.Command(program, "version").CombinedOutput(); err != nil || !strings.Contains(string(out), "ncfleet 1.2.3-rc1 ") {
		t.Errorf("version: %v\n%s", err, out)
	}
	if out, err := exec.Command("bash", "-c", `source "$1" && complete -p ncfleet`, "bash", filepath.Join(root, "usr/share/bash-completion/completions/ncfleet")).CombinedOutput(); err != nil {
		t.Errorf("completion: %v\n%s", err, out)
	}
	for _, name := range []string{"usr/lib/ncfleet/drivers/ncfleet-driver-hcloud", "usr/lib/systemd/system/ncfleet-apply@.service",
		"usr/lib/sysusers.d/ncfleet.conf", "usr/share/man/man1/ncfleet-apply.1.gz", "usr/share/doc/ncfleet/examples/small.hcl", "etc/ncfleet"} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	license := []string{"usr/share/doc/ncfleet/copyright", "usr/share/doc/ncfleet/LICENSE"}
	if !slices.ContainsFunc(license, func(name string) bool { _, err := os.Stat(filepath.Join(root, name)); return err == nil }) {
		t.Errorf("the licence is in none of %v", license)
	}
}
