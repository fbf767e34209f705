package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/sim"
)

// What commands say at the moments that count here.
const (
	hostsAreUp       = "hosts are up"
	waitsForApproval = "waits for approval"
)

// begins is how a step's start is told.
func begins(step string) string { return `"kind":"step_started","step":"` + step }

// demoRefused are demos that do not begin.
func (s *scene) demoRefused() {
	s.both(exitError, "demo", "--dir", filepath.Join(s.dir, "id", "demo")) // a file is no folder
	s.both(exitUsage, "demo", "--hosts", "0")
	s.both(exitUsage, "demo", "serve")
	s.both(exitError, "demo", "serve", "--dir", filepath.Join(s.dir, "gone"))
}

// demos carries out the demo's rollout with each exit code. Its inventory may
// be changed when its hosts are up, before it plans.
func (s *scene) demos() {
	halts := func(s *scene) moment {
		return moment{hostsAreUp, func(*command) { s.approvalOf("canary") }}
	}
	for name, d := range map[string]struct {
		code    int
		form    string
		moments func(s *scene) []moment
	}{
		"succeeds": {exitOK, outputJSON, func(*scene) []moment { return nil }},
		"is refused": {exitIncomplete, outputNDJSON, func(s *scene) []moment {
			return []moment{{"Rollout monthly: 1 target", func(*command) { s.otherPackages("cloud-01") }}}
		}},
		"is interrupted": {exitHalted, outputNDJSON, func(s *scene) []moment {
			return []moment{halts(s), {waitsForApproval, func(c *command) { c.interrupt(1) }}}
		}},
		"is aborted": {exitAborted, outputJSON, func(s *scene) []moment {
			return []moment{halts(s), {waitsForApproval, func(c *command) {
				c.beside.Go(func() { s.want(exitOK, "abort", "--output", outputJSON) })
			}}}
		}},
		"is left while closed": {exitClosed, outputNDJSON, func(*scene) []moment {
			return []moment{{begins("canary/cloud-01/hop"), func(c *command) { c.interrupt(2) }}}
		}},
		"loses its lease": {exitLocked, outputNDJSON, func(s *scene) []moment {
			return []moment{{begins("canary/cloud-01/hold"), func(*command) { s.noLease("cloud-01") }}}
		}},
	} {
		s.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "fleet")
			there := &scene{T: t, seen: s.seen, dir: s.dir, file: filepath.Join(dir, "fleet.hcl")}
			s.on(t).until(d.code, d.moments(there), "demo", "--hosts", "1", "--dir", dir, "--output", d.form)
			if d.code != exitAborted {
				return
			}
			for _, form := range []string{outputJSON, outputNDJSON} {
				s.on(t).until(exitOK, []moment{{hostsAreUp, func(c *command) { c.end() }}}, "demo", "serve", "--dir", dir, "--output", form)
			}
		})
	}
}

// edit replaces the first occurrence of a text in a file.
func (s *scene) edit(file, old, new string) {
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), old) {
		s.Errorf("%s holds no %q: %v", file, old, err)
		return
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, new, 1)), 0o644); err != nil {
		s.Error(err)
	}
}

// approvalOf lets a wave of the first rollout wait for an approval.
func (s *scene) approvalOf(wave string) {
	s.edit(s.file, "wave \""+wave+"\" {", "wave \""+wave+"\" {\n    approve = true\n   ")
}

// onHost is a file of a host.
func (s *scene) onHost(host string, name ...string) string {
	return filepath.Join(append([]string{filepath.Dir(s.file), "hosts", host}, name...)...)
}

// otherPackages lets a host offer another update than the planned one.
func (s *scene) otherPackages(host string) {
	s.edit(s.onHost(host, "packages.json"), `"7.88.1-10+deb12u6"`, `"7.88.1-10+deb12u7"`)
}

func (s *scene) noLease(host string) {
	if err := os.Remove(s.onHost(host, "state", "lease")); err != nil {
		s.Error(err)
	}
}

