// Package sim is a simulated fleet: hosts that live in folders of this machine
// and are reached over real SSH, for the demo, for tests and for measurements.
//
// Each host is an SSH server on a loopback port whose commands /bin/sh runs in
// the host's folder, with stand-ins for php, apt-get, systemctl and what else
// belongs to a machine of its own in front of the PATH. The stand-ins are this
// very program under another name (see [Main]) or a few lines of sh. All host
// scripts of the controller, of the survey and of the drivers run unmodified.
//
// The package refuses to touch anything outside its folder: no stand-in passes
// on to the tool it stands for, nothing needs root, and every listener is on
// 127.0.0.1. A simulated host proves that the controller's own parts fit
// together; it proves nothing about PHP, apt or Nextcloud.
//
// The package's tests hold a second fleet, one of models under a virtual clock:
// the real loop, core and executor over hosts, drivers, operators and faults
// that a seed draws, thousands of them in a minute, each held against the rules
// from outside. See TestSeeds: "go test ./controller/sim -seeds 10000" for many,
// "-seed 42 -v" for one with its story.
package sim
