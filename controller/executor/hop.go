package executor

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

const (
	// hopTries bounds how often one hop is started, whatever its traces say.
	hopTries = 6
	// databaseWait bounds how long an interrupted hop waits for its database.
	databaseWait  = 5 * time.Minute
	databaseEvery = 5 * time.Second
)

// hop performs a hop. One that was interrupted is looked at, and what its
// traces allow is done: see nextcloud.Classify. Attempts have fixed names, so a
// later controller walks the same way and attaches to each.
func (w *work) hop(ctx context.Context) Outcome {
	c, err := w.command(nextcloud.Invocation{Script: w.step.Script, Args: w.step.Args}, nil)
	if err != nil {
		return w.scriptOutcome(driver.RunState{}, err)
	}
	var story []string
	again := 0
	for n := 1; ; n++ {
		state, err := w.run(ctx, attempt(w.id(), n), c)
		o := w.scriptOutcome(state, err)
		if err != nil || o.Status == Succeeded || n == hopTries || !interrupted(state) {
			return told(o, story)
		}
		found, err := w.classify(ctx, state)
		if err != nil {
			o.Detail += "; and nobody can say how far it came: " + err.Error()
			return told(o, story)
		}
		o.Evidence["interrupted"] = string(found)
		story = append(story, o.Detail+" ("+string(found)+")")
		switch found.Action() {
		case nextcloud.ActionStart, nextcloud.ActionWait, nextcloud.ActionAccept:
			continue // the script waits for what runs, and leaves alone what is done
		case nextcloud.ActionRunAgain:
			if again++; again <= w.step.Reruns {
				continue
			}
		case nextcloud.ActionAsk:
			o.Evidence[rollout.EvidenceForeign] = "yes"
			o.Detail += "; somebody else changed or opened the site meanwhile: nothing is undone by itself, look at it first"
			return o
		case nextcloud.ActionRollBack, nextcloud.ActionWaitDatabase:
		}
		o.Detail += "; it is: " + string(found)
		return told(o, story[:len(story)-1])
	}
}

// interrupted reports whether the run was cut short.
func interrupted(s driver.RunState) bool {
	exit := s.Exit
	if s.Phase != driver.RunExited {
		exit = -1
	}
	return nextcloud.Interrupted(nextcloud.ParseReport(s.Stdout), string(s.Stdout)+string(s.Stderr), exit)
}

// told adds to an outcome what happened before.
func told(o Outcome, story []string) Outcome {
	if len(story) == 0 {
		return o
	}
	before := "interrupted and run again: " + strings.Join(story, "; then ")
	if o.Status == Succeeded {
		o.Detail = strings.TrimPrefix(o.Detail+"; "+before, "; ")
	} else {
		o.Detail += "; before that, " + before
	}
	o.Evidence["attempts"] = strconv.Itoa(len(story) + 1)
	return o
}

// classify looks at what the interrupted run left behind. While its database is
// away it waits, for as long as databaseWait.
func (w *work) classify(ctx context.Context, state driver.RunState) (nextcloud.Interruption, error) {
	until := time.Now().Add(databaseWait)
	for {
		t, err := w.traces(ctx, state)
		if err != nil {
			return "", err
		}
		found := nextcloud.Classify(t)
		if found.Action() != nextcloud.ActionWaitDatabase || time.Now().After(until) {
			return found, nil
		}
		if w.Progress != nil {
			w.Progress(w.step.ID, []byte("the database cannot be reached: waiting for it\n"))
		}
		select {
		case <-time.After(databaseEvery):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func (w *work) traces(ctx context.Context, state driver.RunState) (nextcloud.Traces, error) {
	c, err := w.command(nextcloud.Look(w.step.Args), nil)
	if err != nil {
		return nextcloud.Traces{}, err
	}
	c.Timeout = 5 * time.Minute
	r, err := insist(ctx, w, func() (driver.Result, error) { return w.remote.Run(ctx, c) })
	if err != nil {
		return nextcloud.Traces{}, err
	}
	if r.Exit != 0 {
		return nextcloud.Traces{}, fmt.Errorf("cannot look at the site: %s", orElse(lastLine(r.Stderr), lastLine(r.Stdout)))
	}
	t := nextcloud.ReadTraces(nextcloud.ParseReport(r.Stdout))
	t.From, t.To = w.hopVersions()
	t.Run = state.Phase
	_, t.Upgrading = nextcloud.ParseReport(state.Stdout).Marks["upgrade-begin"]
	t.AppFailed = nextcloud.FailedApp(string(state.Stdout))
	return t, nil
}

// hopVersions are the versions between which this hop goes.
func (w *work) hopVersions() (from, to nextcloud.Version) {
	// An unreadable version stays zero and is then nobody's.
	to, _ = nextcloud.ParseVersion(nextcloud.Option(w.step.Args, "--to"))
	from = w.target.From
	for _, h := range w.target.Hops {
		if h.To.SameRelease(to) {
			from = h.From
		}
	}
	return from, to
}
