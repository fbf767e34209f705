package metrics

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ncfleet/ncfleet/controller/fleetreport"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

var began = time.Date(2026, 11, 26, 5, 0, 0, 0, time.UTC)

// story is a rollout over two waves, the second of which asks for approval.
type story struct {
	t      *testing.T
	state  *rollout.State
	events []rollout.Event
	sink   *Rollout
	at     time.Time
}

var kinds = []plan.Kind{plan.KindClose, plan.KindSnapshot, plan.KindHop, plan.KindInspect, plan.KindOpen}

func target(wave, name string) plan.Target {
	t := plan.Target{Name: name, Host: name, Instance: "main", ClosedSeconds: 80}
	var ids []string
	for _, k := range kinds {
		phase := plan.PhaseClosed
		if k == plan.KindOpen {
			phase = plan.PhaseAfter
		}
		id := wave + "/" + name + "/" + string(k)
		ids = append(ids, id)
		t.Steps = append(t.Steps, plan.Step{ID: id, Kind: k, Phase: phase, Target: name, Host: name, Instance: "main", Changes: k == plan.KindHop})
	}
	t.Undo = []plan.Step{{ID: wave + "/" + name + "/undo-open", Kind: plan.KindOpen, Phase: plan.PhaseAfter, Target: name, Host: name, Instance: "main", Undoes: ids[:1]}}
	return t
}

func begin(t *testing.T) *story {
	p := &plan.Plan{FormatVersion: 1, Rollout: "monthly", Policy: plan.Policy{MaxUnavailable: 2, Ahead: 2, FailureBudget: 1, OnHold: "wait", HoldTimeout: time.Hour},
		Waves: []plan.Wave{{Name: "canary", Targets: []plan.Target{target("canary", "cloud-01")}},
			{Name: "rest", Approve: true, Targets: []plan.Target{target("rest", "cloud-02"), target("rest", "cloud-03")}}},
		Blocked: []plan.Blocked{{Target: "cloud-04"}}}
	s, err := rollout.New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	y := &story{t: t, state: s, at: began}
	y.sink = NewRollout("r1", s, nil, true)
	return y
}

func (y *story) tell(e rollout.Event) {
	y.t.Helper()
	e.At, e.Seq = y.at, int64(len(y.events)+1)
	if err := y.state.Apply(e); err != nil {
		y.t.Fatal(err)
	}
	y.events = append(y.events, e)
	y.sink.Event(e, y.state)
}

// step runs one step of a target for some seconds.
func (y *story) step(id string, seconds float64, end rollout.EventKind) {
	y.t.Helper()
	y.tell(rollout.Event{Kind: rollout.EventStepBegun, Step: id})
	y.at = y.at.Add(time.Duration(seconds * float64(time.Second)))
	e := rollout.Event{Kind: end, Step: id, Seconds: seconds}
	if strings.HasSuffix(id, "/snapshot") {
		e.Handle = &driver.Handle{Driver: "archive", Key: "r1", Data: []byte("x")}
	}
	y.tell(e)
}

// halfway is a rollout with one target upgraded, one held and closed, one waiting.
func halfway(t *testing.T) *story {
	y := begin(t)
	y.tell(rollout.Event{Kind: rollout.EventStarted})
	for _, k := range kinds {
		y.step("canary/cloud-01/"+string(k), 4, rollout.EventStepDone)
	}
	y.tell(rollout.Event{Kind: rollout.EventApproved, Wave: "rest"})
	for _, k := range kinds[:3] {
		y.step("rest/cloud-02/"+string(k), 70, rollout.EventStepDone)
	}
	y.step("rest/cloud-02/inspect", 9, rollout.EventStepHeld)
	return y
}

func fleet() Fleet {
	at := began
	return Fleet{&fleetreport.ReportDocument{FactsTo: &at, Unreachable: []fleetreport.Unreachable{{Host: "cloud-02"}},
		Lifetimes: []fleetreport.Lifetime{{Product: "Nextcloud", Until: "2027-06-30", Targets: []string{`a"b\c` + "\n"}}, {Product: "PHP", Until: "2026-12-31", Targets: []string{"x"}}},
		HeldBy:    []fleetreport.HeldBy{{App: "mail", Major: 35, Targets: []string{"x", "y"}}},
		Targets: []fleetreport.Target{
			{Name: `a"b\c` + "\n", Host: "cloud-01", Instance: "main", State: fleetreport.TargetOpen, Nextcloud: "34.0.3", PHP: "8.4.3", Database: "MariaDB 11.8.1",
				Next: &fleetreport.Next{State: fleetreport.Blocked}, Drift: &fleetreport.Drift{Changes: make([]fleetreport.Change, 2)},
				Snapshot: &fleetreport.Proven{At: began}, Closed: &fleetreport.Expected{Source: "history", MedianSeconds: 30, MaxSeconds: 45}},
			{Name: "cloud-02", Host: "cloud-02", Instance: "main", State: fleetreport.TargetUnreachable},
			{Name: "cloud-03", Host: "cloud-03", State: fleetreport.TargetHost},
		}}}
}

