package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/report/screen"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// planOver is the plan of a rollout over targets of those names, each like the
// second target of the recorded plan: a canary, then waves of the sizes given.
func planOver(t *testing.T, names []string, sizes ...int) *plan.Plan {
	t.Helper()
	p := *real(t)
	like, err := json.Marshal(p.Waves[1])
	if err != nil {
		t.Fatal(err)
	}
	p.Waves = nil
	for i, n := range sizes {
		w := plan.Wave{Name: fmt.Sprintf("wave-%d", i+1)}
		switch {
		case i == 0:
			w.Name, w.Bake = "canary", 10*time.Minute
		case i == len(sizes)-1:
			w.Name = "everybody"
		}
		for range n {
			name, err := json.Marshal(names[0])
			if err != nil {
				t.Fatal(err)
			}
			text := bytes.ReplaceAll(like, []byte("rest/cloud-02/"), []byte(w.Name+"/cloud-02/"))
			text = bytes.ReplaceAll(text, []byte("cloud-02"), name[1:len(name)-1])
			var one plan.Wave
			if err := json.Unmarshal(text, &one); err != nil {
				t.Fatal(err)
			}
			w.Targets, w.Gate, names = append(w.Targets, one.Targets...), append(w.Gate, one.Gate...), names[1:]
		}
		p.Waves = append(p.Waves, w)
	}
	p.Policy.MaxUnavailable, p.Policy.Ahead, p.Policy.FailureBudget, p.Policy.OnHold, p.Policy.HoldTimeout = 4, 8, 2, "wait", 15*time.Minute
	return &p
}

func numbered(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("cloud-%02d", i+1))
	}
	return out
}

// tape is a rollout that was carried out in memory, event by event.
type tape struct {
	plan   *plan.Plan
	events []rollout.Event
}

// play carries a plan out with steps that run side by side, each as long as
// its kind takes, until the state asks people or ends. outcome says how a step
// ends; operator what people do at a wait.
func play(t *testing.T, p *plan.Plan, outcome func(plan.Step) rollout.Event) *tape {
	t.Helper()
	s, err := rollout.New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	tp := &tape{plan: p}
	now := time.Date(2026, 11, 23, 2, 14, 0, 0, time.UTC)
	apply := func(e rollout.Event) {
		e.Seq, e.At = int64(len(tp.events)+1), now
		if err := s.Apply(e); err != nil {
			t.Fatal(err)
		}
		tp.events = append(tp.events, e)
	}
	type running struct {
		ends time.Time
		e    rollout.Event
	}
	var list []running
	apply(rollout.Event{Kind: rollout.EventStarted, Who: "anna@control", Digest: "d"})
	for range 200000 {
		d := s.Next(now)
		for _, e := range d.Record {
			apply(e)
		}
		for _, id := range d.Start {
			apply(rollout.Event{Kind: rollout.EventStepBegun, Step: id})
			step, _, _ := s.Step(id)
			e := outcome(*step)
			e.Step = id
			takes := takesOf(*step)
			e.Seconds = takes.Seconds()
			list = append(list, running{now.Add(takes), e})
		}
		slices.SortStableFunc(list, func(a, b running) int { return a.ends.Compare(b.ends) })
		switch {
		case d.Verdict != "":
			return tp
		case len(d.Record) > 0 || len(d.Start) > 0:
		case len(list) > 0 && (d.Wake.IsZero() || !list[0].ends.After(d.Wake)):
			now = list[0].ends
			apply(list[0].e)
			list = list[1:]
		case !d.Wake.IsZero():
			now = d.Wake
		default:
			return tp
		}
	}
	t.Fatal("the rollout does not end")
	return nil
}

// takesOf is how long a step takes, a little different on each target.
func takesOf(s plan.Step) time.Duration {
	seconds := map[plan.Kind]int{plan.KindStage: 24, plan.KindFetch: 9, plan.KindSnapshot: 11, plan.KindPackages: 14, plan.KindHop: 21,
		plan.KindApps: 8, plan.KindInspect: 6, plan.KindRestore: 12, plan.KindTidy: 7}
	odd := 0
	for _, r := range s.Target {
		odd = (odd*31 + int(r)) % 7
	}
	return time.Duration(cmp.Or(seconds[s.Kind], 1)*1000+odd*210) * time.Millisecond
}

