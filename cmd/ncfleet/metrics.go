package main

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/ncfleet/ncfleet/controller"
	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/metrics"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

func metricsCommand(a *app) *cobra.Command {
	var file string
	var survey bool
	c := &cobra.Command{
		Use:   "metrics",
		Args:  cobra.NoArgs,
		Short: "Prometheus metrics of the newest rollout and of the fleet",
		Long: `metrics shows the newest rollout of the journal and what the last report saw, in Prometheus' text format.
It contacts no host, unless with --survey. With --textfile it replaces a file for the node exporter's
textfile collector; run it from a timer. While a rollout runs, apply --metrics-listen serves the same.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.metrics(cmd.Context(), file, survey) },
	}
	c.Flags().StringVar(&file, "textfile", "", "write this file (it ends in .prom) instead of standard output")
	c.Flags().BoolVar(&survey, "survey", false, "survey the hosts first, and keep what was seen")
	return c
}

func (a *app) metrics(ctx context.Context, file string, survey bool) error {
	newest, err := a.newestMetrics()
	if err != nil {
		return err
	}
	collectors := []prometheus.Collector{newest}
	kept, err := a.lastSurvey()
	if err != nil {
		return err
	}
	if _, there, err := readIfThere(kept); err != nil {
		return err
	} else if there || survey {
		d, err := a.fleetReport(ctx, nil, reportFlags{last: !survey})
		if err != nil {
			return err
		}
		collectors = append(collectors, metrics.Fleet{Report: &d})
	}
	if file != "" {
		if err := metrics.WriteFile(file, collectors...); err != nil {
			return err
		}
	}
	if a.json() {
		samples, err := metrics.Samples(collectors...)
		if err != nil {
			return err
		}
		return a.print(metrics.MetricsDocument{FormatVersion: 1, File: file, Metrics: samples})
	}
	if file == "" {
		return metrics.Write(a.stdout, collectors...)
	}
	return nil
}

// newestMetrics shows the journal's newest rollout.
func (a *app) newestMetrics() (prometheus.Collector, error) {
	j, free, err := a.reads()
	if err != nil || j == nil {
		return metrics.NoRollout{}, err
	}
	defer j.Close()
	list, err := j.List()
	if err != nil || len(list) == 0 {
		return metrics.NoRollout{Running: !free}, err
	}
	p, err := pastOf(j, list[0].ID)
	if err != nil {
		return nil, err
	}
	return metrics.NewRollout(p.ID, p.State, p.Events, !free), nil
}

// metricsFlag lets a command that carries a rollout out serve metrics
// meanwhile. The address is opened before anything else is done.
func metricsFlag(a *app, c *cobra.Command) *cobra.Command {
	var listen string
	c.Flags().StringVar(&listen, "metrics-listen", "", "serve Prometheus metrics at this address meanwhile, such as 127.0.0.1:9464")
	c.PreRunE = func(*cobra.Command, []string) (err error) {
		if listen != "" {
			a.metricsAt, err = metrics.Listen(listen)
		}
		return err
	}
	return c
}

// metricsSink serves a rollout's metrics, if wanted, until the function it
// returns is called.
func (a *app) metricsSink(j *journal.Journal, id string, s *rollout.State) (sink controller.Sink, end func(), err error) {
	if a.metricsAt == nil {
		return sinks{}, func() {}, nil
	}
	events, err := j.Events(id, 0)
	if err != nil {
		return nil, nil, err
	}
	m := metrics.NewRollout(id, s, events, true)
	if end, err = metrics.Serve(a.metricsAt, m); err != nil {
		return nil, nil, err
	}
	fmt.Fprintf(a.stderr, "metrics: http://%s/metrics\n", a.metricsAt.Addr())
	return m, end, nil
}
