package lab

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/inventory"
)

func TestPickSources(t *testing.T) {
	got := pickSources(`http://mirror.example.org/debian/ bookworm main
http://mirror.example.org/debian/ bookworm contrib
http://mirror.example.org/debian/ bookworm main
http://mirror.example.org/debian/ bookworm-backports main
http://mirror.example.org/security/ bookworm-security main
http://packages.example.net/apt tool-bookworm main
`)
	want := []string{"deb http://mirror.example.org/debian/ bookworm main", "deb http://mirror.example.org/security/ bookworm-security main"}
	if !slices.Equal(got, want) {
		t.Errorf("picked %q", got)
	}
}

func TestTransportOptions(t *testing.T) {
	for line, want := range map[string]bool{
		`Acquire::http::Proxy "http://proxy.example.org:3128";`:                    true,
		`Acquire::https::CAInfo "/etc/ssl/own.pem";`:                               true,
		`Acquire::Retries "3";`:                                                    true,
		`Acquire::http::Proxy "";`:                                                 false,
		`Acquire::Changelogs::URI::Origin::Debian "https://changes.example.org/";`: false,
		`APT::Install-Recommends "true";`:                                          false,
	} {
		if got := transport.MatchString(line); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

func TestFits(t *testing.T) {
	for _, c := range []struct {
		spec  string
		major int
		want  bool
	}{{">=28 <=28", 28, true}, {">=28 <=28", 29, false}, {">=29 <=30", 28, false}, {">=28.0.0 <=30.0.0", 30, true}, {"*", 28, true}} {
		if got := fits(c.spec, c.major); got != c.want {
			t.Errorf("fits(%q, %d) = %v", c.spec, c.major, got)
		}
	}
}

func TestReleases(t *testing.T) {
	dir := t.TempDir()
	put := func(names ...string) {
		for _, n := range names {
			if err := os.WriteFile(filepath.Join(dir, n), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := releasesIn(dir); err == nil || !strings.Contains(err.Error(), "holds no release") {
		t.Errorf("an empty folder: %v", err)
	}
	put("nextcloud-28.0.10.zip", "nextcloud-28.0.10.zip.sha512", "nextcloud-28.0.2.zip", "nextcloud-28.0.2.zip.sha512",
		"nextcloud-28.0.2.tar.bz2", "nextcloud-28.0.2.tar.bz2.sha512", "nextcloud-29.0.1.tar.bz2", "latest.zip")
	if _, err := releasesIn(dir); err == nil || !strings.Contains(err.Error(), "nextcloud-29.0.1.tar.bz2.sha512") {
		t.Errorf("without a checksum: %v", err)
	}
	put("nextcloud-29.0.1.tar.bz2.sha512")
	list, err := releasesIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range list {
		got = append(got, filepath.Base(r.file))
	}
	if want := []string{"nextcloud-28.0.2.tar.bz2", "nextcloud-28.0.10.zip", "nextcloud-29.0.1.tar.bz2"}; !slices.Equal(got, want) {
		t.Errorf("releases are %q", got)
	}
	for _, c := range []struct{ want, version, goal string }{{"", "28.0.2", "29"}, {"28.0.10", "28.0.10", "29"}, {"29.0.1", "29.0.1", "29"}} {
		r, goal, err := chooseRelease(list, c.want)
		if err != nil || r.version != c.version || goal != c.goal {
			t.Errorf("%q: %s to %s, %v", c.want, r.version, goal, err)
		}
	}
	if _, _, err := chooseRelease(list, "27.0.0"); err == nil || !strings.Contains(err.Error(), "28.0.2, 28.0.10, 29.0.1") {
		t.Errorf("a release that is not there: %v", err)
	}
}

// TestInventoryLoads: what is written is what ncfleet reads, for every size.
func TestInventoryLoads(t *testing.T) {
	for _, hosts := range []int{1, 2, 3, 4, 6, MaxHosts} {
		for _, official := range []bool{false, true} {
			l, err := New(Options{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			st := &state{Goal: "29", Official: official, Hosts: deal(UpOptions{Hosts: hosts, Distros: Distros, DBs: Databases, Disks: Disks})}
			if err := os.MkdirAll(l.run(""), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := l.save(st); err != nil {
				t.Fatal(err)
			}
			if err := l.WriteInventory(); err != nil {
				t.Fatal(err)
			}
			fleet, diags := inventory.Load([]string{l.Inventory()}, inventory.Options{KnownDrivers: map[string][]string{"packages": {"apt", "dnf", "zypper"}, "snapshot": {"archive", "btrfs"}}})
			if diags.HasErrors() {
				t.Fatalf("%d hosts: %v", hosts, diags)
			}
			if len(fleet.Hosts) != hosts || len(fleet.Rollouts) != 1 {
				t.Errorf("%d hosts: %d hosts, %d rollouts", hosts, len(fleet.Hosts), len(fleet.Rollouts))
			}
			for i, h := range fleet.Hosts {
				if want := packageTools[st.Hosts[i].Distro]; h.Packages != want || h.Snapshot != snapshotDriver(st.Hosts[i]) {
					t.Errorf("%s (%s, %s) has the drivers %s and %s", h.Name, st.Hosts[i].Distro, st.Hosts[i].Disk, h.Packages, h.Snapshot)
				}
			}
			if waves := len(fleet.Rollouts[0].Waves); waves != min(3, (hosts+2)/2) {
				t.Errorf("%d hosts: %d waves", hosts, waves)
			}
		}
	}
}

func TestUpOptions(t *testing.T) {
	for _, c := range []struct {
		o    UpOptions
		want string
	}{
		{UpOptions{Hosts: 0}, "from 1 to"},
		{UpOptions{Hosts: MaxHosts + 1}, "from 1 to"},
		{UpOptions{Hosts: 1, DBs: []string{"oracle"}}, "there is sqlite, mariadb, postgres"},
		{UpOptions{Hosts: 1, Distros: []string{"plan9"}}, "there is debian, rocky-like, suse-like"},
		{UpOptions{Hosts: 1, Disks: []string{"floppy"}}, "there is loop, tmpfs, btrfs"},
	} {
		if err := c.o.check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
	o := UpOptions{Hosts: 4}
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	hosts := deal(o)
	if hosts[3].DB != "sqlite" || hosts[3].Name != "lab-04" || hosts[3].Address != "10.77.0.104" {
		t.Errorf("the fourth host is %+v", hosts[3])
	}
}

// TestProcessIsToldFromItsSuccessor: a number alone says nothing.
func TestProcessIsToldFromItsSuccessor(t *testing.T) {
	self, err := processOf(os.Getpid())
	if err != nil {
		t.Skipf("there is no /proc here: %v", err)
	}
	if !self.alive() {
		t.Error("this process is not alive")
	}
	other := process{PID: self.PID, Began: self.Began + "1"}
	if other.alive() || (process{}).alive() || (process{PID: 1, Began: "1"}).alive() {
		t.Error("a process with another start time, none, or PID 1 passes for one of ours")
	}
}

func TestNoLab(t *testing.T) {
	l, err := New(Options{Dir: filepath.Join(t.TempDir(), "lab")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Hosts(); err == nil || !strings.Contains(err.Error(), "ncfleet-lab up 3 --dir") {
		t.Errorf("hosts of no lab: %v", err)
	}
	if _, err := New(Options{Dir: "/tmp/a:b"}); err == nil {
		t.Error("a folder that mount cannot take was accepted")
	}
}

// TestFailedToolShowsItsEnd: errors of a tool end with what it said last, and a
// limit ends what it started as well.
func TestFailedToolShowsItsEnd(t *testing.T) {
	_, err := tool(t.Context(), "sh", "-c", "echo on stdout; echo the cause >&2; exit 3")
	if code, ran := Code(err); !ran || code != 3 || !strings.Contains(err.Error(), "the cause") {
		t.Errorf("%v", err)
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := tool(ctx, "sh", "-c", "sleep 100 & wait"); err == nil || time.Since(begun) > time.Minute {
		t.Errorf("a limit of 0.3 s: %v after %s", err, time.Since(begun))
	}
}

func TestStateSurvivesAsWritten(t *testing.T) {
	p := power{State: powerOn, Boots: 2, Init: process{PID: 7, Began: "8"}}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back power
	if err := json.Unmarshal(data, &back); err != nil || back != p {
		t.Errorf("%+v became %+v: %v", p, back, err)
	}
}

// TestLayers: a host of another distribution lies on a layer over the shared
// root, and is offered its own repository; a host of Debian has neither.
func TestLayers(t *testing.T) {
	st := &state{Root: "/c/root", Packages: "/c/root.apt", Layers: map[string]string{"rocky-like": "/c/rocky"}}
	for distro, want := range map[string][2]string{
		"debian":     {"/c/root", "/c/root.apt"},
		"rocky-like": {"/c/rocky:/c/root", "/c/rocky.rpm"},
	} {
		h := hostState{Distro: distro}
		if lower, repo := st.lower(h), st.repository(h); lower != want[0] || repo != want[1] {
			t.Errorf("%s: on %s, from %s", distro, lower, repo)
		}
	}
	for _, d := range Distros {
		if _, ok := lockers[d]; packageTools[d] == "" || !ok {
			t.Errorf("%s has no package tool, or nothing that locks it", d)
		}
	}
}
