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
	Read(ctx context.Context, actor models.Actor, fn func(ctx context.Context, tx *repositories.Tx) error) error
}

// Observer counts what happened, after it was committed. Implementations do not block and do not fail.
type Observer interface {
	// FavoriteChanged counts real transitions.
	FavoriteChanged(kind models.FavoriteType, active bool)
	// ProgressReported counts reports by outcome and by what is hard to believe about them.
	ProgressReported(outcome models.Outcome, doubts models.Doubts)
	// PreferencesUpdated counts real changes.
	PreferencesUpdated()
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
	// List returns one page. Errors: ErrInvalidPageToken.
	List(ctx context.Context, call models.Call, q WatchListQuery) (vo.Page[vo.WatchEntry], error)
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
	// BatchGet returns counters for every id; zero for videos nobody touched (S20).
	BatchGet(ctx context.Context, ids []models.VideoID) (map[models.VideoID]vo.VideoStats, error)
	// Verify recounts everything and returns what differs (S42); nothing when all is well.
	Verify(ctx context.Context) ([]po.StatsDrift, error)
}
