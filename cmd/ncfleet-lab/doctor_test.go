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

// clinic is three hosts in the hands of one test: one with much wrong in its
// settings, one that an upgrade left half way, and one without sudo.
type clinic struct {
	*scene
	tuned, half, bare *host
}

// illness is one problem, sown on a host for doctor to find.
type illness struct {
	code string
	host *host
	sow  string // a script for the host's root
	// where and why must be said in the summary and the detail, fix in the remedy.
	where, why, fix string
	// cure is what the remedy says, as a script; "" runs the remedy itself.
	cure string
}

const tree = "/srv/nextcloud/html"

// TestDoctorFindsTen sows problems on real hosts: doctor finds each with its
// place, cause and remedy, and nothing on hosts in order; what it advises helps.
func TestDoctorFindsTen(t *testing.T) {
	if !full && os.Getenv("NCFLEET_TEST_ALL") == "" {
		t.Skip("surveys real hosts a dozen times, some minutes; NCFLEET_TEST_ALL=1 plays it")
	}
	t.Parallel()
	c := newClinic(t)
	for _, args := range [][]string{{"fault"}, {"--fleet"}} {
		if list, text := c.doctor(0, args...); len(list) != 0 {
			t.Fatalf("false alarm on hosts in order:\n%s", text)
		}
	}
	ills := append(c.ofTuned(), c.ofHalf()...)
	ills = append(ills, illness{code: "sudo_refused", host: c.bare, sow: "rm /etc/sudoers.d/ops",
		where: "ops may not run sh as root", why: "[sudo: a password is required]", fix: "ncfleet sudoers " + c.bare.Name})
	for _, ill := range ills {
		ill.host.exec("sh", "-ec", ill.sow)
	}
	c.write("fleet.hcl", c.sheet("fetch", "btrfs"))
	list, text := c.doctor(1, "fault")
	c.keep("doctor-ten.txt", text)
	for _, ill := range ills {
		c.found(list, ill)
	}
	if len(list) != len(ills) {
		t.Errorf("%d problems were sown, doctor tells %d:\n%s", len(ills), len(list), text)
	}
	c.tell("%d problems sown, %d found", len(ills), len(list))
	if !t.Failed() {
		c.heal(ills, list)
	}
}

// newClinic borrows three hosts, makes them anew and takes away what the lab
// itself puts wrong on every host.
func newClinic(t *testing.T) *clinic {
	c := &clinic{scene: &scene{fleet: realFleet(t), dir: t.TempDir()}}
	c.tuned, c.half, c.bare = c.borrow("mariadb"), c.borrow("postgres"), c.borrow("sqlite")
	for _, h := range []*host{c.tuned, c.half, c.bare} {
		c.host = h
		if err := h.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.occ("app:disable", "notesbin") // it has no release for 29 yet
		c.occ("config:system:set", "standin_upgrade_seconds", "--type=integer", "--value=1")
		h.exec("rm", "/etc/cron.d/nextcloud-auto-update")
	}
	c.write("fleet.hcl", c.sheet("fetch", "archive"))
	return c
}

// sheet is the inventory: how releases come to the hosts, and the snapshot
// driver of the host half.
func (c *clinic) sheet(transfer, snapshot string) string {
	hosts := ""
	for _, h := range []*host{c.tuned, c.half, c.bare} {
		driver := "archive"
		if h == c.half {
			driver = snapshot
		}
		hosts += fmt.Sprintf("host %q {\n  address  = %q\n  packages = \"apt\"\n  snapshot = %q\n  nextcloud \"main\" {\n    path = %q\n    url  = %q\n  }\n}\n",
			h.Name, h.Address, driver, tree, h.URL())
	}
	return fmt.Sprintf(`ssh {
  user        = "ops"
  keys        = [%q]
  known_hosts = [%q]
}
driver "snapshot" "archive" {
  directory = "/srv/ncfleet"
}
%srollout "fault" {
  hosts = true
  core {
    to        = "29"
    source    = "http://10.77.0.1:8080/releases"
    integrity = "warn"
    transfer  = %q
  }
  apps { update = "none" }
}
rollout "proof" {
  hosts = host.name == %q
  core {
    to        = "29"
    source    = "http://10.77.0.1:8080/releases"
    integrity = "warn"
  }
}
`, c.lab.KeyFile(), c.lab.KnownHosts(), hosts, transfer, c.bare.Name)
}

