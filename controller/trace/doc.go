// Package trace tells an OpenTelemetry collector of a rollout: one trace each,
// with a span for the rollout, its waves, its targets and their steps, made
// from the journal's events. A survey is a trace of its own, a span per host.
//
// It refuses to hold a rollout up: a bounded queue takes the spans, what does
// not fit or cannot be delivered is dropped and told to the operator, and the
// end waits a few seconds at most. It refuses to sample, and it sends no
// secret: spans say what the journal says, nothing of the hosts' files.
//
// A trace's and a span's ID follow from the rollout's ID and the step's name, so
// that a controller that resumes a rollout adds to the same trace.
package trace

import (
	"context"
	"crypto/sha256"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"
)

// key identifies a span: what its trace and its own ID are made of.
type key struct{ trace, span string }

func (k key) traceID() api.TraceID {
	sum := sha256.Sum256([]byte("ncfleet trace\x00" + k.trace))
	return api.TraceID(sum[:16])
}

func (k key) spanID() api.SpanID {
	sum := sha256.Sum256([]byte("ncfleet span\x00" + k.trace + "\x00" + k.span))
	return api.SpanID(sum[:8])
}

// keyed carries a key to the generator.
type keyed struct{}

// generator makes IDs from the key in the context.
type generator struct{}

var _ sdk.IDGenerator = generator{}

// NewIDs implements sdk.IDGenerator.
func (generator) NewIDs(ctx context.Context) (api.TraceID, api.SpanID) {
	k, _ := ctx.Value(keyed{}).(key)
	return k.traceID(), k.spanID()
}

// NewSpanID implements sdk.IDGenerator.
func (generator) NewSpanID(ctx context.Context, _ api.TraceID) api.SpanID {
	k, _ := ctx.Value(keyed{}).(key)
	return k.spanID()
}

// span is one that has ended.
type span struct {
	key          key
	parent       string // the parent's span key; "" for the trace's first
	name         string
	begun, ended time.Time
	outcome      string
	status       codes.Code
	detail       string // of an error
	attributes   []attribute.KeyValue
}

// mostDetail bounds what a span says of an error, in bytes.
const mostDetail = 2000

func (s *Sender) send(sp span) {
	// Nothing is cancelled here: the span begins and ends at once.
	ctx := context.WithValue(context.Background(), keyed{}, sp.key)
	if sp.parent != "" {
		above := key{sp.key.trace, sp.parent}
		ctx = api.ContextWithRemoteSpanContext(ctx, api.NewSpanContext(api.SpanContextConfig{
			TraceID: above.traceID(), SpanID: above.spanID(), TraceFlags: api.FlagsSampled, Remote: true}))
	}
	if sp.begun.IsZero() || sp.begun.After(sp.ended) {
		sp.begun = sp.ended
	}
	_, out := s.tracer.Start(ctx, sp.name, api.WithTimestamp(sp.begun), api.WithAttributes(sp.attributes...),
		api.WithAttributes(attribute.String("ncfleet.outcome", sp.outcome)))
	if len(sp.detail) > mostDetail {
		sp.detail = strings.ToValidUTF8(sp.detail[:mostDetail], "") + "…"
	}
	if sp.detail != "" {
		out.SetAttributes(attribute.String("ncfleet.detail", sp.detail))
	}
	if sp.status == codes.Error {
		out.SetStatus(codes.Error, sp.detail)
	} else if sp.status == codes.Ok {
		out.SetStatus(codes.Ok, "")
	}
	out.End(api.WithTimestamp(sp.ended))
}
