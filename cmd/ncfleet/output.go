package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// The forms of --output.
const (
	outputText   = "text"
	outputJSON   = "json"   // one document, over several lines
	outputNDJSON = "ndjson" // a line each: of lists the entries, of what runs the events and then the outcome
)

var outputs = []string{outputText, outputJSON, outputNDJSON}

// checkOutput refuses a form that there is not.
func (a *app) checkOutput() error {
	if slices.Contains(outputs, a.output) {
		return nil
	}
	return &exitCode{exitUsage, fmt.Sprintf("error: --output %q: write one of %s", a.output, strings.Join(outputs, ", "))}
}

// json reports whether data is wanted for programs, in either form.
func (a *app) json() bool { return a.output == outputJSON || a.output == outputNDJSON }

// talk is where everything for people goes: standard output belongs to the
// documents when programs read it.
func (a *app) talk() io.Writer {
	if a.json() {
		return a.stderr
	}
	return a.stdout
}

// say writes one line for people.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.talk(), format+"\n", args...) }

// print writes a document to standard output when programs read it; for people
// the command has said the same by itself.
func (a *app) print(document any) error {
	switch a.output {
	case outputJSON:
		return report.Encode(a.stdout, document, "  ")
	case outputNDJSON:
		return report.Encode(a.stdout, document, "")
	}
	return nil
}

// printList writes a list: as one document, or its entries line by line.
func printList[E any](a *app, document any, entries []E) error {
	if a.output != outputNDJSON {
		return a.print(document)
	}
	for _, e := range entries {
		if err := a.print(e); err != nil {
			return err
		}
	}
	return nil
}

// eventStream is a sink that prints each event as it happens, when lines are
// wanted.
type eventStream struct{ *app }

func (s eventStream) Event(e rollout.Event, _ *rollout.State) {
	if s.output != outputNDJSON {
		return
	}
	if err := s.print(report.EventJSON(e)); err != nil {
		fmt.Fprintf(s.stderr, "warning: event %d was not written: %v\n", e.Seq, err)
	}
}

func (eventStream) Waiting([]string, *rollout.State) {}
