package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

var t0 = time.Date(2026, 3, 2, 22, 0, 0, 123456789, time.UTC)

func testPlan() plan.Plan {
	return plan.Plan{FormatVersion: plan.FormatVersion, Rollout: "spring", Made: t0, Policy: plan.Policy{MaxUnavailable: 1, OnHold: "wait"},
		Waves: []plan.Wave{{Name: "canary", Targets: []plan.Target{{Name: "cloud-01", Host: "cloud-01",
			Steps: []plan.Step{{ID: "canary/cloud-01/recheck", Kind: plan.KindRecheck, Phase: plan.PhaseBefore}}}}}}}
}

// created is a new journal with the rollout "r".
func created(t *testing.T) (*Journal, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	j, err := OpenToWrite(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	if _, err := j.Create("r", t0, testPlan()); err != nil {
		t.Fatal(err)
	}
	return j, dir
}

func appendN(t *testing.T, j *Journal, n int) {
	t.Helper()
	for i := range n {
		e := rollout.Event{At: t0.Add(time.Duration(i) * time.Second), Kind: rollout.EventStepBegun, Step: fmt.Sprintf("canary/cloud-%05d/close", i)}
		if _, err := j.Append("r", e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEventsComeBackAsTheyWere(t *testing.T) {
	j, dir := created(t)
	zone := time.FixedZone("CEST", 2*60*60)
	events := []rollout.Event{
		{At: time.Now().In(zone), Kind: rollout.EventStarted, Who: "anna@control", Digest: "ab"},
		{At: t0.In(zone), Kind: rollout.EventStepDone, Step: "canary/cloud-01/snapshot", Seconds: 12.75,
			Handle:   &driver.Handle{Driver: "archive", Version: 2, Key: "r/cloud-01", Data: []byte{0, 1, 255, '"'}},
			Evidence: map[string]string{"digest": "sha256:…", "checks": "a\nb\x00c <&>"}},
		{At: t0, Kind: rollout.EventStepFail, Step: "canary/cloud-01/hop", Target: "t", Wave: "w", Detail: "größer ≥ 3 \"quoted\"\n'x'"},
	}
	var stored []rollout.Event
	for i, e := range events {
		e.Seq = int64(i + 1)
		if i == 2 {
			e.Seq = 0 // the journal gives it
		}
		s, err := j.Append("r", e)
		if err != nil {
			t.Fatal(err)
		}
		if s.Seq != int64(i+1) || !s.At.Equal(e.At) || s.At.Location() != time.UTC {
			t.Errorf("stored as %d at %v, was %v", s.Seq, s.At, e.At)
		}
		stored = append(stored, s)
	}
	r, err := Open(dir) // a reader beside the writer
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for name, from := range map[string]*Journal{"writer": j, "reader": r} {
		got, err := from.Events("r", 0)
		if err != nil || !reflect.DeepEqual(got, stored) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", name, err, got, stored)
		}
		for after := int64(1); after <= 4; after++ {
			got, err := from.Events("r", after)
			if err != nil || len(got) != max(0, int(3-after)) {
				t.Errorf("%s: %d events after %d, %v", name, len(got), after, err)
			}
		}
	}
	if got, err := j.Events("nobody", 0); err != nil || len(got) != 0 {
		t.Errorf("events of an unknown rollout: %v %v", got, err)
	}
}

func TestSeqGapsAreRefused(t *testing.T) {
	j, _ := created(t)
	appendN(t, j, 2)
	for _, seq := range []int64{1, 2, 4, -1} {
		if _, err := j.Append("r", rollout.Event{Seq: seq, At: t0, Kind: rollout.EventPaused}); err == nil || !strings.Contains(err.Error(), "the journal's last is 2") {
			t.Errorf("seq %d: %v", seq, err)
		}
	}
	if _, err := j.Append("nobody", rollout.Event{At: t0, Kind: rollout.EventPaused}); err == nil {
		t.Error("an event of a rollout that does not exist was taken")
	}
	if got, err := j.Events("r", 0); err != nil || len(got) != 2 {
		t.Errorf("%d events, %v", len(got), err)
	}
}

func TestEventsAreNeverChanged(t *testing.T) {
	j, _ := created(t)
	appendN(t, j, 2)
	for _, q := range []string{"UPDATE events SET kind = 'x'", "DELETE FROM events", "DELETE FROM events WHERE seq = 2", "DELETE FROM rollouts"} {
		if _, err := j.db.Exec(q); err == nil {
			t.Errorf("%s was done", q)
		}
	}
	if got, err := j.Events("r", 0); err != nil || len(got) != 2 {
		t.Errorf("%d events, %v", len(got), err)
	}
}

// TestChangedBytesAreNoticed goes behind the triggers.
func TestChangedBytesAreNoticed(t *testing.T) {
	spoils := map[string]string{
		"changed": "UPDATE events SET event = replace(event, 'cloud-00001', 'cloud-00007') WHERE seq = 2",
		"removed": "DELETE FROM events WHERE seq = 2",
		"swapped": "UPDATE events SET seq = CASE seq WHEN 2 THEN -3 ELSE -2 END WHERE seq IN (2, 3); UPDATE events SET seq = -seq WHERE seq < 0",
	}
	for name, q := range spoils {
		j, _ := created(t)
		appendN(t, j, 4)
		if _, err := j.db.Exec("DROP TRIGGER events_keep; DROP TRIGGER events_remain; " + q); err != nil {
			t.Fatal(err)
		}
		if got, err := j.Events("r", 0); err == nil || !strings.Contains(err.Error(), "it is damaged") {
			t.Errorf("%s: %d events, %v", name, len(got), err)
		}
	}
}

func TestPlanIsCheckedAgainstItsDigest(t *testing.T) {
	j, _ := created(t)
	p, err := j.Plan("r")
	if err != nil || !reflect.DeepEqual(p, testPlan()) {
		t.Fatalf("%v\ngot  %+v\nwant %+v", err, p, testPlan())
	}
	list, err := j.List()
	if err != nil || len(list) != 1 || list[0].Digest != plan.Digest(testPlan()) || list[0].Name != "spring" || !list[0].Created.Equal(t0.Truncate(time.Millisecond)) {
		t.Errorf("list %+v, %v", list, err)
	}
	other := testPlan()
	other.Policy.MaxUnavailable = 9
	if _, err := j.Create("other", t0.Add(time.Second), other); err != nil {
		t.Fatal(err)
	}
	if _, err := j.db.Exec("UPDATE rollouts SET plan = (SELECT plan FROM rollouts WHERE id = 'other') WHERE id = 'r'"); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Plan("r"); err == nil || !strings.Contains(err.Error(), "its digest is "+plan.Digest(other)) {
		t.Errorf("a plan under another's digest: %v", err)
	}
	if _, err := j.Plan("nobody"); err == nil {
		t.Error("a plan of nobody")
	}
	if _, err := j.Create("r", t0, testPlan()); err == nil {
		t.Error("a rollout was created twice")
	}
	if list, _ := j.List(); len(list) != 2 || list[0].ID != "other" {
		t.Errorf("newest first: %+v", list)
	}
}

func TestRequests(t *testing.T) {
	j, dir := created(t)
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Append("r", rollout.Event{At: t0, Kind: rollout.EventPaused}); err == nil {
		t.Error("a reader appended an event")
	}
	ask := func(k rollout.EventKind) int64 {
		t.Helper()
		id, err := r.Ask("r", rollout.Event{At: t0, Kind: k, Who: "ben@laptop", Target: "cloud-01", Detail: "why"})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first, second := ask(rollout.EventPaused), ask(rollout.EventApproved)
	if taken, _, err := r.Answer(first); err != nil || taken {
		t.Errorf("taken %v before anybody looked, %v", taken, err)
	}
	list, err := j.Requests("r")
	if err != nil || len(list) != 2 || list[0].ID != first || list[1].Event.Kind != rollout.EventApproved || list[1].Event.Who != "ben@laptop" {
		t.Fatalf("requests %+v, %v", list, err)
	}
	if err := j.Take(first, ""); err != nil {
		t.Fatal(err)
	}
	if err := j.Take(second, "it does not wait"); err != nil {
		t.Fatal(err)
	}
	if list, err := j.Requests("r"); err != nil || len(list) != 0 {
		t.Errorf("requests after they were taken: %+v, %v", list, err)
	}
	if taken, refusal, err := r.Answer(first); err != nil || !taken || refusal != "" {
		t.Errorf("answer %v %q %v", taken, refusal, err)
	}
	if taken, refusal, err := r.Answer(second); err != nil || !taken || refusal != "it does not wait" {
		t.Errorf("answer %v %q %v", taken, refusal, err)
	}
	if _, err := r.Ask("nobody", rollout.Event{At: t0, Kind: rollout.EventPaused}); err == nil {
		t.Error("a request to a rollout that does not exist")
	}
	if _, _, err := r.Answer(99); err == nil {
		t.Error("an answer to a request that does not exist")
	}
}

// TestOnlyTheOwnerMayRead: the journal holds host names and handles.
func TestOnlyTheOwnerMayRead(t *testing.T) {
	j, dir := created(t)
	appendN(t, j, 3)
	want := map[string]os.FileMode{".": os.ModeDir | 0o700, FileName: 0o600, FileName + "-wal": 0o600, FileName + "-shm": 0o600, "lock": 0o600}
	for name, mode := range want {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", name, fi.Mode(), mode)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.part*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestOpenCreatesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "no")
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, FileName)) {
		t.Errorf("err %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory came to be: %v", err)
	}
}

func TestPathsThatLookLikeSyntax(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "50% of #1? mode=ro&x")
	j, err := OpenToWrite(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, FileName)); err != nil {
		t.Error(err)
	}
}

func TestNewerLayoutIsRefused(t *testing.T) {
	j, dir := created(t)
	if _, err := j.db.Exec("PRAGMA user_version = 2"); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(string) (*Journal, error){"Open": Open, "OpenToWrite": OpenToWrite} {
		j, err := open(dir)
		if err == nil || !strings.Contains(err.Error(), "version 2") || !strings.Contains(err.Error(), "use the newer ncfleet") {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			j.Close()
		}
	}
	if free, err := Free(dir); err != nil || !free {
		t.Errorf("the lock was kept: %v %v", free, err)
	}
}
