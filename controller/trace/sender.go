package trace

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"
)

// Limits of delivery.
const (
	queueSize = 4096 // spans that wait; the next is dropped and told
	batchSize = 256
	gather    = time.Second      // how long a batch waits for more
	oneBatch  = 10 * time.Second // with its tries
	lastWords = 5 * time.Second  // what Close waits
)

// Configured reports whether the standard environment variables of
// OpenTelemetry ask for traces. An error says what about them cannot be done.
func Configured(env func(string) string) (bool, error) {
	first := func(names ...string) string {
		for _, n := range names {
			if v := env(n); v != "" {
				return v
			}
		}
		return ""
	}
	switch {
	case first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT") == "":
		return false, nil
	case env("OTEL_SDK_DISABLED") == "true", env("OTEL_TRACES_EXPORTER") == "none":
		return false, nil
	}
	if p := first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); p == "grpc" {
		return false, errors.New("no traces are sent: OTEL_EXPORTER_OTLP_PROTOCOL is grpc, and ncfleet speaks http/protobuf; set it to that, and the endpoint to the collector's port for HTTP (4318)")
	}
	return true, nil
}

// Sender delivers spans in a goroutine of its own.
type Sender struct {
	tracer   api.Tracer
	exporter sdk.SpanExporter
	complain func(string)

	queue   chan sdk.ReadOnlySpan
	gone    chan struct{}
	cancel  context.CancelFunc
	close   sync.Once
	dropped atomic.Int64
	failed  int // spans of batches that were not delivered; of the goroutine
}

// Open starts a sender, which the environment's variables of OpenTelemetry
// configure. complain hears of what was not delivered. Close ends it.
func Open(ctx context.Context, version string, complain func(string)) (*Sender, error) {
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
		Enabled: true, InitialInterval: 500 * time.Millisecond, MaxInterval: 2 * time.Second, MaxElapsedTime: oneBatch / 2}))
	if err != nil {
		return nil, fmt.Errorf("cannot send traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "ncfleet"),
		attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("cannot send traces: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { complain("traces: " + err.Error()) }))
	s := &Sender{exporter: exporter, complain: complain, queue: make(chan sdk.ReadOnlySpan, queueSize), gone: make(chan struct{})}
	provider := sdk.NewTracerProvider(sdk.WithSampler(sdk.AlwaysSample()), sdk.WithIDGenerator(generator{}),
		sdk.WithResource(about), sdk.WithSpanProcessor(s))
	s.tracer = provider.Tracer("github.com/ncfleet/ncfleet", api.WithInstrumentationVersion(version))
	work, cancel := context.WithCancel(context.WithoutCancel(ctx)) // until Close: the end of a rollout must still be told
	s.cancel = cancel
	go s.deliver(work)
	return s, nil
}

// OnStart implements sdk.SpanProcessor.
func (s *Sender) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd implements sdk.SpanProcessor: it queues the span or drops it.
func (s *Sender) OnEnd(sp sdk.ReadOnlySpan) {
	select {
	case s.queue <- sp:
	default:
		s.dropped.Add(1)
	}
}

// Shutdown implements sdk.SpanProcessor.
func (s *Sender) Shutdown(context.Context) error { s.Close(); return nil }

// ForceFlush implements sdk.SpanProcessor; only Close waits for delivery.
func (s *Sender) ForceFlush(context.Context) error { return nil }

// deliver sends batches until the queue is closed.
func (s *Sender) deliver(ctx context.Context) {
	defer close(s.gone)
	for {
		batch, more := s.batch()
		if len(batch) > 0 {
			s.export(ctx, batch)
		}
		if !more {
			return
		}
	}
}

// batch waits for a span and for those that come soon after it.
func (s *Sender) batch() (list []sdk.ReadOnlySpan, more bool) {
	sp, more := <-s.queue
	if !more {
		return nil, false
	}
	list = append(list, sp)
	soon := time.After(gather)
	for len(list) < batchSize {
		select {
		case sp, more = <-s.queue:
			if !more {
				return list, false
			}
			list = append(list, sp)
		case <-soon:
			return list, true
		}
	}
	return list, true
}

func (s *Sender) export(ctx context.Context, batch []sdk.ReadOnlySpan) {
	ctx, stop := context.WithTimeout(ctx, oneBatch)
	defer stop()
	err := s.exporter.ExportSpans(ctx, batch)
	if err == nil {
		return
	}
	if s.failed == 0 { // the first is told at once, the rest at the end
		s.complain(fmt.Sprintf("traces: %d spans were not delivered: %v", len(batch), err))
	}
	s.failed += len(batch)
}

// Close delivers what waits, within a limit, and tells what was lost. No span
// may be sent during or after it.
func (s *Sender) Close() {
	s.close.Do(func() {
		close(s.queue)
		timer := time.AfterFunc(lastWords, s.cancel)
		<-s.gone
		timer.Stop()
		s.cancel()
		if n := int(s.dropped.Load()) + s.failed; n > 0 {
			s.complain(fmt.Sprintf("traces: %d spans were lost in all", n))
		}
		_ = s.exporter.Shutdown(context.Background()) // it holds nothing any more
	})
}
