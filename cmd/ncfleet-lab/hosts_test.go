package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ncfleet/ncfleet/cmd/ncfleet-lab/lab"
)

func TestHostsAreReal(t *testing.T) {
	f := realFleet(t)
	boots := map[string]bool{}
	dbs := map[string]int{}
	for _, h := range f.hosts() {
		dbs[h.DB]++
		if got := h.exec("cat", "/proc/1/comm"); got != "systemd" {
			t.Errorf("%s: PID 1 is %s", h.Name, got)
		}
		h.within(hostSettles, "a running system", func() bool {
			out, _ := h.Output(t.Context(), "systemctl", "is-system-running")
			return strings.TrimSpace(out) == "running"
		})
		boots[h.exec("cat", "/proc/sys/kernel/random/boot_id")] = true
		if out, stderr, code := f.ssh(h, "id -un; sudo -n id -un; hostname"); code != 0 || out != "ops\nroot\n"+h.Name+"\n" {
			t.Errorf("%s: over SSH: %q, %q, code %d", h.Name, out, stderr, code)
		}
		if got := h.exec("sh", "-c", "sshd -T | grep -iE '^(maxsessions|maxstartups) ' | sort"); got != "maxsessions 10\nmaxstartups 10:30:100" {
			t.Errorf("%s: sshd has %q, not what is shipped", h.Name, got)
		}
		site, err := h.Site(t.Context())
		if err != nil || !site.Installed || site.Maintenance || site.NeedsUpdate {
			t.Errorf("%s: its Nextcloud is %+v: %v", h.Name, site, err)
		}
		if got := h.exec("findmnt", "-no", "FSTYPE", "/srv"); got != "ext4" {
			t.Errorf("%s: /srv is %q", h.Name, got)
		}
		if got := h.exec("runuser", "-u", "www-data", "--", "php", "/srv/nextcloud/html/occ", "config:system:get", "overwrite.cli.url"); got != h.URL() {
			t.Errorf("%s: overwrite.cli.url is %s", h.Name, got)
		}
	}
	if len(boots) != fleetSize {
		t.Errorf("%d hosts have %d boot ids", fleetSize, len(boots))
	}
	if dbs["sqlite"] != 4 || dbs["mariadb"] != 4 || dbs["postgres"] != 4 {
		t.Errorf("databases were dealt %v", dbs)
	}
}

func TestPackagesWait(t *testing.T) {
	f := realFleet(t)
	h := f.host(1)
	h.exec("apt-get", "update", "-qq", "-o", "APT::Update::Error-Mode=any")
	simulated := h.exec("apt-get", "-s", "upgrade", "--with-new-pkgs")
	for _, want := range []string{
		"Inst lab-plain [1.0] (1.1 Lab:lab [all])",
		"Inst lab-sec [1.0] (1.0+deb12u1 Lab-Security:lab-security [all])",
		"Inst mysql-community-server [5.6.51-1] (5.7.44-1 Lab:lab [all])",
		"Inst lab-kernel [1.0] (1.1 Lab:lab [all])",
	} {
		if !strings.Contains(simulated, want) {
			t.Errorf("not offered: %s\n%s", want, simulated)
		}
	}
	for _, not := range []string{"Inst lab-held", "Inst lab-kept", "Inst lab-bad"} {
		if strings.Contains(simulated, not) {
			t.Errorf("offered: %s", not)
		}
	}
	if got := h.exec("apt-mark", "showhold"); got != "lab-held" {
		t.Errorf("held are %q", got)
	}
	if got := h.exec("sh", "-c", "apt-get -s dist-upgrade | grep '^Remv lab-old '"); got == "" {
		t.Error("lab-kept does not want lab-old removed")
	}
}

// TestSecretsStayInside looks for the passwords where other users of the
// machine could read them.
func TestSecretsStayInside(t *testing.T) {
	f := realFleet(t)
	for path, mode := range map[string]os.FileMode{f.lab.Dir(): 0o700, f.lab.PasswordFile(): 0o600, f.lab.KeyFile(): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
	}
	password, err := os.ReadFile(f.lab.PasswordFile())
	if err != nil {
		t.Fatal(err)
	}
	secret := bytes.TrimSpace(password)
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, secret) {
			t.Errorf("%s holds the password of ada", file)
		}
	}
	inventory, err := os.ReadFile(f.lab.Inventory())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(inventory, secret) {
		t.Error("the inventory holds the password of ada")
	}
}

// TestPasswordOfAda shows that the account works, over WebDAV.
func TestPasswordOfAda(t *testing.T) {
	f := realFleet(t)
	password, err := os.ReadFile(f.lab.PasswordFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range f.hosts() {
		req, err := newRequest(t, "PROPFIND", h.URL()+"/remote.php/dav/files/ada/")
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Depth", "0")
		req.SetBasicAuth("ada", strings.TrimSpace(string(password)))
		resp, err := f.lab.HTTP().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 207 {
			t.Errorf("%s: PROPFIND answered %s", h.Name, resp.Status)
		}
	}
}

func TestStatus(t *testing.T) {
	f := realFleet(t)
	var list []lab.Status
	d := json.NewDecoder(strings.NewReader(f.verb("status", "--output", "json")))
	for d.More() {
		var s lab.Status
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	if len(list) != fleetSize {
		t.Fatalf("status shows %d hosts", len(list))
	}
	for _, s := range list {
		if s.State != "running" || s.Nextcloud == "" || s.Memory < 1<<20 {
			t.Errorf("%+v", s)
		}
	}
	if text := f.verb("status"); !strings.Contains(text, "lab-06") || !strings.Contains(text, "MiB") {
		t.Errorf("status prints:\n%s", text)
	}
}

// TestUpOverRunningLab: what runs is not touched.
func TestUpOverRunningLab(t *testing.T) {
	f := realFleet(t)
	err := f.lab.Up(t.Context(), lab.UpOptions{Hosts: 1})
	if err == nil || !strings.Contains(err.Error(), "down") {
		t.Fatalf("up over a running lab: %v", err)
	}
	if out, _, code := f.ssh(f.host(1), "hostname"); code != 0 || out != "lab-01\n" {
		t.Errorf("after it, lab-01 answers %q, code %d", out, code)
	}
}

// TestRefusesWithoutRoot runs the program as nobody.
func TestRefusesWithoutRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become nobody")
	}
	dir, err := os.MkdirTemp("", "ncfleet-lab-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "ncfleet-lab")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("cannot build: %v: %s", err, out)
	}
	for _, args := range [][]string{{"up", "1"}, {"build"}, {"down"}, {"status"}} {
		cmd := exec.Command(program, append(args, "--dir", filepath.Join(dir, "lab"))...)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "without root") || !strings.Contains(string(out), "sudo") {
			t.Errorf("%v as nobody: %v: %s", args, err, out)
		}
	}
}
