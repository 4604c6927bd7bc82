package outbox

import (
	"errors"
	"math/rand/v2"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// isRefusal tells messages that the broker will never have from failures of the broker, which say nothing about
// the message; one that answers late may even have it. What is not known to be a refusal is a failure: taken the
// wrong way round, a minute of INTERNAL would make the first event of every key a dead letter.
func isRefusal(err error) bool {
	return status.Code(err) == codes.InvalidArgument || errors.Is(err, pubsub.ErrOversizedMessage)
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
