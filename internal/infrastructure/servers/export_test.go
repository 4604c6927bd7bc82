package servers

import (
	"time"

	"google.golang.org/grpc"
)

// The bounds of abandoned calls.
const (
	AbandonedPerSecond = abandonedPerSecond
	AbandonedAtFirst   = abandonedAtFirst
	AbandonedAtMost    = abandonedAtMost
)

// Guarded are the options of a server that closes connections which abandon too many calls.
func Guarded(now func() time.Time, closed func(reason string)) []grpc.ServerOption {
	return append(guard{now, closed}.options(), grpc.UnaryInterceptor(received))
}
