package plan

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/inventory"
)

// asIs turns an input into one of the fleet as it is.
func asIs(in *Input) {
	r := &inventory.Rollout{}
	for _, h := range in.Fleet.Hosts {
		r.Hosts = append(r.Hosts, h.Name)
	}
	r.Waves = []inventory.Wave{{Name: "fleet", Hosts: r.Hosts}}
	in.Rollout = r
}

func fpm(change func(*WebPHP)) func(*Input) {
	return facts(func(_ *Facts, s *InstanceFacts) {
		s.PHP.Reload = [][]string{{"systemctl", "reload", "php8.2-fpm.service"}}
		s.PHP.FPM = &WebPHP{PoolFile: "/etc/php/8.2/fpm/pool.d/www.conf", ScanDir: "/etc/php/8.2/fpm/conf.d",
			MemoryLimit: "512M", Opcache: true, ChecksFiles: true, RecheckSeconds: 2}
		change(s.PHP.FPM)
	})
}

func rival(r Rival) func(*Input) {
	return facts(func(f *Facts, _ *InstanceFacts) { f.Rivals = append(f.Rivals, r) })
}

// ailments are what doctor finds where a rollout goes on or wants nothing.
var ailments = []struct {
	name    string
	blocked string
	warns   string
	says    string // in the detail or the remedy of the last one
	make    func(*Input)
}{
	{"in order", "", "", "", func(*Input) {}},
	{"FPM in order", "", "", "", fpm(func(*WebPHP) {})},
	{"opcache looks seldom", "", "opcache_hides_maintenance", "for up to 60 s", fpm(func(w *WebPHP) { w.RecheckSeconds = 60 })},
	{"opcache never looks", "", "opcache_hides_maintenance", "until PHP-FPM is reloaded", fpm(func(w *WebPHP) { w.ChecksFiles = false })},
	{"opcache is off", "", "", "", fpm(func(w *WebPHP) { w.Opcache, w.ChecksFiles = false, false })},
	{"29 asks opcache to look", "", "", "", func(in *Input) {
		fpm(func(w *WebPHP) { w.ChecksFiles = false })(in)
		change(in, "cloud-01", func(_ *Facts, s *InstanceFacts) { s.Code, s.Config = version("29.0.1.1"), version("29.0.1.1") })
	}},
	{"little memory for the web", "", "php_memory_web", "conf.d/99-memory.ini && sudo systemctl reload php8.2-fpm.service", fpm(func(w *WebPHP) { w.MemoryLimit = "128M" })},
	{"little memory by the pool", "", "php_memory_web", "/etc/php/8.2/fpm/pool.d/www.conf", fpm(func(w *WebPHP) { w.MemoryLimit, w.PoolSetsMemory = "256M", true })},
	{"indices missing", "", "missing_indices", "occ db:add-missing-indices", facts(func(_ *Facts, s *InstanceFacts) { s.MissingIndices = []string{"a of oc_b"} })},
	{"a cron job updates", "", "rival_updater", "sudo sed -i", rival(Rival{Kind: "cron", Name: "/etc/cron.d/x", Where: "/etc/cron.d/x", Line: "1 2 * * * root nextcloud-auto-update", Active: true})},
	{"a script of cron.daily", "", "rival_updater", "sudo chmod -x /etc/cron.daily/x", rival(Rival{Kind: "cron", Name: "/etc/cron.daily/x", Where: "/etc/cron.daily/x", Line: "apt-get upgrade", Active: true})},
	{"Debian's timers, told to install nothing", "", "", "", rival(Rival{Kind: "timer", Name: "apt-daily-upgrade.timer", Active: true})},
	{"Debian's timers, told to install", "", "rival_updater", "disable --now apt-daily-upgrade.timer", func(in *Input) {
		rival(Rival{Kind: "timer", Name: "apt-daily-upgrade.timer", Active: true})(in)
		change(in, "cloud-01", func(f *Facts, _ *InstanceFacts) { f.UnattendedUpgrades = true })
	}},
	{"a store that hangs", "", "app_store_unreachable", "tried on the host with curl: https://apps.nextcloud.com/api/v1/apps.json did not answer within 10001 ms", facts(func(f *Facts, s *InstanceFacts) {
		s.Settings.AppStoreEnabled = true
		f.Downloads = []Reach{{URL: StoreProbe(s.Settings), Tool: "curl", Millis: 10001, Detail: "curl: (28) Operation timed out"}}
	})},
	{"read-only mount", "dir_not_writable", "", "sudo mount -o remount,rw /srv/apps", facts(func(f *Facts, s *InstanceFacts) {
		f.Mounts = append(f.Mounts, Mount{Path: "/srv/apps", Device: "/dev/vdb", FSType: "ext4", ReadOnly: true, BytesFree: 1 << 40, InodesFree: -1})
		s.Dirs = append(s.Dirs, Dir{Path: "/srv/apps/more", Owner: "www-data", Group: "www-data", Mode: "0755"})
	})},
	{"closed directory, which occ complains of too", "dir_not_writable", "", "0755", facts(func(f *Facts, s *InstanceFacts) {
		s.StatusProblem = "occ status ended with 1: Cannot write into \"apps\" directory."
		f.Problems = []string{"instance main: the missing indices could not be asked for"}
		s.Dirs[0] = Dir{Path: s.Dirs[0].Path, Owner: "root", Group: "root", Mode: "0755"}
	})},
	{"half an upgrade, and occ cannot work", "dir_not_writable upgrade_pending", "", "once occ may write again: sudo -u www-data", facts(func(_ *Facts, s *InstanceFacts) {
		s.StatusProblem = "occ status ended with 1: Cannot write into \"apps\" directory."
		s.Config = version("27.1.0.1")
		s.Dirs[0] = Dir{Path: s.Dirs[0].Path, Owner: "root", Group: "root", Mode: "0755"}
	})},
	{"half an upgrade and more", "dir_not_writable php_memory upgrade_pending", "php_memory_web", "", func(in *Input) {
		fpm(func(w *WebPHP) { w.MemoryLimit = "64M" })(in)
		change(in, "cloud-01", func(_ *Facts, s *InstanceFacts) {
			s.Config, s.PHP.MemoryLimit, s.PHP.ScanDir = version("27.1.0.1"), "96M", "/etc/php/8.2/cli/conf.d"
			s.Dirs[0] = Dir{Path: s.Dirs[0].Path, Owner: "root", Group: "root", Mode: "0755"}
		})
	}},
	{"sudo", "sudo_refused", "", "ncfleet sudoers cloud-01", facts(func(f *Facts, _ *InstanceFacts) {
		*f = Facts{Host: "cloud-01", Unreachable: "sudo refuses [sudo: a password is required]", SudoRefusal: "not allowed"}
	})},
}

