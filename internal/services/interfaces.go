package services

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/internal/repositories"
)

// Store runs transactions; repositories.Store documents them.
type Store interface {
	Write(ctx context.Context, actor models.Actor, fn func(ctx context.Context, tx *repositories.Tx) error) error
	WriteFor(ctx context.Context, users []models.UserID, fn func(ctx context.Context, tx *repositories.Tx) error) error
	Read(ctx context.Context, actor models.Actor, fn func(ctx context.Context, tx *repositories.Tx) error) error
	ReadFor(ctx context.Context, users []models.UserID, fn func(ctx context.Context, tx *repositories.Tx) error) error
}

// Observer counts what happened, after it was committed. Implementations do not block and do not fail.
type Observer interface {
	// FavoriteChanged counts real transitions.
	FavoriteChanged(kind models.FavoriteType, active bool)
	// ProgressReported counts reports by outcome and by what is hard to believe about them.
	ProgressReported(outcome models.Outcome, doubts models.Doubts)
	// PreferencesUpdated counts real changes.
	PreferencesUpdated()
	// BatchTaken counts a shared transaction: of which kind, how many commands, how long the first of them had waited.
	BatchTaken(kind string, commands int, waited time.Duration)
	// CounterDrift counts transactions that would have made a counter negative.
	CounterDrift()
}

// NewID makes event ids (UUIDv7).
type NewID func() uuid.UUID

// ProfileService keeps profiles and preferences.
type ProfileService interface {
	// Get returns the subject's profile. Errors: models.ErrProfileNotFound.
	Get(ctx context.Context, call models.Call) (vo.User, error)
	// Update applies a patch, creating the profile when that is allowed. Errors: ErrVersionConflict or
	// ErrPreferenceConflict with current_version, ErrPreconditionFailed, ErrProfileNotFound,
	// ErrInvalidArgument, and those of idempotency keys.
	Update(ctx context.Context, call models.Call, cmd UpdateProfile) (Answer[vo.ProfileOutcome], error)
}

// UpdateProfile asks to change a profile.
type UpdateProfile struct {
	Patch vo.ProfilePatch
	// ExpectedVersion nil: apply to whatever is current; 0: must not exist (S62).
	ExpectedVersion *int64
	// IfMatch is the If-Match header; empty when there is none.
	IfMatch string
	// PreferencesOnly: the call is UpdatePreferences, which names its conflict differently and lets only
	// the user create the profile (S61).
	PreferencesOnly bool
}

// Answer is a result and whether it was stored by an earlier call with the same idempotency key.
type Answer[T any] struct {
	Value    T
	Replayed bool
}

// EngagementService keeps likes and bookmarks.
type EngagementService interface {
	// Apply makes the stored favourites match cmds, in order, in one transaction. Repeating a command
	// changes nothing. Outcomes keep order and length of cmds. Errors: ErrVideoUnavailable,
	// ErrFavoriteLimitReached, ErrOccurredAtInFuture, ErrInvalidArgument.
	Apply(ctx context.Context, actor models.Actor, cmds []FavoriteCommand) ([]vo.FavoriteOutcome, error)
	// Mutate is Apply of one command of the call's subject, with its idempotency key.
	Mutate(ctx context.Context, call models.Call, cmd FavoriteCommand) (Answer[vo.FavoriteOutcome], error)
	// BatchQuery answers in order and length of ids (S18).
	BatchQuery(ctx context.Context, call models.Call, ids []models.VideoID) ([]vo.FavoriteState, error)
	// List returns one page. Errors: ErrInvalidPageToken.
	List(ctx context.Context, call models.Call, q FavoriteListQuery) (vo.Page[vo.Favorite], error)
}

// FavoriteCommand asks for one like or bookmark to be there or not.
type FavoriteCommand struct {
	UserID  models.UserID
	VideoID models.VideoID
	Type    models.FavoriteType
	Active  bool
	Claimed models.ClaimedTime
}

// FavoriteListQuery selects a page of favourites.
type FavoriteListQuery struct {
	// Type is empty for both.
	Type               models.FavoriteType
	IncludeUnavailable bool
	WithCount          bool
	Page               PageRequest
}

// PageRequest is a position in a list.
type PageRequest struct {
	// Size 0 means 20, over 100 means 100 (S52).
	Size int32
	// Token is empty for the first page.
	Token string
}