// good is a step that does as planned, with the evidence that a gate brings.
func good(s plan.Step) rollout.Event {
	e := rollout.Event{Kind: rollout.EventStepDone}
	switch s.Kind {
	case plan.KindSnapshot:
		e.Handle = &driver.Handle{Driver: "archive", Key: "r/t", Data: []byte("opaque")}
	case plan.KindInspect, plan.KindVerify:
		e.Evidence = map[string]string{"check status": "pass: 29.0.16", "check login": "pass: HTTP 200", "gate_seconds": "2"}
	}
	return e
}

const migration = "occ upgrade in /var/www/nextcloud failed (exit 5): Exception: Database error when running migration 4070Date20240301134500 for app calendar"

// troubled lets a target of each fate happen: taken back, held, refused.
func troubled(back, held, refused string) func(plan.Step) rollout.Event {
	return func(s plan.Step) rollout.Event {
		switch {
		case s.Target == back && s.Kind == plan.KindHop && s.Undoes == nil:
			return rollout.Event{Kind: rollout.EventStepFail, Detail: migration}
		case s.Target == refused && s.Kind == plan.KindRecheck:
			return rollout.Event{Kind: rollout.EventStepRefused, Detail: refused + ": no longer as planned: package openssl: planned 3.0.15-1, found 3.0.16-1; nothing was done; make a new plan"}
		case s.Target == held && s.Kind == plan.KindInspect && s.Undoes == nil:
			return rollout.Event{Kind: rollout.EventStepHeld, Detail: held + ": the gate asks: setup checks: 2 new warnings: cron has not run; the log grows",
				Evidence: map[string]string{"check status": "pass: 29.0.16", "check login": "pass: HTTP 200", "check setup checks": "hold: 2 new warnings: cron has not run; the log grows"}}
		}
		return good(s)
	}
}

