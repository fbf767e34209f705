package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/trace"
)

// traces returns where spans go, nil when the environment asks for none or they
// cannot be sent: that is told and stops nothing.
func (a *app) traces() *trace.Sender {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sender != nil || a.traced {
		return a.sender
	}
	a.traced = true
	complain := func(text string) { fmt.Fprintln(a.stderr, "warning: "+text) }
	wanted, err := trace.Configured(os.Getenv)
	if err == nil && wanted {
		a.sender, err = trace.Open(context.Background(), version, complain)
	}
	if err != nil {
		complain(err.Error())
	}
	return a.sender
}

// endTraces delivers what waits; it takes a few seconds at most.
func (a *app) endTraces() {
	if a.sender != nil {
		a.sender.Close()
	}
}

// surveyed collects how the survey of each host went; nil collects nothing.
type surveyed struct {
	mu   sync.Mutex
	list []trace.Surveyed
}

// take runs the survey of one host.
func (s *surveyed) take(survey func() plan.Facts) plan.Facts {
	if s == nil {
		return survey()
	}
	begun := time.Now()
	f := survey()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, trace.Surveyed{Host: f.Host, Begun: begun, Ended: time.Now(), Unreachable: f.Unreachable})
	return f
}