// rollouts plays rollouts over a fleet of two hosts, whose two waves wait for an
// approval. What lies on the hosts and in the journal is kept at one point and
// put back, so that one upgrade serves many ends.
type rollouts struct {
	*scene
	kept string
}

func (r *rollouts) play() {
	r.edit(r.file, "rollout \""+sim.RolloutMonthly+"\" {", "rollout \""+sim.RolloutMonthly+"\" {\n  pin = \"canary\"")
	r.nothingToDo()
	r.plans()
	r.approvalOf("canary")
	r.edit(r.file, `wave "everybody" { rest = true }`, "wave \"everybody\" {\n    rest = true\n    approve = true\n  }")
	r.starts()
	r.upgradesOne()
	if !everything {
		return
	}
	r.kept = filepath.Join(r.TempDir(), "kept")
	r.copy(filepath.Dir(r.file), r.kept)
	r.endsIncomplete()
	r.refusesTheStale()
	r.rollsBack()
	r.leftWhileRollingBack()
	r.back()
	r.leftWhileUpgrading()
}

// copy copies the hosts and the journal.
func (r *rollouts) copy(from, to string) {
	r.Helper()
	for _, name := range []string{"hosts", ".ncfleet"} {
		if err := os.MkdirAll(filepath.Join(to, name), 0o755); err != nil {
			r.Fatal(err)
		}
		script := `cd "$1" && cp -a . "$2"` // modes, times and links as they are
		if out, err := exec.Command("sh", "-c", script, "copy", filepath.Join(from, name), filepath.Join(to, name)).CombinedOutput(); err != nil {
			r.Fatalf("%v: %s", err, out)
		}
	}
}

// back puts hosts and journal back as they were kept.
func (r *rollouts) back() {
	r.Helper()
	for _, name := range []string{"hosts/cloud-01", "hosts/cloud-02", ".ncfleet"} {
		dir := filepath.Join(filepath.Dir(r.file), name)
		entries, err := os.ReadDir(dir)
		if err != nil {
			r.Fatal(err)
		}
		for _, e := range entries {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				r.Fatal(err)
			}
		}
	}
	r.copy(r.kept, filepath.Dir(r.file))
}

// nothingToDo plans and applies a rollout that changes nothing.
func (r *rollouts) nothingToDo() {
	text, err := os.ReadFile(r.file)
	if err != nil {
		r.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "rollout \""+sim.RolloutMonthly+"\"")
	block, _, _ := strings.Cut(after, "\n}\n")
	calm := strings.NewReplacer(`level = "update"`, `level = "none"`, `"29"`, `"28.0.2"`, `update = "all"`, `update = "none"`).Replace(block)
	if err := os.WriteFile(r.file, append(text, "\nrollout \"idle\""+calm+"\n}\n"...), 0o644); err != nil {
		r.Fatal(err)
	}
	r.want(exitOK, "plan", "idle", "--output", outputNDJSON)
	r.want(exitOK, "apply", "--rollout", "idle", "--yes", "--output", outputJSON)
}

// plans looks at the hosts, sound and ill.
func (r *rollouts) plans() {
	r.both(exitChanges, "plan", "monthly")
	r.both(exitOK, "survey")
	r.both(exitOK, "report")
	r.both(exitOK, "hold", "cloud-02")
	r.both(exitOK, "release", "cloud-02")
	r.both(exitOK, "doctor", "monthly")
	for _, host := range []string{"cloud-01", "cloud-02"} {
		config := r.onHost(host, "srv", "nextcloud", "config", "config.php")
		r.edit(config, "'maintenance' => false", "'maintenance' => true")
		defer r.edit(config, "'maintenance' => true", "'maintenance' => false")
	}
	r.want(exitError, "plan", "monthly", "--output", outputJSON)
	r.want(exitError, "doctor", "monthly", "--output", outputNDJSON)
	r.want(exitError, "apply", "--rollout", "monthly", "--yes", "--output", outputJSON)
}

