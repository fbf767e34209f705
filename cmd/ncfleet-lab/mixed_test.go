package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/cmd/ncfleet-lab/lab"
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
	boots := map[string]string{}
	for _, h := range well {
		boots[h.Name] = h.exec("cat", "/proc/sys/kernel/random/boot_id")
	}
	for _, h := range ill {
		s.verb("offer", h.Name, "--broken")
	}
	s.plans(well, ill)

	s.write("fleet.hcl", s.mixedInventory(hosts, "5m"))
	a := s.ncfleet("apply", "--rollout", "monthly", "--yes")
	s.waitsForLocks(s.lockInTime(well))
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

func (s *scene) mixedInventory(hosts []*host, lockWait string) string {
	var list, drivers strings.Builder
	for _, d := range lab.Distros {
		fmt.Fprintf(&drivers, "driver \"packages\" %q {\n  lock_wait = %q\n}\n", mixedKinds[d].manager, lockWait)
	}
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
%slocals {
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
`, s.lab.KeyFile(), s.lab.KnownHosts(), drivers.String(), list.String(), len(hosts), len(hosts)/2)
}

// plans reads a plan while the packages of some hosts are locked. It blocks
// these and names the process, and of the others says what stays, and why.
func (s *scene) plans(blocked, free []*host) {
	s.Helper()
	s.write("fleet.hcl", s.mixedInventory(slices.Concat(blocked, free), "3s"))
	for _, h := range blocked {
		if err := h.LockPackages(s.Context(), 600); err != nil {
			s.Fatal(err)
		}
	}
	_, out := s.ncfleet("plan", "monthly").ends(4*time.Minute, 1)
	parts := byHost(out)
	for _, h := range blocked {
		pid := h.exec("cat", "/run/lab-lock")
		if said := parts[h.Name]; !strings.Contains(said, "the package manager is locked") || !regexp.MustCompile(`\b`+pid+`\b`).MatchString(said) {
			s.Errorf("%s (%s) is locked by process %s, and the plan says: %s", h.Name, h.Distro, pid, said)
		}
		h.exec("systemctl", "stop", "lab-lock")
	}
	for _, h := range free {
		for _, want := range []string{
			"mysql moves from 5.6 to 5.7: an upgrade, done only when the rollout names mysql: mysql-community-server 5.6.51-1 → 5.7.44-1",
			"held kept back: ", ": lab-kept 1.0", ": lab-held 1.0", "lab-sec 1.0", "(1 for security)", mixedKinds[h.Distro].kernel + " ",
		} {
			if !strings.Contains(parts[h.Name], want) {
				s.Errorf("%s (%s): the plan does not say %q: %s", h.Name, h.Distro, want, parts[h.Name])
			}
		}
	}
	fmt.Printf("lab: the plan of the mixed fleet, half of it locked:\n%s\n", out)
}

// lockInTime locks the packages of each host once they were fetched, long before
// they are installed. It returns the hosts on which it was not too late.
func (s *scene) lockInTime(hosts []*host) (inTime []*host) {
	s.Helper()
	done := map[string]bool{}
	s.wait(4*time.Minute, "fetched packages on all hosts", func() bool {
		for _, h := range hosts {
			if done[h.Name] || s.step(h, "fetch", rollout.EventStepDone).Seq == 0 {
				continue
			}
			if err := h.LockPackages(s.Context(), 600); err != nil {
				s.Fatal(err)
			}
			done[h.Name] = true
			if s.step(h, "packages", rollout.EventStepBegun).Seq == 0 {
				inTime = append(inTime, h)
				continue
			}
			fmt.Printf("lab: %s (%s) was too fast to be locked\n", h.Name, h.Distro)
			h.exec("systemctl", "stop", "lab-lock")
		}
		return len(done) == len(hosts)
	})
	return inTime
}

// waitsForLocks lets the step packages of each host meet the lock, and gives the
// lock back once it was seen to wait.
func (s *scene) waitsForLocks(hosts []*host) {
	s.Helper()
	for _, h := range hosts {
		s.wait(4*time.Minute, "the packages of "+h.Name, func() bool { return s.step(h, "packages", rollout.EventStepBegun).Seq > 0 })
	}
	time.Sleep(5 * time.Second) // what did not wait would be on its way now
	for _, h := range hosts {
		if got := h.exec(mixedKinds[h.Distro].installed...); strings.Contains(got, "lab-plain 1.1") {
			s.Errorf("%s (%s) did not wait for the lock:\n%s", h.Name, h.Distro, got)
		}
		fmt.Printf("lab: %s (%s) waits for the lock: %s\n", h.Name, h.Distro,
			h.exec("sh", "-c", `grep -rhsw "$(cat /run/lab-lock)" /var/lib/ncfleet | tail -n 2; true`))
		h.exec("systemctl", "stop", "lab-lock")
	}
}

// byHost cuts a plan into what it says of each host, on one line each.
func byHost(plan string) map[string]string {
	parts, name := map[string]string{}, ""
	for line := range strings.Lines(plan) {
		words := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "  lab-") && len(words) == 1:
			name = words[0]
		case len(words) > 0 && !strings.HasPrefix(line, " "):
			name = "" // the next section
		case name != "":
			parts[name] += strings.Join(words, " ") + " "
		}
	}
	return parts
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
	fmt.Printf("lab: %s (%s) updated: packages %.1f s after a lock (%v), reboot %.1f s, boot id %s → %s\n",
		h.Name, h.Distro, packages.Seconds, packages.Evidence, reboot.Seconds, boot, now)
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