// ofTuned are wrong settings that a person or an image brought; Nextcloud works
// with them.
func (c *clinic) ofTuned() []illness {
	h := c.tuned
	return []illness{
		{code: "mirror_unreachable", host: h, sow: "printf 'proxy = http://127.0.0.1:3128\nnoproxy = 127.0.0.1\n' >/root/.curlrc",
			where: "cannot be reached from the host", why: "tried on the host with curl: http://10.77.0.1:8080/releases could not be had", fix: `transfer = "push"`, cure: "true"},
		{code: "php_differs", host: h, sow: `cp /usr/sbin/php-fpm8.2 /usr/sbin/php-fpm8.3
			mkdir -p /etc/systemd/system/php8.2-fpm.service.d
			printf '[Service]\nExecStart=\nExecStart=/usr/sbin/php-fpm8.3 --nodaemonize --fpm-config /etc/php/8.2/fpm/php-fpm.conf\n' >/etc/systemd/system/php8.2-fpm.service.d/other.conf
			systemctl daemon-reload; systemctl restart php8.2-fpm`,
			where: "different PHP versions", why: "the web runs 8.3", fix: "php8.3-cli",
			cure: "rm -r /etc/systemd/system/php8.2-fpm.service.d; systemctl daemon-reload; systemctl restart php8.2-fpm"},
		{code: "php_memory", host: h, sow: "sed -i 's/^memory_limit.*/memory_limit = 96M/' /etc/php/8.2/cli/php.ini",
			where: "memory limit is low", why: "/usr/bin/php has memory_limit = 96M", fix: "/etc/php/8.2/cli/conf.d/"},
		{code: "php_memory_web", host: h, sow: `sed -i 's/^php_admin_value\[memory_limit\].*/php_admin_value[memory_limit] = 128M/' /etc/php/8.2/fpm/pool.d/www.conf`,
			where: "the web's memory limit", why: "/etc/php/8.2/fpm/pool.d/www.conf gives the web memory_limit = 128M", fix: "sudo sed -i"},
		{code: "opcache_hides_maintenance", host: h, sow: "echo opcache.revalidate_freq=60 >/etc/php/8.2/fpm/conf.d/90-tuned.ini",
			where: "opcache hides maintenance mode", why: "for up to 60 s (opcache.revalidate_freq = 60)", fix: "/etc/php/8.2/fpm/conf.d/99-opcache.ini"},
		{code: "app_store_unreachable", host: h, sow: `echo '<?php $s = stream_socket_server("tcp://127.0.0.1:8099"); for ($c = []; true; ) { $c[] = stream_socket_accept($s, -1); }' >/root/hang.php
			systemd-run --unit=lab-hang php /root/hang.php
			runuser -u www-data -- php ` + tree + `/occ config:system:set appstoreurl --value=http://127.0.0.1:8099`,
			where: "app store cannot be reached", why: "tried on the host with curl: http://127.0.0.1:8099/apps.json did not answer within 10", fix: "appstoreenabled --value=false",
			cure: "runuser -u www-data -- php " + tree + "/occ config:system:set appstoreenabled --value=false --type=boolean"},
		{code: "rival_updater", host: h, sow: `echo '*/10 * * * * root /usr/local/bin/nextcloud-auto-update' >/etc/cron.d/nextcloud-auto-update`,
			where: "cron nextcloud-auto-update", why: "/etc/cron.d/nextcloud-auto-update: */10 * * * * root", fix: "sudo sed -i"},
		{code: "rival_updater", host: h, sow: `printf '#!/bin/sh\n' >/usr/bin/unattended-upgrade; chmod +x /usr/bin/unattended-upgrade
			echo 'APT::Periodic::Unattended-Upgrade "1";' >/etc/apt/apt.conf.d/20auto-upgrades; systemctl enable --now apt-daily-upgrade.timer`,
			where: "timer apt-daily-upgrade.timer", why: "apt.systemd.daily install", fix: "systemctl disable --now apt-daily-upgrade.timer"},
		{code: "missing_indices", host: h, sow: "mariadb nextcloud -e 'DROP INDEX fs_parent_name_hash ON oc_filecache'",
			where: "lacks indices", why: tree + ": fs_parent_name_hash of oc_filecache", fix: "occ db:add-missing-indices"},
	}
}

