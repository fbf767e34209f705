// Package metrics shows a rollout and a fleet to Prometheus: as a file for the
// node exporter's textfile collector, or at an address while a rollout runs.
//
// It counts what others decided and keeps nothing: values come from a rollout's
// state and events and from a fleet report. Its labels are bounded. A name of a
// target stands in a label once per instance of the fleet, and of a rollout only
// for targets that are closed or ask for a decision; errors, versions of
// packages and texts of hosts never do.
package metrics
