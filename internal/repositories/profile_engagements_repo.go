package repositories

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories/profiledb"
)

type engagementRepo struct{ q *profiledb.Queries }

type register struct {
	user  models.UserID
	video models.VideoID
	kind  models.FavoriteType
}

func (r engagementRepo) Upsert(ctx context.Context, cmds []po.FavoriteCommand) ([]po.FavoriteChange, error) {
	changes := make([]po.FavoriteChange, len(cmds))
	for _, round := range rounds(cmds, func(c po.FavoriteCommand) register { return register{c.UserID, c.VideoID, c.Type} }) {
		var p profiledb.SetFavoritesParams
		for _, i := range round {
			c := cmds[i]
			p.Ordinals = append(p.Ordinals, int32(i))
			p.UserIDs = append(p.UserIDs, uuid.UUID(c.UserID))
			p.VideoIDs = append(p.VideoIDs, uuid.UUID(c.VideoID))
			p.Types = append(p.Types, string(c.Type))
			p.Active = append(p.Active, c.Active)
			p.Effective = append(p.Effective, c.At.At)
			p.Live = append(p.Live, c.At.Live)
		}
		rows, err := r.q.SetFavorites(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("set favorites: %w", translate(err))
		}
		for _, row := range rows {
			change := po.FavoriteChange{
				Changed: row.Changed, Stale: row.Stale, At: row.EffectiveAt.UTC(), EventAt: row.EventAt.UTC(),
				Availability: models.Availability(row.Availability),
			}
			if row.UploaderID != nil {
				change.UploaderID = models.UserID(*row.UploaderID)
			}
			changes[row.Ordinal] = change
		}
	}
	return changes, nil
}

// rounds splits positions of items so that no round holds a key twice and order per key is kept: one
// statement can touch a row only once.
func rounds[T any, K comparable](items []T, key func(T) K) [][]int {
	var out [][]int
	seen := make(map[K]int, len(items))
	for i, item := range items {
		n := seen[key(item)]
		seen[key(item)]++
		if n == len(out) {
			out = append(out, nil)
		}
		out[n] = append(out[n], i)
	}
	return out
}

func (r engagementRepo) BatchGet(ctx context.Context, user models.UserID, ids []models.VideoID) ([]po.FavoriteState, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := r.q.BatchGetFavorites(ctx, profiledb.BatchGetFavoritesParams{UserID: uuid.UUID(user), VideoIDs: uuids(distinct(ids))})
	if err != nil {
		return nil, fmt.Errorf("read favorites: %w", translate(err))
	}
	byID := make(map[models.VideoID]po.FavoriteState, len(rows))
	for _, row := range rows {
		id := models.VideoID(row.VideoID)
		byID[id] = po.FavoriteState{
			VideoID: id, LikedAt: utc(row.LikedAt), BookmarkedAt: utc(row.BookmarkedAt),
			Stats: joinedStats(row.LikeCount, row.BookmarkCount, row.UniqueWatchers, row.TotalWatchSeconds, row.StatsVersion, row.StatsUpdatedAt),
		}
	}
	states := make([]po.FavoriteState, len(ids))
	for i, id := range ids {
		states[i] = byID[id]
	}
	return states, nil
}

// Greater than every key: pages start below it.
var (
	endOfTime  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	greatestID = uuid.Max
)

const greatestType = "~"

func (r engagementRepo) ListByUser(ctx context.Context, q po.FavoriteQuery) ([]po.Favorite, error) {
	before := po.FavoriteKey{EngagedAt: endOfTime, VideoID: models.VideoID(greatestID), Type: greatestType}
	if q.Before != nil {
		before = *q.Before
	}
	if q.Type == "" {
		return r.listAll(ctx, q, before)
	}
	return r.listOfType(ctx, q, before)
}

func (r engagementRepo) listAll(ctx context.Context, q po.FavoriteQuery, before po.FavoriteKey) ([]po.Favorite, error) {
	rows, err := r.q.ListFavorites(ctx, profiledb.ListFavoritesParams{
		UserID: uuid.UUID(q.UserID), BeforeAt: before.EngagedAt, BeforeVideoID: uuid.UUID(before.VideoID),
		BeforeType: string(before.Type), IncludeUnavailable: q.IncludeUnavailable, PageSize: int32(q.PageSize),
	})
	if err != nil {
		return nil, fmt.Errorf("list favorites: %w", translate(err))
	}
	favorites := make([]po.Favorite, len(rows))
	for i, row := range rows {
		favorites[i] = decodeFavorite(row)
	}
	return favorites, nil
}

func (r engagementRepo) listOfType(ctx context.Context, q po.FavoriteQuery, before po.FavoriteKey) ([]po.Favorite, error) {
	rows, err := r.q.ListFavoritesByType(ctx, profiledb.ListFavoritesByTypeParams{
		UserID: uuid.UUID(q.UserID), EngagementType: string(q.Type), BeforeAt: before.EngagedAt,
		BeforeVideoID: uuid.UUID(before.VideoID), IncludeUnavailable: q.IncludeUnavailable, PageSize: int32(q.PageSize),
	})
	if err != nil {
		return nil, fmt.Errorf("list favorites of type: %w", translate(err))
	}
	favorites := make([]po.Favorite, len(rows))
	for i, row := range rows {
		favorites[i] = decodeFavorite(profiledb.ListFavoritesRow(row))
	}
	return favorites, nil
}

func decodeFavorite(row profiledb.ListFavoritesRow) po.Favorite {
	return po.Favorite{
		Type: models.FavoriteType(row.EngagementType), EngagedAt: row.EngagedAt.UTC(), UpdatedAt: row.UpdatedAt.UTC(),
		ListedVideo: joinedVideo{
			row.VideoID, row.Availability, row.UploaderID, row.Title, row.Description, row.DurationMicros, row.ThumbnailURL,
			row.HLSMasterPlaylist, row.Status, row.VisibilityStatus, row.PublishedAt, row.Version, row.VideoUpdatedAt,
		}.decode(joinedStats(row.LikeCount, row.BookmarkCount, row.UniqueWatchers, row.TotalWatchSeconds, row.StatsVersion, row.StatsUpdatedAt)),
	}
}

func (r engagementRepo) CountByUser(ctx context.Context, q po.FavoriteQuery) (int64, error) {
	n, err := r.q.CountFavorites(ctx, profiledb.CountFavoritesParams{
		UserID: uuid.UUID(q.UserID), EngagementType: string(q.Type), IncludeUnavailable: q.IncludeUnavailable,
	})
	if err != nil {
		return 0, fmt.Errorf("count favorites: %w", translate(err))
	}
	return n, nil
}
