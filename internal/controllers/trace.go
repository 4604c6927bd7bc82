package controllers

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/grpc/metadata"
)

const keyTraceParent = "traceparent"

// traced carries the caller's W3C traceparent into the events that a call causes. A malformed one, or more
// than one, is as good as none; tracestate is not carried.
func traced(ctx context.Context, md metadata.MD) context.Context {
	parents := md.Get(keyTraceParent)
	if len(parents) != 1 {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{keyTraceParent: parents[0]})
}
