package po

import (
	"time"

	"github.com/lingo-services/profile/internal/models"
)

// Video is what the catalog told us about one video; nil fields are unknown.
type Video struct {
	VideoID           models.VideoID
	UploaderID        *models.UserID
	Title             *string
	Description       *string
	DurationMicros    *int64
	ThumbnailURL      *string
	HLSMasterPlaylist *string
	Status            *string
	VisibilityStatus  *string
	PublishedAt       *time.Time
	Version           int64
	UpdatedAt         time.Time
	Availability      models.Availability
}

// VideoFacts are what progress depends on.
type VideoFacts struct {
	Availability models.Availability
	// DurationMicros is 0 when unknown.
	DurationMicros int64
	// Counted: the video has a row of counters.
	Counted bool
}

// ListedVideo is a list entry's video and counters.
type ListedVideo struct {
	Availability models.Availability
	// Video is nil when the projection has no row.
	Video *Video
	Stats VideoStats
}

// ShownTo reports whether a user's lists show the video: what became of it may be known to its uploader alone (S51).
func (v ListedVideo) ShownTo(user models.UserID) bool {
	switch v.Availability {
	case models.Available, models.Unknown:
		return true
	case models.Private, models.NotReady:
		return v.Video != nil && v.Video.UploaderID != nil && *v.Video.UploaderID == user
	case models.Deleted:
		return false
	}
	return false
}

// ChangeKind is the kind of a catalog event.
type ChangeKind uint8

// The kinds of catalog change.
const (
	VideoCreated ChangeKind = iota + 1
	VideoUpdated
	VideoDeleted
)

// VideoChange is one catalog event. Version is the catalog's, at least 1. nil fields are not part of the
// change; empty text clears a field.
type VideoChange struct {
	VideoID           models.VideoID
	Kind              ChangeKind
	Version           int64
	UploaderID        *models.UserID
	Title             *string
	Description       *string
	DurationMicros    *int64
	ThumbnailURL      *string
	HLSMasterPlaylist *string
	Status            *string
	VisibilityStatus  *string
	PublishedAt       *time.Time
}
