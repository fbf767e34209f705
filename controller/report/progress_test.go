package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// drive carries a plan out in memory: each started step takes seven seconds
// and succeeds, unless outcome says otherwise. Every event goes to the sinks.
func drive(t *testing.T, p *plan.Plan, outcome func(step string) (rollout.EventKind, string), sinks ...*Progress) *rollout.State {
	t.Helper()
	return taped(t, p, nil, outcome, sinks...)
}

// recorded are the events of a drive.
func recorded(t *testing.T, p *plan.Plan, outcome func(step string) (rollout.EventKind, string)) []rollout.Event {
	t.Helper()
	var tape []rollout.Event
	taped(t, p, &tape, outcome)
	return tape
}

func taped(t *testing.T, p *plan.Plan, tape *[]rollout.Event, outcome func(step string) (rollout.EventKind, string), sinks ...*Progress) *rollout.State {
	t.Helper()
	s, err := rollout.New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 23, 2, 14, 0, 0, time.UTC)
	seq := int64(0)
	apply := func(e rollout.Event) {
		seq++
		e.Seq, e.At = seq, now
		if tape != nil {
			*tape = append(*tape, e)
		}
		if err := s.Apply(e); err != nil {
			t.Fatal(err)
		}
		for _, g := range sinks {
			g.Event(e, s)
		}
	}
	apply(rollout.Event{Kind: rollout.EventStarted, Who: "anna@control", Digest: "d"})
	for range 2000 {
		d := s.Next(now)
		for _, g := range sinks {
			g.Waiting(d.Waits, s)
		}
		switch {
		case d.Verdict != "":
			return s
		case len(d.Record) > 0:
			for _, e := range d.Record {
				apply(e)
			}
		case len(d.Start) > 0:
			for _, id := range d.Start {
				apply(rollout.Event{Kind: rollout.EventStepBegun, Step: id})
			}
			for _, id := range d.Start {
				now = now.Add(7 * time.Second)
				kind, why := outcome(id)
				e := rollout.Event{Kind: kind, Step: id, Detail: why, Seconds: 7}
				if strings.Contains(id, "/snapshot") && kind == rollout.EventStepDone {
					e.Handle = &driver.Handle{Driver: "archive", Key: "r/t", Data: []byte("opaque")}
				}
				apply(e)
			}
		case strings.Contains(strings.Join(d.Waits, " "), "approval"):
			for _, w := range p.Waves {
				if w.Approve {
					apply(rollout.Event{Kind: rollout.EventApproved, Who: "bela@control", Wave: w.Name})
				}
			}
		case !d.Wake.IsZero():
			now = d.Wake
		default:
			return s
		}
	}
	t.Fatal("the rollout does not end")
	return nil
}

func ok(string) (rollout.EventKind, string) { return rollout.EventStepDone, "" }

// breaks lets the hop of cloud-02 fail.
func breaks(id string) (rollout.EventKind, string) {
	if id == "rest/cloud-02/hop" {
		return rollout.EventStepFail, "occ upgrade in /var/www/nextcloud was killed (exit 137) before it was complete: config.php says 28.0.2.5, the code is 29.0.16.1"
	}
	return rollout.EventStepDone, ""
}

