// Package inventory reads an ops team's HCL files (or their JSON form) into a
// [Fleet]: hosts, drivers and rollouts with every expression evaluated and
// every name resolved.
//
// It reports all problems at once, each with file, line, cause and remedy. It
// refuses to guess: what it does not know is an error. It contacts no host and
// reads no secret's value; hcl and cty types do not leave it.
package inventory
