package servers

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/tap"
)

// The bounds of abandoned calls.
const (
	AbandonedPerSecond = abandonedPerSecond
	AbandonedAtFirst   = abandonedAtFirst
	AbandonedAtMost    = abandonedAtMost
)

// Guarded are the options of a server that closes connections which abandon too many calls.
func Guarded(now func() time.Time, closed func(reason string), arrive tap.ServerInHandle) []grpc.ServerOption {
	return append(guard{now, closed, arrive}.options(), grpc.UnaryInterceptor(received(unaffected)))
}

func unaffected(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return handler(ctx, req)
}
