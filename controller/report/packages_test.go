package report

import (
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// TestPackagesOfIdleTargets: what is held is shown with its reason, also where
// nothing is done; stale services stand beside the packages.
func TestPackagesOfIdleTargets(t *testing.T) {
	p := real(t)
	waiting := []driver.PackageChange{{Name: "mariadb-server", From: "10.11.6", To: "11.4.2", Change: driver.ChangeUpgrade, Held: true, Reason: "mariadb moves from 10.11 to 11.4"}}
	p.Idle = []string{"idle-1", "idle-2"}
	p.HeldBack = []plan.HeldBack{{Target: "idle-1", Packages: waiting}, {Target: "idle-2", Packages: waiting}}
	p.Waves[0].Targets[0].Stale = []string{"nginx.service", "php8.2-fpm.service"}
	got := string(text(t, p, Options{Width: 200}))
	for _, want := range []string{"old code", "still run by nginx.service, php8.2-fpm.service", "idle-1, idle-2 (2 targets), with only held changes pending",
		"mariadb moves from 10.11 to 11.4: mariadb-server 10.11.6 → 11.4.2"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if got := string(text(t, p, Options{Width: 200, Target: "idle-2"})); !strings.Contains(got, "mariadb moves from 10.11 to 11.4") {
		t.Errorf("the one target:\n%s", got)
	}
	var b strings.Builder
	if err := Encode(&b, PlanJSON(p, nil), " "); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"stale_services": [`, `"held_back": [`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in the JSON form", want)
		}
	}
}
