// Package exporter writes a fleet for other tools: the JSON that Ansible takes
// from a dynamic inventory, an ssh_config, and targets for Prometheus.
//
// It writes how hosts are reached and grouped, and where their sites are. It
// refuses to write secrets, or even their references, and it turns no check
// off: host keys are demanded as the inventory demands them.
package exporter
