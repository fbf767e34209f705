package report

import (
	"fmt"
	"io"
	"math"
	"sort"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/rollout"
)

// LogDocument is a rollout's events, oldest first.
type LogDocument struct {
	FormatVersion int             `json:"format_version"`
	ID            string          `json:"id"`
	Events        []EventDocument `json:"events"`
}

// EventDocument is one thing that happened in a rollout. Of a snapshot's handle
// it shows whose it is and its key, not what the driver keeps in it.
type EventDocument struct {
	FormatVersion int               `json:"format_version"`
	Seq           int64             `json:"seq"`
	At            time.Time         `json:"at"`
	Kind          string            `json:"kind"`
	Step          string            `json:"step,omitempty"`
	Target        string            `json:"target,omitempty"`
	Wave          string            `json:"wave,omitempty"`
	Who           string            `json:"who,omitempty"`
	Digest        string            `json:"digest,omitempty"`
	Detail        string            `json:"detail,omitempty"`
	Driver        string            `json:"driver,omitempty"`
	Snapshot      string            `json:"snapshot,omitempty"`
	Evidence      map[string]string `json:"evidence,omitempty"`
	Seconds       float64           `json:"seconds,omitempty"`
}

// LogFilter chooses events of a log; the zero value takes all.
type LogFilter struct {
	Target string
	// Step is a kind of step ("hop"), or a step's name within its target
	// ("undo-restore", "hop-2").
	Step string
}

// takes reports whether the filter lets an event through.
func (f LogFilter) takes(e rollout.Event) bool {
	if f.Target != "" && eventTarget(e) != f.Target {
		return false
	}
	if f.Step == "" {
		return true
	}
	name := shortID(e.Step)
	repeat, ok := strings.CutPrefix(name, f.Step+"-")
	return e.Step != "" && (name == f.Step || ok && strings.Trim(repeat, "0123456789") == "")
}

// Log writes events in their order, a line each: those that the filter takes.
func Log(w io.Writer, events []rollout.Event, filter LogFilter, o Options) error {
	pg := newPage(w, o)
	for _, e := range events {
		if filter.takes(e) {
			logLine(pg, e)
		}
	}
	return pg.err
}

// LogJSON is the same for programs.
func LogJSON(id string, events []rollout.Event, filter LogFilter) LogDocument {
	v := LogDocument{FormatVersion: formatVersion, ID: id, Events: []EventDocument{}}
	for _, e := range events {
		if filter.takes(e) {
			v.Events = append(v.Events, EventJSON(e))
		}
	}
	return v
}

// eventTarget is the target that an event is about, "" for none. A step's id
// is "wave/target/kind", and a target may hold a slash.
func eventTarget(e rollout.Event) string {
	if e.Target != "" || e.Step == "" {
		return e.Target
	}
	first, last := strings.Index(e.Step, "/"), strings.LastIndex(e.Step, "/")
	if first < 0 || first == last {
		return ""
	}
	return e.Step[first+1 : last]
}

// EventJSON is one event for programs.
func EventJSON(e rollout.Event) EventDocument {
	v := EventDocument{FormatVersion: formatVersion, Seq: e.Seq, At: e.At.UTC().Truncate(time.Millisecond), Kind: string(e.Kind), Step: e.Step,
		Target: eventTarget(e), Wave: e.Wave, Who: e.Who, Digest: e.Digest, Detail: e.Detail, Evidence: e.Evidence, Seconds: math.Round(e.Seconds*1000) / 1000}
	if e.Handle != nil {
		v.Driver, v.Snapshot = e.Handle.Driver, e.Handle.Key
	}
	return v
}

func logLine(pg *page, e rollout.Event) {
	words := []string{strings.ReplaceAll(string(e.Kind), "_", " ")}
	for _, s := range []string{e.Step, e.Target, e.Wave} {
		if s != "" {
			words = append(words, s)
		}
	}
	if e.Who != "" {
		words = append(words, "by "+e.Who)
	}
	if s := seconds(e); s != "" {
		words = append(words, "after "+s)
	}
	lead := fmt.Sprintf("%5d  %s  ", e.Seq, e.At.UTC().Format("2006-01-02 15:04:05"))
	pg.item(0, len(lead), "", strings.TrimRight(lead, " "), strings.Join(words, " "))
	logMore(pg, len(lead), e)
}

// logMore writes what an event knows beside that it happened.
func logMore(pg *page, indent int, e rollout.Event) {
	if e.Detail != "" {
		pg.item(indent, indent, "", "", e.Detail)
	}
	if e.Handle != nil {
		pg.item(indent, indent, "", "", fmt.Sprintf("snapshot %s by driver %s", e.Handle.Key, e.Handle.Driver))
	}
	for _, k := range evidenceKeys(e.Evidence) {
		pg.item(indent, indent, "", "", k+" = "+e.Evidence[k])
	}
}

func evidenceKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
