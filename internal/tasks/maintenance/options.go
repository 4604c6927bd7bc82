package maintenance

import (
	"context"
	"time"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/repositories"
)

// Options of a Runner; configs/conf.proto describes them.
type Options struct {
	// Interval is about how long it waits between two runs, and how long a job may go on within one.
	Interval time.Duration
	// EventRetention and InboxRetention are how long events stay in the log and in the inbox, SessionRetention how long
	// playback sessions are known after their last report.
	EventRetention, InboxRetention, SessionRetention time.Duration
	// Batch is how many rows one transaction removes or judges.
	Batch int32
}

// lockPatience is how long emptying a part of the log waits for its readers. Publishers wait behind it that long.
const lockPatience = 200 * time.Millisecond

// Job is one thing that a run does.
type Job string

// The jobs.
const (
	EventLog        Job = "event_log"
	InboxEvents     Job = "inbox_events"
	IdempotencyKeys Job = "idempotency_keys"
	WatchSessions   Job = "watch_sessions"
	// UnjudgedWatches gives progress its ratio when the length of its video has arrived (S36).
	UnjudgedWatches Job = "unjudged_watches"
)

// Jobs are all of them.
func Jobs() []Job {
	return []Job{EventLog, InboxEvents, IdempotencyKeys, WatchSessions, UnjudgedWatches}
}

// Store runs transactions; repositories.Store documents them.
type Store interface {
	Write(ctx context.Context, actor models.Actor, fn func(ctx context.Context, tx *repositories.Tx) error) error
	Queue(ctx context.Context, fn func(ctx context.Context, tx *repositories.Tx) error) error
}

// Inbox forgets processed events; services.CatalogInboxService documents it.
type Inbox interface {
	Prune(ctx context.Context, olderThan time.Duration, limit int32) (int64, error)
}

// Watches judges progress; services.WatchHistoryService documents it.
type Watches interface {
	Judge(ctx context.Context, limit int32) (int64, error)
}

// Observer counts what happened. Implementations do not block and do not fail.
type Observer interface {
	// Removed counts rows, and for EventLog days; for UnjudgedWatches the rows it judged.
	Removed(job Job, n int64)
	// Succeeded says that a job did all it had to.
	Succeeded(job Job)
	// Failed counts runs of a job that did not.
	Failed(job Job)
}