var interrupted = []moment{{waitsForApproval, func(c *command) { c.interrupt(1) }}}

// starts begins rollouts that end before a host is touched.
func (r *rollouts) starts() {
	elsewhere := filepath.Join(r.dir, "elsewhere")
	apply := []string{"apply", "--rollout", "monthly", "--yes", "--output"}
	r.until(exitAborted, []moment{{waitsForApproval, func(c *command) {
		c.beside.Go(func() { r.want(exitOK, "abort", "--state", elsewhere, "--output", outputNDJSON) })
	}}}, append(apply, outputNDJSON, "--state", elsewhere)...)
	r.both(exitAborted, "resume", "--state", elsewhere)
	r.until(exitHalted, interrupted, append(apply, outputJSON)...)
	r.until(exitHalted, []moment{{waitsForApproval, func(c *command) {
		c.beside.Go(func() {
			r.want(exitLocked, append(apply, outputNDJSON)...)
			r.both(exitLocked, "resume")
			for _, form := range []string{outputJSON, outputNDJSON} {
				r.want(exitOK, "pause", "--output", form)
				r.want(exitOK, "resume", "--output", form)
			}
			c.interrupt(1)
		})
	}}}, "resume", "--output", outputJSON)
}

// upgradesOne upgrades the canary. Its controller leaves in the middle, and the
// next one is in the same place when it leaves.
func (r *rollouts) upgradesOne() {
	r.until(exitClosed, []moment{
		{waitsForApproval, func(c *command) {
			c.beside.Go(func() { r.want(exitClosed, "watch", "--output", outputNDJSON) })
			c.beside.Go(func() { r.want(exitOK, "approve", "--wave", "canary", "--output", outputJSON) })
		}},
		{begins("canary/cloud-01/hop"), func(c *command) { c.interrupt(2) }},
	}, "resume", "--output", outputNDJSON)
	r.both(exitClosed, "status")
	r.both(exitOK, "lease")
	r.want(exitOK, "lease", "--break", "cloud-01", "--reason", "it is lost", "--output", outputJSON)
	r.until(exitHalted, interrupted, "resume", "--output", outputNDJSON)
	for _, verb := range []string{"status", "status --all", "log", "snapshot list"} {
		r.both(exitOK, strings.Fields(verb)...)
	}
	r.want(exitOK, "watch", "--output", outputJSON)
	r.completes()
	for _, verb := range []string{"pin list monthly", "pin update", "pin clear monthly"} {
		r.want(exitOK, append(strings.Fields(verb), "--output", outputJSON)...)
	}
	r.want(exitOK, "pin", "update", "--output", outputNDJSON)
	r.want(exitOK, "pin", "clear", "monthly", "--output", outputNDJSON)
}

// completes asks for the words that only a journal knows.
func (r *rollouts) completes() {
	id := strings.TrimSuffix(r.snapshots()[0].Key, "/cloud-01")
	for line, word := range map[string]string{
		"status": id, "approve": "everybody", "rollback": "cloud-02", "pause --id": id, "snapshot verify cloud-01": id + "/cloud-01",
	} {
		_, out, _ := ncfleet(r.T, append(append([]string{"__complete", "-i", r.file}, strings.Fields(line)...), "")...)
		if !strings.Contains(out, word+"\n") {
			r.Errorf("%s completes to %q, without %q", line, out, word)
		}
	}
}

// endsIncomplete steers the rollout from beside to an end that leaves the second
// host untouched, and takes the first one back.
func (r *rollouts) endsIncomplete() {
	r.otherPackages("cloud-02")
	r.until(exitIncomplete, []moment{{waitsForApproval, func(c *command) {
		c.beside.Go(func() { r.want(exitOK, "approve", "--wave", "everybody", "--output", outputNDJSON) })
	}}}, "resume", "--output", outputJSON)
	r.both(exitIncomplete, "resume")
	r.both(exitUsage, "rollback", "cloud-01")
	r.want(exitIncomplete, "rollback", "cloud-01", "--accept-loss", "--output", outputJSON)
	r.deletes(outputJSON)
	r.back()
}

