package repositories

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
)

//go:generate go tool -modfile=../../tools/go.mod mockgen -source=interfaces.go -destination=mocks/mocks.go -package=mocks

// ProfileRepository reads and writes profile.users.
type ProfileRepository interface {
	// BatchGet returns the rows that exist.
	BatchGet(ctx context.Context, ids []models.UserID) (map[models.UserID]po.User, error)
	// Lock returns the user's row and keeps it locked until the transaction ends. Errors: models.ErrProfileNotFound.
	Lock(ctx context.Context, id models.UserID) (po.User, error)
	// Upsert creates the row at version 1. created is false, and nothing is written, when it exists.
	Upsert(ctx context.Context, id models.UserID, c po.Content) (user po.User, created bool, err error)
	// IncrementVersion stores content and moves the version by one, if it still is expected. Errors:
	// models.ErrVersionConflict.
	IncrementVersion(ctx context.Context, id models.UserID, expected int64, c po.Content) (po.User, error)
}

// UserStatsRepository reads and writes profile.user_stats, whose row lock orders a user's changes.
type UserStatsRepository interface {
	// Lock creates missing rows and locks all of them in key order. It must be the first lock a
	// transaction takes.
	Lock(ctx context.Context, ids []models.UserID) (map[models.UserID]po.UserCounters, error)
	// LockFree is Lock that leaves out the users somebody else has locked, so that it hardly waits.
	LockFree(ctx context.Context, ids []models.UserID) (map[models.UserID]po.UserCounters, error)
	// Increment moves locked counters and returns each user's last claimed event version.
	Increment(ctx context.Context, deltas []po.UserDelta) (map[models.UserID]int64, error)
}

// EngagementRepository reads and writes profile.engagements.
type EngagementRepository interface {
	// Upsert applies commands of distinct registers to locked users and reports each one's effect, in order and
	// length of cmds. A removal is a soft delete.
	Upsert(ctx context.Context, cmds []po.FavoriteCommand, policy po.FavoritePolicy) ([]po.FavoriteChange, error)
	// ListByUser returns active rows for each query, newest first; fewer than asked for only at the end.
	ListByUser(ctx context.Context, queries []po.FavoriteQuery) ([][]po.Favorite, error)
	// CountByUser counts what all pages of a list show.
	CountByUser(ctx context.Context, q po.FavoriteQuery) (int64, error)
	// BatchGet answers in order and length of ids, with zero values for what does not exist.
	BatchGet(ctx context.Context, user models.UserID, ids []models.VideoID) ([]po.FavoriteState, error)
}

// WatchKey names one row of profile.watch_logs.
type WatchKey struct {
	UserID  models.UserID
	VideoID models.VideoID
}

// WatchLogRepository reads and writes profile.watch_logs and profile.watch_sessions.
type WatchLogRepository interface {
	// Get returns the rows that exist. Whoever means to write them has locked their users.
	Get(ctx context.Context, keys []WatchKey) (map[WatchKey]po.WatchLog, error)
	// UpsertProgress stores merged rows of distinct keys.
	UpsertProgress(ctx context.Context, logs []po.WatchLog) error
	// Sessions returns the greatest numbers seen of those sessions that have one apart from their row.
	Sessions(ctx context.Context, keys []po.WatchSessionKey) (map[po.WatchSessionKey]int64, error)
	// UpsertSessions stores the numbers of distinct sessions; a smaller one than is stored changes nothing.
	UpsertSessions(ctx context.Context, sessions []po.WatchSession) error
	// PruneSessions forgets up to limit sessions nobody used for that long, and returns how many.
	PruneSessions(ctx context.Context, untouched time.Duration, limit int32) (int64, error)
	// Unjudged returns up to limit rows that wait for a length that is known by now.
	Unjudged(ctx context.Context, limit int32) ([]WatchKey, error)
	// BatchGet returns what is kept of a user and videos and has not expired, also below the threshold.
	BatchGet(ctx context.Context, user models.UserID, ids []models.VideoID) (map[models.VideoID]po.WatchRecord, error)
	// ListRecent returns rows of the history for each query, most recent first; fewer than asked for only at the end. Of
	// each it knows what is shown, not what reports are merged with.
	ListRecent(ctx context.Context, queries []po.WatchQuery) ([][]po.WatchLog, error)
}

