package report

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// TestHistory tells a rollout from its events alone.
func TestHistory(t *testing.T) {
	p := real(t)
	p.Waves[1].Approvals, p.Waves[1].ApproveExpires = 2, time.Hour
	s, err := rollout.New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 2, 14, 0, 0, time.UTC)
	var events []rollout.Event
	add := func(after time.Duration, e rollout.Event) {
		at = at.Add(after)
		e.At, e.Seq = at, int64(len(events)+1)
		if err := s.Apply(e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	first := p.Waves[0].Targets[0]
	add(0, rollout.Event{Kind: rollout.EventStarted, Who: "anna@control", Digest: "5ca1ab1e00000000"})
	add(time.Second, rollout.Event{Kind: rollout.EventWindowWait, Detail: "the window is closed until later"})
	add(time.Minute, rollout.Event{Kind: rollout.EventApproved, Wave: "rest", Who: "ben@control", Digest: "5ca1ab1e00000000"})
	add(time.Minute, rollout.Event{Kind: rollout.EventStepBegun, Step: first.Steps[0].ID})
	add(time.Minute, rollout.Event{Kind: rollout.EventAttached, Who: "anna@control"})
	add(time.Minute, rollout.Event{Kind: rollout.EventStepRefused, Step: first.Steps[0].ID, Detail: "cloud-01: " + strings.Repeat("long ", 100)})
	add(time.Hour, rollout.Event{Kind: rollout.EventApprovalExpired, Wave: "rest", Who: "ben@control", Detail: "it is too old"})
	var b strings.Builder
	history(newPage(&b, Options{Width: 400}), s, events)
	for _, want := range []string{
		"2026-11-23 02:14:00  began by anna@control, plan 5ca1ab1e0000; Nextcloud 28.0.2 → ",
		"02:14:01  waited: the window is closed until later",
		"02:15:01  wave rest approved by ben@control, plan 5ca1ab1e0000 (1 of 2, counts until 2026-11-23 03:15)",
		"02:16:01  went on with cloud-01 recheck",
		"02:17:01  a controller was started anew by anna@control; the one before it was last heard of at 02:16:01",
		"02:18:01  cloud-01 recheck refused: long long",
		"long…",
		"03:18:01  the approval of wave rest by ben@control expired: it is too old",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	b.Reset()
	approvals(newPage(&b, Options{Width: 100}), s, 1)
	want := "  approval expired  that of ben@control, given 2026-11-23 02:15:01 UTC: it counted until 2026-11-23 03:15:01 UTC\n  needs          approval by 2 people\n"
	if got := b.String(); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("approvals:\n%s", got)
	}
}

// TestHistoryIsBounded: of a long one the beginning and the end are told.
func TestHistoryIsBounded(t *testing.T) {
	s, err := rollout.New(real(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 2, 14, 0, 0, time.UTC)
	events := []rollout.Event{{Seq: 1, At: at, Kind: rollout.EventStarted, Who: "anna@control"}}
	for i := range 100 {
		events = append(events, rollout.Event{Seq: int64(i + 2), At: at, Kind: rollout.EventPaused, Who: fmt.Sprint("op", i)})
	}
	var b strings.Builder
	history(newPage(&b, Options{Width: 200}), s, events)
	text := b.String()
	for _, want := range []string{"began by anna@control", "by op28\n", "… 41 moments left out here; all of it: ncfleet log", "by op70\n", "by op99\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "by op29\n") || strings.Contains(text, "by op69\n") {
		t.Errorf("too much is told:\n%s", text)
	}
}

func TestOpenTimes(t *testing.T) {
	var b strings.Builder
	pg := newPage(&b, Options{Width: 120})
	openTimes(pg, &plan.Policy{Window: &plan.Window{From: "22:00", To: "04:00", Zone: "UTC"},
		MoreWindows: []plan.Window{{Days: []string{"second sat", "last sun"}, From: "06:00", To: "18:00", Zone: "Europe/Berlin"}},
		Blackouts:   []plan.Blackout{{From: "2026-12-24", To: "2026-12-26", Zone: "UTC", Reason: "Christmas"}, {From: "2027-01-01", To: "2027-01-01", Zone: "UTC", Reason: "audit"}},
		CutOff:      true, Reserve: 20 * time.Minute})
	want := `  window         every day 22:00–04:00 UTC
  window         second sat, last sun 06:00–18:00 Europe/Berlin
  blackout       2026-12-24 to 2026-12-26 UTC: Christmas
  blackout       2027-01-01 UTC: audit
  cut-off        nothing starts that is not expected to end before the window does, with 20 min left for a way back
`
	if got := b.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
