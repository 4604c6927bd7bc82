package po

import (
	"time"

	"github.com/lingo-services/profile/internal/models"
)

// FavoriteCommand asks for one register to be ACTIVE or REMOVED from an effective time on.
type FavoriteCommand struct {
	UserID  models.UserID
	VideoID models.VideoID
	Type    models.FavoriteType
	Active  bool
	At      models.Effective
	// AtLimit: the user may have no more of this type, so that the command is refused if it really adds one (S19).
	AtLimit bool
}

// FavoritePolicy says for which videos additions are refused, by the user who uploaded them and by others (S22, S23).
type FavoritePolicy struct{ RefusedOwn, Refused []models.Availability }

// FavoriteChange is what a command did.
type FavoriteChange struct {
	// Changed is the state transition, the only source of counters and events.
	Changed bool
	// Stored: a row was written, be it for its time only (S13).
	Stored bool
	// Stale: something newer is stored.
	Stale bool
	// Unavailable and OverLimit say why a command that would have added something was refused; one that would have
	// changed nothing is not.
	Unavailable, OverLimit bool
	// At is the effective time used; EventAt is occurred_at for an event of this change, greater than that
	// of every earlier event of the register.
	At, EventAt time.Time
	// Before and Other are when the register, and the pair's other one, became active; nil when they were not before
	// the command.
	Before, Other *time.Time
	// Counted: the video has a row of counters.
	Counted bool
}

// FavoriteState is one user's state and the counters of one video.
type FavoriteState struct {
	VideoID models.VideoID
	// LikedAt and BookmarkedAt are nil unless active.
	LikedAt, BookmarkedAt *time.Time
	Stats                 VideoStats
}

// Mark says since when the video is liked or bookmarked.
func (s *FavoriteState) Mark(t models.FavoriteType, at time.Time) {
	if t == models.Bookmark {
		s.BookmarkedAt = &at
	} else {
		s.LikedAt = &at
	}
}

// Favorite is an active like or bookmark.
type Favorite struct {
	VideoID   models.VideoID
	Type      models.FavoriteType
	EngagedAt time.Time
	UpdatedAt time.Time
}

// Key is the row's place in a list.
func (f Favorite) Key() FavoriteKey { return FavoriteKey{f.EngagedAt, f.VideoID, f.Type} }

// FavoriteKey is the place of a row in a list; the list continues strictly below it.
type FavoriteKey struct {
	EngagedAt time.Time
	VideoID   models.VideoID
	Type      models.FavoriteType
}

// FavoriteQuery selects rows of a list.
type FavoriteQuery struct {
	UserID models.UserID
	// Type is empty for both kinds.
	Type models.FavoriteType
	// IncludeUnavailable is for counting alone: rows are listed whatever became of their videos.
	IncludeUnavailable bool
	// Before is nil for the newest rows.
	Before *FavoriteKey
	// Limit is the greatest number of rows listed.
	Limit int
}
