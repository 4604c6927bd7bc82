package repositories_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/test/testkit"
)

// Whoever made the span, a server or a caller: its traceparent is stored, its tracestate is not.
func TestS74_HeadersHoldTheTraceOfTheContext(t *testing.T) {
	t.Parallel()
	s := open(t)
	state, err := trace.ParseTraceState("vendor=1")
	require.NoError(t, err)
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, TraceState: state})
	ctx := trace.ContextWithSpanContext(t.Context(), span)
	require.NoError(t, s.Write(ctx, models.ServiceActor, func(ctx context.Context, tx *repositories.Tx) error {
		return tx.Outbox.Append(ctx, []po.Event{event(user(1), 1), event(user(1), 2)})
	}))
	require.Equal(t, int64(2), testkit.One[int64](t, s.DB, "SELECT count(*) FROM profile.outbox_events WHERE headers = $1::jsonb",
		`{"traceparent": "00-01000000000000000000000000000000-0200000000000000-01"}`))
}
