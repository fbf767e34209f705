package executor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

const (
	outputTail = 8 << 10
	// startTries bounds how often a host that cannot be reached is asked to
	// start a run: with pauses doubling from one second, about ten minutes.
	startTries   = 14
	longestPause = time.Minute
	// restarts bounds how often an idempotent script that was lost, by a reboot
	// say, is started anew.
	restarts = 3
	// defaultTimeout is for steps that name none.
	defaultTimeout = time.Hour
)

// command is the detached run of a host script.
func (w *work) command(i nextcloud.Invocation, env map[string]string) (driver.Command, error) {
	text, err := nextcloud.ScriptText(i.Script)
	if err != nil {
		return driver.Command{}, err
	}
	if want, ok := w.plan.Scripts[i.Script]; ok {
		if have := nextcloud.ScriptDigests()[i.Script]; have != want {
			return driver.Command{}, fmt.Errorf("%s is not the script that the plan was made with (%.12s, the plan says %.12s): make the plan again, or use the ncfleet that made it", i.Script, have, want)
		}
	}
	return driver.Command{Argv: append([]string{"sh", "-s", "--"}, i.Args...), Stdin: []byte(text), User: "root", Env: env, Timeout: w.timeout()}, nil
}

func (w *work) timeout() time.Duration {
	if w.step.Timeout > 0 {
		return w.step.Timeout
	}
	return defaultTimeout
}

// run starts the detached run of that id, or attaches to it, and waits for its
// end, at most for the step's time; then it is ended.
func (w *work) run(ctx context.Context, id string, c driver.Command) (driver.RunState, error) {
	state, err := w.start(ctx, id, c)
	if err != nil {
		return state, err
	}
	if state.Phase != driver.RunRunning {
		return w.remote.Look(ctx, id)
	}
	limited, stop := context.WithTimeout(ctx, w.timeout())
	defer stop()
	state, err = w.remote.Wait(limited, id, w.progress())
	if err == nil || ctx.Err() != nil || limited.Err() == nil {
		return state, err
	}
	if err := w.remote.Abort(ctx, id, w.token()); err != nil {
		return state, fmt.Errorf("the run took longer than %s and cannot be ended: %w", w.timeout(), err)
	}
	return state, fmt.Errorf("the run took longer than %s and was ended; raise the timeout in the rollout if it needs more", w.timeout())
}

func (w *work) progress() func(stdout, stderr []byte) {
	if w.Progress == nil {
		return nil
	}
	return func(stdout, stderr []byte) {
		if len(stdout) > 0 {
			w.Progress(w.step.ID, stdout)
		}
		if len(stderr) > 0 {
			w.Progress(w.step.ID, stderr)
		}
	}
}

// start asks again while the host cannot be reached; asking again with one id
// never starts a second run.
func (w *work) start(ctx context.Context, id string, c driver.Command) (driver.RunState, error) {
	return insist(ctx, w, func() (driver.RunState, error) { return w.remote.Start(ctx, id, w.token(), c) })
}

// look asks what became of a run, again while the host cannot be reached.
func (w *work) look(ctx context.Context, id string) (driver.RunState, error) {
	return insist(ctx, w, func() (driver.RunState, error) { return w.remote.Look(ctx, id) })
}

// insist repeats a call that is safe to repeat, at most startTries times.
func insist[T any](ctx context.Context, w *work, call func() (T, error)) (T, error) {
	wait := time.Second
	for try := 1; ; try++ {
		state, err := call()
		if err == nil || try == startTries || w.Retryable == nil || !w.Retryable(err) {
			return state, err
		}
		select {
		case <-time.After(wait):
			wait = min(2*wait, longestPause)
		case <-ctx.Done():
			return state, err
		}
	}
}

// again reports whether a lost run of this step may be started anew: its
// script reads from the world what is left to do. A hop is not among them: see
// hop.
func (w *work) again() bool {
	switch w.step.Kind {
	case plan.KindHold, plan.KindStage, plan.KindClose, plan.KindOpen, plan.KindTidy, plan.KindAbsent, plan.KindRelease, plan.KindUnstage,
		plan.KindRestore, plan.KindRepair, plan.KindInspect:
		return true
	default:
		return false
	}
}

// attempt names the n-th start of a run, from 1.
func attempt(id string, n int) string {
	if n == 1 {
		return id
	}
	return id + "~" + strconv.Itoa(n)
}

// runScript runs a host script to its end, and anew when it was lost and may be.
func (w *work) runScript(ctx context.Context, i nextcloud.Invocation) (driver.RunState, error) {
	c, err := w.command(i, nil)
	if err != nil {
		return driver.RunState{}, err
	}
	return w.runAgain(ctx, w.id(), c)
}