func TestProgressAndOutcome(t *testing.T) {
	for _, c := range []struct {
		name    string
		outcome func(string) (rollout.EventKind, string)
		options Options
		want    rollout.Verdict
	}{
		{"good", ok, Options{}, rollout.Succeeded},
		{"broken", breaks, Options{}, rollout.Succeeded},
		{"verbose", breaks, Options{Verbose: true, Color: true}, rollout.Succeeded},
		{"refused", func(id string) (rollout.EventKind, string) {
			if id == "rest/cloud-02/recheck" {
				return rollout.EventStepRefused, "cloud-02: no longer as planned: package openssl: planned 3.0.15-1 → 3.0.17-1, found 3.0.15-1 → 3.0.18-1; " +
					"version of cloud-02: planned 28.0.2.5, found 28.0.3.1; nothing was done; make a new plan"
			}
			return rollout.EventStepDone, ""
		}, Options{}, rollout.Incomplete},
		{"held", func(id string) (rollout.EventKind, string) {
			if strings.HasSuffix(id, "cloud-01/inspect") {
				return rollout.EventStepHeld, "cloud-01: the gate asks: 2 new warnings of occ setupchecks: cron has not run; the log grows"
			}
			return rollout.EventStepDone, ""
		}, Options{}, rollout.Halted},
		{"halted", func(id string) (rollout.EventKind, string) {
			if strings.HasSuffix(id, "cloud-01/verify") {
				return rollout.EventStepFail, "https://cloud-01.example/status.php answered 502"
			}
			return rollout.EventStepDone, ""
		}, Options{}, rollout.Halted},
		{"half-open", func(id string) (rollout.EventKind, string) {
			if strings.HasSuffix(id, "cloud-01/open") {
				return rollout.EventStepFail, "https://cloud-01.example is still closed 90 s after maintenance mode was ended (HTTP 503)"
			}
			return rollout.EventStepDone, ""
		}, Options{}, rollout.Halted},
		{"stuck", func(id string) (rollout.EventKind, string) {
			if k := shortID(id); k == "hop" || k == "undo-restore" {
				return rollout.EventStepFail, "no space left on device"
			}
			return rollout.EventStepDone, ""
		}, Options{}, rollout.Halted},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := real(t)
			var b bytes.Buffer
			g := NewProgress(&b, p, c.options)
			s := drive(t, p, c.outcome, g)
			if s.Ended != c.want || g.Err() != nil {
				t.Errorf("ended %q, want %q; error %v", s.Ended, c.want, g.Err())
			}
			b.WriteString("\n")
			if err := Outcome(&b, "spring-20261123-021400", s, s.Ended, c.options); err != nil {
				t.Fatal(err)
			}
			golden(t, "run-"+c.name+".txt", b.Bytes())
			var j bytes.Buffer
			if err := Encode(&j, OutcomeJSON("spring-20261123-021400", s, s.Ended, nil, nil), ""); err != nil {
				t.Fatal(err)
			}
			golden(t, "run-"+c.name+".json", j.Bytes())
		})
	}
}

