// Package executor carries out one step of a plan: Perform is one switch on
// the step's kind. It decides nothing: which step runs when, and what follows
// from a failure, is package rollout's to say.
//
// Whatever takes long or changes a host runs there as a detached run, named
// after the rollout and the step, so that a lost connection, a killed
// controller or a second call never runs it twice. Lookup finds out what
// became of a step that an earlier controller started.
//
// The package knows no SSH, no driver process and no release server; it
// declares what it needs of them as interfaces.
package executor