// deletes proves and deletes the newest snapshot of the first host.
func (r *rollouts) deletes(form string) {
	key := r.snapshots()[0].Key
	r.want(exitOK, "snapshot", "verify", "cloud-01", key, "--output", form)
	r.want(exitOK, "snapshot", "delete", "cloud-01", key, "--output", form)
}

// snapshots are those of the first host, of which there is one at least.
func (r *rollouts) snapshots() []snapshotDocument {
	r.Helper()
	var list snapshotsDocument
	if err := json.Unmarshal([]byte(r.want(exitOK, "snapshot", "list", "cloud-01", "--output", outputJSON)), &list); err != nil || len(list.Snapshots) == 0 {
		r.Fatalf("%d snapshots, %v", len(list.Snapshots), err)
	}
	return list.Snapshots
}

// refusesTheStale applies a plan that holds no longer.
func (r *rollouts) refusesTheStale() {
	file, state := filepath.Join(r.dir, "plan.json"), filepath.Join(r.dir, "another")
	r.want(exitChanges, "plan", "monthly", "-o", file)
	r.otherPackages("cloud-02")
	r.until(exitIncomplete, []moment{{waitsForApproval, func(c *command) {
		c.beside.Go(func() { r.want(exitOK, "approve", "--wave", "everybody", "--state", state, "--output", outputJSON) })
	}}}, "apply", file, "--state", state, "--output", outputNDJSON)
	r.back()
}

// rollsBack takes the first host back: while a controller runs, in an
// interrupted controller, and in an aborted rollout.
func (r *rollouts) rollsBack() {
	rollback := []string{"rollback", "cloud-01", "--accept-loss", "--output"}
	for _, form := range []string{outputJSON, outputNDJSON} {
		r.until(exitHalted, []moment{{waitsForApproval, func(c *command) {
			c.beside.Go(func() {
				r.want(exitOK, append(rollback, form)...)
				c.interrupt(1)
			})
		}}}, "resume", "--output", form)
		r.back()
	}
	r.until(exitHalted, []moment{{`"kind":"rollback_asked"`, func(c *command) { c.interrupt(1) }}}, append(rollback, outputNDJSON)...)
	r.back()
	r.want(exitOK, "abort", "--output", outputJSON)
	r.want(exitAborted, append(rollback, outputJSON)...)
	r.deletes(outputNDJSON)
	r.back()
}

// leftWhileRollingBack loses the lease at the first step of a rollback, and
// leaves another one while the site is closed.
func (r *rollouts) leftWhileRollingBack() {
	rollback := []string{"rollback", "cloud-01", "--accept-loss", "--output", outputNDJSON}
	r.until(exitLocked, []moment{{begins("canary/cloud-01/undo-restore"), func(*command) { r.noLease("cloud-01") }}}, rollback...)
	r.back()
	r.until(exitClosed, []moment{{begins("canary/cloud-01/undo-inspect"), func(c *command) { c.interrupt(2) }}}, rollback...)
	r.want(exitOK, "lease", "--break", "cloud-01", "--reason", "it is lost", "--output", outputNDJSON)
}

// leftWhileUpgrading leaves a rollout of its own while the site is closed.
func (r *rollouts) leftWhileUpgrading() {
	state := filepath.Join(r.dir, "last")
	r.until(exitClosed, []moment{
		{waitsForApproval, func(c *command) {
			c.beside.Go(func() { r.want(exitOK, "approve", "--wave", "everybody", "--state", state, "--output", outputJSON) })
		}},
		{begins("everybody/cloud-02/hop"), func(c *command) { c.interrupt(2) }},
	}, "apply", "--rollout", "monthly", "--yes", "--state", state, "--output", outputNDJSON)
}
