package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/rollout"
)

// mixedKind is what the mixed fleet's test knows of a kind of host: what its
// package tool is, and how the lab's packages are seen there.
type mixedKind struct {
	manager, kernel string
	installed       []string // prints "name version" of the lab's packages
	after           string   // what it prints after the rollout, without the kernel
	conffile        string   // where the vendor's new configuration file is
}

var (
	rpmQuery   = []string{"sh", "-c", `rpm -qa --qf '%{NAME} %{VERSION}-%{RELEASE}\n' 'lab-*' mysql-community-server | grep -v lab-base | sort`}
	rpmAfter   = "lab-bad 1.0-1\nlab-conf 1.1-1\nlab-held 1.0-1\nlab-kept 1.0-1\nlab-old 1.0-1\nlab-plain 1.1-1\nlab-sec 1.0-2\nlab-slow 1.1-1\nmysql-community-server 5.6.51-1"
	mixedKinds = map[string]mixedKind{
		"debian": {"apt", "lab-kernel",
			[]string{"sh", "-c", `dpkg-query -W -f '${Package} ${Version}\n' 'lab-*' mysql-community-server | grep -v lab-kernel | sort`},
			"lab-bad 1.0\nlab-conf 1.1\nlab-held 1.0\nlab-kept 1.0\nlab-old 1.0\nlab-plain 1.1\nlab-sec 1.0+deb12u1\nlab-slow 1.1\nmysql-community-server 5.6.51-1",
			"/etc/lab/lab-conf.conf.dpkg-dist"},
		"rocky-like": {"dnf", "kernel", rpmQuery, rpmAfter, "/etc/lab/lab-conf.conf.rpmnew"},
		"suse-like":  {"zypper", "kernel-default", rpmQuery, rpmAfter, "/etc/lab/lab-conf.conf.rpmnew"},
	}
)

// locked is for how long another process holds the packages of a host.
const locked = 12 * time.Second