// TestExamine looks at the fleet as it is: all that is wrong is told, and
// nothing where all is well.
func TestExamine(t *testing.T) {
	for _, c := range ailments {
		t.Run(c.name, func(t *testing.T) {
			in := fixture(1)
			change(&in, "cloud-01", func(f *Facts, _ *InstanceFacts) { f.Rivals = nil })
			c.make(&in)
			asIs(&in)
			looked, problems := Examine(in)
			if len(problems) > 0 || len(looked) != 1 {
				t.Fatalf("%d targets, %+v", len(looked), problems)
			}
			d := looked[0]
			if got := codes(d.Blocked, ""); got != c.blocked {
				t.Errorf("blocked by %q, want %q", got, c.blocked)
			}
			if got := codes(d.Warnings, ""); got != c.warns {
				t.Errorf("warned of %q, want %q", got, c.warns)
			}
			said := ""
			for _, p := range append(d.Blocked, d.Warnings...) {
				said += p.Summary + "\n" + p.Detail + "\n" + p.Remedy + "\n"
			}
			if !strings.Contains(said, c.says) {
				t.Errorf("it does not say %q:\n%s", c.says, said)
			}
		})
	}
}

// TestExamineOfRollout: what Compute blocks is told, and what it would go on
// with too.
func TestExamineOfRollout(t *testing.T) {
	in := fixture(2)
	change(&in, "cloud-02", func(_ *Facts, s *InstanceFacts) { s.PHP.Modules = s.PHP.Modules[:12] })
	looked, _ := Examine(in)
	if len(looked) != 2 || codes(looked[0].Blocked, "") != "" || codes(looked[1].Blocked, "") != "php_modules" {
		t.Errorf("%+v", looked)
	}
	in.Rollout.Core.To = "next"
	if _, problems := Examine(in); codes(problems, "") != "bad_goal" {
		t.Errorf("%+v", problems)
	}
}

// TestRivalRemedy runs the advised command: that one line ends, no other.
func TestRivalRemedy(t *testing.T) {
	if _, err := exec.LookPath("sed"); err != nil {
		t.Skip("no sed")
	}
	file := filepath.Join(t.TempDir(), "it's a file")
	line := `*/10 4-6 1,2 * * root [ -x /opt/a.b ] && cd "$HOME" | /opt/a.b 's|x|^y$|' \ it's`
	if err := os.WriteFile(file, []byte(line+"\n"+line+" more\nMAILTO=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command, ok := strings.CutPrefix(rivalRemedy(Rival{Kind: "cron", Where: file, Line: line}), "sudo ")
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); !ok || err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	got, err := os.ReadFile(file)
	if want := "# " + line + "\n" + line + " more\nMAILTO=x\n"; err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}
