package outbox

import (
	"context"
	"time"

	"cloud.google.com/go/pubsub/v2"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/repositories"
)

// Options of a publisher; configs/conf.proto describes them.
type Options struct {
	// Instance names this process among publishers; unique per start.
	Instance string
	// Batch is how many events one statement reads, Window how many may wait for the broker at a time.
	Batch, Window int
	// Lease and Renew are the terms on which lanes are held.
	Lease, Renew time.Duration
	// MaxAttempts refusals of one event dead-letter it and block its key.
	MaxAttempts int
	// BackoffMin and BackoffMax bound waiting after a refusal or a failure of the broker.
	BackoffMin, BackoffMax time.Duration
	// Buckets is how many ordering keys users share; 0: each has one of its own.
	Buckets uint32
	// Grace is how long Stop waits for acknowledgements at most.
	Grace time.Duration
	// Reread is how often everything that waits is read anew, while there is no backlog.
	Reread time.Duration
}

// Limits of waiting for events.
const (
	// With a listener, polling only covers for wake-ups that were lost.
	safetyPoll = time.Second
	// Without one, polling slows down from fastestPoll to slowestPoll while there is nothing.
	fastestPoll = 2 * time.Millisecond
	slowestPoll = 250 * time.Millisecond
	// A read that found this many events was one of a stream of them: the next one waits a moment, so that fewer and
	// larger visits do. What comes alone does not.
	thick     = 8
	gatherGap = 20 * time.Millisecond
	// Acknowledgements wait this long for more of them, or for the next read.
	forgetDelay = 20 * time.Millisecond
	// After a failure of the broker it has to take this many events of a lane before it gets more.
	trialRoom = 16
	// How often the observer is told how things stand.
	reportEvery = 2 * time.Second
)

// Topic is where events go. *pubsub.Publisher with message ordering is one: after a failure it refuses a key
// until ResumePublish.
type Topic interface {
	Publish(ctx context.Context, m *pubsub.Message) *pubsub.PublishResult
	ResumePublish(orderingKey string)
	// Flush sends at once what lingers, and returns when the broker answered.
	Flush()
	// Stop sends what it still has and waits for it.
	Stop()
}

// Store runs transactions; repositories.Store documents it.
type Store interface {
	// Write is for leases: an epoch must not come back after a crash.
	Write(ctx context.Context, actor models.Actor, fn func(ctx context.Context, tx *repositories.Tx) error) error
	// Queue is for events: what a crash undoes is repeated.
	Queue(ctx context.Context, fn func(ctx context.Context, tx *repositories.Tx) error) error
}

// Alarm tells when events may have been committed.
type Alarm interface {
	// Woken gets a value when something may have been committed.
	Woken() <-chan struct{}
	// Hears reports whether it can be relied on just now.
	Hears() bool
}

// Observer counts what happened. Implementations do not block and do not fail.
type Observer interface {
	// Published counts one acknowledged event and how long the broker took.
	Published(eventType string, took time.Duration)
	// Refused counts one message the broker would not have.
	Refused(eventType string)
	// DeadLettered counts one event that used up its attempts.
	DeadLettered(eventType string)
	// BrokerFailed counts one failure that was not about a message.
	BrokerFailed()
	// DatabaseFailed counts one visit to the database that failed.
	DatabaseFailed()
	// Observed reports the present.
	Observed(now Status)
	// Backlog reports about how many events wait in the whole queue.
	Backlog(events int64)
}

// Status is what a publisher can say about itself.
type Status struct {
	// Lanes held.
	Lanes int
	// Lag is the age of the oldest event of the lanes held that is not acknowledged, those of blocked keys apart; 0
	// without one. While the database cannot be asked it is what it may be at most.
	Lag time.Duration
	// Outstanding events wait for the broker.
	Outstanding int
	// BlockedKeys wait for an operator, as far as their lanes are held here.
	BlockedKeys int
}
