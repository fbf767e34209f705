package main

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"
)

// versions is what an upgrade makes of the database: its schema, the versions
// of the apps and the migrations that ran.
const versions = `mariadb-dump --no-data --skip-comments --skip-dump-date nextcloud | sed 's/ AUTO_INCREMENT=[0-9]*//'
mariadb -N nextcloud -e "SELECT appid, configvalue FROM oc_appconfig WHERE configkey = 'installed_version' ORDER BY appid"
mariadb -N nextcloud -e "SELECT app, version FROM oc_migrations ORDER BY app, version"`

// TestOfficialUpgradeKilled: an official upgrade on MariaDB whose occ upgrade is
// killed at random moments ends, by running again or by going back as the policy
// says, with the database of an undisturbed run.
func TestOfficialUpgradeKilled(t *testing.T) {
	if official.releases == "" {
		t.Skip("needs official releases of two majors: set NCFLEET_LAB_RELEASES to their folder (nextcloud-28.….tar.bz2 with .sha512, and of 29)")
	}
	const kills = 10
	seed := time.Now().UnixNano()
	fmt.Printf("lab: moments from seed %d\n", seed)
	rnd := rand.New(rand.NewSource(seed))
	var undisturbed officialResult
	if !t.Run("undisturbed", func(t *testing.T) { undisturbed = officialRun(t, "rerun", -1, "", "") }) {
		return // nothing to compare with
	}
	for i := range kills {
		policy := []string{"rerun", "rollback"}[i%2]
		moment := time.Duration(rnd.Float64() * float64(undisturbed.upgrade))
		t.Run(fmt.Sprintf("%02d %s at %.1f s", i+1, policy, moment.Seconds()), func(t *testing.T) {
			t.Parallel()
			officialRun(t, policy, moment, undisturbed.before, undisturbed.after)
		})
	}
}

// officialResult is what a run found: the database before and after, and how
// long occ upgrade took.
type officialResult struct {
	before, after string
	upgrade       time.Duration
}

// officialRun upgrades one host; occ upgrade is killed at a moment, unless that
// is below 0. before and after are what the database must be, "" when unknown.
func officialRun(t *testing.T, policy string, moment time.Duration, before, after string) officialResult {
	s := (&scene{fleet: official.bring(t), dir: t.TempDir()}).open(play{
		core: "    interrupted = \"" + policy + "\"",
		more: "  failures { budget = 1 }\n  gate { ignore_checks = [\"CodeIntegrity\"] }"})
	r := officialResult{before: s.host.exec("sh", "-c", versions)}
	if before != "" && r.before != before {
		t.Errorf("it begins with another database: %s", differs(before, r.before))
	}
	a := s.apply()
	s.reachWithin(20*time.Minute, "hop")
	killed := false
	if moment >= 0 {
		s.wait(10*time.Minute, "occ upgrade", func() bool {
			_, err := s.host.Output(t.Context(), "pgrep", "-f", "[o]cc upgrade --no-interaction")
			return err == nil
		})
		time.Sleep(moment)
		_, err := s.host.Output(t.Context(), "pkill", "-9", "-f", "php.* occ upgrade --no-interaction")
		killed = err == nil
	}
	_, out := a.ends(30*time.Minute, 0)
	for _, e := range s.events() {
		if kindOf(e.Step) == "hop" && e.Evidence["upgrade_seconds"] != "" {
			seconds := 0.0
			if _, err := fmt.Sscan(e.Evidence["upgrade_seconds"], &seconds); err == nil {
				r.upgrade = time.Duration(seconds * float64(time.Second))
			}
		}
	}
	r.after = s.host.exec("sh", "-c", versions)
	want, version := after, "29.0.1"
	if killed && policy == "rollback" {
		want, version = r.before, "28.0.2"
	}
	s.is(version)
	if want != "" && r.after != want {
		t.Errorf("the database differs: %s", differs(want, r.after))
	}
	s.tell("killed %v at %.1f s, policy %s: %s, database as wanted: %v; %s", killed, moment.Seconds(), policy, version, want == "" || r.after == want,
		said(out, "safe to run", "database old", "was killed", "upgraded,", "rolled back,"))
	s.checkLedger()
	return r
}

// differs shows the first line in which two texts differ.
func differs(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d: want %q, got %q", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(b), len(a))
}
