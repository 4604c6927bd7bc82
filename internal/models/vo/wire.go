package vo

import (
	"math"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
)

// FavoriteType is the wire form of a stored type.
func FavoriteType(t models.FavoriteType) profilev1.FavoriteType {
	if t == models.Like {
		return profilev1.FavoriteType_FAVORITE_TYPE_LIKE
	}
	return profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK
}

// Stats is the wire form of counters.
func Stats(s po.VideoStats) *profilev1.VideoStats {
	stats := &profilev1.VideoStats{
		LikeCount: s.LikeCount, BookmarkCount: s.BookmarkCount, UniqueWatchers: s.UniqueWatchers,
		TotalWatchSeconds: s.TotalWatchSeconds, StatsVersion: s.Version,
	}
	if !s.UpdatedAt.IsZero() {
		stats.UpdatedAt = timestamppb.New(s.UpdatedAt)
	}
	return stats
}

// Metadata is the wire form of a video; nil when there is none.
func Metadata(v *Video) *profilev1.VideoMetadata {
	if v == nil {
		return nil
	}
	metadata := &profilev1.VideoMetadata{
		VideoId: v.VideoID.String(), Title: orZero(v.Title), Description: orZero(v.Description),
		DurationMicros: orZero(v.DurationMicros), ThumbnailUrl: orZero(v.ThumbnailURL), HlsMasterPlaylist: orZero(v.HLSMasterPlaylist),
		Status: orZero(v.Status), VisibilityStatus: orZero(v.VisibilityStatus), Version: v.Version, UpdatedAt: timestamppb.New(v.UpdatedAt),
	}
	if v.PublishedAt != nil {
		metadata.PublishedAt = timestamppb.New(*v.PublishedAt)
	}
	return metadata
}

func orZero[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}

// WatchProgress is the wire form of a watch row, against the length the video has now (S38, S40); nil when there is no
// row.
func WatchProgress(w po.WatchLog, durationMicros int64) *profilev1.WatchProgress {
	if (w.UserID == models.UserID{}) {
		return nil
	}
	position, ratioBP, maxRatioBP := w.Shown(durationMicros)
	ratio := Ratio(ratioBP)
	progress := &profilev1.WatchProgress{
		PositionSeconds: position, ProgressRatio: &ratio, TotalWatchSeconds: w.CountedSeconds,
		FirstWatchedAt: timestamppb.New(w.FirstWatchedAt), LastWatchedAt: timestamppb.New(w.LastWatchedAt),
		CompletedCount: w.CompletedCount, MaxRatio: Ratio(maxRatioBP),
		DurationSeconds:       durationMicros / int64(time.Second/time.Microsecond),
		ResumePositionSeconds: w.ResumeSeconds(durationMicros),
	}
	if !w.ExpiresAt.Equal(po.Never) {
		progress.ExpiresAt = timestamppb.New(w.ExpiresAt)
	}
	if w.SessionID != nil {
		progress.SessionId = *w.SessionID
	}
	if w.CompletedAt != nil {
		progress.CompletedAt = timestamppb.New(*w.CompletedAt)
	}
	return progress
}

// Ratio is the wire form of basis points.
func Ratio(bp int32) float64 { return float64(bp) / po.FullRatio }

// BasisPoints is the stored form of a ratio in [0, 1.001]: rounded down, so that a threshold is never
// called reached too early; the guard absorbs the error of decimal fractions such as 0.29.
func BasisPoints(ratio float64) int32 {
	const guard = 1e-6
	return int32(min(po.FullRatio, math.Floor(ratio*po.FullRatio+guard)))
}
