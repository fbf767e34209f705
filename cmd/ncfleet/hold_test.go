package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/sim"
)

// TestHoldAndRelease: an operator's hold stays over a rollout and ends with
// release alone; a rollout's lease keeps others from holding meanwhile; what is
// to be absent is gone after the rollout and can be put back.
func TestHoldAndRelease(t *testing.T) {
	f := newFleet(t, 1)
	name := f.Hosts[0].Name
	cron := filepath.Join(f.Hosts[0].Dir, "root/etc/cron.d/update-nextcloud")
	held := func() bool { _, err := os.Stat(cron); return err != nil }
	f.want(0, []string{"hold", "--list"}, name+" nothing is held")
	f.want(3, []string{"hold", "nobody"}, `no host "nobody"`)
	f.want(3, []string{"hold", "--reason", "two\nlines"}, "one line")

	f.want(0, []string{"hold", "--reason", "moving house"}, "held by "+who()+" since", ": moving house", "apt-daily", "update-nextcloud")
	if !held() {
		t.Fatal("the cron file is not held")
	}
	f.want(0, []string{"apply", "--rollout", sim.RolloutMonthly, "--yes"}, "rollout succeeded")
	if !held() {
		t.Error("the rollout released what the operator holds")
	}
	var doc struct {
		FormatVersion int `json:"format_version"`
		Hosts         []struct {
			Host string
			Held []struct {
				By, Who, Reason, Since string
				What                   []string
			}
		}
	}
	_, out, _ := ncfleet(t, "-i", f.file, "hold", "--list", "--output", "json")
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.FormatVersion != 1 || len(doc.Hosts) != 1 || doc.Hosts[0].Host != name || len(doc.Hosts[0].Held) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	if h := doc.Hosts[0].Held[0]; h.By != "operator" || h.Reason != "moving house" || h.Since == "" || len(h.What) < 2 {
		t.Errorf("held: %+v", h)
	}
	f.want(0, []string{"hold"}) // once more changes nothing
	f.want(0, []string{"release"}, name+" nothing is held")
	if held() {
		t.Error("it is not put back")
	}
	f.want(0, []string{"lease"}, name+" free")

	if os.Getenv("NCFLEET_TEST_ALL") == "" {
		t.Log("without a rollout that removes updaters for good; NCFLEET_TEST_ALL=1 plays it")
		return
	}
	f.edit(f.file, `state_dir = `, "auto_update = \"absent\"\n  state_dir = ")
	f.edit(f.file, `to        = "29"`, `to        = "30"`)
	f.want(2, []string{"plan", sim.RolloutMonthly}, `removed for good, as auto_update = "absent" says: /etc/cron.d/update-nextcloud`)
	f.want(0, []string{"apply", "--rollout", sim.RolloutMonthly, "--yes"}, "absent ok", "rollout succeeded")
	if !held() {
		t.Error("it is still there")
	}
	if kept, _ := filepath.Glob(filepath.Join(f.Hosts[0].Dir, "state/aside/absent+*update-nextcloud")); len(kept) != 1 {
		t.Errorf("kept aside: %q", kept)
	}
	f.want(0, []string{"hold", "--list"}, "removed for good", "update-nextcloud")
	f.want(0, []string{"release", "--absent"}, name+" nothing is held")
	if text, err := os.ReadFile(cron); err != nil || !strings.Contains(string(text), "update") {
		t.Errorf("not put back: %q, %v", text, err)
	}
}
