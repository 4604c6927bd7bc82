package po

import (
	"time"

	"github.com/lingo-services/profile/internal/models"
)

// VideoStats is a row of profile.video_stats; all zero for a video nobody touched.
type VideoStats struct {
	LikeCount         int64
	BookmarkCount     int64
	UniqueWatchers    int64
	TotalWatchSeconds int64
	// Version grows with every change; of two snapshots the greater one is newer (S78).
	Version int64
	// UpdatedAt is zero for a video nobody touched.
	UpdatedAt time.Time
}

// StatsDelta moves the counters of one video.
type StatsDelta struct {
	VideoID                             models.VideoID
	Likes, Bookmarks, Watchers, Seconds int64
}

// StatsDrift is a video whose counters differ from a recount (S42).
type StatsDrift struct {
	VideoID         models.VideoID
	Stored, Counted VideoStats
}