// TestMixedFleet updates hosts with apt, dnf and zypper by one rollout. On the
// first host of each kind, another process holds the packages' lock when its
// turn comes, and it reboots; on the second one a package cannot be installed.
func TestMixedFleet(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	s := &scene{fleet: mixed.bring(t), dir: t.TempDir()}
	hosts := s.hosts()
	well, ill := hosts[:len(hosts)/2], hosts[len(hosts)/2:]
	s.host = hosts[0]
	s.write("fleet.hcl", s.mixedInventory(hosts))
	boots := map[string]string{}
	for _, h := range well {
		boots[h.Name] = h.exec("cat", "/proc/sys/kernel/random/boot_id")
	}
	for _, h := range ill {
		s.verb("offer", h.Name, "--broken")
	}
	s.namesHolders(well)
	s.plansHeld(hosts)

	a := s.ncfleet("apply", "--rollout", "monthly", "--yes")
	for _, h := range well {
		s.wait(3*time.Minute, h.Name+" to be closed", func() bool { return s.step(h, "close", rollout.EventStepBegun).Seq > 0 })
		if err := h.LockPackages(t.Context(), int(locked/time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	_, out := a.ends(6*time.Minute, 0)
	for _, h := range well {
		s.updated(h, boots[h.Name])
	}
	for _, h := range ill {
		s.takenBack(h, out)
	}
	s.once()
	fmt.Printf("lab: the mixed fleet of %d hosts took %.0f s\n%s", len(hosts), time.Since(begun).Seconds(), s.verb("status"))
}

func (s *scene) mixedInventory(hosts []*host) string {
	var list strings.Builder
	for _, h := range hosts {
		fmt.Fprintf(&list, "    %s = %q\n", h.Name, h.Address)
	}
	// No host says which package manager it has: the survey finds out.
	return fmt.Sprintf(`ssh {
  user        = "ops"
  keys        = [%q]
  known_hosts = [%q]
}
driver "snapshot" "archive" {
  directory = "/srv/ncfleet"
}
locals {
  hosts = {
%s  }
}
host "mixed" {
  for_each = local.hosts
  name     = each.key
  address  = each.value
  snapshot = "archive"
  nextcloud "main" {
    path = "/srv/nextcloud/html"
    url  = "http://${each.value}"
  }
}
rollout "monthly" {
  hosts = true
  system {
    level  = "update"
    reboot = "if_required"
  }
  max_unavailable = %d
  failures { budget = %d }
}
`, s.lab.KeyFile(), s.lab.KnownHosts(), list.String(), len(hosts), len(hosts)/2)
}

// namesHolders locks the packages of each kind of host: the plan does not wait,
// it blocks the host and names the holder.
func (s *scene) namesHolders(hosts []*host) {
	s.Helper()
	for _, h := range hosts {
		if err := h.LockPackages(s.Context(), 300); err != nil {
			s.Fatal(err)
		}
	}
	_, out := s.ncfleet("plan", "monthly", "--output", "json").ends(2*time.Minute, 0, 1, 2)
	var plan struct {
		Blocked []struct {
			Target   string
			Problems []struct{ Summary, Detail string }
		}
	}
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		s.Fatalf("cannot read the plan: %v\n%s", err, out)
	}
	said := map[string]string{}
	for _, b := range plan.Blocked {
		for _, p := range b.Problems {
			said[b.Target] += p.Summary + ": " + p.Detail
		}
	}
	for _, h := range hosts {
		pid := h.exec("cat", "/run/lab-lock")
		if !regexp.MustCompile(`locked.*\b` + pid + `\b`).MatchString(said[h.Name]) {
			s.Errorf("%s is locked by process %s, and the plan says %q", h.Name, pid, said[h.Name])
		}
		fmt.Printf("lab: %s (%s) planned while locked: %s\n", h.Name, h.Distro, said[h.Name])
		h.exec("systemctl", "stop", "lab-lock")
		h.exec("rm", "-f", "/run/lab-lock")
	}
}

// plansHeld reads the plan as people do: what stays on each kind of host, and why.
func (s *scene) plansHeld(hosts []*host) {
	s.Helper()
	_, out := s.ncfleet("plan", "monthly").ends(2*time.Minute, 2)
	flat := strings.Join(strings.Fields(out), " ")
	for _, want := range []string{
		"mysql moves from 5.6 to 5.7: an upgrade, done only when the rollout names mysql",
		"lab-kept", "lab-held",
	} {
		if !strings.Contains(flat, want) {
			s.Errorf("the plan does not say %q:\n%s", want, out)
		}
	}
	fmt.Printf("lab: the plan of the mixed fleet:\n%s\n", out)
}

// step is the event of a kind about a step on a host; its zero value is none.
func (s *scene) step(h *host, kind string, event rollout.EventKind) rollout.Event {
	for _, e := range s.events() {
		if e.Kind == event && kindOf(e.Step) == kind && strings.Contains(e.Step, "/"+h.Name+"/") {
			return e
		}
	}
	return rollout.Event{}
}

// updated fails unless the host has what the plan promised, and a new boot id.
func (s *scene) updated(h *host, boot string) {
	s.Helper()
	k := mixedKinds[h.Distro]
	if got := h.exec(k.installed...); got != k.after {
		s.Errorf("%s (%s): packages are\n%s\nwant\n%s", h.Name, h.Distro, got, k.after)
	}
	if got := h.exec("tail", "-n", "1", "/etc/lab/lab-conf.conf"); got != "comment=changed by the operator of this host" {
		s.Errorf("%s: the operator's file ends with %q", h.Name, got)
	}
	h.exec("test", "-s", k.conffile)
	now := h.exec("cat", "/proc/sys/kernel/random/boot_id")
	if now == boot {
		s.Errorf("%s (%s) was not rebooted", h.Name, h.Distro)
	}
	packages := s.step(h, "packages", rollout.EventStepDone)
	if packages.Seq == 0 {
		s.Errorf("%s (%s): the step packages has not succeeded", h.Name, h.Distro)
	}
	reboot := s.step(h, "reboot", rollout.EventStepDone)
	if reboot.Seq == 0 {
		s.Errorf("%s (%s): the step reboot has not succeeded", h.Name, h.Distro)
	}
	s.open28(h)
	fmt.Printf("lab: %s (%s) updated: packages %.1f s with the lock held for %s (%v), reboot %.1f s, boot id %s → %s\n",
		h.Name, h.Distro, packages.Seconds, locked, packages.Evidence, reboot.Seconds, boot, now)
}

// takenBack fails unless the step says which package failed, and the site is
// open as before.
func (s *scene) takenBack(h *host, out string) {
	s.Helper()
	failed := s.step(h, "packages", rollout.EventStepFail)
	if !strings.Contains(failed.Detail, "lab-bad") {
		s.Errorf("%s (%s): the step packages does not name lab-bad: %+v\n%s", h.Name, h.Distro, failed, out)
	}
	s.open28(h)
	fmt.Printf("lab: %s (%s) with a broken package: %s\n        afterwards:\n        %s\n", h.Name, h.Distro, failed.Detail,
		strings.ReplaceAll(h.exec(mixedKinds[h.Distro].installed...), "\n", "\n        "))
}

// open28 fails unless the site of the host is open, in the version it had.
func (s *scene) open28(h *host) {
	s.Helper()
	site, err := h.Site(s.Context())
	if err != nil || !strings.HasPrefix(site.Version, "28.") || site.Maintenance || site.NeedsUpdate {
		s.Errorf("%s (%s): its Nextcloud is %+v: %v", h.Name, h.Distro, site, err)
	}
}
