package trace

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

var start = time.Date(2026, 3, 2, 22, 0, 0, 0, time.UTC)

// received is a collector: it decodes what is sent to it over OTLP/HTTP.
type received struct {
	mu       sync.Mutex
	spans    []*otlp.Span
	resource map[string]string
	status   int
}

// collect starts a collector and points the environment to it.
func collect(t *testing.T, status int) *received {
	t.Helper()
	r := &received{resource: map[string]string{}, status: status}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body := io.Reader(req.Body)
		if req.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		raw, err := io.ReadAll(body)
		if err != nil {
			t.Error(err)
		}
		var in collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(raw, &in); err != nil || req.URL.Path != "/v1/traces" || req.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %s %s: %v", req.Method, req.URL.Path, req.Header.Get("Content-Type"), err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, rs := range in.ResourceSpans {
			for _, a := range rs.Resource.Attributes {
				r.resource[a.Key] = a.Value.GetStringValue()
			}
			for _, ss := range rs.ScopeSpans {
				r.spans = append(r.spans, ss.Spans...)
			}
		}
		w.WriteHeader(r.status)
	}))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
	return r
}

func sender(t *testing.T) (s *Sender, complaints *[]string) {
	t.Helper()
	complaints = &[]string{}
	var mu sync.Mutex
	s, err := Open(context.Background(), "1.2.3", func(text string) { mu.Lock(); defer mu.Unlock(); *complaints = append(*complaints, text) })
	if err != nil {
		t.Fatal(err)
	}
	return s, complaints
}

// testPlan has two waves of one host each.
func testPlan() *plan.Plan {
	p := &plan.Plan{Rollout: "monthly", Policy: plan.Policy{MaxUnavailable: 1, FailureBudget: 1, Ahead: 1, OnHold: "rollback"}}
	for _, name := range []string{"one", "two"} {
		id := func(k string) string { return "wave-" + name + "/" + name + "/" + k }
		step := func(k plan.Kind, ph plan.Phase, changes bool) plan.Step {
			return plan.Step{ID: id(string(k)), Kind: k, Phase: ph, Target: name, Host: name, Instance: "nc", Changes: changes}
		}
		undo := func(k plan.Kind, of string) plan.Step {
			return plan.Step{ID: id("undo-" + string(k)), Kind: k, Target: name, Host: name, Instance: "nc", Undoes: []string{id(of)}}
		}
		p.Waves = append(p.Waves, plan.Wave{Name: "wave-" + name, Targets: []plan.Target{{Name: name, Host: name, Instance: "nc",
			Steps: []plan.Step{step(plan.KindClose, plan.PhaseClosed, false), step(plan.KindSnapshot, plan.PhaseClosed, false),
				step(plan.KindHop, plan.PhaseClosed, true), step(plan.KindOpen, plan.PhaseAfter, false)},
			Undo: []plan.Step{undo(plan.KindRestore, "hop"), undo(plan.KindOpen, "close")},
		}}})
	}
	return p
}

// drive carries the plan out: each step takes a minute, the hop of "two" fails.
// After so many events (0: never) another controller takes over.
func drive(t *testing.T, first func(*rollout.State) *Rollout, change int) *rollout.State {
	t.Helper()
	s, err := rollout.New(testPlan(), nil)
	if err != nil {
		t.Fatal(err)
	}
	now := start
	sink := first(s)
	record := func(e rollout.Event) {
		e.Seq, e.At = s.Seq+1, now
		if err := s.Apply(e); err != nil {
			t.Fatal(err)
		}
		sink.Event(e, s)
		if change != 0 && s.Seq == int64(change) {
			sink = first(s)
		}
	}
	record(rollout.Event{Kind: rollout.EventStarted, Who: "ops@laptop", Digest: "d"})
	for range 100 {
		d := s.Next(now)
		if d.Verdict != "" {
			return s
		}
		for _, e := range d.Record {
			record(e)
		}
		for _, id := range d.Start {
			record(rollout.Event{Kind: rollout.EventStepBegun, Step: id})
			now = now.Add(time.Minute)
			e := rollout.Event{Kind: rollout.EventStepDone, Step: id, Seconds: 60}
			if strings.HasSuffix(id, "/snapshot") {
				e.Handle = &driver.Handle{Driver: "archive", Key: "k", Data: []byte("x")}
			}
			if id == "wave-two/two/hop" {
				e.Kind, e.Detail = rollout.EventStepFail, "occ upgrade failed"
			}
			record(e)
		}
	}
	t.Fatal("the rollout does not end")
	return nil
}

func attributesOf(s *otlp.Span) map[string]string {
	out := map[string]string{}
	for _, a := range s.Attributes {
		out[a.Key] = a.Value.GetStringValue()
	}
	return out
}

// tree checks that spans are of one trace and hang together, and returns them
// by name; steps as TARGET/STEP.
func (r *received) tree(t *testing.T) map[string]*otlp.Span {
	t.Helper()
	out, ids := map[string]*otlp.Span{}, map[string]bool{}
	for _, s := range r.spans {
		name := s.Name
		if step := attributesOf(s)["ncfleet.step"]; step != "" {
			name = step[strings.Index(step, "/")+1:]
		}
		if out[name] != nil {
			t.Errorf("two spans are called %s", name)
		}
		if ids[string(s.SpanId)] || string(s.TraceId) != string(r.spans[0].TraceId) {
			t.Errorf("%s: span %s of trace %s", name, hex.EncodeToString(s.SpanId), hex.EncodeToString(s.TraceId))
		}
		out[name], ids[string(s.SpanId)] = s, true
	}
	for name, s := range out {
		if len(s.ParentSpanId) > 0 && !ids[string(s.ParentSpanId)] {
			t.Errorf("the span above %s was not sent", name)
		}
	}
	return out
}