// TestLint holds every metric against Prometheus' own linter.
func TestLint(t *testing.T) {
	for name, c := range map[string]prometheus.Collector{"rollout": halfway(t).sink, "fleet": fleet(), "none": NoRollout{}} {
		problems, err := testutil.CollectAndLint(c)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s: %s", name, p.Metric, p.Text)
		}
	}
}

// values reads metrics back: name and labels → value.
func values(t *testing.T, text io.Reader) map[string]float64 {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for name, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			key := name + "{" + strings.Join(labels, ",") + "}"
			switch f.GetType() {
			case dto.MetricType_HISTOGRAM:
				out[key] = float64(m.Histogram.GetSampleCount())
				out[key+" sum"] = m.Histogram.GetSampleSum()
			case dto.MetricType_COUNTER:
				out[key] = m.Counter.GetValue()
			default:
				out[key] = m.Gauge.GetValue()
			}
		}
	}
	return out
}

func want(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for key, value := range want {
		if v, ok := got[key]; !ok || v != value {
			t.Errorf("%s is %v (there: %t), want %v", key, v, ok, value)
		}
	}
}

func TestRollout(t *testing.T) {
	y := halfway(t)
	var b strings.Builder
	if err := Write(&b, y.sink); err != nil {
		t.Fatal(err)
	}
	live := values(t, strings.NewReader(b.String()))
	unix := func(at time.Time) float64 { return float64(at.Unix()) }
	want(t, live, map[string]float64{
		"ncfleet_controller_running{}":                             1,
		"ncfleet_rollout_info{id=r1,rollout=monthly}":              1,
		"ncfleet_rollout_state{state=running}":                     1,
		"ncfleet_rollout_state{state=halted}":                      0,
		"ncfleet_rollout_decision_needed{}":                        1,
		"ncfleet_rollout_targets{state=upgraded}":                  1,
		"ncfleet_rollout_targets{state=held}":                      1,
		"ncfleet_rollout_targets{state=waiting}":                   1,
		"ncfleet_rollout_targets{state=untouched}":                 1,
		"ncfleet_rollout_waves{state=passed}":                      1,
		"ncfleet_rollout_waves{state=under_way}":                   1,
		"ncfleet_rollout_failures{}":                               0,
		"ncfleet_rollout_failure_budget{}":                         1,
		"ncfleet_rollout_start_timestamp_seconds{}":                unix(began),
		"ncfleet_rollout_last_event_timestamp_seconds{}":           unix(y.at),
		"ncfleet_target_closed_timestamp_seconds{target=cloud-02}": unix(began.Add(20 * time.Second)),
		"ncfleet_target_closed_expected_seconds{target=cloud-02}":  80,
		"ncfleet_target_decision_needed{target=cloud-02}":          1,
		"ncfleet_steps_total{kind=inspect,result=held}":            1,
		"ncfleet_steps_total{kind=hop,result=succeeded}":           2,
		"ncfleet_step_duration_seconds{kind=hop}":                  2,
		"ncfleet_step_duration_seconds{kind=hop} sum":              74,
		"ncfleet_step_duration_seconds{kind=inspect}":              2,
		"ncfleet_step_duration_seconds{kind=inspect} sum":          13,
	})
	for key := range live {
		if strings.Contains(key, "target=cloud-01") || strings.Contains(key, "target=cloud-03") {
			t.Errorf("%s: a target that is open and asks for nothing has no series", key)
		}
	}
	b.Reset()
	if err := Write(&b, NewRollout("r1", y.state, y.events, true)); err != nil {
		t.Fatal(err)
	}
	if replayed := values(t, strings.NewReader(b.String())); fmt.Sprint(replayed) != fmt.Sprint(live) {
		t.Errorf("read from the journal:\n%v\nfollowed live:\n%v", replayed, live)
	}
}

