package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ncfleet/ncfleet/controller/fleetreport"
)

// shownApps bounds how many apps have a metric: the names come from hosts.
const shownApps = 50

var (
	surveyTime       = desc("survey_timestamp_seconds", "When the newest facts of the fleet were seen.")
	hostFacts        = desc("host_facts", "1 when there are facts of the host, 0 when it did not answer.", "host")
	instanceInfo     = desc("instance_info", "What an instance runs on.", "target", "nextcloud", "php", "database")
	instanceEnd      = desc("instance_end_of_life_timestamp_seconds", "When the maker's care for the instance's major of Nextcloud ends.", "target")
	instanceReady    = desc("instance_ready", "1 when nothing that a survey sees keeps the instance from its next major.", "target")
	instanceOpen     = desc("instance_open", "1 when the survey found the instance in service.", "target")
	instanceDrift    = desc("instance_changes", "What changed on the instance since the last rollout that upgraded it.", "target")
	instanceSnapshot = desc("instance_snapshot_timestamp_seconds", "When the last proven snapshot of the instance was taken.", "target")
	instanceClosed   = desc("instance_closed_expected_seconds", "How long the instance is expected to be closed in an upgrade: the greatest time of its history, else an estimate.", "target", "source")
	appHolds         = desc("app_held_instances", "Instances that an app keeps from a major.", "app", "major")
)

// Fleet shows a fleet report.
type Fleet struct{ Report *fleetreport.ReportDocument }

// Describe names everything that Collect may send.
func (Fleet) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{surveyTime, hostFacts, instanceInfo, instanceEnd, instanceReady, instanceOpen, instanceDrift,
		instanceSnapshot, instanceClosed, appHolds} {
		ch <- d
	}
}

// Collect sends the metrics of the report.
func (f Fleet) Collect(ch chan<- prometheus.Metric) {
	g, d := gauges{ch}, f.Report
	if d.FactsTo != nil {
		g.time(surveyTime, *d.FactsTo)
	}
	lost := map[string]bool{}
	for _, u := range d.Unreachable {
		lost[u.Host] = true
	}
	seen := map[string]bool{}
	for i := range d.Targets {
		t := &d.Targets[i]
		if !seen[t.Host] {
			seen[t.Host] = true
			g.truth(hostFacts, !lost[t.Host], t.Host)
		}
		if t.Instance != "" {
			g.instance(t)
		}
	}
	for _, l := range d.Lifetimes {
		end, err := time.Parse("2006-01-02", l.Until)
		if l.Product != "Nextcloud" || err != nil {
			continue
		}
		for _, target := range l.Targets {
			g.time(instanceEnd, end.AddDate(0, 0, 1), target) // the last day counts
		}
	}
	for i, h := range d.HeldBy {
		if i == shownApps {
			break
		}
		g.set(appHolds, float64(len(h.Targets)), h.App, strconv.Itoa(h.Major))
	}
}

func (g gauges) instance(t *fleetreport.Target) {
	if t.Nextcloud != "" {
		g.set(instanceInfo, 1, t.Name, t.Nextcloud, t.PHP, t.Database)
		g.truth(instanceOpen, t.State == fleetreport.TargetOpen, t.Name)
	}
	if t.Next != nil && t.Next.State != fleetreport.Newest {
		g.truth(instanceReady, t.Next.State == fleetreport.Ready, t.Name)
	}
	if t.Drift != nil {
		g.set(instanceDrift, float64(len(t.Drift.Changes)), t.Name)
	}
	if t.Snapshot != nil {
		g.time(instanceSnapshot, t.Snapshot.At, t.Name)
	}
	if t.Closed != nil {
		g.set(instanceClosed, t.Closed.MaxSeconds, t.Name, t.Closed.Source)
	}
}
