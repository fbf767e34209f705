package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestSnapshotsAreListedAndDeleted looks at the snapshots of a rollout that
// stands still, which needs them, and again after its end.
func TestSnapshotsAreListedAndDeleted(t *testing.T) {
	if raceDetector {
		t.Skip("a rollout with nothing concurrent of its own; other tests are enough under the race detector")
	}
	f := newFleet(t, 1)
	f.want(exitOK, []string{"snapshot", "list"}, "no snapshots")
	p := f.start("apply", "--rollout", "monthly", "--yes")
	p.sees("cloud-01  snapshot      ok")
	p.stop()
	id, _ := f.newest(f.file[:strings.LastIndex(f.file, "/")] + "/.ncfleet")
	key := id + "/cloud-01"
	f.want(exitOK, []string{"snapshot", "list", "cloud-01"}, "cloud-01 archive "+key, "needed: rollout "+id+" has not ended")
	f.want(exitError, []string{"snapshot", "delete", "cloud-01", key}, "is not deleted: rollout "+id+" has not ended, and it may be its only way back")
	f.want(exitError, []string{"snapshot", "delete", "cloud-01", key, "--state", f.Dir + "/elsewhere"}, "is not deleted: rollout "+id+" holds the host's lease")
	p.cmd.Process.Kill()
	p.cmd.Wait() // killed
	f.want(exitOK, []string{"resume"}, "1 upgraded")

	out := f.want(exitOK, []string{"snapshot", "list", "--output", "ndjson"})
	var v snapshotDocument
	if err := json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &v); err != nil || v.Host != "cloud-01" || v.Key != key || v.Driver != "archive" || v.Bytes == 0 || v.Needed != "" {
		t.Errorf("%+v, %v", v, err)
	}
	f.want(exitOK, []string{"snapshot", "verify", "cloud-01", key}, key+": verified")
	f.want(exitError, []string{"snapshot", "verify", "cloud-01", "nope"}, `host cloud-01 has no snapshot "nope"; see which there are: ncfleet snapshot list cloud-01`)
	f.want(exitOK, []string{"snapshot", "delete", "cloud-01", key}, key+": deleted")
	f.want(exitOK, []string{"snapshot", "list"}, "no snapshots")
	f.want(exitUsage, []string{"snapshot", "list", "cloud-09"}, `the inventory has no host "cloud-09"`)
	f.Close()
	f.want(exitError, []string{"snapshot", "list"}, "cloud-01 archive UNKNOWN: ")
}