// VideoProjectionRepository reads and writes profile.videos_projection.
type VideoProjectionRepository interface {
	// UpsertFromCatalogEvent folds changes in; any order and repetition ends in the same rows. Returns the
	// videos whose row changed, each once, in no particular order.
	UpsertFromCatalogEvent(ctx context.Context, changes []po.VideoChange) ([]models.VideoID, error)
	// ListByIDs returns the rows that exist.
	ListByIDs(ctx context.Context, ids []models.VideoID) (map[models.VideoID]po.Video, error)
	// Listed returns what lists show of videos and their counters, for every id, in one round trip.
	Listed(ctx context.Context, ids []models.VideoID) (map[models.VideoID]po.ListedVideo, error)
	// Facts returns what progress depends on, for every id.
	Facts(ctx context.Context, ids []models.VideoID) (map[models.VideoID]po.VideoFacts, error)
}

// VideoStatsRepository reads and writes profile.video_stats.
type VideoStatsRepository interface {
	// Ensure creates the rows that do not exist. A transaction that needs it calls it before Increment, and once.
	Ensure(ctx context.Context, ids []models.VideoID) error
	// Increment moves counters of distinct videos that have rows, in the order of their ids, and returns them. Errors:
	// models.ErrCounterOverflow; ErrCounterDrift when a counter would fall below zero, which aborts the transaction.
	Increment(ctx context.Context, deltas []po.StatsDelta) (map[models.VideoID]po.VideoStats, error)
	// BatchGet returns the rows that exist.
	BatchGet(ctx context.Context, ids []models.VideoID) (map[models.VideoID]po.VideoStats, error)
	// Drift recounts every video and returns those that differ.
	Drift(ctx context.Context) ([]po.StatsDrift, error)
}

// OutboxRepository writes the event log.
type OutboxRepository interface {
	// Append writes events and queues their delivery. Their users must be locked.
	Append(ctx context.Context, events []po.Event) error
}

// DeliveryRepository is the publisher's side of the outbox.
type DeliveryRepository interface {
	// Forget takes events out of the queue that the broker has. Safe to repeat.
	Forget(ctx context.Context, events []po.Delivered) error
	// Take reads, in one snapshot, what has not been read yet. Reading is
	// exact: nothing that commits late is missed, and no event of a key is read before its earlier ones.
	// Lanes held by others under a newer epoch give nothing.
	Take(ctx context.Context, t po.Take) (po.Taken, error)
	// Refuse counts one refusal; dead says that it was the last one allowed. found is false when the event is
	// not waiting any more or the lane is not held under that epoch.
	Refuse(ctx context.Context, r po.Refusal) (dead, found bool, err error)
	// OldestUnread is the age of the oldest event above the cursors, dead letters apart; 0 without one.
	OldestUnread(ctx context.Context, lanes []po.Cursor) (time.Duration, error)
	// EstimateBacklog is about how many events wait; it reads statistics, not rows.
	EstimateBacklog(ctx context.Context) (int64, error)
}

// LaneRepository shares the lanes among publishers by leases on the database's clock.
type LaneRepository interface {
	// Meet says that instance is alive for lease, and counts the living, itself included.
	Meet(ctx context.Context, instance string, lease time.Duration) (publishers int, err error)
	// Leave takes instance off the list of the living.
	Leave(ctx context.Context, instance string) error
	// Renew prolongs the leases of instance and returns the lanes it still holds.
	Renew(ctx context.Context, instance string, lease time.Duration) ([]po.Lane, error)
	// Acquire takes up to atMost lanes that nobody holds, each under a new epoch.
	Acquire(ctx context.Context, instance string, lease time.Duration, atMost int) ([]po.Lane, error)
	// Release gives lanes of instance to whoever wants them. Lanes of others stay theirs.
	Release(ctx context.Context, instance string, lanes []int32) error
}

