package repositories

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

type videoStatsRepo struct{ q *profiledb.Queries }

func (r videoStatsRepo) Ensure(ctx context.Context, ids []models.VideoID) error {
	if err := r.q.EnsureVideos(ctx, uuids(ids)); err != nil {
		return fmt.Errorf("create video counters: %w", translate(err))
	}
	return nil
}

func (r videoStatsRepo) Increment(ctx context.Context, deltas []po.StatsDelta) (map[models.VideoID]po.VideoStats, error) {
	sorted := slices.SortedFunc(slices.Values(deltas), func(a, b po.StatsDelta) int { return bytes.Compare(a.VideoID[:], b.VideoID[:]) })
	var p profiledb.AdvanceVideosParams
	for _, d := range sorted {
		p.VideoIDs = append(p.VideoIDs, uuid.UUID(d.VideoID))
		p.Likes = append(p.Likes, d.Likes)
		p.Bookmarks = append(p.Bookmarks, d.Bookmarks)
		p.Watchers = append(p.Watchers, d.Watchers)
		p.Seconds = append(p.Seconds, d.Seconds)
	}
	rows, err := r.q.AdvanceVideos(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("move video counters: %w", translate(err))
	}
	if len(rows) < len(deltas) {
		return nil, errNoCounters
	}
	stats := make(map[models.VideoID]po.VideoStats, len(rows))
	for _, row := range rows {
		stats[models.VideoID(row.VideoID)] = decodeStats(row)
	}
	return stats, nil
}

// errNoCounters is a mistake of ours: Ensure comes first.
var errNoCounters = errors.New("move video counters: a video has none")

func (r videoStatsRepo) BatchGet(ctx context.Context, ids []models.VideoID) (map[models.VideoID]po.VideoStats, error) {
	raw, err := r.q.BatchGetVideoStats(ctx, uuids(ids))
	if err != nil {
		return nil, fmt.Errorf("read video counters: %w", translate(err))
	}
	const width = len(uuid.UUID{}) + 6*wordSize
	rows := packed(raw)
	stats := make(map[models.VideoID]po.VideoStats, rows.rows(width))
	for len(rows) > 0 {
		stats[models.VideoID(rows.uuid())] = po.VideoStats{
			LikeCount: rows.int64(), BookmarkCount: rows.int64(), UniqueWatchers: rows.int64(), TotalWatchSeconds: rows.int64(),
			Version: rows.int64(), UpdatedAt: rows.time(),
		}
	}
	return stats, nil
}

func (r videoStatsRepo) Drift(ctx context.Context) ([]po.StatsDrift, error) {
	rows, err := r.q.FindStatsDrift(ctx)
	if err != nil {
		return nil, fmt.Errorf("recount video counters: %w", translate(err))
	}
	drift := make([]po.StatsDrift, len(rows))
	for i, row := range rows {
		drift[i] = po.StatsDrift{
			VideoID: models.VideoID(row.VideoID),
			Stored: po.VideoStats{
				LikeCount: row.StoredLikes, BookmarkCount: row.StoredBookmarks, UniqueWatchers: row.StoredWatchers, TotalWatchSeconds: row.StoredSeconds,
			},
			Counted: po.VideoStats{
				LikeCount: row.CountedLikes, BookmarkCount: row.CountedBookmarks, UniqueWatchers: row.CountedWatchers, TotalWatchSeconds: row.CountedSeconds,
			},
		}
	}
	return drift, nil
}

func decodeStats(row profiledb.ProfileVideoStat) po.VideoStats {
	return po.VideoStats{
		LikeCount: row.LikeCount, BookmarkCount: row.BookmarkCount, UniqueWatchers: row.UniqueWatchers,
		TotalWatchSeconds: row.TotalWatchSeconds, Version: row.StatsVersion, UpdatedAt: row.UpdatedAt.UTC(),
	}
}
