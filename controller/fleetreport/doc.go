// Package fleetreport computes the report on a fleet: what runs where, until
// when its makers care for it, what stands between each instance and its next
// major, what changed since the last rollout, and what the journal says about
// snapshots and closed times.
//
// It is a pure function of a survey's facts, the journal's rollouts, its own
// tables and a point in time. It asks nobody and writes nothing, and it drops
// nothing either: a host that did not answer stands in the document with the
// reason. What no table knows is "unknown", never a guess.
package fleetreport
