package outbox

import (
	"errors"
	"math/rand/v2"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// isBroker tells failures of the broker, which say nothing about the message, from refusals of a message. A
// broker that answers late may have the message all the same.
func isBroker(err error) bool {
	if errors.Is(err, pubsub.ErrPublisherStopped) {
		return true
	}
	switch status.Code(err) { //nolint:exhaustive // the rest are refusals
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Unauthenticated,
		codes.PermissionDenied, codes.NotFound, codes.Aborted, codes.Canceled:
		return true
	}
	return false
}

// isPaused reports that the client did not even try, because of an earlier failure of the same key.
func isPaused(err error) bool {
	var paused pubsub.ErrPublishingPaused
	return errors.As(err, &paused)
}

// backoff is full jitter: anything up to a ceiling that doubles with every failure from least to most.
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
func backoff(failures int, least, most time.Duration) time.Duration {
	const maxDoublings = 20
	ceiling := min(least<<min(failures-1, maxDoublings), most)
	return rand.N(ceiling) + 1 //nolint:gosec // spreading retries needs no secrecy
}
