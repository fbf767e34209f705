package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/executor"
	"github.com/ncfleet/ncfleet/controller/plan"
)

// panicking is a performer with a bug.
type panicking struct{}

func (panicking) Perform(context.Context, *plan.Plan, *plan.Target, plan.Step, executor.Memory) executor.Outcome {
	panic("a bug")
}

func (panicking) Lookup(context.Context, *plan.Plan, *plan.Target, plan.Step, executor.Memory) (executor.Outcome, bool) {
	return executor.Outcome{Status: executor.Succeeded}, true
}

// TestPanicsGiveTheTerminalBack: a worker's panic goes on, after the terminal
// was given back; a step that ends is no reason to.
func TestPanicsGiveTheTerminalBack(t *testing.T) {
	given := 0
	g := guarded{panicking{}, func() { given++ }}
	if o, found := g.Lookup(t.Context(), nil, nil, plan.Step{}, executor.Memory{}); o.Status != executor.Succeeded || !found || given != 0 {
		t.Errorf("%+v, %v, given back %d times", o, found, given)
	}
	defer func() {
		if r := recover(); r != "a bug" || given != 1 {
			t.Errorf("panic %v, given back %d times", r, given)
		}
	}()
	g.Perform(t.Context(), nil, nil, plan.Step{}, executor.Memory{})
}

// TestLinesWhereNoViewCanBe: what is no terminal never gets a live view, nor a
// line that is written over.
func TestLinesWhereNoViewCanBe(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("CI", "")
	file, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if liveOn(file) != nil || liveOn(&bytes.Buffer{}) != nil || liveOn(steady(file)) != nil {
		t.Error("a live view in a file")
	}
	a := &app{stderr: file}
	c := a.count("surveyed", []string{"a", "b"})
	c.begun = c.begun.Add(-counterAfter)
	c.done("a")
	c.end()
	text, err := os.ReadFile(file.Name())
	if err != nil || strings.TrimSpace(string(text)) != "" {
		t.Errorf("counted into a file: %q, %v", text, err)
	}
}