func (w *work) runAgain(ctx context.Context, id string, c driver.Command) (driver.RunState, error) {
	for n := 1; ; n++ {
		state, err := w.run(ctx, attempt(id, n), c)
		if err != nil || state.Phase != driver.RunLost || n == restarts || !w.again() {
			return state, err
		}
	}
}

// script performs a step that is one host script.
func (w *work) script(ctx context.Context) Outcome {
	if w.step.Script == "" {
		return Outcome{Status: Failed, Detail: "step " + w.step.ID + " has no script: make the plan again"}
	}
	state, err := w.runScript(ctx, nextcloud.Invocation{Script: w.step.Script, Args: w.step.Args})
	return w.scriptOutcome(state, err)
}

// scriptOutcome reads a script's end from what it reported.
func (w *work) scriptOutcome(state driver.RunState, err error) Outcome {
	report := nextcloud.ParseReport(state.Stdout)
	o := Outcome{Evidence: evidence(report), Output: tail(state.Stdout, state.Stderr)}
	switch {
	case w.barred(err):
		o.Status, o.Detail = Fenced, err.Error()
	case err != nil:
		o.Status, o.Detail = Failed, err.Error()
	case state.Phase == driver.RunLost:
		o.Status = Lost
		o.Detail = "the run was lost: " + orElse(state.Detail, "its process is gone without an exit status")
	case state.Phase != driver.RunExited:
		o.Status, o.Detail = Lost, fmt.Sprintf("the run is in the unexpected state %q", state.Phase)
	case state.Exit != 0 && w.step.Kind == plan.KindTidy:
		// Users are in and the site works: what is left undone is told.
		o.Status, o.Detail = Succeeded, "not all could be tidied: "+orElse(last(report.Degraded), orElse(last(report.Errors), lastLine(state.Stderr)))
		o.Evidence["degraded"] = o.Detail
	case state.Exit != 0 && w.step.Kind == plan.KindRepair && len(w.closes()) > 0:
		// A package that cannot be configured need not keep users out: the gate
		// looks next whether the site works.
		o.Status, o.Detail = Succeeded, "packages are not at rest: "+orElse(lastLine(state.Stderr), lastLine(state.Stdout))+"; repair them by hand: dpkg --audit names them on Debian"
		o.Evidence["degraded"] = o.Detail
	case state.Exit != 0:
		why := last(report.Errors)
		if why == "" {
			why = fmt.Sprintf("%s ended with exit status %d: %s", orElse(w.step.Script, "the command"), state.Exit, orElse(lastLine(state.Stderr), lastLine(state.Stdout)))
		}
		o.Status, o.Detail = Failed, why
	default:
		o.Status = Succeeded
		if len(report.Degraded) > 0 {
			o.Detail = "done, but: " + strings.Join(report.Degraded, "; ")
		}
	}
	return o
}

// evidence turns a report into facts for the journal.
func evidence(r nextcloud.Report) map[string]string {
	e := map[string]string{}
	for _, d := range []struct{ name, from, to string }{
		{"upgrade_seconds", "upgrade-begin", "upgrade-end"},
		{"swap_seconds", "swap-begin", "swap-end"},
		{"stage_seconds", "stage-begin", "stage-end"},
		{"gate_seconds", "door-open", "gate-end"},
	} {
		if s, ok := r.Between(d.from, d.to); ok {
			e[d.name] = strconv.FormatFloat(s, 'f', 3, 64)
		}
	}
	for _, m := range []string{"closed", "closed-seen", "opened", "open-seen"} {
		if t, ok := r.Marks[m]; ok {
			e[strings.ReplaceAll(m, "-", "_")+"_at"] = strconv.FormatFloat(t, 'f', 3, 64)
		}
	}
	for _, v := range []string{"version", "config-version", "code-version", "seen", "store", "rounds"} {
		if t, ok := r.Values[v]; ok {
			e[strings.ReplaceAll(v, "-", "_")] = t
		}
	}
	for name, list := range map[string][]string{"notes": r.Notes, "degraded": r.Degraded, "log": r.Log, "disabled_apps": r.Disabled} {
		if len(list) > 0 {
			e[name] = strings.Join(list, "\n")
		}
	}
	return e
}

// tail is the end of a run's output, errors last.
func tail(stdout, stderr []byte) string {
	text := string(stdout)
	if len(stderr) > 0 {
		text += "\n" + string(stderr)
	}
	if len(text) > outputTail {
		text = text[len(text)-outputTail:]
	}
	return strings.ToValidUTF8(text, "?")
}

func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

func last(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[len(list)-1]
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

var errNoHandle = errors.New("the journal holds no snapshot of this target")