// ofHalf is what an updater leaves that dies half way, and snapshots that would
// not help. The directory is to be healed first: occ does nothing before.
func (c *clinic) ofHalf() []illness {
	h := c.half
	occ := "sudo -u www-data php " + tree + "/occ "
	return []illness{
		{code: "dir_not_writable", host: h, sow: "chown root:root " + tree + "/apps; chmod 0755 " + tree + "/apps",
			where: tree + "/apps cannot be written by www-data", why: "belongs to root:root, mode 0755, on /srv (", fix: "sudo chown -R www-data:www-data " + tree + "/apps"},
		{code: "upgrade_pending", host: h, sow: `sed -i "s/'version' => '28[^']*'/'version' => '28.0.1.1'/" ` + tree + "/config/config.php",
			where: "begun and not ended", why: "the database is of 28.0.1.1", fix: "once occ may write again: sudo -u www-data", cure: occ + "upgrade; " + occ + "maintenance:mode --off"},
		{code: "snapshot_hole", host: h, sow: "true", where: "the snapshot would not hold", why: "is on a file system of type ext2/ext3", fix: `driver "snapshot" "btrfs"`, cure: "true"},
	}
}

// sick is a problem as doctor tells it.
type sick struct {
	Code, Harm, Summary, Detail, Remedy string
	Blocks                              bool
	Targets                             []string
}

// doctor runs it for programs and for people.
func (c *clinic) doctor(code int, args ...string) ([]sick, string) {
	c.Helper()
	_, text := c.ncfleet(append([]string{"doctor"}, args...)...).ends(3*time.Minute, code)
	_, out := c.ncfleet(append([]string{"doctor", "--output", "json"}, args...)...).ends(3*time.Minute, code)
	var doc struct {
		Targets  int
		Problems []sick
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Targets != 3 {
		c.Fatalf("cannot read what doctor says: %v\n%s", err, out)
	}
	return doc.Problems, text
}

// found looks for a problem of that host with its place, cause and remedy.
func (c *clinic) found(list []sick, ill illness) *sick {
	c.Helper()
	for i, p := range list {
		if p.Code == ill.code && slices.Contains(p.Targets, ill.host.Name) && strings.Contains(p.Summary, ill.where) {
			if !strings.Contains(p.Detail, ill.why) || !strings.Contains(p.Remedy, ill.fix) || len(p.Targets) != 1 {
				c.Errorf("%s is told as\n%+v\nwant %q and %q", ill.code, p, ill.why, ill.fix)
			}
			return &list[i]
		}
	}
	c.Errorf("%s (%s) of %s was not found", ill.code, ill.where, ill.host.Name)
	return nil
}

// keep writes doctor's text where NCFLEET_LAB_SCREENS says.
func (c *clinic) keep(name, text string) {
	if dir := os.Getenv("NCFLEET_LAB_SCREENS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			c.Error(err)
		}
	}
}

