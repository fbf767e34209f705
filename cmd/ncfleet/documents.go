package main

import (
	"github.com/ncfleet/ncfleet/controller/fleetreport"
	"github.com/ncfleet/ncfleet/controller/metrics"
	"github.com/ncfleet/ncfleet/controller/notify"
	"github.com/ncfleet/ncfleet/controller/report"
)

// document is one kind of what commands print for programs.
type document struct {
	name  string
	value any // its zero value, from which its schema is made
	title string
}

// documents are all kinds. Each has its schema in the folder schema, which
// "go test ./cmd/ncfleet -run TestSchemas -update" writes anew. Within a
// format version, fields are only added.
var documents = []document{
	{"demo-hosts", demoHostsDocument{}, "the hosts of a kept demo fleet, once they are up"},
	{"doctor", report.DoctorDocument{}, "what is wrong on the hosts, worst first"},
	{"driver", driverDocument{}, "one driver of the inventory"},
	{"drivers", driversDocument{}, "the drivers of the inventory"},
	{"driver-lock", driverLockDocument{}, "the drivers that were accepted"},
	{"driver-new", driverNewDocument{}, "a driver of one's own, written to a folder"},
	{"driver-test", driverTestDocument{}, "which promises of the contract a driver keeps"},
	{"driver-verify", driverVerifyDocument{}, "whether the drivers are those that were accepted"},
	{"event", report.EventDocument{}, "one thing that happened in a rollout"},
	{"formatted", formattedDocument{}, "which files of the inventory are not in the usual form"},
	{"graph", report.FleetGraph{}, "groups, rollouts and waves of the inventory"},
	{"held", heldDocument{}, "what is held on hosts, by whom and since when"},
	{"held-host", holdView{}, "what is held on one host"},
	{"host", report.FleetSettings{}, "all that holds for one host, and where it was written"},
	{"hosts", report.FleetHosts{}, "hosts of the inventory"},
	{"import", importDocument{}, "an inventory taken over from another tool"},
	{"inventory", report.FleetExport{}, "the inventory with every expression evaluated"},
	{"lease", leaseDocument{}, "whose the lease of one host is"},
	{"lease-broken", leaseBrokenDocument{}, "a lease that was taken away"},
	{"leases", leasesDocument{}, "whose the leases of hosts are"},
	{"log", report.LogDocument{}, "all events of a rollout"},
	{"man", manDocument{}, "the manual pages that were written"},
	{"message", messageDocument{}, "how sending one test message went"},
	{"messages", messagesDocument{}, "how sending test messages went"},
	{"metrics", metrics.MetricsDocument{}, "a rollout and the fleet as Prometheus sees them"},
	{"notification", notify.Message{}, "what a webhook receives; no command prints it"},
	{"outcome", report.OutcomeDocument{}, "how a rollout stands or ended"},
	{"pins", report.PinsDocument{}, "the exact versions in fleet.lock"},
	{"plan", report.PlanDocument{}, "a rollout, decided ahead"},
	{"report", fleetreport.ReportDocument{}, "the fleet as it is"},
	{"request", requestDocument{}, "what an operator asked a rollout's controller for"},
	{"rollout", rolloutDocument{}, "one rollout of the journal"},
	{"rollouts", rolloutsDocument{}, "the rollouts of the journal"},
	{"schema", schemaDocument{}, "one schema that ncfleet ships"},
	{"schemas", schemasDocument{}, "the schemas that ncfleet ships"},
	{"snapshot", snapshotDocument{}, "one snapshot of a target, or why its snapshots cannot be listed"},
	{"snapshot-deleted", snapshotDeletedDocument{}, "a snapshot that was deleted"},
	{"snapshot-verified", snapshotVerifiedDocument{}, "whether a snapshot can be restored"},
	{"snapshots", snapshotsDocument{}, "the snapshots of hosts"},
	{"sudoers", report.SudoersDocument{}, "what the login users need of sudo"},
	{"survey", report.SurveyDocument{}, "what hosts are"},
	{"surveyed-host", report.SurveyedHostDocument{}, "what one host is"},
	{"validation", validationDocument{}, "whether the inventory is valid, and what is wrong with it"},
	{"version", versionDocument{}, "which ncfleet this is"},
}

// documentNamed finds a kind by its name.
func documentNamed(name string) (document, bool) {
	for _, d := range documents {
		if d.name == name {
			return d, true
		}
	}
	return document{}, false
}
