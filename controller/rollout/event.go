package rollout

import (
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// EventKind names what happened.
type EventKind string

// The kinds of event. Each says which fields beside Seq, At and Kind it uses.
const (
	EventStarted   EventKind = "rollout_started" // Digest, Who
	EventStepBegun EventKind = "step_started"    // Step; durable before the effect
	EventStepDone  EventKind = "step_succeeded"  // Step, Detail, Handle (snapshot), Evidence
	EventStepFail  EventKind = "step_failed"     // Step, Detail, Evidence
	EventStepHeld  EventKind = "step_held"       // Step (inspect), Detail, Evidence
	// EventStepRefused is recheck's answer when facts no longer are as planned.
	EventStepRefused EventKind = "step_refused" // Step, Detail
	// EventStepNever tells that a started step never began on its host, as the
	// host itself said; it will be started again.
	EventStepNever   EventKind = "step_never"
	EventHoldExpired EventKind = "hold_expired" // Target
	EventPaused      EventKind = "paused"       // Who, Detail
	EventResumed     EventKind = "resumed"      // Who; also accepts the failures so far after a halt
	EventAborted     EventKind = "aborted"      // Who, Detail
	EventHalted      EventKind = "halted"       // Detail; nothing can go on without a decision
	EventApproved    EventKind = "approved"     // Who, Wave and Digest, or Target
	// EventApprovalExpired tells that a wave's approval came too early to count.
	EventApprovalExpired EventKind = "approval_expired" // Who, Wave, Detail
	// EventWindowWait tells that nothing is under way and nothing may start
	// before a window opens. The next step that starts ends it.
	EventWindowWait EventKind = "window_wait"     // Detail
	EventRollback   EventKind = "rollback_asked"  // Who, Target, Detail
	EventEnded      EventKind = "rollout_ended"   // Detail is the verdict
	EventAttached   EventKind = "controller_came" // Who: a controller took over; its Seq is that controller's epoch
	// EventLeaseBroken tells that an operator took a host's lease from whoever
	// had it. It changes nothing here: the host refuses what must not go on.
	EventLeaseBroken EventKind = "lease_broken" // Who, Target (the host), Detail (why, and whose it was)
)

// Event is one thing that happened. Events are only ever appended.
type Event struct {
	Seq      int64 // 1, 2, 3 … given by the journal
	At       time.Time
	Kind     EventKind
	Step     string            `json:",omitempty"`
	Target   string            `json:",omitempty"`
	Wave     string            `json:",omitempty"`
	Who      string            `json:",omitempty"` // operator, "user@machine"
	Digest   string            `json:",omitempty"` // of the plan: that was started, or that was approved
	Detail   string            `json:",omitempty"` // for people: what, where, why, remedy
	Handle   *driver.Handle    `json:",omitempty"`
	Evidence map[string]string `json:",omitempty"`
	// Seconds is how long the step took by the controller's clock.
	Seconds float64 `json:",omitempty"`
}

// EvidenceOpenedAt is the evidence by which an open step that failed proves
// that it had let users in before.
const EvidenceOpenedAt = "opened_at"

// EvidenceDegraded is the evidence by which an undo step that did its work tells
// what it had to leave undone.
const EvidenceDegraded = "degraded"

// EvidenceForeign is the evidence by which a step that failed tells that
// somebody else changed or opened its site: going back by itself could destroy
// what they, or users, did.
const EvidenceForeign = "changed_by_someone"

// EvidenceApp begins the names of the evidence by which an inspection tells the
// versions of apps; the app's name follows.
const EvidenceApp = "app "

// EvidenceCode is the evidence by which a hop tells the build of the code.
const EvidenceCode = "code_version"

// Verdict is how a rollout ended; "" while it has not.
type Verdict string

// The verdicts.
const (
	Succeeded  Verdict = "succeeded"  // every target upgraded, or rolled back within the budget
	Incomplete Verdict = "incomplete" // as succeeded, but some targets were left untouched
	Halted     Verdict = "halted"     // it asks: budget spent, or a target needs people
	Aborted    Verdict = "aborted"
)

// Decision is what the loop must do now.
type Decision struct {
	// Record are events that follow from time alone; they are journaled and
	// applied, then Next is asked again. Start is empty when Record is not.
	Record []Event
	// Start are the steps to start, in order; each is journaled first.
	Start []string
	// Wake is when time alone may change the decision; zero means never.
	Wake time.Time
	// Waits says for people why nothing starts: "bake time of canary until …".
	Waits   []string
	Verdict Verdict
}
