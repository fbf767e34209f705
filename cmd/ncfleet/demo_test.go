package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/sim"
)

// ncfleet runs one command line in this process.
func ncfleet(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	var out, errs bytes.Buffer
	code = run(ctx, args, &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs})
	keepsContract(t, args, code, out.String(), errs.String())
	return code, out.String(), errs.String()
}

// demoOutcome is the part of the outcome's JSON that counts here.
type demoOutcome struct {
	FormatVersion int `json:"format_version"`
	Verdict       string
	Targets       struct {
		Upgraded   int
		RolledBack int `json:"rolled_back"`
		Failed     int
		Untouched  int
	}
	Waves []struct {
		Targets []struct{ Name, Outcome, Reason string }
	}
}

func outcomeOf(t *testing.T, out string) demoOutcome {
	t.Helper()
	var o demoOutcome
	if err := json.Unmarshal([]byte(out), &o); err != nil {
		t.Fatalf("no one object: %v\n%s", err, out)
	}
	return o
}

func TestDemoTakesTheBrokenHostBack(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "fleet")
	code, out, errs := ncfleet(t, "demo", "--hosts", "4", "--dir", dir, "--output", "json")
	o := outcomeOf(t, out)
	if code != exitOK || o.FormatVersion != 1 || o.Verdict != "succeeded" || o.Targets.Upgraded != 3 || o.Targets.RolledBack != 1 ||
		o.Targets.Failed+o.Targets.Untouched != 0 {
		t.Fatalf("exit %d, %+v\n%s", code, o, errs)
	}
	for _, w := range o.Waves {
		for _, target := range w.Targets {
			if target.Outcome == "rolled_back" && (target.Name != "cloud-04" || !strings.Contains(target.Reason, "for app calendar")) {
				t.Errorf("%+v", target)
			}
		}
	}
	for _, name := range []string{"fleet.hcl", "plan.json", ".ncfleet"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
		if !strings.Contains(errs, filepath.Join(dir, name)) {
			t.Errorf("the end does not name %s", name)
		}
	}
	if code, out, errs = ncfleet(t, "status", "-i", filepath.Join(dir, "fleet.hcl")); code != exitOK || !strings.Contains(out, "3 upgraded, 1 rolled back") {
		t.Errorf("status: exit %d\n%s%s", code, out, errs)
	}
}

// planOf plans a rollout and returns the problems by target.
func planOf(t *testing.T, inventory, rollout string) map[string][]plan.Problem {
	t.Helper()
	_, out, errs := ncfleet(t, "plan", rollout, "-i", inventory, "--output", "json")
	var p struct {
		Blocked []struct {
			Target   string
			Problems []struct{ Code, Summary, Detail, Remedy string }
		}
	}
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	all := map[string][]plan.Problem{}
	for _, b := range p.Blocked {
		for _, pr := range b.Problems {
			all[b.Target] = append(all[b.Target], plan.Problem(pr))
		}
	}
	return all
}

// TestPlanTellsEveryFault plans three rollouts over hosts that are not in order.
func TestPlanTellsEveryFault(t *testing.T) {
	t.Parallel()
	o := sim.Options{Dir: t.TempDir(), Hosts: 7, Faults: map[string][]sim.Fault{
		"cloud-02": {sim.DirNotWritable}, "cloud-03": {sim.DiskFull}, "cloud-04": {sim.MirrorAway},
		"cloud-05": {sim.PHPTooOld}, "cloud-06": {sim.AppIncompatible}, "cloud-07": {sim.HostGone},
	}}
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	fleet, err := sim.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fleet.Close() })
	file := filepath.Join(fleet.Dir, "fleet.hcl")
	if err := fleet.WriteInventory(file); err != nil {
		t.Fatal(err)
	}
	seen := map[string]map[string][]plan.Problem{}
	for _, r := range []string{sim.RolloutMonthly, sim.RolloutFar, sim.RolloutFetch} {
		seen[r] = planOf(t, file, r)
		if p := seen[r]["cloud-01"]; len(p) > 0 {
			t.Errorf("%s blocks the host without faults: %+v", r, p)
		}
	}
	for _, c := range []struct{ rollout, host, code, says string }{
		{sim.RolloutMonthly, "cloud-02", "dir_not_writable", "hosts/cloud-02/srv/nextcloud/apps belongs to"},
		{sim.RolloutMonthly, "cloud-03", "disk_full", "90.0 MiB of 40.0 GiB free"},
		{sim.RolloutFetch, "cloud-04", "mirror_unreachable", "refused"},
		{sim.RolloutFar, "cloud-05", "php_too_old", "8.0.30"},
		{sim.RolloutMonthly, "cloud-06", "app_incompatible", "drawio"},
		{sim.RolloutMonthly, "cloud-07", "unreachable", "refused"},
	} {
		i := slices.IndexFunc(seen[c.rollout][c.host], func(p plan.Problem) bool { return p.Code == c.code })
		if i < 0 {
			t.Errorf("%s, %s: no %s among %+v", c.rollout, c.host, c.code, seen[c.rollout][c.host])
			continue
		}
		if p := seen[c.rollout][c.host][i]; !strings.Contains(p.Summary+" "+p.Detail, c.says) || p.Remedy == "" {
			t.Errorf("%s, %s: %+v", c.rollout, c.host, p)
		}
	}
}
