package vo

import (
	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
)

// FavoriteOutcome is the answer to one favourite command.
type FavoriteOutcome struct {
	// State is the state after the command, with counters.
	State   FavoriteState
	Changed bool
	Outcome models.Outcome
}

// WatchOutcome is the answer to one progress report.
type WatchOutcome struct {
	Progress WatchRecord
	Stats    VideoStats
	// Recorded: the pair is part of the history.
	Recorded bool
	Outcome  models.Outcome
	// Doubts are for metrics, not for the caller.
	Doubts models.Doubts `json:"-"`
}

// ProfileOutcome is the answer to a profile or preferences change.
type ProfileOutcome struct {
	User User
	// Changes lists changed preferences; empty when none did.
	Changes []PreferenceChange
}

// ListedVideo is the video part of list entries, and its messages, made once for all of them: to make them for each was a
// tenth of what a list costs. It is shared, and never changes.
type ListedVideo struct {
	po.ListedVideo
	// Metadata is nil when the projection has no row.
	Metadata *profilev1.VideoMetadata
	Counters *profilev1.VideoStats
}

// NewListedVideo makes the messages.
func NewListedVideo(v po.ListedVideo) *ListedVideo {
	return &ListedVideo{v, Metadata(v.Video), Stats(v.Stats)}
}

// Favorite is a list entry.
type Favorite struct {
	po.Favorite
	*ListedVideo
}

// WatchEntry is a history list entry.
type WatchEntry struct {
	Log po.WatchLog
	*ListedVideo
}

// Page is one page of a list. NextToken is empty on the last one.
type Page[T any] struct {
	Items     []T
	NextToken string
	// Total is set only when it was asked for.
	Total *int64
}
