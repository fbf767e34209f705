// Package rollout decides what happens next. A [State] is the fold of a
// rollout's events over its plan: [State.Apply] records one, [State.Next] says
// what to start at a given instant.
//
// It is pure: no I/O, no clock, no goroutine, and the same events give the
// same state. It refuses events that make no sense, so that a damaged journal
// is noticed and not continued, and plans that no rule could keep.
//
// The rules in short; rules_test.go lists each with the test that guards it:
//
//   - at most MaxUnavailable targets are out of service, failed ones included;
//     only a rollback that an operator asks for comes on top;
//   - no step that changes a target starts before the handles of all its
//     snapshots are recorded;
//   - no wave starts before the one before it has settled, baked, passed its
//     gate and, where asked, been approved by as many different people as it
//     asks for, of this plan and not too long ago;
//   - outside the windows and on blackout dates no target starts or closes, nor
//     one that is not expected to end before the window does;
//   - past the failure budget nothing new starts; what was begun finishes or
//     rolls back;
//   - a paused rollout starts nothing new; an aborted one neither, and it
//     takes back what was only prepared;
//   - two targets of one host never run at once, and at most SpreadMax targets
//     with one label value are out together;
//   - nothing rolls back by itself once users were, or may have been, let in:
//     it halts;
//   - a target that could not be taken back halts the rollout;
//   - a rollback undoes what began, in order, and one that failed goes on where
//     it failed: nothing is restored twice.
package rollout
