package rollout

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// rules names for each rule the test that dies when the rule is taken out of
// the code. Each pair was tried: the rule removed, the test seen to fail.
var rules = []struct{ rule, test string }{
	// limits
	{"at most MaxUnavailable targets are out of service", "TestMaxUnavailable"},
	{"a failed target keeps its share of max unavailable", "TestFailedTargetKeepsItsShare"},
	{"a target holds its share until it is verified from outside", "TestShareIsHeldUntilVerified"},
	{"two targets of one host never run at once", "TestSameHostOneAtATime"},
	{"an operator's wish waits for the host's other target", "TestOperatorWaitsForTheHost"},
	{"at most SpreadMax targets with one label value are out", "TestSpread"},
	{"at most Ahead targets are being prepared", "TestAheadLimitsPreparation"},
	{"at most gateLimit targets are looked at from outside at once", "TestGateLooksAtFewAtOnce"},
	{"no target starts outside the window", "TestWindow"},
	{"no target closes outside the window", "TestWindowHoldsBackTheClosing"},
	{"any of several windows is enough", "TestAnyWindowIsEnough"},
	{"no target starts on a blackout date", "TestBlackout"},
	{"no target starts that is not expected to end in the window", "TestNothingStartsThatCannotEnd"},
	{"no target closes that is not expected to open in the window", "TestNothingClosesThatCannotOpen"},
	{"the reserve at a window's end is kept free", "TestReserveIsKeptFree"},
	{"those that close before a target count against the window", "TestThoseBeforeCount"},
	{"a target that is too long for the window holds up no other", "TestSmallOnesStillFit"},
	{"a target that is too long for the window is not overtaken by another of its host", "TestHostsTargetsKeepTheirOrder"},
	{"a wait for a window is in the journal once", "TestWindowWaitIsJournaled"},
	{"a paused rollout does not wait for a window", "TestPausedDoesNotWaitForAWindow"},

	// snapshots
	{"a snapshot is done only with a handle", "TestSnapshotNeedsHandle"},
	{"a changing step waits for the handle", "TestChangeWaitsForHandle"},
	{"a changing step waits for the handle of every snapshot", "TestEverySnapshotIsNeeded"},
	{"a plan with a changing step and no snapshot before it is refused", "TestPlanWithoutSnapshotIsRefused"},
	{"a plan with a snapshot after a changing step is refused", "TestPlansThatNoRuleCouldKeep"},

	// waves
	{"no wave starts before the one before it has settled and passed", "TestWaveWaitsForTheOneBefore"},
	{"a wave bakes before the next one starts, without a gate too", "TestBakeWithoutGate"},
	{"the gate looks after the bake time, not before", "TestBakeTime"},
	{"a wave waits for its approval", "TestApproval"},
	{"a wave waits for as many people as it asks for", "TestTwoPeopleMustApprove"},
	{"one person is one, whatever the machine or the account", "TestTwoPeopleMustApprove"},
	{"an approval given ahead counts", "TestApprovalGivenAhead"},
	{"an approval that is too old does not count, and is told", "TestApprovalExpires"},
	{"each of several approvals expires by itself", "TestOneOfTwoApprovalsExpires"},
	{"a wave that has begun keeps its approval", "TestBegunWaveKeepsItsApproval"},
	{"an approval of another plan does not count", "TestApprovalOfAnotherPlan"},
	{"an operator cannot approve another plan", "TestApprovalOfAnotherPlan"},
	{"an approval that nobody asks for is refused", "TestApprovalThatNobodyAsksFor"},
	{"an approval does not expire before its time", "TestApprovalExpiredMustBeTrue"},
	{"a target that fails the gate halts", "TestGateFailureHalts"},
	{"a wave in which nobody was upgraded halts", "TestNobodyUpgradedHalts"},

	// stopping
	{"a paused rollout closes nothing", "TestPauseStartsNothingNew"},
	{"a paused rollout begins nothing and keeps what is prepared", "TestPauseKeepsThePrepared"},
	{"an aborted rollout begins nothing", "TestAbortWhilePrepared"},
	{"an abort takes back what was only prepared", "TestAbortFinishesOrTakesBack"},
	{"an abort takes back what is held", "TestHold"},
	{"past the failure budget nothing new starts", "TestFailureBudgetHalts"},
	{"at a halt what is closed finishes", "TestHaltLetsBegunTargetsFinish"},
	{"at a halt what was only prepared is taken back", "TestHaltTakesBackThePrepared"},
	{"a failure that was accepted does not halt again", "TestAcceptedFailureHaltsOnce"},
	{"a deadlock halts", "TestDeadlockHalts"},
	{"an ended rollout takes no pause, no resume, no abort", "TestAskAfterTheEnd"},

	// failures
	{"a failure before close leaves the target untouched, and counts", "TestFailureBeforeCloseTouchesNothing"},
	{"a refused target is untouched and does not count", "TestRefusedIsUntouchedAndNotCounted"},
	{"a refusal after close is a failure", "TestLateRefusalIsAFailure"},
	{"undo steps run in order, and only for what began", "TestFailureRollsBackInOrder"},
	{"nothing rolls back by itself after opening", "TestNothingRollsBackByItselfAfterOpening"},
	{"an open that failed may have let users in: it halts", "TestFailedOpen"},
	{"what somebody else changed is not undone by itself", "TestForeignChangeHalts"},
	{"one open instance is enough to halt", "TestOneInstanceOpenIsOpen"},
	{"a rollback that failed halts and is named", "TestRollbackThatFailsHaltsAndIsNamed"},
	{"a rollback that failed halts though its failure was accepted", "TestFailedRollbackHaltsThoughItsFailureWasAccepted"},
	{"a rollback has opened a target only with its last instance", "TestRollbackOpensEveryInstance"},
	{"an unclear look at the old version opens it", "TestUnclearLookAtTheOldVersionOpensIt"},
	{"a host alone is never called closed", "TestHostAloneIsNeverClosed"},

	// operators
	{"a held target waits for people", "TestHold"},
	{"a hold expires into a rollback that counts", "TestHold"},
	{"with on_hold rollback nobody is waited for", "TestHold"},
	{"a rollback that was asked for is not forgotten while a step runs", "TestAskedRollbackIsNotForgotten"},
	{"a rollback after opening closes first", "TestRollbackOfUpgradedClosesFirst"},
	{"a rollback goes on where it failed, as another attempt", "TestRollbackGoesOnWhereItFailed"},
	{"a rollback needs a snapshot to put back", "TestRollbackNeedsASnapshot"},
	{"a host is not rolled back beneath an instance that was changed after it", "TestRollbackOfAHostAfterItsInstances"},
	{"an operator may accept a failure after opening", "TestOperatorAcceptsFailedVerify"},
	{"an approved target goes on after the end", "TestApproveAfterTheEndGoesOn"},
	{"a target whose rollback was begun cannot be approved", "TestApproveAfterUndoIsRefused"},
	{"the gate does not judge a target that is being taken back", "TestGateOutcomeDoesNotStopARollback"},

	// the fold
	{"a step never runs twice", "TestEventsThatMakeNoSense"},
	{"a step that never began starts again", "TestStepThatNeverBeganStartsAgain"},
	{"a step that never began may still be stopped", "TestStepThatNeverBeganMayBeStopped"},
	{"a step out of order is refused", "TestRefusedEventsChangeNothing"},
	{"an event that is refused changes nothing", "TestRefusedEventsChangeNothing"},
	{"only a closed target is held", "TestHeldOnlyWhileClosed"},
	{"a gap in the sequence is refused", "TestEventsThatMakeNoSense"},
	{"a replay gives the state that was live", "TestRandomRollouts"},
	{"every prefix of a log can be resumed", "TestEveryPrefixCanBeResumed"},
}

// TestRulesHaveTests keeps the table true: every test it names exists.
func TestRulesHaveTests(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`).FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
	}
	seen := map[string]bool{}
	for _, r := range rules {
		if !tests[r.test] {
			t.Errorf("%q names %s, which does not exist", r.rule, r.test)
		}
		if seen[r.rule] {
			t.Errorf("%q stands twice", r.rule)
		}
		seen[r.rule] = true
	}
}