// TestDecisions: a wave that asks, a pause and a halt each need somebody; an end
// does not.
func TestDecisions(t *testing.T) {
	decision := func(y *story) float64 {
		var b strings.Builder
		if err := Write(&b, y.sink); err != nil {
			t.Fatal(err)
		}
		return values(t, strings.NewReader(b.String()))["ncfleet_rollout_decision_needed{}"]
	}
	y := begin(t)
	y.tell(rollout.Event{Kind: rollout.EventStarted})
	if decision(y) != 0 {
		t.Error("a rollout that has just begun asks for nothing")
	}
	y.tell(rollout.Event{Kind: rollout.EventPaused})
	if decision(y) != 1 {
		t.Error("a paused rollout goes on only when it is resumed")
	}
	y.tell(rollout.Event{Kind: rollout.EventResumed})
	for _, k := range kinds {
		y.step("canary/cloud-01/"+string(k), 1, rollout.EventStepDone)
	}
	if decision(y) != 1 {
		t.Error("the second wave asks for approval")
	}
	y.tell(rollout.Event{Kind: rollout.EventAborted})
	y.tell(rollout.Event{Kind: rollout.EventEnded, Detail: string(rollout.Aborted)})
	if decision(y) != 0 {
		t.Error("an aborted rollout asks for nothing")
	}
}

// TestTextfile: the file is whole, can be read by the node exporter, and holds
// every name as it is.
func TestTextfile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ncfleet.prom")
	if err := os.WriteFile(file, []byte("# old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(file, NoRollout{}, fleet()); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	hostile := `target=a"b\c` + "\n"
	got := values(t, f)
	want(t, got, map[string]float64{
		"ncfleet_controller_running{}":                                                              0,
		"ncfleet_survey_timestamp_seconds{}":                                                        float64(began.Unix()),
		"ncfleet_host_facts{host=cloud-01}":                                                         1,
		"ncfleet_host_facts{host=cloud-02}":                                                         0,
		"ncfleet_host_facts{host=cloud-03}":                                                         1,
		"ncfleet_instance_open{" + hostile + "}":                                                    1,
		"ncfleet_instance_ready{" + hostile + "}":                                                   0,
		"ncfleet_instance_changes{" + hostile + "}":                                                 2,
		"ncfleet_instance_snapshot_timestamp_seconds{" + hostile + "}":                              float64(began.Unix()),
		"ncfleet_instance_closed_expected_seconds{source=history," + hostile + "}":                  45,
		"ncfleet_instance_end_of_life_timestamp_seconds{" + hostile + "}":                           float64(time.Date(2027, 7, 1, 0, 0, 0, 0, time.UTC).Unix()),
		"ncfleet_app_held_instances{app=mail,major=35}":                                             2,
		"ncfleet_instance_info{database=MariaDB 11.8.1,nextcloud=34.0.3,php=8.4.3," + hostile + "}": 1,
	})
	if _, there := got["ncfleet_instance_open{target=cloud-02}"]; there {
		t.Error("whether an instance is open is not known of a host that did not answer")
	}
	if err := WriteFile(filepath.Join(t.TempDir(), "no", "such.prom"), NoRollout{}); err == nil {
		t.Error("a folder that is not there was not told")
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); err != nil || len(left) != 1 {
		t.Errorf("files left: %v, %v", left, err)
	}
}

// TestServe scrapes while events come in.
func TestServe(t *testing.T) {
	l, err := Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	if host, _, err := net.SplitHostPort(l.Addr().String()); err != nil || host != "127.0.0.1" {
		t.Errorf("without a host it listens at %s, %v; want the loopback address", host, err)
	}
	y := begin(t)
	end, err := Serve(l, y.sink)
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	var scrapes sync.WaitGroup
	for range 2 {
		scrapes.Go(func() {
			for range 10 {
				resp, err := http.Get(url + "/metrics")
				if err != nil {
					t.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("%s, %v", resp.Status, err)
				}
			}
		})
	}
	y.tell(rollout.Event{Kind: rollout.EventStarted})
	for _, k := range kinds {
		y.step("canary/cloud-01/"+string(k), 1, rollout.EventStepDone)
	}
	scrapes.Wait()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	got := values(t, resp.Body)
	resp.Body.Close()
	want(t, got, map[string]float64{"ncfleet_rollout_targets{state=upgraded}": 1, "ncfleet_rollout_waves{state=needs_approval}": 1, "ncfleet_rollout_decision_needed{}": 1})
	for _, path := range []string{"/", "/debug/pprof/"} {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s is %s: only /metrics is served", path, resp.Status)
		}
	}
	end()
	if _, err := http.Get(url + "/metrics"); err == nil {
		t.Error("it still answers after its end")
	}
	for _, bad := range []string{"9464", "nonsense:port:1", "127.0.0.1:99999"} {
		if l, err := Listen(bad); err == nil {
			l.Close()
			t.Errorf("%q was taken as an address", bad)
		}
	}
}
