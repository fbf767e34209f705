package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/rollout"
)

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