func TestOutcomeJSONIsOneLineOfTheKnownShape(t *testing.T) {
	p := real(t)
	s := drive(t, p, breaks)
	var b bytes.Buffer
	if err := Encode(&b, OutcomeJSON("id", s, s.Ended, nil, nil), ""); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n != 1 {
		t.Errorf("%d lines", n)
	}
	if want := `{"format_version":1,"verdict":"succeeded","targets":{"upgraded":1,"rolled_back":1,"failed":0,"untouched":0},`; !strings.HasPrefix(b.String(), want) {
		t.Errorf("begins %s", b.String()[:min(200, b.Len())])
	}
	var got struct {
		Closed map[string]float64 `json:"closed_seconds"`
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || len(got.Closed) != 2 || got.Closed["cloud-01"] <= 0 {
		t.Errorf("closed %v, %v", got.Closed, err)
	}
}

func TestWaitingIsSaidOnce(t *testing.T) {
	var b bytes.Buffer
	g := NewProgress(&b, real(t), Options{})
	g.Waiting([]string{"wave canary bakes until 02:50"}, nil)
	g.Waiting([]string{"wave canary bakes until 02:50"}, nil)
	g.Waiting(nil, nil)
	if n := strings.Count(b.String(), "bakes"); n != 1 {
		t.Errorf("said %d times:\n%s", n, b.String())
	}
}

func TestPausedSaysHowToGoOn(t *testing.T) {
	p := real(t)
	s, err := rollout.New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	g := NewProgress(&b, p, Options{Command: "ncfleet -i x.hcl", Width: 200})
	at := time.Date(2026, 11, 23, 2, 14, 0, 0, time.UTC)
	for i, e := range []rollout.Event{{Kind: rollout.EventStarted, Digest: "d"}, {Kind: rollout.EventPaused, Who: "anna@control"}} {
		e.Seq, e.At = int64(i+1), at
		if err := s.Apply(e); err != nil {
			t.Fatal(err)
		}
		g.Event(e, s)
	}
	g.Waiting(s.Next(at).Waits, s)
	if want := "waits: paused by anna@control; resume from another terminal with: ncfleet -i x.hcl resume"; !strings.Contains(b.String(), want) {
		t.Errorf("no %q in\n%s", want, b.String())
	}
}

func TestBeat(t *testing.T) {
	p := real(t)
	s, err := rollout.New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	g := NewProgress(&b, p, Options{})
	at := time.Date(2026, 11, 23, 2, 14, 0, 0, time.UTC)
	for i, e := range []rollout.Event{{Kind: rollout.EventStarted, Digest: "d"}, {Kind: rollout.EventStepBegun, Step: "canary/cloud-01/recheck"}} {
		e.Seq, e.At = int64(i+1), at
		if err := s.Apply(e); err != nil {
			t.Fatal(err)
		}
		g.Event(e, s)
	}
	b.Reset()
	for i := range 66 {
		g.Beat(at.Add(time.Duration(i) * time.Second))
	}
	want := "02:14:30  still running: cloud-01 recheck 30 s\n02:15:00  still running: cloud-01 recheck 1 min\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	g.Event(rollout.Event{Kind: rollout.EventStepDone, Step: "canary/cloud-01/recheck", At: at}, s)
	b.Reset()
	g.Beat(at.Add(10 * time.Minute))
	g.Beat(at.Add(20 * time.Minute))
	if b.Len() > 0 {
		t.Errorf("nothing runs, and it says %q", b.String())
	}
}

// TestReached: a host that a step works on is told away once, and back once.
func TestReached(t *testing.T) {
	p := real(t)
	s, err := rollout.New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	g := NewProgress(&b, p, Options{Width: 200})
	at := time.Date(2026, 11, 23, 2, 14, 0, 0, time.UTC)
	away := errors.New("cannot connect to host cloud-01: timeout")
	g.Reached("cloud-01", away, at) // nothing runs there yet
	for i, e := range []rollout.Event{{Kind: rollout.EventStarted, Digest: "d"}, {Kind: rollout.EventStepBegun, Step: "canary/cloud-01/recheck"}} {
		e.Seq, e.At = int64(i+1), at
		if err := s.Apply(e); err != nil {
			t.Fatal(err)
		}
		g.Event(e, s)
	}
	b.Reset()
	g.Reached("cloud-02", away, at)
	g.Reached("cloud-01", nil, at)
	for i := range 3 {
		g.Reached("cloud-01", away, at.Add(time.Duration(i)*time.Second))
	}
	g.Reached("cloud-01", nil, at.Add(time.Minute))
	g.Reached("cloud-01", nil, at.Add(time.Hour))
	want := "02:14:00  cannot connect to host cloud-01: timeout; it is tried again until the step's time is over, what runs on the host goes on\n" +
		"02:15:00  cloud-01 can be reached again, after 1 min\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestOutcomeOfALiveRollout(t *testing.T) {
	p := real(t)
	s, err := rollout.New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(rollout.Event{Seq: 1, Kind: rollout.EventStarted, Digest: "d", At: time.Date(2026, 11, 23, 2, 14, 0, 123456789, time.UTC)}); err != nil {
		t.Fatal(err)
	}
	live := &Live{Requests: []rollout.Event{{Kind: rollout.EventAborted, Who: "anna@control", Detail: "wrong week"}}, Waits: []string{"something"},
		Broken: []rollout.Event{{Kind: rollout.EventLeaseBroken, Target: "cloud-01", Who: "anna@control", Detail: "stolen"}}}
	var b, j bytes.Buffer
	if err := Outcome(&b, "id", s, "", Options{Live: live, Width: 120}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"noted          abort by anna@control: wrong week; waits for a controller", "NONE RUNS", "Go on with: ncfleet resume", "waits          something",
		"lease broken   cloud-01 by anna@control: stolen"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if err := Encode(&j, OutcomeJSON("id", s, "", live, nil), ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"controller":"none"`, `"requests":[{"kind":"aborted","who":"anna@control","detail":"wrong week"}]`,
		`"leases_broken":[{"kind":"lease_broken","target":"cloud-01","who":"anna@control","detail":"stolen"}]`, `"began":"2026-11-23T02:14:00Z"`} {
		if !strings.Contains(j.String(), want) {
			t.Errorf("no %s in %s", want, j.String())
		}
	}
}

func TestReasons(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"nc1: the gate asks", "the gate asks"},
		{"nc1: no room; rollback: nc1: no room", "no room; rollback: no room"},
		{"the name nc1: is kept inside", "the name nc1: is kept inside"},
	} {
		if got := unnamed(c.in, "nc1", "nc1"); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
	if got := rest("no room; rollback: no room", []string{"no room", "no room"}); got != "" {
		t.Errorf("rest %q", got)
	}
	if got := rest("no room; nobody knows", []string{"no room"}); got != "nobody knows" {
		t.Errorf("rest %q", got)
	}
	list, after, ok := differences("nc1: no longer as planned: a: planned 1, found 2; 3; b: planned 4, found 5; nothing was done; make a new plan")
	if !ok || len(list) != 2 || list[0] != "a: planned 1, found 2; 3" || after != "nothing was done; make a new plan" {
		t.Errorf("%q %q %v", list, after, ok)
	}
}

func TestOutcomeBeforeTheFirstEvent(t *testing.T) {
	s, err := rollout.New(real(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Outcome(&b, "id", s, "", Options{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "has not begun") || !strings.Contains(b.String(), "Wave canary · 1 target · not begun") {
		t.Error(b.String())
	}
}

func TestLog(t *testing.T) {
	p := real(t)
	events := recorded(t, p, breaks)
	for _, c := range []struct {
		golden string
		filter LogFilter
		json   bool
	}{
		{"log.txt", LogFilter{}, false}, {"log-target.txt", LogFilter{Target: "cloud-02"}, false}, {"log.ndjson", LogFilter{Target: "cloud-02"}, true},
		{"log-step.txt", LogFilter{Step: "hop"}, false},
	} {
		var b bytes.Buffer
		if c.json {
			for _, e := range LogJSON("id", events, c.filter).Events {
				if err := Encode(&b, e, ""); err != nil {
					t.Fatal(err)
				}
			}
		} else if err := Log(&b, events, c.filter, Options{}); err != nil {
			t.Fatal(err)
		}
		golden(t, c.golden, b.Bytes())
		if strings.Contains(b.String(), "opaque") {
			t.Errorf("%s shows what is inside a handle", c.golden)
		}
		if c.filter.Target != "" && strings.Contains(b.String(), "cloud-01/") {
			t.Errorf("%s shows another target", c.golden)
		}
	}
}

func TestLogByTarget(t *testing.T) {
	p := real(t)
	events := recorded(t, p, breaks)
	for name, filter := range map[string]LogFilter{"log-by-target.txt": {}, "log-by-target-hop.txt": {Target: "cloud-02", Step: "hop"}} {
		var b bytes.Buffer
		if err := LogByTarget(&b, p, events[:len(events)-2], filter, Options{}); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

func TestLogFilterTakesRepeatsOfAStep(t *testing.T) {
	for step, want := range map[string]bool{"w/t/hop": true, "w/t/hop-2": true, "w/t/undo-hop": false, "w/t/hopper": false, "w/t/hop-x": false, "": false} {
		if got := (LogFilter{Step: "hop"}).takes(rollout.Event{Step: step}); got != want {
			t.Errorf("%q: %v", step, got)
		}
	}
}