const (
	defaultPageSize = 20
	maxPageSize     = 100
)

func (p PageRequest) size() int {
	if p.Size <= 0 {
		return defaultPageSize
	}
	return int(min(p.Size, maxPageSize))
}

// WatchHistoryService keeps watch progress and history.
type WatchHistoryService interface {
	// Apply merges reports, in order, in one transaction. Repeating a report changes nothing. Outcomes keep
	// order and length of reports. Errors: ErrVideoUnavailable, ErrOccurredAtInFuture, ErrInvalidArgument,
	// ErrCounterOverflow.
	Apply(ctx context.Context, actor models.Actor, reports []ProgressReport) ([]vo.WatchOutcome, error)
	// Report is Apply of one report of the call's subject, with its idempotency key.
	Report(ctx context.Context, call models.Call, report ProgressReport) (Answer[vo.WatchOutcome], error)
	// BatchGet answers in order and length of ids, with zero values for what the subject has not watched or what has
	// expired. What is below the threshold is there too.
	BatchGet(ctx context.Context, call models.Call, ids []models.VideoID) ([]vo.WatchRecord, error)
	// List returns one page. Errors: ErrInvalidPageToken.
	List(ctx context.Context, call models.Call, q WatchListQuery) (vo.Page[vo.WatchEntry], error)
	// Judge gives up to limit rows their ratios whose video got its length after they were reported (S36), and returns
	// how many there were.
	Judge(ctx context.Context, limit int32) (int64, error)
}

// ProgressReport is what a client says about one video.
type ProgressReport struct {
	UserID          models.UserID
	VideoID         models.VideoID
	Claimed         models.ClaimedTime
	PositionSeconds int64
	// RatioBP is basis points; nil when the client did not say.
	RatioBP      *int32
	TotalSeconds int64
	SessionID    string
	Seq          int64
}

// WatchListQuery selects a page of history.
type WatchListQuery struct {
	Completion                  models.Completion
	WatchedAfter, WatchedBefore *time.Time
	IncludeUnavailable          bool
	Page                        PageRequest
}

// VideoProjectionService keeps our copy of catalog videos.
type VideoProjectionService interface {
	// Upsert folds catalog changes in; order and repetition do not matter. Returns the videos whose row
	// changed. Errors: ErrInvalidArgument (version below 1).
	Upsert(ctx context.Context, changes []VideoChange) ([]models.VideoID, error)
	// ListByIDs returns the videos we know.
	ListByIDs(ctx context.Context, ids []models.VideoID) (map[models.VideoID]vo.Video, error)
}

// VideoChange is one catalog event.
type VideoChange = po.VideoChange

// VideoStatsService reads the counters of videos.
type VideoStatsService interface {
	// BatchGet answers in order and length of ids; zero for videos nobody touched (S20). Counters may be as old as the
	// cache lets them (S90).
	BatchGet(ctx context.Context, ids []models.VideoID) ([]vo.VideoStats, error)
	// Verify recounts everything and returns what differs (S42); nothing when all is well.
	Verify(ctx context.Context) ([]po.StatsDrift, error)
}

// CatalogInboxService applies what the catalog publishes, each event once per generation. Safe to repeat in
// every part.
type CatalogInboxService interface {
	// Apply remembers events and folds those that are new into the projection, in one transaction. Errors:
	// ErrInvalidArgument when the database cannot hold at least one of events; nothing is stored then.
	Apply(ctx context.Context, events []CatalogEvent) (InboxCounts, error)
	// Park keeps events that cannot be applied, in a transaction of its own. Errors: ErrInvalidArgument as
	// with Apply.
	Park(ctx context.Context, failures []InboxFailure) error
	// Status is cheap at any size.
	Status(ctx context.Context) (InboxStatus, error)
	// List returns one page of kept failures; fewer than asked for only at the end.
	List(ctx context.Context, q InboxQuery) ([]InboxEntry, error)
	// Redrive decodes kept failures again and applies those that can be, each in a transaction of its own.
	// Results keep the order of keys. With dryRun nothing is stored.
	Redrive(ctx context.Context, keys []InboxKey, dryRun bool) ([]Redriven, error)
	// Discard settles kept failures without applying them and returns those that were still kept, in no order.
	// Their payloads are gone; who and why stays with them until they are pruned. Safe to repeat.
	Discard(ctx context.Context, d Discard) ([]InboxKey, error)
	// Prune forgets at most limit processed events received longer ago than that and returns how many; fewer
	// than limit means that there are no more.
	Prune(ctx context.Context, olderThan time.Duration, limit int32) (int64, error)
}

