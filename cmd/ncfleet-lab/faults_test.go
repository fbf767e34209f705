package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// hostSettles is the longest a host may take for what it does by itself.
const hostSettles = 2 * time.Minute

func newRequest(t *testing.T, method, url string) (*http.Request, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return http.NewRequestWithContext(ctx, method, url, nil)
}

func TestCutAndHeal(t *testing.T) {
	f := realFleet(t)
	h := f.host(2)
	t.Cleanup(func() { f.verb("heal", h.Name) })
	f.verb("cut", h.Name)
	if _, stderr, code := f.ssh(h, "true"); code != 255 || !strings.Contains(stderr, "timed out") {
		t.Errorf("SSH to a host that is cut off: code %d, %q", code, stderr)
	}
	if got := h.exec("hostname"); got != h.Name {
		t.Errorf("exec in a host that is cut off: %q", got)
	}
	if text := f.verb("status"); !strings.Contains(text, "lab-02  cut ") {
		t.Errorf("status does not show it:\n%s", text)
	}
	f.verb("heal", h.Name)
	if out, stderr, code := f.ssh(h, "hostname"); code != 0 || out != "lab-02\n" {
		t.Errorf("after heal: code %d, %q, %q", code, out, stderr)
	}
}

func TestRefuse(t *testing.T) {
	f := realFleet(t)
	h := f.host(3)
	t.Cleanup(func() { f.verb("heal", h.Name) })
	f.verb("refuse", h.Name)
	if _, stderr, code := f.ssh(h, "true"); code != 255 || !strings.Contains(stderr, "Connection refused") {
		t.Errorf("SSH: code %d, %q", code, stderr)
	}
	if _, err := h.Site(t.Context()); err != nil {
		t.Errorf("only port 22 should refuse: %v", err)
	}
	f.verb("heal", h.Name)
	if _, stderr, code := f.ssh(h, "true"); code != 0 {
		t.Errorf("after heal: code %d, %q", code, stderr)
	}
}

func TestSlow(t *testing.T) {
	f := realFleet(t)
	h := f.host(4)
	t.Cleanup(func() { f.verb("heal", h.Name) })
	f.verb("slow", h.Name, "--rate", "1mbit", "--loss", "1%")
	begun := time.Now()
	if out, stderr, code := f.ssh(h, "head -c 300000 /dev/zero"); code != 0 || len(out) != 300000 {
		t.Fatalf("code %d, %d bytes, %q", code, len(out), stderr)
	}
	// 300 000 bytes are 2.4 s of 1 Mbit; the burst may save a little of it. A
	// busy machine makes it slower only.
	if took := time.Since(begun); took < 2*time.Second {
		t.Errorf("300 kB came in %s through 1 Mbit/s", took)
	}
	if text := f.verb("status"); !strings.Contains(text, "slow 1mbit 1%") {
		t.Errorf("status does not show it:\n%s", text)
	}
	f.verb("heal", h.Name)
	if rules := h.exec("sh", "-c", "tc qdisc show dev eth0"); strings.Contains(rules, "tbf") {
		t.Errorf("after heal: %s", rules)
	}
}

func TestReboot(t *testing.T) {
	f := realFleet(t)
	for _, args := range [][]string{{"reboot", "lab-05"}, {"reboot", "lab-05", "--hard"}} {
		h := f.host(5)
		before := h.exec("cat", "/proc/sys/kernel/random/boot_id")
		h.exec("touch", "/run/gone-after-a-boot", "/srv/stays")
		f.verb(args...)
		if after := h.exec("cat", "/proc/sys/kernel/random/boot_id"); after == before {
			t.Errorf("%v: the boot id is still %s", args, before)
		}
		if got := h.exec("sh", "-c", "ls /run/gone-after-a-boot /srv/stays 2>/dev/null || true"); got != "/srv/stays" {
			t.Errorf("%v: of the files there are: %q", args, got)
		}
		if out, stderr, code := f.ssh(h, "hostname"); code != 0 || out != "lab-05\n" {
			t.Errorf("%v: SSH: code %d, %q, %q", args, code, out, stderr)
		}
		h.within(hostSettles, "its Nextcloud", func() bool {
			site, err := h.Site(t.Context())
			return err == nil && site.Installed
		})
	}
}

// TestPowerOff: a host that powered off stays off until it is switched on.
func TestPowerOff(t *testing.T) {
	f := realFleet(t)
	h := f.host(5)
	h.exec("systemctl", "poweroff")
	h.within(hostSettles, "its end", func() bool { return strings.Contains(f.verb("status"), "lab-05  down ") })
	if _, err := h.Output(t.Context(), "true"); err == nil || !strings.Contains(err.Error(), "reboot lab-05") {
		t.Errorf("exec in a host that is down: %v", err)
	}
	f.verb("reboot", h.Name)
	h.within(hostSettles, "its Nextcloud", func() bool {
		site, err := h.Site(t.Context())
		return err == nil && site.Installed
	})
}

func TestFreeze(t *testing.T) {
	f := realFleet(t)
	h := f.host(6)
	t.Cleanup(func() { f.verb("thaw", h.Name) })
	f.verb("freeze", h.Name)
	if _, stderr, code := f.ssh(h, "true"); code != 255 || !strings.Contains(stderr, "timed out during banner exchange") {
		t.Errorf("SSH to a frozen host: code %d, %q", code, stderr)
	}
	if text := f.verb("status"); !strings.Contains(text, "lab-06  frozen ") {
		t.Errorf("status does not show it:\n%s", text)
	}
	f.verb("thaw", h.Name)
	if out, stderr, code := f.ssh(h, "hostname"); code != 0 || out != "lab-06\n" {
		t.Errorf("after thaw: code %d, %q, %q", code, out, stderr)
	}
}

func TestFill(t *testing.T) {
	f := realFleet(t)
	h := f.host(1)
	t.Cleanup(func() { f.verb("drain", h.Name) })
	f.verb("fill", h.Name, "--leave", "1M")
	out, err := h.Output(t.Context(), "dd", "if=/dev/zero", "of=/srv/too-much", "bs=64K", "count=64")
	if err == nil || !strings.Contains(err.Error(), "No space left on device") {
		t.Errorf("4 MiB on a disk with 1 MiB left: %q, %v", out, err)
	}
	h.exec("rm", "-f", "/srv/too-much")
	f.verb("drain", h.Name)
	h.exec("dd", "if=/dev/zero", "of=/srv/enough", "bs=64K", "count=64")
	h.exec("rm", "-f", "/srv/enough")
}

func TestLockPackages(t *testing.T) {
	f := realFleet(t)
	h := f.host(2)
	f.verb("lock-packages", h.Name, "600")
	_, err := h.Output(t.Context(), "apt-get", "install", "-y", "--reinstall", "lab-old")
	if err == nil || !strings.Contains(err.Error(), "/var/lib/dpkg/lock-frontend. It is held by process") {
		t.Errorf("apt-get with the lock held: %v", err)
	}
	h.exec("systemctl", "stop", "lab-lock")
	h.exec("apt-get", "install", "-y", "lab-old")
}
