package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// TestPinnedByTheCanary: a first wave that passed writes fleet.lock; the next
// plan is bound by it although newer versions can be had, until new pins are
// asked for.
func TestPinnedByTheCanary(t *testing.T) {
	f := newFleet(t, 2)
	f.edit(f.file, `rollout "monthly" {`, "rollout \"monthly\" {\n  pin = \"canary\"")
	f.want(2, []string{"plan", "monthly"}, "pins new: later waves get what wave canary gets; once that has passed it is written to fleet.lock")
	f.want(0, []string{"pin", "list"}, "nothing is pinned")
	f.want(0, []string{"apply", "--rollout", "monthly", "--yes"}, "pinned: what wave canary ran is in "+filepath.Join(f.Dir, "fleet.lock"))

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

	// The index of the second host moves on.
	packages := filepath.Join(f.Dir, "hosts", f.Hosts[1].Name, "packages.json")
	f.edit(packages, `"Version": "3.0.13-1~deb12u1"`, `"Version": "3.0.11-1~deb12u2", "Candidate": "3.0.15-1~deb12u1", "Origin": "Debian-Security:12/stable-security"`)
	f.want(1, []string{"plan", "monthly"}, "pinned package versions cannot be had on this host",
		"fleet.lock has 3.0.13-1~deb12u1, installed is 3.0.11-1~deb12u2, offered 3.0.15-1~deb12u1", "ncfleet plan monthly --new-pins")
	f.want(1, []string{"plan", "monthly", "--new-pins"}, "wave canary has 3.0.13-1~deb12u1")
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
}
