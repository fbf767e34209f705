package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// TestPinnedByTheCanary: a first wave that passed writes fleet.lock; the next
// plan is bound by it although newer versions can be had, until new pins are
// asked for.
func TestPinnedByTheCanary(t *testing.T) {
	f := newFleet(t, 1)
	f.edit(f.file, `rollout "monthly" {`, "rollout \"monthly\" {\n  pin = \"canary\"")
	f.want(0, []string{"pin", "list"}, "nothing is pinned")
	f.want(0, []string{"apply", "--rollout", "monthly", "--yes"}, "pins new: later waves get what wave canary gets; once that has passed it is written to fleet.lock",
		"pinned: what wave canary ran is in "+filepath.Join(f.Dir, "fleet.lock"))

	path := filepath.Join(f.Dir, "fleet.lock")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := plan.DecodeLock(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	got := lock.Rollouts["monthly"]
	platform := ""
	for platform = range got.Packages {
	}
	if r := got.Releases["29.0.1"]; !strings.HasPrefix(r.Build, "29.0.1.") || len(r.SHA512) != 128 || r.Archive == "" {
		t.Errorf("releases: %+v", got.Releases)
	}
	if got.Apps["calendar"] == "" || got.Packages[platform]["openssl"] != "3.0.13-1~deb12u1" || got.Packages[platform]["bash"] != "5.2.15-2+b2" || len(got.Packages) != 1 {
		t.Errorf("pins: %+v", got.Pins)
	}

	// The index of the host moves on; the lock binds the first wave as well.
	packages := filepath.Join(f.Dir, "hosts", f.Hosts[0].Name, "packages.json")
	f.edit(packages, `"Version": "3.0.13-1~deb12u1"`, `"Version": "3.0.11-1~deb12u2", "Candidate": "3.0.15-1~deb12u1", "Origin": "Debian-Security:12/stable-security"`)
	bound := filepath.Join(f.Dir, "bound.plan")
	f.want(1, []string{"plan", "monthly", "-o", bound}, "pinned package versions cannot be had on this host",
		"fleet.lock has 3.0.13-1~deb12u1, installed is 3.0.11-1~deb12u2, offered 3.0.15-1~deb12u1", "ncfleet plan monthly --new-pins")
	if os.Getenv("NCFLEET_TEST_ALL") == "" {
		t.Log("without a plan for new pins; NCFLEET_TEST_ALL=1 makes one")
	} else {
		f.want(2, []string{"plan", "monthly", "--new-pins"}, "3.0.15-1~deb12u1")
	}
	f.want(0, []string{"pin", "list", "monthly"}, "release 29.0.1", "openssl 3.0.13-1~deb12u1")
	f.want(3, []string{"plan", "far", "--new-pins"}, "rollout far is not pinned")

	// What the lock was is a command away, and a damaged one is told by its line.
	f.edit(path, `"wave": "canary"`, `"wave" "canary"`)
	f.want(1, []string{"plan", "monthly"}, path+":7: invalid character '\"' after object key")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f.want(0, []string{"pin", "update"}, "pinned: what wave canary ran")
	again, err := os.ReadFile(path)
	if err != nil || len(again) != len(text) {
		t.Errorf("written again (%v):\n%s\nbefore:\n%s", err, again, text)
	}
	f.want(0, []string{"pin", "clear", "monthly"}, "the pins of monthly are gone")
	f.want(1, []string{"pin", "clear", "monthly"}, "has no pins of rollout")
	f.want(1, []string{"apply", bound}, "the pins in "+path+" changed since it was made")
}

// TestPlanOfOtherPinsIsRefused: apply has no choices left, so a plan that was
// bound by pins is applied only while fleet.lock still has them.
func TestPlanOfOtherPinsIsRefused(t *testing.T) {
	dir := t.TempDir()
	a := &app{inventory: []string{filepath.Join(dir, "fleet.hcl")}}
	pins := plan.Pinned{RolloutID: "1", Wave: "canary", At: time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC), Pins: plan.Pins{Apps: map[string]string{"calendar": "4.7.1"}}}
	newer := pins
	newer.RolloutID = "2"
	bound := &plan.Plan{Rollout: "monthly", Pin: &plan.Pinning{LockDigest: pins.Digest()}}
	for name, c := range map[string]struct {
		lock map[string]plan.Pinned
		plan *plan.Plan
		fits bool
	}{
		"the same pins":    {map[string]plan.Pinned{"monthly": pins}, bound, true},
		"newer pins":       {map[string]plan.Pinned{"monthly": newer}, bound, false},
		"no pins any more": {map[string]plan.Pinned{"other": pins}, bound, false},
		"it makes pins":    {map[string]plan.Pinned{"monthly": pins}, &plan.Plan{Rollout: "monthly", Pin: &plan.Pinning{Wave: "canary"}}, true},
		"it has none":      {nil, &plan.Plan{Rollout: "monthly"}, true},
	} {
		if err := writePins(filepath.Join(dir, plan.LockName), plan.Lock{Rollouts: c.lock}); err != nil {
			t.Fatal(err)
		}
		err := a.pinsFit(c.plan)
		if (err == nil) != c.fits || err != nil && !strings.Contains(err.Error(), "changed since it was made; plan again with: ncfleet") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
