package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
)

// Limits of the endpoint. What is slower or more is cut off: a scraper must not
// hold a rollout's memory.
const (
	scrapeLimit    = 10 * time.Second
	headerLimit    = 8 << 10
	scrapesAtOnce  = 4
	goodbyeTimeout = 2 * time.Second
)

// Listen opens the address at which metrics are served. Without a host it is
// the loopback address: nobody else sees the fleet's names unless told to.
func Listen(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("cannot serve metrics at %q: write HOST:PORT, such as 127.0.0.1:9464", address)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("cannot serve metrics at %s: %w", address, err)
	}
	return l, nil
}

// Serve answers /metrics on a listener until the function it returns is called.
func Serve(l net.Listener, collectors ...prometheus.Collector) (end func(), err error) {
	reg, err := registry(collectors)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: scrapesAtOnce, Timeout: scrapeLimit}))
	s := &http.Server{Handler: mux, ReadTimeout: scrapeLimit, WriteTimeout: 2 * scrapeLimit, IdleTimeout: scrapeLimit, MaxHeaderBytes: headerLimit}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = s.Serve(l) // it ends when it is told to; a rollout does not end with it
	}()
	return func() {
		// What is being scraped may finish, also when the rollout was interrupted.
		ctx, cancel := context.WithTimeout(context.Background(), goodbyeTimeout)
		defer cancel()
		if s.Shutdown(ctx) != nil {
			_ = s.Close() // cut off: it was given its time
		}
		<-gone
	}, nil
}

// Write writes metrics in Prometheus' text format.
func Write(w io.Writer, collectors ...prometheus.Collector) error {
	reg, err := registry(collectors)
	if err != nil {
		return err
	}
	families, err := reg.Gather()
	if err != nil {
		return fmt.Errorf("cannot gather metrics: %w", err)
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return fmt.Errorf("cannot write metrics: %w", err)
		}
	}
	return nil
}

// MetricsDocument is metrics for programs that do not read Prometheus' format.
type MetricsDocument struct {
	FormatVersion int `json:"format_version"`
	// File is the file that was written for the textfile collector.
	File    string         `json:"file,omitempty"`
	Metrics []MetricSample `json:"metrics"`
}

// MetricSample is one value.
type MetricSample struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
}

// Samples are the values of metrics. Of a histogram they are its count and sum.
func Samples(collectors ...prometheus.Collector) ([]MetricSample, error) {
	reg, err := registry(collectors)
	if err != nil {
		return nil, err
	}
	families, err := reg.Gather()
	if err != nil {
		return nil, fmt.Errorf("cannot gather metrics: %w", err)
	}
	list := []MetricSample{}
	for _, f := range families {
		for _, m := range f.Metric {
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			switch {
			case m.Histogram != nil:
				list = append(list, MetricSample{f.GetName() + "_count", labels, float64(m.Histogram.GetSampleCount())},
					MetricSample{f.GetName() + "_sum", labels, m.Histogram.GetSampleSum()})
			case m.Counter != nil:
				list = append(list, MetricSample{f.GetName(), labels, m.Counter.GetValue()})
			default:
				list = append(list, MetricSample{f.GetName(), labels, m.Gauge.GetValue()})
			}
		}
	}
	return list, nil
}

// WriteFile replaces a file for the node exporter's textfile collector: it reads
// the old one or the new one, never a part. The file can be read by everybody.
func WriteFile(file string, collectors ...prometheus.Collector) error {
	reg, err := registry(collectors)
	if err != nil {
		return err
	}
	if err := prometheus.WriteToTextfile(file, reg); err != nil {
		return fmt.Errorf("cannot write metrics to %s: %w", file, err)
	}
	return nil
}

func registry(collectors []prometheus.Collector) (*prometheus.Registry, error) {
	reg := prometheus.NewRegistry()
	var errs []error
	for _, c := range collectors {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("cannot show metrics: %w", err)
	}
	return reg, nil
}
