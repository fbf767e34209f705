package survey

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/inventory"
)

var update = flag.Bool("update", false, "write the golden files anew")

// recordedHost is the host of testdata/debian12.survey, recorded on a real
// Debian 12 with three real instances.
func recordedHost() inventory.Host {
	h := inventory.Host{Name: "cloud-01", StateDir: "/var/lib/ncfleet"}
	for _, n := range []string{"nc1", "nc2", "nc3"} {
		h.Instances = append(h.Instances, inventory.Instance{Name: n, Path: "/srv/" + n + "/html"})
	}
	return h
}

func recorded(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/debian12.survey")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseRecorded(t *testing.T) {
	f, err := Parse(recordedHost(), recorded(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile("testdata/debian12.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/debian12.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("facts differ from testdata/debian12.json; run with -update and look at the difference")
	}
	for _, word := range []string{"password", "passwordsalt", "secret", "instanceid"} {
		if bytes.Contains(recorded(t), []byte("\""+word+"\"")) {
			t.Errorf("the survey brought %s from the host", word)
		}
	}
}

func TestParseTruncated(t *testing.T) {
	b := recorded(t)
	for _, n := range []int{0, 10, 200, 2000, len(b) - 1} {
		if _, err := Parse(recordedHost(), b[:n]); err == nil {
			t.Errorf("%d of %d bytes were accepted", n, len(b))
		}
	}
	noise := append([]byte("Welcome to cloud-01!\n"), b...)
	if _, err := Parse(recordedHost(), noise); err != nil {
		t.Errorf("a greeting before the answer: %v", err)
	}
}

func TestUpdatesSomething(t *testing.T) {
	for line, want := range map[string]bool{
		"php /var/www/html/updater/updater.phar --no-interaction": true,
		"cd /var/www/html && php occ upgrade":                     true,
		"sudo -u www-data php occ app:update --all":               true,
		"/usr/bin/php /var/www/html/occ update:check":             true,
		"php /var/www/html/occ files:scan --all":                  false,
		"apt-get -q update && apt-get -y dist-upgrade":            true,
		"apt-get update":                                                  false,
		"/usr/bin/yum -y update":                                          true,
		"yum check-update":                                                false,
		"dnf makecache":                                                   false,
		"zypper --non-interactive patch":                                  true,
		"zypper -q ref && zypper -n up":                                   true,
		"zypper refresh":                                                  false,
		"/usr/lib/YaST2/bin/online_update":                                true,
		"/usr/sbin/transactional-update -n cleanup dup":                   true,
		"/usr/sbin/transactional-update cleanup":                          false,
		"/usr/sbin/os-update":                                             true,
		"/usr/bin/dnf5 automatic --timer":                                 true,
		"/usr/bin/dnf-automatic /etc/dnf/automatic.conf --timer":          true,
		"exec /usr/sbin/yum-cron":                                         true,
		"apk -U upgrade":                                                  true,
		"exec /usr/sbin/apk-autoupdate":                                   true,
		"apk update":                                                      false,
		"unattended-upgrade -d":                                           true,
		"/usr/lib/apt/apt.systemd.daily update":                           true,
		"docker run --rm containrrr/watchtower --run-once":                true,
		"docker pull nextcloud:latest":                                    true,
		"/usr/local/bin/nextcloud-auto-update":                            true,
		"/opt/update_nextcloud.sh":                                        true,
		"php -f /var/www/nextcloud/cron.php":                              false,
		"/usr/local/bin/backup-nextcloud":                                 false,
		"snap refresh":                                                    true,
		"certbot renew":                                                   false,
		"test -x /usr/sbin/anacron || run-parts --report /etc/cron.daily": false,
		"echo 'please upgrade'":                                           false,
	} {
		if got := updatesSomething(line); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func TestProcessKind(t *testing.T) {
	for command, want := range map[string]string{
		"php occ upgrade -v":                                                 "occ",
		"/usr/bin/php8.2 -d x=1 /srv/nc/occ files:scan":                      "occ",
		"php -f /srv/nc/cron.php":                                            "cron",
		"php updater/updater.phar":                                           "updater",
		"/usr/bin/php8.2 occ app:update --showonly --all":                    "",
		"php occ app:update --all":                                           "occ",
		"php occ --no-warnings setupchecks":                                  "",
		"php occ -v upgrade status":                                          "occ",
		"php /srv/html/occ config:system:get dbhost":                         "",
		"php occ user:list":                                                  "",
		"php /srv/html/occ app:update":                                       "occ",
		"php occ":                                                            "occ",
		"apt-get -y upgrade":                                                 "packages",
		"apt-get -s -o Debug::NoLocking=1 dist-upgrade":                      "",
		"apt-get install -y lab-s":                                           "packages",
		"dpkg --audit":                                                       "",
		"/usr/bin/dpkg -i --force-confold x.deb":                             "packages",
		"dnf -q check-update --security":                                     "",
		"/usr/bin/python3 -s /usr/bin/dnf -q repoquery":                      "",
		"zypper --xmlout list-updates":                                       "",
		"dnf -C --color=never --assumeno --nobest upgrade":                   "",
		"dnf -C -q check --dependencies --duplicates":                        "",
		"zypper --non-interactive --xmlout update --dry-run --no-recommends": "",
		"zypper --non-interactive update":                                    "packages",
		"apk upgrade -a":                                                     "packages",
		"/usr/bin/python3 /usr/bin/dnf upgrade":                              "packages",
		"/usr/bin/dpkg --configure -a":                                       "packages",
		"/bin/sh /usr/lib/apt/apt.systemd.daily install":                     "packages",
		"/usr/bin/python3 /usr/share/unattended-upgrades/unattended-upgrade-shutdown --wait-for-signal": "",
		"/usr/bin/python3 /usr/bin/unattended-upgrade":                                                  "packages",
		"grep occ":                         "",
		"vim cron.php":                     "",
		"sudo -u www-data php occ upgrade": "",
		"/watchtower --interval 300":       "watchtower",
		"":                                 "",
	} {
		if got := processKind(strings.Fields(command)); got != want {
			t.Errorf("%q: %q, want %q", command, got, want)
		}
	}
}

func TestShownCommandHidesArguments(t *testing.T) {
	for command, want := range map[string]string{
		"php occ -n user:add --password-from-env=x bob":          "php occ -n user:add",
		"/usr/bin/php8.2 /srv/nc/occ db:convert --password=pw x": "/usr/bin/php8.2 /srv/nc/occ db:convert",
		"php -f /srv/nc/cron.php token":                          "php -f /srv/nc/cron.php",
		"php updater/updater.phar --url=u":                       "php updater/updater.phar",
		"php occ":                                                "php",
		"apt-get -y upgrade":                                     "apt-get -y upgrade",
	} {
		words := strings.Fields(command)
		if got := shown(processKind(words), words); got != want {
			t.Errorf("%q: %q, want %q", command, got, want)
		}
	}
}

func TestParseDF(t *testing.T) {
	for line, want := range map[string]dfLine{
		"/dev/sda1         264212084 18551940  76949324      20% /": {"/dev/sda1", "/", 264212084, 76949324},
		"nas:/a b 100 40 60 40% /mnt/my data":                       {"nas:/a b", "/mnt/my data", 100, 60},
		"tmpfs - - - - /run":                                        {"tmpfs", "/run", 0, 0},
		"over 10 12 -2 120% /full":                                  {"over", "/full", 10, 0},
	} {
		if got, ok := parseDF(line); !ok || got != want {
			t.Errorf("%q: %+v, %v", line, got, ok)
		}
	}
	for _, bad := range []string{"", "Filesystem 1024-blocks Used Available Capacity Mounted on", "a b c d e f"} {
		if got, ok := parseDF(bad); ok {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

// TestLinkedMount: a data directory behind a symbolic link counts to the file
// system that it really is on.
func TestLinkedMount(t *testing.T) {
	df := "want\t/srv/nc/data\t/srv/nc/data\nwant\t/\t/\ndf-k\nFilesystem 1024-blocks Used Available Capacity Mounted on\n" +
		"/dev/sdb 1000 900 100 90% /mnt/big\n/dev/sda 500 100 400 20% /\ndf-i\nFilesystem Inodes IUsed IFree IUse% Mounted on\n" +
		"/dev/sdb 0 0 0 - /mnt/big\n/dev/sda 50 10 40 20% /\nmounts\n/dev/sdb /mnt/big btrfs ro,noatime 0 0\n/dev/sda / ext4 rw 0 0\n"
	r := &reader{parts: map[string]output{"df": {out: []byte(df)}}}
	r.mounts()
	want := []plan.Mount{
		{Path: "/", Device: "/dev/sda", FSType: "ext4", BytesFree: 400 << 10, BytesTotal: 500 << 10, InodesFree: 40},
		{Path: "/mnt/big", Device: "/dev/sdb", FSType: "btrfs", BytesFree: 100 << 10, BytesTotal: 1000 << 10, InodesFree: -1, ReadOnly: true},
		{Path: "/srv/nc/data", Device: "/dev/sdb", FSType: "btrfs", BytesFree: 100 << 10, BytesTotal: 1000 << 10, InodesFree: -1, ReadOnly: true},
	}
	if !reflect.DeepEqual(r.facts.Mounts, want) {
		t.Errorf("got %+v", r.facts.Mounts)
	}
}

const unitsText = `Id=apt-daily.timer
LoadState=loaded
ActiveState=active
UnitFileState=enabled
FragmentPath=/lib/systemd/system/apt-daily.timer
Triggers=apt-daily.service

Id=dnf-automatic.timer
LoadState=not-found
ActiveState=inactive
UnitFileState=

Id=nextcloudcron.timer
LoadState=loaded
ActiveState=active
UnitFileState=enabled
FragmentPath=/etc/systemd/system/nextcloudcron.timer
Triggers=nextcloudcron.service

Id=weekly.timer
LoadState=loaded
ActiveState=active
UnitFileState=enabled
FragmentPath=/etc/systemd/system/weekly.timer
Triggers=weekly.service

Id=logrotate.timer
LoadState=loaded
ActiveState=active
UnitFileState=enabled
Triggers=logrotate.service

Id=unattended-upgrades.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
Triggers=

Id=snapd.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
--
Id=php8.2-fpm.service
User=
ActiveState=active

Id=apt-daily.service
User=
ActiveState=inactive
ExecStart={ path=/usr/lib/apt/apt.systemd.daily ; argv[]=/usr/lib/apt/apt.systemd.daily update ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }

Id=nextcloudcron.service
User=www-data
ActiveState=inactive
ExecStart={ path=/usr/bin/php ; argv[]=/usr/bin/php -f /srv/nc1/html/cron.php ; ignore_errors=no ; start_time=[n/a] }

Id=weekly.service
User=
ActiveState=inactive
ExecStart={ path=/opt/weekly ; argv[]=/opt/weekly --now ; ignore_errors=no ; start_time=[n/a] }

Id=logrotate.service
ExecStart={ path=/usr/sbin/logrotate ; argv[]=/usr/sbin/logrotate /etc/logrotate.conf ; ignore_errors=no }
--
script	/opt/weekly
l	cd /srv/nc1/html && php occ app:update --all
`

func TestUnits(t *testing.T) {
	r := &reader{parts: map[string]output{"units": {out: []byte(unitsText)}}, web: web{units: map[string]bool{}}}
	r.facts.Systemd = true
	r.facts.Instances = []plan.InstanceFacts{{Name: "nc1", Path: "/srv/nc1/html"}, {Name: "nc2", Path: "/srv/nc1/html2"}}
	r.unitStates()
	r.updaters()
	want := []plan.Rival{
		{Kind: "service", Name: "unattended-upgrades.service", Active: true},
		{Kind: "timer", Name: "apt-daily.timer", Line: "/usr/lib/apt/apt.systemd.daily update", Active: true},
		{Kind: "timer", Name: "weekly.timer", Line: "/opt/weekly --now", Active: true, Instance: "nc1"},
	}
	if !reflect.DeepEqual(r.facts.Rivals, want) {
		t.Errorf("rivals %+v", r.facts.Rivals)
	}
	cron := r.facts.Instances[0].Crontab
	if len(cron) != 1 || cron[0].Name != "nextcloudcron.timer" || cron[0].Instance != "nc1" || len(r.facts.Instances[1].Crontab) != 0 {
		t.Errorf("crontab %+v", cron)
	}
	if got := r.fpmUnit("8.2.36"); got != "php8.2-fpm.service" {
		t.Errorf("unit of FPM %q", got)
	}
}

func TestReload(t *testing.T) {
	master := func(pid int, v string) fpmMaster { return fpmMaster{pid, v, "master of " + v} }
	byTitle := func(v string) []string {
		return []string{"sh", "-c", reloadByTitle, "reload-php-fpm", "master of " + v}
	}
	for name, c := range map[string]struct {
		web     web
		systemd bool
		want    [][]string
		version string
	}{
		"nothing": {},
		"own pool": {web: web{masters: []fpmMaster{master(1, "8.1"), master(2, "8.2")}, pools: map[int][]string{1: {"7"}, 2: {"33"}}},
			want: [][]string{byTitle("8.2")}, version: "8.2"},
		"pool on demand": {web: web{masters: []fpmMaster{master(1, "8.1"), master(2, "8.2")}, pools: map[int][]string{1: {"7"}}},
			want: [][]string{byTitle("8.2")}, version: "8.2"},
		"unit": {systemd: true, web: web{masters: []fpmMaster{master(1, "8.2.7")}, units: map[string]bool{"php8.2-fpm.service": true}},
			want: [][]string{{"systemctl", "reload", "php8.2-fpm.service"}}, version: "8.2.7"},
		"mod_php": {web: web{apache: "apache2", hasModule: true, module: "8.2"}, want: [][]string{{"apachectl", "graceful"}}, version: "8.2"},
		"mod_php under systemd": {systemd: true, web: web{apache: "httpd", hasModule: true, units: map[string]bool{"httpd.service": true}},
			want: [][]string{{"systemctl", "reload", "httpd.service"}}},
		"own web server": {web: web{builtin: map[string]bool{"33": true}, masters: []fpmMaster{master(1, "8.2")}, pools: map[int][]string{1: {"7"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &reader{web: c.web, facts: plan.Facts{Systemd: c.systemd}}
			got, version := r.reload("33", "")
			if !reflect.DeepEqual(got, c.want) || version != c.version {
				t.Errorf("got %q, %q", got, version)
			}
		})
	}
}

func TestCronCommand(t *testing.T) {
	system, user := cronFile{kind: "system", path: "/etc/cron.d/x"}, cronFile{kind: "user", path: "/var/spool/cron/crontabs/www"}
	for _, c := range []struct {
		f                   cronFile
		line, user, command string
		ok                  bool
	}{
		{system, "*/5 * * * *\troot  php -f x", "root", "php -f x", true},
		{system, "@daily root foo", "root", "foo", true},
		{user, "@reboot  foo bar", "www", "foo bar", true},
		{user, "0 1 * * * A=b foo", "www", "A=b foo", true},
		{user, "MAILTO = x@y", "", "", false},
		{system, "PATH=/bin", "", "", false},
		{cronFile{kind: "system", path: "/etc/anacrontab"}, "1 5 cron.daily run-parts x", "", "run-parts x", true},
		{user, "1 2", "www", "", false},
	} {
		u, command, ok := cronCommand(c.f, c.line)
		if ok != c.ok || command != c.command || ok && u != c.user {
			t.Errorf("%q: %q, %q, %v", c.line, u, command, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(recorded(f))
	f.Add([]byte("ncfleet-survey 1\n 0 host.out\n 0 total\n\n"))
	f.Add([]byte("ncfleet-survey 1\n9 df.out\n7 probe-0.out\n 3 units.out\n\ndf-k\na b\nprobe-0\n--"))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := Parse(recordedHost(), b)
		if err == nil && len(facts.Instances) != 3 {
			t.Errorf("%d instances", len(facts.Instances))
		}
	})
}

func BenchmarkParse(b *testing.B) {
	data := recorded(b)
	one := recordedHost()
	one.Instances = one.Instances[:1]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(one, data); err != nil {
			b.Fatal(err)
		}
	}
}
