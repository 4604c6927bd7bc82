package repositories

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

type userStatsRepo struct{ q *profiledb.Queries }

func (r userStatsRepo) Lock(ctx context.Context, ids []models.UserID) (map[models.UserID]po.UserCounters, error) {
	wanted := uuids(distinct(ids))
	rows, err := r.q.LockUsers(ctx, wanted)
	if err == nil && len(rows) < len(wanted) {
		// Only a user's first change gets here; creating in key order keeps the lock order.
		if _, err = r.q.EnsureUsers(ctx, wanted); err == nil {
			rows, err = r.q.LockUsers(ctx, wanted)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("lock users: %w", translate(err))
	}
	counters := make(map[models.UserID]po.UserCounters, len(rows))
	for _, row := range rows {
		counters[models.UserID(row.UserID)] = decodeCounters(row)
	}
	return counters, nil
}

func (r userStatsRepo) LockFree(ctx context.Context, ids []models.UserID) (map[models.UserID]po.UserCounters, error) {
	wanted := distinct(ids)
	rows, err := r.q.LockFreeUsers(ctx, uuids(wanted))
	if err != nil {
		return nil, fmt.Errorf("lock free users: %w", translate(err))
	}
	counters := make(map[models.UserID]po.UserCounters, len(wanted))
	for _, row := range rows {
		counters[models.UserID(row.UserID)] = decodeCounters(profiledb.LockUsersRow(row))
	}
	var absent []uuid.UUID
	for _, id := range wanted {
		if _, found := counters[id]; !found {
			absent = append(absent, uuid.UUID(id))
		}
	}
	if len(absent) == 0 {
		return counters, nil
	}
	created, err := r.q.CreateFreeUsers(ctx, absent)
	if err != nil {
		return nil, fmt.Errorf("create users: %w", translate(err))
	}
	for _, row := range created {
		counters[models.UserID(row.UserID)] = po.UserCounters{UserID: models.UserID(row.UserID), Now: row.Now.UTC()}
	}
	return counters, nil
}

func decodeCounters(row profiledb.LockUsersRow) po.UserCounters {
	return po.UserCounters{
		UserID: models.UserID(row.UserID), LikeCount: row.LikeCount, BookmarkCount: row.BookmarkCount, WatchedCount: row.WatchedCount,
		EventSeq: row.EventSeq, Now: row.Now.UTC(),
	}
}

func (r userStatsRepo) Increment(ctx context.Context, deltas []po.UserDelta) (map[models.UserID]int64, error) {
	var p profiledb.AdvanceUsersParams
	for _, d := range deltas {
		p.UserIDs = append(p.UserIDs, uuid.UUID(d.UserID))
		p.Likes = append(p.Likes, d.Likes)
		p.Bookmarks = append(p.Bookmarks, d.Bookmarks)
		p.Watched = append(p.Watched, d.Watched)
		p.Events = append(p.Events, d.Events)
	}
	rows, err := r.q.AdvanceUsers(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("move user counters: %w", translate(err))
	}
	versions := make(map[models.UserID]int64, len(rows))
	for _, row := range rows {
		versions[models.UserID(row.UserID)] = row.EventSeq
	}
	return versions, nil
}

// distinct keeps the first of each value, in order.
func distinct[T comparable](values []T) []T {
	seen := make(map[T]bool, len(values))
	var out []T
	for _, v := range values {
		if !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out
}