func TestRolloutTrace(t *testing.T) {
	got := collect(t, http.StatusOK)
	s, complaints := sender(t)
	state := drive(t, func(before *rollout.State) *Rollout { return NewRollout(s, "20260302-monthly", before) }, 0)
	s.Close()
	s.Close() // a second time does nothing
	if len(*complaints) > 0 || state.Ended != rollout.Succeeded {
		t.Fatalf("%v %q", *complaints, state.Ended)
	}
	if got.resource["service.name"] != "ncfleet" || got.resource["service.version"] != "1.2.3" || got.resource["deployment.environment"] != "test" {
		t.Errorf("resource %v", got.resource)
	}
	spans := got.tree(t)
	for name, want := range map[string]struct {
		above, outcome string
		minutes        int
		status         otlp.Status_StatusCode
	}{
		"rollout monthly":  {"", "succeeded", 9, otlp.Status_STATUS_CODE_OK},
		"wave wave-one":    {"rollout monthly", "passed", 4, otlp.Status_STATUS_CODE_OK},
		"target one":       {"wave wave-one", "upgraded", 4, otlp.Status_STATUS_CODE_OK},
		"one/hop":          {"target one", "succeeded", 1, otlp.Status_STATUS_CODE_OK},
		"target two":       {"wave wave-two", "rolled_back", 5, otlp.Status_STATUS_CODE_ERROR},
		"two/hop":          {"target two", "failed", 1, otlp.Status_STATUS_CODE_ERROR},
		"two/undo-restore": {"target two", "succeeded", 1, otlp.Status_STATUS_CODE_OK},
	} {
		sp := spans[name]
		if sp == nil {
			t.Errorf("no span %s among %d", name, len(spans))
			continue
		}
		a := attributesOf(sp)
		if above := spans[want.above]; above != nil && string(above.SpanId) != string(sp.ParentSpanId) || above == nil && len(sp.ParentSpanId) > 0 {
			t.Errorf("%s does not hang below %q", name, want.above)
		}
		took := time.Duration(sp.EndTimeUnixNano - sp.StartTimeUnixNano)
		if a["ncfleet.outcome"] != want.outcome || took != time.Duration(want.minutes)*time.Minute || sp.Status.GetCode() != want.status ||
			a["ncfleet.rollout"] != "monthly" || a["ncfleet.rollout_id"] != "20260302-monthly" {
			t.Errorf("%s: %v, %v, %v", name, a, took, sp.Status)
		}
	}
	if hop := spans["two/hop"]; hop != nil && hop.Status.Message != "occ upgrade failed" {
		t.Errorf("status %v", hop.Status)
	}
}

// TestResumedTrace: wherever a second controller takes over, both send one
// trace, and nothing twice.
func TestResumedTrace(t *testing.T) {
	for change := 1; change <= 20; change++ {
		got := collect(t, http.StatusOK)
		s, complaints := sender(t)
		drive(t, func(before *rollout.State) *Rollout { return NewRollout(s, "20260302-monthly", before) }, change)
		s.Close()
		if spans := got.tree(t); len(spans) != 14 || len(*complaints) > 0 {
			t.Errorf("taken over after event %d: %d spans, %v", change, len(spans), *complaints)
		}
	}
}

func TestSurveyTrace(t *testing.T) {
	got := collect(t, http.StatusOK)
	s, _ := sender(t)
	s.Survey("monthly", []Surveyed{{"one", start.Add(time.Second), start.Add(time.Minute), ""}, {"two", start, start.Add(time.Second), "no route"}})
	s.Close()
	spans := got.tree(t)
	all, two := spans["survey"], spans["survey two"]
	if all == nil || two == nil || len(spans) != 3 {
		t.Fatalf("%d spans", len(spans))
	}
	if took := time.Duration(all.EndTimeUnixNano - all.StartTimeUnixNano); took != time.Minute || two.Status.Message != "no route" {
		t.Errorf("%v, %v", took, two.Status)
	}
}

// TestLost: what a collector refuses is told, and stops nothing.
func TestLost(t *testing.T) {
	collect(t, http.StatusBadRequest)
	s, complaints := sender(t)
	s.Survey("monthly", []Surveyed{{"one", start, start, ""}})
	s.Close()
	if all := strings.Join(*complaints, "\n"); !strings.Contains(all, "2 spans were not delivered") || !strings.Contains(all, "2 spans were lost in all") {
		t.Errorf("told %q", all)
	}
}

// TestFullQueue: a span that finds no room is dropped and counted.
func TestFullQueue(t *testing.T) {
	s := &Sender{queue: make(chan sdk.ReadOnlySpan, 1)}
	one := tracetest.SpanStub{Name: "x"}.Snapshot()
	s.OnEnd(one)
	s.OnEnd(one)
	if n := s.dropped.Load(); n != 1 {
		t.Errorf("%d dropped", n)
	}
}

func TestConfigured(t *testing.T) {
	for _, c := range []struct {
		env    string
		wanted bool
		says   string
	}{
		{"", false, ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://x:4318", true, ""},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://x/v1", true, ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://x OTEL_SDK_DISABLED=true", false, ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://x OTEL_TRACES_EXPORTER=none", false, ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://x OTEL_EXPORTER_OTLP_PROTOCOL=grpc", false, "http/protobuf"},
	} {
		env := map[string]string{}
		for _, word := range strings.Fields(c.env) {
			k, v, _ := strings.Cut(word, "=")
			env[k] = v
		}
		got, err := Configured(func(name string) string { return env[name] })
		if got != c.wanted || (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, %v", c.env, got, err)
		}
	}
}
