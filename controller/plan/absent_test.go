package plan

import (
	"slices"
	"strings"
	"testing"
)

// TestAbsent: where rival updaters are to be absent the plan says what goes for
// good, and a step of its own does it before the release; nowhere else.
func TestAbsent(t *testing.T) {
	in := fixture(2)
	in.Fleet.Host("cloud-02").AutoUpdate = "absent"
	p, _ := Compute(in)
	for name, absent := range map[string]bool{"cloud-01": false, "cloud-02": true} {
		tg := targetOf(t, p, name)
		kinds := ""
		for _, s := range tg.Steps {
			kinds += string(s.Kind) + " "
		}
		if got := strings.Contains(kinds, "tidy absent release "); got != absent || strings.Contains(kinds, "absent") != absent {
			t.Errorf("%s: %s", name, kinds)
		}
		removed, held := 0, 0
		for _, w := range tg.Warnings {
			switch w.Code {
			case "rival_removed":
				removed++
			case "rival_held":
				held++
			}
		}
		if absent && (removed != 2 || held != 0) || !absent && (removed != 0 || held != 2) {
			t.Errorf("%s: %+v", name, tg.Warnings)
		}
		if slices.ContainsFunc(tg.Undo, func(s Step) bool { return s.Kind == KindAbsent }) {
			t.Errorf("%s: a rollback removes something for good", name)
		}
	}
	tg := targetOf(t, p, "cloud-02")
	i := slices.IndexFunc(tg.Steps, func(s Step) bool { return s.Kind == KindAbsent })
	args := strings.Join(tg.Steps[i].Args, " ")
	if tg.Steps[i].Script != "hold.sh" || args != "--name @absent --state /var/lib/ncfleet --unit apt-daily-upgrade.timer --cron /etc/cron.d/nextcloud-update" {
		t.Errorf("%s %s", tg.Steps[i].Script, args)
	}
}
