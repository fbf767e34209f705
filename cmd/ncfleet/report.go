package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller/fleetreport"
	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/inventory"
)

// historyLimit is how many of the journal's newest rollouts a report reads.
const historyLimit = 50

// reportFlags are the report's own.
type reportFlags struct {
	html, facts, rollout string
	goal                 int
	last                 bool
}

func reportCommand(a *app) *cobra.Command {
	var f reportFlags
	c := &cobra.Command{
		Use:   "report [HOST …]",
		Args:  cobra.ArbitraryArgs,
		Short: "the fleet as it is: versions, ends of life, readiness, snapshots, drift, closed times",
		Long: `report surveys the hosts, reads the journal, and shows the fleet as it is. It changes nothing on hosts.
What it saw is kept beside the journal: --last shows that again without contacting a host, and so does
ncfleet metrics.
Exit code 0, or 1 when there are no facts of a host: it is named in the report, with the reason.`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.report(cmd.Context(), args, f) },
	}
	c.Flags().StringVar(&f.html, "html", "", "write the report also as one HTML file, to mail or to print")
	c.Flags().IntVar(&f.goal, "goal", 0, "the major that readiness is told for (default: that of --rollout, else the next one of each instance)")
	c.Flags().StringVar(&f.rollout, "rollout", "", "the hosts, the goal and the catalogue of apps of this rollout")
	c.Flags().StringVar(&f.facts, "facts", "", "no survey: read what ncfleet survey printed into this file")
	c.Flags().BoolVar(&f.last, "last", false, "no survey: what the last report saw")
	return c
}

func (a *app) report(ctx context.Context, names []string, f reportFlags) error {
	if _, known := nextcloud.MajorOf(f.goal); f.goal != 0 && !known {
		majors := nextcloud.Majors()
		return &exitCode{exitUsage, fmt.Sprintf("error: --goal %d: the table of %s knows the majors %d to %d",
			f.goal, nextcloud.TableDate, majors[0].Number, majors[len(majors)-1].Number)}
	}
	if f.facts != "" && f.last {
		return &exitCode{exitUsage, "error: --facts and --last each say where facts are read from; give one of them"}
	}
	d, err := a.fleetReport(ctx, names, f)
	if err != nil {
		return err
	}
	if f.html != "" {
		if err := writeWhole(f.html, func(w io.Writer) error { return report.FleetHTML(w, &d) }); err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "report written to %s\n", f.html)
	}
	if a.json() {
		err = a.print(d)
	} else {
		err = report.Fleet(a.stdout, &d, a.look(a.stdout))
	}
	if err != nil {
		return err
	}
	if n := len(d.Unreachable); n > 0 {
		return &exitCode{exitError, fmt.Sprintf("no facts of %s", report.Plural(n, "host"))}
	}
	return nil
}

// fleetReport gathers facts and history and computes the report.
func (a *app) fleetReport(ctx context.Context, names []string, f reportFlags) (fleetreport.ReportDocument, error) {
	var d fleetreport.ReportDocument
	fleet, err := a.load()
	if err != nil {
		return d, err
	}
	var r *inventory.Rollout
	in := fleetreport.Input{Goal: f.goal}
	if f.rollout != "" {
		if r, err = pickRollout(fleet, f.rollout); err != nil {
			return d, err
		}
		if len(names) == 0 {
			names = r.Hosts
		}
		if g, err := nextcloud.ParseGoal(r.Core.To); err == nil && in.Goal == 0 {
			in.Goal = g.Version.Major()
		}
	}
	if in.Hosts, err = a.hosts(names); err != nil {
		return d, err
	}
	if in.Facts, err = a.reportFacts(ctx, r, in.Hosts, f); err != nil {
		return d, err
	}
	if r != nil {
		w := &world{app: a, rollout: r}
		if in.Catalogue, err = w.catalogue(ctx); err != nil {
			return d, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in.Facts)) {
		if fleet.Host(name) == nil {
			in.Problems = append(in.Problems, fmt.Sprintf("there are facts of %s, which the inventory does not have", name))
		}
	}
	past, problems, err := a.history()
	if err != nil {
		return d, err
	}
	in.Past, in.Problems, in.Now = past, append(in.Problems, problems...), now()
	return fleetreport.Compute(in), nil
}

// reportFacts are those of a file, of the last report, or of a new survey,
// which is kept.
func (a *app) reportFacts(ctx context.Context, r *inventory.Rollout, hosts []*inventory.Host, f reportFlags) (map[string]plan.Facts, error) {
	if f.facts != "" {
		return readFacts(f.facts)
	}
	kept, err := a.lastSurvey()
	if err != nil {
		return nil, err
	}
	if f.last {
		file, _, err := readIfThere(kept)
		if err == nil && file == nil {
			err = fmt.Errorf("no survey was kept here yet: there is no %s; run %s report", kept, a.self())
		}
		return file, err
	}
	w, err := a.open(r)
	if err != nil {
		return nil, err
	}
	defer w.close()
	var names []string
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	facts, err := w.survey(ctx, names, false)
	if err != nil {
		return nil, err
	}
	return facts, a.keepSurvey(kept, facts)
}

// history replays the journal's newest rollouts. One that cannot be replayed is
// named among the problems: the others still tell what they know.
func (a *app) history() (past []fleetreport.Past, problems []string, err error) {
	j, _, err := a.reads()
	if err != nil || j == nil {
		return nil, nil, err
	}
	defer j.Close()
	list, err := j.List()
	if err != nil {
		return nil, nil, err
	}
	if len(list) > historyLimit {
		problems = append(problems, fmt.Sprintf("of the journal's %d rollouts only the newest %d were read", len(list), historyLimit))
		list = list[:historyLimit]
	}
	for _, e := range list {
		p, err := pastOf(j, e.ID)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		past = append(past, p)
	}
	return past, problems, nil
}

func pastOf(j *journal.Journal, id string) (fleetreport.Past, error) {
	s, err := replay(j, id)
	if err != nil {
		return fleetreport.Past{}, err
	}
	events, err := j.Events(id, 0)
	return fleetreport.Past{ID: id, State: s, Events: events}, err
}