// heal does what each remedy says; then nothing is left, and the host that had
// no sudo is upgraded with the printed rule alone.
func (c *clinic) heal(ills []illness, list []sick) {
	for _, ill := range ills {
		switch {
		case ill.code == "sudo_refused":
			_, rule := c.ncfleet("sudoers", c.bare.Name).ends(time.Minute, 0)
			c.bare.exec("sh", "-ec", `printf '%s' "$1" >/root/rule; visudo -c -f /root/rule; install -m 0440 /root/rule /etc/sudoers.d/ncfleet`, "sh", rule)
		case ill.cure != "":
			ill.host.exec("sh", "-ec", ill.cure)
		default:
			// A reload by an earlier remedy may not have ended.
			ill.host.within(time.Minute, "PHP-FPM", func() bool {
				_, err := ill.host.Output(c.Context(), "pgrep", "-f", "^php-fpm: master")
				return err == nil
			})
			ill.host.exec("sh", "-ec", c.found(list, ill).Remedy)
		}
	}
	c.write("fleet.hcl", c.sheet("push", "archive"))
	if left, text := c.doctor(0, "fault"); len(left) > 0 {
		c.Fatalf("what doctor advised did not help:\n%s", text)
	}
	c.readOnly()
	c.lackingArchive()
	c.host = c.bare
	if got := c.bare.exec("sh", "-c", "sudo -l -U ops | sed -n '/may run/,$p'"); !strings.Contains(got, "(root) NOPASSWD: /bin/sh, /usr/bin/sh") || strings.Contains(got, "ALL) ") {
		c.Errorf("ops may run\n%s", got)
	}
	c.ncfleet("apply", "--rollout", "proof", "--yes").ends(5*time.Minute, 0)
	c.is("29.0.1")
}

// lackingArchive: the host's own proxy does not know the release, though it knows
// its folder.
func (c *clinic) lackingArchive() {
	c.write("fleet.hcl", c.sheet("fetch", "archive"))
	c.tuned.exec("sh", "-ec", `echo '<?php http_response_code(trim($_SERVER["REQUEST_URI"], "/") === "releases" ? 200 : 404);' >/root/mirror.php
		systemd-run --unit=lab-mirror php -S 127.0.0.1:8100 /root/mirror.php
		echo 'connect-to = 10.77.0.1:8080:127.0.0.1:8100' >/root/.curlrc`)
	c.tuned.within(time.Minute, "the mirror", func() bool {
		_, err := c.tuned.Output(c.Context(), "curl", "-sSf", "http://10.77.0.1:8080/releases/")
		return err == nil
	})
	list, _ := c.doctor(1, "fault")
	c.found(list, illness{code: "mirror_unreachable", host: c.tuned, where: "cannot be reached from the host", why: "nextcloud-29.0.1", fix: "curl -sSI http://10.77.0.1:8080/releases/nextcloud-29.0.1"})
	c.tuned.exec("rm", "/root/.curlrc")
	if left, text := c.doctor(0, "fault"); len(left) > 0 {
		c.Errorf("after the mount and the mirror were put right:\n%s", text)
	}
}

// readOnly: the directory is the web user's own, and its mount read-only.
func (c *clinic) readOnly() {
	apps := tree + "/apps"
	c.half.exec("sh", "-ec", "mount --bind "+apps+" "+apps+"; mount -o remount,bind,ro "+apps)
	list, _ := c.doctor(1, "fault")
	ill := illness{code: "dir_not_writable", host: c.half, where: apps + " cannot be written by www-data", why: ", on " + apps + " (", fix: "sudo mount -o remount,rw " + apps}
	p := c.found(list, ill)
	if p == nil {
		return
	}
	if !strings.Contains(p.Detail, "mounted READ-ONLY") {
		c.Errorf("it is not told that the mount is read-only: %s", p.Detail)
	}
	c.half.exec("sh", "-ec", p.Remedy)
	// What is left is that a snapshot cannot follow a mount inside the tree.
	if left, text := c.doctor(1, "fault"); len(left) != 1 || left[0].Code != "snapshot_hole" || !strings.Contains(left[0].Detail, "contains the mount point "+apps) {
		c.Errorf("after the mount was made writable:\n%s", text)
	}
	c.half.exec("umount", apps)
}
