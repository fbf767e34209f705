// Package plan turns an inventory, facts and a goal into a [Plan]: every
// target, wave and step of a rollout, fixed before anything is touched.
//
// It is pure. The same inputs give the same bytes. It refuses to contact a
// host, to read a clock and to leave a choice to apply.
package plan