// at is a live view as it stands after the events up to an instant.
func (tp *tape) at(t *testing.T, after time.Duration, o Options) (*View, time.Time) {
	t.Helper()
	s, err := rollout.New(tp.plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := tp.events[0].At.Add(after)
	n := 0
	for n < len(tp.events) && !tp.events[n].At.After(now) {
		n++
	}
	v, err := NewView("20261123-021400-spring-7a05b6", s, tp.events[:n], Terminal{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return v, now
}

func (tp *tape) lasts() time.Duration { return tp.events[len(tp.events)-1].At.Sub(tp.events[0].At) }

func TestFrames(t *testing.T) {
	twelve := play(t, planOver(t, numbered(12), 1, 3, 8), troubled("cloud-07", "cloud-09", ""))
	many := play(t, planOver(t, numbered(200), 1, 4, 10, 25, 60, 100), troubled("cloud-31", "cloud-60", "cloud-45"))
	odd := play(t, planOver(t, []string{"大きな-クラウド-東京-データセンター/ファイル", "naïve-é́-name", "rtl-\u202eedoc", "x", "a-very-long-host-name-in-some-data-centre.example.org/files",
		"tab\tand\x1b[31mred", "emoji-👩‍👩‍👧-🇩🇪"}, 1, 6), troubled("x", "naïve-é́-name", ""))
	halts := play(t, planOver(t, numbered(12), 1, 3, 8), func(s plan.Step) rollout.Event {
		if s.Kind == plan.KindRestore && s.Target == "cloud-03" {
			return rollout.Event{Kind: rollout.EventStepFail, Detail: "no space left on device"}
		}
		return troubled("cloud-03", "", "")(s)
	})
	for _, c := range []struct {
		name          string
		tape          *tape
		after         time.Duration
		width, height int
	}{
		{"12-canary", twelve, 40 * time.Second, 80, 24},
		{"12-bakes", twelve, 4 * time.Minute, 80, 24},
		{"12-rolls-back", twelve, 15*time.Minute + 36*time.Second, 80, 24},
		{"12-moves", twelve, 16*time.Minute + 20*time.Second, 80, 24},
		{"12-held", twelve, 18 * time.Minute, 80, 24},
		{"12-held-60", twelve, 18 * time.Minute, 60, 24},
		{"12-tiny", twelve, 18 * time.Minute, 60, 10},
		{"12-halted", halts, halts.lasts() - time.Second, 80, 24},
		{"12-ended", twelve, twelve.lasts(), 80, 24},
		{"200-begins", many, 30 * time.Second, 80, 24},
		{"200-moves", many, 30 * time.Minute, 80, 24},
		{"200-held", many, many.lasts() / 2, 80, 24},
		{"200-wide", many, many.lasts() / 2, 140, 40},
		{"odd-names", odd, 13 * time.Minute, 80, 24},
	} {
		v, now := c.tape.at(t, c.after, Options{Command: "ncfleet -i fleets/hoster.hcl"})
		golden(t, "live-"+c.name+".txt", []byte(strings.Join(v.Frame(now, c.width, c.height), "\n")+"\n"))
	}
}

// TestREADMEShowsALiveView: the README's screen is one that the code makes.
func TestREADMEShowsALiveView(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	screen, err := os.ReadFile("testdata/live-200-held.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(readme, append([]byte("<!-- screen: live -->\n```\n"), screen...)) {
		t.Error("the README's live view is not testdata/live-200-held.txt")
	}
}

// TestStatusOfManyFolds: how a rollout over 200 targets stands is told in a few
// lines, with those that move one by one.
func TestStatusOfManyFolds(t *testing.T) {
	tp := play(t, planOver(t, numbered(200), 1, 4, 10, 25, 60, 100), troubled("cloud-31", "cloud-60", "cloud-45"))
	v, now := tp.at(t, tp.lasts()/2, Options{})
	s := v.moment.State
	var b bytes.Buffer
	o := Options{Live: &Live{Running: true, Now: now, Waits: s.Next(now).Waits}}
	if err := Outcome(&b, "20261123-021400-spring-7a05b6", s, "", o); err != nil {
		t.Fatal(err)
	}
	golden(t, "status-200.txt", b.Bytes())
	if n := bytes.Count(b.Bytes(), []byte("\n")); n > 100 {
		t.Errorf("%d lines", n)
	}
}

// TestFramesFitTheTerminal: at any instant and size no line is too wide, there
// are never too many, and without colour nothing in them is for the terminal.
func TestFramesFitTheTerminal(t *testing.T) {
	names := append(numbered(30), "大きな-クラウド-東京", "tab\tand\x1b[31mred", "rtl-\u202eedoc", "emoji-👩‍👩‍👧-🇩🇪", strings.Repeat("long", 60))
	tp := play(t, planOver(t, names, 1, 4, 10, 20), troubled("cloud-07", "大きな-クラウド-東京", "cloud-20"))
	for _, color := range []bool{false, true} {
		for after := time.Duration(0); after <= tp.lasts(); after += tp.lasts() / 11 {
			v, now := tp.at(t, after, Options{Command: "ncfleet -i /srv/" + strings.Repeat("very-long-", 20) + "fleet.hcl", Color: color})
			v.Note("interrupted; finishing 3 targets: \x1b[2J大きな-クラウド-東京")
			v.Reached("cloud-09", fmt.Errorf("cannot connect: \x07refused\r\n"), now)
			for _, size := range [][2]int{{1, 1}, {2, 50}, {10, 3}, {39, 8}, {40, 12}, {60, 24}, {80, 5}, {80, 24}, {200, 60}} {
				lines := v.Frame(now, size[0], size[1])
				if len(lines) > size[1] {
					t.Fatalf("%v at %v: %d lines", size, after, len(lines))
				}
				for _, l := range lines {
					if color {
						l = withoutColour(l)
					}
					if n := screen.Cells(l); n > size[0] || strings.ContainsFunc(l, func(r rune) bool { return unicode.IsControl(r) || r == '\u202e' }) {
						t.Fatalf("%v at %v: %d cells: %q", size, after, n, l)
					}
				}
			}
		}
	}
}

// withoutColour takes the colours out that a frame may have.
func withoutColour(l string) string {
	for _, style := range []string{"0", bold, dim, red, green, yellow} {
		l = strings.ReplaceAll(l, "\x1b["+style+"m", "")
	}
	return l
}
