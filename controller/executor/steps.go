package executor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// recheck takes new facts and refuses when they differ from the plan's.
func (w *work) recheck(ctx context.Context) Outcome {
	facts := w.Surveyor.Take(ctx, w.step.Host)
	if strings.HasSuffix(facts.Lease, ", rollout "+w.memory.Rollout) {
		facts.Lease = "" // our own, taken for another instance of this host
	}
	differences := plan.Diff(*w.target, facts)
	if len(differences) == 0 {
		return Outcome{Status: Succeeded}
	}
	var lines []string
	for _, d := range differences {
		lines = append(lines, fmt.Sprintf("%s: planned %s, found %s", d.What, d.Planned, d.Found))
	}
	return Outcome{Status: Refused, Differences: differences,
		Detail: "no longer as planned: " + strings.Join(lines, "; ") + "; nothing was done; make a new plan"}
}

// stage verifies the archive and sends it, unless the host fetches it itself or
// has the tree already, and unpacks it. The lock keeps another target of the
// host from removing the archive between the two.
func (w *work) stage(ctx context.Context) Outcome {
	if w.step.Release == nil {
		return Outcome{Status: Failed, Detail: "step " + w.step.ID + " names no release: make the plan again"}
	}
	state, err := w.look(ctx, w.id())
	if err != nil {
		return w.failed("cannot look for the run", err)
	}
	unlock := w.lock("files of " + w.step.Host)
	defer unlock()
	if state.Phase == driver.RunNever || state.Phase == driver.RunLost {
		if err := w.send(ctx); err != nil {
			return w.failed("cannot send "+w.step.Release.Name, err)
		}
	}
	return w.script(ctx)
}

func (w *work) send(ctx context.Context) error {
	path, staged := nextcloud.Option(w.step.Args, "--archive"), nextcloud.Option(w.step.Args, "--staged")
	marker, err := w.remote.Run(ctx, driver.Command{Argv: []string{"sh", "-c", `cat "$1"`, "sh", staged + "/.ncfleet-staged"}, User: "root", Timeout: time.Minute})
	if err == nil && marker.Exit == 0 && strings.TrimSpace(string(marker.Stdout)) == w.step.Release.SHA512 {
		return nil
	}
	unlock := w.lock("release " + w.step.Release.Name)
	_, sum, size, open, err := w.Releases.Open(ctx, *w.step.Release)
	unlock()
	if err != nil {
		return err
	}
	if nextcloud.Option(w.step.Args, "--fetch") != "" {
		return nil // verified here, file by file; the host fetches what has the same SHA-512
	}
	return w.remote.Put(ctx, w.token(), path, "root", 0o600, size, sum, open)
}

// reboot restarts the host if it asks for it, and waits for another boot id.
func (w *work) reboot(ctx context.Context) Outcome {
	invocation := nextcloud.Invocation{Script: w.step.Script, Args: w.step.Args}
	if invocation.Script == "" {
		invocation = nextcloud.Site{Name: w.target.Name, StateDir: w.target.SubjectOf(w.step.Instance).StateDir}.Reboot()
	}
	ctx, stop := context.WithTimeout(ctx, w.timeout())
	defer stop()
	if why, ok := w.mayBegin(ctx, nextcloud.BeginChange); !ok {
		return why
	}
	state, err := w.runScript(ctx, invocation)
	if err != nil {
		return w.scriptOutcome(state, err)
	}
	before := orElse(nextcloud.ParseReport(state.Stdout).Values["boot"], state.BootID)
	if state.Phase == driver.RunExited && (state.Exit != 0 || before == "" || nextcloud.ParseReport(state.Stdout).Values["reboot"] == "not-required") {
		o := w.scriptOutcome(state, nil)
		if o.Status == Succeeded {
			o.Detail = "no reboot was needed"
		}
		return o
	}
	if now := w.booted(ctx, before); now != "" {
		return Outcome{Status: Succeeded, Evidence: map[string]string{"boot_before": before, "boot": now}}
	}
	return Outcome{Status: Failed, Detail: fmt.Sprintf("the host did not come back with another boot id within %s: look at its console", w.timeout())}
}
