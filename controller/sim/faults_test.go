package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/survey"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

func take(t *testing.T, h *inventory.Host, urls ...string) *plan.Facts {
	t.Helper()
	f := survey.Take(testContext(t), survey.Request{Host: *h, Remote: connect(t, h), Downloads: urls, Now: time.Now})
	return &f
}

// TestFaultsInTheSurvey looks at what each fault shows before anything is done.
func TestFaultsInTheSurvey(t *testing.T) {
	faults := map[string][]Fault{}
	for i, f := range []Fault{DirNotWritable, DiskFull, MirrorAway, PHPTooOld, AppIncompatible, HostGone} {
		faults[HostName(i+1)] = []Fault{f}
	}
	f, inv := start(t, Options{Hosts: 7, Faults: faults})
	facts := map[Fault]*plan.Facts{}
	for i := range inv.Hosts {
		h := &inv.Hosts[i]
		got := take(t, h, f.Mirror+"/nextcloud-29.0.1.zip", f.Mirror)
		if len(faults[h.Name]) == 1 {
			facts[faults[h.Name][0]] = got
		} else {
			facts[""] = got
		}
	}
	healthy := facts[""]
	for _, d := range healthy.Instance("main").Dirs {
		if !d.Writable {
			t.Errorf("a host without faults: %s cannot be written", d.Path)
		}
	}
	if len(healthy.Downloads) != 2 || !healthy.Downloads[0].OK || !healthy.Downloads[1].OK {
		t.Errorf("a host without faults: %+v", healthy.Downloads)
	}
	found := false
	for _, d := range facts[DirNotWritable].Instance("main").Dirs {
		found = found || strings.HasSuffix(d.Path, "/apps") && !d.Writable && d.Mode == "0555"
	}
	if !found {
		t.Errorf("%s: %+v", DirNotWritable, facts[DirNotWritable].Instance("main").Dirs)
	}
	if m := facts[DiskFull].Mount("/srv"); m == nil || m.BytesFree > 128<<20 {
		t.Errorf("%s: %+v", DiskFull, m)
	}
	if d := facts[MirrorAway].Downloads; len(d) != 2 || d[0].OK || d[1].OK || !strings.Contains(d[0].Detail, "refused") {
		t.Errorf("%s: %+v", MirrorAway, d)
	}
	if v := facts[PHPTooOld].Instance("main").PHP.Version; v != "8.0.30" {
		t.Errorf("%s: PHP %s", PHPTooOld, v)
	}
	found = false
	for _, a := range facts[AppIncompatible].Instance("main").Apps {
		found = found || a.ID == "drawio" && a.Enabled && a.MaxNextcloud == "28"
	}
	if !found {
		t.Errorf("%s: no such app", AppIncompatible)
	}
	if why := facts[HostGone].Unreachable; !strings.Contains(why, "refused") {
		t.Errorf("%s: %q", HostGone, why)
	}
}

func TestGateFailsOnlyAfterTheUpgrade(t *testing.T) {
	w := newWay(t, GateFails)
	w.see("/index.php/login", 200, "body-login")
	w.stage()
	w.must(w.site.Close(0))
	w.snapshot()
	w.must(w.site.Hop(w.to, w.site.Kept(w.from)))
	w.must(w.site.Open())
	w.see("/index.php/login", 500, "Internal Server Error")
	w.must(w.site.Close(0))
	w.restore()
	w.must(w.site.Open())
	w.see("/index.php/login", 200, "body-login")
}

func TestServeUsesTheSamePorts(t *testing.T) {
	f, inv := start(t, Options{Hosts: 2})
	urls := []string{f.Hosts[0].URL, f.Hosts[1].URL}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := take(t, &inv.Hosts[0]); got.Unreachable == "" {
		t.Error("a closed fleet answers")
	}
	again, err := Serve(testContext(t), f.Dir, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	for i := range again.Hosts {
		if again.Hosts[i].URL != urls[i] {
			t.Errorf("%s moved to %s", urls[i], again.Hosts[i].URL)
		}
	}
	if got := take(t, &inv.Hosts[1]); got.Unreachable != "" || got.Instance("main").Code.String() != "28.0.2" {
		t.Errorf("%q", got.Unreachable)
	}
	if _, err := Start(testContext(t), Options{Dir: f.Dir, Hosts: 1}); err == nil {
		t.Error("a folder with a fleet was taken for another one")
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	for _, o := range []Options{
		{Hosts: -1}, {Hosts: MaxHosts + 1},
		{Hosts: 2, Faults: map[string][]Fault{"cloud-03": {Slow}}},
		{Hosts: 2, Faults: map[string][]Fault{"cloud-01": {"earthquake"}}},
	} {
		o.Dir = t.TempDir()
		if f, err := Start(testContext(t), o); err == nil {
			f.Close()
			t.Errorf("%+v was accepted", o)
		}
	}
}

// TestNothingReachesTheMachine runs what would hurt, were it not a stand-in.
func TestNothingReachesTheMachine(t *testing.T) {
	f, inv := start(t, Options{Hosts: 1})
	r := connect(t, &inv.Hosts[0])
	boot := filepath.Join(f.Hosts[0].Dir, "root/proc/sys/kernel/random/boot_id")
	before, err := os.ReadFile(boot)
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(f.Hosts[0].Dir, "bin") + "/"
	for _, tool := range strings.Fields("sudo runuser setpriv systemctl systemd-run reboot shutdown poweroff halt apt-get apt-mark dpkg dpkg-query crontab php sync df") {
		res, err := r.Run(testContext(t), driver.Command{Argv: []string{"sh", "-c", "command -v " + tool}})
		if err != nil || strings.TrimSpace(string(res.Stdout)) != bin+tool {
			t.Errorf("%s is %q (%v)", tool, res.Stdout, err)
		}
	}
	if res, err := r.Run(testContext(t), driver.Command{Argv: []string{"systemctl", "reboot"}}); err != nil || res.Exit != 0 {
		t.Errorf("%+v %v", res, err)
	}
	if after, err := os.ReadFile(boot); err != nil || string(after) == string(before) {
		t.Errorf("a reboot left the boot id as it was: %s (%v)", after, err)
	}
	res, err := r.Run(testContext(t), driver.Command{Argv: []string{"sh", "-c", "crontab -l; echo '1 * * * * true' | crontab - && crontab -l"}})
	if err != nil || !strings.Contains(string(res.Stdout), "1 * * * * true") || !strings.Contains(string(res.Stderr), "no crontab") {
		t.Errorf("%s %s %v", res.Stdout, res.Stderr, err)
	}
}