// DeadLetterRepository is the operator's side of the queue. The first event of a key that the broker will not have
// is its dead letter; what is behind it waits.
type DeadLetterRepository interface {
	// List returns one page of refused events; fewer than asked for only at the end.
	List(ctx context.Context, q po.StuckQuery) ([]po.StuckEvent, error)
	// Redrive gives dead letters all their attempts again, has their lanes read again, and returns the ids of
	// those that were dead.
	Redrive(ctx context.Context, ids []int64) ([]int64, error)
	// Skip archives a dead letter and has its lane read again; found is false when there is none.
	Skip(ctx context.Context, s po.Skip) (found bool, err error)
	// Lanes returns every lane, by number.
	Lanes(ctx context.Context) ([]po.LaneStatus, error)
	// Count is cheap at any size.
	Count(ctx context.Context) (po.OutboxCounts, error)
}

// EventLogRepository reads the event log again, and empties what is too old.
type EventLogRepository interface {
	// Slots returns the slots that have events, oldest first, and the database's time.
	Slots(ctx context.Context) (slots []po.LogSlot, now time.Time, err error)
	// Scan returns the next events of a slot by id, wanted or not; fewer than asked for only at its end.
	Scan(ctx context.Context, q po.LogScan) ([]po.LoggedEvent, error)
	// Requeue queues events of a slot for another delivery and returns the ids of those that were not queued.
	Requeue(ctx context.Context, slot int32, events []po.LoggedEvent) ([]int64, error)
	// Expired returns the slots that may be emptied: nothing in them is younger than retention or waits, and
	// nobody writes them today or tomorrow.
	Expired(ctx context.Context, retention time.Duration) ([]int32, error)
	// Empty removes everything from an expired slot; emptied is false when it is not expired (any more) or
	// another transaction empties slots. Whoever reads the slot is waited for up to patience. Errors:
	// models.ErrDeadlineExceeded after that.
	Empty(ctx context.Context, slot int32, retention, patience time.Duration) (emptied bool, err error)
}

// IdempotencyRepository keeps answers of successful calls (S85).
type IdempotencyRepository interface {
	// Lock claims the scopes of records until the transaction ends, and says of each whether it could: it waits for
	// nobody.
	Lock(ctx context.Context, records []po.IdempotencyRecord) (locked []bool, err error)
	// Get returns the kept answers by the place of their record; those that are absent or have expired are left out.
	Get(ctx context.Context, records []po.IdempotencyRecord) (map[int]po.IdempotencyRecord, error)
	// Put keeps records of distinct scopes for the retention.
	Put(ctx context.Context, records []po.IdempotencyRecord, retention time.Duration) error
	// Prune forgets at most limit expired records and returns how many.
	Prune(ctx context.Context, limit int32) (int64, error)
}

// InboxRepository remembers what was received from other services.
type InboxRepository interface {
	// Claim marks distinct events processed and returns the ids of those that were not: what must be applied
	// in the same transaction.
	Claim(ctx context.Context, generation int32, events []po.CatalogEvent) ([]uuid.UUID, error)
	// Park keeps failures, for each id the newest word, and returns the ids that are kept: an event that was
	// processed is left alone.
	Park(ctx context.Context, generation int32, failures []po.InboxFailure) ([]uuid.UUID, error)
	// List returns one page of failures; fewer than asked for only at the end.
	List(ctx context.Context, q po.InboxQuery) ([]po.InboxEntry, error)
	// Lock returns a failure with its payload, locked until the transaction ends; found is false when there is
	// none, or none any more.
	Lock(ctx context.Context, key po.InboxKey) (failure po.InboxFailure, found bool, err error)
	// Discard settles failures without applying them, with note before their reasons, and returns those that
	// were still kept, in no order. Their payloads are gone.
	Discard(ctx context.Context, keys []po.InboxKey, note string) ([]po.InboxKey, error)
	// Status is cheap at any size.
	Status(ctx context.Context) (po.InboxStatus, error)
	// Prune forgets at most limit processed events received longer ago than that, and returns how many.
	Prune(ctx context.Context, olderThan time.Duration, limit int32) (int64, error)
}

func uuids[ID ~[16]byte](ids []ID) []uuid.UUID {
	out := make([]uuid.UUID, len(ids))
	for i, id := range ids {
		out[i] = uuid.UUID(id)
	}
	return out
}
