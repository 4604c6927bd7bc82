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

type engagementRepo struct {
	q  *profiledb.Queries
	tx *Tx
}

func (r engagementRepo) Upsert(ctx context.Context, cmds []po.FavoriteCommand, policy po.FavoritePolicy) ([]po.FavoriteChange, error) {
	n := len(cmds)
	p := profiledb.SetFavoritesParams{
		Ordinals: make([]int32, n), UserIDs: make([]uuid.UUID, n), VideoIDs: make([]uuid.UUID, n), Types: make([]string, n),
		Active: make([]bool, n), Effective: make([]time.Time, n), Live: make([]bool, n), AtLimit: make([]bool, n),
		RefusedOwn: texts(policy.RefusedOwn), Refused: texts(policy.Refused),
	}
	for i, c := range cmds {
		p.Ordinals[i], p.UserIDs[i], p.VideoIDs[i], p.Types[i] = int32(i), uuid.UUID(c.UserID), uuid.UUID(c.VideoID), string(c.Type)
		p.Active[i], p.Effective[i], p.Live[i], p.AtLimit[i] = c.Active, c.At.At, c.At.Live, c.AtLimit
	}
	rows, err := r.q.SetFavorites(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("set favorites: %w", translate(err))
	}
	changes := make([]po.FavoriteChange, n)
	for _, row := range rows {
		changes[row.Ordinal] = po.FavoriteChange{
			Changed: row.Changed, Stored: row.Stored, Stale: row.Stale, Unavailable: row.Unavailable, OverLimit: row.OverLimit,
			At: row.EffectiveAt.UTC(), EventAt: row.EventAt.UTC(), Before: unlessZero(row.EngagedAt), Other: unlessZero(row.OtherAt),
			Counted: row.Counted,
		}
	}
	return changes, nil
}

func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

func (r engagementRepo) BatchGet(ctx context.Context, user models.UserID, ids []models.VideoID) ([]po.FavoriteState, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	wanted := distinct(ids)
	byID := make(map[models.VideoID]*po.FavoriteState, len(wanted))
	for _, id := range wanted {
		byID[id] = &po.FavoriteState{VideoID: id}
	}
	err := r.tx.Together(ctx, func(tx *Tx) error {
		rows, err := tx.Engagements.(engagementRepo).q.GetFavorites(ctx, profiledb.GetFavoritesParams{UserID: uuid.UUID(user), VideoIDs: uuids(wanted)})
		for _, row := range rows {
			if row.Active {
				byID[models.VideoID(row.VideoID)].Mark(models.FavoriteType(row.EngagementType), row.EngagedAt.UTC())
			}
		}
		return err
	}, func(tx *Tx) error {
		stats, err := tx.VideoStats.BatchGet(ctx, wanted)
		for id, s := range stats {
			byID[id].Stats = s
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read favorites: %w", translate(err))
	}
	states := make([]po.FavoriteState, len(ids))
	for i, id := range ids {
		states[i] = *byID[id]
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
		BeforeType: string(before.Type), MaxRows: int32(q.Limit),
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
		BeforeVideoID: uuid.UUID(before.VideoID), MaxRows: int32(q.Limit),
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
		VideoID: models.VideoID(row.VideoID), Type: models.FavoriteType(row.EngagementType),
		EngagedAt: row.EngagedAt.UTC(), UpdatedAt: row.UpdatedAt.UTC(),
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
