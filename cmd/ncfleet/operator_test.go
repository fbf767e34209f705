package main

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestOperatorsSteerARunningApply pauses, resumes, approves, takes back and
// aborts from a second terminal.
func TestOperatorsSteerARunningApply(t *testing.T) {
	f := newFleet(t, 2)
	f.edit(f.file, `wave "everybody" { rest = true }`, "wave \"everybody\" {\n    rest = true\n    approve = true\n  }")
	self := "ncfleet -i " + f.file
	p := f.start("apply", "--rollout", "monthly", "--yes")
	p.sees("rollout started")
	f.want(exitLocked, []string{"apply", "--rollout", "monthly", "--yes"}, "is held by")
	f.want(exitOK, []string{"pause", "--reason", "lunch"}, "paused")
	p.sees("paused by ")
	p.sees("; resume from another terminal with: " + self + " resume")
	f.want(exitOK, []string{"status"}, "is paused", "controller     runs", self+" resume")
	f.want(exitOK, []string{"resume"}, "resumed")
	p.sees("waits for approval; from another terminal:")
	f.want(exitError, []string{"approve", "everybody"}, "everybody is a wave, not a target; to let it start: "+self+" approve --wave everybody")
	f.want(exitError, []string{"approve", "--wave", "nope"}, `the plan has no wave "nope"; its waves are canary, everybody`)
	f.want(exitError, []string{"rollback", "nope"}, `the plan has no target "nope"; its targets are cloud-01, cloud-02`)
	f.want(exitError, []string{"rollback", "cloud-02"}, "nothing was done on cloud-02")
	f.want(exitUsage, []string{"rollback", "cloud-01"}, "will be lost", self+" rollback cloud-01 --accept-loss")
	f.want(exitOK, []string{"approve", "--wave", "everybody"}, "approved")
	p.ends(exitOK, "rollout succeeded\n\nRollout monthly succeeded: 2 upgraded, 0 rolled back, 0 failed, 0 untouched")

	f.want(exitOK, []string{"plan", "monthly"}, "Nothing to do on 2 targets")
	f.want(exitOK, []string{"rollback", "cloud-02", "--accept-loss"}, "rollback asked cloud-02 by ", "1 upgraded, 1 rolled back")
	f.want(exitError, []string{"rollback", "cloud-02", "--accept-loss"}, "cloud-02 is rolled back already")
	f.want(exitError, []string{"abort"}, "the rollout has ended")
}

// TestAbortWithoutAController leaves a request for the next controller.
func TestAbortWithoutAController(t *testing.T) {
	f := newFleet(t, 2)
	p := f.start("apply", "--rollout", "monthly", "--yes")
	p.sees("canary     cloud-01  snapshot      ok")
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.cmd.Wait() // killed
	f.want(exitClosed, []string{"status"}, "NONE RUNS: nothing goes on by itself", "resume",
		"CLOSED TO USERS, and nothing will open it by itself: cloud-01")
	f.want(exitError, []string{"apply", "--rollout", "monthly", "--yes"}, "blocked")
	f.want(exitOK, []string{"abort", "--reason", "wrong week"}, "noted; no controller runs at this moment, it counts from: ncfleet -i ")
	f.want(exitClosed, []string{"status"}, "noted abort by ", ": wrong week; waits for a controller")
	f.want(exitClosed, []string{"status", "--output", "ndjson"}, `"controller":"none"`, `"requests":[{"kind":"aborted"`)
	f.want(exitAborted, []string{"resume"}, "aborted by ", "1 upgraded, 0 rolled back, 0 failed, 1 untouched")
	f.want(exitOK, []string{"status"}, "monthly aborted")
	f.onceOnly()
}

// TestInterruptedApplyFinishesWhatItBegan sends Ctrl-C.
func TestInterruptedApplyFinishesWhatItBegan(t *testing.T) {
	f := newFleet(t, 1)
	f.want(exitUsage, []string{"apply", "--rollout", "monthly"}, "there is no terminal; write --yes, or apply a plan file")
	state := filepath.Join(f.Dir, "elsewhere")
	p := f.start("apply", "--rollout", "monthly", "--yes", "--state", state)
	p.sees("cloud-01  close")
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.sees("interrupted; finishing 1 target: cloud-01; nothing new starts")
	p.ends(exitHalted, "the rollout is paused; go on with: ncfleet -i "+f.file+" --state "+state+" resume ", "cloud-01 upgraded")
	time.Sleep(10 * time.Millisecond)
	f.want(exitOK, []string{"resume", "--state", state}, "1 upgraded, 0 rolled back, 0 failed, 0 untouched")
}