// CatalogEvent is one event of the catalog, decoded.
type CatalogEvent = po.CatalogEvent

// InboxFailure is an event that could not be applied.
type InboxFailure = po.InboxFailure

// InboxKey names a remembered event.
type InboxKey = po.InboxKey

// InboxEntry is a kept failure as lists show it.
type InboxEntry = po.InboxEntry

// InboxQuery selects a page of kept failures.
type InboxQuery = po.InboxQuery

// Discard gives failures up; operator and reason are kept.
type Discard struct {
	Keys             []InboxKey
	Operator, Reason string
}

// InboxStatus is how many failures there are, and since when.
type InboxStatus = po.InboxStatus

// InboxGeneration is the consumer's generation: a greater one applies every event again.
type InboxGeneration int32

// CatalogDecoder reads a catalog message; an error says that it cannot be applied.
type CatalogDecoder func(payload []byte, attributes map[string]string) (CatalogEvent, error)

// InboxCounts say what became of the events of one transaction.
type InboxCounts struct {
	// Applied changed a row, as far as one can tell: events of one video count alike.
	Applied int
	// Stale were new but said nothing that was not known already.
	Stale int
	// Duplicates were applied before.
	Duplicates int
}

// Redriven is what became of one failure.
type Redriven struct {
	InboxKey
	// Outcome is applied, stale, duplicate, refused or gone; with dryRun applicable, refused or gone.
	Outcome string
	// Reason is why it was refused.
	Reason string
}

// OutboxService is for operators of the event queue. Everything is safe to repeat, and by several at once.
type OutboxService interface {
	// Status is cheap at any size.
	Status(ctx context.Context) (OutboxStatus, error)
	// List returns one page of refused events; fewer than asked for only at the end.
	List(ctx context.Context, q StuckQuery) ([]StuckEvent, error)
	// Redrive gives one page of dead letters all their attempts again, in the order of their ids, and returns
	// them as they were; q.Retrying is ignored. With dryRun nothing is changed.
	Redrive(ctx context.Context, q StuckQuery, dryRun bool) ([]StuckEvent, error)
	// Skip gives up a dead letter for good, so that its key goes on without it. found is false when it is none
	// (any more).
	Skip(ctx context.Context, skip Skip) (found bool, err error)
	// Replay queues delivered events again, oldest first, in many small transactions. With dryRun it only
	// counts. advance is told how much of the log was looked through, in steps of total.
	Replay(ctx context.Context, q ReplayQuery, dryRun bool, advance func(step, total int64)) (Replayed, error)
}

// StuckEvent is an event that the broker refused.
type StuckEvent = po.StuckEvent

// StuckQuery selects a page of refused events.
type StuckQuery = po.StuckQuery

// Skip gives up a dead letter.
type Skip = po.Skip

// OutboxStatus is how the publishing of events goes.
type OutboxStatus struct {
	po.OutboxCounts
	// Backlog is about how many events wait, by table statistics.
	Backlog int64
	// Lag is the age of the oldest event that waits, dead letters apart; 0 without one.
	Lag   time.Duration
	Lanes []po.LaneStatus
}

// ReplayQuery selects events of the log.
type ReplayQuery struct {
	// From is the zero time for Since before now; To is the zero time for now. The database's clock decides.
	From, To time.Time
	Since    time.Duration
	// Key is the zero id for all users, Type empty for all types.
	Key  models.UserID
	Type string
}

// Replayed is what a replay did.
type Replayed struct {
	// ByType counts the events that were queued, or with dryRun would be.
	ByType map[string]int64
	// From is where the replay began; Oldest is when the log begins, the zero time when it is empty.
	From, Oldest time.Time
	// Gone is at most how many events were before Oldest; 0 says that the log never lost any. An id whose transaction
	// was rolled back counts, too: nobody can tell it from an event that was removed.
	Gone int64
}
