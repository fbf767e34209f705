package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMainJob is ncfleet's main job over real hosts: packages, a reboot and the
// next major, over six hosts in three waves.
func TestMainJob(t *testing.T) {
	t.Parallel()
	f := realFleet(t)
	inventory := f.inventoryOf(f.hosts()[:jobHosts])
	begun := time.Now()
	out, stderr, code := f.run(f.ncfleet, "-i", inventory, "plan", "monthly", "--output", "json")
	if code != 2 {
		t.Fatalf("plan: code %d\n%s%s", code, out, stderr)
	}
	out, stderr, code = f.run(f.ncfleet, "-i", inventory, "apply", "--rollout", "monthly", "--yes", "--output", "json")
	if code != 0 {
		t.Fatalf("apply: code %d\n%s%s", code, out, stderr)
	}
	var outcome struct {
		Verdict string
		Targets map[string]int
		Waves   []struct {
			Name   string
			Passed bool
		}
	}
	if err := json.Unmarshal([]byte(out), &outcome); err != nil {
		t.Fatalf("cannot read the outcome: %v\n%s", err, out)
	}
	if outcome.Verdict != "succeeded" || outcome.Targets["upgraded"] != jobHosts || len(outcome.Waves) != 3 {
		t.Fatalf("outcome: %+v\n%s", outcome, stderr)
	}
	for _, w := range outcome.Waves {
		if !w.Passed {
			t.Errorf("wave %s has not passed", w.Name)
		}
	}
	for _, h := range f.hosts()[:jobHosts] {
		site, err := h.Site(t.Context())
		if err != nil || !strings.HasPrefix(site.Version, "29.") || site.Maintenance || site.NeedsUpdate {
			t.Errorf("%s: its Nextcloud is %+v: %v", h.Name, site, err)
		}
		got := h.exec("dpkg-query", "-W", "-f", "${Package} ${Version}\n", "lab-conf", "lab-held", "lab-kept", "lab-kernel", "lab-plain", "lab-sec", "mysql-community-server")
		want := "lab-conf 1.1\nlab-held 1.0\nlab-kept 1.0\nlab-kernel 1.1\nlab-plain 1.1\nlab-sec 1.0+deb12u1\nmysql-community-server 5.6.51-1"
		if got != want {
			t.Errorf("%s: packages are\n%s", h.Name, got)
		}
		if got := h.exec("sh", "-c", "tail -n 1 /etc/lab/lab-conf.conf; ls /run/reboot-required 2>/dev/null || true"); got != "comment=changed by the operator of this host" {
			t.Errorf("%s: the operator's file and a wanted reboot: %q", h.Name, got)
		}
		if got := h.exec("sh", "-c", "ls /etc/cron.d"); !strings.Contains(got, "nextcloud-auto-update") {
			t.Errorf("%s: the rival updater was not given back: %s", h.Name, got)
		}
	}
	reported(f, inventory)
	fmt.Printf("lab: the main job over %d hosts took %.0f s\n%s", jobHosts, time.Since(begun).Seconds(), f.verb("status"))
	t.Run("offer", func(t *testing.T) { offered(&fleet{t, f.sharedFleet}) })
}

// reported has the fleet reported on right after the job: nothing has changed
// since, every instance has a proven snapshot and a closed time of its own.
func reported(f *fleet, inventory string) {
	f.Helper()
	out, stderr, code := f.run(f.ncfleet, "-i", inventory, "report", "--rollout", "monthly", "--output", "json")
	var d struct {
		Counts  map[string]int
		Targets []struct {
			Name, Nextcloud, PHP, Database, OS string
			Drift                              *struct{ Changes []any }
			Closed                             *struct{ Source string }
		}
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil || code != 0 {
		f.Fatalf("report: code %d, %v\n%s%s", code, err, out, stderr)
	}
	if c := d.Counts; c["seen"] != jobHosts || c["newest"] != jobHosts || c["drifted"] != 0 || c["without_snapshot"] != 0 || c["closed"] != 0 {
		f.Errorf("the report counts %v\n%s", c, out)
	}
	for _, t := range d.Targets {
		if t.Drift == nil || len(t.Drift.Changes) > 0 || t.Closed == nil || t.Closed.Source != "history" || t.PHP == "" || t.Database == "" || t.OS == "" {
			f.Errorf("the report says of %s: %+v", t.Name, t)
		}
	}
}

// inventoryOf is the lab's own inventory with some of its hosts only.
func (f *fleet) inventoryOf(hosts []*host) string {
	f.Helper()
	whole, err := os.ReadFile(f.lab.Inventory())
	if err != nil {
		f.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(whole)) {
		name, _, isHost := strings.Cut(strings.TrimSpace(line), " = { address")
		if !isHost || slices.ContainsFunc(hosts, func(h *host) bool { return h.Name == name }) {
			b.WriteString(line)
		}
	}
	path := filepath.Join(f.TempDir(), "fleet.hcl")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		f.Fatal(err)
	}
	return path
}

// offered looks at what offer brings to one host alone. It comes after the main
// job, since what was offered stays.
func offered(f *fleet) {
	t := f.T
	h := f.host(6)
	f.verb("offer", h.Name, "--broken")
	h.exec("apt-get", "update", "-qq", "-o", "APT::Update::Error-Mode=any")
	if got := h.exec("apt-get", "-s", "upgrade"); !strings.Contains(got, "Inst lab-bad [1.0] (1.1 ") || !strings.Contains(got, "Inst lab-plain [1.1] (1.2 ") {
		t.Errorf("offered is\n%s", got)
	}
	_, err := h.Output(t.Context(), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "lab-bad")
	if err == nil {
		t.Error("lab-bad could be installed")
	}
	if got := h.exec("dpkg-query", "-W", "-f", "${db:Status-Abbrev}", "lab-bad"); got != "iF" {
		t.Errorf("lab-bad is %q", got)
	}
	other := f.host(5)
	other.exec("apt-get", "update", "-qq")
	if got := other.exec("apt-get", "-s", "upgrade"); strings.Contains(got, "lab-bad") {
		t.Errorf("%s was offered it too", other.Name)
	}
}
