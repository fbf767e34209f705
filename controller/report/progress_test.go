package report

import (
	"bytes"
	"encoding/json"
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
				return rollout.EventStepRefused, "version of cloud-02: planned 28.0.2.5, found 28.0.3.1"
			}
			return rollout.EventStepDone, ""
		}, Options{}, rollout.Incomplete},
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
			if err := OutcomeJSON(&j, "spring-20261123-021400", s, s.Ended); err != nil {
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
	if err := OutcomeJSON(&b, "id", s, s.Ended); err != nil {
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
		golden, target string
		json           bool
	}{{"log.txt", "", false}, {"log-target.txt", "cloud-02", false}, {"log.ndjson", "cloud-02", true}} {
		var b bytes.Buffer
		if err := Log(&b, events, c.target, c.json); err != nil {
			t.Fatal(err)
		}
		golden(t, c.golden, b.Bytes())
		if strings.Contains(b.String(), "opaque") {
			t.Errorf("%s shows what is inside a handle", c.golden)
		}
		if c.target != "" && strings.Contains(b.String(), "cloud-01/") {
			t.Errorf("%s shows another target", c.golden)
		}
	}
}
