package po

import (
	"time"

	"github.com/lingo-services/profile/internal/models"
)

// User is a row of profile.users.
type User struct {
	UserID models.UserID
	Content
	// Version starts at 1 and grows by one per stored change.
	Version              int64
	CreatedAt, UpdatedAt time.Time
}

// Content is what a user can change of their profile; nil means "not set".
type Content struct {
	DisplayName string
	AvatarURL   *string
	Preferences
}

// Preferences are the settings part of a profile.
type Preferences struct {
	LearningGoal      *string
	DailyQuotaMinutes *int32
	// Extra holds top-level JSON values; never nil, numbers are float64.
	Extra map[string]any
}

// UserCounters is a row of profile.user_stats, locked: while its transaction runs nobody else changes
// anything of this user.
type UserCounters struct {
	UserID        models.UserID
	LikeCount     int64
	BookmarkCount int64
	WatchedCount  int64
	// EventSeq is the version of the user's newest event; 0 before the first.
	EventSeq int64
	// Now is the database clock after the lock was obtained.
	Now time.Time
}

// UserDelta moves a user's counters and claims Events event versions.
type UserDelta struct {
	UserID                            models.UserID
	Likes, Bookmarks, Watched, Events int64
}
